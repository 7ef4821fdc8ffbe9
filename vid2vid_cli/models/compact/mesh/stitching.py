"""Triangles between the loops of vertices around a face."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from vid2vid_cli.arrays import Indices, Points


def stitch_loops(loops: Sequence[Indices]) -> Indices:
    """Return the triangles between loops of as many vertices each, from the first to the last."""
    triangles = []
    for inner, outer in itertools.pairwise(loops):
        following, beyond = np.roll(inner, -1), np.roll(outer, -1)
        triangles += [np.stack([inner, following, outer], 1), np.stack([following, beyond, outer], 1)]
    return np.concatenate(triangles).astype(np.int32)


def stitch_corners(border: Points, corners: Points, first: int) -> Indices:
    """Return the triangles between the border loop (36, 2) and the crop's four corners (4, 2).

    first: index of the loop's first vertex; the corners follow the loop.
    """
    count = len(border)
    centre = border.mean(0)
    middle = (border + np.roll(border, -1, 0)) / 2 - centre
    directions = middle / np.linalg.norm(middle, axis=-1, keepdims=True)
    triangles = []
    for k, corner in enumerate(corners):
        # The edge of the loop that faces the corner.
        edge = int(np.argmax(directions @ (corner - centre) / np.linalg.norm(corner - centre)))
        triangles.append([first + edge, first + (edge + 1) % count, first + count + k])
    return np.array(triangles, np.int32)

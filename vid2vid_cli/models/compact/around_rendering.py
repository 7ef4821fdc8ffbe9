"""One frame of a person of whom several pictures show what lies around the face."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vid2vid_cli.arrays import Points
from vid2vid_cli.models.compact.around import Around, Stance
from vid2vid_cli.models.compact.around_pixels import (
    OTHER,
    OWN,
    PersonPixels,
    displacement_of,
    lay_before,
    mix_pixels,
)
from vid2vid_cli.models.compact.mesh.box import Box
from vid2vid_cli.models.compact.mesh.coverage import EdgePixels, find_edges
from vid2vid_cli.models.compact.mesh.placed_mesh import PlacedMesh
from vid2vid_cli.models.compact.mesh.warp import Surroundings
from vid2vid_cli.models.compact.motion_layout import POINTS
from vid2vid_cli.models.compact.posing import CompactState

LEAST = 1 / 64  # of a stance's weight: one that has less is left out
LEAST_MIRRORED = 0.02  # of any vertex
MIRROR = 4  # the channel of a placed mesh that says how much is mirrored


@dataclass(frozen=True)
class MixedMesh:
    """The mesh of a frame, mixed of several stances, whose values are what around_pixels.mix_pixels takes.

    own, others: the pictures. main: the channel of the place in the picture that shows most around the face.
    """

    mesh: PlacedMesh
    own: PersonPixels
    others: tuple[PersonPixels, ...]
    main: int

    def mix(self, drawn: Points) -> Points:
        """Return what is drawn (R, C, channels) as a person (R, C, 4)."""
        return mix_pixels(drawn, self.own, self.others)


def mix_mesh(
    around: Around,
    driven: CompactState,
    own: PlacedMesh,
    surroundings: Surroundings | None,
    size: tuple[int, int],
) -> MixedMesh:
    """Mix the mesh of a frame.

    own: the source's mesh, placed. surroundings: how the driving's body moves, where that is followed; else it lies as
    in the pictures that are shown. size: (height, width) of the crop.
    """
    weights = around.weigh(driven.head)
    weights = np.where(weights < LEAST, 0, weights)
    weights /= weights.sum()
    used, first = np.flatnonzero(weights).tolist(), around.stances[0]
    keypoints, vertices = driven.keypoints[0].cpu().numpy(), own.vertices.copy()
    moving = _moving(first)
    placed = (around.stances[k].warp.target_vertices(keypoints, driven.head) if k else own.vertices for k in used)
    vertices[moving] = sum(weights[k] * each[moving] for k, each in zip(used, placed, strict=True))
    body = np.asarray(sum(weights[k] * around.stances[k].body for k in used), np.float32) * first.warp.room_to_move
    if surroundings is not None:
        body = -first.warp.move_around(surroundings, vertices[_shell(first), :2])
    others = [k for k in used if k]
    own_xy = own.values[:, :OWN] + own.vertices[:, :2]
    values, left = [_to_px(_held(first, first, own_xy, vertices, body), size)], np.ones(len(vertices), np.float32)
    for k in others:
        stance, share = around.stances[k], np.zeros(len(vertices), np.float32)
        known = len(stance.warp.source_xy)
        xy = np.concatenate([stance.warp.source_xy, own_xy[known:]])
        share[:known] = weights[k] * around.shares[k]
        left -= share
        values += [_to_px(_held(first, stance, xy, vertices, body), size), share[:, None]]
    mirrored = own.values[:, MIRROR] * left
    has_mirror = own.has_mirror and float(mirrored.max()) > LEAST_MIRRORED
    if has_mirror:
        values += [_to_px(own.values[:, 2:MIRROR] + own.vertices[:, :2], size), own.values[:, MIRROR, None]]
    main = max(used, key=lambda k: float(weights[k]))
    mesh = PlacedMesh(vertices, np.concatenate(values, 1).astype(np.float32), own.triangles, has_mirror, own.closing)
    pictures = tuple(around.stances[k].person for k in others)
    return MixedMesh(mesh, first.person, pictures, OWN + OTHER * others.index(main) if main else 0)


def _held(first: Stance, stance: Stance, source_xy: Points, vertices: Points, body: Points) -> Points:
    """Return what vertices show of a stance (V, 2), where the body around the head lies as far away as `body` says.

    What follows the head is what the stance's own mesh says. The rest keeps its place: its rays from the face, which
    the mesh is made of, lie on other places of it in each picture. body: (S, 2), for each vertex around the face.
    """
    around = _shell(first)
    held, shift = source_xy.copy(), body - stance.body * first.warp.room_to_move
    held[around] += (1 - first.warp.follow) * (vertices[around, :2] - shift - source_xy[around])
    return held


def _shell(first: Stance) -> slice:
    """Return the vertices around the face, up to the border."""
    return slice(first.warp.keypoint_count, first.warp.still[0])


def render_around(mixed: MixedMesh, background: Points, side: int) -> Tensor:
    """Return a person before a background (3, H, W): (1, 3, H, W). side: longer side of what is drawn at most."""
    height, width = size = background.shape[1], background.shape[2]
    shrink = min(1.0, side / max(size))
    small = max(1, round(height * shrink)), max(1, round(width * shrink))
    channels = range(mixed.mesh.values.shape[1])
    drawn = mixed.mesh.draw(Box.whole(small), small, channels)
    edges = _edges(drawn, mixed.main, size)
    if small != size:
        drawn = np.asarray(cv2.resize(drawn, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)
    person = mixed.mix(drawn)
    if len(edges):
        person[edges.y, edges.x] = mixed.mix(mixed.mesh.draw_at(edges, channels)).mean(0)
    return torch.from_numpy(lay_before(person, background))[None]


def _edges(drawn: Points, main: int, size: tuple[int, int]) -> EdgePixels:
    """Return the pixels through which edges pass: of the picture that shows most around the face."""
    displacement = np.empty((*drawn.shape[:2], 2), np.float32)
    displacement_of(drawn, main, max(size) / max(drawn.shape[:2]), displacement)
    return find_edges(displacement, size)


def _to_px(places: Points, size: tuple[int, int]) -> Points:
    """Bring places (V, 2) from halves of the crop's longer side to px, from the middle of the first pixel."""
    height, width = size
    return np.asarray(places * (max(size) / 2) + (width / 2 - 0.5, height / 2 - 0.5), np.float32)


def _moving(first: Stance) -> NDArray[np.intp]:
    """Return the vertices that are mixed: all but the face, the border, and what fills openings."""
    still, after = first.warp.still
    return np.concatenate([np.arange(POINTS, still), np.arange(after, len(first.warp.source_xy))])

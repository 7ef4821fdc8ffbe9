"""What a face looks like to those who know it: a description of its light that people differ in and lamps do not.

The skin is laid out on the mesh, so that eyes, nose and mouth lie where those of every face lie. What is compared are
histograms of the directions in which its light changes, in 12 x 12 cells (after Dalal and Triggs, "Histograms of
Oriented Gradients for Human Detection", CVPR 2005), which lamps change little.
"""

from __future__ import annotations

import math
from functools import lru_cache

import cv2
import numba
import numpy as np

from vid2vid_cli.arrays import Map, Points
from vid2vid_cli.checkpoints.cache import EMBEDDED_LIKENESS
from vid2vid_cli.checkpoints.reading import bundled_file, read_checkpoint

SIDE, CELLS, DIRECTIONS = 96, 12, 8
DESCRIBED = CELLS * CELLS * DIRECTIONS
HIDDEN, SHOWN = 0.1, 0.4  # facing of skin: what is turned away counts less, or not at all


def describe(light: Map, facing: Map) -> Points:
    """Describe a face, (DESCRIBED,).

    light: (S, S), logarithm of its brightness on the mesh seen from the front. facing: (S, S), see FaceTopology.facing.
    """
    small = cv2.resize(light, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    slopes = cv2.cartToPolar(cv2.Sobel(small, cv2.CV_32F, 1, 0), cv2.Sobel(small, cv2.CV_32F, 0, 1))
    histogram = np.zeros((CELLS, CELLS, DIRECTIONS), np.float32)
    _count(np.asarray(slopes[0], np.float32), np.asarray(slopes[1], np.float32), histogram)
    histogram /= np.sqrt((histogram**2).sum(-1, keepdims=True) + 0.5)
    seen = cv2.resize(facing, (CELLS, CELLS), interpolation=cv2.INTER_AREA)
    histogram *= np.clip((seen - HIDDEN) / (SHOWN - HIDDEN), 0, 1)[..., None]
    return np.asarray(histogram.ravel(), np.float32)


@numba.njit(cache=True, nogil=True)
def _count(strength: Map, angle: Map, histogram: Points) -> None:
    """Add slopes to the directions of their cells. angle: in radians, 0 to 2 pi."""
    for y in range(SIDE):
        for x in range(SIDE):
            direction = angle[y, x] / np.float32(2 * math.pi) * np.float32(DIRECTIONS)
            first = np.int32(direction)
            share = direction - np.float32(first)
            cell = histogram[y // (SIDE // CELLS), x // (SIDE // CELLS)]
            # Each slope counts for the two directions that it lies between.
            cell[first % DIRECTIONS] += (np.float32(1) - share) * strength[y, x]
            cell[(first + 1) % DIRECTIONS] += share * strength[y, x]


class Likeness:
    """Tells how far two descriptions are one person's: a linear discriminant analysis, see training/same_person.py."""

    def __init__(self, mean: Points, axes: Points) -> None:
        """mean: (DESCRIBED,), of many people. axes: (DESCRIBED, A), along which people differ more than pictures do."""
        self.mean, self.axes = mean, axes

    def __call__(self, description: Points) -> Points:
        """Return the place (A,) of a description among all people, at distance 1 from the middle."""
        place = (description - self.mean) @ self.axes
        return np.asarray(place / max(float(np.linalg.norm(place)), 1e-6), np.float32)


@lru_cache(maxsize=1)
def load_likeness() -> Likeness:
    """Load what tells people apart from the file beside the embedded checkpoint, once."""
    tensors = read_checkpoint(bundled_file("weights", EMBEDDED_LIKENESS)).tensors
    return Likeness(tensors["likeness.mean"].float().numpy(), tensors["likeness.axes"].float().numpy())

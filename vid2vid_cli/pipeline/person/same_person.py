"""Whether two faces are one person's, by what the light on them looks like once both are seen from the front.

The skin is laid out on the mesh, so that eyes, nose and mouth lie where those of every face lie. What is compared are
histograms of the directions in which its light changes, in 12 x 12 cells (after Dalal and Triggs, "Histograms of
Oriented Gradients for Human Detection", CVPR 2005), which lamps change little.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from vid2vid_cli.arrays import Map, Points
from vid2vid_cli.checkpoints.cache import EMBEDDED_LIKENESS
from vid2vid_cli.checkpoints.reading import bundled_file, read_checkpoint

SIDE, CELLS, DIRECTIONS = 96, 12, 8
DESCRIBED = CELLS * CELLS * DIRECTIONS
HIDDEN, SHOWN = 0.1, 0.4  # facing of skin: what is turned away counts less, or not at all
SAME = 0.52  # distance up to which a picture surely is the same person's as a portrait
STAYS = 0.65  # the same for a face that is where that person was a moment ago
OTHER = 0.72  # from here on it is somebody else's; in between it may be the same, years or a pair of glasses apart
SAME_CLIPS, OTHER_CLIPS, MANY = 0.4, 0.48, 8  # both for two portraits of at least so many frames, whose noise is gone


def describe(light: Map, facing: Map) -> Points:
    """Describe a face, (DESCRIBED,).

    light: (S, S), logarithm of its brightness on the mesh seen from the front. facing: (S, S), see FaceTopology.facing.
    """
    small = cv2.resize(light, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    across, down = cv2.Sobel(small, cv2.CV_32F, 1, 0), cv2.Sobel(small, cv2.CV_32F, 0, 1)
    strength = np.hypot(across, down)
    direction = (np.arctan2(down, across) % (2 * math.pi)) / (2 * math.pi) * DIRECTIONS
    cell = SIDE // CELLS
    cells = []
    for index in range(DIRECTIONS):
        away = np.abs((direction - index + DIRECTIONS / 2) % DIRECTIONS - DIRECTIONS / 2)
        share = np.clip(1 - away, 0, 1) * strength
        cells.append(share.reshape(CELLS, cell, CELLS, cell).sum((1, 3)))
    histogram = np.stack(cells, -1)
    histogram /= np.sqrt((histogram**2).sum(-1, keepdims=True) + 0.5)
    seen = cv2.resize(facing, (CELLS, CELLS), interpolation=cv2.INTER_AREA)
    histogram *= np.clip((seen - HIDDEN) / (SHOWN - HIDDEN), 0, 1)[..., None]
    return np.asarray(histogram.ravel(), np.float32)


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


@dataclass
class Portrait:
    """Whose face it is, from all frames that were found to be one person's. sum: of their places. count: of frames."""

    sum: Points
    count: float = 1

    def distance(self, place: Points) -> float:
        """Return how unlike a face, or the sum of several, is: from 0 to 2."""
        lengths = float(np.linalg.norm(self.sum)) * float(np.linalg.norm(place))
        return 1 - float(self.sum @ place) / max(lengths, 1e-6)

    def limits(self, other: Portrait) -> tuple[float, float]:
        """Return the distance up to which another portrait surely is the same person's, and that from which not."""
        return (SAME_CLIPS, OTHER_CLIPS) if min(self.count, other.count) >= MANY else (SAME, OTHER)

    def add(self, place: Points, count: float = 1) -> None:
        """Add a face. place: of one frame, or the sum of several."""
        self.sum, self.count = self.sum + place, self.count + count

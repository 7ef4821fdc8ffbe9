"""Which pictures of a person show each part of a frame's face, as a smooth function of the frame alone.

Each region of the face has its own choice: the pictures whose lips, lids or brows lie most as the frame's do, seen from
nearly the same side. Weights are inverse powers of distances (Shepard, "A two-dimensional interpolation function for
irregularly-spaced data", 1968), so that one picture gives way to the next over a fixed share of the way between them,
however far apart they are. Only the best few are kept; what the first one left out has is taken off them, so that no
weight ever jumps.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from vid2vid_cli.arrays import Points
from vid2vid_cli.face.landmarks import BROWS, LIPS
from vid2vid_cli.models.compact.mesh.topology import FaceTopology

Numbers = NDArray[np.float64]

POWER = 2.0  # of squared distances: more is sharper, and changes faster
ALMOST = 0.9999  # of what the first picture left out has, is taken off
SHOWN_AT_ONCE = 3  # pictures of which a region is mixed; more are softer and take longer
# Eye distances on the canonical head: how far apart points may lie for a picture to suit as well as can be, for lips,
# eyes, brows and all else. A little of the lips' counts for all else: cheeks move with them.
WIDTHS = (0.014, 0.02, 0.03, 0.03)
LIPS_FOR_REST = 0.5
STRETCHED = 1.0  # how much an opening counts in addition that is smaller than the frame's: it would be stretched
SQUEEZED = 1.0  # the same of eyes that are open further: their irises would be squeezed between lids
# The same of eyes that are open less than half as far as the frame's and as others': their lids would be stretched.
HALF_SHUT, SHUT = 0.5, 3.0
LEAST_OPEN = 1e-3  # eye distances
TURN = 0.15  # eye distances that one radian of the head's turn counts
GAZE = 0.4  # eye distances that one eye width of the gaze counts
GAZE_DRAWN = 0.3  # of it, for the source's own eyes: they are drawn to look elsewhere
# Eye distances: how far from lips, lids and brows their regions reach.
MOUTH_REACH, EYE_REACH, BROW_REACH = 0.6, 0.3, 0.35
EYES = 1  # the number of their region
LEAST_KNOWN, NEVER = 0.5, 1e9  # share of a region that a picture must show; a distance that nothing makes up for
NEAR_MOUTH = 12.0  # squared distance, in the widths of lips, at which a picture shows half another mouth
COARSE = 0.02  # eye distances that one octave of missing pixels counts


@dataclass(frozen=True)
class FaceShape:
    """What a face's picture is chosen by.

    face: (468, 3), on the canonical head. rotation: (3, 3), of the head. gaze: (2,), see gaze.py. coarse: by how many
    octaves its picture has fewer pixels than the source, at least 0. knows: (468,), in [0, 1], which points the picture
    really shows; None: all. It is not chosen for a region of which it knows little.
    """

    face: Points
    rotation: Points
    gaze: Points
    coarse: float = 0.0
    knows: Points | None = None


class ViewChoice:
    """Weighs K pictures of a person, the source first, for the regions of a frame."""

    def __init__(self, topology: FaceTopology, known: list[FaceShape]) -> None:
        """Take what is known of each picture."""
        self._topology = topology
        self.openings = np.array([mouth_opening(each.face, topology) for each in known])
        """(K,), how far the mouth is open in each picture, in eye distances."""
        self._lids = np.stack([_lid_gaps(each.face, topology) for each in known])  # (K, 2)
        # Both eyes are one: they would seldom look alike if each chose for itself.
        self._parts = [np.array(part).ravel() for part in (LIPS, topology.eyes, BROWS)]
        self.regions = _regions(topology)
        """(R, 468), how much each point of the mesh belongs to each region; they add up to 1."""
        self._shapes = [np.stack([_flat(each.face, part) for each in known]) for part in self._parts]
        self._rotations = np.stack([each.rotation for each in known])
        self._gazes = np.stack([each.gaze for each in known])
        self._coarse = np.square([COARSE * each.coarse for each in known])
        everything = np.ones(self.regions.shape[1])
        knows = np.stack([self.regions @ (everything if each.knows is None else each.knows) for each in known])
        self._unknown = np.where(knows < LEAST_KNOWN * self.regions.sum(1), NEVER, 0.0)  # (K, R)
        self._gaze_counts = np.full(len(known), GAZE)
        self._gaze_counts[0] *= GAZE_DRAWN

    def weigh(self, shown: FaceShape) -> tuple[Numbers, float]:
        """Return how much of each region comes from each picture: (K, R); each region's weights add up to 1.

        Also how near the mouths of those that show it are to the frame's: 1 for the same one, to 0.
        """
        parts = [
            np.square(shapes - _flat(shown.face, part)).sum(1)
            for shapes, part in zip(self._shapes, self._parts, strict=True)
        ]
        missing = np.maximum(mouth_opening(shown.face, self._topology) - self.openings, 0)
        parts[0] = parts[0] + np.square(STRETCHED * missing)
        lids = _lid_gaps(shown.face, self._topology)
        squeezed = np.maximum(self._lids - lids, 0).max(1)
        squeezed[0] = 0  # the source's own lids are drawn where they shut
        shut = np.maximum(HALF_SHUT * np.minimum(lids, self._lids.max(0)) - self._lids, 0).max(1)
        shut *= min(1.0, lids.min() / max(self._lids.max(), LEAST_OPEN))
        gaze = np.square(self._gaze_counts) * np.square(self._gazes - shown.gaze).sum(1)
        eyes = parts[1] + np.square(SQUEEZED * squeezed) + np.square(SHUT * shut) + gaze
        squares = [parts[0], eyes, parts[2], LIPS_FOR_REST**2 * parts[0]]
        away = np.stack(squares, 1) + (np.square(TURN * self._turns(shown.rotation)) + self._coarse)[:, None]
        away = away / np.square(WIDTHS) + self._unknown
        weights = _mix_best(away)
        return weights, float(1 / (1 + np.square((weights[:, 0] * away[:, 0]).sum() / NEAR_MOUTH)))

    def _turns(self, rotation: Points) -> Numbers:
        """Return the angle between a head (3, 3) and each known one, in radians: (K,)."""
        cosines = (np.einsum("kij,ij->k", self._rotations, rotation) - 1) / 2
        return np.asarray(np.arccos(np.clip(cosines, -1, 1)), np.float64)


def mouth_opening(face: Points, topology: FaceTopology) -> float:
    """Return how far a mouth is open at its widest, in eye distances. face: (468, 3), on the canonical head."""
    loop, half = topology.inner_lips, len(topology.inner_lips) // 2
    gaps = np.linalg.norm(face[loop[1:half], :2] - face[loop[:half:-1], :2], axis=1)
    return float(gaps.max())


def _lid_gaps(face: Points, topology: FaceTopology) -> Numbers:
    """Return how far both eyes are open, in eye distances: (2,). face: (468, 3), on the canonical head."""
    loops, half = topology.eyes, topology.eyes.shape[1] // 2
    gaps = np.linalg.norm(face[loops[:, 1:half], :2] - face[loops[:, :half:-1], :2], axis=2)
    return np.asarray(gaps.mean(1), np.float64)


def _mix_best(away: Numbers) -> Numbers:
    """Return weights of squared distances (K, R), of which only the smallest SHOWN_AT_ONCE have any."""
    nearest = away.min(0)
    weights = ((1 + nearest) / (1 + away)) ** POWER
    if len(weights) > SHOWN_AT_ONCE:
        left_out = np.sort(weights, 0)[-1 - SHOWN_AT_ONCE]
        # Where one more is as good as the best, it shares for a moment: at 0, all of them would be left out.
        weights = np.maximum(weights - ALMOST * left_out, 0)
    return np.asarray(weights / weights.sum(0))


def _flat(face: Points, part: NDArray[np.integer]) -> Numbers:
    """Return x and y of some points as one row whose squared distance to another is the mean over the points."""
    return np.asarray(face[part, :2].ravel() / np.sqrt(len(part)), np.float64)


def _regions(topology: FaceTopology) -> Points:
    """Return masks of mouth, eyes, brows and all else: (4, 468). The first to reach a point has it."""
    eyes = topology.region_mask(topology.eyes, EYE_REACH)
    mouth = topology.region_mask(topology.inner_lips, MOUTH_REACH)
    brows = topology.region_mask(np.array(BROWS), BROW_REACH)
    remaining, masks = torch.ones(len(mouth)), []
    for mask in (eyes, mouth, brows):
        masks.append(remaining * mask)
        remaining = remaining * (1 - mask)
    return torch.stack([masks[1], masks[0], masks[2], remaining]).numpy()

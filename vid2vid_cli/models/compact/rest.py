"""Rest: a face as a person's clip shows it when it does nothing, which is no single frame of it.

Eyes are open as they mostly are, lips are closed, and every point lies where it mostly lies in the frames in which its
part of the face is calm.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vid2vid_cli.face.landmarks import BROWS
from vid2vid_cli.models.base import Rest
from vid2vid_cli.models.compact.brow_room import BrowRoom
from vid2vid_cli.models.compact.contact import LipContact
from vid2vid_cli.models.compact.mesh.topology import FaceTopology
from vid2vid_cli.models.compact.motion_layout import POINTS
from vid2vid_cli.motion import Motion

EYE_UNREST = 0.15  # of an eye's usual opening: shut by so much, it is plainly not at rest
USUAL = 0.75  # quantile of the openings of a clip's eyes: most frames show open eyes
USUAL_OF_MANY = 0.85  # the same where a median over frames follows, which is not misled by a few wide eyes
MOUTH_UNREST = 0.05  # eye distances: lips open by so much more than they ever close are not at rest
MOUTH_REACH = 0.7  # eye distances: how far from the lips the face moves with the mouth
PARTED_REACH = 0.3  # eye distances: how far from an opening its shape counts
BROWS_VARY = 0.026  # eye distances: how far resting brows are from an average face's (deviation of 178 portraits)
NEVER_CLOSED = 0.08  # eye distances: a mouth that is open by more in nine of ten frames shows no rest


class RestFinder:
    """Finds how far faces are from rest, and the rest itself."""

    def __init__(self, topology: FaceTopology) -> None:
        self._topology, self._lips = topology, LipContact(topology)
        loops = np.concatenate([topology.inner_lips, topology.eyes.ravel()])
        self.parted = topology.region_mask(loops, reach=PARTED_REACH)[:, None]
        """(468, 1), how near each point is to lips and lids, in [0, 1]."""
        self._mouth = topology.region_mask(topology.inner_lips, reach=MOUTH_REACH)[:, None]  # (468, 1)
        self._brow_points = torch.tensor(BROWS).flatten()
        self._brow_skin = BrowRoom(topology).skin

    def unrest(self, motions: Motion) -> Tensor:
        """Return how far each of some frames of one person is from rest: (N,), see models.base.KnowsRest."""
        return torch.hypot(*self._parts(motions))

    def rest(self, motions: Motion) -> Rest:
        """Estimate one person's rest from N frames; see models.base.KnowsRest."""
        shut, opened = (torch.exp(-part.square()) for part in self._parts(motions, USUAL_OF_MANY))
        expression = weighted_median(motions.expression, shut)
        lower = weighted_median(motions.expression[:, :POINTS], opened)
        expression[:, :POINTS] += self._mouth * (lower - expression[:, :POINTS])
        expression[:, :POINTS, 1] += self._brow_skin * self._brows_at_rest(motions, expression)
        faces = self._topology.canonical + expression[:, :POINTS]
        expression[:, :POINTS] = self._lips.closed(faces, None) - self._topology.canonical
        is_seen = float(self._mouth_heights(motions).quantile(0.1)) < NEVER_CLOSED
        return Rest(replace(motions[0], expression=expression), is_seen=is_seen)

    def _brows_at_rest(self, motions: Motion, usual: Tensor) -> Tensor:
        """Return how far down the brows of a usual expression (1, 469, 3) have to go to be at rest: a number.

        Somebody may talk with raised brows for most of a clip. The more brows move, the less their usual height says
        about their rest, and the more an average face's does: the best guess where both are normally distributed.
        """
        heights = motions.expression[:, self._brow_points, 1].mean(1)  # (N,), above an average face's, y down
        uncertain = heights.var(correction=0) / (heights.var(correction=0) + BROWS_VARY**2)
        return -uncertain * usual[0, self._brow_points, 1].mean()

    def _parts(self, motions: Motion, usual: float = USUAL) -> tuple[Tensor, Tensor]:
        """Return how far eyes are shut and lips are open, each (N,), 0 at rest, 1 plainly not at rest.

        usual: the quantile of the eyes' openings that is their usual one.
        """
        faces = self._faces(motions)
        half = self._topology.eyes.shape[1] // 2
        eyes = torch.stack([_height(faces, loop, half) for loop in self._topology.eyes]).mean(0)
        mouth = self._mouth_heights(motions)
        # Whoever talks closes the lips now and then.
        opened = eyes.quantile(usual)
        shut = (opened - eyes).clamp_min(0) / (EYE_UNREST * opened.clamp_min(1e-3))
        return shut, (mouth - mouth.quantile(0.1)).clamp_min(0) / MOUTH_UNREST

    def _mouth_heights(self, motions: Motion) -> Tensor:
        return _height(self._faces(motions), self._topology.inner_lips, len(self._topology.inner_lips) // 2)

    def _faces(self, motions: Motion) -> Tensor:
        return self._topology.canonical + motions.expression[:, :POINTS]  # (N, 468, 3)


def weighted_median(values: Tensor, weights: Tensor) -> Tensor:
    """Return the median of N values (N, ...), each of which counts by its weight (N,) >= 0: (1, ...)."""
    ordered, order = values.sort(0)
    reached = weights.double()[order].cumsum(0)
    middle = (reached < reached[-1:] / 2).sum(0, keepdim=True)
    return ordered.gather(0, middle)


def _height(faces: Tensor, loop: NDArray[np.int32], half: int) -> Tensor:
    """Return the height of an opening in its middle, in canonical units: (N,). loop: indices, from a corner on."""
    places = torch.from_numpy(np.asarray(loop)).long()
    one, other = places[1:half], places[half + 1 :].flip(0)
    middle = slice(half // 2 - 2, half // 2 + 1)
    return (faces[:, one[middle], 1] - faces[:, other[middle], 1]).abs().mean(1)

"""The head model: named expressions as offsets of the mesh, and how strongly each is in a motion.

Its numbers are those of the ICT face model (MIT) on the mesh's points, see training/head_model.py. The names are what
phones record and artists know. A strength is in [0, 1]; the strengths of a frame are called its weights, (E,).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vid2vid_cli.face.eyes import INNER, LOOPS, LOWER, OUTER, UPPER
from vid2vid_cli.face.landmarks import BROWS, INNER_LIPS, OUTER_LIPS
from vid2vid_cli.models.compact.contact import LidContact, LipContact
from vid2vid_cli.models.compact.mesh.topology import FaceTopology
from vid2vid_cli.models.compact.motion_layout import KEYPOINTS, POINTS

Array = NDArray[np.float64]

OPEN, CLOSE = "jawOpen", "mouthClose"  # the second undoes what the first does to the lips, and nothing else
BLINK, WIDE = "eyeBlink", "eyeWide"
# In a fit, beside 1 for each point of the rest of the face.
LIPS_COUNT, EYES_COUNT, BROWS_COUNT, GAZE_COUNT = 3.0, 12.0, 3.0, 300.0
MEASURES_COUNT = 300.0  # of what an eye sees first, see `_measures`
DEPTH_COUNTS = 0.1  # depth is guessed from one picture
RIDGE = 3e-2  # on squared strengths, beside squared offsets in eye distances
SWEEPS = 60  # over all strengths; a fit changes little after 20


def encode_names(names: Sequence[str]) -> Tensor:
    """Return names as a tensor of bytes, one name a line."""
    return torch.frombuffer(bytearray("\n".join(names).encode()), dtype=torch.uint8)


class HeadModel:
    """Turns weights into offsets on the canonical head, and offsets into weights."""

    def __init__(self, topology: FaceTopology, names: Sequence[str], expressions: Tensor) -> None:
        """Take the names of the expressions and their offsets: (E, 469, 3), the last one of the gaze."""
        self.names = tuple(names)
        self._offsets = expressions
        self._lids, self._lips = LidContact(topology), LipContact(topology)
        self._mean = topology.canonical[None]
        self._closed = self._lips.closed(self._mean, None)  # the mean face shows its teeth
        self._open, self._close = self.names.index(OPEN), self.names.index(CLOSE)
        self._counts = _counts(topology).sqrt()  # (469, 3)
        self._measures = _measures(topology)  # (M, 469, 3)
        columns = expressions.clone()
        # A mouth closes over an open jaw only: fitted together with it, its strength never exceeds the jaw's.
        columns[self._close] += columns[self._open]
        self._columns = self._counted(columns)
        self._normal = self._columns @ self._columns.T + RIDGE * np.eye(len(names))

    @classmethod
    def from_state(cls, topology: FaceTopology, state: Mapping[str, Tensor]) -> HeadModel | None:
        """Read the tensors `head.*` of a checkpoint; None if it has none."""
        if "head.expressions" not in state:
            return None
        names = bytes(state["head.names"].tolist()).decode().split("\n")
        return cls(topology, names, state["head.expressions"].float())

    def offsets(self, weights: Tensor) -> Tensor:
        """Return the offsets (B, 469, 3) of weights (B, E), the last one of the gaze."""
        strengths = weights.clone()
        strengths[:, self._close] = torch.minimum(strengths[:, self._close], strengths[:, self._open])
        return (strengths @ self._offsets.flatten(1)).reshape(-1, KEYPOINTS, 3)

    def move(self, faces: Tensor, weights: Tensor) -> Tensor:
        """Return faces (B, 468, 3) on the canonical head with expressions (B or 1, E) added; lids and lips meet."""
        moved = self._mean + self.offsets(weights)[:, :POINTS]
        added = faces + (moved - self._mean)
        added = self._lids.set_opening(added, faces, self._lids.with_lashes(moved, self._mean), self._mean)
        return self._lips.open_further(added, faces, moved, self._mean)

    def gaze(self, weights: Tensor) -> Tensor:
        """Return how the gaze moves with weights (B, E): (B, 1, 3), see gaze.py."""
        return self.offsets(weights)[:, POINTS:]

    def expression(self, weights: Tensor) -> Tensor:
        """Return the expressions (B, 469, 3) of a mean face that rests with closed lips, moved by weights (B, E)."""
        offsets = self.offsets(weights)
        faces = self._lids.with_lashes(self._closed + offsets[:, :POINTS], self._mean)
        return torch.cat([faces - self._mean, offsets[:, POINTS:]], 1)

    def weights(self, expression: Tensor, rest: Tensor) -> Tensor:
        """Fit weights (B, E) to expressions (B, 469, 3) of a person whose face at rest is (1, 469, 3)."""
        moved = expression - rest
        driving, reference = self._mean + expression[:, :POINTS], self._mean + rest[:, :POINTS]
        faces = self._lids.set_opening(self._mean + moved[:, :POINTS], self._mean, driving, reference)
        moved = torch.cat([faces - self._mean, moved[:, POINTS:]], 1)
        wanted = self._counted(moved) @ self._columns.T
        fitted = torch.from_numpy(fit_bounded(self._normal, wanted)).float()
        fitted[:, self._open] = (fitted[:, self._open] + fitted[:, self._close]).clamp_max(1)
        return self._with_openings(fitted, self._lids.shares(faces, self._mean))

    def _with_openings(self, weights: Tensor, wanted: Tensor) -> Tensor:
        """Return weights (B, E) whose eyes are open by shares (B, 2): a lid that nearly shuts looks like none."""
        weights = weights.clone()
        for kind in (BLINK, WIDE):
            places = [self.names.index(kind + side) for side in ("_R", "_L")]
            away = wanted - self._lids.shares(self._mean + self.offsets(weights)[:, :POINTS], self._mean)
            full = self._lids.shares(self._mean + self._offsets[places, :POINTS], self._mean).diagonal() - 1
            weights[:, places] = (weights[:, places] + away / full).clamp(0, 1)
        return weights

    def _counted(self, offsets: Tensor) -> Array:
        """Return offsets (B, 469, 3) and their measures as one row a frame, each as much as it counts: (B, R)."""
        measured = offsets.flatten(1) @ self._measures.flatten(1).T * MEASURES_COUNT**0.5
        return torch.cat([(offsets * self._counts).flatten(1), measured], 1).double().numpy()


def _measures(topology: FaceTopology) -> Tensor:
    """Return sums over points (M, 469, 3): how high eyes and mouth are, where its corners are, how brows are raised."""
    measures: list[Tensor] = []

    def add(axis: int, plus: Sequence[int], minus: Sequence[int]) -> None:
        row = torch.zeros(KEYPOINTS, 3)
        row[list(plus), axis] += 1 / len(plus)
        if minus:
            row[list(minus), axis] -= 1 / len(minus)
        measures.append(row)

    for eye, brow in enumerate(BROWS):
        corners = [int(LOOPS[eye, OUTER]), int(LOOPS[eye, INNER])]
        add(1, LOOPS[eye, LOWER].tolist(), LOOPS[eye, UPPER].tolist())
        for part in (brow[:2], brow[2:5]):  # the brow's outer and its inner end
            add(1, corners, part)
    right, left = OUTER_LIPS[0], OUTER_LIPS[10]
    add(1, INNER_LIPS[1:10], INNER_LIPS[11:])
    add(1, OUTER_LIPS[4:7], OUTER_LIPS[14:17])
    for axis, corner in itertools.product((0, 1), (right, left)):
        add(axis, [corner], [])
    return torch.stack(measures)


def _counts(topology: FaceTopology) -> Tensor:
    """Return how much an error of each point counts in a fit: (469, 3)."""
    counts = torch.ones(KEYPOINTS)
    for places, reach, count in (
        (topology.inner_lips, 0.4, LIPS_COUNT),
        (topology.eyes, 0.3, EYES_COUNT),
        (np.array(BROWS), 0.25, BROWS_COUNT),
    ):
        near = topology.region_mask(places, reach)
        counts[:POINTS] = torch.maximum(counts[:POINTS], 1 + (count - 1) * near)
    counts[POINTS:] = GAZE_COUNT
    return counts[:, None] * torch.tensor([1.0, 1.0, DEPTH_COUNTS])


@numba.njit(cache=True, nogil=True)
def fit_bounded(normal: Array, wanted: Array) -> Array:
    """Return x (B, E) in [0, 1] with the least x' N x / 2 - w' x, by coordinate descent. N: (E, E). w: (B, E)."""
    count = normal.shape[0]
    fitted = np.zeros_like(wanted)
    for frame in range(len(wanted)):
        x, slope = fitted[frame], -wanted[frame].copy()  # the slope is N x - w
        for _ in range(SWEEPS):
            for k in range(count):
                value = min(max(x[k] - slope[k] / normal[k, k], 0.0), 1.0)
                step = value - x[k]
                if step != 0.0:
                    x[k] = value
                    for j in range(count):
                        slope[j] += step * normal[k, j]
    return fitted

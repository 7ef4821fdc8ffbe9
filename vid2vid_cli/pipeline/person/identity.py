"""Fit the shape of one head to all views of it together: each view tells what the others cannot see."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from vid2vid_cli.arrays import Points
from vid2vid_cli.geometry.keypoints import Similarity, fit_similarity
from vid2vid_cli.models.compact.mesh.topology import FaceTopology
from vid2vid_cli.models.compact.model import CompactModel
from vid2vid_cli.models.compact.motion_layout import POINTS
from vid2vid_cli.pipeline.person.measuring import FaceReading

ROUNDS = 4  # of fitting poses to the shape and the shape to poses
DEPTH = 0.15  # how much a depth counts, which is guessed, beside a place that is seen
FACING = (0.0, 0.4)  # see FaceTopology.facing: points turned away are guessed, too
PRIOR = 0.5  # of a view, which counts for the mean of what each view tells by itself


def fit_identity(model: CompactModel, readings: Sequence[FaceReading]) -> Points:
    """Return the shape (468, 3) of the head at rest, on the canonical head. readings: of any number of views."""
    topology = model.topology
    heads = torch.from_numpy(np.stack([each.head for each in readings])).float()  # (V, 468, 3)
    # What is read as an expression is half the shape of a face: of that, each view keeps its movement alone.
    expressions = torch.cat([model.without_shape(each.motion)[:, :POINTS] for each in readings])
    seen = torch.from_numpy(np.stack([each.face.landmarks_px[:POINTS] for each in readings])).float()
    weights = _weights(topology, readings)  # (V, 468)
    own = heads - expressions
    shape = start = (weights[..., None] * own).sum(0) / weights.sum(0)[:, None]
    for _ in range(ROUNDS):
        poses = fit_similarity(shape[None] + expressions, seen, topology.rigid_weights)
        shape = _fit_shape(poses, seen, expressions, weights, start)
        # The canonical head's own pose and size: what the views agree on is their shape, not where heads are.
        level = fit_similarity(shape[None], start[None], topology.rigid_weights)
        shape = level.apply(shape[None])[0]
    return np.asarray(shape.numpy(), np.float32)


def _weights(topology: FaceTopology, readings: Sequence[FaceReading]) -> Tensor:
    """Return how much each point of each view counts: (V, 468), as far as it faces the camera."""
    facing = np.stack([topology.facing(each.face.landmarks_px[:POINTS].astype(np.float32)) for each in readings])
    shown = np.clip((facing - FACING[0]) / (FACING[1] - FACING[0]), 0.02, 1)
    sharp = np.array([each.facts.sharpness for each in readings])
    return torch.from_numpy(shown * (sharp / sharp.max())[:, None]).float()


def _fit_shape(poses: Similarity, seen: Tensor, expressions: Tensor, weights: Tensor, start: Tensor) -> Tensor:
    """Return the shape whose points, posed, lie nearest to where the views show them: (468, 3), least squares."""
    # In canonical units, so that large pictures do not count more than small ones.
    turned = poses.undo(seen) - expressions  # (V, 468, 3)
    toward = poses.rotation.transpose(-1, -2)  # its columns are the camera's axes on the head
    counts = torch.tensor([1.0, 1.0, DEPTH])
    metric = (toward * counts) @ toward.transpose(-1, -2)  # (V, 3, 3)
    left = torch.einsum("vp,vij->pij", weights, metric) + PRIOR * torch.eye(3)
    right = torch.einsum("vp,vij,vpj->pi", weights, metric, turned) + PRIOR * start
    fitted: Tensor = torch.linalg.solve(left, right)
    return fitted

"""Keypoints: posing them, fitting a pose to them, and maps of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vid2vid_cli.geometry.grid import corner_axis


class Similarity(NamedTuple):
    """A similarity x -> scale * R x + translation, batched: (B, 1), (B, 3, 3), (B, 3)."""

    scale: Tensor
    rotation: Tensor
    translation: Tensor

    def apply(self, points: Tensor) -> Tensor:
        """Map points (B or 1, K, 3) to (B, K, 3)."""
        turned = points @ self.rotation.transpose(-1, -2)
        return self.scale[:, None] * turned + self.translation[:, None]

    def undo(self, points: Tensor) -> Tensor:
        """Map points (B, K, 3) back: the inverse of `apply`."""
        return (points - self.translation[:, None]) / self.scale[:, None] @ self.rotation

    def apply_array(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map points (K, 3) by a similarity of batch 1."""
        return np.asarray(self.apply(torch.from_numpy(points)[None])[0])

    def undo_array(self, points: NDArray[np.float32]) -> NDArray[np.float32]:
        """Map points (K, 3) back by a similarity of batch 1."""
        return np.asarray(self.undo(torch.from_numpy(points)[None])[0])


def fit_similarity(points: Tensor, targets: Tensor, weights: Tensor) -> Similarity:
    """Fit the similarity that maps points to targets with the least weighted squared error (Umeyama 1991).

    points: (B or 1, K, 3). targets: (B, K, 3), any unit. weights: (K,), not negative, not all 0. Reflections are
    excluded.
    """
    # In float64, since nearly equal numbers are subtracted.
    p, q = points.double(), targets.double()
    w = (weights.double() / weights.double().sum())[:, None]
    p_mean, q_mean = (w * p).sum(1, keepdim=True), (w * q).sum(1, keepdim=True)
    p_centred, q_centred = p - p_mean, q - q_mean
    covariance = (w * q_centred).transpose(-1, -2) @ p_centred
    u, sizes, vh = torch.linalg.svd(covariance)
    # Where the best orthogonal map is a reflection, the axis of least variance is flipped back.
    mirror = torch.det(u @ vh).sign()
    signs = torch.stack([torch.ones_like(mirror), torch.ones_like(mirror), mirror], -1)
    rotation = (u * signs[:, None, :]) @ vh
    variance = (w * p_centred.square()).sum((1, 2))
    scale = ((sizes * signs).sum(-1) / variance)[:, None]
    translation = q_mean[:, 0] - scale * (rotation @ p_mean.transpose(-1, -2))[..., 0]
    kind = targets.dtype
    return Similarity(scale.to(kind), rotation.to(kind), translation.to(kind))


def gaussian_maps(keypoints: Tensor, size: Sequence[int], variance: float) -> Tensor:
    """Draw a Gaussian around each keypoint: exp(-|p - k|^2 / (2 variance)), 1 at its middle.

    keypoints: (B, K, 2 or 3), x, y and z, in [-1, 1] of the map as `corner_grid` counts. size: (height, width) or
    (depth, height, width). Returns (B, K, *size).
    """
    # A Gaussian is the product of one along each axis: only lines need the exponential.
    lines = [
        torch.exp((corner_axis(length, keypoints.device) - keypoints[..., axis, None]).square() / (-2 * variance))
        for axis, length in enumerate(reversed(size))
    ]
    x, y = lines[:2]
    plane = y[..., :, None] * x[..., None, :]
    return plane if len(lines) == 2 else lines[2][..., None, None] * plane[..., None, :, :]


def expected_points(probabilities: Tensor) -> Tensor:
    """Return the mean position in each map: (B, K, *size), each summing to 1, to (B, K, 2 or 3), x, y and z."""
    axes = range(2, probabilities.dim())
    # The marginals along x, y and z are enough for a mean.
    lines = [probabilities.sum([other for other in axes if other != axis]) for axis in reversed(axes)]
    return torch.stack([line @ corner_axis(line.shape[-1], line.device) for line in lines], -1)


def hull_measure(points: Tensor) -> float:
    """Return the area of the convex hull of points (K, 2), or the volume of that of points (K, 3); 0 when flat."""
    from scipy.spatial import ConvexHull, QhullError

    try:
        return float(ConvexHull(points.detach().cpu().double().numpy()).volume)
    except QhullError:
        return 0.0


def movement_scale(source: Tensor, reference: Tensor) -> float:
    """Return the ratio of a source's movement to a driving's, from the hulls of their keypoints (K, 2 or 3)."""
    # The square root for volumes too: published results of both methods were made like this.
    measures = hull_measure(source), hull_measure(reference)
    return math.sqrt(measures[0] / measures[1]) if all(measures) else 1.0

"""Keypoints in three dimensions: posing them and finding the pose of given ones."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


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
    """Fit the similarity that takes points to targets with least weighted squared error (Umeyama 1991).

    points: (B or 1, K, 3). targets: (B, K, 3), any unit. weights: (K,), not negative, not all 0.
    Reflections are excluded. Runs in float64, since it subtracts nearly equal numbers.
    """
    p, q = points.double(), targets.double()
    w = (weights.double() / weights.double().sum())[:, None]
    p_mean, q_mean = (w * p).sum(1, keepdim=True), (w * q).sum(1, keepdim=True)
    p_centred, q_centred = p - p_mean, q - q_mean
    covariance = (w * q_centred).transpose(-1, -2) @ p_centred
    u, sizes, vh = torch.linalg.svd(covariance)
    mirror = torch.det(u @ vh).sign()
    signs = torch.stack([torch.ones_like(mirror), torch.ones_like(mirror), mirror], -1)
    rotation = (u * signs[:, None, :]) @ vh
    variance = (w * p_centred.square()).sum((1, 2))
    scale = ((sizes * signs).sum(-1) / variance)[:, None]
    translation = q_mean[:, 0] - scale * (rotation @ p_mean.transpose(-1, -2))[..., 0]
    kind = targets.dtype
    return Similarity(scale.to(kind), rotation.to(kind), translation.to(kind))

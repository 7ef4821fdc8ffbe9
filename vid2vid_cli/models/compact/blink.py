"""Blinks: the source's lids meet when the driving's do.

Expressions are added as differences. A small eye that shuts would leave a slit on a portrait with large eyes, and a
large one would push the lids of a small-eyed portrait past each other. Each eye is therefore opened by the driving's
share: its opening over that at rest.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vid2vid_cli.models.compact.mesh.topology import FaceTopology

WIDEST = 1.35  # most that an eye opens, over its opening in the source
REACH = 0.16  # eye distances: how far above a lid the skin follows it


class LidContact:
    """Sets the opening of both eyes in canonical keypoints by moving the upper lids."""

    def __init__(self, topology: FaceTopology) -> None:
        """Find upper and lower lids, and the skin that follows each point of an upper lid."""
        self._eyes = []
        for loop in torch.from_numpy(topology.eyes).long():
            half = len(loop) // 2
            one, other = loop[1:half], loop[half + 1 :].flip(0)
            is_upper = topology.canonical[one, 1].mean() < topology.canonical[other, 1].mean()
            upper, lower = (one, other) if is_upper else (other, one)
            self._eyes.append((upper, lower, self._followers(topology.canonical, upper, lower)))

    @staticmethod
    def _followers(canonical: Tensor, upper: Tensor, lower: Tensor) -> Tensor:
        """Return how much each point follows each point of the upper lid: (468, U); rows sum to at most 1."""
        distance = torch.cdist(canonical[:, :2], canonical[upper, :2])
        nearest = distance.min(1, keepdim=True).values
        share = torch.exp(-((distance - nearest) / 0.03).square())
        share = share / share.sum(1, keepdim=True)
        fade = (1 - nearest / REACH).clamp(0, 1).square()
        below = canonical[:, 1:2] > canonical[upper, 1].max() + 0.02  # the lower lid's skin stays
        follow = torch.where(below, torch.zeros_like(share), share * fade)
        follow[upper] = torch.eye(len(upper))
        follow[lower] = 0.0
        return follow

    def set_opening(self, keypoints: Tensor, own: Tensor, driving: Tensor, reference: Tensor) -> Tensor:
        """Return canonical keypoints (B, 468, 3) with eyes open by the driving's share of the source's own opening.

        own: (1, 468, 3), the source's. driving, reference: (B or 1, 468, 3). All canonical, with expression.
        """
        out = keypoints.clone()
        for upper, lower, follow in self._eyes:
            rest = _gaps(reference, upper, lower).mean(1, keepdim=True).clamp_min(1e-3)
            share = (_gaps(driving, upper, lower).mean(1, keepdim=True) / rest).clamp(0, WIDEST)
            wanted = _gaps(own, upper, lower) * share
            lower_by = (_gaps(keypoints, upper, lower) - wanted) @ follow.T
            out[..., 1] += lower_by
        return out


def _gaps(points: Tensor, upper: Tensor, lower: Tensor) -> Tensor:
    """Return the height of the opening at each pair of lid points: (B, U)."""
    return points[:, lower, 1] - points[:, upper, 1]

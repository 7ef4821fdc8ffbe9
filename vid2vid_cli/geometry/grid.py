"""Sampling grids in [-1, 1]."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def corner_grid(size: Sequence[int], device: torch.device | str = "cpu") -> Tensor:
    """Return the positions of a map's cells where -1 and 1 are the CENTRES of the first and the last cell.

    size: (height, width) or (depth, height, width). Returns (*size, 2 or 3): x, y and z. The networks of the
    first-order motion model and of face-vid2vid place their keypoints like this, yet sample with the outer edges at -1
    and 1. Both conventions are needed, and this grid shrinks what it samples by half a cell at the border.
    """
    axes = [corner_axis(length, device) for length in size]
    # meshgrid gives rows first, a grid has x first.
    return torch.stack(torch.meshgrid(*axes, indexing="ij")[::-1], -1)


def corner_axis(length: int, device: torch.device | str = "cpu") -> Tensor:
    """Return the positions (length,) of cells along one axis of `corner_grid`."""
    return torch.arange(length, device=device, dtype=torch.float32) * (2 / (length - 1)) - 1

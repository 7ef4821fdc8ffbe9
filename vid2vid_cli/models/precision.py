"""Networks in the requested precision, without losing the precision of their checkpoint."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)


def is_rounded(network: nn.Module, dtype: torch.dtype) -> bool:
    """Say whether a network's numbers were rounded to a precision coarser than `dtype`."""
    held = next(network.parameters()).dtype
    return torch.promote_types(held, dtype) != held


def moved(network: Network, device: torch.device, dtype: torch.dtype | None = None) -> Network:
    """Return a network on a device and in a precision; None leaves the precision as it is.

    The given network stays as it is, since other models may compute with it. What needs no change is shared.
    """
    tensors: tuple[Tensor, ...] = (*network.parameters(), *network.buffers())
    return copy.deepcopy(network, {id(tensor): _moved(tensor, device, dtype) for tensor in tensors})


def _moved(tensor: Tensor, device: torch.device, dtype: torch.dtype | None) -> Tensor:
    there = tensor.to(device, dtype if tensor.is_floating_point() else None)
    if there is tensor or not isinstance(tensor, nn.Parameter):
        return there
    return nn.Parameter(there, requires_grad=False)

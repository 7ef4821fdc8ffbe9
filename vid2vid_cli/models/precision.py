"""Networks in the precision that is asked for, without losing what their checkpoint holds."""

from __future__ import annotations

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn

Network = TypeVar("Network", bound=nn.Module)


def is_rounded(network: nn.Module, dtype: torch.dtype) -> bool:
    """Say whether a network's numbers have been rounded to a precision that is coarser than another."""
    held = next(network.parameters()).dtype
    return torch.promote_types(held, dtype) != held


def moved(network: Network, device: torch.device, dtype: torch.dtype | None = None) -> Network:
    """Return a network on a device, its numbers in a precision; None leaves them in theirs.

    The network that is given stays as it is, since other models may compute with it. What needs no change is shared.
    """
    tensors: tuple[Tensor, ...] = (*network.parameters(), *network.buffers())
    return copy.deepcopy(network, {id(tensor): _moved(tensor, device, dtype) for tensor in tensors})


def _moved(tensor: Tensor, device: torch.device, dtype: torch.dtype | None) -> Tensor:
    there = tensor.to(device, dtype if tensor.is_floating_point() else None)
    if there is tensor or not isinstance(tensor, nn.Parameter):
        return there
    return nn.Parameter(there, requires_grad=False)

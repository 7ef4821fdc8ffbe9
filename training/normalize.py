"""Batch normalisation for training alone: each convolution gets one, and afterwards it is folded into its weights.

So the networks that are shipped know nothing of it and lose no time with it (Ioffe and Szegedy 2015).
"""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

MOMENTUM = 0.02


class NormedConv(nn.Module):
    """A convolution and the normalisation behind it."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv, self.norm = conv, nn.BatchNorm2d(conv.out_channels, momentum=MOMENTUM)

    @property
    def weight(self) -> Tensor:
        """Give the convolution's weight."""
        return self.conv.weight

    def forward(self, x: Tensor) -> Tensor:
        """Map as the convolution does, normalised."""
        y: Tensor = self.norm(self.conv(x))
        return y

    def folded(self) -> nn.Conv2d:
        """Return one convolution that does the same with the running statistics."""
        return torch.nn.utils.fuse_conv_bn_eval(self.conv.eval(), self.norm.eval())


def add_norms(module: nn.Module, leave_out: str = "leave") -> nn.Module:
    """Put a normalisation behind each convolution in a module, but for the last layers. Changes the module."""
    for name, child in module.named_children():
        if isinstance(child, nn.Conv2d) and name != leave_out:
            setattr(module, name, NormedConv(child))
        else:
            add_norms(child, leave_out)
    return module


def fold_norms(module: nn.Module) -> nn.Module:
    """Return a copy of a module with all normalisations folded into the convolutions."""
    return _fold(copy.deepcopy(module))


def _fold(module: nn.Module) -> nn.Module:
    for name, child in module.named_children():
        if isinstance(child, NormedConv):
            setattr(module, name, child.folded())
        else:
            _fold(child)
    return module

"""The blocks of the mesh and the eye network in other loops: the same answers on the processor in half the time.

The maps are so small that torch takes longer to begin a layer than to compute it. Here a block is one or two matrix
products, and loops compiled by numba that take several of its steps at once. Maps are laid out channels last.
"""

from __future__ import annotations

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vid2vid_cli.face.blazeface import BlazeBlock, SameConv
from vid2vid_cli.face.eyenet import WaistBlock

LARGE = 32  # side of maps from which torch's own convolution of each channel is the quicker one

Maps = NDArray[np.float32]


def quicken(network: nn.Module) -> None:
    """Put quick blocks in the place of the plain ones, within a network on the processor that learns no more."""
    network.requires_grad_(False)
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, WaistBlock):
                setattr(parent, name, QuickWaistBlock(child))
            elif isinstance(child, BlazeBlock) and type(child) is BlazeBlock and isinstance(child.activation, nn.PReLU):
                setattr(parent, name, QuickBlazeBlock(child))


class QuickWaistBlock(nn.Module):
    """A WaistBlock of fixed weights."""

    def __init__(self, block: WaistBlock) -> None:
        super().__init__()
        self._side = block.stride  # of the cells of pixels that it narrows to one
        self._narrow = _matrix(block.narrow)
        self._narrow_end = _array(block.narrow.bias), _array(block.narrow_activation.weight)
        self._depthwise = Depthwise(block.depthwise)
        self._widen = _matrix(block.widen)
        self._end = _array(block.widen.bias), _array(block.activation.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Go on from features (B, C, H, W)."""
        maps = x.permute(0, 2, 3, 1)
        narrow = _gather_cells(maps, self._side) @ self._narrow
        _activate(narrow.numpy(), *self._narrow_end)
        branch: Tensor = self._depthwise(narrow) @ self._widen
        _add(branch, maps)
        _activate(branch.numpy(), *self._end)
        return branch.permute(0, 3, 1, 2)


class QuickBlazeBlock(nn.Module):
    """A BlazeBlock of fixed weights with slopes."""

    def __init__(self, block: BlazeBlock) -> None:
        super().__init__()
        self._depthwise = Depthwise(block.depthwise)
        self._pointwise = _matrix(block.pointwise)
        self._end = _array(block.pointwise.bias), _array(block.activation.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Go on from features (B, C, H, W)."""
        maps = x.permute(0, 2, 3, 1)
        branch: Tensor = self._depthwise(maps) @ self._pointwise
        _add(branch, maps)
        _activate(branch.numpy(), *self._end)
        return branch.permute(0, 3, 1, 2)


class Depthwise(nn.Module):
    """A SameConv of 3x3 of each channel with its own weights, of maps (B, H, W, C)."""

    def __init__(self, conv: SameConv) -> None:
        super().__init__()
        self._conv, self._stride = conv, conv.stride[0]
        self._weight = np.ascontiguousarray(conv.weight.detach()[:, 0].permute(1, 2, 0).numpy())
        self._bias = _array(conv.bias)

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps (B, H / stride, W / stride, C)."""
        count, height, width, channels = maps.shape
        if self._stride == 1 and width >= LARGE:
            convolved: Tensor = self._conv(maps.permute(0, 3, 1, 2))
            return convolved.permute(0, 2, 3, 1)
        result = torch.empty(count, height // self._stride, width // self._stride, channels)
        _convolve(maps.contiguous().numpy(), self._weight, self._bias, self._stride, result.numpy())
        return result


def _array(values: Tensor | nn.Module | None) -> NDArray[np.float32]:
    assert isinstance(values, Tensor)
    return values.detach().numpy().copy()


def _matrix(conv: nn.Conv2d) -> Tensor:
    """Return the weights of a convolution whose kernel is as large as its stride: (cells * channels in, out)."""
    return conv.weight.detach().permute(2, 3, 1, 0).reshape(-1, conv.out_channels).contiguous()


def _gather_cells(maps: Tensor, side: int) -> Tensor:
    """Put the channels of cells of side x side pixels one after the other: (B, H / side, W / side, side^2 * C)."""
    if side == 1:
        return maps
    count, height, width, channels = maps.shape
    cells = maps.reshape(count, height // side, side, width // side, side, channels).transpose(2, 3)
    return cells.reshape(count, height // side, width // side, -1)


def _add(branch: Tensor, maps: Tensor) -> None:
    """Add a block's input to its branch in place, pooled to its size; channels that it lacks are 0."""
    if maps.shape[1:3] == branch.shape[1:3]:
        branch[..., : maps.shape[3]] += maps
    else:
        _add_pooled(branch.numpy(), maps.contiguous().numpy())


@numba.njit(cache=True, nogil=True, fastmath=True)
def _convolve(maps: Maps, weight: Maps, bias: Maps, stride: int, convolved: Maps) -> None:
    count, height, width, channels = maps.shape
    before = 1 if stride == 1 else 0  # zeros that SameConv pads on the left and at the top
    for n in range(count):
        for y in range(convolved.shape[1]):
            top = y * stride - before
            for x in range(convolved.shape[2]):
                left = x * stride - before
                out = convolved[n, y, x]
                if top >= 0 and left >= 0 and top + 3 <= height and left + 3 <= width:
                    a, b, c = maps[n, top], maps[n, top + 1], maps[n, top + 2]
                    for k in range(channels):
                        out[k] = (
                            bias[k]
                            + a[left, k] * weight[0, 0, k]
                            + a[left + 1, k] * weight[0, 1, k]
                            + a[left + 2, k] * weight[0, 2, k]
                            + b[left, k] * weight[1, 0, k]
                            + b[left + 1, k] * weight[1, 1, k]
                            + b[left + 2, k] * weight[1, 2, k]
                            + c[left, k] * weight[2, 0, k]
                            + c[left + 1, k] * weight[2, 1, k]
                            + c[left + 2, k] * weight[2, 2, k]
                        )
                    continue
                out[:] = bias
                for i in range(max(0, -top), min(3, height - top)):
                    for j in range(max(0, -left), min(3, width - left)):
                        for k in range(channels):
                            out[k] += maps[n, top + i, left + j, k] * weight[i, j, k]


@numba.njit(cache=True, nogil=True, fastmath=True)
def _activate(maps: Maps, bias: Maps, slopes: Maps) -> None:
    """Add the bias and apply a PReLU, in place."""
    rows = maps.reshape(-1, maps.shape[3])
    for i in range(rows.shape[0]):
        for k in range(rows.shape[1]):
            value = rows[i, k] + bias[k]
            rows[i, k] = value if value > 0 else value * slopes[k]


@numba.njit(cache=True, nogil=True, fastmath=True)
def _add_pooled(branch: Maps, maps: Maps) -> None:
    """Add the largest of each two by two pixels of maps with as many channels as the branch, or fewer."""
    count, height, width, _ = branch.shape
    for n in range(count):
        for y in range(height):
            upper, lower = maps[n, 2 * y], maps[n, 2 * y + 1]
            for x in range(width):
                out = branch[n, y, x]
                for k in range(maps.shape[3]):
                    above, below = max(upper[2 * x, k], upper[2 * x + 1, k]), max(lower[2 * x, k], lower[2 * x + 1, k])
                    out[k] += max(above, below)

"""Fast twins of the blocks of the mesh and the iris network: the same results on the CPU in half the time.

The maps are so small that torch takes longer to start a layer than to compute it. Here a block is one or two matrix
products, and loops compiled by numba that fuse its other steps. Maps are channels last: (B, H, W, C).
"""

from __future__ import annotations

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vid2vid_cli.face.blazeface import BlazeBlock, SameConv
from vid2vid_cli.face.eyenet import BottleneckBlock

LARGE_MAP = 32  # side of maps from which torch's own depthwise convolution is faster

Maps = NDArray[np.float32]


def use_fast_blocks(network: nn.Module) -> None:
    """Replace the blocks of a network on the CPU with their fast twins. It cannot be trained afterwards."""
    network.requires_grad_(False)
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, BottleneckBlock):
                setattr(parent, name, FastBottleneckBlock(child))
            elif isinstance(child, BlazeBlock) and type(child) is BlazeBlock and isinstance(child.activation, nn.PReLU):
                setattr(parent, name, FastBlazeBlock(child))


class FastBottleneckBlock(nn.Module):
    """A `BottleneckBlock` with fixed weights."""

    def __init__(self, block: BottleneckBlock) -> None:
        super().__init__()
        self._stride = block.stride
        self._narrow = _matrix(block.narrow)
        self._narrow_bias, self._narrow_slopes = _array(block.narrow.bias), _array(block.narrow_activation.weight)
        self._depthwise = FastSameConv(block.depthwise)
        self._widen = _matrix(block.widen)
        self._bias, self._slopes = _array(block.widen.bias), _array(block.activation.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Map features (B, C, H, W) to (B, C', H / stride, W / stride)."""
        maps = x.permute(0, 2, 3, 1)
        narrow = _gather_cells(maps, self._stride) @ self._narrow
        _activate(narrow.numpy(), self._narrow_bias, self._narrow_slopes)
        branch: Tensor = self._depthwise(narrow) @ self._widen
        _add(branch, maps)
        # Adding the input first is the same: the bias belongs to the branch, and the PReLU comes after the sum.
        _activate(branch.numpy(), self._bias, self._slopes)
        return branch.permute(0, 3, 1, 2)


class FastBlazeBlock(nn.Module):
    """A `BlazeBlock` with slopes and fixed weights."""

    def __init__(self, block: BlazeBlock) -> None:
        super().__init__()
        self._depthwise = FastSameConv(block.depthwise)
        self._pointwise = _matrix(block.pointwise)
        self._bias, self._slopes = _array(block.pointwise.bias), _array(block.activation.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Map features (B, C, H, W) to (B, C', H / stride, W / stride)."""
        maps = x.permute(0, 2, 3, 1)
        branch: Tensor = self._depthwise(maps) @ self._pointwise
        _add(branch, maps)
        # Adding the input first is the same: the bias belongs to the branch, and the PReLU comes after the sum.
        _activate(branch.numpy(), self._bias, self._slopes)
        return branch.permute(0, 3, 1, 2)


class FastSameConv(nn.Module):
    """A depthwise 3x3 `SameConv` with fixed weights, of maps (B, H, W, C)."""

    def __init__(self, conv: SameConv) -> None:
        super().__init__()
        self._conv, self._stride = conv, conv.stride[0]
        # (3, 3, C), so that the innermost loop, over channels, reads contiguous memory
        self._weight = np.ascontiguousarray(conv.weight.detach()[:, 0].permute(1, 2, 0).numpy())
        self._bias = _array(conv.bias)

    def forward(self, maps: Tensor) -> Tensor:
        """Convolve maps (B, H, W, C) to (B, H / stride, W / stride, C)."""
        count, height, width, channels = maps.shape
        if self._stride == 1 and width >= LARGE_MAP:
            convolved: Tensor = self._conv(maps.permute(0, 3, 1, 2))
            return convolved.permute(0, 2, 3, 1)
        result = torch.empty(count, height // self._stride, width // self._stride, channels)
        _convolve(maps.contiguous().numpy(), self._weight, self._bias, self._stride, result.numpy())
        return result


def _array(values: Tensor | nn.Module | None) -> NDArray[np.float32]:
    assert isinstance(values, Tensor)
    return values.detach().numpy().copy()


def _matrix(conv: nn.Conv2d) -> Tensor:
    """Return the weights of a convolution whose kernel is as large as its stride as a matrix (side^2 * C in, C out)."""
    return conv.weight.detach().permute(2, 3, 1, 0).reshape(-1, conv.out_channels).contiguous()


def _gather_cells(maps: Tensor, side: int) -> Tensor:
    """Concatenate the channels of each cell of side x side pixels: (B, H / side, W / side, side^2 * C)."""
    if side == 1:
        return maps
    count, height, width, channels = maps.shape
    cells = maps.reshape(count, height // side, side, width // side, side, channels).transpose(2, 3)
    return cells.reshape(count, height // side, width // side, -1)


def _add(branch: Tensor, maps: Tensor) -> None:
    """Add a block's input to its branch, in place: pooled to the branch's size, missing channels counted as 0."""
    if maps.shape[1:3] == branch.shape[1:3]:
        branch[..., : maps.shape[3]] += maps
    else:
        _add_pooled(branch.numpy(), maps.contiguous().numpy())


@numba.njit(cache=True, nogil=True, fastmath=True)
def _convolve(maps: Maps, weight: Maps, bias: Maps, stride: int, convolved: Maps) -> None:
    """Convolve each channel of maps (B, H, W, C) with its own kernel, weight (3, 3, C), into `convolved`."""
    count, height, width, channels = maps.shape
    padding = 1 if stride == 1 else 0  # on the left and at the top, as SameConv pads
    for n in range(count):
        for y in range(convolved.shape[1]):
            top = y * stride - padding
            for x in range(convolved.shape[2]):
                left = x * stride - padding
                out = convolved[n, y, x]
                # Away from the border, the nine taps are unrolled so that the loop over channels vectorises.
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
    """Add the bias (C,) and apply a PReLU with slopes (C,), in place."""
    rows = maps.reshape(-1, maps.shape[3])
    for i in range(rows.shape[0]):
        for k in range(rows.shape[1]):
            value = rows[i, k] + bias[k]
            rows[i, k] = value if value > 0 else value * slopes[k]


@numba.njit(cache=True, nogil=True, fastmath=True)
def _add_pooled(branch: Maps, maps: Maps) -> None:
    """Add the 2x2 max-pooled maps to the branch, in place. The branch may have more channels."""
    count, height, width, _ = branch.shape
    for n in range(count):
        for y in range(height):
            upper, lower = maps[n, 2 * y], maps[n, 2 * y + 1]
            for x in range(width):
                out = branch[n, y, x]
                for k in range(maps.shape[3]):
                    above, below = max(upper[2 * x, k], upper[2 * x + 1, k]), max(lower[2 * x, k], lower[2 * x + 1, k])
                    out[k] += max(above, below)

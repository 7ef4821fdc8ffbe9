"""Fast twins of the attention mesh's layers: the same results on the CPU in a quarter of the time.

Its maps are so small that most of torch's time goes into starting operations. Here each block is one matrix product,
and loops compiled by numba that fuse its other steps. Maps are channels last: (B, H, W, C). Layers of one shape that
work beside each other on maps of their own, such as those of three regions, run as one: as G groups, their maps one
behind the other, (G * B, H, W, C).
"""

from __future__ import annotations

from collections.abc import Sequence

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from vid2vid_cli.face.attention_mesh import Pointwise
from vid2vid_cli.face.blazeface import BlazeBlock, SameConv

LARGE_MAP = 48  # side of maps from which torch's own depthwise convolution is faster

Maps = NDArray[np.float32]


class FastBlazeBlock(nn.Module):
    """One or more `BlazeBlock`s of one shape, with slopes and fixed weights."""

    def __init__(self, *blocks: BlazeBlock) -> None:
        super().__init__()
        self._depthwise = FastDepthwise([block.depthwise for block in blocks])
        self._pointwise = matrices([block.pointwise for block in blocks])
        self._bias = arrays([block.pointwise.bias for block in blocks])
        self._slopes = arrays([block.activation.get_parameter("weight") for block in blocks])

    def forward(self, x: Tensor) -> Tensor:
        """Map features (G * B, C, H, W) to (G * B, C', H / stride, W / stride)."""
        maps = x.permute(0, 2, 3, 1).contiguous()
        branch = multiply(self._depthwise(maps), self._pointwise)
        _finish(branch.numpy(), maps.numpy(), self._bias, self._slopes)
        return branch.permute(0, 3, 1, 2)


class FastPointwise(nn.Module):
    """One or more `Pointwise` layers of one shape with fixed weights."""

    def __init__(self, *layers: Pointwise) -> None:
        super().__init__()
        self._pointwise = matrices([layer.convolution for layer in layers])
        self._bias = arrays([layer.convolution.bias for layer in layers])
        self._slopes = arrays([layer.activation.weight for layer in layers])

    def forward(self, x: Tensor) -> Tensor:
        """Map features (G * B, C, H, W) to (G * B, C', H, W)."""
        result = multiply(x.permute(0, 2, 3, 1), self._pointwise)
        _activate(result.numpy(), self._bias, self._slopes)
        return result.permute(0, 3, 1, 2)


class FastFullyConnected(nn.Module):
    """One or more convolutions that span a whole map, with fixed weights. Some may give fewer values than others."""

    def __init__(self, *convs: nn.Conv2d) -> None:
        super().__init__()
        # (values, H, W, C): in the order in which the maps lie in memory
        weights = [conv.weight.detach().permute(0, 2, 3, 1).reshape(conv.out_channels, -1) for conv in convs]
        biases = [conv.bias.detach() for conv in convs if conv.bias is not None]
        self._matrix = pad_sequence(weights, batch_first=True).transpose(1, 2).contiguous()
        self._bias = pad_sequence(biases, batch_first=True)[:, None]

    def forward(self, x: Tensor) -> Tensor:
        """Map features (G * B, C, H, W) to (G * B, V, 1, 1), V the most values of any: behind fewer lie zeros."""
        groups, _, most = self._matrix.shape
        flat = x.permute(0, 2, 3, 1).reshape(groups, len(x) // groups, -1)
        return torch.baddbmm(self._bias, flat, self._matrix).reshape(len(x), most, 1, 1)


class FastDepthwise(nn.Module):
    """One or more depthwise 3x3 `SameConv`s of one shape with fixed weights, of maps (G * B, H, W, C)."""

    def __init__(self, convs: Sequence[SameConv]) -> None:
        super().__init__()
        self._convs, self._stride = convs, convs[0].stride[0]
        # (G, 3, 3, C), so that the innermost loop, over channels, reads contiguous memory
        weights = torch.stack([conv.weight.detach()[:, 0].permute(1, 2, 0) for conv in convs])
        self._weights = np.ascontiguousarray(weights.numpy())
        self._bias = arrays([conv.bias for conv in convs])

    def forward(self, maps: Tensor) -> Tensor:
        """Convolve maps (G * B, H, W, C) to (G * B, H / stride, W / stride, C)."""
        count, height, width, channels = maps.shape
        if self._stride == 1 and width >= LARGE_MAP and len(self._convs) == 1:
            convolved: Tensor = self._convs[0](maps.permute(0, 3, 1, 2))
            return convolved.permute(0, 2, 3, 1)
        result = torch.empty(count, height // self._stride, width // self._stride, channels)
        _convolve(maps.numpy(), self._weights, self._bias, self._stride, result.numpy())
        return result


def multiply(maps: Tensor, matrix: Tensor) -> Tensor:
    """Multiply the channels of maps (G * B, H, W, C) with each group's matrix (G, C, C')."""
    groups = len(matrix)
    if groups == 1:
        return maps @ matrix[0]
    return (maps.reshape(groups, -1, maps.shape[3]) @ matrix).reshape(*maps.shape[:3], -1)


def matrices(convs: Sequence[nn.Conv2d]) -> Tensor:
    """Return the weights of 1x1 convolutions as matrices: (G, C, C')."""
    return torch.stack([conv.weight.detach()[:, :, 0, 0].T for conv in convs]).contiguous()


def arrays(values: Sequence[Tensor | None]) -> Maps:
    """Return the parameters (C,) of the groups: (G, C)."""
    return np.stack([value.detach().numpy() for value in values if value is not None])


@numba.njit(cache=True, nogil=True, fastmath=True)
def _convolve(maps: Maps, weights: Maps, biases: Maps, stride: int, convolved: Maps) -> None:
    """Convolve each channel of maps (G * B, H, W, C) with its own kernel, weights (G, 3, 3, C), into `convolved`."""
    count, height, width, channels = maps.shape
    padding = 1 if stride == 1 else 0  # on the left and at the top, as SameConv pads
    for n in range(count):
        group = n * len(weights) // count
        weight, bias = weights[group], biases[group]
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
def _activate(maps: Maps, biases: Maps, slopes: Maps) -> None:
    """Add the groups' biases (G, C) and apply PReLUs with slopes (G, C), in place."""
    for n in range(maps.shape[0]):
        group = n * len(biases) // maps.shape[0]
        rows = maps[n].reshape(-1, maps.shape[3])
        for i in range(rows.shape[0]):
            for k in range(rows.shape[1]):
                value = rows[i, k] + biases[group, k]
                rows[i, k] = value if value > 0 else value * slopes[group, k]


@numba.njit(cache=True, nogil=True, fastmath=True)
def _finish(branch: Maps, maps: Maps, biases: Maps, slopes: Maps) -> None:
    """Add a block's input and bias to its branch (G * B, H, W, C') and activate it, in place.

    maps: the input, as large as the branch or twice as large, then it is 2x2 max-pooled. Channels that it lacks are 0.
    """
    count, height, width, _ = branch.shape
    step, known = maps.shape[1] // height, maps.shape[3]
    for n in range(count):
        group = n * len(biases) // count
        for y in range(height):
            upper, lower = maps[n, step * y], maps[n, step * y + step - 1]
            for x in range(width):
                out, left, right = branch[n, y, x], step * x, step * x + step - 1
                if step == 1:
                    for k in range(known):
                        out[k] += upper[x, k]
                else:
                    for k in range(known):
                        above, below = max(upper[left, k], upper[right, k]), max(lower[left, k], lower[right, k])
                        out[k] += max(above, below)
                for k in range(out.shape[0]):
                    value = out[k] + biases[group, k]
                    out[k] = value if value > 0 else value * slopes[group, k]

"""The fast twin of the matte network on the CPU: the same answers in a third of the time.

As in fast_blocks.py, most of torch's time goes into starting operations and into reading maps again. Here, loops
compiled by numba fuse them. Maps are channels last, (H, W, C). Three things are computed elsewhere than in the network,
with the same result: weights of channels go into the matrix that follows, a coarse level is mixed before it is
enlarged, and the mean of a sum of maps is the sum of their means, since enlarging keeps a mean.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vid2vid_cli.face.matte_network import Excite, MatteNetwork, MobileBlock, Refine

Array = NDArray[np.float32]


class Linear(NamedTuple):
    """A 1x1 convolution as a matrix (C, C') and a bias (C',)."""

    matrix: Array
    bias: Array

    @classmethod
    def of(cls, conv: nn.Module) -> Linear:
        """Take the numbers of a convolution."""
        weight, bias = conv.get_parameter("weight").detach().float(), conv.get_parameter("bias").detach().float()
        return cls(np.ascontiguousarray(weight[:, :, 0, 0].T.numpy()), bias.numpy())

    def __call__(self, maps: Array, weights: Array | None = None) -> Array:
        """Map features (H, W, C) to (H, W, C'). weights: (C,), of the channels; None for 1."""
        matrix = self.matrix if weights is None else weights[:, None] * self.matrix
        flat = torch.from_numpy(maps.reshape(-1, maps.shape[-1]))
        mapped = torch.addmm(torch.from_numpy(self.bias), flat, torch.from_numpy(matrix))
        return mapped.numpy().reshape(*maps.shape[:-1], -1)


class Depthwise(NamedTuple):
    """A convolution of each channel by itself: weights (K, K, C), bias (C,) and stride."""

    weights: Array
    bias: Array
    stride: int

    @classmethod
    def of(cls, conv: nn.Conv2d) -> Depthwise:
        """Take the numbers of a convolution."""
        weight, bias = conv.get_parameter("weight").detach().float(), conv.get_parameter("bias").detach().float()
        return cls(np.ascontiguousarray(weight[:, 0].permute(1, 2, 0).numpy()), bias.numpy(), conv.stride[0])


class FastExcite:
    """`Excite`, from means (C,) to weights (C,)."""

    def __init__(self, excite: Excite) -> None:
        self._squeeze, self._excite = Linear.of(excite.squeeze), Linear.of(excite.excite)

    def __call__(self, means: Array) -> Array:
        """Return the weights of channels with these means."""
        seen = np.maximum(means @ self._squeeze.matrix + self._squeeze.bias, 0)
        return sigmoid(seen @ self._excite.matrix + self._excite.bias)


class FastMobileBlock:
    """`MobileBlock` with fixed weights."""

    def __init__(self, block: MobileBlock) -> None:
        self._expand, self._project = Linear.of(block.expand), Linear.of(block.project)
        self._depthwise = Depthwise.of(block.depthwise)
        self._weights = None if block.weights is None else FastExcite(block.weights)
        self._is_relu, self._has_shortcut = block.is_relu, block.has_shortcut

    def __call__(self, maps: Array) -> Array:
        """Map features (H, W, C) to (H / stride, W / stride, C')."""
        inside = self._expand(maps)
        activate(inside, self._is_relu)
        depthwise = self._depthwise
        side = inside.shape[0] // depthwise.stride
        convolved = np.empty((side, side, inside.shape[2]), np.float32)
        means = _convolve(inside, depthwise, self._is_relu, convolved)
        projected = self._project(convolved, None if self._weights is None else self._weights(means))
        if self._has_shortcut:
            projected += maps
        return projected


class FastRefine:
    """`Refine` with fixed weights."""

    def __init__(self, refine: Refine) -> None:
        self._from_coarse, self._mix = Linear.of(refine.from_coarse), Linear.of(refine.mix)
        self._weights, self._depthwise = FastExcite(refine.weights), Depthwise.of(refine.depthwise)

    def __call__(self, coarse: Array, fine: Array) -> Array:
        """Merge features (H, W, coarse) and (2 H, 2 W, fine) to (2 H, 2 W, fine)."""
        coarse = self._from_coarse(coarse)
        weights = self._weights(_mean(fine) + _mean(coarse))
        mixed = self._mix(fine, weights)
        _add_enlarged(coarse @ self._mix.matrix, mixed)
        refined = np.empty_like(mixed)
        _convolve(mixed, self._depthwise, True, refined)
        refined += mixed
        return refined


class FastMatte:
    """`MatteNetwork` with fixed weights, on the CPU in float32."""

    def __init__(self, network: MatteNetwork) -> None:
        self._stem = network.stem  # the one layer for which torch has a fast way
        self._block64 = FastMobileBlock(network.block64)
        self._blocks32 = fast_blocks(network.blocks32)
        self._blocks16 = fast_blocks(network.blocks16)
        self._all16, self._gate16 = Linear.of(network.all16), Linear.of(network.gate16)
        self._refine32, self._refine64 = FastRefine(network.refine32), FastRefine(network.refine64)
        self._refine128 = FastRefine(network.refine128)
        answer = network.answer.weight.detach().float()[:, 0]  # (16, 2, 2): the four pixels that each cell becomes
        bias = network.answer.get_parameter("bias").detach().float().numpy()
        self._answer = Linear(np.ascontiguousarray(answer.flatten(1).numpy()), np.repeat(bias, 4))

    def __call__(self, image: Tensor) -> Tensor:
        """Do what the network does: images (B, 3, 256, 256) give masks (B, 1, 256, 256)."""
        seen = self._stem(image.float().contiguous(memory_format=torch.channels_last))
        maps = nn.functional.hardswish(seen, inplace=True).permute(0, 2, 3, 1).contiguous().numpy()
        return torch.from_numpy(np.stack([self._mask(level128) for level128 in maps])[:, None])

    def _mask(self, level128: Array) -> Array:
        """Return the mask (256, 256) of what the stem makes of a picture, (128, 128, 16)."""
        side = level128.shape[0]
        level64 = self._block64(level128)
        level32 = run(self._blocks32, level64)
        level16 = run(self._blocks16, level32)
        gate = sigmoid(_mean(level16) @ self._gate16.matrix + self._gate16.bias)
        everything = self._all16(level16)
        activate(everything, True)
        everything *= gate
        merged = self._refine128(self._refine64(self._refine32(everything, level32), level64), level128)
        cells = torch.from_numpy(self._answer(merged)).sigmoid_().numpy().reshape(side, side, 2, 2)
        return cells.transpose(0, 2, 1, 3).reshape(2 * side, 2 * side)


def fast_blocks(blocks: nn.Sequential) -> list[FastMobileBlock]:
    """Return the fast twins of blocks."""
    return [FastMobileBlock(block) for block in blocks if isinstance(block, MobileBlock)]


def run(blocks: list[FastMobileBlock], maps: Array) -> Array:
    """Run blocks one after the other."""
    for block in blocks:
        maps = block(maps)
    return maps


def sigmoid(x: Array) -> Array:
    """Return the logistic function."""
    return np.asarray(1 / (1 + np.exp(-np.clip(x, -80, 80))), np.float32)  # exp(89) is too much for float32


def activate(maps: Array, is_relu: bool) -> None:
    """Apply the activation in place."""
    tensor = torch.from_numpy(maps)
    tensor.relu_() if is_relu else nn.functional.hardswish(tensor, inplace=True)


@numba.njit(cache=True, nogil=True, fastmath=True)
def _convolve(maps: Array, depthwise: Depthwise, is_relu: bool, convolved: Array) -> Array:
    """Convolve each channel of maps (H, W, C), pad as SameConv does, and activate. Return the means (C,)."""
    height, width, channels = maps.shape
    weights, bias, stride = depthwise.weights, depthwise.bias, depthwise.stride
    size = weights.shape[0]
    padding = (size - stride) // 2
    sums = np.zeros(channels, np.float32)
    for y in range(convolved.shape[0]):
        top = y * stride - padding
        for x in range(convolved.shape[1]):
            left = x * stride - padding
            out = convolved[y, x]
            for k in range(channels):
                out[k] = bias[k]
            for i in range(max(0, -top), min(size, height - top)):
                row, taps = maps[top + i], weights[i]
                if left < 0 or left + size > width:
                    for j in range(max(0, -left), min(size, width - left)):
                        for k in range(channels):
                            out[k] += row[left + j, k] * taps[j, k]
                # Away from the border, the taps of a row are unrolled so that the loop over channels vectorises.
                elif size == 3:
                    for k in range(channels):
                        out[k] += (
                            row[left, k] * taps[0, k] + row[left + 1, k] * taps[1, k] + row[left + 2, k] * taps[2, k]
                        )
                else:
                    for k in range(channels):
                        out[k] += (
                            row[left, k] * taps[0, k]
                            + row[left + 1, k] * taps[1, k]
                            + row[left + 2, k] * taps[2, k]
                            + row[left + 3, k] * taps[3, k]
                            + row[left + 4, k] * taps[4, k]
                        )
            for k in range(channels):
                value = max(out[k], 0) if is_relu else out[k] * min(max(out[k] + 3, 0), 6) / 6
                out[k] = value
                sums[k] += value
    return sums / np.float32(convolved.shape[0] * convolved.shape[1])


@numba.njit(cache=True, nogil=True, fastmath=True)
def _mean(maps: Array) -> Array:
    """Return the mean (C,) of maps (H, W, C)."""
    sums = np.zeros(maps.shape[2], np.float32)
    for y in range(maps.shape[0]):
        for x in range(maps.shape[1]):
            for k in range(maps.shape[2]):
                sums[k] += maps[y, x, k]
    return sums / np.float32(maps.shape[0] * maps.shape[1])


@numba.njit(cache=True, nogil=True, fastmath=True)
def _add_enlarged(coarse: Array, fine: Array) -> None:
    """Enlarge maps (H, W, C) bilinearly, add them to maps (2 H, 2 W, C), and apply a ReLU in place."""
    height, width, channels = coarse.shape
    for y in range(fine.shape[0]):
        # A fine pixel lies a quarter of a coarse one beside the middle of its own; its neighbour is on that side.
        own_y = y // 2
        near_y = min(max(own_y + 2 * (y % 2) - 1, 0), height - 1)
        a, b = coarse[own_y], coarse[near_y]
        for x in range(fine.shape[1]):
            own_x = x // 2
            near_x = min(max(own_x + 2 * (x % 2) - 1, 0), width - 1)
            out = fine[y, x]
            for k in range(channels):
                own = np.float32(0.75) * a[own_x, k] + np.float32(0.25) * b[own_x, k]
                near = np.float32(0.75) * a[near_x, k] + np.float32(0.25) * b[near_x, k]
                out[k] = max(out[k] + np.float32(0.75) * own + np.float32(0.25) * near, np.float32(0))

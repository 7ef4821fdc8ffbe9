"""SPADE blocks that compute the same for less work.

What the norms of a block have in common is done once: the convolution of the condition, and the statistics of their
input. Where the condition is upsampled, its convolutions work as in upsampling.py, one place among the copies of a
pixel after the other: the result for a place is used while it is in cache, and never becomes a map of full size. A
projection after a norm is linear, and so is what the norm adds: both become one convolution.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import torch
from torch import Tensor, nn
from torch.nn import functional

from vid2vid_cli.models.fast.upsampling import CondensedConv, Place, UpsampledConv, assemble
from vid2vid_cli.models.layers.blocks import Convolution
from vid2vid_cli.models.layers.spade import SLOPE, Spade, SpadeBlock


class SpadeModulation(nn.Module):
    """Makes the scales and shifts of a norm from its shared map, by one convolution."""

    def __init__(self, norm: Spade, factor: int, projection: Convolution | None = None) -> None:
        """factor: by which the condition is upsampled: 1, 2 or 4. projection: a 1x1 convolution after the norm."""
        super().__init__()
        scale, scale_bias = _parts(norm.mlp_gamma)
        shift, shift_bias = _parts(norm.mlp_beta)
        if projection is not None:
            # (O, C, 1, 1) to (O, C), multiplied into the kernel (C, I, 3, 3) of the shift
            matrix = projection.weight.flatten(1)
            shift, shift_bias = torch.einsum("oc,cihw->oihw", matrix, shift), matrix @ shift_bias
        self.count, self.factor = len(scale), factor
        # The norm scales by 1 + gamma; the 1 goes into the bias.
        conv = conv_of(torch.cat([scale, shift]), torch.cat([scale_bias + 1, shift_bias]))
        self.conv: nn.Module = CondensedConv(conv) if factor == 4 else conv

    def forward(self, shared: Tensor) -> Iterator[tuple[Place, Tensor, Tensor]]:
        """Yield the place among the copies of a pixel, scales (B, C, h, w) and shifts (B, C', h, w)."""
        for place, both in self._at_places(shared):
            yield place, both[:, : self.count], both[:, self.count :]

    def _at_places(self, shared: Tensor) -> Iterator[tuple[Place, Tensor]]:
        if self.factor == 4:
            yield from self.conv(shared)
            return
        whole = self.conv(shared)
        for place in product(range(self.factor), range(self.factor)):
            yield place, every(whole, place, self.factor)


class FastSpadeBlock(nn.Module):
    """A `SpadeBlock` for a condition that its norms upsample by 1, 2 or 4."""

    def __init__(self, block: SpadeBlock, factor: int) -> None:
        super().__init__()
        self.factor, self.upsample = factor, block.upsample
        self.conv_0, self.conv_1 = block.conv_0, block.conv_1
        self.conv_s: nn.Module = block.conv_s or nn.Identity()
        self.norm_0, self.norm_1 = SpadeModulation(block.norm_0, factor), SpadeModulation(block.norm_1, factor)
        self.norm_s = None if block.norm_s is None else SpadeModulation(block.norm_s, factor, block.conv_s)
        norms = [norm for norm in (block.norm_0, block.norm_1, block.norm_s) if norm is not None]
        weights, biases = zip(*(_parts(norm.mlp_shared[0]) for norm in norms), strict=True)
        # One convolution for all norms: their outputs lie behind each other in its channels.
        shared = conv_of(torch.cat(weights), torch.cat(biases))
        self.count = len(norms)
        self.shared: nn.Module = shared if factor == 1 else UpsampledConv(shared, factor)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C', H, W), or to twice that size. condition: (B, C'', h, w)."""
        shared = [part.contiguous(memory_format=torch.channels_last) for part in self._shared(condition)]
        normed = normalise(x)
        y = self.conv_0(self._activated(self.norm_0, normed, shared[0]))
        y = self.conv_1(self._activated(self.norm_1, normalise(y), shared[1]))
        summed: Tensor = y.add_(
            self.upsample(x) if self.norm_s is None else self._projected(self.norm_s, normed, shared[2])
        )
        return summed

    def _shared(self, condition: Tensor) -> tuple[Tensor, ...]:
        return torch.relu_(self.shared(condition)).chunk(self.count, 1)

    def _activated(self, norm: SpadeModulation, x: Tensor, shared: Tensor) -> Tensor:
        parts = (
            (place, functional.leaky_relu_(torch.addcmul(shift, self._matching(x, place, scale), scale), SLOPE))
            for place, scale, shift in norm(shared)
        )
        return assemble(parts, self.factor)

    def _projected(self, norm: SpadeModulation, x: Tensor, shared: Tensor) -> Tensor:
        parts = (
            (place, self.conv_s(self._matching(x, place, scale) * scale).add_(shift))
            for place, scale, shift in norm(shared)
        )
        return assemble(parts, self.factor)

    def _matching(self, x: Tensor, place: Place, scale: Tensor) -> Tensor:
        """Return the pixels (B, C, h, w) of a map for a place. The map may still have half of its final size."""
        step = x.shape[2] // scale.shape[2]
        return every(x, (place[0] * step // self.factor, place[1] * step // self.factor), step)


def every(x: Tensor, place: Place, step: int) -> Tensor:
    """Return every `step`-th row and column of a map (B, C, H, W), from a place on."""
    return x[..., place[0] :: step, place[1] :: step]


def normalise(x: Tensor) -> Tensor:
    """Bring each map (B, C, H, W) to mean 0 and deviation 1, as instance norm does (eps 1e-5)."""
    # A batch norm of one image after the other is many times as fast where channels come last.
    normed = [functional.batch_norm(one[None], None, None, training=True) for one in x]
    return normed[0] if len(normed) == 1 else torch.cat(normed)


def conv_of(weight: Tensor, bias: Tensor) -> nn.Conv2d:
    """Make a 3x3 convolution that keeps the size of a map from its weight and bias."""
    conv = nn.Conv2d(weight.shape[1], len(weight), (weight.shape[2], weight.shape[3]), padding=1, device="meta")
    conv.weight, conv.bias = nn.Parameter(weight, requires_grad=False), nn.Parameter(bias, requires_grad=False)
    return conv


def _parts(conv: nn.Module) -> tuple[Tensor, Tensor]:
    """Return weight and bias of a convolution."""
    assert isinstance(conv.weight, Tensor)
    assert isinstance(conv.bias, Tensor)
    return conv.weight, conv.bias

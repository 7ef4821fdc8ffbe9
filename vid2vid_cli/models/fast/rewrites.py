"""Make a loaded network fast: replace its plain layers by others that compute the same function."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import nn

from vid2vid_cli.models.fast.batch_norm import fold_norms
from vid2vid_cli.models.fast.spade import FastSpadeBlock
from vid2vid_cli.models.fast.upsampling import UpsampledConv
from vid2vid_cli.models.fast.volume import SpectralConv, TapConv
from vid2vid_cli.models.layers.blocks import Doubling, UpBlock
from vid2vid_cli.models.layers.spade import SpadeBlock, SpadeDecoder
from vid2vid_cli.models.layers.volume import DenseMotion3D

Rewrite = Callable[[nn.Module], None]
# In wider layers the maps are small and reading weights dominates; an upsampled convolution has more of them.
MOST_CHANNELS = 512


def upsample_late(network: nn.Module) -> None:
    """Let blocks that double the size of a map convolve first."""
    for block in [module for module in network.modules() if isinstance(module, UpBlock)]:
        if isinstance(block.upsample, Doubling) and block.conv.weight.shape[1] <= MOST_CHANNELS:
            block.add_module("conv", UpsampledConv(block.conv))
            block.upsample = nn.Identity()


def merge_modulation(network: nn.Module) -> None:
    """Merge the convolutions within the norms of SPADE blocks that keep the size of the map."""
    _modulate(network, {name: 1 for decoder in _decoders(network) for name in decoder.middle_names})


def modulate_by_places(network: nn.Module) -> None:
    """Merge them in blocks that upsample map and condition, and take the copies of a pixel one after the other."""
    # The condition is upsampled to the size of the block's output: 2 times, then 4 times.
    _modulate(network, {"up_0": 2, "up_1": 4})


def _modulate(network: nn.Module, factors: dict[str, int]) -> None:
    for decoder in _decoders(network):
        for name, factor in factors.items():
            block = decoder.get_submodule(name)
            if isinstance(block, SpadeBlock):
                decoder.add_module(name, FastSpadeBlock(block, factor))


def _decoders(network: nn.Module) -> list[SpadeDecoder]:
    return [module for module in network.modules() if isinstance(module, SpadeDecoder)]


def recast_heads(network: nn.Module) -> None:
    """Replace the 7x7x7 convolutions that give masks, and those that give occlusion maps."""
    for dense in list(network.modules()):
        if isinstance(dense, DenseMotion3D) and isinstance(dense.mask, nn.Conv3d):
            mask, occlusion = dense.mask, dense.occlusion
            assert isinstance(occlusion, nn.Conv2d)
            # The occlusion sees the slices of a volume as channels.
            depth = occlusion.in_channels // mask.in_channels
            dense.mask, dense.occlusion = SpectralConv(mask, depth), TapConv(occlusion, depth)


def put_channels_last(network: nn.Module) -> None:
    """Lay out weights with their channels last; convolutions then return maps of that kind."""
    for weight in network.parameters():
        if weight.dim() == 4:
            weight.data = weight.data.contiguous(memory_format=torch.channels_last)
        elif weight.dim() == 5:
            weight.data = weight.data.contiguous(memory_format=torch.channels_last_3d)


REWRITES: tuple[Rewrite, ...] = (
    fold_norms,
    upsample_late,
    merge_modulation,
    modulate_by_places,
    recast_heads,
    put_channels_last,
)


def make_fast(network: nn.Module, rewrites: Sequence[Rewrite] = REWRITES) -> None:
    """Rewrite a network in place; it computes the same up to rounding."""
    for rewrite in rewrites:
        rewrite(network)

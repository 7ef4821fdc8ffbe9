"""Make a loaded network fast: other layers for the same function, which its plain layers state."""

from __future__ import annotations

from typing import TypeVar

import torch
from torch import nn

from vid2vid_cli.models.blocks import UpBlock
from vid2vid_cli.models.depth import SpectralConv, TapConv
from vid2vid_cli.models.enlarged import EnlargedConv
from vid2vid_cli.models.folding import fold_norms
from vid2vid_cli.models.spade import SpadeDecoder
from vid2vid_cli.models.steered import steer_blocks
from vid2vid_cli.models.volume import DenseMotion3D

Network = TypeVar("Network", bound=nn.Module)
WIDEST = (
    512  # channels: the maps of wider layers are so small that weights are their cost, and phases have more of them
)


def make_fast(network: Network) -> Network:
    """Rewrite a network in place, with the same results up to rounding, and return it."""
    fold_norms(network)
    enlarge_less(network)
    for module in list(network.modules()):
        if isinstance(module, SpadeDecoder):
            steer_blocks(module)
        elif isinstance(module, DenseMotion3D):
            recast_heads(module)
    return put_channels_last(network)


def enlarge_less(network: nn.Module) -> None:
    """Let blocks that double the size convolve before they do."""
    for block in list(network.modules()):
        if isinstance(block, UpBlock) and block.conv.weight.shape[1] <= WIDEST:
            block.add_module("conv", EnlargedConv(block.conv))
            block.enlarge = nn.Identity()


def recast_heads(dense: DenseMotion3D) -> None:
    """Recast the 7x7x7 convolution to masks, and the one to the occlusion map."""
    mask, occlusion = dense.mask, dense.occlusion
    assert isinstance(mask, nn.Conv3d)
    assert isinstance(occlusion, nn.Conv2d)
    depth = occlusion.in_channels // mask.in_channels
    dense.mask, dense.occlusion = SpectralConv(mask, depth), TapConv(occlusion, depth)


def put_channels_last(network: Network) -> Network:
    """Lay out weights with their channels last, which makes convolutions give maps of that kind."""
    for weight in network.parameters():
        if weight.dim() == 4:
            weight.data = weight.data.contiguous(memory_format=torch.channels_last)
        elif weight.dim() == 5:
            weight.data = weight.data.contiguous(memory_format=torch.channels_last_3d)
    return network

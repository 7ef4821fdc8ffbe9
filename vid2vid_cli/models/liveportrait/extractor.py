"""LivePortrait's motion extractor: a ConvNeXt V2 (Woo et al., CVPR 2023, arXiv 2301.00808) with seven heads."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from vid2vid_cli.models.layers.blocks import linear_like, mean_bin
from vid2vid_cli.models.loading import Part

EPS = 1e-6  # as in the published ConvNeXt V2
BIN_DEG, FIRST_BIN_DEG = 3.0, -97.5
HEADS = ("pitch", "yaw", "roll", "t", "exp", "scale", "kp")


class RawMotion(NamedTuple):
    """The output of the extractor.

    pitch, yaw, roll: (B, 66), logits of bins of 3 degrees. t: (B, 3). exp, kp: (B, 3 K). scale: (B, 1).
    """

    pitch: Tensor
    yaw: Tensor
    roll: Tensor
    t: Tensor
    exp: Tensor
    scale: Tensor
    kp: Tensor

    @property
    def degrees(self) -> Tensor:
        """Pitch, yaw and roll: (B, 3)."""
        return BIN_DEG * torch.stack([mean_bin(logits) for logits in self[:3]], 1) + FIRST_BIN_DEG


class ResponseNorm(nn.Module):
    """Let channels compete by their energy over the map (ConvNeXt V2, section 3.2)."""

    def __init__(self, part: Part) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.empty(part.shape("gamma")))
        self.beta = nn.Parameter(torch.empty(part.shape("beta")))

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (B, H, W, C)."""
        # Each channel's energy over the map against the mean of all channels: (B, 1, 1, C).
        energy = x.norm(dim=(1, 2), keepdim=True)
        share = energy / (energy.mean(-1, keepdim=True) + EPS)
        normalised: Tensor = self.gamma * (x * share) + self.beta + x
        return normalised


class Block(nn.Module):
    """Mix each channel over 7x7 pixels, then all channels at each pixel; the result is added to the input."""

    def __init__(self, part: Part) -> None:
        super().__init__()
        channels = part.shape("dwconv.weight")[0]
        self.dwconv = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels, EPS)
        self.pwconv1 = linear_like(part, "pwconv1")
        self.grn = ResponseNorm(part / "grn")
        self.pwconv2 = linear_like(part, "pwconv2")

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same shape."""
        # Linear layers and norms want channels last: (B, H, W, C).
        y = self.norm(self.dwconv(x).permute(0, 2, 3, 1))
        y = self.pwconv2(self.grn(functional.gelu(self.pwconv1(y))))
        summed: Tensor = x + y.permute(0, 3, 1, 2)
        return summed


class ChannelNorm(nn.LayerNorm):
    """Normalise the channels at each pixel of (B, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        """Map to the same shape."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def _shrinking(part: Part) -> nn.Sequential:
    """Make a norm and a convolution whose windows do not overlap, in the order of the checkpoint."""
    return nn.Sequential(*(_shrinking_layer(part / index) for index in part.children()))


def _shrinking_layer(part: Part) -> nn.Module:
    shape = part.shape("weight")
    # A norm has one weight a channel. The first level convolves before it norms, the others after.
    return ChannelNorm(shape[0], EPS) if len(shape) == 1 else nn.Conv2d(shape[1], shape[0], shape[2], shape[2])


class MotionExtractor(nn.Module):
    """Reads canonical keypoints, head pose, expression, scale and translation from a face."""

    def __init__(self, part: Part) -> None:
        super().__init__()
        levels, stages = part / "downsample_layers", part / "stages"
        self.downsample_layers = nn.ModuleList(_shrinking(levels / name) for name in levels.children())
        self.stages = nn.ModuleList(
            nn.Sequential(*(Block(stages / name / block) for block in (stages / name).children()))
            for name in stages.children()
        )
        self.norm = nn.LayerNorm(part.shape("norm.weight")[0], EPS)
        self.count = part.shape("fc_kp.weight")[0] // 3
        for head in HEADS:
            self.add_module(f"fc_{head}", linear_like(part, f"fc_{head}"))

    def forward(self, image: Tensor) -> RawMotion:
        """Read images (B, 3, H, W) in [0, 1]."""
        x = image
        for shrink, stage in zip(self.downsample_layers, self.stages, strict=True):
            x = stage(shrink(x))
        x = self.norm(x.mean((2, 3)))
        return RawMotion(*(self.get_submodule(f"fc_{head}")(x) for head in HEADS))

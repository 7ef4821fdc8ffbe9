"""Tell a person from the background: MediaPipe's selfie segmentation as a torch module.

Written from the published network: MobileNetV3 blocks (arXiv 1905.02244), then a decoder that lets what is seen on the
whole decide which channels of the finer maps count.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from vid2vid_cli.face.blazeface import SameConv

PREFIX = "matte."
Activation = Literal["relu", "hardswish"]


class Excite(nn.Module):
    """Weigh the channels of maps by what is in them on the whole (squeeze and excitation, arXiv 1709.01507)."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, squeezed, 1)
        self.excite = nn.Conv2d(squeezed, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Return the weights (B, C, 1, 1) in [0, 1] of maps (B, C, H, W)."""
        seen = functional.relu(self.squeeze(x.mean(dim=(2, 3), keepdim=True)))
        return torch.sigmoid(self.excite(seen))


class MobileBlock(nn.Module):
    """Expand, convolve each channel by itself, weigh the channels where asked, and project."""

    def __init__(
        self, channels: tuple[int, int, int], kernel: int, stride: int, activation: Activation, squeezed: int = 0
    ) -> None:
        """Build the block. channels: before, inside and behind it. squeezed: 0 for no weights."""
        super().__init__()
        before, inside, behind = channels
        self.expand = nn.Conv2d(before, inside, 1)
        self.depthwise = SameConv(inside, inside, kernel, stride, groups=inside)
        self.weights = Excite(inside, squeezed) if squeezed else None
        self.project = nn.Conv2d(inside, behind, 1)
        self.is_relu = activation == "relu"
        self.has_shortcut = stride == 1 and before == behind

    def forward(self, x: Tensor) -> Tensor:
        """Map features (B, C, H, W) to (B, C', H / stride, W / stride)."""
        activate = functional.relu if self.is_relu else functional.hardswish
        inside = activate(self.depthwise(activate(self.expand(x))))
        if self.weights is not None:
            inside = inside * self.weights(inside)
        projected: Tensor = self.project(inside)
        return projected + x if self.has_shortcut else projected


class Refine(nn.Module):
    """Lay a coarse level over a finer one: one step of the decoder."""

    def __init__(self, coarse: int, fine: int) -> None:
        super().__init__()
        self.from_coarse = nn.Conv2d(coarse, fine, 1)
        self.weights = Excite(fine, fine)
        self.mix = nn.Conv2d(fine, fine, 1)
        self.depthwise = SameConv(fine, fine, 3, groups=fine)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """Merge features (B, coarse, H, W) and (B, fine, 2 H, 2 W) to (B, fine, 2 H, 2 W)."""
        # The network enlarges first. Both are linear and the enlarging keeps constants, so that the order may change.
        coarse = self.from_coarse(coarse)
        coarse = functional.interpolate(coarse, scale_factor=2.0, mode="bilinear", align_corners=False)
        mixed = functional.relu(self.mix(fine * self.weights(fine + coarse) + coarse))
        return mixed + functional.relu(self.depthwise(mixed))


class MatteNetwork(nn.Module):
    """Find the person in images of 256x256."""

    image_size = 256

    def __init__(self) -> None:
        super().__init__()
        self.stem = SameConv(3, 16, 3, stride=2)
        self.block64 = MobileBlock((16, 16, 16), 3, 2, "relu", squeezed=8)
        self.blocks32 = nn.Sequential(
            MobileBlock((16, 72, 24), 3, 2, "relu"),
            MobileBlock((24, 88, 24), 3, 1, "relu"),
        )
        self.blocks16 = nn.Sequential(
            MobileBlock((24, 96, 32), 5, 2, "hardswish", squeezed=24),
            MobileBlock((32, 128, 32), 5, 1, "hardswish", squeezed=32),
            MobileBlock((32, 128, 32), 5, 1, "hardswish", squeezed=32),
            MobileBlock((32, 96, 32), 5, 1, "hardswish", squeezed=24),
            MobileBlock((32, 96, 32), 5, 1, "hardswish", squeezed=24),
        )
        self.all16 = nn.Conv2d(32, 128, 1)
        self.gate16 = nn.Conv2d(32, 128, 1)
        self.refine32 = Refine(128, 24)
        self.refine64 = Refine(24, 16)
        self.refine128 = Refine(16, 16)
        self.answer = nn.ConvTranspose2d(16, 1, 2, stride=2)

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> MatteNetwork | None:
        """Build the network from tensors named matte.*; None where a checkpoint has none."""
        own = {name.removeprefix(PREFIX): tensor for name, tensor in state.items() if name.startswith(PREFIX)}
        if not own:
            return None
        network = cls()
        network.load_state_dict(own)
        return network.eval().requires_grad_(False)

    def forward(self, image: Tensor) -> Tensor:
        """Return the share of the person in every pixel, (B, 1, 256, 256) in [0, 1].

        image: (B, 3, 256, 256), RGB in [0, 1].
        """
        level128 = functional.hardswish(self.stem(image))
        level64 = self.block64(level128)
        level32 = self.blocks32(level64)
        level16 = self.blocks16(level32)
        gate = torch.sigmoid(self.gate16(level16.mean(dim=(2, 3), keepdim=True)))
        merged = self.refine32(functional.relu(self.all16(level16)) * gate, level32)
        merged = self.refine128(self.refine64(merged, level64), level128)
        return torch.sigmoid(self.answer(merged))

"""SPADE, a generator whose norms are modulated by a map (Park et al., CVPR 2019, arXiv 1903.07291)."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from vid2vid_cli.models.layers.blocks import Doubling, conv_like
from vid2vid_cli.models.loading import Part

SLOPE = 0.2  # of the leaky ReLU


class Spade(nn.Module):
    """Normalises each map, then scales and shifts it by what a condition says at each pixel."""

    def __init__(self, part: Part) -> None:
        super().__init__()
        self.mlp_shared = nn.Sequential(conv_like(part / "mlp_shared", "0"), nn.ReLU())
        self.mlp_gamma, self.mlp_beta = conv_like(part, "mlp_gamma"), conv_like(part, "mlp_beta")

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Normalise (B, C, H, W). condition: (B, C', h, w), resized to it without interpolation."""
        shared = self.mlp_shared(functional.interpolate(condition, x.shape[2:], mode="nearest"))
        gamma, beta = self.mlp_gamma(shared), self.mlp_beta(shared)
        modulated: Tensor = functional.instance_norm(x) * (1 + gamma) + beta
        return modulated


class SpadeBlock(nn.Module):
    """Two convolutions of modulated maps, added to the input, or to a projection of it where channels change."""

    def __init__(self, part: Part, *, is_upsampling: bool = False) -> None:
        """is_upsampling: the input is upsampled to twice its size before anything else."""
        super().__init__()
        self.upsample: nn.Module = Doubling() if is_upsampling else nn.Identity()
        self.conv_0, self.conv_1 = conv_like(part, "conv_0"), conv_like(part, "conv_1")
        self.norm_0, self.norm_1 = Spade(part / "norm_0"), Spade(part / "norm_1")
        # A projection has no bias, and a norm of its own.
        has_projection = "conv_s.weight" in part
        self.conv_s = conv_like(part, "conv_s", bias=False) if has_projection else None
        self.norm_s = Spade(part / "norm_s") if has_projection else None

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C', H, W), or to twice that size. condition: (B, C'', h, w)."""
        x = self.upsample(x)
        y = self.conv_0(functional.leaky_relu(self.norm_0(x, condition), SLOPE))
        y = self.conv_1(functional.leaky_relu(self.norm_1(y, condition), SLOPE))
        if self.conv_s is not None and self.norm_s is not None:
            x = self.conv_s(self.norm_s(x, condition))
        summed: Tensor = x + y
        return summed


class SpadeDecoder(nn.Module):
    """G: decodes maps to an image, with those same maps as the condition at every step."""

    def __init__(self, part: Part) -> None:
        super().__init__()
        self.fc = conv_like(part, "fc")
        self.middle_names = [name for name in part.children() if name.startswith("G_middle_")]
        self.block_names = (*self.middle_names, "up_0", "up_1")
        for name in self.block_names:
            # The files call upsampling blocks up_0 and up_1, all others G_middle_N.
            self.add_module(name, SpadeBlock(part / name, is_upsampling=name.startswith("up_")))
        self.conv_img = _image_head(part)

    def forward(self, maps: Tensor) -> Tensor:
        """Decode maps (B, C, H, W) to images (B, 3, 4 H, 4 W), or twice that, in [0, 1]."""
        x = self.fc(maps)
        for name in self.block_names:
            x = self.get_submodule(name)(x, maps)
        return torch.sigmoid(self.conv_img(functional.leaky_relu(x, SLOPE)).float())


def _image_head(part: Part) -> nn.Module:
    # An extra index in the name marks a head with four sub-pixels for each pixel.
    if "conv_img.weight" in part:
        return conv_like(part, "conv_img")
    return nn.Sequential(conv_like(part / "conv_img", "0"), nn.PixelShuffle(2))

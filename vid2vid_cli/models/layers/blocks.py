"""The blocks of the published checkpoints' networks, in two or three dimensions.

Each block takes its sizes from the tensors that it will load, and names its parts as the public files do. Volumes are
(B, C, D, H, W); only their height and width are ever pooled or upsampled.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from vid2vid_cli.models.loading import Part

Convolution = nn.Conv1d | nn.Conv2d | nn.Conv3d
CONVOLUTIONS: dict[int, Any] = {3: nn.Conv1d, 4: nn.Conv2d, 5: nn.Conv3d}


def conv_like(part: Part, name: str, *, stride: int = 1, padding: int | None = None, bias: bool = True) -> Convolution:
    """Make the convolution that a weight belongs to. padding: None keeps the size of the map."""
    shape = part.shape(f"{name}.weight")  # (out, in, *kernel)
    around = shape[-1] // 2 if padding is None else padding
    made: Convolution = CONVOLUTIONS[len(shape)](shape[1], shape[0], shape[2:], stride, around, bias=bias)
    return made


def norm_like(part: Part, name: str, dims: int) -> nn.BatchNorm2d | nn.BatchNorm3d:
    """Make the batch norm that a weight belongs to, for maps of 2 or 3 dimensions."""
    (channels,) = part.shape(f"{name}.weight")
    return nn.BatchNorm2d(channels) if dims == 2 else nn.BatchNorm3d(channels)


def linear_like(part: Part, name: str) -> nn.Linear:
    """Make the linear layer that a weight belongs to."""
    out, into = part.shape(f"{name}.weight")
    return nn.Linear(into, out)


def half_size(x: Tensor) -> Tensor:
    """Average each 2x2 pixels of maps (B, C, H, W) or of the slices of volumes."""
    if x.dim() == 4:
        return functional.avg_pool2d(x, 2)
    # Depth joins the channels or the batch, whichever needs no copy: pooling ignores both.
    if x.is_contiguous():
        return functional.avg_pool2d(x.flatten(1, 2), 2).reshape(*x.shape[:3], x.shape[3] // 2, x.shape[4] // 2)
    halved = functional.avg_pool2d(as_maps(x), 2)
    return halved.reshape(len(x), -1, *halved.shape[1:]).transpose(1, 2)


def as_maps(x: Tensor) -> Tensor:
    """Return the slices of volumes (B, C, D, H, W) as maps (B * D, C, H, W): a view if channels come last."""
    return x.transpose(1, 2).flatten(0, 1)


def double_size(x: Tensor) -> Tensor:
    """Repeat each pixel of maps (B, C, H, W) or of the slices of volumes twice in height and width."""
    return functional.interpolate(x, scale_factor=(2.0, 2.0) if x.dim() == 4 else (1.0, 2.0, 2.0), mode="nearest")


class NormedConv(nn.Module):
    """Convolution, norm and ReLU."""

    # Which norm directly follows which convolution, so that it can be folded (fast/batch_norm.py).
    NORM_AFTER: ClassVar[Mapping[str, str]] = {"conv": "norm"}

    def __init__(self, part: Part, slope: float = 0.0) -> None:
        """slope: of negative values."""
        super().__init__()
        self.conv = conv_like(part, "conv")
        self.norm = norm_like(part, "norm", self.conv.weight.dim() - 2)
        self.slope = slope

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, ...) to (B, C', ...)."""
        return functional.leaky_relu_(self.norm(self.conv(x)), self.slope)


class DownBlock(NormedConv):
    """A `NormedConv`, then half the height and width."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, ..., H, W) to (B, C', ..., H/2, W/2)."""
        return half_size(super().forward(x))


class Doubling(nn.Module):
    """Doubles height and width."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, ..., H, W) to (B, C, ..., 2H, 2W)."""
        return double_size(x)


class UpBlock(NormedConv):
    """Twice the height and width, then a `NormedConv`."""

    def __init__(self, part: Part) -> None:
        super().__init__(part)
        self.upsample: nn.Module = Doubling()  # a module, so that a rewrite can leave it out

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, ..., H, W) to (B, C', ..., 2H, 2W)."""
        return super().forward(self.upsample(x))


class ResidualBlock(nn.Module):
    """Two convolutions, each after its norm and ReLU, added to the input (He et al., arXiv 1603.05027)."""

    # norm1 comes before the first convolution and cannot be folded into one.
    NORM_AFTER: ClassVar[Mapping[str, str]] = {"conv1": "norm2"}

    def __init__(self, part: Part) -> None:
        super().__init__()
        self.conv1, self.conv2 = conv_like(part, "conv1"), conv_like(part, "conv2")
        dims = self.conv1.weight.dim() - 2
        self.norm1, self.norm2 = norm_like(part, "norm1", dims), norm_like(part, "norm2", dims)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, ...) to the same shape."""
        y = self.conv1(functional.relu(self.norm1(x)))
        summed: Tensor = x + self.conv2(functional.relu(self.norm2(y)))
        return summed


def chain(kind: type[nn.Module], part: Part) -> nn.Sequential:
    """Make a sequence of blocks, one for each child of a part and under its name."""
    blocks = nn.Sequential()
    for name in part.children():
        blocks.add_module(name, kind(part / name))
    return blocks


class Encoder(nn.Module):
    """The way down of an hourglass."""

    def __init__(self, part: Part) -> None:
        super().__init__()
        self.down_blocks = chain(DownBlock, part / "down_blocks")

    def forward(self, x: Tensor) -> list[Tensor]:
        """Return the input and what each block makes of it, each half the size of the one before."""
        levels = [x]
        for block in self.down_blocks:
            levels.append(block(levels[-1]))
        return levels


class Decoder(nn.Module):
    """The way up of an hourglass, with one more convolution at full size if the checkpoint has it."""

    NORM_AFTER: ClassVar[Mapping[str, str]] = {"conv": "norm"}

    def __init__(self, part: Part) -> None:
        super().__init__()
        self.up_blocks = chain(UpBlock, part / "up_blocks")
        self.conv = conv_like(part, "conv") if "conv.weight" in part else None
        self.norm = norm_like(part, "norm", self.conv.weight.dim() - 2) if self.conv is not None else None

    def forward(self, levels: list[Tensor]) -> Tensor:
        """Upsample the last level step by step, each time joined with the level of that size."""
        levels = list(levels)  # the smallest last, as the encoder returns them
        x = levels.pop()
        for block in self.up_blocks:
            x = torch.cat([block(x), levels.pop()], 1)
        return x if self.conv is None or self.norm is None else functional.relu(self.norm(self.conv(x)))


class Hourglass(nn.Module):
    """Sees a map at every scale and returns features of its own size."""

    def __init__(self, part: Part) -> None:
        super().__init__()
        self.encoder, self.decoder = Encoder(part / "encoder"), Decoder(part / "decoder")

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, ..., H, W) to (B, C', ..., H, W)."""
        features: Tensor = self.decoder(self.encoder(x))
        return features


class Shrink(nn.Module):
    """Blurs an image with the checkpoint's Gaussian and keeps every 4th pixel (for a 13x13 kernel)."""

    def __init__(self, part: Part) -> None:
        super().__init__()
        channels, _, kernel, _ = part.shape("weight")
        self.register_buffer("weight", torch.empty(channels, 1, kernel, kernel))
        self.stride = (kernel - 1) // 4 + 1

    def forward(self, image: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C, H/4, W/4)."""
        weight: Tensor = self.get_buffer("weight")
        return functional.conv2d(
            image, weight, stride=self.stride, padding=weight.shape[-1] // 2, groups=weight.shape[0]
        )


def sample(features: Tensor, grid: Tensor) -> Tensor:
    """Sample features linearly where a grid points, with zeros outside.

    features: (B, C, H, W) or (B, C, D, H, W). grid: (B, *size, 2 or 3), -1 and 1 at the outer edges.
    """
    # In float32, whatever the features are in: both must be in one precision, and positions need this one.
    sampled = functional.grid_sample(features.float(), grid, mode="bilinear", align_corners=False)
    return sampled.to(features.dtype)


def mean_bin(logits: Tensor) -> Tensor:
    """Return the expected index (B,) over bins (B, N), as head-pose networks use it (Ruiz et al., arXiv 1710.00925)."""
    chances = logits.float().softmax(1)
    return chances @ torch.arange(chances.shape[1], dtype=chances.dtype, device=chances.device)

"""Hourglasses in int8, which processors with VNNI instructions multiply four times as fast.

As in Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference"
(CVPR 2018): the weights of each output channel have a scale, and so has each map, measured beforehand on the training
clips. Maps are not negative after their ReLU, so they need no zero point. The channels of the input differ greatly in
size, so the first layer stays in float32, and so does the output.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from vid2vid_cli.models.compact.learned.networks import CONTEXT_SIDE, FLOW_SIDE, CompactHourglass, LearnedParts

RANGES = {"flow_net": "ranges.flow_net", "painter": "ranges.painter"}
"""Tensors of a checkpoint by network, (11,) each: the largest number seen in each of MAPS."""

MAPS = (
    *("enter", "at_whole.first", "at_whole"),
    *("down1", "at_half.first", "at_half"),
    *("down2", "at_quarter.first", "at_quarter"),
    *("up1", "up2"),
)
ROOM = 1.1  # over the largest number seen; larger ones are clipped
STEPS = 255  # of a uint8 map


@lru_cache(maxsize=1)
def can_quantize() -> bool:
    """Say whether this torch computes in int8 correctly."""
    # Its operators for int8 have no public names. Other builds and processors lack them, or they refuse there.
    if not hasattr(torch.ops.onednn, "qconv2d_pointwise"):
        return False
    generator = torch.Generator().manual_seed(0)
    conv = nn.Conv2d(8, 8, 3, padding=1).requires_grad_(False)
    conv.weight.copy_(torch.rand(conv.weight.shape, generator=generator) - 0.5)
    x = torch.rand(1, 8, 8, 8, generator=generator)
    try:
        rounded = QuantizedConv(conv, 1.0, None, 8)(round_map(x, 1.0))
        added = QuantizedConv(conv, 1.0, 8.0, 8).add_to(round_map(x, 1.0), round_map(x, 1.0), 1.0)
    except (NotImplementedError, RuntimeError):  # torch's refusals; other errors would be bugs here
        return False
    exact = conv(x)
    errors = (rounded - exact).abs().max(), (added.float() * (8 / STEPS) - functional.relu(exact + x)).abs().max()
    return max(map(float, errors)) < 0.05


def quantize(parts: LearnedParts, ranges: dict[str, Tensor]) -> None:
    """Replace the hourglasses of float32 networks by quantized ones, in place. ranges: by network, see RANGES."""
    for name, side in (("flow_net", FLOW_SIDE), ("painter", CONTEXT_SIDE)):
        part = parts.get_submodule(name)
        part.add_module("net", QuantizedHourglass(getattr(part, "net"), ranges[name], side))  # noqa: B009


def round_map(x: Tensor, largest: float) -> Tensor:
    """Round a map from 0 to `largest` to uint8, with its channels last."""
    rounded = (x * (STEPS / largest)).add_(0.5).clamp_(0, STEPS).to(torch.uint8)
    return rounded.contiguous(memory_format=torch.channels_last)


class QuantizedConv:
    """A 3x3 convolution with fixed weights, of uint8 maps."""

    def __init__(self, conv: nn.Conv2d, largest_in: float, largest_out: float | None, side: int) -> None:
        """Round the weights.

        largest_in, largest_out: what 255 stands for in the input and in the output. With largest_out a ReLU follows,
        without it the output is float32. side: of the maps that it will get.
        """
        weight = conv.weight.detach().float()
        scales = weight.abs().amax((1, 2, 3)).clamp_min(1e-8) / 127
        # int8, symmetric around 0: the largest weight of each output channel becomes 127.
        rounded = (weight / scales[:, None, None, None]).round().to(torch.int8)
        bias = None if conv.bias is None else conv.bias.detach().float()
        stride, padding, scale_in = list(conv.stride), [1, 1], largest_in / STEPS
        shape = [1, conv.in_channels, side, side]
        packed = torch.ops.onednn.qconv_prepack(rounded, scales, scale_in, 0, stride, padding, [1, 1], 1, shape)
        self._from = scale_in, 0, packed, scales, torch.zeros(len(scales), dtype=torch.long)
        self._how = bias, stride, padding, [1, 1], 1
        self._relu = largest_out is not None
        self._to = (1.0, 0, torch.float32) if largest_out is None else (largest_out / STEPS, 0, torch.uint8)

    def __call__(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C', H', W')."""
        end: tuple[Any, ...] = ("relu" if self._relu else "none", [], "")
        result: Tensor = torch.ops.onednn.qconv2d_pointwise(x, *self._from, *self._how, *self._to, *end)
        return result

    def add_to(self, x: Tensor, shortcut: Tensor, largest: float) -> Tensor:
        """Add the result to a shortcut, which is overwritten, before the ReLU. largest: what 255 stands for in it."""
        end: tuple[Any, ...] = (largest / STEPS, 0, "sum", 1.0, "relu", [], "")
        arguments = (x, *self._from, shortcut, *self._how, *self._to, *end)
        result: Tensor = torch.ops.onednn.qconv2d_pointwise.binary(*arguments)
        return result


class QuantizedHourglass(nn.Module):
    """A `CompactHourglass` with fixed weights in int8."""

    def __init__(self, net: CompactHourglass, ranges: Tensor, side: int) -> None:
        """ranges: (11,), the largest number in each of MAPS. side: of the input maps."""
        super().__init__()
        largest = {name: ROOM * float(value) for name, value in zip(MAPS, ranges, strict=True)}
        # Maps that are concatenated must share a scale.
        for joined in (("at_quarter", "at_half"), ("up1", "at_whole")):
            largest.update(dict.fromkeys(joined, max(largest[name] for name in joined)))
        self.enter, self._largest = net.enter, largest

        def conv(name: str, before: str, after: str | None, halved: int) -> QuantizedConv:
            layer = net.get_submodule(name)
            assert isinstance(layer, nn.Conv2d)
            return QuantizedConv(layer, largest[before], largest[after] if after else None, side >> halved)

        self._convs = {
            "at_whole.first": conv("at_whole.first", "enter", "at_whole.first", 0),
            "at_whole.second": conv("at_whole.second", "at_whole.first", "at_whole", 0),
            "down1": conv("down1", "at_whole", "down1", 0),
            "at_half.first": conv("at_half.first", "down1", "at_half.first", 1),
            "at_half.second": conv("at_half.second", "at_half.first", "at_half", 1),
            "down2": conv("down2", "at_half", "down2", 1),
            "at_quarter.first": conv("at_quarter.first", "down2", "at_quarter.first", 2),
            "at_quarter.second": conv("at_quarter.second", "at_quarter.first", "at_quarter", 2),
            "up1": conv("up1", "at_quarter", "up1", 1),
            "up2": conv("up2", "up1", "up2", 0),
            "leave": conv("leave", "up2", None, 0),
        }

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels_in, H, W) to (B, channels_out, H, W), float32, as the hourglass does."""
        entered = self.enter(x.contiguous(memory_format=torch.channels_last))
        whole = self._deepen("at_whole", round_map(entered, self._largest["enter"]), "enter")
        half = self._deepen("at_half", self._convs["down1"](whole), "down1")
        quarter = self._deepen("at_quarter", self._convs["down2"](half), "down2")
        half = self._convs["up1"](_join(quarter, half))
        whole = self._convs["up2"](_join(half, whole))
        return self._convs["leave"](whole)

    def _deepen(self, block: str, x: Tensor, before: str) -> Tensor:
        inner = self._convs[f"{block}.first"](x)
        return self._convs[f"{block}.second"].add_to(inner, x, self._largest[before])


def _join(small: Tensor, large: Tensor) -> Tensor:
    return torch.cat([functional.interpolate(small, scale_factor=2.0, mode="nearest"), large], 1)

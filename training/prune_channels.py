"""Prune channels: each layer keeps those that matter most to the layers after it.

A channel's importance is what it contributes to the layers that read it: the norm of their weights for it, times how
strong it usually is (after Li et al., ICLR 2017, who take the weights alone). Training then makes up for what is lost.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from vid2vid_cli.models.compact.learned.networks import CompactHourglass, LearnedParts


class Layer(NamedTuple):
    """A convolution of an hourglass: which streams of channels it reads, one after the other, and which it writes."""

    name: str
    reads: tuple[str, ...]
    writes: str


LAYERS = (
    Layer("enter", ("in",), "whole"),
    Layer("at_whole.first", ("whole",), "inside whole"),
    Layer("at_whole.second", ("inside whole",), "whole"),
    Layer("down1", ("whole",), "half"),
    Layer("at_half.first", ("half",), "inside half"),
    Layer("at_half.second", ("inside half",), "half"),
    Layer("down2", ("half",), "quarter"),
    Layer("at_quarter.first", ("quarter",), "inside quarter"),
    Layer("at_quarter.second", ("inside quarter",), "quarter"),
    Layer("up1", ("quarter", "half"), "back at half"),
    Layer("up2", ("back at half", "whole"), "back at whole"),
    Layer("leave", ("back at whole",), "out"),
)


def prune_channels(wide: LearnedParts, narrow: LearnedParts, run: Callable[[], object]) -> None:
    """Copy the most important channels of wide networks into narrower ones.

    run: runs `wide` on typical samples. The encoders must have the same size.
    """
    narrow.encoder.load_state_dict(wide.encoder.state_dict())
    pairs = [(wide.flow_net.net, narrow.flow_net.net), (wide.painter.net, narrow.painter.net)]
    counters = [_InputStrength(net) for net, _ in pairs]
    run()
    for (old, new), counter in zip(pairs, counters, strict=True):
        counter.remove()
        _prune_hourglass(old, new, counter.strength())


class _InputStrength:
    """Measures how strong each input channel of an hourglass's convolutions is."""

    def __init__(self, net: CompactHourglass) -> None:
        self._squares: dict[str, Tensor] = {}
        self._hooks = [_conv(net, layer.name).register_forward_pre_hook(self._counter(layer.name)) for layer in LAYERS]

    def _counter(self, name: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        def count(_conv: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            # Over the batch and all places of (B, C, H, W): one number a channel.
            square = inputs[0].detach().double().square().mean((0, 2, 3))
            self._squares[name] = self._squares.get(name, torch.zeros_like(square)) + square

        return count

    def strength(self) -> dict[str, Tensor]:
        """Return the root of the mean square of each input channel, up to a common factor, by layer."""
        return {name: square.sqrt() for name, square in self._squares.items()}

    def remove(self) -> None:
        """Stop measuring."""
        for hook in self._hooks:
            hook.remove()


@torch.no_grad()
def _prune_hourglass(old: CompactHourglass, new: CompactHourglass, strength: dict[str, Tensor]) -> None:
    sizes = {
        layer.writes: (_conv(old, layer.name).out_channels, _conv(new, layer.name).out_channels) for layer in LAYERS
    }
    sizes["in"] = old.enter.in_channels, new.enter.in_channels
    # A stream of channels is read by several layers, and added to by residual blocks: all of them have a say, so that
    # one choice holds wherever it passes.
    importance = {stream: torch.zeros(size, dtype=torch.float64) for stream, (size, _) in sizes.items()}
    for layer in LAYERS:
        weight = _conv(old, layer.name).weight.double().square().sum((0, 2, 3)).sqrt() * strength[layer.name]
        for stream, part in zip(
            layer.reads, torch.split(weight.cpu(), [sizes[s][0] for s in layer.reads]), strict=True
        ):
            importance[stream] += part
    kept = {stream: importance[stream].argsort(descending=True)[: sizes[stream][1]].sort().values for stream in sizes}
    for layer in LAYERS:
        # A layer that joins two streams has the channels of the second behind those of the first.
        starts = [0]
        for stream in layer.reads:
            starts.append(starts[-1] + sizes[stream][0])
        inputs = torch.cat([start + kept[stream] for start, stream in zip(starts, layer.reads, strict=False)])
        there, conv = _conv(new, layer.name), _conv(old, layer.name)
        there.weight.copy_(conv.weight[kept[layer.writes]][:, inputs])
        if there.bias is not None and conv.bias is not None:
            there.bias.copy_(conv.bias[kept[layer.writes]])


def _conv(net: CompactHourglass, name: str) -> nn.Conv2d:
    conv = net.get_submodule(name)
    if not isinstance(conv, nn.Conv2d):
        raise TypeError(f"{name} is not a plain convolution")
    return conv

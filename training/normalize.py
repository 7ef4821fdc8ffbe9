"""Batch normalisation for training alone: each convolution gets one, which is folded into its weights afterwards.

The networks in the checkpoint have none and lose no time on it (Ioffe and Szegedy 2015).
"""

from __future__ import annotations

import copy
from collections.abc import Callable

import torch
from torch import Tensor, nn

MOMENTUM = 0.02


class NormedConv(nn.Module):
    """A convolution followed by a normalisation."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv, self.norm = conv, nn.BatchNorm2d(conv.out_channels, momentum=MOMENTUM)

    @property
    def weight(self) -> Tensor:
        """The convolution's weight."""
        return self.conv.weight

    def forward(self, x: Tensor) -> Tensor:
        """Convolve and normalise."""
        y: Tensor = self.norm(self.conv(x))
        return y

    def folded(self) -> nn.Conv2d:
        """Return one convolution that does the same with the running statistics."""
        return torch.nn.utils.fuse_conv_bn_eval(self.conv.eval(), self.norm.eval())


def add_norms(module: nn.Module, leave_out: str = "leave") -> nn.Module:
    """Add a normalisation after each convolution of a module, in place, except for the last layers."""
    for name, child in module.named_children():
        if isinstance(child, nn.Conv2d) and name != leave_out:
            setattr(module, name, NormedConv(child))
        else:
            add_norms(child, leave_out)
    return module


def normalize_as(module: nn.Module, plain: nn.Module, run: Callable[[], object]) -> None:
    """Make a module with normalisations compute what the same module without them does.

    plain: the networks without normalisations. run: runs `plain` on typical samples. Each normalisation gets the
    statistics of its convolution's output, and weights that undo it.
    """
    convs = {name: conv for name, conv in plain.named_modules() if isinstance(conv, nn.Conv2d)}
    sums = {name: torch.zeros(3, conv.out_channels, dtype=torch.float64) for name, conv in convs.items()}

    def counter(name: str) -> Callable[[nn.Module, object, Tensor], None]:
        def count(_conv: nn.Module, _inputs: object, output: Tensor) -> None:
            # (B, C, H, W) to (C, B * H * W)
            flat = output.detach().double().transpose(0, 1).flatten(1)
            # Sum, sum of squares and count, from which mean and variance follow at the end.
            of_channels = torch.stack([flat.sum(1), flat.square().sum(1), torch.full_like(flat[:, 0], flat.shape[1])])
            sums[name] += of_channels.cpu()

        return count

    hooks = [conv.register_forward_hook(counter(name)) for name, conv in convs.items()]
    run()
    for hook in hooks:
        hook.remove()
    for name, conv in convs.items():
        there = module.get_submodule(name)
        total, squares, count = sums[name]
        mean = total / count
        variance = squares / count - mean.square()
        # A channel that is always 0 has no variance, and none may be divided by.
        _copy_convolution(there, conv, mean.float(), variance.clamp_min(1e-8).float())


@torch.no_grad()
def _copy_convolution(there: nn.Module, conv: nn.Conv2d, mean: Tensor, variance: Tensor) -> None:
    """Copy a plain convolution into one with or without a normalisation after it."""
    kept = there.conv if isinstance(there, NormedConv) else there
    kept.weight.copy_(conv.weight)  # type: ignore[operator]
    if kept.bias is not None and conv.bias is not None:
        kept.bias.copy_(conv.bias)  # type: ignore[operator]
    if isinstance(there, NormedConv):
        norm = there.norm
        norm.load_state_dict({"running_mean": mean, "running_var": variance}, strict=False)
        # Scale and shift are those that the normalisation takes away: together they change nothing.
        norm.weight.copy_((variance + norm.eps).sqrt())
        norm.bias.copy_(mean)


def fold_norms(module: nn.Module) -> nn.Module:
    """Return a copy of a module with all normalisations folded into their convolutions."""
    return _fold(copy.deepcopy(module))


def _fold(module: nn.Module) -> nn.Module:
    for name, child in module.named_children():
        if isinstance(child, NormedConv):
            setattr(module, name, child.folded())
        else:
            _fold(child)
    return module

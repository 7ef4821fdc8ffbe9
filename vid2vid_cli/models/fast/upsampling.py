"""3x3 convolutions of maps that were upsampled by repeating each pixel, without the repeated work.

Taps that fall on copies of one pixel see the same number, so their weights can be added first. In a map upsampled to
twice its size, each pixel becomes two along an axis, first and last, which see two pixels of the small map each: 16
products instead of 36. In a map upsampled to four times its size, the two in the middle are equal and see one pixel
only: 25 products instead of 144, and 3x3 pixels instead of 4x4, here called the condensed map. A convolution of the
condensed map needs 100 products instead of 144. Zeros around the large map are zeros around the small one, so all this
is exact.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import product
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from vid2vid_cli.models.layers.blocks import Convolution

Place = tuple[int, int]  # row and column among the copies of a pixel
Groups = tuple[slice, ...]  # taps along an axis that fall on one pixel, group by group
EACH: Groups = (slice(0, 1), slice(1, 2), slice(2, 3))
FIRST: Groups = (slice(0, 1), slice(1, 3))  # the first copy: one tap falls on the pixel before, two on its own
LAST: Groups = (slice(0, 2), slice(2, 3))
WHOLE: Groups = (slice(0, 3),)
CONVOLVE: dict[int, Any] = {4: functional.conv2d, 5: functional.conv3d}


def sum_taps(weight: Tensor, rows: Groups, columns: Groups) -> Tensor:
    """Add up the taps of a 3x3 kernel (..., 3, 3) that fall on the same pixel: (..., len(rows), len(columns))."""
    by_row = torch.cat([weight[..., group, :].sum(-2, keepdim=True) for group in rows], -2)
    return torch.cat([by_row[..., group].sum(-1, keepdim=True) for group in columns], -1)


class Copy(NamedTuple):
    """One of the distinct copies of a pixel along an axis.

    groups: taps that fall together. place: among the distinct copies. skip: how many results of the convolution come
    before its own.
    """

    groups: Groups
    place: int
    skip: int


class Band(NamedTuple):
    """Copies along an axis whose kernels are equally long, so that one convolution computes them all."""

    padding: int
    copies: tuple[Copy, ...]


def bands(side: int) -> tuple[Band, ...]:
    """Return how the distinct copies of a pixel are computed along an axis. side: how many there are, 2 or 3."""
    edges = Band(1, (Copy(FIRST, 0, 0), Copy(LAST, side - 1, 1)))
    return (edges,) if side == 2 else (edges, Band(0, (Copy(WHOLE, 1, 0),)))


class UpsampledConv(nn.Module):
    """A 3x3 convolution of a map upsampled to two or four times its size; volumes grow in height and width only.

    Returns the distinct pixels: twice the size of the small map, or the condensed map of three times its size.
    """

    def __init__(self, conv: Convolution, factor: int = 2) -> None:
        """factor: 2 or 4."""
        super().__init__()
        self.side = min(factor, 3)
        self.depth_padding = tuple(conv.padding[:-2])
        self.pairs = list(product(bands(self.side), bands(self.side)))
        self.bias = conv.bias
        self.weights = nn.ParameterList(
            torch.cat([sum_taps(conv.weight, row.groups, column.groups) for row, column in _copies(*pair)])
            for pair in self.pairs
        ).requires_grad_(requires_grad=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, ..., H, W) to (B, C', ..., side H, side W)."""
        return assemble(self._at_places(x), self.side)

    def _at_places(self, x: Tensor) -> Iterator[tuple[Place, Tensor]]:
        height, width = x.shape[-2:]
        for (rows, columns), weight in zip(self.pairs, self.weights, strict=True):
            copies = _copies(rows, columns)
            padding = (*self.depth_padding, rows.padding, columns.padding)
            bias = None if self.bias is None else self.bias.repeat(len(copies))
            # The copies lie behind each other in the channels, each shifted by what it skips.
            made = CONVOLVE[x.dim()](x, weight, bias, padding=padding)
            for (row, column), part in zip(copies, made.chunk(len(copies), 1), strict=True):
                kept = part[..., row.skip : row.skip + height, column.skip : column.skip + width]
                yield (row.place, column.place), kept


def _copies(rows: Band, columns: Band) -> list[tuple[Copy, Copy]]:
    return list(product(rows.copies, columns.copies))


def assemble(parts: Iterable[tuple[Place, Tensor]], side: int) -> Tensor:
    """Interleave maps (B, C, ..., H, W) into one of `side` times their size, at every `side`-th row and column.

    The result has its channels last, which is what convolutions are fast with.
    """
    large: Tensor | None = None
    for (row, column), part in parts:
        if side == 1:
            return part
        if large is None:
            *before, height, width = part.shape
            kind = torch.channels_last if part.dim() == 4 else torch.channels_last_3d
            size = (*before, side * height, side * width)
            large = torch.empty(size, dtype=part.dtype, device=part.device, memory_format=kind)
        large[..., row::side, column::side] = part
    if large is None:
        raise ValueError("no parts to assemble")
    return large


class Window(NamedTuple):
    """How one of four copies of a pixel along an axis sees the condensed map, in steps of 3."""

    groups: Groups
    padding: int
    skip: int


WINDOWS = (Window(EACH, 1, 0), Window(FIRST, 0, 0), Window(LAST, 2, 1), Window(EACH, 2, 1))


class CondensedConv(nn.Module):
    """A 3x3 convolution of a map of which only the condensed one exists (three pixels for each four)."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.bias = conv.bias
        kinds: Sequence[Groups] = (EACH, FIRST, LAST)
        self.kinds = list(product(kinds, repeat=2))
        self.weights = nn.ParameterList(sum_taps(conv.weight, *kind) for kind in self.kinds)
        self.weights.requires_grad_(requires_grad=False)

    def forward(self, condensed: Tensor) -> Iterator[tuple[Place, Tensor]]:
        """Map (B, C, 3 H, 3 W) to 16 parts: yield each place among the 4x4, and its (B, C', H, W)."""
        for (i, row), (j, column) in product(enumerate(WINDOWS), repeat=2):
            # Skipping leaves out the results for pixels before the first one.
            weight = self.weights[self.kinds.index((row.groups, column.groups))]
            made = functional.conv2d(condensed, weight, self.bias, 3, (row.padding, column.padding))
            yield (i, j), made[..., row.skip :, column.skip :]

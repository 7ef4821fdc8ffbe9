"""Weighted sums of neighbouring pixels, all colours at once: compiled scalar loops would compute each by itself."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from llvmlite import ir
from numba.extending import intrinsic

from vid2vid_cli.models.compact.mesh.lanes import data_of, parts, pointer, repeat

LANES = 4  # of a vector: three colours and the matte, or three and the first one of the next pixel
_INDEX = ir.IntType(32)
_BYTES, _NUMBERS, _COLOURS = (ir.VectorType(kind, LANES) for kind in (ir.IntType(8), _INDEX, ir.FloatType()))


def _add(typing: Any, onto: Any, pixels: Any, places: Any, weights: Any) -> tuple[Any, Callable[..., Any]]:
    def emit(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        onto, pixels = (_vectors(context, builder, signature.args[k], given[k]) for k in (0, 1))
        at, above, below = (builder.extract_value(given[2], k) for k in range(3))
        total = None
        for k, first in enumerate((above, above, below, below)):
            colours = builder.load(pixels(_after(builder, first, LANES * (k % 2))), align=4)
            weight = repeat(builder, builder.extract_value(given[3], k), LANES)
            part = builder.fmul(colours, weight, flags=["fast"])
            total = part if total is None else builder.fadd(total, part, flags=["fast"])
        _increase(builder, onto(at), total)
        return context.get_dummy_value()

    three, four = parts.UniTuple(parts.uintp, 3), parts.UniTuple(parts.float32, 4)
    return parts.void(onto, pixels, three, four), emit


add_four: Callable[..., None] = intrinsic(_add)
"""Add a weighted sum of four float32 pixels (N,), four numbers each, to a pixel; for code that numba compiles.

Takes the numbers that it is added to, the pixels, where the one of the first and the left ones of the pairs above and
below begin, and the weights: left and right above, left and right below.
"""


def _add_shown(typing: Any, sums: Any, shown: Any, places: Any, shares: Any) -> tuple[Any, Callable[..., Any]]:
    def emit(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        kinds, (pixels, steps) = signature.args[1], (builder.extract_value(given[1], k) for k in (0, 1))
        data, steps = data_of(context, builder, kinds[0], pixels), _vectors(context, builder, kinds[1], steps)
        at, first, row = (builder.extract_value(given[2], k) for k in range(3))
        v, w = (repeat(builder, builder.extract_value(given[3], k), LANES) for k in range(2))
        start, to_b, to_c, most = (builder.load(steps(_after(builder, at, LANES * k)), align=4) for k in range(4))
        found = _within(builder, _scaled(builder, to_c, w, _scaled(builder, to_b, v, start)), most)
        whole = builder.fptosi(found, _NUMBERS)
        rest = builder.fsub(found, builder.sitofp(whole, _COLOURS), flags=["fast"])
        left, top = (builder.zext(_lane(builder, whole, k), row.type) for k in (1, 2))
        above = builder.add(builder.add(first, builder.mul(top, row)), builder.mul(left, ir.Constant(row.type, 3)))
        pairs = []
        for begin in (above, builder.add(above, row)):
            pair = [_load_bytes(builder, data, _after(builder, begin, k)) for k in (0, 3)]
            pairs.append(_between(builder, pair, _lane(builder, rest, 1)))
        colour = _between(builder, pairs, _lane(builder, rest, 2))
        # The last lane counts shares.
        colour = builder.insert_element(colour, ir.Constant(ir.FloatType(), 255), ir.Constant(_INDEX, 3))
        share = repeat(builder, _lane(builder, found, 0), LANES)
        onto = _vectors(context, builder, signature.args[0], given[0])(ir.Constant(row.type, 0))
        _increase(builder, onto, builder.fmul(share, colour, flags=["fast"]))
        return context.get_dummy_value()

    three, two = parts.UniTuple(parts.uintp, 3), parts.UniTuple(parts.float32, 2)
    return parts.void(sums, shown, three, two), emit


add_shown: Callable[..., None] = intrinsic(_add_shown)
"""Add what a picture shows of a mesh in one pixel to the sums of red, green, blue, and of 255 for a whole share.

Takes the sums (4,); the pixels (N,), uint8, three a pixel and one byte more after the last, and steps (M,); where those
of a triangle begin, where the picture begins, and how many bytes a row of it has; and how far the pixel is on the way
to the triangle's second and third corner. The steps are share, x and y at the first corner and a 0, four numbers, then
what is added to them on the way to either other corner, then the most that they may be. Mixed linearly between four
pixels; the edge is repeated outside.
"""


def _vectors(context: Any, builder: Any, kind: Any, array: Any) -> Callable[[Any], Any]:
    """Return what gives a pointer to the vector that begins at a place of an array."""
    return partial(pointer, builder, data_of(context, builder, kind, array), _COLOURS)


def _after(builder: Any, place: Any, count: int) -> Any:
    return builder.add(place, ir.Constant(place.type, count))


def _lane(builder: Any, vector: Any, k: int) -> Any:
    return builder.extract_element(vector, ir.Constant(_INDEX, k))


def _scaled(builder: Any, vector: Any, by: Any, onto: Any) -> Any:
    return builder.fadd(onto, builder.fmul(vector, by, flags=["fast"]), flags=["fast"])


def _within(builder: Any, vector: Any, most: Any) -> Any:
    """Return a vector that is nowhere below 0, and nowhere above another one; what is no number becomes 0."""
    zero = ir.Constant(_COLOURS, [0.0] * LANES)
    vector = builder.select(builder.fcmp_ordered(">", vector, zero), vector, zero)
    return builder.select(builder.fcmp_ordered("<", vector, most), vector, most)


def _between(builder: Any, pair: list[Any], share: Any) -> Any:
    """Return what lies between two vectors, by a share."""
    one, other = pair
    return _scaled(builder, builder.fsub(other, one, flags=["fast"]), repeat(builder, share, LANES), one)


def _load_bytes(builder: Any, data: Any, place: Any) -> Any:
    """Load bytes, which need not be aligned, as numbers."""
    loaded = builder.load(pointer(builder, data, _BYTES, place), align=1)
    return builder.uitofp(builder.zext(loaded, _NUMBERS), _COLOURS)


def _increase(builder: Any, where: Any, by: Any) -> None:
    builder.store(builder.fadd(builder.load(where, align=4), by, flags=["fast"]), where, align=4)

"""A weighted sum of four pixels, all colours at once: compiled scalar loops would compute every colour by itself."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

LANES = 4  # of a vector: three colours, and the first one of the next pixel, which is left out; or three and the matte
BYTES, NUMBERS, COLOURS = (ir.VectorType(kind, LANES) for kind in (ir.IntType(8), ir.IntType(32), ir.FloatType()))
NOTHING = ir.Constant(COLOURS, ir.Undefined)
parts: Any = types  # without annotations of its own


def _mix(typing: Any, pixels: Any, above: Any, below: Any, weights: Any) -> tuple[Any, Callable[..., Any]]:
    three, four = (parts.UniTuple(types.float32, count) for count in (3, 4))

    def emit(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, given[0]).data
        total = _sum(builder, given[1:], 3, lambda place: _load_bytes(builder, data, place))
        colours = [builder.extract_element(total, ir.Constant(ir.IntType(32), k)) for k in range(3)]
        return context.make_tuple(builder, signature.return_type, colours)

    return three(pixels, types.intp, types.intp, four), emit


mix_four: Callable[..., tuple[float, float, float]] = intrinsic(_mix)
"""Mix two neighbours in a row of pixels and two in the row below by their weights; for code that numba compiles.

Takes pixels (N,), uint8, three a pixel and one byte more after the last; where the left one of either pair begins; and
four weights, float32: left and right above, left and right below. Returns red, green and blue.
"""


def _add(typing: Any, onto: Any, pixels: Any, places: Any, weights: Any) -> tuple[Any, Callable[..., Any]]:
    def emit(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        arrays = [context.make_array(signature.args[k])(context, builder, given[k]).data for k in (0, 1)]
        at, above, below = (builder.extract_value(given[2], k) for k in range(3))
        onto, pixels = (partial(_pointer, builder, array, COLOURS) for array in arrays)
        total = _sum(builder, (above, below, given[3]), 4, lambda place: builder.load(pixels(place), align=4))
        builder.store(builder.fadd(builder.load(onto(at), align=4), total, flags=["fast"]), onto(at), align=4)
        return context.get_dummy_value()

    three, four = parts.UniTuple(types.uintp, 3), parts.UniTuple(types.float32, 4)
    return types.void(onto, pixels, three, four), emit


add_four: Callable[..., None] = intrinsic(_add)
"""Add such a mix of float32 pixels (N,), four numbers each, to a pixel of others; for code that numba compiles.

Takes the others, the pixels, where the one of the others and the left ones of both pairs begin, and the weights.
"""


def _sum(builder: Any, given: Any, step: int, load: Callable[[Any], Any]) -> Any:
    """Return the weighted sum. given: where the left pixels begin, above and below, and the four weights."""
    total = NOTHING
    for k in range(4):
        place = builder.add(given[k // 2], ir.Constant(given[0].type, step * (k % 2)))
        weight = builder.extract_value(given[2], k)
        part = builder.fmul(load(place), _repeat(builder, weight), flags=["fast"])
        total = builder.fadd(total, part, flags=["fast"]) if k else part
    return total


def _load_bytes(builder: Any, data: Any, place: Any) -> Any:
    """Load bytes, which need not be aligned, as numbers."""
    loaded = builder.load(_pointer(builder, data, BYTES, place), align=1)
    return builder.uitofp(builder.zext(loaded, NUMBERS), COLOURS)


def _pointer(builder: Any, data: Any, kind: Any, place: Any) -> Any:
    return builder.bitcast(builder.gep(data, [place]), ir.PointerType(kind))


def _repeat(builder: Any, weight: Any) -> Any:
    first = builder.insert_element(NOTHING, weight, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, NOTHING, ir.Constant(NUMBERS, [0] * LANES))

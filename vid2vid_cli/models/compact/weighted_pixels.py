"""A weighted sum of four pixels, all colours at once: compiled scalar loops would convert every colour by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

LANES = 4  # of a vector: three colours, and the first one of the next pixel, which is left out
BYTES, NUMBERS, COLOURS = (ir.VectorType(kind, LANES) for kind in (ir.IntType(8), ir.IntType(32), ir.FloatType()))
NOTHING = ir.Constant(COLOURS, ir.Undefined)


def _mix(typing: Any, pixels: Any, above: Any, below: Any, weights: Any) -> tuple[Any, Callable[..., Any]]:
    parts: Any = types  # without annotations of its own
    three, four = (parts.UniTuple(types.float32, count) for count in (3, 4))

    def emit(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, given[0]).data
        total = NOTHING
        for k in range(LANES):
            place = builder.add(given[1 + k // 2], ir.Constant(given[1].type, 3 * (k % 2)))
            weight = builder.extract_value(given[3], k)
            part = builder.fmul(_load(builder, data, place), _repeat(builder, weight), flags=["fast"])
            total = builder.fadd(total, part, flags=["fast"]) if k else part
        colours = [builder.extract_element(total, ir.Constant(ir.IntType(32), k)) for k in range(3)]
        return context.make_tuple(builder, signature.return_type, colours)

    return three(pixels, types.intp, types.intp, four), emit


mix_four: Callable[..., tuple[float, float, float]] = intrinsic(_mix)
"""Mix two neighbours in a row of pixels and two in the row below by their weights; for code that numba compiles.

Takes pixels (N,), uint8, three a pixel and one byte more after the last; where the left one of either pair begins; and
four weights, float32: left and right above, left and right below. Returns red, green and blue.
"""


def _load(builder: Any, data: Any, place: Any) -> Any:
    """Load bytes, which need not be aligned, as numbers."""
    pointer = builder.bitcast(builder.gep(data, [place]), ir.PointerType(BYTES))
    return builder.uitofp(builder.zext(builder.load(pointer, align=1), NUMBERS), COLOURS)


def _repeat(builder: Any, weight: Any) -> Any:
    first = builder.insert_element(NOTHING, weight, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, NOTHING, ir.Constant(NUMBERS, [0] * LANES))

"""Several pixels of a row at once, for code that numba compiles.

What a triangle covers of a row is seldom more than a few pixels. The compiler makes vectors of long loops only, and
leaves the pixels of short ones one by one. Here they are written LANES at a time, over the end of what was asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

LANES = 8  # of a vector; an array whose rows are written must be longer by so many numbers
_INDEX, _FLOAT = ir.IntType(32), ir.FloatType()
_FLOATS, _NUMBERS = (ir.VectorType(kind, LANES) for kind in (_FLOAT, _INDEX))
_COUNTED = list(range(LANES))
parts: Any = types  # without annotations of its own


def pointer(builder: Any, data: Any, kind: Any, place: Any) -> Any:
    """Return a pointer to a vector of some kind that begins at a place in an array's data."""
    return builder.bitcast(builder.gep(data, [place]), ir.PointerType(kind))


def data_of(context: Any, builder: Any, kind: Any, array: Any) -> Any:
    """Return where the numbers of an array lie, of a numba type."""
    return context.make_array(kind)(context, builder, array).data


def repeat(builder: Any, value: Any, lanes: int) -> Any:
    """Return a vector of so many times one number."""
    nothing = ir.Constant(ir.VectorType(value.type, lanes), ir.Undefined)
    first = builder.insert_element(nothing, value, ir.Constant(_INDEX, 0))
    return builder.shuffle_vector(first, nothing, ir.Constant(ir.VectorType(_INDEX, lanes), [0] * lanes))


def _ramp(builder: Any, value: Any, step: Any) -> Any:
    """Return the vector of value, value + step, value + 2 step ..."""
    steps = builder.fmul(repeat(builder, step, LANES), ir.Constant(_FLOATS, _COUNTED), flags=["fast"])
    return builder.fadd(repeat(builder, value, LANES), steps, flags=["fast"])


def _write(typing: Any, row: Any, place: Any, value: Any, step: Any) -> tuple[Any, Callable[..., Any]]:
    def emit(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        data = data_of(context, builder, signature.args[0], given[0])
        builder.store(_ramp(builder, *given[2:]), pointer(builder, data, _FLOATS, given[1]), align=4)
        return context.get_dummy_value()

    return parts.void(row, parts.uintp, parts.float32, parts.float32), emit


write_ramp: Callable[..., None] = intrinsic(_write)
"""Write LANES numbers, each greater by a step than the one before.

Takes an array, the place of the first number in it, that number, and the step.
"""


def _keep(typing: Any, onto: Any, place: Any, ramp: Any, covered: Any) -> tuple[Any, Callable[..., Any]]:
    def emit(context: Any, builder: Any, signature: Any, given: Any) -> Any:
        onto, ramp, covered = (partial(builder.extract_value, given[k]) for k in (0, 2, 3))
        arrays = [data_of(context, builder, signature.args[0][k], onto(k)) for k in (0, 1)]
        nearest, its = pointer(builder, arrays[0], _FLOATS, given[1]), pointer(builder, arrays[1], _NUMBERS, given[1])
        here, known = _ramp(builder, ramp(0), ramp(1)), builder.load(nearest, align=4)
        is_inside = builder.icmp_signed("<", ir.Constant(_NUMBERS, _COUNTED), repeat(builder, covered(0), LANES))
        wins = builder.and_(builder.fcmp_ordered("<", here, known), is_inside)
        builder.store(builder.select(wins, here, known), nearest, align=4)
        number = repeat(builder, covered(1), LANES)
        builder.store(builder.select(wins, number, builder.load(its, align=4)), its, align=4)
        return context.get_dummy_value()

    floats, numbers = (parts.UniTuple(kind, 2) for kind in (parts.float32, parts.int32))
    return parts.void(onto, parts.uintp, floats, numbers), emit


keep_nearer: Callable[..., None] = intrinsic(_keep)
"""Write down where a triangle is nearer than all before it, in the next LANES pixels of a row.

Takes the depths of all pixels and the numbers of their triangles, the place of the first pixel, the triangle's depth in
it and by how much that grows from pixel to pixel, how many pixels it covers from there on, and its number.
"""

"""Loops over the pixels of an eye whose iris moves, compiled by numba."""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

from vid2vid_cli.arrays import Points

Array = NDArray[np.float64]

# Eye widths, from the middle of the eye: its corners, how far an iris moves, and the skin at a corner that is left out.
CORNER, ROOM, LEFT_OUT = 0.5, 0.46, 0.16
LID_PLACES = np.linspace(-CORNER, CORNER, 65)  # where the heights of lids are kept, to be found without a search
LID_EDGE = 0.03  # eye widths: this much of an opening's rim is lid
WHITE_TO = 0.42  # eye widths from the middle: the white that stands for hidden white is taken from here at most
# Eye widths: of the soft edge of an iris, and from it to where all is white for certain.
RIM_WIDTH, CERTAIN = 0.03, 0.06
TURNS = 3  # steps in which a hidden place is turned into view


class MovedEye(NamedTuple):
    """An eye of a source, and how far its iris is to move.

    center, axes, width: of its EyeFrame; all else is in its axes and widths. upper, lower: (65,), heights of its lids
    at LID_PLACES. iris: (2,), its middle. radius: of the iris. change: (2,), of the iris.
    """

    center: Array
    axes: Array
    width: float
    upper: Array
    lower: Array
    iris: Array
    radius: float
    change: Array


@numba.njit(cache=True, nogil=True)
def move_pixels(
    displacement: Points, pixels: tuple[NDArray[np.intp], NDArray[np.intp]], grid: Array, eye: MovedEye
) -> NDArray[np.bool_]:
    """Move the iris at some pixels of a displacement (h, w, 2), in place.

    pixels: their x and y, (P,) each. grid: (2, 2), the place of the first pixel's middle, and the step from pixel to
    pixel. Returns (P,), whether what the source hides is shown.
    """
    columns, rows = pixels
    hidden = np.zeros(len(columns), np.bool_)
    for k in range(len(columns)):
        x, y = columns[k], rows[k]
        place_x, place_y = grid[0, 0] + x * grid[1, 0], grid[0, 1] + y * grid[1, 1]
        shift_x, shift_y, hidden[k] = _shift(place_x + displacement[y, x, 0], place_y + displacement[y, x, 1], 0.5, eye)
        displacement[y, x, 0] += shift_x
        displacement[y, x, 1] += shift_y
    return hidden


@numba.njit(cache=True, nogil=True)
def move_samples(values: Points, places: Points, middles: Points, eye: MovedEye) -> None:
    """Move the iris of one eye at the samples of some pixels, in place.

    values: (S, E, 3 or more), displacement, and more than half where a sample lies in the opening of an eye. places:
    (E, 2), of the pixels. middles: (2, 2), of this eye and of the other one, to know whose opening it is.
    """
    count = len(values)
    for e in range(len(places)):
        x, y = places[e, 0], places[e, 1]
        away = (middles[0, 0] - x) ** 2 + (middles[0, 1] - y) ** 2
        if away > (middles[1, 0] - x) ** 2 + (middles[1, 1] - y) ** 2:
            continue
        for s in range(count):
            if values[s, e, 2] > 0.5:
                rank = (s + 0.5) / count
                shift_x, shift_y, _ = _shift(x + values[s, e, 0], y + values[s, e, 1], rank, eye)
                values[s, e, 0] += shift_x
                values[s, e, 1] += shift_y


@numba.njit(cache=True, nogil=True, inline="always")
def _shift(x: float, y: float, rank: float, eye: MovedEye) -> tuple[float, float, bool]:
    """Return how far what a place of the source shows moves with the iris, and whether the source hides that.

    x, y: in the mesh's unit. rank: in (0, 1), spread evenly over the samples of a pixel.
    """
    if eye.change[0] == 0 and eye.change[1] == 0:
        return 0.0, 0.0, False
    axes, center = eye.axes, eye.center
    own_x = ((x - center[0]) * axes[0, 0] + (y - center[1]) * axes[1, 0]) / eye.width
    own_y = ((x - center[0]) * axes[0, 1] + (y - center[1]) * axes[1, 1]) / eye.width
    there = _follow(own_x, own_y, eye)
    found_x, found_y = _between_lids(there, (own_x, own_y), rank, eye)
    along, down = (found_x - own_x) * eye.width, (found_y - own_y) * eye.width
    return along * axes[0, 0] + down * axes[0, 1], along * axes[1, 0] + down * axes[1, 1], found_y != there[1]


@numba.njit(cache=True, nogil=True, inline="always")
def _follow(x: float, y: float, eye: MovedEye) -> tuple[float, float]:
    """Return what a place of an opening shows of the source once the iris has moved, whatever the lids."""
    begin, end = max(eye.iris[0] - eye.radius, -ROOM), min(eye.iris[0] + eye.radius, ROOM)
    along = min(max(eye.change[0], min(-ROOM - begin, 0.0)), max(ROOM - end, 0.0))
    if abs(x) >= CORNER:
        return x, y
    # The iris keeps its width; the white on either side is stretched or compressed up to the corners. Where it is
    # stretched, the part right at the corner is left out, since it is skin.
    if x < begin + along:
        first, share = min(min(max(along, 0.0), LEFT_OUT) - CORNER, begin), (x + CORNER) / (begin + along + CORNER)
        return first + share * (begin - first), y - share * eye.change[1]
    if x > end + along:
        last, share = max(CORNER - min(max(-along, 0.0), LEFT_OUT), end), (CORNER - x) / (CORNER - end - along)
        return last + share * (end - last), y - share * eye.change[1]
    return x - along, y - eye.change[1]


@numba.njit(cache=True, nogil=True, inline="always")
def _between_lids(
    there: tuple[float, float], own: tuple[float, float], rank: float, eye: MovedEye
) -> tuple[float, float]:
    """Return a place of an opening, or another one that looks alike where the source's lids hide it.

    An eye looks the same all around its iris, so a hidden place is turned around the iris until it is in view: an iris
    that the source shows in part is round where the target shows more of it. own: what was seen before; as much of the
    lids' edge as was seen stays.
    """
    (there_x, there_y), (own_x, own_y) = there, own
    over_lid, under_lid = there_y - _at(there_x, eye.lower), _at(there_x, eye.upper) - there_y
    if max(over_lid, under_lid) <= -LID_EDGE:
        return there
    above = min(max(own_y - _at(own_x, eye.upper), 0.0), LID_EDGE)
    below = min(max(_at(own_x, eye.lower) - own_y, 0.0), LID_EDGE)
    hidden_by = max(over_lid + below, under_lid + above)
    if hidden_by <= 0:
        return there_x, there_y
    away_x, away_y = there_x - eye.iris[0], there_y - eye.iris[1]
    radius = np.sqrt(away_x**2 + away_y**2)
    # What is white comes from further out, where it is certain to be: the iris may be larger than measured.
    radius += _smoothstep((radius - eye.radius) / RIM_WIDTH + 0.5) * min(2 * hidden_by, CERTAIN)
    # In the middle there are two ways round, and samples are shared out among them.
    side = 1.0 if _smoothstep(away_x / (2 * eye.radius) + 0.5) > rank else -1.0
    furthest = max(abs(there_x), WHITE_TO)
    x = there_x
    y = _clip_to_lids(x, there_y, above, below, eye)
    for _ in range(TURNS):
        aside = np.sqrt(max(radius**2 - (y - eye.iris[1]) ** 2, 0.0))
        x = min(max(eye.iris[0] + side * aside, -furthest), furthest)
        y = _clip_to_lids(x, there_y, above, below, eye)
    return x, y


@numba.njit(cache=True, nogil=True, inline="always")
def _clip_to_lids(x: float, y: float, above: float, below: float, eye: MovedEye) -> float:
    """Return y, moved to where the source's lids do not hide it at x. above, below: margins from the lids."""
    upper, lower = _at(x, eye.upper), _at(x, eye.lower)
    between = (upper + lower) / 2
    return min(max(y, min(upper + above, between)), max(lower - below, between))


@numba.njit(cache=True, nogil=True, inline="always")
def _at(x: float, lid: Array) -> float:
    """Return the height of a lid at some x, that of its ends beyond them. lid: see LID_PLACES."""
    last = len(lid) - 1
    place = min(max((x / (2 * CORNER) + 0.5) * last, 0.0), float(last))
    index = min(int(place), last - 1)
    return float(lid[index] + (place - index) * (lid[index + 1] - lid[index]))


@numba.njit(cache=True, nogil=True, inline="always")
def _smoothstep(x: float) -> float:
    t = min(max(x, 0.0), 1.0)
    return t * t * (3 - 2 * t)

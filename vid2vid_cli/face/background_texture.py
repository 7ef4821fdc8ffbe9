"""Give a background that is filled smoothly, where a person hides it, the texture that it shows elsewhere.

From coarse to fine, each patch of the hole looks for the known patch that is most like it, and each pixel becomes the
mean of what the patches around say (Wexler, Shechtman, Irani, "Space-Time Completion of Video", PAMI 2007). The search
is PatchMatch (Barnes, Shechtman, Finkelstein, Goldman, SIGGRAPH 2009). What is wide stays as it was filled, so that no
patch brings its own light along.
"""

from __future__ import annotations

import cv2
import numba
import numpy as np
from numpy.typing import NDArray

from vid2vid_cli.arrays import Map, Points

Flags = NDArray[np.uint8]
Offsets = NDArray[np.int32]

SEARCHED_SIDE = 192  # px: longer side of the picture in which patches are looked for
REACH, FADE = 0.16, 0.04  # of the longer side: how far into the hole there is texture; over which it fades out
WIDE = 0.04  # of the longer side: what is wider is left as it was filled
RADIUS = 2  # px of a patch around its middle
LEVELS, ROUNDS = 3, (2, 3, 4)  # scales, each half the last; how often all pixels are voted on at each, the finest first
SEARCHES = 2  # sweeps over the hole before each vote
WINDOW = 4  # of the longer side: the part of it within which a better patch is looked for at random, at first
FAR = 1.0  # in squared full light: what a patch costs that is the length of a side away
SURE = 0.25  # of the mean cost: a patch that costs more by this has a third of the vote
_LARGE = np.float32(1e9)


def add_texture(background: Points, known: Map) -> Points:
    """Return a background (H, W, 3) in [0, 1] with texture where it is filled smoothly.

    known: (h, w), 1 where it is the picture's own, 0 where it is filled, see filling.shown_background.
    """
    height, width = background.shape[:2]
    shrink = min(1.0, SEARCHED_SIDE / max(height, width))
    size = max(1, round(width * shrink)), max(1, round(height * shrink))
    own = np.asarray(cv2.resize(known, size, interpolation=cv2.INTER_AREA) > 1 - 1e-3, np.uint8)
    into = cv2.distanceTransform(1 - own, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) / max(size)
    wanted = np.asarray((own == 0) & (into < REACH), np.uint8)
    if not wanted.any():
        return background
    offsets = _find(np.asarray(cv2.resize(background, size, interpolation=cv2.INTER_AREA), np.float32), own, wanted)
    if offsets is None:
        return background
    share = np.clip((REACH - into) / FADE, 0, 1).astype(np.float32) * wanted
    share = cv2.resize(share, (width, height), interpolation=cv2.INTER_LINEAR)[..., None]
    moved = background + share * (_take(background, offsets) - background)
    wide = cv2.GaussianBlur(background - moved, (0, 0), WIDE * max(height, width))
    return np.asarray(np.clip(background + share * (moved + wide - background), 0, 1), np.float32)


def _take(picture: Points, offsets: Offsets) -> Points:
    """Return what lies away from each pixel of a picture (H, W, 3): offsets (h, w, 2), x and y, in px of their own."""
    height, width = picture.shape[:2]
    rows, columns = offsets.shape[:2]
    scale = np.array([width / columns, height / rows], np.float32)
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    at_x, at_y = (x + 0.5) / scale[0] - 0.5, (y + 0.5) / scale[1] - 0.5
    taken = np.zeros_like(picture)
    # Between four offsets it is what all four say, each as near as it is.
    for right, down in ((0, 0), (1, 0), (0, 1), (1, 1)):
        column, row = np.floor(at_x).astype(int) + right, np.floor(at_y).astype(int) + down
        near = np.asarray((1 - np.abs(at_x - column)) * (1 - np.abs(at_y - row)), np.float32)
        away = np.asarray(offsets[row.clip(0, rows - 1), column.clip(0, columns - 1)] * scale, np.float32)
        there = cv2.remap(picture, x + away[..., 0], y + away[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
        taken += near[..., None] * there
    return taken


def _find(picture: Points, known: Flags, wanted: Flags) -> Offsets | None:
    """Return how far away what fills each pixel lies: (h, w, 2), x and y in px. None where too little is known.

    picture: (h, w, 3), filled smoothly to begin with. known, wanted: (h, w), 1 or 0.
    """
    offsets: Offsets | None = None
    filled = picture
    for level in range(LEVELS - 1, -1, -1):
        size = max(1, picture.shape[1] >> level), max(1, picture.shape[0] >> level)
        shown = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.float32)
        own = np.asarray(cv2.resize(cv2.erode(known, _square(level)), size, interpolation=cv2.INTER_NEAREST), np.uint8)
        hole = np.asarray(cv2.dilate(cv2.resize(wanted, size, interpolation=cv2.INTER_NEAREST), _square(1)), np.uint8)
        hole &= 1 - own
        whole = np.asarray(cv2.erode(own, _square(RADIUS), borderType=cv2.BORDER_CONSTANT, borderValue=0), np.uint8)
        if not whole.any():
            continue
        around = np.asarray(cv2.dilate(hole, _square(RADIUS)), np.uint8)
        work = np.asarray(cv2.resize(filled, size, interpolation=cv2.INTER_LINEAR), np.float32)
        work[own > 0] = shown[own > 0]
        coarse = np.zeros((1, 1, 2), np.int32) if offsets is None else offsets
        offsets = _start(around, whole, np.argwhere(whole), coarse)
        for count in range(ROUNDS[level]):
            costs = np.full(around.shape, _LARGE, np.float32)
            _search(work, around, whole, (offsets, costs), count + 1)
            _vote(work, shown, (around, hole), (offsets, costs), float(costs[around > 0].mean()))
        filled = work
    return offsets


def _square(radius: int) -> Flags:
    return np.ones((2 * radius + 1, 2 * radius + 1), np.uint8)


@numba.njit(cache=True, nogil=True)
def _start(around: Flags, whole: Flags, places: NDArray[np.int64], coarse: Offsets) -> Offsets:
    """Return offsets twice as large as at the coarser scale; where those lead to nothing whole, to any place."""
    height, width = around.shape
    offsets = np.zeros((height, width, 2), np.int32)
    state = np.uint64(1)
    for y in range(height):
        for x in range(width):
            if not around[y, x]:
                continue
            row, column = min(y // 2, coarse.shape[0] - 1), min(x // 2, coarse.shape[1] - 1)
            to_x, to_y = x + 2 * coarse[row, column, 0], y + 2 * coarse[row, column, 1]
            if not (0 <= to_x < width and 0 <= to_y < height and whole[to_y, to_x]):
                state = _next(state)
                place = places[_pick(state, len(places))]
                to_x, to_y = place[1], place[0]
            offsets[y, x, 0], offsets[y, x, 1] = to_x - x, to_y - y
    return offsets


@numba.njit(cache=True, nogil=True)
def _next(state: np.uint64) -> np.uint64:
    """Return the next state of a linear congruence (Knuth's MMIX): the same picture is filled the same way."""
    return state * np.uint64(6364136223846793005) + np.uint64(1442695040888963407)


@numba.njit(cache=True, nogil=True)
def _pick(state: np.uint64, count: int) -> int:
    """Return a number from 0 to count - 1 out of a state's upper half."""
    return int((state >> np.uint64(33)) % np.uint64(count))


@numba.njit(cache=True, nogil=True, fastmath=True)
def _cost(work: Points, place: tuple[int, int], other: tuple[int, int], most: np.float32) -> np.float32:
    """Return what it costs to show another patch in a place, both x and y; some larger number if more than `most`."""
    (x, y), (to_x, to_y) = place, other
    height, width = work.shape[:2]
    side = np.float32(max(height, width))
    across, down = np.float32(to_x - x) / side, np.float32(to_y - y) / side
    cost = np.float32(FAR) * (across * across + down * down)
    for dy in range(-RADIUS, RADIUS + 1):
        if cost >= most:
            return cost
        row = min(max(y + dy, 0), height - 1)
        for dx in range(-RADIUS, RADIUS + 1):
            column = min(max(x + dx, 0), width - 1)
            for k in range(3):
                differs = work[row, column, k] - work[to_y + dy, to_x + dx, k]
                cost += differs * differs
    return cost


@numba.njit(cache=True, nogil=True, fastmath=True)
def _search(work: Points, around: Flags, whole: Flags, found: tuple[Offsets, Map], seed: int) -> None:
    """Improve offsets by those of their neighbours, and by random ones nearer and nearer; write what they cost."""
    offsets, costs = found
    height, width = around.shape
    state = np.uint64(seed)
    for y in range(height):
        for x in range(width):
            if around[y, x]:
                costs[y, x] = _cost(work, (x, y), (x + offsets[y, x, 0], y + offsets[y, x, 1]), _LARGE)
    for sweep in range(SEARCHES):
        step = 1 - 2 * (sweep % 2)
        for j in range(height):
            y = j if step > 0 else height - 1 - j
            for i in range(width):
                x = i if step > 0 else width - 1 - i
                if not around[y, x]:
                    continue
                for other_x, other_y in ((x - step, y), (x, y - step)):
                    if 0 <= other_x < width and 0 <= other_y < height and around[other_y, other_x]:
                        _try(work, whole, found, (x, y), offsets[other_y, other_x])
                reach = max(height, width) // WINDOW
                away = np.empty(2, np.int32)
                while reach >= 1:
                    for axis in range(2):
                        state = _next(state)
                        away[axis] = offsets[y, x, axis] + _pick(state, 2 * reach + 1) - reach
                    _try(work, whole, found, (x, y), away)
                    reach //= 2


@numba.njit(cache=True, nogil=True, fastmath=True)
def _try(
    work: Points, whole: Flags, found: tuple[Offsets, Map], place: tuple[int, int], away: NDArray[np.int32]
) -> None:
    """Take an offset for a place, x and y, if a whole patch lies there that costs less."""
    (offsets, costs), (x, y) = found, place
    to_x, to_y = x + away[0], y + away[1]
    if not (0 <= to_x < whole.shape[1] and 0 <= to_y < whole.shape[0] and whole[to_y, to_x]):
        return
    cost = _cost(work, place, (to_x, to_y), costs[y, x])
    if cost < costs[y, x]:
        costs[y, x] = cost
        offsets[y, x, 0], offsets[y, x, 1] = away[0], away[1]


@numba.njit(cache=True, nogil=True, fastmath=True)
def _vote(work: Points, shown: Points, flags: tuple[Flags, Flags], found: tuple[Offsets, Map], mean: float) -> None:
    """Make each pixel of a hole the mean of what the patches that contain it say, in place."""
    (around, hole), (offsets, costs) = flags, found
    height, width = hole.shape
    for y in range(height):
        for x in range(width):
            if not hole[y, x]:
                continue
            red = green = blue = total = np.float32(0)
            for dy in range(-RADIUS, RADIUS + 1):
                for dx in range(-RADIUS, RADIUS + 1):
                    row, column = y + dy, x + dx
                    if not (0 <= row < height and 0 <= column < width and around[row, column]):
                        continue
                    weight = np.exp(-costs[row, column] / np.float32(SURE * mean + 1e-6))
                    weight = weight / (1 + dx * dx + dy * dy) + np.float32(1e-6)
                    from_x, from_y = x + offsets[row, column, 0], y + offsets[row, column, 1]
                    red += weight * shown[from_y, from_x, 0]
                    green += weight * shown[from_y, from_x, 1]
                    blue += weight * shown[from_y, from_x, 2]
                    total += weight
            work[y, x, 0], work[y, x, 1], work[y, x, 2] = red / total, green / total, blue / total

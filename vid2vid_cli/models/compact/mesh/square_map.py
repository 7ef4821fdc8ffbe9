"""Coarse maps of the square within a crop's border: where a person is, and how far they lie before a plane."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from vid2vid_cli.arrays import Map, Points
from vid2vid_cli.geometry.easing import smoothstep
from vid2vid_cli.models.compact.mesh.box import Border, Box

SIDE = 96  # px: of these maps
CAP = 0.4  # of half the width in which a frame cuts off a head: how much higher the head reaches
HALF = 0.5  # of a matte: where the person ends
CUT_REACH = 1  # cells along a side of the frame around where it cuts a person off, within which they count as cut off


@dataclass(frozen=True)
class SquareMap:
    """A map over the square within a border. values: (SIDE, SIDE), or (SIDE, SIDE, C)."""

    values: Map
    border: Border

    @property
    def step(self) -> Points:
        """The width and height of a cell, in halves of the crop's longer side: (2,)."""
        return np.asarray((self.border.high - self.border.low) / SIDE, np.float32)

    @property
    def middles(self) -> tuple[Points, Points]:
        """Where the cells' middles lie: x and y (SIDE,) each."""
        cells = np.arange(SIDE, dtype=np.float32) + np.float32(0.5)
        x, y = (low + cells * step for low, step in zip(self.border.low, self.step, strict=True))
        return np.asarray(x), np.asarray(y)

    @classmethod
    def of(cls, picture: Points, border: Border, frame: Box | None = None) -> SquareMap:
        """Read the square within a border off a crop's picture (H, W) or (H, W, C); its edge is repeated beyond it.

        frame: how much of the crop is looked at, see SeenPerson.in_crop.
        """
        height, width = picture.shape[:2]
        half, rows, columns = max(height, width) / 2, slice(0, None), slice(0, None)
        if frame is not None:
            rows, columns = frame.in_px((height, width))
        step = np.asarray((border.high - border.low) * half / SIDE, np.float64)
        first = border.low * half + (width / 2, height / 2) - (columns.start, rows.start) + step / 2 - 0.5
        # Averaged first, so that no place between two samples is missed.
        blurred = cv2.blur(picture[rows, columns], (max(1, round(step[0])), max(1, round(step[1]))))
        affine = np.array([[step[0], 0, first[0]], [0, step[1], first[1]]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        values = cv2.warpAffine(blurred, affine, (SIDE, SIDE), flags=flags, borderMode=cv2.BORDER_REPLICATE)
        return cls(np.asarray(values, np.float32), border)

    def at(self, places: Points) -> Points:
        """Sample the map linearly at places (..., 2); its edge is repeated outside. Returns (...) or (..., C)."""
        px = np.asarray((places - self.border.low) / self.step - 0.5, np.float32).reshape(1, -1, 2)
        sampled = cv2.remap(self.values, px, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
        return np.asarray(sampled, np.float32).reshape(*places.shape[:-1], *self.values.shape[2:])

    def grown(self, reach: int = 1) -> SquareMap:
        """Return the map with the largest value around each cell. reach: in cells."""
        around = np.ones((2 * reach + 1,) * 2, np.uint8)
        return SquareMap(np.asarray(cv2.dilate(self.values, around), np.float32), self.border)


@dataclass(frozen=True)
class SeenPerson:
    """Where a picture shows a person. matte: its edge is repeated beyond the frame. frame: what the frame shows.

    colours: of the picture, RGB; None where nothing is asked of them.
    """

    matte: SquareMap
    frame: Box
    colours: SquareMap | None = None

    @classmethod
    def in_crop(cls, matte: Map, border: Border, frame: Box | None = None, picture: Points | None = None) -> SeenPerson:
        """Read the square within a border off a crop's matte (H, W), and its picture (H, W, 3) if that is asked for.

        frame: how much of the crop a frame shows; None for all of it.
        """
        colours = None if picture is None else SquareMap.of(picture, border, frame)
        return cls(SquareMap.of(matte, border, frame), frame or Box.whole(matte.shape), colours)

    def room(self, places: Points, *, below: bool = True, above: bool = True) -> Map:
        """Return how far it is from places (..., 2) to what holds still: (...), not negative.

        The border is still, and so are both sides and the lower edge of the frame where they cut the person off: what
        moves inwards there would draw the frame's edge after it. below: count the lower edge. above: count the upper
        border.
        """
        border, frame, step = self.matte.border, self.frame, self.matte.step
        to_low, to_high = places - border.low, border.high - places
        room = np.minimum(to_low, to_high).min(-1) if above else np.minimum(to_low[..., 0], to_high.min(-1))
        cut = SquareMap(np.asarray(cv2.blur(self.matte.grown(CUT_REACH).values, (2 * CUT_REACH + 1,) * 2)), border)
        within = np.clip(places, frame.low + step, frame.high - step)
        for axis, edge, inwards in ((0, frame.left, 1), (0, frame.right, -1), (1, frame.bottom, -1))[: 2 + below]:
            at_edge = within.astype(np.float32)
            at_edge[..., axis] = edge + inwards * step[axis]
            nearer = np.minimum(room, inwards * (places[..., axis] - edge))
            room = room + smoothstep(cut.at(at_edge)) * (nearer - room)
        return np.asarray(room.clip(0), np.float32)

    def completed(self, head: Map | None = None) -> SquareMap:
        """Return the matte of a person who ends in round caps where the frame's top cuts them off.

        head: (SIDE, SIDE), what of it is a head whose outline is known, see crown.py.
        """
        _, y = self.matte.middles
        above = (self.frame.top - y) / self.matte.step[1]  # cells above the frame
        first = np.flatnonzero(above <= 0)[:1]
        if above[0] <= 0 or not first.size:
            return self.matte
        heights = cap_heights(self.matte.values[first][0], None if head is None else head[first][0])
        cap = np.minimum(self.matte.values, np.clip(heights[None] - above[:, None] + 0.5, 0, 1))
        cap = cap if head is None else np.maximum(cap, head)
        values = np.where(above[:, None] > 0, cap, self.matte.values)
        return SquareMap(values.astype(np.float32), self.matte.border)


def cap_heights(row: Points, head: Points | None = None) -> Points:
    """Return how high a round cap reaches over the places where a frame's top cuts a person off, in px: (W,).

    row: (W,), the matte along the top. head: (W,), what of it is a head, which is closed otherwise.
    """
    heights = np.zeros(len(row), np.float32)
    ends = np.flatnonzero(np.diff(np.concatenate([[0], row > HALF, [0]]).astype(int)))
    for begin, end in ends.reshape(-1, 2):
        if head is not None and (head[begin:end] > HALF).any():
            continue
        px = np.arange(begin, end)
        heights[begin:end] = CAP * np.sqrt((px - begin + 0.5) * (end - px - 0.5))
    return heights


def part_around(row: Points, middle: float, least: float = HALF) -> tuple[int, int] | None:
    """Return where the part of a row (W,) of a matte around or next to a middle begins and ends; None without any."""
    parts = np.flatnonzero(np.diff(np.concatenate([[0], row > least, [0]]).astype(int))).reshape(-1, 2)
    if not len(parts):
        return None
    away = np.maximum(parts[:, 0] - middle, middle - parts[:, 1])
    begin, end = parts[away.argmin()].tolist()
    return begin, end

"""Parts of a crop, in halves of its longer side: x right, y down, 0 at its centre."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vid2vid_cli.arrays import Points


@dataclass(frozen=True)
class Box:
    """An upright part of a crop."""

    left: float
    top: float
    right: float
    bottom: float

    @classmethod
    def around(cls, x: float, y: float, half: float) -> Box:
        """Return the square with its middle at a point, and with sides of twice `half`."""
        return cls(x - half, y - half, x + half, y + half)

    @classmethod
    def whole(cls, size: tuple[int, int]) -> Box:
        """Return the box of a whole crop. size: (height, width)."""
        # The longer side reaches from -1 to 1.
        height, width = size[0] / max(size), size[1] / max(size)
        return cls(-width, -height, width, height)

    @classmethod
    def of_px(cls, corners_px: Points, size: tuple[int, int]) -> Box:
        """Return the part of a crop between left, top, right and bottom (4,) in its px. size: (height, width)."""
        whole = cls.whole(size)
        step = whole.width / size[1]
        low, high = (corner * step + whole.low for corner in corners_px.astype(np.float64).reshape(2, 2))
        (left, top), (right, bottom) = (corner.clip(whole.low, whole.high).tolist() for corner in (low, high))
        return cls(left, top, right, bottom)

    def in_px(self, size: tuple[int, int]) -> tuple[slice, slice]:
        """Return the rows and columns of the part in a whole crop, one at least. size: (height, width)."""
        half, (height, width) = max(size) / 2, size
        (left, top), (right, bottom) = ((end * half + (width / 2, height / 2)).round() for end in (self.low, self.high))
        left, top = min(int(left), width - 1), min(int(top), height - 1)
        return slice(top, max(int(bottom), top + 1)), slice(left, max(int(right), left + 1))

    @property
    def low(self) -> NDArray[np.float64]:
        """Left and top: (2,)."""
        return np.array((self.left, self.top))

    @property
    def high(self) -> NDArray[np.float64]:
        """Right and bottom: (2,)."""
        return np.array((self.right, self.bottom))

    @property
    def width(self) -> float:
        """The length of the upper side."""
        return self.right - self.left


@dataclass(frozen=True)
class Border:
    """The border around a head that holds still. low: left and top, high: right and bottom, (2,) each."""

    # Arrays in single precision, unlike a box: the mesh is built from them in this precision.
    low: NDArray[np.float32]
    high: NDArray[np.float32]

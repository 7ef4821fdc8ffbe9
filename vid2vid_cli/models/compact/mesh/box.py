"""Parts of a crop, in halves of its longer side: x right, y down, 0 at its centre."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


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

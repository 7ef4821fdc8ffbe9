"""Soft steps."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def smoothstep(x: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
    """Return 0 up to 0, 1 from 1 on, and a smooth path between; float32 of the shape of x."""
    x = np.clip(x, 0, 1)
    return np.asarray(x * x * (3 - 2 * x), np.float32)

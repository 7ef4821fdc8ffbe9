"""Smooth steps, for numbers, arrays and tensors."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray
from torch import Tensor


def smoothstep_between(value: float, low: float, high: float) -> float:
    """Return a smooth step in [0, 1] that rises from 0 at low to 1 at high."""
    t = min(max((value - low) / (high - low), 0.0), 1.0)
    return t * t * (3 - 2 * t)


def smoothstep(x: NDArray[np.floating[Any]], dtype: DTypeLike = np.float32) -> NDArray[Any]:
    """Return 0 up to 0, 1 from 1 on, and 3 x^2 - 2 x^3 between; an array of the shape of x, of `dtype`."""
    x = np.clip(x, 0, 1)
    return np.asarray(x * x * (3 - 2 * x), dtype)


def smoothstep_tensor(x: Tensor) -> Tensor:
    """Return the same step of a tensor, in its own dtype."""
    x = x.clamp(0, 1)
    return x * x * (3 - 2 * x)

"""The kinds of arrays that many modules exchange, each named once."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Frame = NDArray[np.uint8]
"""A picture as files and screens have it: (H, W, 3), RGB, 0 to 255."""

Points = NDArray[np.float32]
"""Points in a plane or in space: (N, 2) as (x, y), or (N, 3) as (x, y, z)."""

Map = NDArray[np.float32]
"""One number for each pixel: (H, W)."""

Indices = NDArray[np.int32]
"""Numbers of points, such as the corners of triangles: (N, 3)."""

"""Measures of how far one picture or face is from another, and their means."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vid2vid_cli.arrays import Frame
from vid2vid_cli.errors import UsageError

PixelPoints = NDArray[np.float64]
Scores = Mapping[str, float | None]
"""Measured values by name, None where they could not be measured."""

MOST_PSNR_DB = 60.0  # equal pictures have infinite PSNR, which would spoil every mean
SMALLEST_FOR_MS_SSIM_PX = 177  # five scales, each half the size of the one before, with a window of 11 px


class Window(NamedTuple):
    """A rectangle of a picture, as an index into its first two axes."""

    rows: slice
    columns: slice


EVERYTHING = Window(slice(None), slice(None))


def require_similarity() -> None:
    """Raise UsageError if the package that measures similarity is missing."""
    try:
        import torchmetrics.functional.image  # noqa: F401
    except ImportError as error:
        raise UsageError(
            f"evaluate self: torchmetrics does not load ({error}); pip install 'vid2vid[evaluate]'"
        ) from error


def mean_error(one: Frame, other: Frame, window: Window = EVERYTHING) -> float:
    """Return the mean absolute difference (L1) of two frames (H, W, 3), 0 to 255, in a window."""
    difference = np.abs(one[window].astype(np.int16) - other[window])  # uint8 would wrap around
    return float(difference.mean())


def peak_signal_to_noise(one: Frame, other: Frame) -> float:
    """Return the PSNR of two frames (H, W, 3) in dB, at most MOST_PSNR_DB."""
    mean_square = float(np.square(one.astype(np.float64) - other).mean())
    return min(MOST_PSNR_DB, 10 * math.log10(255**2 / max(mean_square, 1e-12)))


def similarity(one: Frame, other: Frame) -> float:
    """Return the SSIM of two frames (H, W, 3), at most 1 (Wang, Bovik, Sheikh, Simoncelli 2004)."""
    from torchmetrics.functional.image import structural_similarity_index_measure

    # torchmetrics returns a tuple only if asked for more than the mean; its annotation allows both.
    value = structural_similarity_index_measure(_image(one), _image(other), data_range=255.0)
    return float(value) if isinstance(value, Tensor) else float(value[0])


def multiscale_similarity(one: Frame, other: Frame) -> float | None:
    """Return the MS-SSIM of two frames (H, W, 3), at most 1 (Wang, Simoncelli, Bovik 2003). None for small ones."""
    from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

    if min(one.shape[:2]) < SMALLEST_FOR_MS_SSIM_PX:
        return None
    return float(multiscale_structural_similarity_index_measure(_image(one), _image(other), data_range=255.0))


def keypoint_distance(one: PixelPoints, other: PixelPoints) -> float:
    """Return the mean distance between keypoints (N, 2), in their own unit."""
    return float(np.linalg.norm(one - other, axis=1).mean())


def window_around(points: PixelPoints, margin: float, size: tuple[int, int]) -> Window | None:
    """Return the box around points (N, 2) in px, grown on each side by a fraction `margin` of its longer side.

    size: (height, width) of the picture. The window is clipped to it; None if nothing is left.
    """
    low, high = points.min(0), points.max(0)
    grow = margin * float((high - low).max())
    left, top = (max(0, math.floor(v - grow)) for v in low)
    right, bottom = (min(limit, math.ceil(v + grow)) for v, limit in zip(high, size[::-1], strict=True))
    return Window(slice(top, bottom), slice(left, right)) if left < right and top < bottom else None


def _image(frame: Frame) -> Tensor:
    """Return a frame (H, W, 3) as (1, 3, H, W), still 0 to 255."""
    return torch.from_numpy(np.array(frame)).permute(2, 0, 1)[None].float()


@dataclass
class MeanScores:
    """Running means of scores by name."""

    _sums: dict[str, float] = field(default_factory=dict)
    _counts: dict[str, int] = field(default_factory=dict)

    def add(self, scores: Scores) -> None:
        """Add the scores of one more picture or clip. None is not counted."""
        for name, value in scores.items():
            known = value is not None
            self._sums[name] = self._sums.get(name, 0.0) + (value or 0.0)
            self._counts[name] = self._counts.get(name, 0) + known

    def means(self) -> dict[str, float | None]:
        """Return the mean of each score over the times it could be measured, None if never."""
        return {name: self._sums[name] / count if count else None for name, count in self._counts.items()}

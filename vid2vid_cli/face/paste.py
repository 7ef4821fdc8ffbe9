"""Paste a rendered face back into the frame it was cropped from."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vid2vid_cli.arrays import Frame
from vid2vid_cli.face.crop import FaceCrop, sample_affine
from vid2vid_cli.geometry.affine import invert_affine
from vid2vid_cli.geometry.easing import smoothstep

# Widths as a fraction of the crop's side.
NATIVE_FEATHER = 0.04  # a native crop differs little from the frame at its border
FEATHER = 0.08  # soft enough to hide a seam, narrow enough to show the rendered hair


def feather_mask(size: tuple[int, int], feather: float = FEATHER) -> NDArray[np.float32]:
    """Return a mask (height, width): 1 inside, falling to 0 at the border over a fraction `feather` of the side."""
    ramps = []
    for length in size:
        width = max(1.0, feather * length)
        distance = np.minimum(np.arange(length), np.arange(length)[::-1])
        ramps.append(smoothstep((distance / width).astype(np.float32)))
    return np.asarray(np.minimum(ramps[0][:, None], ramps[1][None, :]), np.float32)


def paste_face(frame: Frame, rendered: Frame, crop: FaceCrop) -> Frame:
    """Return a copy of `frame` with the rendered crop in its place, feathered at the crop's border.

    rendered: uint8 RGB of the whole crop, at any resolution. A native crop is copied pixel by pixel and feathered
    only where it ends within the frame. Any other crop is resampled to the frame.
    """
    out = frame.copy()
    crop = crop.resized((rendered.shape[0], rendered.shape[1]))
    if crop.is_native:
        _paste_native(out, rendered, crop)
        return out
    mask = np.repeat((feather_mask(crop.size) * 255 + 0.5).astype(np.uint8)[..., None], 3, 2)
    # Resample only the box of the frame in which the crop lies; it may be turned, and reach beyond the frame.
    to_crop = invert_affine(crop.affine)
    corners = crop.affine @ np.array([[0, crop.size[1], 0, crop.size[1]], [0, 0, crop.size[0], crop.size[0]], [1] * 4])
    low = np.maximum(np.floor(corners.min(1)).astype(int), 0)
    high = np.minimum(np.ceil(corners.max(1)).astype(int) + 1, (frame.shape[1], frame.shape[0]))
    size = (max(0, int(high[1] - low[1])), max(0, int(high[0] - low[0])))
    if not all(size):
        return out
    local = to_crop.copy()
    local[:, 2] += to_crop[:, :2] @ low
    # Sampling repeats the edge of the mask outside the crop, so cut it off there.
    inside = _inside(local, size, crop.size)
    weight = sample_affine(mask, local, size)[..., :1].astype(np.float32) / 255 * inside
    face = sample_affine(rendered, local, size)
    window = out[low[1] : high[1], low[0] : high[0]]
    window[:] = np.rint(window + weight * (face.astype(np.float32) - window))
    return out


def _paste_native(out: Frame, rendered: Frame, crop: FaceCrop) -> None:
    """Copy a native crop into a frame. Blend over a narrow band at the sides that lie within the frame."""
    left, top = (int(v) for v in crop.affine[:, 2])
    height, width = crop.size
    window = out[top : top + height, left : left + width]
    band = max(1, round(NATIVE_FEATHER * max(crop.size)))
    old = window.copy()
    window[:] = rendered
    sides = {
        "top": top > 0,
        "left": left > 0,
        "bottom": top + height < out.shape[0],
        "right": left + width < out.shape[1],
    }
    for side, is_inside in sides.items():
        if is_inside:
            _blend_side(window, old, side, band)


def _blend_side(window: Frame, old: Frame, side: str, band: int) -> None:
    """Blend `band` px along one side of the window with what was there before."""
    axis = 0 if side in ("top", "bottom") else 1
    band = min(band, window.shape[axis])
    strip = slice(0, band) if side in ("top", "left") else slice(window.shape[axis] - band, None)
    ramp = (np.arange(band, dtype=np.float32) + 0.5) / band  # at pixel centres
    ramp = ramp if side in ("top", "left") else ramp[::-1]
    index = (strip, slice(None)) if axis == 0 else (slice(None), strip)
    weight = ramp[:, None, None] if axis == 0 else ramp[None, :, None]
    before = old[index].astype(np.float32)
    window[index] = np.rint(before + weight * (window[index].astype(np.float32) - before))


def _inside(local: NDArray[np.float64], size: tuple[int, int], crop_size: tuple[int, int]) -> NDArray[np.float32]:
    """Return a mask (height, width, 1): 1 where a target pixel lies in the crop, else 0."""
    y, x = np.mgrid[: size[0], : size[1]]
    u, v = (row[0] * (x + 0.5) + row[1] * (y + 0.5) + row[2] for row in local)
    inside = (u >= 0) & (v >= 0) & (u <= crop_size[1]) & (v <= crop_size[0])
    return np.asarray(inside[..., None], np.float32)


def resize_frame(frame: Frame, size: tuple[int, int]) -> Frame:
    """Resize a frame to (height, width) with Lanczos filtering. Returns the frame itself if it has that size."""
    if frame.shape[:2] == size:
        return frame
    return np.asarray(Image.fromarray(frame).resize((size[1], size[0]), Image.Resampling.LANCZOS))

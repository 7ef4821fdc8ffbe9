"""Put a rendered face back where it was cut out."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vid2vid_cli.face.crop import FaceCrop, Frame, sample_affine
from vid2vid_cli.geometry.affine import invert_affine

FEATHER = 0.08  # of the crop's side: soft enough to hide a seam, narrow enough to keep the hair rendered


def feather_mask(size: tuple[int, int], feather: float = FEATHER) -> NDArray[np.float32]:
    """Return a mask (height, width) of 1 inside that falls to 0 at the border over `feather` of the side."""
    ramps = []
    for length in size:
        width = max(1.0, feather * length)
        distance = np.minimum(np.arange(length), np.arange(length)[::-1])
        ramps.append(np.clip(distance / width, 0, 1).astype(np.float32))
    smooth = [ramp * ramp * (3 - 2 * ramp) for ramp in ramps]
    return np.asarray(np.minimum(smooth[0][:, None], smooth[1][None, :]), np.float32)


def paste_face(frame: Frame, rendered: Frame, crop: FaceCrop) -> Frame:
    """Return a copy of `frame` with the rendered crop in its place, feathered at the crop's border.

    rendered: uint8 RGB of the crop's size. A native crop is copied as it is where it meets the frame's edge
    or shows what the frame shows; any other crop is resampled to the frame.
    """
    out = frame.copy()
    if crop.is_native:
        left, top = (int(v) for v in crop.affine[:, 2])
        out[top : top + rendered.shape[0], left : left + rendered.shape[1]] = rendered
        return out
    mask = np.repeat((feather_mask(crop.size) * 255 + 0.5).astype(np.uint8)[..., None], 3, 2)
    to_crop = invert_affine(crop.affine)
    corners = crop.affine @ np.array([[0, crop.size[1], 0, crop.size[1]], [0, 0, crop.size[0], crop.size[0]], [1] * 4])
    low = np.maximum(np.floor(corners.min(1)).astype(int), 0)
    high = np.minimum(np.ceil(corners.max(1)).astype(int) + 1, (frame.shape[1], frame.shape[0]))
    size = (max(0, int(high[1] - low[1])), max(0, int(high[0] - low[0])))
    if not all(size):
        return out
    local = to_crop.copy()
    local[:, 2] += to_crop[:, :2] @ low
    inside = _inside(local, size, crop.size)
    weight = sample_affine(mask, local, size)[..., :1].astype(np.float32) / 255 * inside
    face = sample_affine(rendered, local, size)
    window = out[low[1] : high[1], low[0] : high[0]]
    window[:] = np.rint(window + weight * (face.astype(np.float32) - window))
    return out


def _inside(local: NDArray[np.float64], size: tuple[int, int], crop_size: tuple[int, int]) -> NDArray[np.float32]:
    """Return 1 where a target pixel falls into the crop, 0 elsewhere: (height, width, 1)."""
    y, x = np.mgrid[: size[0], : size[1]]
    u, v = (row[0] * (x + 0.5) + row[1] * (y + 0.5) + row[2] for row in local)
    inside = (u >= 0) & (v >= 0) & (u <= crop_size[1]) & (v <= crop_size[0])
    return np.asarray(inside[..., None], np.float32)


def to_frame(image: NDArray[np.float32]) -> Frame:
    """Round an image (H, W, 3) in [0, 1] to a frame."""
    return np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)


def resize_frame(frame: Frame, size: tuple[int, int]) -> Frame:
    """Resize a frame to (height, width) with Lanczos filtering; the frame itself when it has that size."""
    if frame.shape[:2] == size:
        return frame
    return np.asarray(Image.fromarray(frame).resize((size[1], size[0]), Image.Resampling.LANCZOS))

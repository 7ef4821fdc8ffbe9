"""Lay frames out as video devices take them: in their order of bytes, with their colours."""

from __future__ import annotations

import cv2
import numpy as np

from vid2vid_cli.arrays import Frame
from vid2vid_cli.media.virtual_camera.v4l2 import PixelLayout
from vid2vid_cli.media.y4m import BT601, planes_of

CODES = ("YUYV", "NV12", "RGB3")
"""The layouts that can be made, the one first that most programs read."""


def packed(frame: Frame, layout: PixelLayout) -> memoryview:
    """Return the bytes of a frame (H, W, 3) in a layout of the same size, colours in BT.601 and the narrow range.

    YUYV: two pixels share the mean of their colours; NV12: four do. Its width is even.
    """
    rows = _rows_of(frame, layout.code)
    if rows.nbytes == layout.picture_bytes:
        return np.ascontiguousarray(rows).data.cast("B")
    # Rows may be longer than their pixels, and the picture longer than its rows.
    buffer = np.zeros(max(layout.picture_bytes, len(rows) * layout.row_bytes), np.uint8)
    buffer[: len(rows) * layout.row_bytes].reshape(len(rows), layout.row_bytes)[:, : rows.shape[1]] = rows
    return buffer.data


def _rows_of(frame: Frame, code: str) -> Frame:
    """Return the rows of bytes (rows, bytes) of a frame."""
    if code == "RGB3":
        return frame.reshape(len(frame), -1)
    if code == "YUYV":
        return np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2YUV_YUY2), np.uint8).reshape(len(frame), -1)
    luma, blue, red = planes_of(frame, BT601)
    colours = np.stack([blue, red], axis=2).reshape(len(blue), -1)
    return np.concatenate([luma, colours])

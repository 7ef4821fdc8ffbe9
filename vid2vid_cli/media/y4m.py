"""Write frames to a pipe as they are made: raw video in Y4M, which players and ffmpeg read from pipes."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from vid2vid_cli.arrays import Frame
from vid2vid_cli.errors import MediaError
from vid2vid_cli.media.encoder import WriteOptions
from vid2vid_cli.media.publishing import tags_of
from vid2vid_cli.media.writer import FrameWriter

NAME = "standard output"
UNSIGNED = "Xunsigned"
LARGEST_SD = (576, 1279)  # (height, width): a larger picture counts as HD


class LumaWeights(NamedTuple):
    """The shares of red and blue in luma; the rest is green."""

    red: float
    blue: float


BT601, BT709 = LumaWeights(0.299, 0.114), LumaWeights(0.2126, 0.0722)


class Y4MWriter(FrameWriter):
    """Writes every frame to standard output at once. Nothing can be taken back, sealed or published."""

    def _start(self) -> None:
        self._write(y4m_header(self.size, self.options))

    def _put(self, frame: Frame) -> None:
        self._write(b"FRAME\n")
        for plane in planes_of(frame):
            self._write(np.ascontiguousarray(plane).data.cast("B"))

    def _write(self, data: bytes | memoryview) -> None:
        """Write all of the data, past Python's buffer: what that holds after an error would fail again at exit."""
        left = memoryview(data)
        try:
            while left:  # a pipe takes as much as it has room for
                left = left[os.write(sys.stdout.fileno(), left) :]
        except OSError as error:
            raise MediaError(f"{NAME}: cannot be written: {error.strerror}") from error

    def _publish(self) -> None: ...

    def _clean_up(self) -> None: ...


def y4m_header(size: tuple[int, int], options: WriteOptions) -> bytes:
    """Return the first line of a Y4M of a size (height, width). The mark is a comment in it."""
    (height, width), fps = size, options.fps.limit_denominator(100_000)
    words = [f"YUV4MPEG2 W{width} H{height} F{fps.numerator}:{fps.denominator} Ip A1:1 C420jpeg", "XCOLORRANGE=LIMITED"]
    comment = tags_of(options.provenance).get("comment")
    if comment:
        words.append(f"X{comment.replace(' ', '_')}")  # a space would end the comment
        words.append(UNSIGNED)  # a pipe has no place for credentials
    return " ".join(words).encode() + b"\n"


def planes_of(frame: Frame, weights: LumaWeights | None = None) -> Iterator[npt.NDArray[np.uint8]]:
    """Yield Y (H, W), Cb and Cr (half of both sides, rounded up) of a frame (H, W, 3), each 16 to 235 or 240.

    weights: None for those of Y4M, which does not name a colour matrix: players take BT.601 for small pictures and
    BT.709 for large ones, and so do we.
    Colours lie in the middle of four pixels (C420jpeg).
    """
    height, width = frame.shape[:2]
    if weights is None:
        weights = BT709 if height > LARGEST_SD[0] or width > LARGEST_SD[1] else BT601
    matrix = _matrix(weights)
    yield np.asarray(cv2.transform(frame, matrix[:1]), np.uint8)
    # An odd last row or column is repeated, so that every colour has four pixels.
    even = cv2.copyMakeBorder(frame, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
    half = cv2.resize(even, (even.shape[1] // 2, even.shape[0] // 2), interpolation=cv2.INTER_AREA)
    colours = cv2.transform(half, matrix[1:])
    yield from np.moveaxis(np.asarray(colours, np.uint8), 2, 0)


def _matrix(weights: LumaWeights) -> npt.NDArray[np.float64]:
    """Return the matrix (3, 4) that turns (R, G, B, 1) of 0 to 255 into Y, Cb and Cr."""
    red, blue = weights
    luma = np.array([red, 1 - red - blue, blue])
    blue_difference = (np.array([0, 0, 1]) - luma) / (2 * (1 - blue))
    red_difference = (np.array([1, 0, 0]) - luma) / (2 * (1 - red))
    # The narrow range of video: 219 steps of luma from 16, 224 of colour around 128.
    rows = np.stack([luma * 219, blue_difference * 224, red_difference * 224]) / 255
    return np.column_stack([rows, [16, 128, 128]])

"""Write frames to a pipe as they are made: raw video in the container Y4M, which players and ffmpeg read from pipes."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import cv2
import numpy as np
import numpy.typing as npt

from vid2vid_cli.arrays import Frame
from vid2vid_cli.errors import MediaError
from vid2vid_cli.media.encoder import WriteOptions
from vid2vid_cli.media.publishing import tags_of
from vid2vid_cli.media.writer import FrameWriter

NAME = "standard output"
LARGEST_SD = (576, 1279)  # (height, width): a larger picture counts as HD
# Shares of red and blue in luma: of ITU-R BT.601 and BT.709.
SD, HD = (0.299, 0.114), (0.2126, 0.0722)


class Y4MWriter(FrameWriter):
    """Writes every frame to standard output at once. What is written cannot be taken back; there is no `publish`."""

    def _start(self) -> None:
        self._write(y4m_header(self.size, self.options))

    def _put(self, frame: Frame) -> None:
        self._write(b"FRAME\n")
        for plane in planes_of(frame):
            self._write(np.ascontiguousarray(plane).data.cast("B"))

    def _write(self, data: bytes | memoryview) -> None:
        """Write all of some data, past Python's buffer: what that still holds would fail again at exit."""
        left = memoryview(data)
        try:
            while left:
                left = left[os.write(sys.stdout.fileno(), left) :]
        except OSError as error:
            raise MediaError(f"{NAME}: cannot be written: {error.strerror}") from error

    def _publish(self) -> None: ...

    def _clean_up(self) -> None: ...


def y4m_header(size: tuple[int, int], options: WriteOptions) -> bytes:
    """Return the line with which a Y4M of a size (height, width) begins; the mark is a comment in it."""
    (height, width), fps = size, options.fps.limit_denominator(100_000)
    words = [f"YUV4MPEG2 W{width} H{height} F{fps.numerator}:{fps.denominator} Ip A1:1 C420jpeg", "XCOLORRANGE=LIMITED"]
    comment = tags_of(options.provenance).get("comment")
    if comment:
        words.append(f"X{comment.replace(' ', '_')}")  # a space would end the comment
    return " ".join(words).encode() + b"\n"


def planes_of(frame: Frame) -> Iterator[npt.NDArray[np.uint8]]:
    """Yield Y (H, W), Cb and Cr (half of both sides, rounded up) of a frame (H, W, 3), each 16 to 235 or 240.

    Y4M does not say by which matrix: players take BT.601 for a small picture and BT.709 for a large one, and so do we.
    Colours lie in the middle of four pixels (C420jpeg).
    """
    height, width = frame.shape[:2]
    matrix = _matrix(HD if height > LARGEST_SD[0] or width > LARGEST_SD[1] else SD)
    yield np.asarray(cv2.transform(frame, matrix[:1]), np.uint8)
    even = cv2.copyMakeBorder(frame, 0, height % 2, 0, width % 2, cv2.BORDER_REPLICATE)
    half = cv2.resize(even, (even.shape[1] // 2, even.shape[0] // 2), interpolation=cv2.INTER_AREA)
    colours = cv2.transform(half, matrix[1:])
    yield from np.moveaxis(np.asarray(colours, np.uint8), 2, 0)


def _matrix(shares: tuple[float, float]) -> npt.NDArray[np.float64]:
    """Return the rows that make Y, Cb and Cr of (R, G, B, 1), all of 255."""
    red, blue = shares
    luma = np.array([red, 1 - red - blue, blue])
    blueness = (np.array([0, 0, 1]) - luma) / (2 * (1 - blue))
    redness = (np.array([1, 0, 0]) - luma) / (2 * (1 - red))
    rows = np.stack([luma * 219, blueness * 224, redness * 224]) / 255
    return np.column_stack([rows, [16, 128, 128]])

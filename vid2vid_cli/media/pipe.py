"""Read a video from standard input, each frame as soon as it arrives."""

from __future__ import annotations

import math
import os
import re
import select
import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import numpy as np

from vid2vid_cli.arrays import Frame
from vid2vid_cli.errors import MediaError
from vid2vid_cli.media.ffmpeg import DEMUXERS, POLL_MS, Child, each_frame_once
from vid2vid_cli.media.files import check_pixels
from vid2vid_cli.process.streaming import AbandonedError, is_abandoned

NAME = "standard input"
PART_BYTES = 1 << 16
# In ffmpeg's log, which is all that describes a stream that cannot be probed first.
_PICTURE = re.compile(r"Video: rawvideo.*?, (\d+)x(\d+)[ ,\[].*?([\d.]+) fps")
_SOUND = re.compile(r"^ *Stream #0:\S+ *Audio: ", re.MULTILINE)
_NTSC = (24, 30, 48, 60, 120)
# No probing ahead, and one thread: each thread of a decoder holds a frame back.
_ARGUMENTS = ["-v", "info", "-flags", "low_delay", "-threads", "1", "-analyzeduration", "0", "-probesize", "65536"]
# The encoder of raw pictures also holds back a frame for each thread but one.
RAW_OUTPUT = ("-threads", "1", "-flush_packets", "1", "-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1")
_SCALE = "scale=flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp"


@dataclass
class PipedVideo:
    """A video as it arrives, and a context manager. size: (height, width). has_audio: whether sound comes with it."""

    size: tuple[int, int]
    fps: Fraction
    has_audio: bool
    _child: Child

    def frames(self, silence_s: float | None = None) -> Iterator[Frame]:
        """Yield frames (H, W, 3), uint8 RGB, until the pipe closes.

        silence_s: how long nothing may come, until that is a MediaError; None: as ffmpeg.stall_s.
        """
        height, width = self.size
        while True:
            frame = np.empty((height, width, 3), np.uint8)
            buffer, filled = frame.data.cast("B"), 0
            while filled < len(buffer):
                count = self._child.read_into(buffer[filled:], silence_s)
                if not count:  # also in the middle of a frame, which is dropped
                    return
                filled += count
            yield frame

    def ending(self) -> str:
        """Say in one line what ffmpeg said last, once no more frames come."""
        return self._child.error_line()

    def stop(self) -> None:
        """Let no more frames come; from any thread."""
        self._child.kill()

    def __enter__(self) -> PipedVideo:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._child.close()


def open_pipe(descriptor: int, max_pixels: int) -> PipedVideo:
    """Start to read a video from a descriptor, in any format that ffmpeg can read without seeking.

    Waits for the first frame. MediaError if none comes.
    """
    arguments = [
        *_ARGUMENTS,
        "-format_whitelist",
        DEMUXERS,
        "-i",
        "pipe:0",
        "-map",
        "0:V:0",
        "-vf",
        _SCALE,
        *each_frame_once(),
    ]
    child = Child([*arguments, *RAW_OUTPUT], NAME, has_stdout=True, stdin_fd=descriptor)
    return piped_video(child, NAME, max_pixels)


def piped_video(child: Child, name: str, max_pixels: int, patience_s: float = math.inf) -> PipedVideo:
    """Return the raw pictures that a child writes, whose log says how large they are. Waits for the first one.

    name: begins messages. patience_s: how long that may take. MediaError if none comes; the child is closed then.
    """
    try:
        _wait_for_frame(child, name, patience_s)
        coming, _, going = child.log().partition("Output #0")
        found = _PICTURE.search(going)
        if found is None:
            raise MediaError(f"{name}: holds no video that can be read as it arrives: {child.error_line()}")
        size = int(found[2]), int(found[1])
        check_pixels(Path(name), size, max_pixels)
    except BaseException:
        child.close()
        raise
    return PipedVideo(size, exact_rate(found[3]), _SOUND.search(coming) is not None, child)


def _wait_for_frame(child: Child, name: str, patience_s: float) -> None:
    """Wait for the first bytes of a frame, or the end of the child."""
    deadline_s = time.monotonic() + patience_s
    poller = select.poll() if hasattr(select, "poll") else None  # Windows has none
    if poller is not None:
        poller.register(child.stdout.fileno(), select.POLLIN)
    # In short waits, so that Ctrl-C gets through.
    while not (poller.poll(POLL_MS) if poller is not None else _has_begun(child)):
        if time.monotonic() > deadline_s:
            reason = f": {child.error_line()}" if child.log().strip() else ""
            raise MediaError(f"{name}: gave no picture within {patience_s:g} s{reason}")


def _has_begun(child: Child) -> bool:
    time.sleep(POLL_MS / 2000)
    return "Output #0" in child.log() or not child.is_running


def parts_of(descriptor: int) -> Iterator[bytes]:
    """Yield what arrives by a descriptor until it closes, however long that takes."""
    poller = select.poll() if hasattr(select, "poll") else None  # Windows: os.read blocks
    if poller is not None:
        poller.register(descriptor, select.POLLIN)
    while True:
        while poller is not None and not poller.poll(POLL_MS):
            if is_abandoned():
                raise AbandonedError
        try:
            part = os.read(descriptor, PART_BYTES)
        except OSError as error:
            raise MediaError(f"{NAME}: cannot be read: {error.strerror}") from error
        if not part:
            return
        yield part


def exact_rate(text: str) -> Fraction:
    """Return the rate that a rounded one stands for, such as 30000/1001 for 29.97."""
    rate = float(text)
    for whole in _NTSC:
        if abs(rate - whole / 1.001) < 0.006:
            return Fraction(whole * 1000, 1001)
    return Fraction(text).limit_denominator(1000)

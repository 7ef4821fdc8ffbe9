"""Outputs at a steady rate: a file, raw video or MPEG-TS in a pipe. Cameras and renderers are never quite steady."""

from __future__ import annotations

import math
import sys
from abc import ABC, abstractmethod
from fractions import Fraction
from pathlib import Path

import numpy as np

from vid2vid_cli.arrays import Frame
from vid2vid_cli.errors import MediaError
from vid2vid_cli.live.outputs import LiveStatus
from vid2vid_cli.media.ffmpeg import Child
from vid2vid_cli.media.publishing import tags_of
from vid2vid_cli.media.video import FrameWriter, WriteOptions, open_writer
from vid2vid_cli.media.y4m import Y4MWriter

EARLY, LATE = 1.0, 1.5  # frames: so far off its time a picture is shown once all the same
LONGEST_GAP_S = 5.0  # a longer one is cut out, as when the machine has slept
PIPE = "standard output"


class Pacer:
    """Says how often each picture is written, so that all of them last as long as they did."""

    def __init__(self, fps: Fraction) -> None:
        self._fps = float(fps)
        self._began_s: float | None = None
        self._written = 0

    def copies(self, time_s: float, *, is_repeat: bool = False) -> int:
        """Return how often to write a picture now. time_s: when it came in. is_repeat: whether it was written before.

        A picture that is early is written once, up to one ahead; one that is far too early not at all.
        """
        if self._began_s is None:
            self._began_s = time_s
        behind = (time_s - self._began_s) * self._fps - self._written
        if behind > LONGEST_GAP_S * self._fps:
            self._began_s += (behind - 1) / self._fps
            behind = 1.0
        if is_repeat:
            count = math.floor(behind)
        else:
            count = 0 if behind < -EARLY else 1 if behind < LATE else math.floor(behind)
        self._written += max(0, count)
        return max(0, count)


class Recording(ABC):
    """Writes pictures at a steady rate, from the camera's first one on."""

    needs_main_thread = False

    def __init__(self, fps: Fraction) -> None:
        self._pacer = Pacer(fps)
        self.idle_s: float | None = 0.2
        self.frames = 0
        """How many were written."""

    def write(self, frame: Frame, status: LiveStatus) -> None:
        """Write a picture as often as its time asks for."""
        if status.camera is None:  # nothing has come in yet
            return
        for _ in range(self._pacer.copies(status.arrived_s, is_repeat=status.is_repeat)):
            self._put(frame)
            self.frames += 1

    @abstractmethod
    def _put(self, frame: Frame) -> None: ...

    @abstractmethod
    def close(self) -> None:
        """Finish what was begun."""


class FileRecording(Recording):
    """A film, or raw video in a pipe, by one of the house's writers."""

    def __init__(self, path: Path, options: WriteOptions, *, is_piped: bool = False) -> None:
        """Open nothing yet: only a picture tells the size. is_piped: whether it goes to standard output."""
        super().__init__(options.fps)
        self._path, self._options, self._is_piped = path, options, is_piped
        self._writer: FrameWriter | None = None

    def _put(self, frame: Frame) -> None:
        if self._writer is None:
            size = frame.shape[0], frame.shape[1]
            writer = Y4MWriter if self._is_piped else open_writer
            self._writer = writer(self._path, size, self._options)
            self._writer.__enter__()
        self._writer.write(frame)

    def close(self) -> None:
        """Publish the file. MediaError if there was no picture at all."""
        if self._writer is None:
            if not self._is_piped:
                raise MediaError(f"{self._path}: not written, as no picture came from the camera")
            return
        self._writer.__exit__(None, None, None)


class TransportStream(Recording):
    """MPEG-TS with H.264 in a pipe, encoded without looking ahead."""

    def __init__(self, options: WriteOptions) -> None:
        super().__init__(options.fps)
        self._options = options
        self._child: Child | None = None

    def _put(self, frame: Frame) -> None:
        if self._child is None:
            size = frame.shape[0], frame.shape[1]
            arguments = transport_arguments(size, self._options)
            self._child = Child(arguments, PIPE, has_stdin=True, stdout_fd=sys.stdout.fileno())
        try:
            self._child.feed(np.ascontiguousarray(frame).data.cast("B"))
        except OSError as error:
            raise MediaError(f"{PIPE}: cannot be written: {self._child.error_line()}") from error

    def close(self) -> None:
        """Let the last pictures out."""
        if self._child is not None:
            with self._child as child:
                child.wait()


def transport_arguments(size: tuple[int, int], options: WriteOptions) -> list[str]:
    """Return ffmpeg's arguments that turn raw pictures of a size (height, width) into MPEG-TS."""
    height, width = size
    fps = options.fps
    coming = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{width}x{height}", "-r", str(fps), "-i", "pipe:0"]
    even = ["-vf", "pad=ceil(iw/2)*2:ceil(ih/2)*2"]
    h264 = ["-c:v", "libx264", "-preset", options.preset or "ultrafast", "-tune", "zerolatency", "-pix_fmt", "yuv420p"]
    # A player that joins later can begin every second or so.
    keys = ["-g", str(max(1, round(fps)))]
    quality = [] if options.crf is None else ["-crf", str(options.crf)]
    tags = [f"{name}={value}" for name, value in tags_of(options.provenance).items()]
    marked = [word for tag in tags for word in ("-metadata", tag)]
    going = ["-muxdelay", "0", "-muxpreload", "0", "-flush_packets", "1", "-f", "mpegts", "pipe:1"]
    return ["-v", "error", "-nostats", *coming, *even, *h264, *keys, *quality, *marked, *going]


def steady_rate(fps: Fraction | float) -> Fraction:
    """Return the rate of a recording of a camera: what it says of itself, within reason."""
    rate = Fraction(fps).limit_denominator(1001)
    return rate if 5 <= rate <= 60 else Fraction(25)

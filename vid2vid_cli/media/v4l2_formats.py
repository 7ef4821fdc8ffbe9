"""Ask a video device of Linux what it gives: the four requests of V4L2 that list formats, sizes and rates.

The layouts are those of linux/videodev2.h.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

CAPTURE = 1  # V4L2_BUF_TYPE_VIDEO_CAPTURE
CAN_CAPTURE, HAS_OWN_CAPS = 0x00000001, 0x80000000  # of v4l2_capability
DISCRETE = 1  # of a list of sizes or rates; otherwise it is a range
QUERYCAP, ENUM_FMT = 0x80685600, 0xC0405602
ENUM_FRAMESIZES, ENUM_FRAMEINTERVALS = 0xC02C564A, 0xC034564B
CAPABILITY = struct.Struct("=16s32s32sIII3I")  # driver, name, bus, version, what all can, what this device can
_FORMAT = struct.Struct("=III32sII3I")
_SIZE = struct.Struct("=III6I2I")
_INTERVAL = struct.Struct("=IIIII6I2I")
MOST = 200  # entries of a list: a driver that never ends one must not hold us
USUAL_SIZES = ((1280, 720), (640, 480))  # of a range of sizes, those within it

Ioctl = Callable[[int, int, bytearray], object]


@dataclass
class QueryDevice:
    """An open device, and a context manager. ioctl: as fcntl.ioctl."""

    descriptor: int
    ioctl: Ioctl

    def ask(self, request: int, layout: struct.Struct, *values: object) -> tuple[int, ...] | None:
        """Send a request with these values. Returns what the device made of them, None if it refuses."""
        buffer = bytearray(layout.pack(*values))
        try:
            self.ioctl(self.descriptor, request, buffer)
        except OSError:
            return None
        return layout.unpack(bytes(buffer))

    def __enter__(self) -> QueryDevice:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            os.close(self.descriptor)


def open_device(path: Path) -> QueryDevice | None:
    """Open a device; None if it may not be read."""
    try:
        import fcntl

        return QueryDevice(os.open(path, os.O_RDWR | os.O_NONBLOCK), fcntl.ioctl)
    except (ImportError, OSError):
        return None


def is_camera(device: QueryDevice) -> bool:
    """Say whether a device gives pictures; many cameras have a second one that gives none."""
    found = device.ask(QUERYCAP, CAPABILITY, b"", b"", b"", *[0] * 6)
    if found is None:
        return False
    all_caps, own_caps = found[4], found[5]
    return bool((own_caps if all_caps & HAS_OWN_CAPS else all_caps) & CAN_CAPTURE)


def capture_modes(device: QueryDevice) -> Iterator[tuple[int, int, float | None]]:
    """Yield width, height and highest rate of what a device gives, in all its formats."""
    for index in range(MOST):
        found = device.ask(ENUM_FMT, _FORMAT, index, CAPTURE, 0, b"", *[0] * 5)
        if found is None:
            return
        pixel_format = found[4]
        for width, height in _sizes(device, pixel_format):
            yield width, height, _highest_rate(device, pixel_format, (width, height))


def _sizes(device: QueryDevice, pixel_format: int) -> Iterator[tuple[int, int]]:
    for index in range(MOST):
        found = device.ask(ENUM_FRAMESIZES, _SIZE, index, pixel_format, *[0] * 9)
        if found is None:
            return
        if found[2] == DISCRETE:
            yield found[3], found[4]
            continue
        low_width, high_width, _, low_height, high_height, _ = found[3:9]
        yield high_width, high_height
        for width, height in USUAL_SIZES:
            if low_width <= width < high_width and low_height <= height < high_height:
                yield width, height
        return


def _highest_rate(device: QueryDevice, pixel_format: int, size: tuple[int, int]) -> float | None:
    rates = []
    for index in range(MOST):
        found = device.ask(ENUM_FRAMEINTERVALS, _INTERVAL, index, pixel_format, *size, *[0] * 9)
        if found is None:
            break
        # Seconds a picture, as a fraction; of a range the shortest comes first.
        seconds, parts = found[5], found[6]
        if seconds:
            rates.append(parts / seconds)
        if found[4] != DISCRETE:
            break
    return max(rates, default=None)

"""Fill video devices of Linux, as the kernel's public header linux/videodev2.h lays out their structures.

The sizes of structures are part of the numbers of the calls: a wrong layout is refused by the kernel, not misread.
"""

from __future__ import annotations

import errno
import os
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import NamedTuple

from vid2vid_cli.media.v4l2_formats import CAN_CAPTURE, CAPABILITY, HAS_OWN_CAPS, QUERYCAP

DEVICES = Path("/dev")
LOOPBACK = "v4l2 loopback"

_PICTURE = struct.Struct("12I")
_RATE = struct.Struct("I8xII184x")  # type, two words of what the device can do, time per frame
# The union in v4l2_format holds pointers: it begins at a multiple of their size.
_UNION = struct.calcsize("P")
_FORMAT_BYTES = _UNION + 200

_READ, _WRITE = 2, 1
_OUTPUT = 2  # V4L2_BUF_TYPE_VIDEO_OUTPUT
_PROGRESSIVE = 1  # V4L2_FIELD_NONE
_EXTENDED = 0xFEEDCAFE  # V4L2_PIX_FMT_PRIV_MAGIC: the last four words of the format count as well
_SMPTE170M, _SRGB = 1, 8  # colour spaces; BT.601 belongs to the first
_BT601, _LIMITED, _FULL = 1, 2, 1
_SHOWS, _TAKES_WRITES = 2, 0x01000000


def _number(direction: int, index: int, size: int) -> int:
    """Return the number of a call of the video devices, as _IOC of the kernel's headers makes it."""
    return direction << 30 | size << 16 | ord("V") << 8 | index


SET_FORMAT = _number(_READ | _WRITE, 5, _FORMAT_BYTES)
START = _number(_WRITE, 18, 4)
SET_RATE = _number(_READ | _WRITE, 22, _RATE.size)


@dataclass(frozen=True)
class VideoDevice:
    """A video device. name: what programs show. is_camera: gives pictures. is_output: takes them, by write()."""

    path: Path
    name: str
    driver: str
    is_camera: bool
    is_output: bool

    @property
    def is_in_use(self) -> bool:
        """Whether another program fills it: with exclusive_caps=1, it then looks like a camera to all others."""
        return self.driver == LOOPBACK and not self.is_output


class PixelLayout(NamedTuple):
    """How a device wants its pictures. size: (height, width). row_bytes: from one row to the next.

    code: "YUYV", "NV12" or "RGB3" (which is RGB24), the kernel's names in four letters.
    """

    code: str
    size: tuple[int, int]
    row_bytes: int
    picture_bytes: int

    def without_padding(self) -> PixelLayout:
        """Return the layout with pictures that end with their last row."""
        rows = self.size[0] + (self.size[0] + 1) // 2 if self.code == "NV12" else self.size[0]
        return self._replace(picture_bytes=rows * self.row_bytes)


def video_devices(folder: Path = DEVICES) -> Iterator[VideoDevice]:
    """Yield the video devices that may be opened, by their numbers."""
    paths = [path for path in folder.glob("video*") if re.fullmatch(r"video\d+", path.name)]
    for path in sorted(paths, key=lambda path: int(path.name[5:])):
        try:
            yield look_at(path)
        except OSError:  # another user's, one without a driver, or no video device at all
            continue


def look_at(path: Path) -> VideoDevice:
    """Ask a video device what it is. OSError if it cannot be opened or is none."""
    device = os.open(path, os.O_RDWR | os.O_NONBLOCK)
    try:
        answer = _call(device, QUERYCAP, bytes(CAPABILITY.size))
    finally:
        os.close(device)
    driver, card, _, _, all_of_them, of_this_one = CAPABILITY.unpack(answer)[:6]
    flags = of_this_one if all_of_them & HAS_OWN_CAPS else all_of_them
    is_output = flags & _SHOWS and flags & _TAKES_WRITES
    return VideoDevice(path, _text(card), _text(driver), bool(flags & CAN_CAPTURE), bool(is_output))


def _text(field: bytes) -> str:
    return field.split(b"\0")[0].decode("utf-8", "replace")


def set_format(device: int, code: str, size: tuple[int, int]) -> PixelLayout:
    """Ask an open device to take pictures of a layout and size (height, width); return what it takes instead, or that.

    OSError if it refuses, as it does while another program fills it.
    """
    (height, width), space = size, (_SRGB, 0, _FULL) if code == "RGB3" else (_SMPTE170M, _BT601, _LIMITED)
    colours, matrix, levels = space
    wanted = (width, height, _fourcc(code), _PROGRESSIVE, 0, 0, colours, _EXTENDED, 0, matrix, levels, 0)
    request = bytearray(_FORMAT_BYTES)
    struct.pack_into("I", request, 0, _OUTPUT)
    _PICTURE.pack_into(request, _UNION, *wanted)
    answer = _PICTURE.unpack_from(_call(device, SET_FORMAT, bytes(request)), _UNION)
    width, height, pixel_format, _, row_bytes, picture_bytes = answer[:6]
    return PixelLayout(struct.pack("<I", pixel_format).decode("latin-1"), (height, width), row_bytes, picture_bytes)


def _fourcc(code: str) -> int:
    return int.from_bytes(code.encode(), "little")


def set_rate(device: int, fps: Fraction) -> None:
    """Tell an open device how many frames a second to expect. OSError if it has no rate."""
    time_s = (1 / fps).limit_denominator(1_000_000)
    _call(device, SET_RATE, _RATE.pack(_OUTPUT, time_s.numerator, time_s.denominator))


def start(device: int) -> None:
    """Tell an open device that pictures will come. OSError where that needs buffers first.

    v4l2loopback up to 0.12 makes a device an output again, once it is closed, only for programs that have said so.
    """
    _call(device, START, struct.pack("i", _OUTPUT))


def write_picture(device: int, picture: memoryview) -> bool:
    """Write a whole picture to an open device. False if the device has no room for one now. OSError if it fails."""
    try:
        written = os.write(device, picture)
    except BlockingIOError:
        return False
    if written < len(picture):
        raise OSError(errno.EIO, f"it took {written} of {len(picture)} bytes")
    return True


def _call(device: int, number: int, argument: bytes) -> bytes:
    import fcntl  # not on Windows, where nothing calls this

    return fcntl.ioctl(device, number, argument)

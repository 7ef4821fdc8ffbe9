"""Open a virtual camera: a video device of Linux, or whatever pyvirtualcam finds if the user has installed it."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from fractions import Fraction
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from vid2vid_cli.arrays import Frame
from vid2vid_cli.errors import MediaError
from vid2vid_cli.media.virtual_camera import v4l2
from vid2vid_cli.media.virtual_camera.pixels import CODES, packed

LOAD = "sudo modprobe v4l2loopback exclusive_caps=1 card_label=vid2vid"
INSTALL = "sudo apt install v4l2loopback-dkms"
ELSEWHERE = "install OBS Studio, start its virtual camera once, then pip install pyvirtualcam (GPL-2.0)"
BARRED = "you may not open it; join its group: sudo usermod -aG video $USER, then log in again"
BUSY = "another program fills it; close that one"


class VirtualCamera(Protocol):
    """A camera that other programs see. name: as they show it. size: (height, width) of its pictures."""

    @property
    def name(self) -> str:
        """What other programs call it."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of its pictures, which may differ from what was asked for."""

    def write(self, frame: Frame) -> bool:
        """Show a frame (H, W, 3) of the camera's size. False if it has no room for it now. MediaError if it fails."""

    def close(self) -> None:
        """Let go of the camera."""


def open_virtual_camera(
    device: str | None, size: tuple[int, int], fps: Fraction, folder: Path = v4l2.DEVICES
) -> VirtualCamera:
    """Open a virtual camera for pictures of a size (height, width), both even. It may insist on another size.

    device: a path such as /dev/video10, or a name of pyvirtualcam's; None for the first one that is free.
    MediaError, in one line with what to do, if there is none.
    """
    if not sys.platform.startswith("linux"):
        return _ForeignCamera(device, size, fps)
    if device is not None:
        return VideoOutput(Path(device), size, fps)
    found = list(v4l2.video_devices(folder))
    refused = []
    for path in (each.path for each in found if each.is_output):
        try:
            return VideoOutput(path, size, fps)
        except MediaError as error:
            refused.append(str(error))
    if refused:
        raise MediaError("; ".join(refused))
    if _has_pyvirtualcam():
        return _ForeignCamera(device, size, fps)
    raise MediaError(f"no virtual camera: {_missing(found, folder)}")


def check_virtual_camera(device: str | None, folder: Path = v4l2.DEVICES) -> None:
    """Raise MediaError in one line if there is no virtual camera; see `open_virtual_camera`. Fills none."""
    if not sys.platform.startswith("linux"):
        _pyvirtualcam()
    elif device is not None:
        _output_at(Path(device))
    else:
        found = list(v4l2.video_devices(folder))
        if not any(each.is_output for each in found) and not _has_pyvirtualcam():
            raise MediaError(f"no virtual camera: {_missing(found, folder)}")


def _missing(found: list[v4l2.VideoDevice], folder: Path) -> str:
    """Say why none of the video devices of a folder can be filled, and what to do."""
    taken = next((each for each in found if each.is_in_use), None)
    if taken is not None:
        return f"{taken.path}: {BUSY}"
    barred = next((path for path in sorted(folder.glob("video*")) if not os.access(path, os.R_OK | os.W_OK)), None)
    return how_to_get_one() if barred is None else f"{barred}: {BARRED}"


def how_to_get_one() -> str:
    """Return what to do on this system to get a virtual camera."""
    if not sys.platform.startswith("linux"):
        return ELSEWHERE
    return f"load the kernel module v4l2loopback: {LOAD} (Debian and Ubuntu have it after {INSTALL})"


class VideoOutput:
    """A video device of Linux that takes pictures, such as one of v4l2loopback. A VirtualCamera."""

    def __init__(self, path: Path, size: tuple[int, int], fps: Fraction) -> None:
        self._path, found = path, _output_at(path)
        self._name = found.name
        try:
            self._device = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        except OSError as error:
            raise MediaError(f"{path}: {_reason(error)}") from error
        try:
            layout = self._agree(size)
        except BaseException:
            self.close()
            raise
        # v4l2loopback asks for whole pages, but hands on as many bytes as it gets, and readers refuse the surplus.
        self._layout = layout.without_padding() if found.driver == v4l2.LOOPBACK else layout
        with contextlib.suppress(OSError):  # a device without a rate works as well
            v4l2.set_rate(self._device, fps)
        with contextlib.suppress(OSError):  # most start with the first picture
            v4l2.start(self._device)

    def _agree(self, size: tuple[int, int]) -> v4l2.PixelLayout:
        """Settle the layout of pictures with the device."""
        offers = []
        for code in CODES:
            try:
                layout = v4l2.set_format(self._device, code, size)
            except OSError as error:
                raise MediaError(f"{self._path}: {_reason(error)}") from error
            if layout.code in CODES:
                return layout
            offers.append(layout.code)
        raise MediaError(f"{self._path}: takes pictures as {offers[0]!r}, but only {', '.join(CODES)} can be made")

    @property
    def name(self) -> str:
        """What other programs call it."""
        return f"{self._name} ({self._path})"

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of its pictures."""
        return self._layout.size

    def write(self, frame: Frame) -> bool:
        """Show a frame (H, W, 3) of the device's size. False if it has no room for it now. MediaError if it fails."""
        try:
            return v4l2.write_picture(self._device, packed(frame, self._layout))
        except OSError as error:
            raise MediaError(f"{self._path}: {_reason(error)}") from error

    def close(self) -> None:
        """Let go of the device."""
        os.close(self._device)


def _output_at(path: Path) -> v4l2.VideoDevice:
    """Return the video device of a path. MediaError in one line if it takes no pictures, or none now."""
    try:
        found = v4l2.look_at(path)
    except OSError as error:
        raise MediaError(f"{path}: {_reason(error)}") from error
    if not found.is_output:
        reason = BUSY if found.is_in_use else f"{found.name} takes no pictures; {how_to_get_one()}"
        raise MediaError(f"{path}: {reason}")
    return found


def _reason(error: OSError) -> str:
    """Say what is wrong with a video device and what to do."""
    if error.errno in (errno.ENOENT, errno.ENODEV, errno.ENXIO):
        return f"there is no such device; {how_to_get_one()}"
    if error.errno in (errno.EACCES, errno.EPERM):
        return BARRED
    if error.errno == errno.EBUSY:
        return BUSY
    if error.errno == errno.ENOTTY:
        return "is no video device"
    return error.strerror or str(error)


def _has_pyvirtualcam() -> bool:
    try:
        _pyvirtualcam()
    except MediaError:
        return False
    return True


def _pyvirtualcam() -> Any:
    """Return the package. MediaError in one line where the user has not installed it."""
    try:
        return import_module("pyvirtualcam")
    except ImportError as error:
        raise MediaError(f"no virtual camera: {how_to_get_one()}") from error


class _ForeignCamera:
    """A camera that pyvirtualcam finds. That package is GPL-2.0: the user installs it, we neither bring nor need it."""

    def __init__(self, device: str | None, size: tuple[int, int], fps: Fraction) -> None:
        pyvirtualcam, self._size = _pyvirtualcam(), size
        try:
            self._camera = pyvirtualcam.Camera(size[1], size[0], float(fps), device=device)
        except RuntimeError as error:
            raise MediaError(f"no virtual camera: {error}; {how_to_get_one()}") from error

    @property
    def name(self) -> str:
        return str(self._camera.device)

    @property
    def size(self) -> tuple[int, int]:
        return self._size

    def write(self, frame: Frame) -> bool:
        try:
            self._camera.send(frame)
        except RuntimeError as error:
            raise MediaError(f"{self.name}: {error}") from error
        return True

    def close(self) -> None:
        self._camera.close()

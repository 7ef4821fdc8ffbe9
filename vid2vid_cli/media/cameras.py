"""Which cameras this machine has, with their sizes and rates: as v4l2, AVFoundation or DirectShow tell it."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from vid2vid_cli.errors import MediaError
from vid2vid_cli.media.capture import CaptureRequest
from vid2vid_cli.media.ffmpeg import Child
from vid2vid_cli.media.v4l2_formats import QueryDevice, capture_modes, is_camera, open_device

_AV_LINE = re.compile(r"\[AVFoundation[^\]]*\] \[(\d+)\] (.+)")
_AV_MODE = re.compile(r"(\d+)x(\d+)@\[([\d.]+) ([\d.]+)\]fps")
_DSHOW_DEVICE = re.compile(r'\[[^\]]*\]\s+"(.+)"(?: \((video|audio|none)[^)]*\))?$')
_DSHOW_MODE = re.compile(r"max s=(\d+)x(\d+) fps=([\d.]+)")
_ANY_MODE = ["-video_size", "1x1", "-framerate", "1"]  # which no camera has: AVFoundation then names those it has


@dataclass(frozen=True, order=True)
class CameraMode:
    """A size of a camera's pictures in px, and the highest rate in pictures a second; None if nobody says."""

    width: int
    height: int
    fps: float | None


@dataclass(frozen=True)
class CameraFound:
    """A camera. name: what --camera takes. title: what its maker calls it. modes: the largest pictures first."""

    name: str
    title: str
    modes: tuple[CameraMode, ...]


def list_cameras(platform: str = sys.platform) -> list[CameraFound]:
    """Ask the system for its cameras. platform: as sys.platform."""
    if platform == "darwin":
        devices = avfoundation_devices(_log_of("-f", "avfoundation", "-list_devices", "true", "-i", ""))
        return [
            CameraFound(
                number, title, avfoundation_modes(_log_of("-f", "avfoundation", *_ANY_MODE, "-i", f"{number}:"))
            )
            for number, title in devices
        ]
    if platform == "win32":
        devices = dshow_devices(_log_of("-f", "dshow", "-list_devices", "true", "-i", "dummy"))
        return [
            CameraFound(
                title, title, dshow_modes(_log_of("-f", "dshow", "-list_options", "true", "-i", f"video={title}"))
            )
            for _, title in devices
        ]
    return video_devices(Path("/dev"), Path("/sys/class/video4linux"))


def with_name(request: CaptureRequest, platform: str = sys.platform) -> CaptureRequest:
    """Return a request whose camera has the name that DirectShow wants, if it was asked for by its number."""
    if platform != "win32" or request.kind != "camera" or not request.name.isdecimal():
        return request
    devices = dshow_devices(_log_of("-f", "dshow", "-list_devices", "true", "-i", "dummy"))
    number = int(request.name)
    if number >= len(devices):
        raise MediaError(f"camera {number}: there are {len(devices)}; vid2vid cameras lists them")
    return replace(request, name=devices[number][0])


def _log_of(*arguments: str) -> str:
    """Return what ffmpeg says of devices. It always fails: it was asked to list and not to read."""
    with Child(["-v", "info", *arguments], "cameras") as child:
        child.wait()
        return child.log()


def video_devices(
    devices: Path, described: Path, open_query: Callable[[Path], QueryDevice | None] = open_device
) -> list[CameraFound]:
    """List the video devices of Linux that give pictures. devices: /dev. described: /sys/class/video4linux."""
    found = []
    for device in sorted(devices.glob("video*"), key=lambda path: _number_of(path.name)):
        query = open_query(device)
        if query is None:
            continue
        with query:
            if not is_camera(query):
                continue
            modes = best_modes(CameraMode(*mode) for mode in capture_modes(query))
        found.append(CameraFound(str(_number_of(device.name)), _title_of(described / device.name / "name"), modes))
    return found


def _number_of(name: str) -> int:
    digits = name.removeprefix("video")
    return int(digits) if digits.isdecimal() else 1 << 30


def _title_of(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return "camera"


def avfoundation_devices(log: str) -> list[tuple[str, str]]:
    """Read the numbers and names of cameras out of ffmpeg's list of AVFoundation devices; screens are left out."""
    video = log.partition("video devices:")[2].partition("audio devices:")[0]
    found = [(match[1], match[2].strip()) for line in video.splitlines() if (match := _AV_LINE.search(line))]
    return [(number, title) for number, title in found if not title.startswith("Capture screen")]


def avfoundation_modes(log: str) -> tuple[CameraMode, ...]:
    """Read sizes and rates out of what ffmpeg says when it is asked for a mode that is not there."""
    return best_modes(CameraMode(int(m[1]), int(m[2]), float(m[4])) for m in _AV_MODE.finditer(log))


def dshow_devices(log: str) -> list[tuple[str, str]]:
    """Read the names of cameras out of ffmpeg's list of DirectShow devices, each as what to write and what to show."""
    found, section = [], "video"
    for line in log.splitlines():
        if "DirectShow audio devices" in line:  # up to ffmpeg 4 the kinds stood apart
            section = "audio"
        match = _DSHOW_DEVICE.search(line.rstrip())
        if match is None or "Alternative name" in line:
            continue
        if (match[2] or section) == "video":
            found.append((match[1], match[1]))
    return found


def dshow_modes(log: str) -> tuple[CameraMode, ...]:
    """Read sizes and rates out of ffmpeg's list of a DirectShow camera's options."""
    return best_modes(CameraMode(int(m[1]), int(m[2]), float(m[3])) for m in _DSHOW_MODE.finditer(log))


def best_modes(modes: Iterable[CameraMode]) -> tuple[CameraMode, ...]:
    """Return each size once with its highest rate, the largest pictures first."""
    best: dict[tuple[int, int], float | None] = {}
    for mode in modes:
        size = mode.width, mode.height
        rates = [rate for rate in (best.get(size), mode.fps) if rate is not None]
        best[size] = max(rates, default=None)
    sizes = sorted(best, key=lambda size: (size[0] * size[1], size), reverse=True)
    return tuple(CameraMode(*size, best[size]) for size in sizes)

"""What a live picture can come from: a camera, a file in real time, an address, a part of the screen, a pipe."""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from vid2vid_cli.errors import MediaError, UsageError
from vid2vid_cli.media.ffmpeg import DEMUXERS, each_frame_once, file_input, version
from vid2vid_cli.media.pipe import RAW_OUTPUT
from vid2vid_cli.media.probe import sniff

Kind = Literal["camera", "file", "stream", "screen", "pipe"]
FIRST_PICTURE_S = 15.0
"""How long a camera or an address may take to give its first picture."""
SILENCE_S = 5.0
"""How long one that has begun may give none, until it counts as gone."""
LONGER_PX = 960  # a camera's picture is made smaller than this: more shows nothing more of a face
CAMERA_SIZE, CAMERA_FPS = (480, 640), 30.0
_SCREEN = re.compile(r"screen(?::(\d+)x(\d+)([+]\d+)([+]\d+))?")
_SIZE = re.compile(r"(\d+)x(\d+)")
# Which protocols an address of each kind may lead to: none of them reads a file of this machine.
PROTOCOLS = {
    "rtsp": "rtsp,rtp,udp,tcp",
    "rtsps": "rtsp,rtp,udp,tcp,tls",
    "http": "http,tcp,httpproxy",
    "https": "http,https,tcp,tls,httpproxy",
    "rtmp": "rtmp,tcp",
    "rtmps": "rtmps,rtmp,tls,tcp",
    "tcp": "tcp",
    "udp": "udp",
    "srt": "srt",
}
_SOCKET_US = str(round(SILENCE_S * 1e6))


@dataclass(frozen=True)
class CaptureRequest:
    """Where pictures come from, as a user asks for it.

    name: the number or path of a camera, a path, an address. size: (height, width) asked of a camera; for all else,
    within which it is made to fit. fps: asked of a camera or the screen, the highest of all else. offset: (x, y), the
    left and top edge of a part of the screen, whose size is `size`. loops: whether a file begins anew at its end.
    """

    kind: Kind
    name: str
    size: tuple[int, int] | None = None
    fps: float | None = None
    offset: tuple[int, int] = (0, 0)
    loops: bool = False

    @property
    def subject(self) -> str:
        """What messages call it."""
        return {"camera": f"camera {self.name}", "pipe": "standard input"}.get(self.kind, self.name)

    @property
    def comes_back(self) -> bool:
        """Whether it may be there again after it was gone, so that it is opened anew."""
        return self.kind in ("camera", "stream", "screen")


def parse_capture(
    text: str, size: str | None = None, fps: float | None = None, *, loops: bool = False
) -> CaptureRequest:
    """Parse --camera, --camera-size and --camera-fps. UsageError or MediaError for what names nothing."""
    asked = None if size is None else _parse_size(size)
    if fps is not None and not 0 < fps <= 1000:
        raise UsageError(f"--camera-fps {fps:g}: write a number above 0 and at most 1000")
    if text == "-":
        return CaptureRequest("pipe", text, asked, fps)
    if text.partition(":")[0] == "screen":
        return _parse_screen(text, asked, fps)
    if "://" in text:
        scheme = text.partition("://")[0].lower()
        if scheme not in PROTOCOLS:
            raise UsageError(f"--camera {text}: this kind of address is not read; write {', '.join(PROTOCOLS)}")
        return CaptureRequest("stream", text, asked, fps)
    if text.isascii() and text.isdecimal():
        return CaptureRequest("camera", text, asked, fps)
    return _parse_name(text, asked, fps, loops=loops)


def _parse_name(text: str, size: tuple[int, int] | None, fps: float | None, *, loops: bool) -> CaptureRequest:
    """Take a name for a device, a file, or where cameras have names and no file is called so, for a camera."""
    path = Path(text)
    try:
        is_device = stat.S_ISCHR(path.stat().st_mode)
    except (OSError, ValueError):
        is_device = False
    if is_device or text.startswith("/dev/video"):
        return CaptureRequest("camera", text, size, fps)
    if sys.platform in ("darwin", "win32") and not path.exists():
        return CaptureRequest("camera", text, size, fps)
    if sniff(path) == "still":
        raise UsageError(f"--camera {text}: is a picture, in which nothing moves; name a camera or a video")
    return CaptureRequest("file", text, size, fps, loops=loops)


def _parse_screen(text: str, size: tuple[int, int] | None, fps: float | None) -> CaptureRequest:
    found = _SCREEN.fullmatch(text)
    if found is None:
        raise UsageError(f"--camera {text}: write screen, or screen:WIDTHxHEIGHT+X+Y for a part of it")
    if found[1] is None:
        return CaptureRequest("screen", text, size, fps)
    part = int(found[2]), int(found[1])
    if min(part) < 16:
        raise UsageError(f"--camera {text}: a part of the screen has at least 16 by 16 pixels")
    return CaptureRequest("screen", text, part, fps, (int(found[3]), int(found[4])))


def _parse_size(text: str) -> tuple[int, int]:
    found = _SIZE.fullmatch(text)
    if found is None or not all(16 <= int(number) <= 16384 for number in found.groups()):
        raise UsageError(f"--camera-size {text}: write WIDTHxHEIGHT in pixels, such as 640x480")
    return int(found[2]), int(found[1])


def inputs_of(
    request: CaptureRequest, platform: str = sys.platform, environment: Mapping[str, str] = os.environ
) -> list[list[str]]:
    """Return ffmpeg's arguments for an input, to be tried in this order: cameras refuse what they cannot do.

    platform: as sys.platform. environment: names the display of X.
    """
    if request.kind == "camera":
        return _camera_inputs(request, platform)
    if request.kind == "screen":
        return _screen_inputs(request, platform, environment)
    if request.kind == "stream":
        return [_stream_input(request)]
    if request.kind == "pipe":
        return [["-analyzeduration", "0", "-probesize", "65536", "-format_whitelist", DEMUXERS, "-i", "pipe:0"]]
    return [file_input(Path(request.name), *_real_time(), *(["-stream_loop", "-1"] if request.loops else []))]


def _real_time() -> list[str]:
    """Return the option that lets a file come as a camera's pictures do: from 6.1 on the first ones would rush."""
    return ["-re", *(["-readrate_initial_burst", "0.001"] if version() >= (6, 1) else [])]


def _camera_inputs(request: CaptureRequest, platform: str) -> list[list[str]]:
    height, width = request.size or CAMERA_SIZE
    size = ["-video_size", f"{width}x{height}"]
    rate = ["-framerate", f"{request.fps or CAMERA_FPS:g}"]
    if platform == "darwin":
        head, tail = ["-f", "avfoundation"], ["-i", f"{request.name}:none"]
        return [[*head, *rate, *size, *tail], [*head, *rate, *tail], [*head, *tail]]
    if platform == "win32":
        head, tail = ["-f", "dshow", "-rtbufsize", "64M"], ["-i", f"video={request.name}"]
        return [[*head, *rate, *size, *tail], [*head, *size, *tail], [*head, *tail]]
    device = f"/dev/video{request.name}" if request.name.isdecimal() else request.name
    head, tail = ["-f", "v4l2"], ["-i", device]
    plain = [[*head, *rate, *size, *tail], [*head, *tail]]
    # Raw pictures of this size come too slowly over USB 2; cameras then have them as JPEG as well.
    packed = [[*head, "-input_format", "mjpeg", *rate, *size, *tail]] if width * height > 640 * 480 else []
    return packed + plain


def _screen_inputs(request: CaptureRequest, platform: str, environment: Mapping[str, str]) -> list[list[str]]:
    rate = ["-framerate", f"{request.fps or CAMERA_FPS:g}"]
    x, y = request.offset
    part = [] if request.size is None else ["-video_size", f"{request.size[1]}x{request.size[0]}"]
    if platform == "darwin":  # the part is cut out by `filters_of`
        return [["-f", "avfoundation", *rate, "-capture_cursor", "1", "-i", "Capture screen 0:none"]]
    if platform == "win32":
        return [["-f", "gdigrab", *rate, "-offset_x", str(x), "-offset_y", str(y), *part, "-i", "desktop"]]
    display = environment.get("DISPLAY")
    if not display:
        raise MediaError("screen: there is no X display here (DISPLAY is not set); Wayland's screens are not read")
    return [["-f", "x11grab", *rate, *part, "-i", f"{display}+{x},{y}"]]


def _stream_input(request: CaptureRequest) -> list[str]:
    scheme = request.name.partition("://")[0].lower()
    quick = ["-fflags", "nobuffer", "-analyzeduration", "1000000", "-probesize", "500000"]
    allowed = ["-protocol_whitelist", PROTOCOLS[scheme], "-format_whitelist", f"{DEMUXERS},rtsp,sdp,rtp,hls"]
    if scheme in ("rtsp", "rtsps"):  # by TCP: over UDP a lost packet spoils pictures for seconds
        # Before 5.0, -timeout made ffmpeg itself the server, which waits for somebody to call.
        timeout = "-timeout" if version() >= (5, 0) else "-stimeout"
        return [*quick, *allowed, "-rtsp_transport", "tcp", timeout, _SOCKET_US, "-i", request.name]
    return [*quick, *allowed, "-rw_timeout", _SOCKET_US, "-i", request.name]


def filters_of(request: CaptureRequest, platform: str = sys.platform) -> str:
    """Return ffmpeg's filters that make a picture as large as is wanted, and not more of them than are."""
    filters = []
    if request.fps is not None and request.kind in ("file", "stream", "pipe"):
        filters.append(f"fps={request.fps:g}")
    if request.kind == "screen" and request.size is not None and platform == "darwin":
        height, width = request.size
        filters.append(f"crop={width}:{height}:{request.offset[0]}:{request.offset[1]}")
    height, width = (LONGER_PX, LONGER_PX)
    if request.size is not None and request.kind in ("file", "stream", "pipe"):
        height, width = request.size
    # Made smaller only, in the same shape: `a` is width over height.
    fit = f"min(1\\,min({width}/iw\\,{height}/ih))"
    filters.append(f"scale=w='max(2\\,trunc(iw*{fit}))':h='max(2\\,trunc(ih*{fit}))':flags=bilinear")
    return ",".join(filters)


def capture_arguments(request: CaptureRequest, given: Sequence[str], platform: str = sys.platform) -> list[str]:
    """Return all of ffmpeg's arguments: raw pictures on standard output, each as soon as it is there.

    given: one of `inputs_of`.
    """
    # One thread: each thread of a decoder holds a picture back. Statistics would fill the log for days.
    before = ["-v", "info", "-nostats", "-flags", "low_delay", "-threads", "1"]
    after = ["-map", "0:V:0", "-vf", filters_of(request, platform), *each_frame_once()]
    return [*before, *given, *after, *RAW_OUTPUT]

"""What can stand for a camera: how it is named, what ffmpeg is told, and what cameras say of themselves."""

from __future__ import annotations

import itertools
import os
import socket
import struct
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO

import numpy as np
import pytest

from tests.support.clips import make_clip, number_of
from vid2vid_cli.errors import MediaError, UsageError
from vid2vid_cli.live.camera import open_capture
from vid2vid_cli.live.run import FirstCamera, LiveRequest
from vid2vid_cli.media import v4l2_formats
from vid2vid_cli.media.cameras import (
    CameraMode,
    avfoundation_devices,
    avfoundation_modes,
    dshow_devices,
    dshow_modes,
    video_devices,
)
from vid2vid_cli.media.capture import CaptureRequest, capture_arguments, filters_of, inputs_of, parse_capture
from vid2vid_cli.media.v4l2_formats import QueryDevice
from vid2vid_cli.pipeline.live_options import LiveOptions

ROOT = Path(__file__).parents[1]
CAMERA = CaptureRequest("camera", "0")


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return make_clip(tmp_path / "own clip.mp4", 25)


# --- names ---


@pytest.mark.parametrize(
    ("text", "request_"),
    [
        ("2", CaptureRequest("camera", "2")),
        ("/dev/video9", CaptureRequest("camera", "/dev/video9")),
        ("-", CaptureRequest("pipe", "-")),
        ("rtsp://cam.local/1", CaptureRequest("stream", "rtsp://cam.local/1")),
        ("HTTPS://cam.local/a.mjpg", CaptureRequest("stream", "HTTPS://cam.local/a.mjpg")),
        ("screen", CaptureRequest("screen", "screen")),
        ("screen:640x480+10+20", CaptureRequest("screen", "screen:640x480+10+20", (480, 640), offset=(10, 20))),
    ],
)
def test_a_name_says_what_it_is(text: str, request_: CaptureRequest) -> None:
    assert parse_capture(text) == request_


def test_a_file_is_a_file_whatever_it_is_called(clip: Path) -> None:
    assert parse_capture(str(clip), "320x240", 10.0, loops=True) == CaptureRequest(
        "file", str(clip), (240, 320), 10.0, loops=True
    )


@pytest.mark.parametrize(
    ("text", "size", "fps", "error"),
    [
        ("file:///etc/passwd", None, None, "kind of address"),
        ("concat://a|b", None, None, "kind of address"),
        ("screen:10x10", None, None, "WIDTHxHEIGHT"),
        ("screen:8x8+0+0", None, None, "at least 16"),
        ("0", "640", None, "--camera-size 640"),
        ("0", "8x8", None, "--camera-size 8x8"),
        ("0", None, 0.0, "--camera-fps 0"),
        ("nowhere.mp4", None, None, "no such file"),
        ("examples/portrait.jpg", None, None, "is a picture, in which nothing moves"),
    ],
)
def test_what_names_nothing_is_one_line(
    text: str, size: str | None, fps: float | None, error: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    with pytest.raises((UsageError, MediaError), match=error) as caught:
        parse_capture(text, size, fps)
    assert "\n" not in str(caught.value)


# --- what ffmpeg is told ---


def test_cameras_are_asked_politely_and_then_taken_as_they_are() -> None:
    linux = inputs_of(replace(CAMERA, size=(720, 1280), fps=25.0), "linux")
    usual = ["-framerate", "25", "-video_size", "1280x720", "-i", "/dev/video0"]
    assert linux == [
        ["-f", "v4l2", "-input_format", "mjpeg", *usual],
        ["-f", "v4l2", *usual],
        ["-f", "v4l2", "-i", "/dev/video0"],
    ]
    assert inputs_of(CAMERA, "linux")[0] == [
        *("-f", "v4l2", "-framerate", "30", "-video_size", "640x480", "-i", "/dev/video0")
    ]
    assert inputs_of(replace(CAMERA, name="FaceTime"), "darwin") == [
        ["-f", "avfoundation", "-framerate", "30", "-video_size", "640x480", "-i", "FaceTime:none"],
        ["-f", "avfoundation", "-framerate", "30", "-i", "FaceTime:none"],
        ["-f", "avfoundation", "-i", "FaceTime:none"],
    ]
    windows = inputs_of(replace(CAMERA, name="Integrated Camera"), "win32")
    assert [arguments[-1] for arguments in windows] == ["video=Integrated Camera"] * 3
    assert windows[0][:4] == ["-f", "dshow", "-rtbufsize", "64M"]


def test_a_part_of_the_screen_is_cut_out_on_every_system() -> None:
    part = parse_capture("screen:640x480+10+20", fps=15.0)
    assert inputs_of(part, "linux", {"DISPLAY": ":1"}) == [
        ["-f", "x11grab", "-framerate", "15", "-video_size", "640x480", "-i", ":1+10,20"]
    ]
    assert inputs_of(part, "win32", {}) == [
        [
            *("-f", "gdigrab", "-framerate", "15", "-offset_x", "10", "-offset_y", "20"),
            "-video_size",
            "640x480",
            "-i",
            "desktop",
        ]
    ]
    assert inputs_of(part, "darwin", {})[0][-1] == "Capture screen 0:none"
    assert filters_of(part, "darwin").startswith("crop=640:480:10:20,")
    with pytest.raises(MediaError, match="no X display"):
        inputs_of(part, "linux", {})


def test_an_address_leads_to_no_file_and_is_given_up_in_time() -> None:
    (rtsp,), (web,) = (inputs_of(CaptureRequest("stream", f"{kind}://h/x"), "linux") for kind in ("rtsp", "https"))
    for arguments in (rtsp, web):
        allowed = arguments[arguments.index("-protocol_whitelist") + 1].split(",")
        assert not {"file", "pipe", "concat", "subfile", "data"} & {*allowed}
    assert rtsp[-1] == "rtsp://h/x" and {"-timeout", "-rtsp_transport"} <= {*rtsp} and "-rw_timeout" in web


def test_an_old_ffmpeg_asks_a_camera_and_does_not_wait_for_it_to_call(monkeypatch: pytest.MonkeyPatch) -> None:
    for version, option, other in (((4, 2), "-stimeout", "-timeout"), ((5, 0), "-timeout", "-stimeout")):
        monkeypatch.setattr("vid2vid_cli.media.capture.version", lambda version=version: version)
        (rtsp,) = inputs_of(CaptureRequest("stream", "rtsp://h/x"), "linux")
        assert option in rtsp and other not in rtsp


def test_all_arguments_end_in_raw_pictures_without_statistics() -> None:
    arguments = capture_arguments(CAMERA, inputs_of(CAMERA, "linux")[0], "linux")
    assert arguments[-5:] == ["-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1"] and "-nostats" in arguments


# --- real files ---


def test_a_file_comes_in_real_time_once_or_for_ever(clip: Path) -> None:
    began_s = time.monotonic()
    with open_capture(CaptureRequest("file", str(clip)), 10**6) as video:
        assert (video.size, video.fps) == ((64, 80), 25)
        numbers = [number_of(frame) for frame in video.frames()]
    assert numbers == list(range(25)) and time.monotonic() - began_s > 0.8
    with open_capture(CaptureRequest("file", str(clip), loops=True), 10**6) as video:
        numbers = [number_of(frame) for frame in itertools.islice(video.frames(), 40)]
    assert numbers == [*range(25), *range(15)]


def test_a_large_picture_is_made_smaller_in_its_own_shape_and_a_small_one_left_alone(tmp_path: Path) -> None:
    wide = make_clip(tmp_path / "wide.mp4", [np.zeros((600, 1200, 3), np.uint8)] * 3)
    with open_capture(CaptureRequest("file", str(wide)), 10**7) as video:
        assert video.size == (480, 960)
    with open_capture(CaptureRequest("file", str(wide), (100, 100), 5.0), 10**7) as video:
        assert video.size == (50, 100) and video.fps == 5


def test_what_is_no_video_is_one_line_with_a_cure(tmp_path: Path) -> None:
    (tmp_path / "notes.mp4").write_text("no video")
    with pytest.raises(MediaError, match=r"notes\.mp4: "):
        open_capture(CaptureRequest("file", str(tmp_path / "notes.mp4")), 10**6)
    with pytest.raises(MediaError, match=r"camera 63: .*vid2vid cameras lists"):
        open_capture(CaptureRequest("camera", "63"), 10**6)
    with pytest.raises(MediaError, match="check its address"):
        open_capture(CaptureRequest("stream", "http://127.0.0.1:9/none"), 10**6)


# --- what never begins ---


def test_a_server_that_accepts_and_never_sends_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vid2vid_cli.live.camera.FIRST_PICTURE_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(MediaError, match=r"gave no picture within 0\.5 s; check its address$"):
            open_capture(CaptureRequest("stream", address), 10**6)


@pytest.fixture
def silent_pipe(monkeypatch: pytest.MonkeyPatch) -> Iterator[IO[bytes]]:
    """Standard input that nobody writes to: its other end."""
    theirs, ours = os.pipe()
    with os.fdopen(theirs) as stdin, os.fdopen(ours, "wb") as end:
        monkeypatch.setattr("sys.stdin", stdin)
        monkeypatch.setattr("vid2vid_cli.live.run.FIRST_PICTURE_S", 0.5)
        yield end


def ask_for_pipe(duration: str | None) -> LiveRequest:
    return LiveRequest.of([str(ROOT / "examples" / "portrait.jpg")], ["-"], LiveOptions(camera="-", duration=duration))


def test_a_silent_pipe_is_given_up_where_a_duration_is_asked_for(silent_pipe: IO[bytes]) -> None:
    said: list[str] = []
    with pytest.raises(MediaError, match=r"^standard input: gave no picture within 0\.5 s$"):
        FirstCamera(ask_for_pipe("1"), said.append)
    assert said == []


def test_a_silent_pipe_without_an_end_is_waited_for_with_a_word(silent_pipe: IO[bytes]) -> None:
    said: list[str] = []

    def hear(text: str) -> None:
        said.append(text)
        silent_pipe.close()

    with pytest.raises(MediaError, match="holds no video"):
        FirstCamera(ask_for_pipe(None), hear)
    assert said == ["standard input: no picture has come yet; it is waited for, and Ctrl-C ends that"]


# --- what cameras say ---

# As ffmpeg 4 to 7 print it, cut to what matters.
AVFOUNDATION = """\
[AVFoundation indev @ 0x7f8] AVFoundation video devices:
[AVFoundation indev @ 0x7f8] [0] FaceTime HD Camera (Built-in)
[AVFoundation indev @ 0x7f8] [1] Capture screen 0
[AVFoundation indev @ 0x7f8] AVFoundation audio devices:
[AVFoundation indev @ 0x7f8] [0] MacBook Pro Microphone
: Input/output error
"""
AVFOUNDATION_MODES = """\
[avfoundation @ 0x7f9] Selected video size (1x1) is not supported by the device.
[avfoundation @ 0x7f9] Supported modes:
[avfoundation @ 0x7f9]   640x480@[15.000000 30.000000]fps
[avfoundation @ 0x7f9]   1280x720@[15.000000 30.000030]fps
[avfoundation @ 0x7f9]   1280x720@[15.000000 60.000000]fps
"""
DSHOW = """\
[dshow @ 000001] "Integrated Camera" (video)
[dshow @ 000001]   Alternative name "@device_pnp_\\\\?\\usb#vid_04f2"
[dshow @ 000001] "Microphone Array (Realtek(R) Audio)" (audio)
[dshow @ 000001]   Alternative name "@device_cm_{33D9A762}\\wave_{A}"
[dshow @ 000001] "OBS Virtual Camera" (none)
"""
OLD_DSHOW = """\
[dshow @ 000001] DirectShow video devices (some may be both video and audio devices)
[dshow @ 000001]  "Integrated Camera"
[dshow @ 000001]     Alternative name "@device_pnp_\\\\?\\usb#vid_04f2"
[dshow @ 000001] DirectShow audio devices
[dshow @ 000001]  "Microphone Array (Realtek(R) Audio)"
"""
DSHOW_MODES = """\
[dshow @ 000001] DirectShow video device options (from video devices)
[dshow @ 000001]  Pin "Capture" (alternative pin name "0")
[dshow @ 000001]   vcodec=mjpeg  min s=1280x720 fps=5 max s=1280x720 fps=30.0003
[dshow @ 000001]   pixel_format=yuyv422  min s=1280x720 fps=5 max s=1280x720 fps=10
[dshow @ 000001]   pixel_format=yuyv422  min s=640x480 fps=5 max s=640x480 fps=30
"""


def test_the_lists_of_ffmpeg_are_read() -> None:
    assert avfoundation_devices(AVFOUNDATION) == [("0", "FaceTime HD Camera (Built-in)")]
    assert avfoundation_modes(AVFOUNDATION_MODES) == (CameraMode(1280, 720, 60.0), CameraMode(640, 480, 30.0))
    camera = [("Integrated Camera", "Integrated Camera")]
    assert dshow_devices(DSHOW) == dshow_devices(OLD_DSHOW) == camera
    assert dshow_modes(DSHOW_MODES) == (CameraMode(1280, 720, 30.0003), CameraMode(640, 480, 30.0))
    assert avfoundation_devices("") == dshow_devices("") == [] and dshow_modes("") == ()


class FakeCamera:
    """Answers the requests of V4L2 as a driver does. sizes: by pixel format, with the seconds a picture takes."""

    def __init__(self, capabilities: int, modes: dict[int, dict[tuple[int, int], list[tuple[int, int]]]]) -> None:
        self._capabilities, self._modes = capabilities, modes

    def __call__(self, descriptor: int, request: int, buffer: bytearray) -> int:
        formats = list(self._modes)
        if request == v4l2_formats.QUERYCAP:
            struct.pack_into("=II", buffer, 84, 0x84A00001, self._capabilities)
            return 0
        (index,) = struct.unpack_from("=I", buffer)
        if request == v4l2_formats.ENUM_FMT and index < len(formats):
            struct.pack_into("=I", buffer, 44, formats[index])
            return 0
        (pixel_format,) = struct.unpack_from("=I", buffer, 4)
        sizes = self._modes.get(pixel_format, {})
        if request == v4l2_formats.ENUM_FRAMESIZES and index < len(sizes):
            struct.pack_into("=III", buffer, 8, v4l2_formats.DISCRETE, *list(sizes)[index])
            return 0
        if request == v4l2_formats.ENUM_FRAMEINTERVALS:
            rates = sizes.get(struct.unpack_from("=II", buffer, 8), [])
            if index < len(rates):
                struct.pack_into("=III", buffer, 16, v4l2_formats.DISCRETE, *rates[index])
                return 0
        raise OSError(22, "Invalid argument")


def test_a_video_device_lists_its_sizes_and_rates_and_one_without_pictures_is_left_out(tmp_path: Path) -> None:
    yuyv, mjpeg = 0x56595559, 0x47504A4D
    real = FakeCamera(
        1, {yuyv: {(640, 480): [(1, 30), (1, 15)]}, mjpeg: {(1280, 720): [(333333, 10000000)], (640, 480): []}}
    )
    fakes = {"video0": real, "video1": FakeCamera(0x00800000, {}), "video10": real}
    for name in fakes:
        (tmp_path / name).touch()
    (tmp_path / "described" / "video0").mkdir(parents=True)
    (tmp_path / "described" / "video0" / "name").write_text("Integrated Camera: IR\n")

    def open_fake(path: Path) -> QueryDevice:
        return QueryDevice(os.open(path, os.O_RDONLY), fakes[path.name])

    first, second = video_devices(tmp_path, tmp_path / "described", open_fake)
    assert (first.name, first.title, second.name, second.title) == ("0", "Integrated Camera: IR", "10", "camera")
    assert first.modes == (CameraMode(1280, 720, pytest.approx(30, abs=0.01)), CameraMode(640, 480, 30.0))


def test_a_range_of_sizes_is_listed_by_its_largest_and_the_usual_ones() -> None:
    def ranged(descriptor: int, request: int, buffer: bytearray) -> int:
        (index,) = struct.unpack_from("=I", buffer)
        if index or request == v4l2_formats.ENUM_FRAMEINTERVALS:
            raise OSError(22, "Invalid argument")
        if request == v4l2_formats.ENUM_FMT:
            struct.pack_into("=I", buffer, 44, 1)
        else:
            struct.pack_into("=I6I", buffer, 8, 3, 32, 1920, 1, 32, 1080, 1)
        return 0

    device = QueryDevice(os.open(os.devnull, os.O_RDONLY), ranged)
    with device:
        assert list(v4l2_formats.capture_modes(device)) == [(1920, 1080, None), (1280, 720, None), (640, 480, None)]

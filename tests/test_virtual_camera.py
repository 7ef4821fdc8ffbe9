"""A virtual camera gets whole pictures in a layout that it takes; what is in the way is said in a line."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import types
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from tests.support.clips import ffmpeg
from tests.support.processes import MODULE
from tests.support.video_devices import CAMERA, OUTPUT, WRITES, Device, VideoFolder
from vid2vid_cli.errors import MediaError
from vid2vid_cli.media.virtual_camera import camera
from vid2vid_cli.media.virtual_camera.pixels import packed
from vid2vid_cli.media.virtual_camera.v4l2 import PixelLayout
from vid2vid_cli.pipeline import doctor, doctor_live

Frame = npt.NDArray[np.uint8]

# Shows frames of a file of numpy on the device that is named, or on the first one of the folder; says what it is.
SHOW = """
import sys
from fractions import Fraction
from pathlib import Path
import cv2
import numpy as np
from vid2vid_cli.errors import MediaError
from vid2vid_cli.media.virtual_camera.camera import open_virtual_camera
frames = np.load(sys.argv[1])
try:
    shown = open_virtual_camera(sys.argv[3] or None, frames.shape[1:3], Fraction(30000, 1001), Path(sys.argv[2]))
    print(shown.name, *shown.size, *(shown.write(cv2.resize(frame, shown.size[::-1])) for frame in frames))
    shown.close()
except MediaError as error:
    print(error)
"""
LIST = """
import sys
from pathlib import Path
from vid2vid_cli.media.virtual_camera.v4l2 import video_devices
print(*((each.path.name, each.name, each.is_camera, each.is_output) for each in video_devices(Path(sys.argv[1]))))
"""


@pytest.fixture
def folder(tmp_path: Path) -> VideoFolder:
    return VideoFolder(tmp_path / "dev")


@pytest.fixture(scope="module")
def pictures() -> Frame:
    """Two smooth pictures in strong colours (2, 48, 64, 3)."""
    rows, columns = np.mgrid[0:48, 0:64]
    waves = [np.sin(columns / 9 + k) * np.cos(rows / 7 - k) for k in range(6)]
    return (
        np.stack(waves, axis=-1).reshape(48, 64, 2, 3).transpose(2, 0, 1, 3).__mul__(120).__add__(128).astype(np.uint8)
    )


def show(folder: VideoFolder, frames: Frame, device: Path | str = "") -> str:
    saved = folder.path.parent / "frames.npy"
    np.save(saved, frames)
    done = folder.run(SHOW, saved, folder.path, device)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def read_back(path: Path, code: str, size: tuple[int, int]) -> Frame:
    """Decode what a device got by ffmpeg: (frames, H, W, 3)."""
    (height, width), out = size, path.with_suffix(".rgb")
    pixel_format = {"YUYV": "yuyv422", "NV12": "nv12", "RGB3": "rgb24"}[code]
    raw = ["-f", "rawvideo", "-pix_fmt", pixel_format, "-s", f"{width}x{height}", "-i", path]
    to_rgb = "scale=in_color_matrix=bt601:in_range=tv:flags=bicubic+accurate_rnd+full_chroma_int+full_chroma_inp"
    ffmpeg("-v", "error", *raw, "-vf", to_rgb, "-f", "rawvideo", "-pix_fmt", "rgb24", out)
    return np.fromfile(out, np.uint8).reshape(-1, height, width, 3)


def reference(frame: Frame) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return luma (H, W) and colours (H, W, 2) of a frame by the formulas of BT.601, narrow range, unrounded."""
    red, green, blue = (frame[..., channel] / 255 for channel in range(3))
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    colours = np.stack([(blue - luma) / 1.772, (red - luma) / 1.402], axis=-1)
    return 16 + 219 * luma, 128 + 224 * colours


# --- pixels ---


@pytest.mark.parametrize("code", ["YUYV", "NV12"])
def test_colours_are_those_of_bt601(pictures: Frame, code: str) -> None:
    frame = pictures[0]
    height, width = frame.shape[:2]
    luma, colours = reference(frame)
    count = height * width * 2 if code == "YUYV" else height * width * 3 // 2
    layout = PixelLayout(code, (height, width), width * 2 if code == "YUYV" else width, count)
    got = np.frombuffer(packed(frame, layout), np.uint8)
    assert got.nbytes == count
    if code == "YUYV":
        found_luma, found = got[::2].reshape(height, width), got[1::2].reshape(height, width // 2, 2)
        wanted = colours.reshape(height, width // 2, 2, 2).mean(axis=2)
    else:
        found_luma, found = (
            got[: luma.size].reshape(height, width),
            got[luma.size :].reshape(height // 2, width // 2, 2),
        )
        wanted = colours.reshape(height // 2, 2, width // 2, 2, 2).mean(axis=(1, 3))
    assert np.abs(found_luma - luma).max() <= 1
    assert np.abs(found - wanted).max() <= 1.5


def test_rows_and_pictures_may_be_longer_than_their_pixels(pictures: Frame) -> None:
    tight = np.frombuffer(packed(pictures[0], PixelLayout("YUYV", (48, 64), 128, 128 * 48)), np.uint8)
    loose = np.frombuffer(packed(pictures[0], PixelLayout("YUYV", (48, 64), 160, 160 * 48 + 64)), np.uint8)
    assert loose.nbytes == 160 * 48 + 64
    assert np.array_equal(loose[: 160 * 48].reshape(48, 160)[:, :128], tight.reshape(48, 128))


# --- devices ---


@pytest.mark.parametrize("code", ["YUYV", "NV12", "RGB3"])
def test_a_device_gets_the_pictures(folder: VideoFolder, pictures: Frame, code: str) -> None:
    path = folder.add(7, Device(code=code))
    assert show(folder, pictures) == f"vid2vid ({path}) 48 64 True True"
    shown = read_back(path, code, (48, 64))
    assert shown.shape == pictures.shape
    errors = np.abs(shown.astype(int) - pictures)
    assert errors.max() <= (0 if code == "RGB3" else 16) and errors.mean() <= 2
    log = path.with_name("video7.log").read_text().splitlines()
    # BT.601 of SMPTE 170M in the narrow range, and frames of 1001/30000 s, as the kernel's own header reads them.
    assert log == ["format YUYV 64x48 colours 1 matrix 1 levels 2 extended 1", "time of a frame 1001/30000", "start 2"]


def test_a_device_that_insists_on_its_size_says_so(folder: VideoFolder, pictures: Frame) -> None:
    path = folder.add(3, Device(width=160, height=96))
    assert show(folder, pictures, path).endswith("96 160 True True")
    assert read_back(path, "YUYV", (96, 160)).shape == (2, 96, 160, 3)


def test_the_first_device_that_is_free_is_taken(folder: VideoFolder, pictures: Frame) -> None:
    folder.add(0, Device("uvcvideo", "Webcam", CAMERA | WRITES))
    folder.add(2, Device(format_error=errno.EBUSY))
    (folder.path / "video5").touch()  # no device at all
    folder.add(11, Device(card="eleven"))
    folder.add(10, Device(card="ten"))
    done = folder.run(LIST, folder.path)
    assert done.stdout.strip() == (
        "('video0', 'Webcam', True, False) ('video2', 'vid2vid', False, True)"
        " ('video10', 'ten', False, True) ('video11', 'eleven', False, True)"
    ), done.stderr
    assert show(folder, pictures).startswith("ten ")


@pytest.mark.parametrize(
    ("device", "words"),
    [
        (Device(format_error=errno.EBUSY), "another program fills it; close that one"),
        (Device(write_error=errno.EIO), "Input/output error"),
        (Device(write_error=errno.ENODEV), "modprobe v4l2loopback"),
        (Device(code="MJPG"), "takes pictures as 'MJPG'"),
        (Device("uvcvideo", "Webcam", CAMERA | WRITES), "Webcam takes no pictures; load"),
        (Device("uvcvideo", "Mapped", OUTPUT), "Mapped takes no pictures"),  # takes none by write()
    ],
)
def test_what_a_device_refuses_is_said_in_a_line(
    folder: VideoFolder, pictures: Frame, device: Device, words: str
) -> None:
    path = folder.add(4, device)
    (line,) = show(folder, pictures, path).splitlines()
    assert line.startswith(f"{path}: ") and words in line


def test_a_device_without_room_drops_the_frame(folder: VideoFolder, pictures: Frame) -> None:
    folder.add(4, Device(write_error=errno.EAGAIN))
    assert show(folder, pictures).endswith("False False")


def test_no_device_is_answered_with_the_command_that_makes_one(folder: VideoFolder, pictures: Frame) -> None:
    assert "sudo modprobe v4l2loopback exclusive_caps=1" in show(folder, pictures)
    plain = folder.path / "video1"
    plain.touch()
    assert show(folder, pictures, plain).endswith("is no video device")
    assert "no such device" in show(folder, pictures, folder.path / "video9")
    loopback = folder.add(6, Device(capabilities=CAMERA | WRITES))  # how it looks to others while it is being filled
    assert show(folder, pictures) == f"no virtual camera: {loopback}: another program fills it; close that one"
    assert show(folder, pictures, loopback) == f"{loopback}: another program fills it; close that one"


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="needs the video devices of Linux")
def test_a_device_of_others_is_told_from_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "video0").touch()
    monkeypatch.setattr(camera.os, "access", lambda path, mode: False)  # root may open all
    with pytest.raises(MediaError, match=r"video0: you may not open it; join its group: sudo usermod -aG video"):
        camera.check_virtual_camera(None, tmp_path)


# --- the command line ---


def test_a_live_portrait_is_what_the_camera_shows(folder: VideoFolder, media_dir: Path) -> None:
    portrait, clip = media_dir / "sources" / "s27_ai_woman.png", media_dir / "drivings" / "d14_actor_left_turn_256.mp4"
    path = folder.add(5, Device(width=320, height=256))
    words = [portrait, "--camera", clip, "--loop", "--size", "256", "--duration", "2", "-o", f"camera:{path}"]
    done = subprocess.run(
        [*MODULE, "live", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **folder.environment},
    )
    assert done.returncode == 0, done.stderr
    shown = read_back(path, "YUYV", (256, 320))
    assert len(shown) >= 3 and not np.array_equal(shown[0], shown[-1])
    wanted = np.asarray(Image.open(portrait).convert("RGB").resize((256, 256)))
    for picture in (shown[0], shown[-1]):
        assert picture[:, :28].max() <= 2  # a square in the middle of what the device insists on
        corner = picture[:60, 36:96].astype(int)  # where no head comes
        assert np.abs(corner - wanted[:60, 4:64]).mean() < 8


def test_doctor_names_what_live_finds(folder: VideoFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.add(2, Device(card="a"))
    folder.add(3, Device("uvcvideo", "Webcam", CAMERA | WRITES))
    look = "import sys, pathlib; from vid2vid_cli.pipeline.doctor_live import virtual_camera as look"
    look += "; print(look(pathlib.Path(sys.argv[1])))"
    assert folder.run(look, folder.path).stdout.strip() == f"a ({folder.path / 'video2'})"
    monkeypatch.setattr(doctor_live, "display_name", lambda: None)
    assert "no display" in doctor_live.window()
    monkeypatch.setattr(doctor_live, "display_name", lambda: ":7")
    assert doctor_live.window().endswith("display :7")
    names = ("cameras", "virtual camera", "window")
    looked = [each.make() for each in doctor._examinations() if each.name in names]
    assert len(looked) == 3 and all(check.ok for check in looked)  # none is needed


# --- pyvirtualcam, which only users install: what is called is what its documentation promises ---


class Camera:
    """Takes what pyvirtualcam.Camera takes; remembers the frames."""

    frames: list[Frame]

    def __init__(self, width: int, height: int, fps: float, *, device: str | None = None) -> None:
        if device == "gone":
            raise RuntimeError("virtual camera output could not be started")
        self.shape, self.fps, self.device, Camera.frames = (height, width, 3), fps, device or "OBS Virtual Camera", []

    def send(self, frame: Frame) -> None:
        assert frame.shape == self.shape and frame.dtype == np.uint8
        self.frames.append(frame)

    def close(self) -> None: ...


def test_other_systems_use_pyvirtualcam_where_it_is_installed(monkeypatch: pytest.MonkeyPatch, pictures: Frame) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    module: Any = types.ModuleType("pyvirtualcam")
    module.Camera = Camera
    monkeypatch.setitem(sys.modules, "pyvirtualcam", module)
    shown = camera.open_virtual_camera(None, (48, 64), Fraction(30))
    assert shown.name == "OBS Virtual Camera" and shown.write(pictures[0])
    shown.close()
    assert np.array_equal(Camera.frames[0], pictures[0])
    with pytest.raises(MediaError, match=r"could not be started; install OBS Studio.*pip install pyvirtualcam"):
        camera.open_virtual_camera("gone", (48, 64), Fraction(30))
    monkeypatch.setitem(sys.modules, "pyvirtualcam", None)
    with pytest.raises(MediaError, match=r"^no virtual camera: install OBS Studio.*pip install pyvirtualcam"):
        camera.open_virtual_camera(None, (48, 64), Fraction(30))


def test_pyvirtualcam_is_no_dependency() -> None:
    project = (Path(__file__).resolve().parents[1] / "pyproject.toml").read_text()
    assert "pyvirtualcam" not in project  # GPL-2.0

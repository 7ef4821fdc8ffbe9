"""Raw video to a pipe: what ffmpeg reads back is what was written, whatever the size."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tests.support.clips import ffmpeg
from vid2vid_cli.arrays import Frame
from vid2vid_cli.media.video import SYNTHETIC_MARK, WriteOptions, probe_video
from vid2vid_cli.media.y4m import Y4MWriter, planes_of

NTSC = Fraction(30000, 1001)


def written(frames: list[Frame], fps: Fraction, capfdbinary: pytest.CaptureFixture[bytes]) -> bytes:
    with Y4MWriter(Path("-"), frames[0].shape[:2], WriteOptions(fps)) as writer:
        for frame in frames:
            writer.write(frame)
    return capfdbinary.readouterr().out


def smooth_frame(height: int, width: int, phase: float = 0) -> Frame:
    """Draw colours that change slowly, so that those of four pixels are nearly one."""
    y, x = np.mgrid[:height, :width] / max(height, width)
    waves = [np.sin(3 * (x + k * y) + phase + 2 * k) for k in range(3)]
    return (128 + 100 * np.stack(waves, -1)).astype(np.uint8)


def read_back(path: Path, scale: str) -> np.ndarray:
    """Return all bytes of the RGB frames that ffmpeg makes of a film."""
    data = ffmpeg("-i", path, "-vf", scale, "-pix_fmt", "rgb24", "-f", "rawvideo", "pipe:1")
    return np.frombuffer(data, np.uint8).astype(int)


@pytest.mark.parametrize(("height", "width"), [(96, 128), (97, 131), (1, 1)])
def test_frames_come_back(height: int, width: int, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    frames = [smooth_frame(height, width, phase) for phase in (0, 1, 2)]
    path = tmp_path / "film.y4m"
    path.write_bytes(written(frames, NTSC, capfdbinary))
    if height > 1:
        info = probe_video(path)
        assert (info.size, info.fps, info.frame_count) == ((height, width), NTSC, 3)
    back = read_back(path, "scale=flags=bicubic+accurate_rnd+full_chroma_int")
    off = np.abs(back.reshape(3, height, width, 3) - np.stack(frames))
    assert off.mean() < 2 and off.max() < 16


def test_large_pictures_have_the_colours_of_hd(tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """As players take them: by BT.709 above 576 lines, for Y4M does not say."""
    frame = np.full((578, 64, 3), (200, 60, 30), np.uint8)
    (tmp_path / "film.y4m").write_bytes(written([frame], Fraction(25), capfdbinary))
    scale = "scale=in_color_matrix={}:in_range=tv:flags=accurate_rnd"
    off = {}
    for matrix in ("bt601", "bt709"):
        off[matrix] = np.abs(read_back(tmp_path / "film.y4m", scale.format(matrix)).reshape(frame.shape) - frame).max()
    assert off["bt709"] <= 2
    assert off["bt601"] > 10


def test_black_and_white_lie_in_the_video_range() -> None:
    black, white = np.zeros((2, 2, 3), np.uint8), np.full((2, 2, 3), 255, np.uint8)
    assert [int(plane.max()) for plane in planes_of(black)] == [16, 128, 128]
    assert [int(plane.max()) for plane in planes_of(white)] == [235, 128, 128]


def test_the_header_carries_the_mark(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    data = written([smooth_frame(2, 4)], Fraction(25), capfdbinary)
    words = data.split(b"\n", 1)[0].decode().split(" ")
    assert words[:4] == ["YUV4MPEG2", "W4", "H2", "F25:1"]
    assert f"X{SYNTHETIC_MARK.replace(' ', '_')}" in words
    assert len(data.split(b"\n", 1)[1]) == len(b"FRAME\n") + 2 * 4 * 3 // 2

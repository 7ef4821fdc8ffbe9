"""Pictures in a row in one file are a clip; what phones put behind a picture is not."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from vid2vid_cli.media import probe
from vid2vid_cli.media.pipe import open_pipe
from vid2vid_cli.media.video import ReadOptions, probe_video, read_video, sniff


def jpeg(grey: int, size: tuple[int, int] = (48, 32), **options: object) -> bytes:
    """Encode a picture of one grey with a gradient, so that its data has stuffed bytes. size: (width, height)."""
    noise = np.random.default_rng(grey).integers(0, 40, (size[1], size[0], 3))
    file = io.BytesIO()
    Image.fromarray((grey + noise).astype(np.uint8)).save(file, "JPEG", quality=97, **options)
    return file.getvalue()


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}])
def test_pictures_in_a_row_are_a_clip(options: dict[str, object], tmp_path: Path) -> None:
    path = tmp_path / "camera.jpg"
    path.write_bytes(b"".join(jpeg(grey, **options) for grey in (20, 90, 160)))
    assert sniff(path) == "video" and probe_video(path).frame_count == 3
    means = [float(frame.mean()) for frame in read_video(path)]
    assert means == pytest.approx([39.5, 109.5, 179.5], abs=3)


@pytest.mark.parametrize(
    "behind",
    [b"", b"\0" * 400, jpeg(90, (24, 16)), b"\0\0\0\x18ftypmp42", jpeg(90)[:200], b"\xff", b"\xff\xd8\xff"],
    ids=["nothing", "filling", "a preview", "a film", "half a picture", "a byte", "the start of one"],
)
def test_a_picture_with_something_behind_it_is_a_still(behind: bytes, tmp_path: Path) -> None:
    path = tmp_path / "photo.jpg"
    path.write_bytes(jpeg(20) + behind)
    assert sniff(path) == "still"


def test_a_picture_that_announces_others_is_a_still(tmp_path: Path) -> None:
    one, two = Image.new("RGB", (48, 32), "red"), Image.new("RGB", (48, 32), "blue")
    one.save(tmp_path / "depth.jpg", "MPO", save_all=True, append_images=[two])
    assert sniff(tmp_path / "depth.jpg") == "still"


def in_parts(pictures: list[bytes], *, has_length: bool = True) -> bytes:
    """Write pictures as cameras in a network send them, without the line that ends them."""
    lengths = [b"Content-Length: %d\r\n" % len(picture) if has_length else b"" for picture in pictures]
    head = b"--frame\r\nContent-Type: image/jpeg\r\n"
    return b"".join(b"%b%b\r\n%b\r\n" % (head, *part) for part in zip(lengths, pictures, strict=True))


@pytest.mark.parametrize("has_length", [True, False])
@pytest.mark.parametrize("end", [b"", b"--frame--\r\n", b"--frame\r\n", b"--frame\r\nContent-Ty"])
def test_a_camera_in_a_network_that_ends_is_not_damaged(end: bytes, has_length: bool, tmp_path: Path) -> None:
    pictures = [jpeg(grey) for grey in (20, 90, 160, 200)]
    path, said = tmp_path / "stream.bin", list[str]()
    path.write_bytes(in_parts(pictures, has_length=has_length) + end)
    means = [float(frame.mean()) for frame in read_video(path, ReadOptions(warn=said.append))]
    assert (means, said) == (pytest.approx([39.5, 109.5, 179.5, 219.5], abs=3), [])


def test_a_camera_in_a_network_that_is_damaged_is_told(tmp_path: Path) -> None:
    path, said = tmp_path / "stream.bin", list[str]()
    path.write_bytes(in_parts([jpeg(20), jpeg(90)]) + b"lost\r\n" + in_parts([jpeg(160), jpeg(200)]))
    assert len(list(read_video(path, ReadOptions(warn=said.append)))) == 2 and "is damaged" in said[0]


@pytest.mark.parametrize("is_multipart", [False, True])
def test_a_camera_is_read_from_a_pipe(is_multipart: bool, tmp_path: Path) -> None:
    pictures = [jpeg(grey) for grey in (20, 90, 160, 200)]
    path = tmp_path / "stream"
    path.write_bytes(in_parts(pictures) if is_multipart else b"".join(pictures))
    with path.open("rb") as stream, open_pipe(stream.fileno(), 10_000) as video:
        assert video.size == (32, 48)
        means = [float(frame.mean()) for frame in video.frames()]
    assert means[:3] == pytest.approx([39.5, 109.5, 179.5], abs=3)


def test_an_ffmpeg_that_reads_no_animated_webp_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    still = Image.new("RGB", (16, 16), "red")
    still.save(tmp_path / "a.webp", save_all=True, append_images=[Image.new("RGB", (16, 16))], lossless=True)
    log = "cannot be read as a video: Invalid argument"
    assert log in probe._why_no_video(tmp_path / "a.webp", "", "Invalid argument")
    monkeypatch.setattr(probe, "has_demuxer", lambda name: name != "webp_anim")
    assert "pip install -U imageio-ffmpeg" in probe._why_no_video(tmp_path / "a.webp", "", "Invalid argument")

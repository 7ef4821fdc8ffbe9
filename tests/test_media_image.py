"""Stills: upright, eight bits, opaque, whole; marked when written."""

from __future__ import annotations

import io
import os
import stat
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from vid2vid_cli.errors import MediaError, OutputExistsError
from vid2vid_cli.media.image import contact_sheet, read_image, write_image
from vid2vid_cli.media.mark import read_mark
from vid2vid_cli.media.provenance import SYNTHETIC_MARK

UPRIGHT = np.arange(6 * 4 * 3, dtype=np.uint8).reshape(6, 4, 3) * 3

# What a camera stored for each EXIF orientation, so that obeying it gives UPRIGHT again (EXIF 2.3, tag 0x0112).
STORED = {
    1: UPRIGHT,
    2: UPRIGHT[:, ::-1],
    3: UPRIGHT[::-1, ::-1],
    4: UPRIGHT[::-1],
    5: UPRIGHT.transpose(1, 0, 2),
    6: np.rot90(UPRIGHT, 1),
    7: UPRIGHT[::-1, ::-1].transpose(1, 0, 2),
    8: np.rot90(UPRIGHT, -1),
}


def frame_of(height: int = 24, width: int = 32) -> np.ndarray:
    rows, columns = np.mgrid[0:height, 0:width]
    return np.stack([rows * 8, columns * 7, (rows + columns) * 4], axis=-1).astype(np.uint8)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_honoured(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(STORED[orientation])).save(tmp_path / "a.png", exif=exif)
    assert (read_image(tmp_path / "a.png") == UPRIGHT).all()


def test_turned_photo_equals_the_upright_one(media_dir: Path) -> None:
    upright = read_image(media_dir / "sources" / "s26_woman_threequarter.jpg")
    turned = read_image(media_dir / "sources" / "s28_exif_orientation6.jpg")
    assert turned.shape == upright.shape
    assert np.abs(turned.astype(int) - upright).mean() < 6


def test_sixteen_bit_grey_is_scaled_not_clipped(tmp_path: Path) -> None:
    deep = np.array([[0, 257, 128 * 257, 65535]], np.uint16)
    for name in ["a.png", "a.tif"]:
        Image.fromarray(deep).save(tmp_path / name)
        assert read_image(tmp_path / name)[0, :, 0].tolist() == [0, 1, 128, 255]


def test_sixteen_bit_colour_is_scaled(tmp_path: Path) -> None:
    pixels = struct.pack(">6H", 0, 128 * 257, 65535, 65535, 257, 0)
    (tmp_path / "a.png").write_bytes(png(2, 1, 16, 2, b"\0" + pixels))
    assert read_image(tmp_path / "a.png").tolist() == [[[0, 128, 255], [255, 1, 0]]]


def png(width: int, height: int, depth: int, colour: int, rows: bytes) -> bytes:
    """Put a PNG together by hand, for depths that Pillow cannot write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


def test_float_tiff_of_zero_to_one(tmp_path: Path) -> None:
    Image.fromarray(np.array([[0.0, 0.5, 1.0]], np.float32)).save(tmp_path / "a.tif")
    assert read_image(tmp_path / "a.tif")[0, :, 0].tolist() == [0, 128, 255]


def test_cmyk_and_grey_and_bilevel(tmp_path: Path) -> None:
    frame = frame_of()
    Image.fromarray(frame).convert("CMYK").save(tmp_path / "cmyk.jpg", quality=98, subsampling=0)
    assert np.abs(read_image(tmp_path / "cmyk.jpg").astype(int) - frame).mean() < 4
    grey = Image.fromarray(frame).convert("L")
    grey.save(tmp_path / "grey.png")
    assert (read_image(tmp_path / "grey.png") == np.array(grey)[..., None]).all()
    grey.convert("1").save(tmp_path / "bits.png")
    assert set(np.unique(read_image(tmp_path / "bits.png"))) == {0, 255}


def test_alpha_is_laid_over_the_background(tmp_path: Path) -> None:
    rgba = np.zeros((1, 3, 4), np.uint8)
    rgba[0, :, 0] = 200
    rgba[0, :, 3] = [0, 128, 255]
    Image.fromarray(rgba).save(tmp_path / "a.png")
    assert read_image(tmp_path / "a.png")[0].tolist()[::2] == [[255, 255, 255], [200, 0, 0]]
    green = read_image(tmp_path / "a.png", background=(0, 100, 0))
    assert np.abs(green[0].astype(int) - [[0, 100, 0], [100, 50, 0], [200, 0, 0]]).max() <= 1


def test_palette_with_transparency(tmp_path: Path) -> None:
    palette = Image.new("P", (3, 1))
    palette.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    palette.putdata([0, 1, 2])
    palette.save(tmp_path / "clear.png", transparency=1)
    assert read_image(tmp_path / "clear.png")[0].tolist() == [[255, 0, 0], [255, 255, 255], [0, 0, 255]]
    palette.save(tmp_path / "plain.png")
    assert read_image(tmp_path / "plain.png")[0].tolist() == [[255, 0, 0], [0, 255, 0], [0, 0, 255]]


def test_opaque_pictures_with_an_alpha_channel_stay(tmp_path: Path) -> None:
    Image.fromarray(frame_of()).convert("RGBA").save(tmp_path / "a.png")
    assert (read_image(tmp_path / "a.png", background=(0, 0, 0)) == frame_of()).all()


def test_a_colour_profile_is_applied_and_a_broken_one_passed_over(tmp_path: Path) -> None:
    frame = frame_of()
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(frame).save(tmp_path / "srgb.png", icc_profile=lab)
    assert np.abs(read_image(tmp_path / "srgb.png").astype(int) - frame).max() <= 1
    Image.fromarray(frame).save(tmp_path / "broken.png", icc_profile=b"no profile at all")
    assert (read_image(tmp_path / "broken.png") == frame).all()


def test_the_limit_of_pixels_holds_before_decoding(tmp_path: Path, media_dir: Path) -> None:
    huge = media_dir / "bad" / "b17_huge_20000x20000.png"
    with pytest.raises(MediaError, match="20000 by 20000, more than the 100000000 pixels that --max-pixels allows"):
        read_image(huge)
    Image.fromarray(frame_of()).save(tmp_path / "a.png")
    with pytest.raises(MediaError, match="32 by 24"):
        read_image(tmp_path / "a.png", max_pixels=24 * 32 - 1)
    assert read_image(tmp_path / "a.png", max_pixels=24 * 32).shape == (24, 32, 3)


def test_pillows_own_limit_is_left_as_it_was(tmp_path: Path) -> None:
    before = Image.MAX_IMAGE_PIXELS
    Image.fromarray(frame_of()).save(tmp_path / "a.png")
    read_image(tmp_path / "a.png")
    assert before == Image.MAX_IMAGE_PIXELS


def damaged() -> dict[str, bytes]:
    whole = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)).save(whole, "PNG")
    jpeg = io.BytesIO()
    Image.fromarray(frame_of(64, 64)).save(jpeg, "JPEG")
    broken = bytearray(whole.getvalue())
    broken[60] ^= 255
    return {
        "empty.png": b"",
        "text.png": b"this is not a picture",
        "half.png": whole.getvalue()[:3000],
        "half.jpg": jpeg.getvalue()[:-200],
        "flipped.png": bytes(broken),
        "head.png": whole.getvalue()[:20],
        "script.eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n",
    }


@pytest.mark.parametrize("name", sorted(damaged()))
def test_damaged_files_are_named_in_one_line(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(damaged()[name])
    with pytest.raises(MediaError, match=name) as caught:
        read_image(tmp_path / name)
    assert "\n" not in str(caught.value)


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match="no such file"):
        read_image(tmp_path / "none.png")
    with pytest.raises(MediaError, match="is a folder"):
        read_image(tmp_path)


def test_every_real_source_is_read(media_dir: Path) -> None:
    for path in sorted((media_dir / "sources").iterdir()):
        frame = read_image(path)
        assert frame.dtype == np.uint8
        assert frame.ndim == 3
        assert frame.flags.writeable
        with Image.open(path) as opened:
            assert ImageOps.exif_transpose(opened).size == frame.shape[1::-1]


@pytest.mark.parametrize(("name", "error"), [("a.png", 0), ("a.jpg", 2), ("a.JPEG", 2), ("a.webp", 5)])
def test_written_pictures_come_back_marked(tmp_path: Path, name: str, error: float) -> None:
    frame = frame_of()
    write_image(tmp_path / name, frame)
    assert np.abs(read_image(tmp_path / name).astype(int) - frame).mean() <= error
    assert read_mark(tmp_path / name) == SYNTHETIC_MARK
    assert [path.name for path in tmp_path.iterdir()] == [name]
    write_image(tmp_path / name, frame, provenance=None, force=True)
    assert read_mark(tmp_path / name) is None


def test_other_comments_are_no_marks(tmp_path: Path) -> None:
    Image.fromarray(frame_of()).save(tmp_path / "a.jpg", comment="a holiday")
    assert read_mark(tmp_path / "a.jpg") is None


def test_outputs_have_usual_permissions_and_stay_without_force(tmp_path: Path) -> None:
    previous = os.umask(0o022)
    try:
        write_image(tmp_path / "a.png", frame_of())
    finally:
        os.umask(previous)
    if os.name == "posix":
        assert stat.S_IMODE((tmp_path / "a.png").stat().st_mode) == 0o644
    before = (tmp_path / "a.png").read_bytes()
    with pytest.raises(OutputExistsError, match="--force"):
        write_image(tmp_path / "a.png", 255 - frame_of())
    assert (tmp_path / "a.png").read_bytes() == before and (tmp_path / "a-2.png").exists()  # no work is lost


def test_impossible_pictures_are_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MediaError, match="cannot be created"):
        write_image(tmp_path / "file" / "a.png", frame_of())
    with pytest.raises(MediaError, match=r"\.png"):
        write_image(tmp_path / "a.bmp", frame_of())
    with pytest.raises(MediaError, match="cannot be written"):
        write_image(tmp_path / "a.webp", frame_of(1, 20000))  # WebP ends at 16383
    with pytest.raises(ValueError, match="uint8"):
        write_image(tmp_path / "a.png", frame_of().astype(np.float32))  # type: ignore[arg-type]
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_contact_sheet_places_frames_in_rows() -> None:
    frames = [np.full((10, 20, 3), 40 * number, np.uint8) for number in range(5)]
    sheet = contact_sheet(frames, 2)
    assert sheet.shape == (30, 40, 3)
    assert [sheet[5 + 10 * (n // 2), 10 + 20 * (n % 2), 0] for n in range(5)] == [0, 40, 80, 120, 160]
    assert (sheet[20:, 20:] == 255).all()
    labelled = contact_sheet(frames, 5, ["a", "b", "c", "d", "e"])
    assert labelled.shape[0] > 10
    assert (labelled[:-10] < 128).any()
    with pytest.raises(ValueError, match="label"):
        contact_sheet(frames, 2, ["a"])

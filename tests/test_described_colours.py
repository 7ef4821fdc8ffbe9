"""Colours that a file describes: profiles on palettes and greys, the chunks of PNG, hidden alpha of VP8 and VP9."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from tests.support.clips import ffmpeg
from vid2vid_cli.media import reader
from vid2vid_cli.media.image import read_image
from vid2vid_cli.media.video import ReadOptions, probe_video, read_video

LINEAR_GREY, LINEAR_SRGB = "GRAY", "RGB "
STORED = (120, 10, 200)


def as_srgb(samples: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Return what linear samples of 0 to 255 are in sRGB (IEC 61966-2-1)."""
    light = np.array(samples) / 255
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055) * 255


def profile(space: str) -> bytes:
    """Make a version 2 profile whose curve is a straight line (ICC.1:2001-04)."""
    white = (0.9642, 1.0, 0.8249)
    primaries = ((0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141))
    points = {"wtpt": white} | (dict(zip(("rXYZ", "gXYZ", "bXYZ"), primaries, strict=True)) if space != "GRAY" else {})
    tags = {n: b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(v * 65536) for v in p)) for n, p in points.items()}
    line = b"curv\0\0\0\0" + struct.pack(">IHH", 1, 256, 0)
    tags |= dict.fromkeys(("kTRC",) if space == "GRAY" else ("rTRC", "gTRC", "bTRC"), line)
    table, data = struct.pack(">I", len(tags)), b""
    for name, content in tags.items():
        offset = 128 + 4 + 12 * len(tags) + len(data)
        table += name.encode() + struct.pack(">II", offset, len(content))
        data += content
    size = 128 + len(table) + len(data)
    header = struct.pack(">I4xI4s4s4s", size, 0x02400000, b"mntr", space.encode(), b"XYZ ") + bytes(12) + b"acsp"
    header += bytes(28) + struct.pack(">3i", *(round(v * 65536) for v in white))
    return header.ljust(128, b"\0") + table + data


def with_chunks(path: Path, **chunks: bytes) -> Path:
    """Put chunks into a PNG, after its header."""
    data = path.read_bytes()
    made = b"".join(
        struct.pack(">I", len(content))
        + kind.encode()
        + content
        + struct.pack(">I", zlib.crc32(kind.encode() + content))
        for kind, content in chunks.items()
    )
    path.write_bytes(data[:33] + made + data[33:])
    return path


def save(path: Path, mode: str = "RGB", colour: tuple[int, ...] = STORED, **options: object) -> Path:
    Image.new(mode, (4, 4), colour if len(colour) > 1 else colour[0]).save(path, **options)  # type: ignore[arg-type]
    return path


# --- profiles ---


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_the_profile_of_a_palette_is_applied(suffix: str, tmp_path: Path) -> None:
    picture = Image.new("RGB", (4, 4), STORED).quantize(4)
    picture.save(tmp_path / f"p{suffix}", icc_profile=profile(LINEAR_SRGB))
    assert Image.open(tmp_path / f"p{suffix}").mode == "P"
    assert np.abs(read_image(tmp_path / f"p{suffix}")[0, 0] - as_srgb(STORED)).max() < 1.5


def test_the_profile_of_a_palette_with_transparency_is_applied(tmp_path: Path) -> None:
    picture = Image.fromarray(np.uint8([[0, 1]]), "P")
    picture.putpalette([*STORED, 0, 0, 0])
    picture.save(tmp_path / "p.png", transparency=1, icc_profile=profile(LINEAR_SRGB))
    colour, ground = read_image(tmp_path / "p.png", background=(9, 8, 7))[0]
    assert np.abs(colour - as_srgb(STORED)).max() < 1.5 and ground.tolist() == [9, 8, 7]


@pytest.mark.parametrize(
    ("name", "mode", "colour", "space"),
    [
        ("grey.png", "L", (60,), LINEAR_GREY),
        ("grey.jpg", "L", (60,), LINEAR_GREY),
        ("alpha.png", "LA", (60, 255), LINEAR_GREY),
        ("alpha.png", "LA", (60, 254), LINEAR_GREY),
        ("sixteen.png", "I;16", (60 * 257,), LINEAR_GREY),
        ("grey in colour.png", "L", (60,), LINEAR_SRGB),
    ],
)
def test_the_profile_of_a_grey_picture_is_applied(
    name: str, mode: str, colour: tuple[int, ...], space: str, tmp_path: Path
) -> None:
    path = save(tmp_path / name, mode, colour, icc_profile=profile(space))
    assert np.abs(read_image(path)[0, 0].astype(float) - as_srgb(60)).max() < 2


def test_a_profile_of_another_kind_is_passed_over(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", icc_profile=profile(LINEAR_GREY))
    assert tuple(read_image(path)[0, 0]) == STORED


# --- the chunks of PNG ---

LINEAR_GAMA = struct.pack(">I", 100_000)
SRGB_CHRM = struct.pack(">8I", 31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
P3_CHRM = struct.pack(">8I", 31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)
P3_COLOUR, P3_IN_SRGB = (184, 56, 49), (200, 40, 40)


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
def test_gama_is_applied(mode: str, tmp_path: Path) -> None:
    colour = {"RGB": STORED, "L": (60,), "RGBA": (*STORED, 255)}[mode]
    path = with_chunks(save(tmp_path / "a.png", mode, colour), gAMA=LINEAR_GAMA)
    assert np.abs(read_image(path)[0, 0] - as_srgb(colour[:3])).max() < 1.5


def test_the_gamma_that_means_srgb_changes_nothing(tmp_path: Path) -> None:
    path = with_chunks(save(tmp_path / "a.png"), gAMA=struct.pack(">I", 45455), cHRM=SRGB_CHRM)
    assert tuple(read_image(path)[0, 0]) == STORED
    assert tuple(read_image(with_chunks(save(path), gAMA=LINEAR_GAMA, sRGB=b"\0"))[0, 0]) == STORED


def test_primaries_are_applied_by_either_chunk(tmp_path: Path) -> None:
    for chunks in ({"cHRM": P3_CHRM, "gAMA": struct.pack(">I", 45455)}, {"cICP": bytes([12, 13, 0, 1])}):
        path = with_chunks(save(tmp_path / "a.png", colour=P3_COLOUR), **chunks)
        assert np.abs(read_image(path)[0, 0].astype(int) - P3_IN_SRGB).max() <= 1


def test_cicp_comes_before_everything_else(tmp_path: Path) -> None:
    path = save(tmp_path / "a.png", icc_profile=profile(LINEAR_SRGB))
    assert tuple(read_image(with_chunks(path, cICP=bytes([1, 13, 0, 1]), gAMA=LINEAR_GAMA))[0, 0]) == STORED
    linear = with_chunks(save(path), cICP=bytes([1, 8, 0, 1]), gAMA=struct.pack(">I", 45455))
    assert np.abs(read_image(linear)[0, 0] - as_srgb(STORED)).max() < 1.5


@pytest.mark.parametrize(("transfer", "white"), [(16, 0.58), (18, 0.75)])
def test_ordinary_white_of_hdr_pictures_is_white(transfer: int, white: float, tmp_path: Path) -> None:
    def read(sample: float) -> int:
        path = save(tmp_path / "a.png", colour=(round(sample * 255),) * 3)
        return int(read_image(with_chunks(path, cICP=bytes([9, transfer, 0, 1])))[0, 0, 0])

    assert read(white) >= 245 and 90 < read(0.65 * white) < 200 and read(0) == 0


@pytest.mark.parametrize("chunks", [{"cICP": b"\xff\xff\0\1"}, {"cICP": b""}, {"cHRM": bytes(32)}, {"gAMA": bytes(4)}])
def test_nonsense_in_the_chunks_is_passed_over(chunks: dict[str, bytes], tmp_path: Path) -> None:
    path = with_chunks(save(tmp_path / "a.png"), **chunks)
    assert tuple(read_image(path)[0, 0]) == STORED


# --- hidden alpha ---


@pytest.fixture(params=["libvpx", "libvpx-vp9"])
def clip(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Make a blue clip whose left half is transparent."""
    rgba = np.zeros((64, 64, 4), np.uint8)
    rgba[:, 32:] = (0, 0, 220, 255)
    Image.fromarray(rgba).save(tmp_path / "half.png")
    encoding = ("-c:v", request.param, "-pix_fmt", "yuva420p", "-auto-alt-ref", "0", "-b:v", "1M")
    ffmpeg("-loop", "1", "-i", tmp_path / "half.png", "-frames:v", "5", *encoding, tmp_path / "a.webm")
    return tmp_path / "a.webm"


def test_the_alpha_of_webm_is_seen(clip: Path) -> None:
    frames = list(read_video(clip, ReadOptions(background=(250, 0, 0))))
    assert len(frames) == probe_video(clip).frame_count == 5
    for frame in frames:
        assert np.abs(frame[32, 8].astype(int) - (250, 0, 0)).max() < 8
        assert np.abs(frame[32, 56].astype(int) - (0, 0, 220)).max() < 24


def test_alpha_that_this_ffmpeg_cannot_decode_is_told(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "has_decoder", lambda name: False)
    said: list[str] = []
    assert len(list(read_video(clip, ReadOptions(warn=said.append)))) == 5
    assert len(said) == 1 and "transparency is not shown" in said[0]

"""Whatever is fed to the command: the right result, or one line that names file, cause and cure, and nothing left."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, features
from safetensors.torch import save

from tests.support.checkpoints import save_traps
from tests.support.clips import end_of, ffmpeg, make_clip
from tests.support.processes import children
from vid2vid_cli.cli.app import main
from vid2vid_cli.media.image import read_image
from vid2vid_cli.media.video import ReadOptions, probe_video, read_video

linux_only = pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs Linux")

pytestmark = pytest.mark.usefixtures("output_folder", "own_signals")


def left(folder: Path | str = ".") -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir())


@dataclass(frozen=True)
class Row:
    """One input of the table. said: words on stderr, None where nothing may be said. size: (height, width)."""

    file: str
    code: int = 0
    said: str | None = None
    frames: int | None = None
    size: tuple[int, int] | None = None
    options: tuple[str, ...] = field(default=("--end", "0.1", "--size", "128"))


SHORT = ("--end", "0.1", "--size", "128")
ONE_FRAME = ("--end", "0.03", "--size", "128")
WHOLE = ("--size", "128")
BAD = [
    Row("b01_truncated_no_index.mp4", 1, "cannot be read as a video: moov atom not found; download or make it again"),
    Row("b02_truncated_with_index.mp4", 0, "is damaged, 46 frames could be read: ", 46, options=WHOLE),
    Row("b03_zero_bytes.mp4", 1, "is empty (0 bytes); download"),
    Row("b04_text.mp4", 1, "cannot be read as a video: "),
    Row("b05_audio_only.mp4", frames=3),  # a sound, which is spoken
    Row("b06_variable_rate.mp4", frames=75, options=WHOLE),
    Row("b07_one_frame.mp4", frames=1, options=WHOLE),
    Row("b08_odd_321x241_yuv444.mp4", frames=3),
    Row("b09_vp9_odd_321x241.webm", frames=3),
    Row("b10_hevc_10bit.mp4", frames=3),
    Row("b11_rotated_display_matrix.mp4", frames=3),
    Row(
        "b12_face_leaves_one_second.mp4",
        0,
        "frames; the last motion was held",
        42,
        options=(*WHOLE, "--start", "1.8", "--end", "3.2"),
    ),
    Row("b13_no_face.mp4", 3, "no face found in any frame; see it with vid2vid faces", options=("--end", "0.3")),
    Row("b14_two_faces.mp4", frames=3),
    Row(
        "b15_no_face_at_first.mp4",
        0,
        "frames; the last motion was held",
        25,
        options=(*WHOLE, "--start", "3.5", "--end", "4.4"),
    ),
    Row("b16_truncated.jpg", 1, "is damaged and cannot be decoded: image file is truncated"),
    Row("b17_huge_20000x20000.png", 1, "is 20000 by 20000, more than the 100000000 pixels that --max-pixels allows"),
    Row("b18_one_pixel.png", 3, "no face found; use a picture"),
    Row("b19_16bit_rgb.png", frames=3, size=(128, 128)),
    Row("b20_animated.gif", frames=24, options=WHOLE),
]
SOURCES = {  # those whose size says that they were read aright: turned by EXIF, palettes, CMYK, transparent
    "s12_robot_glasses_palette.png": (128, 102),
    "s17_beard_hand_over_face_alpha.png": (87, 128),
    "s22_group_29_faces.jpg": (58, 128),
    "s25_man_beard_45px.png": (128, 128),
    "s28_exif_orientation6.jpg": (85, 128),
    "s29_gray_astronaut.jpg": (128, 128),
    "s30_cmyk_painting.jpg": (128, 99),
}
STILLS = {".png", ".jpg"}


def run_row(source: Path, driving: Path, row: Row, capsys: pytest.CaptureFixture[str]) -> None:
    """Run the command on a row and judge what came out, what was said, and what was left."""
    before = children() if Path("/proc").is_dir() else set()
    code = main(["reenact", str(source), str(driving), "-o", "o.mp4", *row.options])
    said = capsys.readouterr()
    assert code == row.code, said.err
    assert "Traceback" not in said.err and said.err.count("\n") == (row.said is not None)
    if row.said is not None:
        assert row.said in said.err and row.file in said.err
        assert said.err.startswith("error: " if code else "warning: ")
    assert left() == ([] if code else ["o.mp4"])
    if Path("/proc").is_dir():
        assert children() == before
    if not code:
        info = probe_video("o.mp4")
        assert row.frames in (None, info.frame_count) and row.size in (None, info.size)


def test_the_table_names_every_file(media_dir: Path) -> None:
    assert sorted(path.name for path in (media_dir / "bad").iterdir()) == [row.file for row in BAD]
    assert set(SOURCES) <= {path.name for path in (media_dir / "sources").iterdir()}


@pytest.mark.parametrize("row", BAD, ids=lambda row: row.file[:3])
def test_every_bad_file(row: Row, media_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = media_dir / "bad" / row.file
    good = (media_dir / "sources" / "s27_ai_woman.png", media_dir / "drivings" / "d14_actor_left_turn_256.mp4")
    source, driving = (bad, good[1]) if bad.suffix in STILLS else (good[0], bad)
    run_row(source, driving, row, capsys)


def test_every_source_and_driving(media_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    portrait, clip = (
        media_dir / "sources" / "s27_ai_woman.png",
        media_dir / "drivings" / "d14_actor_left_turn_256.mp4",
    )
    pairs = [(path, clip) for path in sorted((media_dir / "sources").iterdir())]
    pairs += [(portrait, path) for path in sorted((media_dir / "drivings").iterdir())]
    for source, driving in pairs:
        name = (driving if source == portrait else source).name
        row = Row(name, size=SOURCES.get(name), options=SHORT if source == portrait else ONE_FRAME)
        if name.startswith("s23"):
            row = Row(name, 3, "no face found; use a picture where a face is larger")
        run_row(source, driving, row, capsys)
        Path("o.mp4").unlink(missing_ok=True)


# --- made for the test: odd stills ---


def deep_grey(face: Image.Image) -> Image.Image:
    return Image.fromarray(np.array(face.convert("L")).astype(np.uint16) * 257)


STILL_KINDS: dict[str, Callable[[Image.Image], Image.Image]] = {
    "grey16.png": deep_grey,
    "palette.png": lambda face: face.quantize(64),
    "grey.jpg": lambda face: face.convert("L"),
    "cmyk.jpg": lambda face: face.convert("CMYK"),
    "bilevel.png": lambda face: face.convert("1"),
    "grey alpha.png": lambda face: face.convert("LA"),
    "a.bmp": lambda face: face,
    "a.tiff": lambda face: face,
    "a.ppm": lambda face: face,
    "a.jp2": lambda face: face,
    "a.avif": lambda face: face,
    "a.heic": lambda face: face,
    "8k.png": lambda face: face.resize((7680, 4320)),
}


@pytest.mark.parametrize("name", STILL_KINDS)
def test_stills_of_every_kind(
    name: str, face: Image.Image, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if name == "a.avif" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    if name == "a.heic":
        heif = pytest.importorskip("pillow_heif", reason="HEIC needs pip install 'vid2vid[heif]'")
        heif.from_pillow(face).save(tmp_path / name)
    else:
        STILL_KINDS[name](face).save(tmp_path / name)
    run_row(tmp_path / name, clip, Row(name, frames=3), capsys)
    turned = read_image(tmp_path / name)
    assert np.abs(turned[:: len(turned) // 16].mean() - np.array(face).mean()) < 12  # its light is what it was


@pytest.mark.parametrize("name", ["a.webp", "a.gif", "a.png"])
def test_animated_pictures_are_clips(
    name: str, media_dir: Path, face: Image.Image, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    frames = [Image.fromarray(f) for f in read_video(media_dir / "bad" / "b20_animated.gif", ReadOptions(end_s=0.5))]
    frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], duration=100)
    face.save(tmp_path / "face.jpg")
    run_row(tmp_path / "face.jpg", tmp_path / name, Row(name, frames=5, options=WHOLE), capsys)


@pytest.mark.parametrize("brand", ["heic", "mif1", "avif"])
def test_a_heic_is_called_by_its_name(
    brand: str,
    clip: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "photo.jpg").write_bytes(b"\0\0\0\x18ftyp" + brand.encode() + bytes(64))
    Image.init()
    monkeypatch.setattr(Image, "OPEN", {k: v for k, v in Image.OPEN.items() if k not in ("AVIF", "HEIF")})
    monkeypatch.setattr("vid2vid_cli.media.still.find_spec", lambda name: None)
    kind = "AVIF" if brand == "avif" else "HEIC"
    words = f"is in {kind} format, which this Pillow cannot decode; "
    run_row(tmp_path / "photo.jpg", clip, Row("photo.jpg", 1, words), capsys)


def test_the_limit_of_pixels_is_the_users(
    face: Image.Image, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    face.save(tmp_path / "face.png")
    words = "is 256 by 256, more than the 65535 pixels that --max-pixels allows"
    still = Row("face.png", 1, words, options=("--max-pixels", "65535"))
    run_row(tmp_path / "face.png", tmp_path / "face.png", still, capsys)
    face.resize((64, 64)).save(tmp_path / "small.png")
    small = Row("nod.mp4", 1, "is 256 by 256, more than the 4096 pixels", options=("--max-pixels", "4096"))
    run_row(tmp_path / "small.png", clip, small, capsys)
    for command in (["faces"], ["rotate", "--yaw", "9"], ["motion", "-o", "m.safetensors"]):
        assert main([command[0], str(tmp_path / "face.png"), *command[1:], "--max-pixels", "100"]) == 1
        assert "--max-pixels" in capsys.readouterr().err
    run_row(tmp_path / "face.png", clip, Row("", frames=3, options=(*SHORT, "--max-pixels", "65536")), capsys)


# --- made for the test: odd clips ---


def make(path: Path, source: Path, *options: str) -> Path:
    ffmpeg("-i", source, *options, path)
    return path


def average(path: Path) -> np.ndarray:
    """Return the mean colour of a clip's first frame."""
    return next(iter(read_video(path))).mean(axis=(0, 1))


def colourfulness(path: Path) -> float:
    """Return how far the colours of a clip's first frame are from grey, as a share of their light."""
    frame = next(iter(read_video(path))).astype(float)
    return float(np.ptp(frame, axis=2).mean() / frame.mean())


@pytest.mark.parametrize("kind", ["PQ", "HLG"])
def test_hdr_video_is_mapped_to_an_ordinary_screen_and_said(
    kind: str, face: Image.Image, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    transfer = {"PQ": "smpte2084", "HLG": "arib-std-b67"}[kind]
    face.save(tmp_path / "face.png")
    to_hdr = f"zscale=tin=bt709:min=bt709:pin=bt709:rin=tv:t={transfer}:m=bt2020nc:p=bt2020:npl=100"
    bt709 = "format=yuv420p,setparams=colorspace=bt709:color_trc=bt709:color_primaries=bt709"
    tags = ["-color_trc", transfer, "-colorspace", "bt2020nc", "-color_primaries", "bt2020"]
    coding = ["-c:v", "libx265", "-x265-params", "log-level=error", *tags]
    hdr = make(tmp_path / "hdr.mp4", clip, "-vf", f"{bt709},{to_hdr},format=yuv420p10le", *coding)
    assert probe_video(hdr).hdr == kind and probe_video(clip).hdr is None
    said = Row("hdr.mp4", 0, f"is HDR video ({kind}); its colours are mapped", 6, options=WHOLE)
    run_row(tmp_path / "face.png", hdr, said, capsys)
    shown, meant = average(hdr), average(clip)
    assert np.abs(shown / shown.mean() - meant / meant.mean()).max() < 0.15  # the hue
    assert 0.5 < shown.mean() / meant.mean() < 1.5  # the light
    assert abs(colourfulness(hdr) / colourfulness(clip) - 1) < 0.15  # without mapping it is 0.3 to 0.6 greyer


def test_interlaced_video_loses_its_combs_and_no_frame(face: Image.Image, media_dir: Path, tmp_path: Path) -> None:
    face.save(tmp_path / "face.png")
    moving = make(
        tmp_path / "moving.mp4",
        media_dir / "drivings" / "d14_actor_left_turn_256.mp4",
        "-vf",
        "scroll=h=0.05",
        "-frames:v",
        "12",
    )
    woven = make(
        tmp_path / "woven.mkv",
        moving,
        "-vf",
        "tinterlace=interleave_top,setfield=tff",
        "-flags",
        "+ildct+ilme",
        "-c:v",
        "mpeg2video",
        "-q:v",
        "2",
    )
    assert probe_video(woven).is_interlaced and not probe_video(moving).is_interlaced
    frames = list(read_video(woven))
    assert len(frames) == 6

    def combs(frame: np.ndarray) -> float:
        rows = frame.astype(float).mean(axis=2)
        return float(np.abs(rows[1:-1] - (rows[:-2] + rows[2:]) / 2).mean())

    raw = ffmpeg("-i", woven, "-frames:v", "2", "-f", "rawvideo", "-pix_fmt", "rgb24", "pipe:1")
    plain = np.frombuffer(raw, np.uint8).reshape(2, *frames[0].shape)[1]
    assert combs(frames[1]) < 0.5 * combs(plain)
    assert main(["reenact", str(tmp_path / "face.png"), str(woven), "-o", "o.mp4", *WHOLE]) == 0
    assert probe_video("o.mp4").frame_count == 6


@pytest.mark.parametrize("degrees", [0, 90, 180, 270])
def test_rotation_metadata_in_all_directions(degrees: int, clip: Path, tmp_path: Path) -> None:
    turned = tmp_path / "turned.mp4"
    wide = make(tmp_path / "wide.mp4", clip, "-vf", "crop=256:192,fps=30")
    ffmpeg("-display_rotation:v:0", str(degrees), "-i", wide, "-c", "copy", turned)
    upright = next(iter(read_video(wide))).astype(int)
    shown = next(iter(read_video(turned))).astype(int)
    assert np.abs(np.rot90(upright, degrees // 90) - shown).mean() < 2
    assert probe_video(turned).rotation == -degrees % 360


@pytest.mark.parametrize("fps", [60, 120])
def test_fast_clips_keep_every_frame(
    fps: int, face: Image.Image, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    face.save(tmp_path / "face.png")
    fast = make_clip(tmp_path / "fast.mp4", list(read_video(clip)), str(fps))
    run_row(tmp_path / "face.png", fast, Row("fast.mp4", frames=6, options=WHOLE), capsys)
    assert probe_video("o.mp4").fps == fps


@pytest.mark.parametrize("sounding", [(0.1, 2), (3.0, 2), (0.2, 6)])
def test_sound_that_is_shorter_longer_or_of_six_channels(
    sounding: tuple[float, int], face: Image.Image, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    face.save(tmp_path / "face.png")
    seconds, channels = sounding
    layout = "5.1" if channels == 6 else "stereo"
    tone = f"sine=frequency=440:duration={seconds},aformat=channel_layouts={layout}"
    sound = tmp_path / "sound.mp4"
    ffmpeg("-i", clip, "-f", "lavfi", "-i", tone, "-c:v", "copy", "-c:a", "aac", sound)
    for suffix in ("mp4", "webm"):
        code = main(["reenact", str(tmp_path / "face.png"), str(sound), "-o", f"o.{suffix}", "--size", "96"])
        assert (code, capsys.readouterr().err) == (0, "")
        info = probe_video(f"o.{suffix}")
        assert info.frame_count == 6 and info.has_audio
        assert end_of(Path(f"o.{suffix}"), "a:0") <= max(0.2, min(seconds, 0.2)) + 0.08
        log = subprocess.run([*FFMPEG(), "-i", f"o.{suffix}"], capture_output=True, text=True, check=False).stderr
        assert ("5.1" in log) == (channels == 6)


def FFMPEG() -> list[str]:  # noqa: N802
    from vid2vid_cli.media.ffmpeg import executable

    return [executable(), "-hide_banner"]


def walk(face: Image.Image, other: Image.Image, path: Path, lefts: list[tuple[int, int]]) -> Path:
    """Make a clip in which two faces move: their left edges in each frame, beyond the picture where they are away."""
    frames = []
    for left, others in lefts:
        frame = Image.new("RGB", (480, 192), (90, 120, 90))
        frame.paste(other.resize((128, 128)), (others, 40))
        frame.paste(face.resize((160, 160)), (left, 16))
        frames.append(np.array(frame))
    size = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", "480x192", "-r", "25", "-i", "pipe:0"]
    ffmpeg(*size, "-crf", "12", path, feed=b"".join(map(bytes, frames)))
    return path


@pytest.fixture(scope="module")
def other_face(media_dir: Path) -> Image.Image:
    return Image.open(media_dir / "sources" / "s16_man_smiling.jpg").convert("RGB").crop((120, 60, 460, 400))


@pytest.mark.parametrize("gone", ["start", "middle", "throughout", "returning"])
def test_a_driving_whose_face_is_away(
    gone: str, face: Image.Image, other_face: Image.Image, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    face.save(tmp_path / "face.png")
    away = {"start": range(4), "middle": range(4, 8), "throughout": range(12), "returning": (2, 3, 6, 7)}[gone]
    lefts = [(600 if k in away else 100 + k, 700) for k in range(12)]
    driving = walk(face, other_face, tmp_path / "walk.mp4", lefts)
    if gone == "throughout":
        for how in ((), ("--absolute",)):  # with a reference to look for, and without
            row = Row("walk.mp4", 3, "no face found in any frame", options=(*WHOLE, *how))
            run_row(tmp_path / "face.png", driving, row, capsys)
        return
    words = f"no face in {len(away)} of 12 frames; the last motion was held"
    run_row(tmp_path / "face.png", driving, Row("walk.mp4", 0, words, 12, options=WHOLE), capsys)
    frames = list(read_video("o.mp4"))
    held = [np.abs(frames[k].astype(int) - frames[k - 1]).mean() for k in away if k - 1 in away]
    assert max(held) < 2  # it keeps still; coding alone makes 1


def test_two_faces_that_cross(
    face: Image.Image, other_face: Image.Image, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The larger is followed to the end, in front of the other."""
    face.save(tmp_path / "face.png")
    lefts = [(10 + 18 * k, 330 - 18 * k) for k in range(16)]
    driving = walk(face, other_face, tmp_path / "cross.mp4", lefts)
    run_row(
        tmp_path / "face.png", driving, Row("cross.mp4", frames=16, options=(*WHOLE, "--region", "expression")), capsys
    )
    frames = [frame.astype(int) for frame in read_video("o.mp4")]
    assert max(np.abs(frame - frames[0]).mean() for frame in frames) < 1.5  # 1.0; the other one's smile makes 2.7


# --- checkpoints that are none ---

CHECKPOINTS = {
    "cut short": ("w.safetensors", b"", "damaged or truncated"),
    "Git LFS pointer": ("w.safetensors", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n", "LFS"),
    "web page": ("w.safetensors", b"<!DOCTYPE html><html></html>", "HTML"),
    "of something else": ("w.safetensors", save({"conv.weight": torch.zeros(3)}), "of no known family"),
    "text": ("w.pth", b"Not Found\n", "text"),
}


@pytest.mark.parametrize("case", CHECKPOINTS)
def test_what_is_no_checkpoint_is_told_by_the_command(
    case: str, face: Image.Image, clip: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name, content, words = CHECKPOINTS[case]
    face.save("face.png")
    whole = Path(__file__).resolve().parents[1] / "weights" / "compact.safetensors"
    Path(name).write_bytes(content or whole.read_bytes()[:100_000])
    assert main(["reenact", "face.png", str(clip), "-c", name, "-o", "o.mp4"]) == 4
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and f"{name}: " in said and words in said
    assert left() == ["face.png", name]


def test_a_checkpoint_that_would_run_code_runs_none(
    face: Image.Image, clip: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    face.save("face.png")
    sprung = tmp_path / "sprung"
    for trap in save_traps(tmp_path, sprung):
        assert main(["reenact", "face.png", str(clip), "-c", str(trap), "-o", "o.mp4"]) == 4
        said = capsys.readouterr().err
        assert said.count("\n") == 1 and trap.name in said and "does not open for safety" in said
    assert not sprung.exists() and left() == ["face.png"]

"""What is behind the person: masks over time, clean edges, and outputs with alpha read back."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.clips import animation, decoded, make_clip
from vid2vid_cli.arrays import Frame
from vid2vid_cli.call.receiver import check_live
from vid2vid_cli.errors import MediaError, UsageError
from vid2vid_cli.face.compositing import (
    SteadyMasks,
    alpha_between,
    blend,
    blur_background,
    cover,
    foreground_colours,
    lay_on,
    side_by_side,
    with_alpha,
)
from vid2vid_cli.media.encoder import holds_alpha
from vid2vid_cli.media.image import contact_sheet, is_see_through
from vid2vid_cli.media.video import WriteOptions, open_writer, read_mark
from vid2vid_cli.models.registry import LoadedModel
from vid2vid_cli.pipeline.backdrop import ColourGround, VideoGround
from vid2vid_cli.pipeline.background import parse_background
from vid2vid_cli.pipeline.open_scene import open_scene
from vid2vid_cli.pipeline.options import DecodeOptions, ReenactOptions, RotateOptions
from vid2vid_cli.pipeline.progress import Hooks
from vid2vid_cli.pipeline.reenact import reenact
from vid2vid_cli.pipeline.rotate import rotate

SKIN, GREEN = (200, 150, 120), (40, 160, 90)


@pytest.fixture(scope="module")
def man(media_dir: Path) -> Path:
    return media_dir / "sources" / "s16_man_smiling.jpg"


@pytest.fixture(scope="module")
def driving(media_dir: Path) -> Path:
    return media_dir / "drivings" / "d06_man_mouth_wide_audio.mp4"


@pytest.fixture(scope="module")
def cut_out_woman(media_dir: Path) -> Path:
    return media_dir / "sources" / "s18_side_view_alpha.png"


def disc(size: int = 200, radius: float = 50) -> np.ndarray:
    """Draw a mask (size, size) of a disc whose edge is three pixels soft."""
    y, x = np.mgrid[:size, :size] + 0.5 - size / 2
    return np.asarray(np.clip((radius - np.hypot(x, y)) / 3 + 0.5, 0, 1), np.float32)


def mixed(mask: np.ndarray, front: tuple[int, ...] = SKIN, back: tuple[int, ...] = GREEN) -> Frame:
    colours = mask[..., None] * front + (1 - mask[..., None]) * back
    return np.asarray(np.rint(colours), np.uint8)


# --- values of the option ---


@pytest.mark.parametrize(
    ("text", "kind", "colour"),
    [
        ("keep", "keep", (255, 255, 255)),
        ("blur", "blur", (255, 255, 255)),
        ("transparent", "transparent", (255, 255, 255)),
        ("navy", "colour", (0, 0, 128)),
        ("#f80", "colour", (255, 136, 0)),
        ("#102030", "colour", (16, 32, 48)),
    ],
)
def test_words_and_colours_are_read(text: str, kind: str, colour: tuple[int, ...]) -> None:
    background = parse_background(text)
    assert (background.kind, background.colour, background.path) == (kind, colour, None)


def test_files_are_told_apart_by_content(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.mp4", "PNG")
    make_clip(tmp_path / "b.mp4", 3)
    assert parse_background(str(tmp_path / "a.mp4")).kind == "picture"
    assert parse_background(str(tmp_path / "b.mp4")).kind == "video"


@pytest.mark.parametrize("text", ["nocolour", "", "#12", "missing.png", "x" * 5000, "a\0b"])
def test_anything_else_gets_one_line_that_names_the_choices(text: str) -> None:
    with pytest.raises(UsageError, match="--background") as caught:
        parse_background(text)
    message = str(caught.value)
    assert "\n" not in message and len(message) < 600
    assert all(word in message for word in ("keep", "blur", "transparent", "colour", "picture", "video"))


# --- composing ---


def test_a_steady_mask_flickers_half_as_much_and_follows_movement_at_once() -> None:
    noise = np.random.default_rng(0).normal(0.5, 0.03, (40, 30, 30)).astype(np.float32)
    steady = SteadyMasks()
    calm = np.stack([steady(mask) for mask in noise])
    assert np.abs(np.diff(calm[5:], axis=0)).mean() < 0.55 * np.abs(np.diff(noise[5:], axis=0)).mean()
    assert (steady(np.ones((30, 30), np.float32)) == 1).all(), "what changes much has moved"


def test_a_blurred_background_takes_no_colour_from_the_person() -> None:
    mask = disc()
    blurred = blur_background(mixed(mask), mask)
    outside = mask == 0
    assert np.abs(blurred[outside].astype(int) - GREEN).max() <= 1, "no halo"
    assert (blurred[mask == 1] == SKIN).all(), "the person is as sharp as before"


def test_a_blurred_background_is_blurred() -> None:
    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, ::2] = 255
    blurred = blur_background(stripes, np.zeros((256, 256), np.float32))
    assert np.abs(blurred.astype(int) - 127).max() < 12


def test_edges_lose_the_colour_of_their_background() -> None:
    mask = disc()
    frame = mixed(mask)
    cleaned = foreground_colours(frame, mask)
    edge = (mask > 0.1) & (mask < 0.9)
    before, after = (np.abs(picture[edge].astype(int) - SKIN).mean() for picture in (frame, cleaned))
    assert before > 20
    assert after < 3
    assert np.abs(cleaned[mask == 0].astype(int) - SKIN).max() < 6, "nothing is left of the background"


def test_hair_loses_the_tint_of_a_green_screen() -> None:
    mask, core = disc(400, 100), disc(400, 96)
    hair = (mask == 1) & (core == 0)
    seen = mixed(np.where(core < 1, 0.7 * mask, mask), front=(40, 35, 35))  # the mask calls it a sure person
    cleaned = foreground_colours(seen, mask)
    green = [(p[hair].astype(int)[:, 1] - p[hair].astype(int)[:, [0, 2]].max(axis=1)).mean() for p in (seen, cleaned)]
    assert green[0] > 20
    assert green[1] < 0.4 * green[0]


def test_what_is_surely_the_person_keeps_its_detail() -> None:
    mask = disc()
    front = np.empty((200, 200, 3))
    front[:100], front[100:] = (45, 32, 25), SKIN  # dark hair over a face, before a wall of nearly the face's hue
    front += np.random.default_rng(0).normal(0, 12, (200, 200, 1))
    frame = np.asarray(np.clip(mask[..., None] * front + (1 - mask[..., None]) * (220, 200, 160), 0, 255), np.uint8)
    change = np.abs(foreground_colours(frame, mask).astype(int) - frame)
    assert (change[disc(radius=45) == 1] == 0).all()
    assert change[mask == 1].max() <= 2


def test_what_shows_two_grounds_is_transparent() -> None:
    rng = np.random.default_rng(1)
    picture = rng.integers(0, 256, (20, 30, 4), dtype=np.uint8)
    picture[:5, :, 3], picture[5:10, :, 3] = 0, 255
    grounds = [lay_on(picture, np.full((20, 30, 3), value, np.uint8)) for value in (255, 0)]
    found = alpha_between(*grounds)
    assert np.abs(found[..., 3].astype(int) - picture[..., 3]).max() <= 4
    clear = picture[..., 3] > 100
    assert np.abs(found[clear].astype(int) - picture[clear]).max() <= 4
    assert (found[:5, :, 3] == 0).all() and (found[5:10, :, 3] == 255).all()


@pytest.mark.parametrize("size", [(50, 100), (100, 50), (77, 33), (10, 10)])
def test_a_picture_covers_a_frame_from_the_middle(size: tuple[int, int]) -> None:
    picture = np.zeros((60, 80, 3), np.uint8)
    picture[24:36, 34:46] = 255
    covering = cover(picture, size)
    assert covering.shape == (*size, 3)
    y, x = np.nonzero(covering[..., 0] > 60)
    assert abs(y.mean() + 0.5 - size[0] / 2) < 0.6 and abs(x.mean() + 0.5 - size[1] / 2) < 0.6


def test_pictures_beside_a_transparent_one_are_opaque() -> None:
    plain, clear = np.zeros((4, 4, 3), np.uint8), np.zeros((4, 4, 4), np.uint8)
    together = side_by_side(plain, None, clear)
    assert together.shape == (4, 8, 4) and (together[:, :4, 3] == 255).all() and (together[:, 4:, 3] == 0).all()


def test_a_sheet_of_transparent_views_is_transparent() -> None:
    sheet = contact_sheet([np.zeros((30, 40, 4), np.uint8)] * 2, 2, ["a", "b"])
    assert sheet.shape[2] == 4 and sheet[-1, -1, 3] == 0


def test_a_video_behind_plays_at_its_own_speed_and_again(tmp_path: Path) -> None:
    shades = [np.full((32, 48, 3), 40 + 60 * number, np.uint8) for number in range(3)]
    make_clip(tmp_path / "v.mp4", shades, fps="10")
    ground = VideoGround(tmp_path / "v.mp4", Fraction(20), 10_000, lambda line: None)
    seen = [int(ground.next((16, 16)).mean()) for _ in range(9)]
    ground.close()
    expected = [40, 40, 100, 100, 160, 160, 40, 40, 100]
    assert np.abs(np.subtract(seen, expected)).max() < 12


# --- outputs with alpha ---


def alpha_frames(count: int = 5) -> list[Frame]:
    """Draw a box that moves over nothing, and a strip that lets half through."""
    frames = []
    for number in range(count):
        frame = np.zeros((64, 96, 4), np.uint8)
        frame[..., :3] = SKIN
        frame[10:40, 8 + 8 * number : 40 + 8 * number, 3] = 255
        frame[48:60, :, 3] = 128
        frames.append(frame)
    return frames


@pytest.mark.parametrize("name", ["a.webm", "a.mov", "a.gif", "a.webp", "frames"])
def test_alpha_can_be_read_back(tmp_path: Path, name: str) -> None:
    frames, path = alpha_frames(), tmp_path / name
    assert holds_alpha(path)
    with open_writer(path, (64, 96), WriteOptions(Fraction(10), has_alpha=True)) as writer:
        for frame in frames:
            writer.write(frame)
    if name == "a.webm":
        found = decoded(path, (64, 96), "-c:v", "libvpx-vp9")
    elif name == "a.mov":
        found = decoded(path, (64, 96))
    elif name == "frames":
        found = np.stack([np.array(Image.open(file)) for file in sorted(path.iterdir())])
    else:
        found = animation(path)
    wanted = np.stack(frames)
    assert found.shape == wanted.shape
    if name == "a.gif":  # of a palette, one colour is transparent
        wanted[..., 3] = np.where(wanted[..., 3] >= 128, 255, 0)
    assert np.abs(found[..., 3].astype(int) - wanted[..., 3]).mean() < 1
    opaque = wanted[..., 3] == 255
    assert np.abs(found[opaque][:, :3].astype(int) - SKIN).mean() < 4
    marked = sorted(path.iterdir())[0] if path.is_dir() else path
    assert read_mark(marked) is not None


def test_an_animated_webp_without_alpha_plays_and_says_what_it_is(tmp_path: Path) -> None:
    for name, count in (("moving.webp", 4), ("still.webp", 1)):
        with open_writer(tmp_path / name, (64, 96), WriteOptions(Fraction(10))) as writer:
            for frame in alpha_frames(count):
                writer.write(np.ascontiguousarray(frame[..., :3] // 2 + frame[..., 3:] // 2))
        assert animation(tmp_path / name).shape == (count, 64, 96, 4)
        assert read_mark(tmp_path / name) is not None


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.m4v", "a.jpg"])
def test_other_files_hold_no_alpha(name: str) -> None:
    assert not holds_alpha(name)
    assert not holds_alpha("a.webm", "av1") and holds_alpha("a.webm", "vp9") and holds_alpha("a.mov", "prores")


def test_frames_without_alpha_are_refused_where_it_was_promised(tmp_path: Path) -> None:
    with (
        pytest.raises(ValueError, match="uint8"),
        open_writer(tmp_path / "a.webm", (64, 96), WriteOptions(Fraction(10), has_alpha=True)) as writer,
    ):
        writer.write(np.zeros((64, 96, 3), np.uint8))


# --- whole commands ---


@pytest.mark.parametrize("name", ["o.mp4", "o.mkv", "o.jpg"])
def test_an_output_that_cannot_be_transparent_is_refused_at_once(own_folder: Path, name: str) -> None:
    options = ReenactOptions(background="transparent")
    with pytest.raises(UsageError, match=r"\.webm"):  # the inputs do not even exist
        reenact("a.png", "b.mp4", name, options)
    with pytest.raises(UsageError, match=r"\.webm"):
        rotate("a.png", name, RotateOptions(yaw="5", background="transparent"))


def test_an_encoder_without_alpha_is_refused(own_folder: Path) -> None:
    with pytest.raises(UsageError, match="--codec av1"):
        reenact("a.png", "b.mp4", "o.webm", ReenactOptions(background="transparent", codec="av1"))


def test_raw_video_cannot_be_transparent() -> None:
    with pytest.raises(UsageError, match="--background transparent"):
        check_live(DecodeOptions(live=True, background="transparent"), "-", "-")


def test_keep_changes_nothing(own_folder: Path, man: Path, model: LoadedModel) -> None:
    rotate(man, "a.png", RotateOptions(yaw="5"), model=model)
    rotate(man, "b.png", RotateOptions(yaw="5", background="keep"), model=model)
    first, second = (np.array(Image.open(name)) for name in ("a.png", "b.png"))
    assert first.shape[2] == 3 and (first == second).all()


def test_a_colour_takes_the_place_of_the_background(own_folder: Path, man: Path, model: LoadedModel) -> None:
    rotate(man, "kept.png", RotateOptions(yaw="5"), model=model)
    rotate(man, "blue.png", RotateOptions(yaw="5", background="#102080"), model=model)
    kept, blue = (np.array(Image.open(name)) for name in ("kept.png", "blue.png"))
    assert (blue[:60, :60] == (16, 32, 128)).all()
    middle = (slice(250, 350), slice(220, 330))  # his face
    assert (blue[middle] == kept[middle]).all()


def test_a_picture_lies_behind_the_person(own_folder: Path, man: Path, model: LoadedModel) -> None:
    pattern = np.random.default_rng(0).integers(0, 256, (562, 572, 3), dtype=np.uint8)
    Image.fromarray(pattern).save("behind.png")
    rotate(man, "o.png", RotateOptions(yaw="5", background="behind.png"), model=model)
    shown = np.array(Image.open("o.png"))
    assert shown.shape == pattern.shape and (shown[:60, :60] == pattern[:60, :60]).all()


def test_a_clip_is_transparent_where_nobody_is(own_folder: Path, man: Path, driving: Path, model: LoadedModel) -> None:
    options = ReenactOptions(background="transparent", end="0.2", size=256)
    result = reenact(man, driving, None, options, model=model)
    assert result.output.suffix == ".webm", "a name of its own is one that can be transparent"
    frames = decoded(result.output, result.size, "-c:v", "libvpx-vp9")
    assert len(frames) == result.frames
    assert (frames[:, :25, :25, 3] < 8).all() and (frames[:, 110:150, 100:150, 3] > 247).all()


def test_a_scene_gives_frames_with_alpha(man: Path, driving: Path, model: LoadedModel) -> None:
    options = ReenactOptions(background="transparent", end="0.1", compare=True)
    with open_scene(man, driving, options, model=model) as scene:
        frame, _ = next(iter(scene))
    assert frame.shape[2] == 4 and (frame[:, :500, 3] == 255).all() and (frame[:50, -50:, 3] == 0).all()


def test_a_transparent_source_stays_so_where_it_can(own_folder: Path, cut_out_woman: Path, model: LoadedModel) -> None:
    alpha = np.array(Image.open(cut_out_woman).convert("RGBA"))[..., 3]
    for name in ("o.png", "o.webp"):
        rotate(cut_out_woman, name, RotateOptions(yaw="5"), model=model)
        turned = np.array(Image.open(name))[..., 3]
        assert (np.abs(turned.astype(int) - alpha) > 60).mean() < 0.02, "it moves a little, and only the head"
        assert 0.1 < (turned == 255).mean() < 0.9 and (turned == 0).mean() > 0.3
    rotate(cut_out_woman, "o.jpg", RotateOptions(yaw="5"), model=model)
    assert (np.array(Image.open("o.jpg"))[:40, :40] > 250).all()


def test_a_transparent_source_lies_on_a_picture(own_folder: Path, cut_out_woman: Path, model: LoadedModel) -> None:
    pattern = np.random.default_rng(0).integers(0, 256, (480, 852, 3), dtype=np.uint8)
    Image.fromarray(pattern).save("behind.png")
    rotate(cut_out_woman, "o.png", RotateOptions(yaw="5", background="behind.png"), model=model)
    shown = np.array(Image.open("o.png"))
    assert (shown[:, -100:] == pattern[:, -100:]).all()


def test_pictures_with_a_few_clear_pixels_count_as_opaque(tmp_path: Path, cut_out_woman: Path) -> None:
    picture = np.full((100, 100, 4), 255, np.uint8)
    picture[0, :5, 3] = 0
    Image.fromarray(picture).save(tmp_path / "a.png")
    assert not is_see_through(tmp_path / "a.png") and is_see_through(cut_out_woman)


def test_a_picture_without_a_person_gets_a_warning(own_folder: Path, media_dir: Path, model: LoadedModel) -> None:
    lines: list[str] = []
    group = media_dir / "sources" / "s22_group_29_faces.jpg"
    rotate(group, "o.png", RotateOptions(yaw="5", background="blur"), model=model, hooks=Hooks(warn=lines.append))
    assert any("--background" in line for line in lines)


def test_a_damaged_background_is_named(own_folder: Path, man: Path, model: LoadedModel) -> None:
    Path("bad.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(50))
    with pytest.raises((MediaError, UsageError), match=r"bad\.png"):
        rotate(man, "o.png", RotateOptions(yaw="5", background="bad.png"), model=model)


def test_a_colour_lies_exactly_where_nobody_is() -> None:
    front, mask = np.full((8, 8, 3), 10, np.uint8), np.zeros((8, 8), np.float32)
    assert (blend(front, ColourGround(parse_background("red").colour).next((8, 8)), mask) == (255, 0, 0)).all()
    assert (with_alpha(front, mask)[..., 3] == 0).all()

"""The watermark is invisible, is read after what pictures go through, and is not found where there is none."""

from __future__ import annotations

import io
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from tests.support.clips import ffmpeg
from vid2vid_cli.arrays import Frame
from vid2vid_cli.media.image import contact_sheet, read_image, write_image
from vid2vid_cli.media.provenance import Provenance
from vid2vid_cli.media.video import WriteOptions, open_writer, read_video
from vid2vid_cli.media.watermark.code import CHIPS, PROJECT, bits_of, decode, encode
from vid2vid_cli.media.watermark.marking import Watermarker
from vid2vid_cli.media.watermark.reading import EXPLAINED, find_best, read_watermark
from vid2vid_cli.pipeline.verify import find_watermark

PORTRAIT = Path(__file__).parents[1] / "examples" / "portrait.jpg"
NUMBER = 0x0123456789AB
SIZE = 512


@pytest.fixture(scope="module")
def portrait() -> Frame:
    return np.array(Image.fromarray(read_image(PORTRAIT)).resize((SIZE, SIZE)))


@pytest.fixture(scope="module")
def marked(portrait: Frame) -> Frame:
    return Watermarker(NUMBER)(portrait)


def luma(frame: Frame) -> np.ndarray:
    return cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY).astype(np.float32)


def number_in(frame: Frame) -> int | None:
    found = read_watermark(luma(frame))
    return None if found is None else found.number


def jpeg(frame: Frame, quality: int) -> Frame:
    file = io.BytesIO()
    Image.fromarray(frame).save(file, "JPEG", quality=quality)
    return np.array(Image.open(file))


def psnr(one: Frame, other: Frame) -> float:
    return float(10 * np.log10(255**2 / np.mean((one.astype(float) - other) ** 2)))


def test_every_bit_of_a_number_comes_back_through_noise() -> None:
    noise = np.random.default_rng(1).normal(0, 1, CHIPS).astype(np.float32)
    for number in (0, 1, (1 << 48) - 1, NUMBER):
        assert decode(encode(number)).number == number and decode(encode(number)).explained > 0.999
        assert decode(encode(number) + noise).number == number
        assert decode(noise).explained < EXPLAINED
    assert bits_of(NUMBER).hex() == f"{PROJECT:04x}0123456789ab"
    with pytest.raises(ValueError, match="48 bits"):
        encode(1 << 48)


def test_it_cannot_be_seen(portrait: Frame, marked: Frame) -> None:
    assert psnr(portrait, marked) >= 46
    change = marked.astype(int) - portrait
    free = (portrait > 8).all(2) & (portrait < 247).all(2)
    assert (np.ptp(change[free], axis=1) == 0).all(), "a colour has changed, not only the luma"


@pytest.mark.parametrize("grey", [0, 255])
def test_paper_and_night_stay_clean(grey: int, portrait: Frame) -> None:
    sheet = np.full((SIZE, 2 * SIZE, 3), grey, np.uint8)
    sheet[:, :SIZE] = portrait
    made = Watermarker(NUMBER)(sheet)
    assert (made[:, SIZE + 16 :] == grey).all() and number_in(made) == NUMBER


def test_on_a_flat_sky_it_is_a_level_or_two() -> None:
    down = np.linspace(0, 1, SIZE)[:, None, None]
    sky = np.rint(np.array([70, 130, 215]) + down * np.array([100, 75, 25]) + np.zeros((1, SIZE, 1))).astype(np.uint8)
    marked = Watermarker(NUMBER)(sky)
    change = np.abs(marked.astype(int) - sky)
    assert change.max() <= 4 and np.mean(change > 2) < 0.01 and psnr(sky, marked) > 49
    assert number_in(marked) == NUMBER


ATTACKS: dict[str, Callable[[Frame], Frame]] = {
    "nothing": lambda frame: frame,
    "jpeg 75": lambda frame: jpeg(frame, 75),
    "half": lambda frame: np.array(Image.fromarray(frame).resize((SIZE // 2, SIZE // 2), Image.Resampling.BICUBIC)),
    "cropped": lambda frame: np.ascontiguousarray(frame[37 : 37 + 461, 11 : 11 + 461]),
    "brighter": lambda frame: np.clip(frame * 1.15 + 8, 0, 255).astype(np.uint8),
    "grey": lambda frame: np.repeat(luma(frame).astype(np.uint8)[..., None], 3, 2),
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_picture_keeps_it(attack: str, marked: Frame) -> None:
    assert number_in(ATTACKS[attack](marked)) == NUMBER


@pytest.mark.parametrize("attack", ["nothing", "jpeg 75"])
def test_a_sheet_that_shows_a_face_again_and_again_keeps_it(attack: str, media_dir: Path) -> None:
    face = read_image(media_dir / "sources" / "s12_robot_glasses_palette.png")
    view = np.array(Image.fromarray(face).crop((0, 0, face.shape[1], face.shape[1])).resize((200, 233)))
    sheet = contact_sheet([view] * 54, columns=9, labels=[f"expression {number}" for number in range(54)])
    assert number_in(ATTACKS[attack](Watermarker(NUMBER)(sheet))) == NUMBER and number_in(sheet) is None


def test_it_is_not_found_where_there_is_none(portrait: Frame) -> None:
    rng = np.random.default_rng(2)
    grid = (255 * ((np.mgrid[:SIZE, :SIZE] // 24).sum(0) % 2)).astype(np.float32)
    for picture in (luma(portrait), luma(portrait[::-1]), grid, rng.normal(128, 20, grid.shape).astype(np.float32)):
        best = find_best(picture)
        assert read_watermark(picture) is None and best is not None and best.explained < 0.8 * EXPLAINED
    assert read_watermark(np.full((SIZE, SIZE), 90, np.float32)) is None
    assert read_watermark(np.zeros((9, 9), np.float32)) is None


def test_alpha_stays_as_it_is_and_small_pictures_are_left_alone(portrait: Frame) -> None:
    alpha = np.linspace(0, 255, SIZE * SIZE).reshape(SIZE, SIZE, 1).astype(np.uint8)
    marked = Watermarker(NUMBER)(np.dstack([portrait, alpha]))
    assert np.array_equal(marked[..., 3:], alpha) and number_in(np.ascontiguousarray(marked[..., :3])) == NUMBER
    small = np.ascontiguousarray(portrait[:100, :400])
    assert np.array_equal(Watermarker(NUMBER)(small), small)


@pytest.mark.usefixtures("signing")
def test_films_keep_it_through_encoding_anew(portrait: Frame, own_folder: Path) -> None:
    film, again, number = own_folder / "a.mp4", own_folder / "b.mp4", Provenance().number
    with open_writer(film, (SIZE, SIZE), WriteOptions(Fraction(25))) as writer:
        for shift in range(16):
            writer.write(np.roll(portrait, shift, 1))
    assert psnr(next(read_video(film)), portrait) > 35
    ffmpeg("-i", film, "-c:v", "libx264", "-crf", "23", "-y", again)
    found = find_watermark(again)
    assert found is not None and found.number == number
    ffmpeg("-i", film, "-c:v", "libx264", "-crf", "28", "-y", again)
    assert find_watermark(again) is not None  # that it is ours; of a film that moves as a whole, a bit may be wrong
    ffmpeg("-i", film, "-c", "copy", "-y", own_folder / "c.mkv")
    found = find_watermark(own_folder / "c.mkv")
    assert found is not None and found.number == number


def test_the_number_stands_for_the_origin() -> None:
    numbers = {Provenance(settings={"yaw": str(yaw)}).number for yaw in range(20)}
    assert len(numbers) == 20 and all(0 <= each < 1 << 48 for each in numbers)
    assert Provenance(settings={"yaw": "5"}).number in numbers


@pytest.mark.usefixtures("signing")
def test_whoever_does_not_want_it_gets_pixels_as_they_were(
    portrait: Frame, own_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def pixels(provenance: Provenance | None) -> Frame:
        write_image(own_folder / "a.png", portrait, provenance=provenance, force=True)
        return read_image(own_folder / "a.png")

    assert not np.array_equal(pixels(Provenance()), portrait)
    assert np.array_equal(pixels(Provenance(watermark=False)), portrait)
    assert np.array_equal(pixels(None), portrait)
    monkeypatch.setenv("VID2VID_WATERMARK", "0")
    assert np.array_equal(pixels(Provenance()), portrait)
    assert not np.array_equal(pixels(Provenance(watermark=True)), portrait)

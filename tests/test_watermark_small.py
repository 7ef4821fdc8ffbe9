"""Small pictures and films carry a watermark of their own kind, which strong compression leaves readable."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.support.clips import ffmpeg
from tests.test_watermark import ATTACKS, NUMBER, PORTRAIT, luma, number_in, psnr
from vid2vid_cli.arrays import Frame
from vid2vid_cli.media.credentials.reading import read_credentials
from vid2vid_cli.media.credentials.statement import SOFT_BINDING
from vid2vid_cli.media.image import read_image
from vid2vid_cli.media.provenance import Provenance
from vid2vid_cli.media.video import WriteOptions, open_writer
from vid2vid_cli.media.watermark import code, marking, trellis
from vid2vid_cli.media.watermark.code import CHIPS
from vid2vid_cli.media.watermark.lattice import LARGEST_PX, mark_of
from vid2vid_cli.media.watermark.lattice_reading import read_on_lattice
from vid2vid_cli.media.watermark.marking import Watermarker
from vid2vid_cli.media.watermark.reading import read_watermark
from vid2vid_cli.pipeline.verify import find_watermark

SIZES = {"square": (256, 256), "odd": (241, 321), "tiny": (144, 176), "upright": (398, 300)}


def portrait(size: tuple[int, int]) -> Frame:
    """Return a cut from the middle of the portrait, of a size (height, width)."""
    picture = read_image(PORTRAIT)
    scale = max(size[0] / picture.shape[0], size[1] / picture.shape[1])
    full = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    top, left = (full.shape[0] - size[0]) // 2, (full.shape[1] - size[1]) // 2
    return np.ascontiguousarray(full[top : top + size[0], left : left + size[1]])


@pytest.mark.parametrize("name", SIZES)
def test_it_is_read_and_cannot_be_seen(name: str) -> None:
    picture = portrait(SIZES[name])
    marked = Watermarker(NUMBER)(picture)
    assert marked.shape == picture.shape and psnr(marked, picture) >= 46
    assert number_in(marked) == NUMBER
    assert number_in(picture) is None


def noisy(chips: np.ndarray, power: float, rng: np.random.Generator) -> np.ndarray:
    """Return chips with noise of a power of 1 around them."""
    return (chips * np.sqrt(power) + rng.normal(0, 1, CHIPS)).astype(np.float32)


def test_the_code_of_small_pictures_bears_more_noise_than_that_of_large_ones() -> None:
    rng = np.random.default_rng(3)
    numbers = [0, (1 << 48) - 1, *map(int, rng.integers(0, 1 << 48, 38))]
    assert all(trellis.decode(trellis.encode(number)) == number for number in numbers)
    strong = sum(trellis.decode(noisy(trellis.encode(number), 0.6, rng)) == number for number in numbers)
    weak = sum(code.decode(noisy(code.encode(number), 0.6, rng)).number == number for number in numbers)
    assert strong >= 38 and weak < 36


@pytest.mark.parametrize("nonzero", [CHIPS, 200])
def test_chance_explains_less_than_is_asked_for(nonzero: int) -> None:
    rng = np.random.default_rng(4)
    for _ in range(40):
        chips = rng.normal(0, 1, CHIPS).astype(np.float32) * (np.arange(CHIPS) < nonzero)
        words = trellis.encode(trellis.decode(chips)), code.encode(code.decode(chips).number)
        best = max(trellis.explained(chips, word) for word in words)
        assert best < trellis.least_explained(chips, 1, 1e-6)
    assert trellis.explained(np.zeros(CHIPS, np.float32), words[0]) == 0


def test_it_is_read_after_halving_to_sizes_that_are_not_half() -> None:
    marked = Watermarker(NUMBER)(portrait((171, 257)))
    halved = cv2.resize(marked, (128, 84), interpolation=cv2.INTER_AREA)
    assert number_in(halved) == NUMBER


SMALL_ATTACKS: dict[str, Callable[[Frame], Frame]] = {
    "half": lambda frame: cv2.resize(frame, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA),
    "cropped": lambda frame: np.ascontiguousarray(frame[13 : 13 + 230, 11 : 11 + 230]),
    **{name: ATTACKS[name] for name in ("nothing", "jpeg 75", "grey", "brighter")},
}


@pytest.mark.parametrize("attack", SMALL_ATTACKS)
def test_a_small_picture_keeps_it(attack: str) -> None:
    assert number_in(SMALL_ATTACKS[attack](Watermarker(NUMBER)(portrait((256, 256))))) == NUMBER


@pytest.mark.parametrize("grey", [0, 255])
def test_paper_and_night_stay_clean(grey: int) -> None:
    sheet = np.full((256, 384, 3), grey, np.uint8)
    sheet[:, :256] = portrait((256, 256))
    made = Watermarker(NUMBER)(sheet)
    assert (made[:, 256:] == grey).all() and number_in(made) == NUMBER


def test_a_flat_sky_changes_by_two_levels_at_most() -> None:
    down = np.linspace(0, 1, 256)[:, None, None]
    sky = np.rint(np.array([70, 130, 215]) + down * np.array([100, 75, 25]) + np.zeros((1, 256, 1))).astype(np.uint8)
    marked = Watermarker(NUMBER)(sky)
    assert np.abs(marked.astype(int) - sky).max() <= 2 and psnr(sky, marked) > 48
    assert number_in(marked) == NUMBER


@pytest.mark.usefixtures("signing")
def test_a_small_film_keeps_it_through_strong_compression(own_folder: Path) -> None:
    film, again, number = own_folder / "a.mp4", own_folder / "b.mp4", Provenance().number
    picture = portrait((256, 240))
    with open_writer(film, (256, 240), WriteOptions(Fraction(25))) as writer:
        for shift in range(16):  # a head that moves before what stands still
            frame = picture.copy()
            frame[64:192, 64:176] = np.roll(picture, shift // 2, 1)[64:192, 64:176]
            writer.write(frame)
    for crf in ("23", "28"):
        ffmpeg("-i", film, "-c:v", "libx264", "-crf", crf, "-y", again)
        found = find_watermark(again)
        assert found is not None and found.number == number
    binding = read_credentials(film).assertion(SOFT_BINDING)
    assert binding["alg"] == marking.SMALL_PATTERN


def test_marks_of_earlier_versions_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = luma(portrait((256, 240)))
    marked = np.rint(plain + mark_of(plain, code.encode(NUMBER)))  # luma-2
    found = read_watermark(marked)
    assert found is not None and found.number == NUMBER
    monkeypatch.setattr(marking, "LARGEST_PX", 0)  # luma-1 for all sizes, as it was up to 0.2.0
    marked = luma(Watermarker(NUMBER)(portrait((360, 360))))
    found = read_watermark(marked)
    assert read_on_lattice([np.rint(marked).astype(np.uint8)]) is None
    assert found is not None and found.number == NUMBER


def test_large_pictures_keep_the_pattern_that_they_had() -> None:
    size = (LARGEST_PX, LARGEST_PX)
    marked = Watermarker(NUMBER)(portrait(size))
    assert read_on_lattice([np.rint(luma(marked)).astype(np.uint8)]) is None and number_in(marked) == NUMBER
    assert marking.marked_provenance(Provenance(), size).pattern == marking.PATTERN  # type: ignore[union-attr]

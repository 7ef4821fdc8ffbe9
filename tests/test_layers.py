"""A picture as layers: nothing is lost if nobody moves, and the background goes on behind the person."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from vid2vid_cli.arrays import Points
from vid2vid_cli.face.filling import MARGIN, fill
from vid2vid_cli.models.compact.layers import split_layers

SIDE = 200
Map = NDArray[np.float32]


def disc(radius: float, x: float = SIDE / 2, y: float = SIDE / 2, soft: float = 1.0) -> Map:
    """Return 1 in a disc, 0 outside, with an edge some px wide."""
    rows, columns = np.mgrid[:SIDE, :SIDE] + 0.5
    return np.clip((radius - np.hypot(columns - x, rows - y)) / soft + 0.5, 0, 1).astype(np.float32)


def noise(sigma: float) -> Map:
    """Return random numbers in [0, 1], blurred."""
    drawn = cv2.GaussianBlur(np.random.default_rng(0).random((SIDE, SIDE)).astype(np.float32), (0, 0), sigma)
    return np.asarray((drawn - drawn.min()) / np.ptp(drawn), np.float32)


def textured() -> Tensor:
    """Return a picture (1, 3, SIDE, SIDE) that is different everywhere."""
    return torch.from_numpy(np.random.default_rng(1).random((3, SIDE, SIDE)).astype(np.float32))[None]


def as_pixels(person: Tensor) -> Points:
    """Return a person (1, 4, H, W) as (H, W, 4)."""
    return np.ascontiguousarray(np.moveaxis(person[0].numpy(), 0, -1))


MATTES = {
    "a person": disc(50, soft=6),
    "nobody": np.zeros((SIDE, SIDE), np.float32),
    "only the person": np.ones((SIDE, SIDE), np.float32),
    "half of the person": disc(50, x=40, soft=20) / 2,
    "anything": noise(3),
}


@pytest.mark.parametrize("name", MATTES)
def test_a_person_who_does_not_move_gives_back_the_picture_whatever_the_matte(name: str) -> None:
    picture = textured()
    layers = split_layers(picture, MATTES[name])
    assert (layers.compose(as_pixels(layers.in_picture)) - picture).abs().max() < 1e-5


def test_a_head_that_the_top_cuts_off_is_closed_in_a_round_cap() -> None:
    """Further down, a moved head shows more than the picture has: the hair right below it, and then nothing."""
    matte = np.zeros((SIDE, SIDE), np.float32)
    matte[:100, 60:140] = 1
    layers = split_layers(textured(), matte)
    cap = layers.person[0, :, : layers.above, layers.beside : -layers.beside]
    assert 10 < layers.above < 25 and torch.equal(cap[:, -1, 100], layers.in_picture[0, :, 0, 100])
    widths = (cap[3] > 0.5).sum(1)
    assert widths[0] == 0 and (widths.diff() >= 0).all() and 70 < widths[-1] <= 80


def test_the_cap_of_a_head_shows_no_forehead() -> None:
    """Hair reaches less far down the picture than the cap rises above it."""
    matte = np.zeros((SIDE, SIDE), np.float32)
    matte[:100, 20:180] = 1
    picture = textured() * 0.1
    picture[:, :, 14:100, 20:180] = 0.9
    layers = split_layers(picture, matte)
    assert layers.above > 28
    assert layers.person[0, :3, : layers.above].max() < 0.2


def test_shoulders_that_a_side_cuts_off_go_on_beside_the_picture() -> None:
    matte = np.zeros((SIDE, SIDE), np.float32)
    matte[120:, 50:] = 1
    layers = split_layers(textured(), matte)
    person, beside = layers.person[0, :, layers.above :], layers.beside
    assert beside > 10 and torch.equal(person[:, 130:, -beside], person[:, 130:, -beside - 1])
    assert (
        person[3, 130:, -beside:].min() == 1 and (person[:3, 130:, -1] - person[:3, 130:, -beside]).abs().mean() > 0.2
    )
    assert not person[:, :, : beside - 1].any() and not person[:, :100, 1 - beside :].any()


def test_what_lies_at_the_top_is_not_repeated_above_the_picture() -> None:
    """Where a head ends below the top, the person layer holds the wisps of hair that the matte misses."""
    picture, matte = with_what_the_matte_misses()
    layers = split_layers(picture, matte)
    assert layers.in_picture[0, :, 0].abs().max() > 0.05
    assert layers.above == 2 and not layers.person[0, :, 0].any()


def with_what_the_matte_misses() -> tuple[Tensor, Map]:
    """Return a dark head before a grey wall, with wisps of hair and a lamp beside it, and a matte without them."""
    matte = np.zeros((SIDE, SIDE), np.float32)
    matte[4:100, 60:140] = 1
    picture = np.where(matte, np.float32(0.1), np.float32(0.6))
    picture[:4, 80:120:3] = 0.4
    picture[40:60, 142:145] = 0.9
    return torch.from_numpy(np.repeat(picture[None], 3, 0))[None], matte


def test_hair_beyond_the_matte_goes_with_the_head_and_a_lamp_beside_it_does_not() -> None:
    picture, matte = with_what_the_matte_misses()
    layers = split_layers(picture, matte)
    assert layers.in_picture[0, :3, 2, 80:120:3].max() < -0.1
    assert layers.in_picture[0, :3, 44:56, 142:145].abs().max() < 0.02
    assert (layers.background[0, :, 44:56, 142:145] - 0.9).abs().max() < 0.02


def test_far_from_the_person_the_background_is_the_picture_bit_by_bit() -> None:
    picture, matte = textured(), disc(50, soft=6)
    layers = split_layers(picture, matte)
    far = torch.from_numpy(disc(50 + 6 + 3 * MARGIN * SIDE) == 0)
    assert far.float().mean() > 0.3
    assert torch.equal(layers.background[..., far], picture[..., far])
    assert not layers.in_picture[..., far].any()


def test_behind_the_person_is_nothing_of_the_person() -> None:
    """A green person, whose edge is mixed with the grey around it, moves away: what appears is grey."""
    matte = disc(50, soft=6)
    share = torch.from_numpy(matte)
    grey, green = (torch.tensor(colour)[:, None, None] for colour in ((0.5, 0.5, 0.5), (0.1, 0.9, 0.1)))
    background = split_layers((grey + share * (green - grey))[None], matte).background
    assert (background - 0.5).abs().max() < 0.02


def test_a_person_is_laid_before_the_background_where_they_move_to() -> None:
    picture, matte = textured(), disc(30, x=60, soft=1)
    layers = split_layers(picture, matte)
    moved = layers.compose(as_pixels(torch.roll(layers.in_picture, 80, -1)))
    there = torch.from_numpy(disc(28, x=140) == 1)
    assert (moved - torch.roll(picture, 80, -1)).abs()[..., there].max() < 1e-5
    left = torch.from_numpy(disc(28, x=60) == 1)
    assert torch.equal(moved[..., left], layers.background[..., left].clamp(0, 1))


def test_filling_keeps_what_is_known() -> None:
    picture, known = np.moveaxis(textured()[0].numpy(), 0, -1), 1 - np.ceil(disc(50))
    filled = fill(picture, known)
    assert np.abs(filled - picture)[known > 0].max() < 1e-6


def test_what_is_filled_lies_between_what_is_around_it_and_is_smooth() -> None:
    """A ramp with a hole, whose content is far off: the hole is filled with about the ramp, without a jump."""
    ramp = np.repeat(np.linspace(0.2, 0.8, SIDE, dtype=np.float32)[None], SIDE, 0)
    step = ramp[0, 1] - ramp[0, 0]
    hole = np.ceil(disc(50)) > 0
    spoilt = np.repeat(np.where(hole, 50, ramp).astype(np.float32)[..., None], 3, -1)
    filled = fill(spoilt, (~hole).astype(np.float32))[..., 0]
    rim = cv2.dilate(hole.astype(np.uint8), np.ones((9, 9))).astype(bool) & ~hole
    assert ramp[rim].min() - 1e-4 < filled[hole].min() and filled[hole].max() < ramp[rim].max() + 1e-4
    assert max(np.abs(np.diff(filled, axis=axis)).max() for axis in (0, 1)) < 6 * step
    # Each half of the hole is like its own side.
    left, right = filled[:, : SIDE // 2][hole[:, : SIDE // 2]], filled[:, SIDE // 2 :][hole[:, SIDE // 2 :]]
    assert right.mean() - left.mean() > 0.4 * (ramp[:, SIDE // 2 :].mean() - ramp[:, : SIDE // 2].mean())


@pytest.mark.parametrize("size", [(200, 120), (67, 150), (5, 3)])
def test_a_picture_of_any_size_is_filled(size: tuple[int, int]) -> None:
    known = np.zeros(size, np.float32)
    known[0] = known[-1] = 1
    filled = fill(np.full((*size, 3), 0.25, np.float32), known)
    assert filled.shape == (*size, 3)
    assert np.abs(filled - 0.25).max() < 1e-5

"""A background that a person hides goes on with the texture that is seen of it, in its own light."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from vid2vid_cli.face.background_texture import add_texture
from vid2vid_cli.face.filling import fill_background, shown_background
from vid2vid_cli.models.compact.layers import split_layers

SIDE, PERIOD = 240, 12
Points = NDArray[np.float32]
rows, columns = (places.astype(np.float32) for places in np.mgrid[:SIDE, :SIDE])
MATTE = np.clip(60.5 - np.hypot(columns - 120, rows - 120), 0, 1).astype(np.float32)
UNSEEN = np.s_[100:140, 70:85]  # of the picture: behind the person, near their edge


def wall(*, striped: bool) -> Points:
    """Return a wall that is brighter to the right, with stripes along it or without."""
    stripes = 0.1 * np.sin(2 * np.pi * rows / PERIOD) if striped else 0 * rows
    return np.asarray((0.3 + 0.4 * columns / SIDE + stripes)[..., None] * np.array([1, 0.9, 0.8]), np.float32)


def seen(behind: Points) -> Points:
    """Return a red person before a wall."""
    return np.asarray(behind + MATTE[..., None] * (np.array([1, 0, 0], np.float32) - behind), np.float32)


def filled(behind: Points) -> tuple[Points, Points]:
    """Return what is filled behind the person: smoothly, and with texture."""
    smooth = fill_background(seen(behind), MATTE)
    return smooth, add_texture(smooth, shown_background(seen(behind), MATTE))


def strength(picture: Points) -> float:
    """Return how strong the stripes are in the part that is not seen."""
    column = picture[UNSEEN][..., 1].mean(1)
    wave = np.exp(2j * np.pi * np.arange(len(column))[:36] / PERIOD)  # whole periods
    return float(2 * np.abs(((column[:36] - column[:36].mean()) * wave).mean()))


def test_stripes_go_on_behind_the_person() -> None:
    smooth, textured = filled(wall(striped=True))
    assert strength(smooth) < 0.01 and strength(textured) > 0.05


def test_what_is_wide_stays_as_it_was_filled() -> None:
    smooth, textured = filled(wall(striped=True))
    differs = np.abs(textured[UNSEEN].mean((0, 1)) - smooth[UNSEEN].mean((0, 1)))
    assert differs.max() < 0.02


def test_an_even_wall_stays_even() -> None:
    smooth, textured = filled(wall(striped=False))
    assert np.abs(textured - smooth).max() < 0.02


def test_what_is_seen_of_the_background_and_the_middle_behind_the_person_stay() -> None:
    smooth, textured = filled(wall(striped=True))
    beside = np.hypot(columns - 120, rows - 120) > 80
    assert np.array_equal(textured[beside], smooth[beside]) and np.array_equal(textured[120, 120], smooth[120, 120])


def test_the_same_picture_is_filled_the_same_way() -> None:
    assert np.array_equal(filled(wall(striped=True))[1], filled(wall(striped=True))[1])


@pytest.mark.parametrize("matte", [np.zeros_like(MATTE), np.ones_like(MATTE)], ids=["nobody", "only the person"])
def test_a_background_that_is_all_seen_or_all_hidden_stays(matte: Points) -> None:
    smooth = fill_background(wall(striped=True), matte)
    assert np.array_equal(add_texture(smooth, shown_background(wall(striped=True), matte)), smooth)


def test_a_person_who_does_not_move_still_gives_back_the_picture() -> None:
    picture = torch.from_numpy(seen(wall(striped=True))).permute(2, 0, 1)[None]
    layers = split_layers(picture, MATTE)
    textured = layers.textured()
    assert (textured.background - layers.background).abs().max() > 0.05
    person = np.ascontiguousarray(np.moveaxis(textured.in_picture[0].numpy(), 0, -1))
    assert (textured.compose(person) - picture).abs().max() < 1e-5

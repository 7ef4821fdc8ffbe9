"""A head that the picture's top cuts off: its outline goes on as that of a head, and its hair as hair.

The face is the mean face in a drawn picture, whose lower part alone is then given.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.test_shell import MIDDLE, SIDE, Figure, ellipse
from vid2vid_cli.arrays import Points
from vid2vid_cli.models.compact.head_top import HeadTop
from vid2vid_cli.models.compact.layers import Layers, split_layers
from vid2vid_cli.models.compact.mesh.shell import INNER

HEAD, HEAD_Y = (90.0, 133.0), MIDDLE - 28.0  # px: half axes of a head as wide and high as the mean one, and its middle
TOP = int(HEAD_Y - HEAD[1])
CUTS = (TOP + 15, TOP + 30, TOP + 50, TOP + 75)
HAIRLINE = TOP + 60  # px: how far down there is hair
HAIR, SKIN = (0.15, 0.1, 0.05), (0.9, 0.7, 0.6)
Map = NDArray[np.float32]


def matte() -> Map:
    """Return the matte of a head on shoulders, which is a little less pointed than an ellipse."""
    rows, columns = np.mgrid[:SIDE, :SIDE] + 0.5
    x, y = np.abs(columns - MIDDLE) / HEAD[0], np.abs(rows - HEAD_Y) / HEAD[1]
    head = np.clip((1 - (x**2.5 + y**2.5) ** 0.4) * HEAD[0] + 0.5, 0, 1)
    person = np.maximum(head, ellipse(230, 140, y=SIDE + 20)).astype(np.float32)
    person[MIDDLE + 60 :, MIDDLE - 50 : MIDDLE + 50] = 1
    return np.asarray(person, np.float32)


def picture() -> Tensor:
    """Return a picture (1, 3, SIDE, SIDE) of a light face below dark hair, before blue."""
    person = torch.from_numpy(matte())
    hair, skin, wall = (torch.tensor(colour)[:, None, None] for colour in (HAIR, SKIN, (0.3, 0.4, 0.9)))
    person_colours = torch.where(torch.arange(SIDE)[:, None] < HAIRLINE, hair, skin)
    return (wall + person * (person_colours - wall))[None]


def cut_off(state: Mapping[str, Tensor], cut: int, shown: Tensor | None = None) -> Figure:
    """Return a figure of which the picture shows what lies below a row."""
    return Figure(state, matte(), picture() if shown is None else shown, (slice(cut, None), slice(None)))


def above(layers: Layers) -> Points:
    """Return what of a person lies above their picture, between its sides: (above, W, 4)."""
    return layers.pixels[: layers.above, layers.beside : -layers.beside]


@pytest.mark.parametrize("cut", CUTS)
def test_a_cut_off_head_ends_as_if_it_were_not(cut: int, face_state: Mapping[str, Tensor]) -> None:
    """It is as high as heads are, and round: nine tenths of what is drawn and of what is missing are the same."""
    layers = cut_off(face_state, cut).source.layers
    drawn, missing = np.zeros((cut, SIDE), bool), matte()[:cut] > 0.5
    drawn[-layers.above :] = above(layers)[-cut:, :, 3] > 0.5
    share = (drawn & missing).sum() / (drawn | missing).sum()
    assert share > 0.9, share


@pytest.mark.parametrize("cut", CUTS)
def test_the_outline_goes_on_where_it_is_cut(cut: int, face_state: Mapping[str, Tensor]) -> None:
    """On both sides it keeps its direction, without a step."""
    layers = cut_off(face_state, cut).source.layers
    rows = layers.pixels[layers.above - 8 : layers.above + 1, layers.beside : -layers.beside, 3] > 0.5
    true = matte()[cut - 8 : cut + 1] > 0.5
    for ends in (rows.argmax(1), rows[:, ::-1].argmax(1)):
        assert np.abs(np.diff(ends)).max() <= np.abs(np.diff(true.argmax(1))).max() + 3
        assert np.abs(ends - true.argmax(1)).max() < 8


@pytest.mark.parametrize("cut", (HAIRLINE - 30, HAIRLINE - 12, HAIRLINE - 5))
def test_a_cut_off_head_shows_neither_forehead_nor_background_above_the_cut(
    cut: int, face_state: Mapping[str, Tensor]
) -> None:
    """However little hair is seen, and however high the head goes on: its hair is dark."""
    pixels = above(cut_off(face_state, cut).source.layers)
    assert len(pixels) > 15
    inside = pixels[..., 3] > 0.99
    assert inside.sum() > 1000 and np.abs(pixels[inside, :3] - HAIR).max() < 0.1


def test_a_forehead_that_is_much_brighter_than_the_cheeks_is_no_hair(face_state: Mapping[str, Tensor]) -> None:
    shown = picture()
    shown[0, :, MIDDLE - 30 :] *= 0.35
    pixels = above(cut_off(face_state, HAIRLINE - 12, shown).source.layers)
    assert pixels[pixels[..., 3] > 0.99, :3].max() < 0.25


def test_above_a_bare_forehead_there_is_hair_if_there_is_some_beside_it(face_state: Mapping[str, Tensor]) -> None:
    """A forehead that the top cuts through ends in a low arch, instead of at the top of the head."""
    shown, skin = picture(), torch.tensor(SKIN)[:, None, None]
    middle = slice(MIDDLE - 40, MIDDLE + 40)
    shown[0, :, TOP + 30 :, middle] = skin
    pixels = above(cut_off(face_state, TOP + 45, shown).source.layers)
    bright = pixels[:, middle, 1] > 0.4
    assert bright[-3:, 30:50].all() and not bright[:-16].any()


def test_what_is_drawn_above_a_cut_begins_as_the_picture_ends(face_state: Mapping[str, Tensor]) -> None:
    """A band of lighter hair along the cut, too narrow to be mirrored, does not end in a line."""
    shown, cut = picture(), TOP + 40
    shown[0, :, cut : cut + 2, MIDDLE - 30 : MIDDLE + 30] += 0.2
    layers = cut_off(face_state, cut, shown).source.layers
    rows = layers.pixels[layers.above - 12 : layers.above + 1, layers.beside + MIDDLE, 1]
    assert np.abs(np.diff(rows)).max() < 0.06 and rows[0] < rows[-1] - 0.1


def test_the_top_of_a_cut_off_head_follows_its_face(face_state: Mapping[str, Tensor]) -> None:
    """The border above the picture does not hold it, which would draw it out to a crest as the head nods and sinks."""
    figure = cut_off(face_state, TOP + 24)
    warp, state = figure.source.warp, figure.turned(roll=15)
    state.head.translation[:, 1] += 0.25  # the head sinks
    rest = warp._shell.places
    top = np.flatnonzero(warp._outline.directions[:, 1] < -0.9)
    turned = state.head.apply_array(warp._rest_shell).reshape(rest.shape)
    keypoints = state.keypoints[0].numpy() + np.array([0, 0.25, 0], np.float32)
    first = len(keypoints)
    placed = warp.target_vertices(keypoints, state.head)[first : first + rest[..., 0].size].reshape(rest.shape)
    away = np.linalg.norm((placed - turned)[:7, top, :2], axis=-1)
    assert away.max() < 0.02


def test_a_head_that_is_not_cut_off_has_no_crown(face_state: Mapping[str, Tensor]) -> None:
    figure = cut_off(face_state, TOP - 6)
    layers = figure.source.layers
    assert figure.source.warp.crown is None and layers.top is None
    assert torch.equal(layers.person, split_layers(figure.picture, matte()[TOP - 6 :]).person)


def test_a_person_who_does_not_move_is_the_picture_itself_when_cut_off(face_state: Mapping[str, Tensor]) -> None:
    figure = cut_off(face_state, TOP + 24)
    assert (figure.show(figure.turned()) - figure.picture).abs().max() < 0.02


@pytest.mark.parametrize("cut", range(TOP + 1, MIDDLE - 10, 20))
def test_wherever_a_head_is_cut_off_it_ends(cut: int, face_state: Mapping[str, Tensor]) -> None:
    pixels = above(cut_off(face_state, cut).source.layers)
    assert np.isfinite(pixels).all() and pixels[0, :, 3].max() == 0


def test_no_eye_or_brow_is_mirrored(face_state: Mapping[str, Tensor]) -> None:
    """A fringe hangs down to green brows, which look as little like skin as hair does."""
    shown, middle = picture(), slice(MIDDLE - 60, MIDDLE + 60)
    shown[0, :, TOP + 30 : MIDDLE - 45, MIDDLE - 80 : MIDDLE + 80] = torch.tensor(HAIR)[:, None, None]
    shown[0, :, MIDDLE - 45 : MIDDLE - 25, middle] = torch.tensor([0.0, 1.0, 0.0])[:, None, None]
    pixels = above(cut_off(face_state, TOP + 90, shown).source.layers)
    assert (pixels[:-1, :, 1] - pixels[:-1, :, 0]).max() < 0.1


def test_a_hand_beside_a_cut_off_head_is_closed_by_a_cap_of_its_own(face_state: Mapping[str, Tensor]) -> None:
    person = matte()
    person[: MIDDLE + 100, 20:70] = 1
    figure = Figure(face_state, person, None, (slice(TOP + 24, None), slice(None)))
    widths = (above(figure.source.layers)[:, :80, 3] > 0.5).sum(1)
    assert widths[0] == 0 and 5 < (widths > 0).sum() < 14 and widths[-1] == 50


def test_an_arm_that_needs_more_room_than_the_head_gets_it(face_state: Mapping[str, Tensor]) -> None:
    person = matte()
    person[:, MIDDLE + 110 :] = 1
    layers = Figure(face_state, person, None, (slice(TOP + 4, None), slice(None))).source.layers
    assert above(layers)[-20, MIDDLE + 140 : -30, 3].min() == 1 and above(layers)[-3, MIDDLE, 3] > 0.9


def test_where_nothing_of_a_head_lies_above_its_caps_are_kept(face_state: Mapping[str, Tensor]) -> None:
    figure = cut_off(face_state, CUTS[1])
    person = figure.source.layers.in_picture[0].permute(1, 2, 0).numpy()
    points_px = figure.in_px(figure.model.topology.canonical.numpy())
    top = HeadTop.of(figure.source.warp.crown, person[..., :3], points_px)
    caps = np.random.default_rng(0).random((5, SIDE, 4)).astype(np.float32)
    assert top is not None
    assert (top.draw(person, np.zeros((5, SIDE), np.float32), caps) == caps).all()


def test_a_head_close_to_the_top_of_the_picture_moves_as_one_piece(face_state: Mapping[str, Tensor]) -> None:
    """What the border above the picture holds back would bend the head: nothing is seen of it."""
    warp = cut_off(face_state, TOP - 8).source.warp
    assert warp.crown is None
    upwards = warp._outline.directions[:, 1] < -0.7
    places, room = (of[: len(INNER), upwards] for of in (warp._shell.places, warp._shell.room[..., 0]))
    assert (room > places[..., 1] - warp.border.low[1] + 0.1).any()

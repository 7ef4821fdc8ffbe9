"""The ear that a turned face hides comes into view with its side: the other one, mirrored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.support.clips import ffmpeg
from tests.test_shell import MIDDLE, SIDE, WIDE, Figure, face_and_neck, held, red_before_blue
from tests.test_side_detail import Turned
from vid2vid_cli.arrays import Map
from vid2vid_cli.face.mesh import FaceAnalyzer
from vid2vid_cli.models.compact.mesh.hidden_ear import HiddenEar
from vid2vid_cli.models.compact.mesh.rasterizer import rasterize
from vid2vid_cli.models.compact.model import CompactModel
from vid2vid_cli.models.compact.rendering import _move_person
from vid2vid_cli.motion import PoseOverride

EARS = (0.83, -0.3, 0.3)  # on the canonical head: how far aside, and from where to where


def of_head(state: Mapping[str, Tensor], held_yaw: float, sides: tuple[int, ...] = (-1, 1)) -> Figure:
    """Return a bald red head with green ears, held turned. sides: of its ears, 1 is right in the picture."""
    plain = Figure(state, np.ones((SIDE, SIDE), np.float32), held_yaw=held_yaw)
    head = plain.model.topology.head
    assert head is not None
    aside, top, bottom = EARS
    x, y, _ = head.vertices.T
    is_ear = (np.abs(x) > aside) & (y > top) & (y < bottom)
    corners = head.triangles[~np.isin(head.triangles, np.flatnonzero(is_ear & ~np.isin(np.sign(x), sides))).any(1)]
    colours = np.where(is_ear[:, None], (0.1, 0.9, 0.1, 1), (0.9, 0.1, 0.1, 1)).astype(np.float32)
    shown = rasterize(plain.in_px(head.vertices @ held(held_yaw).T), colours, corners, (SIDE, SIDE))
    face = cv2.convexHull(plain.in_px(plain.model.topology.canonical.numpy() @ held(held_yaw).T)[:, :2].astype(int))
    matte = np.maximum(shown[..., 3], cv2.fillConvexPoly(np.zeros((SIDE, SIDE), np.float32), face, 1))
    picture = red_before_blue(matte)
    ears = shown[..., 1] > 0.5
    picture[0, 0][ears], picture[0, 1][ears] = 0.1, 0.9
    return Figure(state, matte, picture, held_yaw=held_yaw)


def green(shown: Tensor) -> Map:
    return np.asarray((shown[0, 1] - shown[0, 0].maximum(shown[0, 2])).numpy() > 0.2)


def beside(figure: Figure, yaw: float) -> tuple[int, int]:
    """Return how many px of ears a turned head shows left and right of the middle of its face."""
    state = figure.turned(yaw=yaw)
    middle = int(state.keypoints[0, :, 0].mean() * WIDE + MIDDLE)
    ears = green(figure.show(state))
    return int(ears[:, :middle].sum()), int(ears[:, middle:].sum())


@pytest.mark.parametrize("held_yaw", [-15, -18, -20])
def test_an_ear_that_was_hidden_comes_into_view_with_its_side(
    held_yaw: float, face_state: Mapping[str, Tensor]
) -> None:
    figure = of_head(face_state, held_yaw)
    source = int(green(figure.picture).sum())
    assert source > 250 and green(figure.picture)[:, :MIDDLE].sum() < 10
    for yaw in (20, 25, 40):
        assert beside(figure, yaw)[0] > 0.6 * source
    assert beside(figure, 40)[1] == 0


@pytest.mark.parametrize("held_yaw", [-10, -15])
def test_no_hole_is_left_between_the_ear_and_the_hair_above_it(
    held_yaw: float, face_state: Mapping[str, Tensor]
) -> None:
    """Nor a veil: blue is the wall, and the head is on all sides of where it is looked for."""
    figure = of_head(face_state, held_yaw)
    person = 1 - figure.show(figure.turned(yaw=40))[0, 2].numpy()
    closed = cv2.morphologyEx(np.asarray(person > 0.5, np.uint8), cv2.MORPH_CLOSE, np.ones((9, 9)))
    inside = cv2.erode(closed, np.ones((15, 15))) > 0
    assert inside.sum() > 20_000 and (person[inside] < 0.8).sum() < 120


def test_a_source_that_does_not_turn_shows_what_it_showed(face_state: Mapping[str, Tensor]) -> None:
    figure = of_head(face_state, -15)
    assert (figure.show(figure.turned()) - figure.picture).abs().max() < 0.02


def test_a_head_that_turns_further_away_shows_no_second_ear(face_state: Mapping[str, Tensor]) -> None:
    assert beside(of_head(face_state, -15), -20)[0] == 0


@pytest.fixture(scope="module")
def leaning_frame(media_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A man whose face hides an ear, and whose hair stands out on that side."""
    frame = tmp_path_factory.mktemp("leaning") / "frame.png"
    ffmpeg("-i", media_dir / "drivings" / "d14_actor_left_turn_256.mp4", "-frames:v", "1", frame)
    return frame


@pytest.mark.parametrize("angles_deg", [(-8, -20, 25), (-8, -25, 0), (-12, -20, 20)])
def test_hair_is_not_drawn_in_to_an_ear_that_does_not_stand_out(
    angles_deg: tuple[float, float, float],
    leaning_frame: Path,
    face_state: Mapping[str, Tensor],
    face_analyzer: FaceAnalyzer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As a head leans over, its temple comes into view, but not its ear."""
    model = CompactModel(face_state)

    def person() -> NDArray[np.bool_]:
        source = Turned(model, face_analyzer, leaning_frame).source
        yaw, pitch, roll = torch.deg2rad(torch.tensor(angles_deg))[:, None]
        asked = PoseOverride(yaw, pitch, roll)
        driven = model.drive(source, source.motion, source.motion, asked)
        moved = _move_person(source, source.warp.place(driven.keypoints[0].numpy(), driven.head))
        return np.asarray(moved[..., 3] > 0.5)

    shown = person()
    monkeypatch.setattr(HiddenEar, "of", staticmethod(without_ear(HiddenEar.of)))
    assert (person() & ~shown).sum() < 20


def without_ear(of: Callable[..., HiddenEar]) -> Callable[..., HiddenEar]:
    """Return what makes hidden ears that nothing is shown of."""

    def none_of(*given: object) -> HiddenEar:
        ear = of(*given)
        return replace(ear, share=0 * ear.share, outside=0 * ear.outside)

    return none_of


def test_an_ear_that_is_seen_stays_its_own(face_state: Mapping[str, Tensor]) -> None:
    assert not of_head(face_state, 0).source.warp._shell.lacking.any()


def test_a_scarf_beside_a_head_is_no_ear(face_state: Mapping[str, Tensor]) -> None:
    """What goes on farther out than a head does is not mirrored."""
    matte = face_and_neck(face_state, -15)
    matte[:, MIDDLE + 20 :] = 1
    assert not Figure(face_state, matte, held_yaw=-15).source.warp._shell.lacking.any()


def test_no_ear_lies_before_a_hand_beside_the_cheek(face_state: Mapping[str, Tensor]) -> None:
    figure = of_head(face_state, -15)
    matte = (figure.picture[0, 2] < 0.5).numpy().astype(np.float32)
    face = figure.in_px(figure.model.topology.canonical.numpy() @ held(-15).T)
    matte[int(face[:, 1].min()) + 40 : int(face[:, 1].max()) - 40, : int(face[:, 0].min()) - 12] = 1
    assert not Figure(face_state, matte, held_yaw=-15).source.warp._shell.lacking.any()
    assert figure.source.warp._shell.lacking.any()


def test_no_shoulder_is_drawn_out_to_the_ear(
    face_state: Mapping[str, Tensor], face_analyzer: FaceAnalyzer, media_dir: Path, tmp_path: Path
) -> None:
    """A sliver of it would stand between them: what is thinner than 9 px."""
    frame = tmp_path / "frame.png"
    ffmpeg(
        "-i",
        media_dir / "drivings" / "d09_man_talking_15fps_audio.mp4",
        "-vf",
        "select=eq(n\\,40)",
        "-frames:v",
        "1",
        frame,
    )
    turned = Turned(CompactModel(face_state), face_analyzer, frame, yaw=float(np.radians(20)))
    person = np.asarray(_move_person(turned.source, turned.mesh)[..., 3] > 0.05, np.uint8)
    thin = np.asarray(person > cv2.morphologyEx(person, cv2.MORPH_OPEN, np.ones((9, 9))))
    assert turned.source.warp._shell.lacking.any()
    assert thin.sum() < 60


def test_a_face_that_is_turned_far_keeps_its_own_edge(face_state: Mapping[str, Tensor]) -> None:
    assert not of_head(face_state, -45).source.warp._shell.lacking.any()

"""A head that tilts: its neck bends, and the shoulders beside it stay whole and where they are."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.test_shell import MATTES, MIDDLE, SIDE, WIDE, Figure, Map, ellipse, face_and_neck, red_before_blue
from vid2vid_cli.face.crop import Room, crop_around, crop_frame
from vid2vid_cli.face.mesh import FaceAnalyzer
from vid2vid_cli.media.video import read_video
from vid2vid_cli.models.compact.mesh.head_pose import HeadPose
from vid2vid_cli.models.compact.mesh.neck import follow_head, hair_and_shoulders
from vid2vid_cli.models.compact.mesh.shell import GRADING, INNER, MOST_ROOM
from vid2vid_cli.models.compact.mesh.square_map import SquareMap
from vid2vid_cli.models.compact.mesh.warp import CHIN, FOREHEAD
from vid2vid_cli.models.compact.model import CompactModel
from vid2vid_cli.motion import PoseOverride

CLIP = "d14_actor_left_turn_256.mp4"  # a man in a blue shirt before a white wall; his jaw is right above a shoulder
HELD_YAWS = (0, -25)


def bust(face_state: Mapping[str, Tensor], held_yaw: float) -> Map:
    """Return the matte of a bald head on a neck, with round shoulders as high as its chin: (SIDE, SIDE)."""
    chin = Figure(face_state, MATTES["a head"]).chin_px
    return np.maximum(face_and_neck(face_state, held_yaw), ellipse(330, SIDE - chin + 10, y=SIDE))


def head_of(figure: Figure) -> HeadPose:
    """Return how a figure holds its head."""
    forehead, chin = figure.model.topology.canonical.numpy()[[FOREHEAD, CHIN], 1]
    return HeadPose(figure.source.warp._pose, float(forehead), float(chin))


@pytest.mark.parametrize("held_yaw", HELD_YAWS)
@pytest.mark.parametrize("roll", [-30, 30])
def test_the_outline_of_shoulders_stays_where_it_is_while_a_head_tilts(
    held_yaw: float, roll: float, face_state: Mapping[str, Tensor]
) -> None:
    matte = bust(face_state, held_yaw)
    figure = Figure(face_state, matte, red_before_blue(matte), held_yaw=held_yaw)
    changed = (figure.show(figure.turned(roll=roll)) - figure.picture)[0, 0].abs().numpy() > 0.4
    changed[: int(figure.chin_px) - 30] = False
    changed[:, MIDDLE - 100 : MIDDLE + 100] = False
    # On average less than ten px in each of the columns beside the head
    assert changed.sum() < 3000


def test_shoulders_are_what_stands_below_without_reaching_up_to_the_head(face_state: Mapping[str, Tensor]) -> None:
    figure = Figure(face_state, MATTES["a head"])
    warp, head = figure.source.warp, head_of(figure)

    def found(matte: Map, x_px: float, y_px: float, part: int = 1) -> float:
        place = (np.array([[x_px, y_px]], np.float32) - MIDDLE) / WIDE
        return float(hair_and_shoulders(SquareMap.of(matte, warp.border), head)[part].at(place)[0])

    person = bust(face_state, 0)
    beside, height = MIDDLE + 150, int(figure.chin_px) + 60
    assert found(person, beside, height) > 0.95
    assert found(person, beside, figure.chin_px - 60) < 0.05  # the wall above
    assert found(person, MIDDLE, height) < 0.05  # the neck, which bends
    hair = person.copy()
    hair[MIDDLE - 60 :, beside - 40 : beside + 40] = 1
    assert found(hair, beside, height) < 0.05  # it falls on the shoulder from the head, with which it moves
    assert found(hair, beside, height, part=0) > 0.95
    assert found(person, beside, height, part=0) < 0.05
    assert found(MATTES["a head"], MIDDLE, MIDDLE) == 0


def test_long_hair_goes_with_its_head(face_state: Mapping[str, Tensor]) -> None:
    """The farther beside a neck, the less goes with the head; hair that does not is shorn off it."""
    figure = Figure(face_state, MATTES["a head"])
    warp, head = figure.source.warp, head_of(figure)

    def follows(matte: Map, x_px: float) -> float:
        place = np.array([[x_px / WIDE, (figure.chin_px - MIDDLE) / WIDE, head.in_picture(0, 0)[2]]], np.float32)
        return float(follow_head(place, head, SquareMap.of(matte, warp.border), np.ones(1, np.float32))[0])

    bare, long_hair = (np.zeros((SIDE, SIDE), np.float32) for _ in range(2))
    bare[int(figure.chin_px) + 20 :] = 1
    long_hair[int(figure.forehead_px) :] = 1
    assert follows(bare, 150) < follows(bare, 20) - 0.3
    assert follows(long_hair, 150) == pytest.approx(follows(long_hair, 20), abs=0.02)


@pytest.mark.parametrize("held_yaw", HELD_YAWS)
def test_rays_through_the_neck_begin_no_further_out_than_the_jaw_beside_them(
    held_yaw: float, face_state: Mapping[str, Tensor]
) -> None:
    """Between rings of very different sizes lie slivers, which tear whatever they cross."""
    warp = Figure(face_state, bust(face_state, held_yaw), held_yaw=held_yaw).source.warp
    ends = warp._shell.places[len(INNER) - 1, :, :2] - warp._outline.centre
    reach = np.linalg.norm(ends, axis=-1) / warp._outline.radius
    beside = np.minimum(np.roll(reach, 1), np.roll(reach, -1))
    assert reach.max() > 0.9 * MOST_ROOM
    assert (reach <= 1.01 * GRADING * beside).all()


@pytest.fixture(scope="module")
def man(media_dir: Path, face_analyzer: FaceAnalyzer) -> tuple[Tensor, Tensor]:
    """Return the crop around a man (1, 3, H, W), and the landmarks of his face."""
    frame = next(iter(read_video(media_dir / "drivings" / CLIP)))
    face = max(face_analyzer.faces(frame), key=lambda f: f.size_px)
    crop = crop_around(face, CompactModel.source_crop, Room.of_frame(frame.shape))
    image = torch.from_numpy(crop_frame(frame, crop).copy()).permute(2, 0, 1)[None].float() / 255
    return image, torch.from_numpy(crop.to_crop(face.landmarks_px)).float()[None]


@pytest.mark.parametrize("roll", [-30, 30])
def test_no_wall_is_seen_inside_a_shoulder_that_a_head_tilts_over(
    roll: float, man: tuple[Tensor, Tensor], compact: CompactModel
) -> None:
    source = compact.appearance(*man)
    angles = (torch.tensor([np.deg2rad(angle)], dtype=torch.float32) for angle in (0, 0, roll))
    with torch.inference_mode():
        shown = compact.render(source, compact.drive(source, source.motion, source.motion, PoseOverride(*angles)))
    red, _, blue = shown[0].numpy()
    is_shirt, is_wall = blue - red > 0.35, shown[0].numpy().min(0) > 0.75
    below_shirt = np.maximum.accumulate(is_shirt, 0)
    assert is_shirt.sum() > 10000 and is_wall.sum() > 10000
    assert (is_wall & below_shirt).sum() < 4

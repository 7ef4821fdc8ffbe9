"""Sides of a head that turn to the camera: what temples, cheeks and chins show."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import cv2
import numpy as np
import pytest
from torch import Tensor, tensor

from tests.test_shell import (
    MIDDLE,
    SIDE,
    WIDE,
    Figure,
    Map,
    face_and_neck,
    held,
    red_before_blue,
)
from vid2vid_cli.models.compact.mesh.warp import CHIN
from vid2vid_cli.models.compact.posing import CompactState

HELD_YAW = -35
FOREHEAD = [109, 67, 103, 54, 21, 68, 104, 69, 108]  # points of the mesh: one half of the forehead, at its edge
CHIN_TOP, BROW = 17, 105
GREEN = tensor([0.1, 0.9, 0.1])[:, None]


@pytest.fixture(scope="module")
def figure(face_state: Mapping[str, Tensor]) -> Figure:
    """A red face, turned aside, with green hair on the far half of its forehead alone."""
    matte = face_and_neck(face_state, HELD_YAW)
    plain = Figure(face_state, matte, held_yaw=HELD_YAW)
    points = plain.in_px(plain.model.topology.canonical.numpy() @ held(HELD_YAW).T)[:, :2]
    hair = np.zeros((SIDE, SIDE), np.uint8)
    cv2.fillConvexPoly(hair, cv2.convexHull(points[FOREHEAD].astype(int)), 1)
    picture = red_before_blue(matte)
    picture[0, :, (cv2.dilate(hair, np.ones((13, 13))) * matte) > 0] = GREEN
    return Figure(face_state, matte, picture, held_yaw=HELD_YAW)


def points_px(state: CompactState) -> Map:
    """Return where a target has the points of the mesh: (468, 2)."""
    return np.asarray(state.keypoints[0, :, :2].numpy() * WIDE + MIDDLE, np.float32)


def far_forehead(figure: Figure, state: CompactState) -> tuple[Map, Map]:
    """Return how green and how red the far half of the forehead is."""
    points = points_px(state)
    rows = slice(int(points[:, 1].min()), int(points[BROW, 1]))
    shown = figure.show(state)[0, :, rows, : int(points[10, 0]) + 10].numpy()
    return shown[1] - shown[0], shown[0] - shown[2]


def test_hair_on_a_temple_stays_while_the_head_turns_a_little(figure: Figure) -> None:
    """The skin of the other half, beside what is left of the hair, would make it a tuft."""
    before, after = ((far_forehead(figure, figure.turned(yaw=yaw))[0] > 0.3).sum() for yaw in (0, 7))
    assert after > before > 500


def test_where_a_temple_shows_the_other_half_no_tuft_is_left(figure: Figure) -> None:
    hair, skin = far_forehead(figure, figure.turned(yaw=30))
    is_skin = skin > 0.3
    tuft = (np.cumsum(is_skin, 1) > 5) & (hair > 0)  # with skin between it and the wall
    assert is_skin.sum() > 1000 and tuft.sum() < 150


def test_a_chin_that_opens_is_not_covered_by_what_it_opens_over(face_state: Mapping[str, Tensor]) -> None:
    """It goes down and back, before its neck or the wall. Of a turned head, these lie near it."""
    matte = face_and_neck(face_state, HELD_YAW)
    figure = Figure(face_state, matte, red_before_blue(matte), held_yaw=HELD_YAW)
    state = figure.turned()
    keypoints = state.keypoints.clone()
    y, (lips, chin) = keypoints[0, :, 1], keypoints[0, [CHIN_TOP, CHIN], 1]
    opened = ((y - lips) / (chin - lips)).clamp(0, 1)
    keypoints[0, :, 1] += 0.14 * opened  # halves of the picture
    keypoints[0, :, 2] += 0.2 * opened
    state = replace(state, keypoints=keypoints)
    face = np.zeros((SIDE, SIDE), np.uint8)
    cv2.fillConvexPoly(face, cv2.convexHull(points_px(state).astype(int)), 1)
    jaw = cv2.erode(face, np.ones((9, 9)))[int(points_px(state)[CHIN_TOP, 1]) :] > 0
    shown = figure.show(state)[0, :, int(points_px(state)[CHIN_TOP, 1]) :].numpy()
    assert jaw.sum() > 200 and (jaw & (shown[2] > shown[0])).sum() == 0

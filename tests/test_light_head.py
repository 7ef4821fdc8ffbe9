"""The light head: ears, skull, jaw and neck lie as far away as a head's do, and show hair where they turn into view."""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from tests.test_shell import (
    HEAD,
    MATTES,
    MIDDLE,
    SIDE,
    WIDE,
    Figure,
    ellipse,
    face_and_neck,
    find_mark,
    marked,
    red_before_blue,
)
from training.light_head import CELL, lighten
from training.surface_places import Surface
from vid2vid_cli.models.compact.mesh.light_head import LightHead
from vid2vid_cli.models.compact.mesh.shell import FOLD
from vid2vid_cli.models.compact.mesh.topology import FaceTopology


@pytest.fixture(scope="module")
def head(face_state: Mapping[str, Tensor]) -> LightHead:
    head = FaceTopology.from_state(face_state).head
    assert head is not None
    return head


@pytest.mark.parametrize("side", [-1, 1], ids=["left", "right"])
def test_a_neck_beside_the_jaw_is_not_dragged_along_by_it(side: int, face_state: Mapping[str, Tensor]) -> None:
    """It lies far behind the jaw. Checkpoints of before have no head, and drag it; they draw people all the same."""
    old = {name: tensor for name, tensor in face_state.items() if name not in ("head.vertices", "head.triangles")}
    person = np.maximum(MATTES["head and shoulders"], ellipse(150, 200))
    figure = Figure(face_state, person)
    place_px = (float(side * 0.6 * figure.scale + figure.shift[0]), float(0.72 * figure.scale + figure.shift[1]))
    moved = []
    for state in (face_state, old):
        figure = Figure(state, person, marked(place_px, radius=4))
        shown = [find_mark(figure.show(figure.turned(yaw=yaw)))[0] for yaw in (-12, 12)]
        moved.append(shown[1] - shown[0])
    assert 0 < moved[0] < 0.65 * moved[1], moved


def test_a_head_is_bent_onto_a_face(head: LightHead) -> None:
    assert np.abs(head.bent(head.face).vertices - head.vertices).max() < 1e-5
    wider = head.bent(np.asarray(head.face * (1.2, 1, 1), np.float32))
    assert np.ptp(wider.vertices[:, 0]) == pytest.approx(1.2 * np.ptp(head.vertices[:, 0]), rel=0.02)
    lower = head.face.copy()
    lower[:, 1] += np.where(np.abs(head.face[:, 0]) > 0.6, 0.1, 0).astype(np.float32)  # sides that lie further down
    moved = np.linalg.norm(head.bent(lower).vertices - head.vertices, axis=1)
    behind = head.vertices[:, 2] > 0.8
    assert moved[behind].max() < 0.03 and moved.max() > 0.07


def cap_and_ears() -> tuple[np.ndarray, Tensor]:
    """Return the matte and the picture of a head with red hair, that ends above green ears."""
    rows = np.arange(SIDE)[:, None] + 0.5
    ears = np.maximum.reduce([cv2.circle(np.zeros((SIDE, SIDE), np.float32), (x, 250), 22, 1, -1) for x in (140, 372)])
    hair = ellipse(*HEAD) * (rows < 228)
    face = ellipse(0.88 * HEAD[0], 0.98 * HEAD[1])
    colours = np.full((SIDE, SIDE, 3), (0.1, 0.1, 0.9), np.float32)
    for part, colour in ((hair, (0.9, 0.1, 0.1)), (ears, (0.1, 0.9, 0.1)), (face * (rows > 160), (0.6, 0.6, 0.6))):
        colours[part > 0.5] = colour
    return np.maximum.reduce([hair, ears, face]), torch.from_numpy(colours).permute(2, 0, 1)[None]


@pytest.mark.parametrize("yaw", [-35, 35])
def test_behind_an_ear_that_turns_into_view_there_is_hair(yaw: float, face_state: Mapping[str, Tensor]) -> None:
    matte, picture = cap_and_ears()
    figure = Figure(face_state, matte, picture)
    shown = figure.show(figure.turned(yaw=yaw))[0, :, 232:262]  # beside the ears, below the hair
    red = (shown[0] - shown[1:].amax(0) > 0.15).numpy()
    side = red[:, MIDDLE:] if yaw < 0 else red[:, :MIDDLE]
    assert side.sum() > 22


@pytest.mark.parametrize("held_yaw", [-35, 35])
def test_where_a_head_has_no_back_no_hair_lies_on_its_edge(held_yaw: float, face_state: Mapping[str, Tensor]) -> None:
    """It would shine through as a line beside the cheek."""
    matte, picture = cap_and_ears()
    shell = Figure(face_state, matte, picture, held_yaw=held_yaw).source.warp._shell
    edge = shell.places[FOLD]
    flat = np.abs(shell.back - edge).max((0, 2)) < 0.05
    assert flat.any()
    shown = np.abs(shell.back_xy - (edge[:, :2] + shell.inset[FOLD]))[:, flat].max()
    assert shown < 0.1, shown


@pytest.mark.parametrize("held_yaw", [-35, -30])
def test_no_line_runs_along_the_cheek_that_hid_the_far_half(held_yaw: float, face_state: Mapping[str, Tensor]) -> None:
    """The edge of the cheek is mixed with what lies behind it: once the head turns a little, it lies on the face."""
    smaller = cv2.erode(face_and_neck(face_state, held_yaw), np.ones((11, 11)))
    matte = np.asarray(cv2.GaussianBlur(smaller, (0, 0), 1.5), np.float32)
    figure = Figure(face_state, matte, red_before_blue(matte), held_yaw=held_yaw)
    state = figure.turned(yaw=6)
    points = state.keypoints[0, :, :2].numpy() * WIDE + MIDDLE
    cheek = np.s_[int(points[:, 1].min()) + 25 : int(points[:, 1].max()) - 25, : int(points[:, 0].mean())]
    red = figure.show(state)[0, 0].numpy()[cheek]
    dip = (np.maximum.accumulate(red, 1) - red).max(1)  # from the wall to the middle of the face, it only gets redder
    assert np.ptp(red) > 0.7 and dip.mean() < 0.1


def test_few_vertices_keep_the_shape() -> None:
    """A ball of many triangles is a ball of fewer."""
    around, up = np.meshgrid(np.linspace(0, 2 * np.pi, 200, endpoint=False), np.linspace(0.02, np.pi - 0.02, 100))
    ball = np.stack([np.sin(up) * np.cos(around), np.cos(up), np.sin(up) * np.sin(around)], -1).reshape(-1, 3)
    index = np.arange(len(ball)).reshape(100, 200)
    beside = np.roll(index, -1, 1)
    triangles = np.concatenate(
        [
            np.stack([index[:-1], beside[:-1], index[1:]], -1).reshape(-1, 3),
            np.stack([beside[:-1], beside[1:], index[1:]], -1).reshape(-1, 3),
        ]
    )
    light = lighten(Surface(ball, triangles))
    assert len(light.vertices) < len(ball) / 5
    assert np.abs(np.linalg.norm(light.vertices, axis=1) - 1).max() < CELL / 2
    corners = light.vertices[light.triangles]
    area = np.linalg.norm(np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0]), axis=1).sum() / 2
    assert area == pytest.approx(4 * np.pi, rel=0.08)

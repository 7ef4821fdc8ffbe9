"""Eyelids: that shut eyes are seen shut and open ones open, and that nothing else of the mesh changes."""

from __future__ import annotations

import math
from functools import cache
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from vid2vid_cli.arrays import Frame, Points
from vid2vid_cli.face.eyenet import EyeNet
from vid2vid_cli.face.eyes import LOOPS, RINGS, far_side_trust, fit_eyes, move_lids
from vid2vid_cli.face.mesh import FaceAnalyzer, roi_from_landmarks
from vid2vid_cli.face.square import Square, crop_square
from vid2vid_cli.media.video import read_video

WINK = "d03_woman_expressions_audio.mp4", 10


@cache
def frame_of(media_dir: Path, name: str, number: int) -> Frame:
    return next(islice(read_video(media_dir / "drivings" / name), number, None))


def apertures(mesh: Points) -> tuple[float, float]:
    """Give how far the person's right and left eye are open, as a part of their width."""
    pairs = ((159, 145, 33, 133), (386, 374, 362, 263))
    distances = [[float(np.linalg.norm(mesh[a, :2] - mesh[b, :2])) for a, b in (p[:2], p[2:])] for p in pairs]
    return distances[0][0] / distances[0][1], distances[1][0] / distances[1][1]


def mesh_without_lids(analyzer: FaceAnalyzer, frame: Frame) -> Points:
    """Lay the bare mesh network's answer (1, 468, 3) on the largest face."""
    roi = roi_from_landmarks(max(analyzer.faces(frame), key=lambda face: face.size_px).landmarks_px)
    size = analyzer.mesh_net.image_size
    image = torch.from_numpy(crop_square(frame, roi, size).copy()).permute(2, 0, 1)[None].float() / 255
    with torch.inference_mode():
        mesh = analyzer.mesh_net(image)[0][0].numpy() / size
    return roi.mesh_to_frame(mesh)[None]


def fit(net: EyeNet, frame: Frame, meshes: Points) -> Points:
    with torch.inference_mode():
        return fit_eyes(net, frame, meshes)[:, :468]


@pytest.mark.parametrize(
    ("name", "number", "eyes"),
    [
        ("d08_man_dreadlocks_12fps.mp4", 21, ("open", "open")),
        ("d08_man_dreadlocks_12fps.mp4", 27, ("shut", "shut")),
        ("d08_man_dreadlocks_12fps.mp4", 32, ("open", "open")),
        ("d12_woman_hand_over_face_audio.mp4", 90, ("shut", "shut")),
        ("d12_woman_hand_over_face_audio.mp4", 94, ("shut", "shut")),
        (*WINK, ("open", "squeezed")),
    ],
)
def test_shut_eyes_are_seen_shut_and_open_ones_open(
    face_analyzer: FaceAnalyzer, media_dir: Path, name: str, number: int, eyes: tuple[str, str]
) -> None:
    (face,) = face_analyzer.faces(frame_of(media_dir, name, number))
    limits = {"open": (0.26, 0.5), "shut": (0.0, 0.1), "squeezed": (0.0, 0.2)}
    for aperture, state in zip(apertures(face.landmarks_px), eyes, strict=True):
        assert limits[state][0] <= aperture <= limits[state][1], state


@pytest.mark.parametrize("name", ["s01", "s05", "s06", "s08", "s12", "s15", "s25", "s27"])
def test_open_eyes_of_paintings_statues_and_behind_glasses_stay_open(
    face_analyzer: FaceAnalyzer, media_dir: Path, name: str
) -> None:
    path = next((media_dir / "sources").glob(f"{name}*"))
    (face,) = face_analyzer.faces(np.array(Image.open(path).convert("RGB")), thorough=True)
    assert min(apertures(face.landmarks_px)) > 0.2


def test_only_lids_and_the_skin_around_move_and_never_in_depth(face_analyzer: FaceAnalyzer, media_dir: Path) -> None:
    frame = frame_of(media_dir, "d08_man_dreadlocks_12fps.mp4", 27)
    before = mesh_without_lids(face_analyzer, frame)
    after = fit(face_analyzer.eye_net, frame, before)
    may_move = {*LOOPS.ravel().tolist(), *(int(i) for _, ring in RINGS for i in ring.ravel())} - {33, 133, 263, 362}
    moved = np.flatnonzero((after != before)[0].any(axis=1))
    assert {159, 386} <= set(moved.tolist()) <= may_move
    np.testing.assert_array_equal(after[..., 2], before[..., 2])
    assert after[0, 159, 1] - before[0, 159, 1] > 5  # the upper lid came down


def test_a_mirrored_wink_is_winked_with_the_other_eye(
    face_analyzer: FaceAnalyzer, face_state: dict[str, Tensor], media_dir: Path
) -> None:
    frame = frame_of(media_dir, *WINK)
    partner = face_state["face.mirror"].numpy().astype(int)
    meshes = mesh_without_lids(face_analyzer, frame)
    flip, shift = np.array([-1, 1, 1], np.float32), np.array([frame.shape[1], 0, 0], np.float32)
    mirrored = fit(face_analyzer.eye_net, np.ascontiguousarray(frame[:, ::-1]), meshes[:, partner] * flip + shift)
    expected = fit(face_analyzer.eye_net, frame, meshes)
    eye_width = float(np.linalg.norm(expected[0, 33] - expected[0, 133]))
    assert np.abs(mirrored[:, partner] * flip + shift - expected).max() < 0.02 * eye_width
    assert apertures(mirrored[0])[0] < 0.6 * apertures(mirrored[0])[1]


@pytest.mark.parametrize("deg", [90, 180])
def test_a_turned_head_shuts_its_eyes_too(face_analyzer: FaceAnalyzer, media_dir: Path, deg: int) -> None:
    frame = frame_of(media_dir, "d08_man_dreadlocks_12fps.mp4", 27)
    upright = mesh_without_lids(face_analyzer, frame)
    turned = np.ascontiguousarray(np.rot90(frame, deg // 90))
    axes = Square(0, 0, 1, -math.radians(deg)).axes
    centres = [np.array(picture.shape[1::-1]) / 2 for picture in (frame, turned)]
    mesh = upright.copy()
    mesh[..., :2] = (upright[..., :2] - centres[0]) @ axes.T + centres[1]
    assert max(apertures(fit(face_analyzer.eye_net, turned, mesh)[0])) < 0.1


def test_several_meshes_at_once_are_as_one_by_one(face_analyzer: FaceAnalyzer, media_dir: Path) -> None:
    frame = frame_of(media_dir, *WINK)
    mesh = mesh_without_lids(face_analyzer, frame)
    meshes = np.concatenate([mesh, mesh + np.float32(3), mesh * np.float32(1.02)])
    together = fit(face_analyzer.eye_net, frame, meshes)
    alone = np.concatenate([fit(face_analyzer.eye_net, frame, one[None]) for one in meshes])
    np.testing.assert_allclose(together, alone, atol=1e-2)


def test_only_the_far_eye_of_a_turned_head_is_not_trusted() -> None:
    def trusts(yaw_deg: float) -> tuple[float, float]:
        mesh = np.zeros((468, 3))
        mesh[263] = math.cos(math.radians(yaw_deg)), 0, math.sin(math.radians(yaw_deg))  # its left eye is farther
        return far_side_trust(mesh, 0), far_side_trust(mesh, 1)

    assert trusts(25) == (1, 1)
    assert trusts(50) == (1, 0)
    assert trusts(-50) == (0, 1)
    rising = [trusts(yaw)[1] for yaw in range(30, 46)]
    assert max(np.abs(np.diff(rising))) < 0.15  # no jump


@pytest.mark.parametrize(("away", "moves"), [(0.0, True), (0.5, False)])
def test_a_contour_seen_elsewhere_is_not_taken_over(away: float, moves: bool) -> None:
    angle = np.linspace(math.pi, 3 * math.pi, 17)[[0, 15, 14, 13, 12, 11, 10, 9, 8, 1, 2, 3, 4, 5, 6, 7]]
    mesh = np.zeros((468, 3), np.float32)
    mesh[LOOPS[0]] = np.stack([100 + 20 * np.cos(angle), 100 + 6 * np.sin(angle), 0 * angle], axis=1)
    shut = np.stack([100 + away * 40 + 20 * np.cos(angle), np.full(16, 105.0)], axis=1)
    target = mesh.copy()
    move_lids(mesh.astype(np.float64), target, shut, 0)
    assert (np.abs(target - mesh).max() > 5) == moves

"""Geometry against scipy, numpy and identities: a wrong sign here turns every head the wrong way."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from vid2vid_cli.face.crop import CropSpec, FaceCrop, Room, crop_around, crop_frame, sample_affine
from vid2vid_cli.face.frames import to_frame
from vid2vid_cli.face.mesh import face_from_landmarks
from vid2vid_cli.face.paste import feather_mask, paste_face
from vid2vid_cli.geometry.affine import apply_affine, invert_affine
from vid2vid_cli.geometry.keypoints import Similarity, fit_similarity
from vid2vid_cli.geometry.rotation import (
    axis_angle_from_rotation,
    interpolate_rotation,
    pose_from_rotation,
    rotation_from_axis_angle,
    rotation_from_pose,
)

degrees = st.floats(-80, 80, allow_nan=False)


def pose(yaw: float = 0, pitch: float = 0, roll: float = 0) -> torch.Tensor:
    return rotation_from_pose(*(torch.tensor([np.deg2rad(a)], dtype=torch.float64) for a in (yaw, pitch, roll)))


def test_positive_yaw_turns_the_face_to_the_viewers_right() -> None:
    nose = pose(yaw=30)[0] @ torch.tensor([0.0, 0.0, -1.0], dtype=torch.float64)
    assert nose[0] == pytest.approx(0.5) and nose[1] == pytest.approx(0.0)


def test_positive_pitch_lifts_the_chin() -> None:
    nose = pose(pitch=30)[0] @ torch.tensor([0.0, 0.0, -1.0], dtype=torch.float64)
    assert nose[1] == pytest.approx(-0.5) and nose[0] == pytest.approx(0.0)


def test_positive_roll_tilts_the_head_clockwise() -> None:
    crown = pose(roll=30)[0] @ torch.tensor([0.0, -1.0, 0.0], dtype=torch.float64)
    assert crown[0] == pytest.approx(0.5) and crown[1] == pytest.approx(-np.sqrt(0.75))


@given(degrees, degrees, degrees)
def test_pose_and_rotation_invert_each_other(yaw: float, pitch: float, roll: float) -> None:
    rotation = pose(yaw, pitch, roll)
    expected = Rotation.from_euler("ZYX", [roll, -yaw, -pitch], degrees=True).as_matrix()
    np.testing.assert_allclose(rotation[0], expected, atol=1e-12)
    angles = [float(torch.rad2deg(a)) for a in pose_from_rotation(rotation)]
    np.testing.assert_allclose(angles, [yaw, pitch, roll], atol=1e-6)


@given(st.lists(st.floats(-1.7, 1.7, allow_nan=False), min_size=3, max_size=3))
def test_axis_angle_agrees_with_scipy(vector: list[float]) -> None:
    rotation = rotation_from_axis_angle(torch.tensor([vector], dtype=torch.float64))
    np.testing.assert_allclose(rotation[0], Rotation.from_rotvec(vector).as_matrix(), atol=1e-9)
    np.testing.assert_allclose(axis_angle_from_rotation(rotation)[0], vector, atol=1e-5)


def test_interpolation_goes_half_way_and_beyond() -> None:
    start, end = pose(yaw=10), pose(yaw=30)
    for amount, expected in ((0.0, 10), (0.5, 20), (1.0, 30), (2.0, 50)):
        yaw = pose_from_rotation(interpolate_rotation(start, end, amount))[0]
        assert float(torch.rad2deg(yaw)) == pytest.approx(expected, abs=1e-4)


@given(degrees, degrees, degrees, st.floats(0.1, 10), st.integers(0, 2**31))
@settings(max_examples=40)
def test_a_similarity_is_found_again(yaw: float, pitch: float, roll: float, scale: float, seed: int) -> None:
    points = torch.from_numpy(np.random.default_rng(seed).normal(size=(1, 12, 3)))
    size, place = torch.tensor([[scale]]).double(), torch.tensor([[0.3, -2.0, 5.0]]).double()
    truth = Similarity(size, pose(yaw, pitch, roll), place)
    found = fit_similarity(points, truth.apply(points), torch.ones(12))
    for value, expected in zip(found, truth, strict=True):
        np.testing.assert_allclose(value, expected, atol=1e-6)
    np.testing.assert_allclose(found.undo(truth.apply(points)), points, atol=1e-6)


def test_weights_make_a_fit_blind_to_what_moves() -> None:
    points = torch.from_numpy(np.random.default_rng(1).normal(size=(1, 20, 3)))
    target = Similarity(torch.tensor([[2.0]]), pose(20), torch.zeros(1, 3).double()).apply(points)
    target[:, 10:] += 3.0
    weights = torch.cat([torch.ones(10), torch.zeros(10)])
    np.testing.assert_allclose(fit_similarity(points, target, weights).rotation, pose(20), atol=1e-9)


def test_a_fit_never_mirrors() -> None:
    points = torch.from_numpy(np.random.default_rng(2).normal(size=(1, 20, 3)))
    mirrored = points * torch.tensor([-1.0, 1.0, 1.0])
    assert torch.det(fit_similarity(points, mirrored, torch.ones(20)).rotation).item() == pytest.approx(1.0)


def test_an_affine_map_and_its_inverse_cancel() -> None:
    matrix = np.array([[1.5, -0.4, 10.0], [0.3, 2.0, -7.0]])
    points = np.random.default_rng(0).normal(size=(5, 3)) * 50
    np.testing.assert_allclose(apply_affine(invert_affine(matrix), apply_affine(matrix, points)), points)
    with pytest.raises(ValueError, match="singular"):
        invert_affine(np.array([[1.0, 2.0, 0.0], [2.0, 4.0, 0.0]]))


def face_at(left: float, top: float, size: float, angle_deg: float = 0.0) -> object:
    rng = np.random.default_rng(0)
    points = rng.uniform(0, 1, (468, 3)) * size
    points[33], points[263] = (0.2 * size, 0.4 * size, 0), (0.8 * size, 0.4 * size, 0)
    angle = np.deg2rad(angle_deg)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points[:, :2] = (points[:, :2] - size / 2) @ turn.T + size / 2 + (left, top)
    return face_from_landmarks(points.astype(np.float32), 1.0)


@pytest.mark.parametrize("planes_first", [True, False])
def test_an_image_is_rounded_to_the_nearest_levels(planes_first: bool) -> None:
    levels = np.arange(256 * 3).reshape(32, 8, 3) % 256
    image = ((levels + np.random.default_rng(0).uniform(-0.49, 0.49, levels.shape)) / 255).astype(np.float32)
    image[0, 0], image[0, 1] = (-0.7, 1.4, -0.001), (1.001, 3, -3)
    levels[0, 0], levels[0, 1] = (0, 255, 0), (255, 255, 0)
    if planes_first:
        image = np.moveaxis(np.ascontiguousarray(np.moveaxis(image, -1, 0)), 0, -1)
    frame = to_frame(image)
    assert frame.flags.c_contiguous
    np.testing.assert_array_equal(frame, levels.astype(np.uint8))


def test_a_native_crop_is_cut_and_pasted_without_loss() -> None:
    frame = np.random.default_rng(0).integers(0, 256, (120, 160, 3), dtype=np.uint8)
    crop = crop_around(face_at(60, 50, 30), CropSpec(scale=2.0), Room(0, 0, 160, 120))
    assert crop.is_native
    cut = crop_frame(frame, crop)
    assert cut.shape[:2] == crop.size and max(crop.size) in (60, 61, 62)
    np.testing.assert_array_equal(paste_face(frame, cut, crop), frame)


def test_a_native_crop_stays_in_its_room() -> None:
    crop = crop_around(face_at(60, 50, 30), CropSpec(scale=4.0), Room(50, 0, 100, 120))
    left, width = crop.affine[0, 2], crop.size[1]
    assert left == 50 and left + width == 100


def test_pasting_blends_only_at_sides_inside_the_frame() -> None:
    frame = np.zeros((100, 100, 3), np.uint8)
    crop = FaceCrop(np.array([[1.0, 0, 0], [0, 1, 0]]), (100, 50))  # left half: only its right side lies inside
    out = paste_face(frame, np.full((100, 50, 3), 200, np.uint8), crop)
    assert (out[:, :45] == 200).all() and (out[:, 50:] == 0).all()
    assert 0 < out[50, 49, 0] < 100


@pytest.mark.parametrize("angle_deg", [0.0, 25.0, -60.0])
def test_an_upright_crop_levels_the_eyes(angle_deg: float) -> None:
    face = face_at(300, 200, 100, angle_deg)
    crop = crop_around(face, CropSpec(scale=1.5, upright=True, size=64), Room(0, 0, 900, 700))
    eyes = crop.to_crop(face.landmarks_px[[33, 263]])  # type: ignore[attr-defined]
    assert eyes[0, 1] == pytest.approx(eyes[1, 1], abs=1e-3) and eyes[0, 0] < eyes[1, 0]
    assert eyes[:, :2].min() > 0 and eyes[:, :2].max() < 64


def test_a_turned_crop_pastes_back_where_it_came_from() -> None:
    y, x = np.mgrid[:240, :320]
    frame = np.stack([x * 0.7, y, 128 + 60 * np.sin(x / 25)], -1).clip(0, 255).astype(np.uint8)
    crop = crop_around(face_at(100, 80, 70, 20), CropSpec(1.6, upright=True, size=128), Room(0, 0, 320, 240))
    back = paste_face(frame, crop_frame(frame, crop), crop)
    assert np.abs(back.astype(int) - frame).mean() < 0.5
    changed = paste_face(frame, np.zeros((128, 128, 3), np.uint8), crop)
    middle = crop.affine @ (64, 64, 1)
    assert changed[int(middle[1]), int(middle[0])].max() == 0 and (changed[0] == frame[0]).all()


def test_shrinking_averages_instead_of_skipping() -> None:
    checkers = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)[..., None].repeat(3, 2)
    small = sample_affine(checkers, np.array([[4.0, 0, 0], [0, 4.0, 0]]), (16, 16))
    assert np.abs(small[2:-2, 2:-2].astype(int) - 127).max() <= 2


def test_a_feather_is_whole_inside_and_nothing_at_the_border() -> None:
    mask = feather_mask((50, 100))
    assert mask[25, 50] == 1 and mask[0].max() == 0 and mask[:, -1].max() == 0

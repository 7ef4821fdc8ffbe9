"""Finding faces, laying meshes on them, and following one through a video."""

from __future__ import annotations

import math
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from vid2vid_cli.arrays import Frame, Points
from vid2vid_cli.face.detector import FaceBox, FaceDetector
from vid2vid_cli.face.mesh import Face, FaceAnalyzer, FaceTracker, Select, roi_from_landmarks, select_face
from vid2vid_cli.face.sampling import sample_linear
from vid2vid_cli.face.square import Square, crop_square
from vid2vid_cli.media.video import read_video


def still(media_dir: Path, name: str) -> Frame:
    path = next((media_dir / "sources").glob(f"{name}*"))
    return np.array(ImageOps.exif_transpose(Image.open(path)).convert("RGB"))


def gap(ours: Points, expected: Points) -> float:
    """Give the mean distance of landmarks in the picture, as a part of the face's width."""
    return float(np.linalg.norm(ours[:, :2] - expected[:, :2], axis=1).mean() / np.ptp(expected[:, 0]))


def track(analyzer: FaceAnalyzer, path: Path, select: Select = "largest") -> list[Face | None]:
    tracker = FaceTracker(analyzer, select)
    return [tracker.update(frame) for frame in read_video(path)]


@pytest.mark.parametrize("angle_deg", [0, 30, -120])
def test_a_square_samples_the_points_that_it_maps_to(angle_deg: float) -> None:
    y, x = np.mgrid[:200, :200]
    frame = np.stack([x, y, np.zeros_like(x)], axis=-1).astype(np.uint8)
    square = Square(100, 90, 80, math.radians(angle_deg))
    sampled = crop_square(frame, square, 40)
    centres = (np.stack(np.meshgrid(np.arange(40), np.arange(40)), axis=-1) + 0.5) / 40
    expected = square.to_frame(centres) - 0.5  # the value of a pixel is its index, its centre is half a px further
    assert np.abs(sampled[..., :2] - expected).max() < 1.5  # values are whole numbers


def test_a_square_beyond_the_frame_repeats_the_border_or_is_black() -> None:
    frame = np.full((50, 60, 3), 200, np.uint8)
    square = Square(60, 50, 40)
    assert crop_square(frame, square, 20).min() == 200
    outside = crop_square(frame, square, 20, repeat_edge=False)
    assert outside[:9, :9].min() == 200
    assert outside[12:].max() == 0


def test_shrinking_averages_instead_of_skipping() -> None:
    stripes = np.zeros((512, 512, 3), np.uint8)
    stripes[:, ::2] = 255
    small = crop_square(stripes, Square(256, 256, 400), 64)
    assert np.abs(small.astype(int) - 127).max() < 25


def test_the_region_of_a_face_turns_and_grows_with_it() -> None:
    points = np.random.default_rng(0).normal(0, 20, (468, 3)).astype(np.float32)
    points[33], points[263] = (-15, 0, 0), (15, 0, 0)
    before = roi_from_landmarks(points)
    turn = Square(0, 0, 1, math.radians(70)).axes
    moved = np.concatenate([points[:, :2] @ turn.T * 2 + (300, 100), points[:, 2:]], axis=1).astype(np.float32)
    after = roi_from_landmarks(moved)
    assert after.angle_rad == pytest.approx(math.radians(70), abs=1e-4)
    assert after.size_px == pytest.approx(2 * before.size_px, rel=1e-4)
    centre = turn @ (before.x_px, before.y_px) * 2 + (300, 100)
    assert (after.x_px, after.y_px) == pytest.approx(tuple(centre), abs=1e-2)


def test_a_group_of_29_is_found(face_analyzer: FaceAnalyzer, media_dir: Path) -> None:
    faces = face_analyzer.faces(still(media_dir, "s22"), thorough=True)
    assert 25 <= len(faces) <= 29
    middles = [face.center_px[0] for face in faces]
    assert middles == sorted(middles)


@pytest.mark.parametrize(
    ("name", "count"),
    [("s03", 1), ("s04", 1), ("s13", 1), ("s18", 1), ("s19", 1), ("s20", 2), ("s21", 3), ("s25", 1), ("s28", 1)],
)
def test_statues_cartoons_profiles_groups_and_tiny_faces(
    face_analyzer: FaceAnalyzer, media_dir: Path, name: str, count: int
) -> None:
    assert len(face_analyzer.faces(still(media_dir, name), thorough=True)) == count


def test_no_face_is_found_where_there_is_none(face_analyzer: FaceAnalyzer, media_dir: Path) -> None:
    assert face_analyzer.faces(still(media_dir, "s23"), thorough=True) == []
    for frame in islice(read_video(media_dir / "bad" / "b13_no_face.mp4"), 20, 34, 2):  # where clouds look most alive
        assert face_analyzer.faces(frame, thorough=True) == []
    assert face_analyzer.faces(np.zeros((1, 1, 3), np.uint8), thorough=True) == []


@pytest.mark.parametrize("deg", [45, -45, 90, 135])
def test_a_turned_picture_gives_turned_landmarks(face_analyzer: FaceAnalyzer, media_dir: Path, deg: int) -> None:
    frame = still(media_dir, "s08")
    upright = face_analyzer.faces(frame, thorough=True)[0].landmarks_px[:, :2]
    turned = np.array(Image.fromarray(frame).rotate(deg, expand=True, resample=Image.Resampling.BICUBIC))
    (face,) = face_analyzer.faces(turned, thorough=True)
    axes = Square(0, 0, 1, -math.radians(deg)).axes  # the picture library turns anticlockwise
    expected = (upright - np.array(frame.shape[1::-1]) / 2) @ axes.T + np.array(turned.shape[1::-1]) / 2
    assert np.linalg.norm(face.landmarks_px[:, :2] - expected, axis=1).mean() < 0.03 * np.ptp(upright[:, 0])


def test_a_face_that_fills_the_frame_is_found_in_place(face_analyzer: FaceAnalyzer, media_dir: Path) -> None:
    frame = still(media_dir, "s27")
    (whole,) = face_analyzer.faces(frame)
    left, top, right, bottom = map(int, whole.box)
    (cut,) = face_analyzer.faces(frame[top:bottom, left:right], thorough=True)
    assert gap(cut.landmarks_px + np.array([left, top, 0]), whole.landmarks_px) < 0.05


def test_size_of_the_picture_does_not_matter(face_analyzer: FaceAnalyzer, media_dir: Path) -> None:
    frame = still(media_dir, "s24")
    (large,) = face_analyzer.faces(frame)
    (small,) = face_analyzer.faces(np.array(Image.fromarray(frame).reduce(8)))
    assert gap(small.landmarks_px * 8, large.landmarks_px) < 0.02
    depths = np.ptp(small.landmarks_px[:, 2]) * 8, np.ptp(large.landmarks_px[:, 2])
    assert depths[0] == pytest.approx(depths[1], rel=0.1)


def test_several_regions_at_once_are_as_one_by_one(face_analyzer: FaceAnalyzer, media_dir: Path) -> None:
    frame = still(media_dir, "s21")
    rois = [roi_from_landmarks(face.landmarks_px) for face in face_analyzer.faces(frame)]
    landmarks, scores = face_analyzer.landmarks(frame, rois)
    assert landmarks.shape == (3, 470, 3)
    for i, roi in enumerate(rois):
        one, score = face_analyzer.landmarks(frame, [roi])
        np.testing.assert_allclose(one[0], landmarks[i], atol=1e-2)
        np.testing.assert_allclose(score[0], scores[i], atol=1e-4)
    assert face_analyzer.landmarks(frame, [])[0].shape == (0, 470, 3)


def test_nose_is_nearer_than_cheeks_and_eyes_are_where_they_belong(
    face_analyzer: FaceAnalyzer, media_dir: Path
) -> None:
    (face,) = face_analyzer.faces(still(media_dir, "s16"))
    points = face.landmarks_px
    assert points[1, 2] < points[[234, 454], 2].min()  # z points away from the camera
    assert points[33, 0] < points[1, 0] < points[263, 0]
    assert points[33, 1] < points[1, 1] < points[13, 1] < points[152, 1]  # eye, nose, lip, chin


def test_tracking_agrees_with_detecting_every_frame(face_analyzer: FaceAnalyzer, media_dir: Path) -> None:
    tracker = FaceTracker(face_analyzer)
    frames = list(islice(read_video(media_dir / "drivings" / "d02_man_wide_turns.mp4"), 0, 120))
    for number, frame in enumerate(frames):
        tracked = tracker.update(frame)
        if number % 15 == 0:
            (found,) = face_analyzer.faces(frame)
            assert tracked is not None
            assert gap(tracked.landmarks_px, found.landmarks_px) < 0.03, number


def test_the_detector_rests_while_a_face_is_followed(face_analyzer: FaceAnalyzer, media_dir: Path) -> None:
    class CountingDetector(FaceDetector):
        calls = 0

        def detect(self, frame: Frame, *, min_score: float = 0.5, thorough: bool = False) -> list[FaceBox]:
            self.calls += 1
            return super().detect(frame, min_score=min_score, thorough=thorough)

    detector = CountingDetector(face_analyzer.detector.short, face_analyzer.detector.full)
    tracker = FaceTracker(FaceAnalyzer(detector, face_analyzer.mesh_net))
    for frame in islice(read_video(media_dir / "drivings" / "d11_man_car_qcif.mp4"), 30):
        assert tracker.update(frame) is not None
    assert detector.calls == 1


def test_a_face_that_leaves_is_lost_and_found_again(face_analyzer: FaceAnalyzer, media_dir: Path) -> None:
    faces = track(face_analyzer, media_dir / "bad" / "b12_face_leaves_one_second.mp4")
    lost = [number for number, face in enumerate(faces) if face is None]
    assert lost == list(range(lost[0], lost[-1] + 1))  # once, not flickering
    assert (lost[0], lost[-1]) == (pytest.approx(60, abs=5), pytest.approx(90, abs=5))
    assert min(face.center_px[0] for face in faces if face) >= 0  # not followed beyond the picture


@pytest.mark.parametrize("index", [0, 1])
def test_neighbours_are_not_swapped(face_analyzer: FaceAnalyzer, media_dir: Path, index: int) -> None:
    faces = track(face_analyzer, media_dir / "bad" / "b14_two_faces.mp4", index)
    sides = {None if face is None else face.center_px[0] > 320 for face in faces}
    assert sides == {bool(index)}


def test_someone_else_is_not_the_lost_face(face_analyzer: FaceAnalyzer, media_dir: Path) -> None:
    tracker = FaceTracker(face_analyzer, select=0)
    frame = next(iter(read_video(media_dir / "bad" / "b14_two_faces.mp4")))
    assert tracker.update(frame) is not None
    frame = frame.copy()
    frame[:, :320] = 90  # the left one is gone
    assert [tracker.update(frame) for _ in range(2)] == [None, None]


def test_nothing_until_a_face_comes(face_analyzer: FaceAnalyzer, media_dir: Path) -> None:
    faces = track(face_analyzer, media_dir / "bad" / "b15_no_face_at_first.mp4")
    first = next(number for number, face in enumerate(faces) if face is not None)
    assert len(faces) * 0.3 < first < len(faces) * 0.9
    assert sum(face is None for face in faces[first:]) <= 2


def test_choosing_among_faces() -> None:
    frame = np.zeros((100, 300, 3), np.uint8)
    points = np.zeros((468, 3), np.float32)
    boxes = [(0, 0, 50, 50), (140, 40, 160, 60), (200, 0, 290, 90)]
    faces = [Face(box, points, 1.0) for box in boxes]
    assert select_face(faces, "largest", frame) is faces[2]
    assert select_face(faces, "center", frame) is faces[1]
    assert select_face(faces, 0, frame) is faces[0]
    assert select_face(faces, 3, frame) is None
    assert select_face([], "largest", frame) is None


@pytest.mark.parametrize(("shrink", "angle"), [(1.0, 0.0), (2.0, 0.3), (3.0, 0.0), (4.4, -0.2)])
def test_a_sample_is_the_mean_around_where_it_lies(shrink: float, angle: float) -> None:
    ramp = np.add.outer(np.arange(70.0) * 1.5, np.arange(80.0) * 1.7)
    frame = np.repeat(np.rint(ramp)[..., None], 3, 2).astype(np.uint8)
    turned = shrink * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    affine = np.column_stack([turned, (39.0, 34.0) - turned @ (5.0, 5.0)])
    sampled = sample_linear(frame, affine, (10, 10))
    y, x = np.mgrid[:10, :10] + 0.5
    places = np.einsum("ij,jhw->ihw", turned, np.stack([x, y])) + affine[:, 2, None, None]
    expected = (places[1] - 0.5) * 1.5 + (places[0] - 0.5) * 1.7
    assert np.abs(sampled[..., 0] - expected).max() < 1.3
    assert abs((sampled[..., 0] - expected).mean()) < 0.5  # half a pixel would make 1.6

"""Angles mean what they say: heads turned by the tool, and read back from its pictures."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from vid2vid_cli.arrays import Frame
from vid2vid_cli.face.frames import image_of
from vid2vid_cli.face.mesh import Face, FaceAnalyzer, face_from_landmarks, roi_from_landmarks
from vid2vid_cli.face.square import Square
from vid2vid_cli.geometry.rotation import pose_from_rotation
from vid2vid_cli.geometry.turning import UNCHANGED, TurnCurve, Turning
from vid2vid_cli.media.image import read_image
from vid2vid_cli.media.video import WriteOptions, open_writer
from vid2vid_cli.models.compact.model import CompactModel
from vid2vid_cli.models.compact.source import own_landmarks
from vid2vid_cli.models.registry import LoadedModel
from vid2vid_cli.motion import PoseOverride
from vid2vid_cli.pipeline.options import RotateOptions
from vid2vid_cli.pipeline.rotate import rotate
from vid2vid_cli.pipeline.turning import Trial, TurnCalibration, steadily_read, unread_yaw

PORTRAIT = Path(__file__).parents[1] / "examples" / "portrait.jpg"
# The bridge and the tip of the nose, the forehead, the corners of the eyes, the temples.
STILL = np.array([1, 4, 6, 168, 10, 151, 33, 133, 362, 263, 127, 356, 234, 454, 54, 284, 103, 332])

pytestmark = pytest.mark.usefixtures("own_folder")


def head_points(frame: Frame, analyzer: FaceAnalyzer) -> NDArray[np.float64]:
    """Return points of the largest face that hardly move with expressions (N, 3), centred, px."""
    face = max(analyzer.faces(frame), key=lambda f: f.size_px)
    points = face.landmarks_px[STILL].astype(np.float64)
    return points - points.mean(0)


def turned_by(before: NDArray[np.float64], after: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return yaw, pitch and roll in degrees of the rotation between points (N, 3) (Kabsch 1976)."""
    u, _, vt = np.linalg.svd(after.T @ before)
    rotation = u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt
    return np.degrees([float(a) for a in pose_from_rotation(torch.from_numpy(rotation)[None])])


def errors(picture: Path, axis: str, model: LoadedModel, analyzer: FaceAnalyzer) -> dict[int, float]:
    """Return how far off each angle asked is in a sweep of `rotate`, in degrees."""
    options = RotateOptions(size=512, force=True, **{axis: "-30:30:10"})
    folder = rotate(picture, f"{axis}/", options, model=model).output
    frames = dict(zip(range(-30, 31, 10), map(read_image, sorted(folder.glob("*.png"))), strict=True))
    rest = head_points(frames.pop(0), analyzer)
    place = ("yaw", "pitch", "roll").index(axis)
    return {angle: turned_by(rest, head_points(frame, analyzer))[place] - angle for angle, frame in frames.items()}


@pytest.mark.parametrize("axis", ["yaw", "pitch", "roll"])
def test_the_example_turns_as_far_as_asked(model: LoadedModel, face_analyzer: FaceAnalyzer, axis: str) -> None:
    off = errors(PORTRAIT, axis, model, face_analyzer)
    assert np.abs(list(off.values())).mean() < 1.2
    assert max(map(abs, off.values())) < 3


@pytest.mark.parametrize(("name", "axis"), [("s24_man_beard_large.jpg", "pitch"), ("s09_painted_man_beard.png", "yaw")])
def test_portraits_that_look_less_turned_than_others_turn_further(
    media_dir: Path, model: LoadedModel, face_analyzer: FaceAnalyzer, name: str, axis: str
) -> None:
    off = errors(media_dir / "sources" / name, axis, model, face_analyzer)
    assert np.abs(list(off.values())).mean() < 2
    assert max(map(abs, off.values())) < 4


def test_the_same_angle_gives_the_same_picture_alone_and_in_a_sweep(model: LoadedModel) -> None:
    rotate(PORTRAIT, "sweep/", RotateOptions(size=128, yaw="-20:20:20"), model=model)
    alone = read_image(rotate(PORTRAIT, "alone.png", RotateOptions(size=128, yaw="20"), model=model).output)
    assert np.array_equal(alone, read_image(sorted(Path("sweep").glob("*.png"))[-1]))


def two_frames(path: Path) -> Path:
    """Write the example as a clip."""
    frame = read_image(PORTRAIT)[:320, :320]
    with open_writer(path, (320, 320), WriteOptions(fps=Fraction(25))) as writer:
        writer.write(frame)
        writer.write(frame)
    return path


def test_a_video_turns_by_one_law_for_all_faces(model: LoadedModel, monkeypatch: pytest.MonkeyPatch) -> None:
    def measured(*_: object) -> None:
        raise AssertionError("a frame of a video was measured")

    monkeypatch.setattr(TurnCalibration, "calibrated", measured)
    clip = rotate(two_frames(Path("clip.mp4")), "v.mp4", RotateOptions(size=96, yaw="10"), model=model)
    assert clip.frames == 2
    with pytest.raises(AssertionError, match="was measured"):
        rotate(PORTRAIT, "p.png", RotateOptions(size=96, yaw="10"), model=model)


class Sitter:
    """The example, as the model keeps it."""

    def __init__(self, model: LoadedModel, analyzer: FaceAnalyzer) -> None:
        assert isinstance(model.model, CompactModel)
        self.model, frame = model.model, read_image(PORTRAIT)
        face = max(analyzer.faces(frame), key=lambda f: f.size_px)
        self.landmarks = torch.from_numpy(face.landmarks_px).float()[None]
        self.source = self.model.appearance(image_of(frame), self.landmarks)


@pytest.fixture(scope="module")
def sitter(model: LoadedModel, face_analyzer: FaceAnalyzer) -> Sitter:
    return Sitter(model, face_analyzer)


def yaw(angle_deg: float) -> PoseOverride:
    return PoseOverride(yaw=torch.tensor([math.radians(angle_deg)]))


def test_only_the_ways_that_are_asked_for_are_measured(sitter: Sitter, face_analyzer: FaceAnalyzer) -> None:
    turns = TurnCalibration(sitter.model, face_analyzer)
    assert turns.calibrated(0, sitter.source, None) is sitter.source
    roll = turns.calibrated(0, sitter.source, PoseOverride(roll=torch.tensor([0.3])))
    assert roll.turning == Turning()
    left = turns.calibrated(0, sitter.source, yaw(-10)).turning
    assert left is not None and left.curves.keys() == {(0, -1)}
    facing = turns.calibrated(0, sitter.source, PoseOverride(pitch=torch.zeros(1), absolute=True)).turning
    assert facing is not None and facing.curves.keys() == {(0, -1), (1, 1), (1, -1)}


def test_without_a_face_to_read_it_turns_as_most_faces_do(sitter: Sitter, face_analyzer: FaceAnalyzer) -> None:
    hidden = sitter.model.appearance(torch.full_like(sitter.source.features["image"], 0.5), sitter.landmarks)
    turned = TurnCalibration(sitter.model, face_analyzer).calibrated(0, hidden, yaw(20))
    assert turned.turning == Turning()
    own = hidden.motion
    keypoints = [sitter.model.drive(source, own, own, yaw(20)).keypoints for source in (hidden, turned)]
    assert torch.equal(*keypoints)


def test_a_smaller_source_is_the_same_head(sitter: Sitter) -> None:
    height, width = sitter.source.features["image"].shape[2:]
    small = sitter.model.smaller(sitter.source, 256)
    assert max(small.features["image"].shape[2:]) == 256
    off_px = (own_landmarks(sitter.source, (height, width)) - sitter.landmarks)[0, :, :2].norm(dim=-1)
    assert off_px.max() < 0.005 * max(height, width)
    angles = [torch.cat(pose_from_rotation(source.motion.rotation)) for source in (small, sitter.source)]
    assert torch.allclose(*angles, atol=0.02)


def test_a_source_turns_exactly_as_far_as_its_curve_says(sitter: Sitter) -> None:
    own = sitter.source.motion
    curve = Turning({(0, 1): TurnCurve((0.0, math.radians(20)), (0.0, math.radians(26)))})
    measured = sitter.model.drive(sitter.model.with_turning(sitter.source, curve), own, own, yaw(20))
    exact = sitter.model.drive(sitter.model.with_turning(sitter.source, UNCHANGED), own, own, yaw(26))
    assert torch.allclose(measured.keypoints, exact.keypoints, atol=1e-5)


def test_a_curve_undoes_what_was_read() -> None:
    turned, shown = [0.4, 0.7], [0.32, 0.5]
    curve = TurnCurve.through(turned, shown, furthest=9)
    assert torch.allclose(curve(torch.tensor([0.0, 0.16, *shown])), torch.tensor([0.0, 0.2, *turned]), atol=1e-6)


@pytest.mark.parametrize("shown", [[0.0, 0.0], [-1.0, 3.0], [2.0, 0.1], [0.3, 0.3], [0.3], [0.35, 0.6]])
def test_no_reading_makes_turns_jump_or_leave_their_bounds(shown: list[float]) -> None:
    curve = TurnCurve.through([0.38, 0.7], shown, furthest=0.8)
    asked = torch.linspace(0, 1.5, 301)
    turned = curve(asked)
    steps = turned[1:] - turned[:-1]
    assert steps.min() >= 0 and steps.max() < 2.5 * 0.005
    assert (turned >= 0.7 * asked - 1e-6).all() and (turned <= 1.5 * asked + 1e-6).all()
    assert (turned <= asked.clamp_min(0.8) + 1e-6).all()


def test_what_the_mesh_does_not_read_of_profiles_is_added() -> None:
    """Up to 35 degrees a yaw counts as it is read; the last ones before profiles count more, and none counts less."""
    read = np.radians(np.arange(0, 59, 1.0))
    counted = np.degrees([angle + unread_yaw(angle) for angle in read])
    assert np.allclose(counted[:36], np.arange(36), atol=0.1)
    assert 0.2 < counted[44] - 44 < 1 and 7 < counted[54] - 54 < 9 and (np.diff(counted) > 0.9).all()
    assert unread_yaw(-0.9) == -unread_yaw(0.9)


def test_a_head_that_looks_aside_is_read_nearer_to_where_it_is(sitter: Sitter, face_analyzer: FaceAnalyzer) -> None:
    own = sitter.source.motion
    aside = sitter.model.drive(sitter.source, own, own, yaw(-25))
    turned = replace(sitter.source, motion=replace(own, rotation=aside.head.rotation))
    trial = Trial(sitter.model, face_analyzer, turned)
    away, back = (np.degrees(trial.angles((0, sign))) for sign in (-1, 1))
    assert 29.9 < away[2] < 38 and away[1] == (10 + away[2]) / 2
    assert np.allclose(back, [10, 25, 40])


class Wavering:
    """Reads a face too far right and too far left in turn, and nothing without a picture."""

    def __init__(self, face: Face) -> None:
        self.face, self.squares = face, list[Square]()

    def mesh_faces(self, frame: Frame, squares: list[Square]) -> list[Face]:
        self.squares = squares if frame.size else []
        wrong = [np.float32([(-1) ** number * 5, 0, 0]) for number in range(len(self.squares))]
        return [replace(self.face, landmarks_px=self.face.landmarks_px + off) for off in wrong]


def test_a_face_is_read_in_several_squares_whose_mistakes_cancel(sitter: Sitter) -> None:
    face = face_from_landmarks(sitter.landmarks[0].numpy(), 1.0)
    wavering = Wavering(face)
    steady = steadily_read(cast(FaceAnalyzer, wavering), np.zeros((8, 8, 3), np.uint8), face)
    assert np.allclose(steady.landmarks_px, face.landmarks_px, atol=1e-3)
    assert len(set(wavering.squares)) == 4 and wavering.squares[0] == roi_from_landmarks(face.landmarks_px)
    assert steadily_read(cast(FaceAnalyzer, wavering), np.zeros((0, 0, 3), np.uint8), face) is face


def test_every_picture_of_a_trial_is_read_steadily(
    sitter: Sitter, face_analyzer: FaceAnalyzer, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Face] = []

    def watched(analyzer: FaceAnalyzer, frame: Frame, face: Face) -> Face:
        read.append(face)
        return steadily_read(analyzer, frame, face)

    monkeypatch.setattr("vid2vid_cli.pipeline.turning.steadily_read", watched)
    readings = Trial(sitter.model, face_analyzer, sitter.source).readings((0, 1))
    assert len(readings) == 3 and len(read) == 4  # one of them at rest
    assert all(abs(math.degrees(angle) - asked) < 9 for angle, asked in zip(readings, (10, 25, 40), strict=True))

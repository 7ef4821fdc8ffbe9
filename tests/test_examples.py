"""The bundled examples do what the demo needs."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from vid2vid_cli.face.mesh import Face, FaceTracker
from vid2vid_cli.geometry.rotation import pose_from_rotation
from vid2vid_cli.media.image import read_image
from vid2vid_cli.media.video import Frame, ReadOptions, probe_video, read_mark, read_video
from vid2vid_cli.models.registry import load_face_analyzer, load_model
from vid2vid_cli.pipeline.driving.motion_reader import ReaderSetup
from vid2vid_cli.pipeline.driving.opening import open_driving
from vid2vid_cli.pipeline.engine import start_engine
from vid2vid_cli.pipeline.options import ReenactOptions

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
PORTRAIT, DRIVING = EXAMPLES / "portrait.jpg", EXAMPLES / "driving.mp4"
# Mesh points: middle of the lips' inner edges, corners of the right eye, middles of the lids of both eyes.
UPPER_LIP, LOWER_LIP, EYE_CORNERS, LIDS = 13, 14, (33, 133), ((159, 145), (386, 374))


@pytest.fixture(scope="module")
def frames() -> list[Frame]:
    return list(read_video(DRIVING))


@pytest.fixture(scope="module")
def faces(frames: list[Frame]) -> list[Face | None]:
    """Track the face of the driving clip; None for a frame without one."""
    tracker = FaceTracker(load_face_analyzer())
    return [tracker.update(frame) for frame in frames]


def test_portrait_has_one_large_face() -> None:
    frame = read_image(PORTRAIT)
    (face,) = load_face_analyzer().faces(frame, thorough=True)
    assert frame.shape == (512, 512, 3)
    assert face.size_px > 100


def test_driving_is_short_small_and_has_sound() -> None:
    info = probe_video(DRIVING)
    assert (info.height, info.width, info.fps, info.frame_count) == (512, 512, 25, 120)
    assert info.has_audio
    assert DRIVING.stat().st_size < 500_000


def test_driving_is_marked_as_synthetic() -> None:
    mark = read_mark(DRIVING)
    assert mark is not None and mark.startswith("synthetic media")


def test_driving_has_a_face_in_every_frame(faces: list[Face | None]) -> None:
    assert len(faces) == 120
    assert [index for index, face in enumerate(faces) if face is None] == []


def test_driving_talks(faces: list[Face | None]) -> None:
    points = np.stack([face.landmarks_px for face in faces if face is not None])
    eye_px = np.linalg.norm(points[:, EYE_CORNERS[0]] - points[:, EYE_CORNERS[1]], axis=1)
    mouth = np.linalg.norm(points[:, LOWER_LIP] - points[:, UPPER_LIP], axis=1) / eye_px
    openings = sum(1 for before, now in itertools.pairwise(mouth > 0.12) if now and not before)
    assert mouth[0] < 0.05
    assert mouth.max() > 0.25
    assert openings >= 4


def test_driving_blinks_three_times(frames: list[Frame], faces: list[Face | None]) -> None:
    redness = np.array([eye_redness(frame, face) for frame, face in zip(frames, faces, strict=True) if face])
    # The iris is grey, a closed lid has the colour of skin.
    closed = redness > (redness.min() + redness.max()) / 2
    blinks = [index for index, (before, now) in enumerate(itertools.pairwise(closed), 1) if now and not before]
    assert len(blinks) == 3
    assert closed.sum() < 20


def eye_redness(frame: Frame, face: Face) -> float:
    """Return red less blue in the middle of both eyes."""
    middles = [face.landmarks_px[list(lids), :2].mean(0).round().astype(int) for lids in LIDS]
    patches = [frame[y - 3 : y + 4, x - 3 : x + 4].astype(float) for x, y in middles]
    return float(np.mean([patch[..., 0] - patch[..., 2] for patch in patches]))


def test_driving_turns_the_head_both_ways_and_begins_at_rest() -> None:
    engine = start_engine(ReenactOptions(), load_model())
    look = ReaderSetup(engine.loaded.model, engine.analyzer, "largest", engine.device)
    driven = open_driving(DRIVING, ReadOptions(), look).frames()
    yaw_deg = np.array([np.degrees(float(pose_from_rotation(frame.motion.rotation)[0])) for frame in driven])
    turned = yaw_deg - yaw_deg[0]
    assert 10 < turned.max() < 25
    assert -25 < turned.min() < -10
    assert abs(turned[-1]) < 4

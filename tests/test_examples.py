"""The bundled examples do what the demo needs."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from vid2vid_cli.arrays import Points
from vid2vid_cli.face.mesh import Face, FaceTracker
from vid2vid_cli.geometry.rotation import pose_from_rotation
from vid2vid_cli.media.image import read_image
from vid2vid_cli.media.video import Frame, ReadOptions, probe_video, read_mark, read_video
from vid2vid_cli.models.registry import load_face_analyzer, load_model
from vid2vid_cli.pipeline.driving.motion_reader import ReaderSetup
from vid2vid_cli.pipeline.driving.opening import open_driving
from vid2vid_cli.pipeline.engine import start_engine
from vid2vid_cli.pipeline.options import ReenactOptions

Track = NDArray[np.float32]  # (T,), a number for each frame

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
PORTRAIT, DRIVING = EXAMPLES / "portrait.jpg", EXAMPLES / "driving.mp4"
# Mesh points: middle of the lips' inner edges, corners of the mouth and of the right eye, outer corners of both eyes,
# middles of the lids of both eyes, middles and heads of the eyebrows.
UPPER_LIP, LOWER_LIP, MOUTH_CORNERS, EYE_CORNERS, OUTER_CORNERS = 13, 14, (61, 291), (33, 133), (33, 263)
LIDS, BROWS, BROW_HEADS = ((159, 145), (386, 374)), (105, 334), (55, 285)


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
    assert face.size_px > 200


def test_driving_is_short_small_and_has_sound() -> None:
    info = probe_video(DRIVING)
    assert (info.height, info.width, info.fps, info.frame_count) == (512, 512, 25, 120)
    assert info.has_audio
    assert DRIVING.stat().st_size < 400_000


def test_driving_is_marked_as_synthetic() -> None:
    mark = read_mark(DRIVING)
    assert mark is not None and mark.startswith("synthetic media")


def test_driving_has_a_face_in_every_frame(faces: list[Face | None]) -> None:
    assert len(faces) == 120
    assert [index for index, face in enumerate(faces) if face is None] == []
    assert min(face.size_px for face in faces if face is not None) > 280


@pytest.fixture(scope="module")
def points(faces: list[Face | None]) -> Points:
    """Return the face's points in all frames: (120, 470, 3)."""
    return np.stack([face.landmarks_px for face in faces if face is not None])


def distance(points: Points, one: int, other: int) -> Track:
    """Return how far two points lie apart in the pictures, in distances between the outer corners of the eyes: (T,)."""
    return np.asarray(np.linalg.norm(points[:, one, :2] - points[:, other, :2], axis=1) / span_px(points))


def span_px(points: Points) -> Track:
    return np.asarray(np.linalg.norm(points[:, OUTER_CORNERS[0]] - points[:, OUTER_CORNERS[1]], axis=1))


def begins(track: NDArray[np.bool_]) -> list[int]:
    """Return the frames in which something begins."""
    return [index for index, (before, now) in enumerate(itertools.pairwise(track), 1) if now and not before]


def test_driving_talks(points: Points) -> None:
    mouth = distance(points, LOWER_LIP, UPPER_LIP) / distance(points, *EYE_CORNERS)
    assert mouth[0] < 0.05
    assert mouth[-1] < 0.05
    assert len(begins(mouth > 0.12)) >= 4


def test_driving_is_surprised(points: Points) -> None:
    """The mouth is wide open, a long moment, with raised eyebrows."""
    mouth = distance(points, LOWER_LIP, UPPER_LIP) / distance(points, *EYE_CORNERS)
    wide = mouth > 0.8
    assert len(begins(wide)) == 1
    assert wide.sum() > 8
    brows = distance(points, BROWS[0], EYE_CORNERS[0])
    assert np.median(brows[wide]) > 1.1 * brows[0]


def test_driving_smiles_with_teeth(frames: list[Frame], points: Points) -> None:
    width = distance(points, *MOUTH_CORNERS)
    smiling = width > 1.12 * width[0]
    shown = np.array([brightness_between_lips(frame, face) for frame, face in zip(frames, points, strict=True)])
    assert smiling.sum() > 20
    assert np.median(shown[smiling]) > 140, "white teeth"
    assert shown[0] < 110, "no teeth at rest"


def brightness_between_lips(frame: Frame, face: Points) -> float:
    """Return how light a face (470, 3) is in the middle of its mouth, 0 to 255."""
    x, y = face[[UPPER_LIP, LOWER_LIP], :2].mean(0).round().astype(int)
    return float(frame[y - 2 : y + 3, x - 6 : x + 7].mean())


def test_driving_frowns(points: Points) -> None:
    """The heads of the eyebrows sink: the brows stand steeper."""
    drops_px = points[:, BROW_HEADS, 1] - points[:, BROWS, 1]
    steepness = drops_px.mean(1) / span_px(points)
    assert (steepness > 1.2 * steepness[0]).sum() > 8


def test_driving_blinks_three_times_and_winks(frames: list[Frame], points: Points) -> None:
    redness = np.array([eye_redness(frame, face) for frame, face in zip(frames, points, strict=True)])
    # The iris is grey, a closed lid has the colour of skin.
    closed = redness > (redness.min(0) + redness.max(0)) / 2
    both = closed.all(1)
    assert len(begins(both)) == 3
    assert both.sum() < 20
    winking = closed.any(1) & ~both
    assert winking.sum() >= 5
    assert not winking[[0, -1]].any()


def eye_redness(frame: Frame, face: Points) -> list[float]:
    """Return red less blue in the middle of each eye of a face (470, 3)."""
    middles = [face[list(lids), :2].mean(0).round().astype(int) for lids in LIDS]
    patches = [frame[y - 3 : y + 4, x - 3 : x + 4].astype(float) for x, y in middles]
    return [float(np.mean(patch[..., 0] - patch[..., 2])) for patch in patches]


def test_driving_turns_the_head_both_ways_nods_and_begins_at_rest() -> None:
    engine = start_engine(ReenactOptions(), load_model())
    look = ReaderSetup(engine.loaded.model, engine.analyzer, "largest", engine.device)
    driven = open_driving(DRIVING, ReadOptions(), look).frames()
    poses_deg = np.degrees([[float(angle) for angle in pose_from_rotation(frame.motion.rotation)] for frame in driven])
    turned, nodded, _ = (poses_deg - poses_deg[0]).T
    assert 10 < turned.max() < 25
    assert -25 < turned.min() < -10
    assert nodded.max() > 4
    assert nodded.min() < -4
    assert abs(turned[-1]) < 4
    assert abs(nodded[-1]) < 4

"""Where the driving is the person whom pictures show, its frame tells how its own mesh misses the face."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support.faces import face_picture
from vid2vid_cli.arrays import Frame, Points
from vid2vid_cli.evaluation.performers import Performer, Portrait
from vid2vid_cli.face.mesh import Face, FaceAnalyzer, face_from_landmarks
from vid2vid_cli.geometry.rotation import rotation_from_pose
from vid2vid_cli.media.video import probe_video, read_video
from vid2vid_cli.models.compact.driver import Driver
from vid2vid_cli.models.compact.frame_fit import FrameFit
from vid2vid_cli.models.compact.known_person import KnownPerson
from vid2vid_cli.models.compact.model import CompactModel
from vid2vid_cli.models.compact.motion_layout import POINTS
from vid2vid_cli.models.compact.view_tone import UPRIGHT, FacePicture
from vid2vid_cli.models.compact.views import DRIFT, ChosenViews
from vid2vid_cli.models.compact.wrinkles import TEXEL, DrivingLook, SkinTexture
from vid2vid_cli.motion import Motion, blend_motion
from vid2vid_cli.pipeline.engine import Engine, start_engine
from vid2vid_cli.pipeline.options import EngineOptions

MISSED = 1.2  # texels by which a mesh lies too low
OWN = np.array([[1.0]])
FRAMES = (0, 25, 60)  # of a clip: the source, another picture, and the driving


@pytest.fixture(scope="module")
def seen(media_dir: Path, face_analyzer: FaceAnalyzer) -> FacePicture:
    return face_picture(media_dir / "sources" / "s27_ai_woman.png", face_analyzer)


def texture(compact: CompactModel, face: FacePicture, lower_texels: float = 0.0) -> SkinTexture:
    """Return the skin of a face whose mesh lies too low."""
    points = face.points_px + np.array([0, lower_texels * TEXEL * face.unit_px, 0], np.float32)
    return compact.skin.take(face.picture, points, UPRIGHT)


@pytest.fixture(scope="module")
def fit(compact: CompactModel, seen: FacePicture) -> FrameFit:
    everywhere = np.ones((1, POINTS), np.float32)
    return FrameFit.of(compact.skin, [texture(compact, seen)], np.zeros((1, POINTS, 2), np.float32), everywhere)


def test_a_frame_tells_how_its_mesh_misses_the_face(compact: CompactModel, fit: FrameFit, seen: FacePicture) -> None:
    told = np.concatenate([compact.topology.inner_lips, compact.topology.eyes.ravel()])
    moved = fit.moved(OWN, texture(compact, seen, MISSED))[told]
    assert np.linalg.norm(moved - (0, -MISSED), axis=1).mean() < 0.5 * MISSED
    assert np.abs(fit.moved(OWN, texture(compact, seen))).max() < 0.05


def test_motion_counts_from_rest_and_so_does_what_a_mesh_misses(
    compact: CompactModel, fit: FrameFit, seen: FacePicture
) -> None:
    frame, rest = texture(compact, seen, MISSED), texture(compact, seen, MISSED)
    assert np.abs(fit.since_rest(OWN, frame, rest)).max() < 0.05
    assert np.abs(fit.since_rest(OWN, frame, None)).max() > 0.5 * MISSED


def test_another_frame_of_a_source_clip_counts_from_its_own_mesh(
    compact: CompactModel, fit: FrameFit, seen: FacePicture
) -> None:
    own = fit.moved(OWN, texture(compact, seen, MISSED))
    later = fit.of_source(compact.skin, texture(compact, seen, MISSED), own)
    lips = compact.topology.inner_lips
    assert np.abs(later.moved(OWN, texture(compact, seen, MISSED))[lips]).mean() < 0.25
    assert later.moved(OWN, texture(compact, seen))[lips, 1].mean() == pytest.approx(MISSED, abs=0.5)


def test_drift_is_how_far_a_face_lies_from_what_is_drawn_on_its_head() -> None:
    rotation = rotation_from_pose(*(torch.tensor([angle]) for angle in (0.3, 0.1, 0.05)))
    read = Motion(rotation, torch.zeros(1, 3), torch.full((1, 1), 0.4), torch.zeros(1, POINTS + 1, 3))
    higher = replace(read, expression=read.expression - torch.tensor([0.0, 3 * TEXEL, 0.0]))
    driver = Driver(DrivingLook(None, motion=read), None, higher)
    assert np.allclose(driver.drift(), (0, 3), atol=1e-3)
    elsewhere = replace(read, translation=read.translation + 0.1, rotation=torch.eye(3)[None])
    assert not replace(driver, drawn=elsewhere).drift().any()


def test_a_mouth_that_is_asked_to_open_less_is_not_drawn_as_open_as_the_frames(compact: CompactModel) -> None:
    """A fifth less of a jaw that drops is more than smoothing; a hundredth is not."""
    names = compact.expression_names
    weights = torch.zeros(1, len(names))
    weights[0, names.index("jawOpen")] = 0.8
    rotation = rotation_from_pose(*torch.zeros(3, 1))
    opened, shut = compact.motion_of(weights, rotation), compact.motion_of(torch.zeros_like(weights), rotation)
    chin = []
    for strength in (0.8, 0.99):
        driver = Driver(DrivingLook(None, motion=opened), None, blend_motion(shut, opened, strength))
        chin.append(float(np.linalg.norm(driver.drift()[17])))
    assert chin[0] > DRIFT[1] and chin[1] < DRIFT[0]


@dataclass(frozen=True)
class Filmed:
    """Frames of a clip with their faces."""

    engine: Engine
    frames: list[tuple[Frame, Face]]

    def performer(self) -> Performer:
        first, second = (Portrait(frame, face, (face,)) for frame, face in self.frames[:2])
        return Performer(self.engine, first, follows=False, views=[second.view(self.engine)])

    def error(self, lower_px: float = 0.0) -> float:
        """Return how far what is shown at the lips is from the last frame, whose mesh lies too low there."""
        frame, face = self.frames[2]
        lips = face.landmarks_px[[0, 17, 61, 291], :2]
        (left, top), (right, bottom) = lips.min(0).astype(int) - 6, lips.max(0).astype(int) + 6
        points = face.landmarks_px.copy()
        points[:POINTS, 1] += lower_px * self._near_lips
        shown = self.performer().follow(frame, face_from_landmarks(points, face.score))
        return float(np.abs(shown.astype(float) - frame)[top:bottom, left:right].mean())

    @property
    def _near_lips(self) -> Points:
        topology = self.engine.loaded.model.topology  # type: ignore[attr-defined]
        return np.asarray(topology.region_mask(topology.inner_lips, 0.5).numpy(), np.float32)


@pytest.fixture(scope="module")
def filmed(media_dir: Path) -> Filmed:
    path = media_dir / "train" / "t68_official01_a.mp4"
    engine = start_engine(EngineOptions(threads=1), None)
    frames = [
        frame for n, frame in enumerate(itertools.islice(read_video(path, info=probe_video(path)), 61)) if n in FRAMES
    ]
    return Filmed(engine, [(frame, engine.analyzer.faces(frame)[0]) for frame in frames])


def test_lips_lie_where_the_frame_of_the_person_shows_them(filmed: Filmed, monkeypatch: pytest.MonkeyPatch) -> None:
    true, missed = filmed.error(), filmed.error(lower_px=3.0)
    monkeypatch.setattr(KnownPerson, "shown_by", lambda self, skin: 0.0)
    unknown_true, unknown_missed = filmed.error(), filmed.error(lower_px=3.0)
    assert true < 0.97 * unknown_true
    assert missed - true < 0.6 * (unknown_missed - unknown_true)


def test_what_is_drawn_elsewhere_on_purpose_is_left_there(filmed: Filmed, monkeypatch: pytest.MonkeyPatch) -> None:
    frame, face = filmed.frames[2]
    shown = filmed.performer().follow(frame, face)
    far = np.full((POINTS, 2), DRIFT[1], np.float32)
    monkeypatch.setattr(Driver, "drift", lambda self: far)
    left = filmed.performer().follow(frame, face)
    monkeypatch.setattr(Driver, "drawn", None, raising=False)
    assert not np.array_equal(left, shown)
    assert np.array_equal(left, filmed.performer().follow(frame, face))


def test_what_is_drawn_is_moved_to_the_frame_though_it_was_smoothed(
    filmed: Filmed, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, halved, seen_by = [], [], ChosenViews.seen_by

    def kept(chosen: ChosenViews, driver: Driver, sure: float) -> Points | None:
        told.append(seen_by(chosen, driver, sure))
        halved.append(seen_by(replace(chosen, shares=chosen.shares / np.float32(2)), driver, sure))
        return told[-1]

    monkeypatch.setattr(ChosenViews, "seen_by", kept)
    for lower in (0.0, 0.5):
        monkeypatch.setattr(Driver, "drift", lambda self, y=lower: np.full((POINTS, 2), (0, y), np.float32))
        filmed.performer().follow(*filmed.frames[2])
    assert told[0] is not None and np.abs(told[0][:, :2]).max() > 0.1
    assert told[1] is not None and np.allclose(told[1] - told[0], (0, 0.5, 0), atol=1e-5)
    # Half of the source's own eyes and half of others would show two irises.
    topology = filmed.engine.loaded.model.topology  # type: ignore[attr-defined]
    assert halved[0] is not None and halved[0][topology.eyes.ravel(), 2].max() < 0.05
    assert halved[0][topology.inner_lips, 2].min() > 0.5

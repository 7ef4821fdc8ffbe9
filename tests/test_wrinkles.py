"""Light on the source's skin changes as on the driving's, and nothing else of the driving arrives with it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from vid2vid_cli.arrays import Frame, Points
from vid2vid_cli.errors import UsageError
from vid2vid_cli.face.crop import FaceCrop, Room, crop_around, crop_frame
from vid2vid_cli.face.frames import image_of
from vid2vid_cli.face.mesh import FaceAnalyzer
from vid2vid_cli.media.image import read_image
from vid2vid_cli.models.compact.model import CompactModel
from vid2vid_cli.models.compact.source import CompactSource
from vid2vid_cli.models.compact.wrinkles import (
    BROWS,
    DARKEST,
    LIGHTEST,
    LIPS,
    DrivingLook,
    RestingSkin,
    SkinTexture,
)
from vid2vid_cli.models.registry import load_model
from vid2vid_cli.pipeline.memory import Memory
from vid2vid_cli.pipeline.open_scene import open_scene, shown_wrinkles
from vid2vid_cli.pipeline.options import ReenactOptions

pytestmark = pytest.mark.usefixtures("own_folder")

CHEEK = (50, 205)  # points of the mesh: a fold between them runs over the cheek
UPRIGHT = np.eye(3, dtype=np.float32)


@pytest.fixture(scope="module")
def portrait(media_dir: Path, face_analyzer: FaceAnalyzer) -> tuple[Frame, Points]:
    """Return a frame and the mesh (468, 3) in its px."""
    frame = read_image(media_dir / "sources" / "s27_ai_woman.png")
    (face,) = face_analyzer.faces(frame)
    return frame, face.landmarks_px[:468].astype(np.float32)


@pytest.fixture(scope="module")
def rest(compact: CompactModel, portrait: tuple[Frame, Points]) -> RestingSkin:
    return compact.skin.rest([compact.skin.take(*portrait, UPRIGHT)] * 3)


def with_line(frame: Frame, points: Points, through: tuple[int, ...]) -> Frame:
    """Draw a soft dark line through points of the mesh."""
    shade = np.ones(frame.shape[:2], np.float32)
    width = max(2, round(float(np.ptp(points[:, 0])) / 40))
    cv2.polylines(shade, [np.rint(points[list(through), :2]).astype(np.int32)], False, 0.6, width)
    shade = cv2.GaussianBlur(shade, (0, 0), width / 2)
    return np.asarray(frame * shade[..., None], np.uint8)


def texels(compact: CompactModel, points: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Return rows and columns of points of the mesh in a texture."""
    drawn = compact.skin.texels[list(points)].round().astype(int)
    return drawn[:, 1], drawn[:, 0]


def source_of(compact: CompactModel, frame: Frame, face_analyzer: FaceAnalyzer) -> tuple[CompactSource, FaceCrop]:
    (face,) = face_analyzer.faces(frame)
    crop = crop_around(face, compact.source_crop, Room.of_frame(frame.shape))
    landmarks = torch.from_numpy(crop.to_crop(face.landmarks_px)).float()[None]
    return compact.appearance(image_of(crop_frame(frame, crop)), landmarks), crop


def test_the_driving_at_rest_changes_nothing(
    compact: CompactModel, portrait: tuple[Frame, Points], rest: RestingSkin
) -> None:
    assert compact.skin.ratio(compact.skin.take(*portrait, UPRIGHT), rest) is None


def test_a_fold_darkens_its_place_and_no_other(
    compact: CompactModel, portrait: tuple[Frame, Points], rest: RestingSkin
) -> None:
    frame, points = portrait
    ratio = compact.skin.ratio(compact.skin.take(with_line(frame, points, CHEEK), points, UPRIGHT), rest)
    assert ratio is not None
    y, x = (int(places.mean()) for places in texels(compact, CHEEK))
    assert ratio[y - 2 : y + 3, x - 2 : x + 3].min() < -0.05
    assert not ratio[:, compact.skin.mask.shape[1] // 2 :].min() < -0.02  # the other half of the face


@torch.inference_mode()
def test_the_source_darkens_where_the_driving_does(
    compact: CompactModel, portrait: tuple[Frame, Points], rest: RestingSkin, face_analyzer: FaceAnalyzer
) -> None:
    frame, points = portrait
    source, crop = source_of(compact, frame, face_analyzer)
    driven = compact.drive(source, source.motion, source.motion, None)

    def rendered(shown: Frame) -> np.ndarray:
        skin = compact.skin.take(shown, points, UPRIGHT)
        look = DrivingLook(None, skin, wrinkles=1.0)
        return compact.render(source, compact.with_look(driven, look, rest))[0].numpy()

    plain, same = compact.render(source, driven)[0].numpy(), rendered(frame)
    assert (plain == same).all()
    change = (rendered(with_line(frame, points, CHEEK)) - plain).mean(0)
    x, y = crop.to_crop(points[list(CHEEK)].astype(np.float64))[:, :2].mean(0).astype(int)
    reach = round(float(np.ptp(points[:, 0])) / 20)
    assert change[y - reach : y + reach, x - reach : x + reach].min() < -0.02
    away = np.hypot(*(np.indices(change.shape) - np.array([y, x])[:, None, None])) > 8 * reach
    assert np.abs(change[away]).max() < 0.02


def test_lips_brows_and_lids_stay_as_they_are(
    compact: CompactModel, portrait: tuple[Frame, Points], rest: RestingSkin
) -> None:
    frame, points = portrait
    for loop in (LIPS, *BROWS, *(tuple(eye) for eye in compact.topology.eyes)):
        lined = with_line(frame, points, tuple(int(point) for point in loop))
        ratio = compact.skin.ratio(compact.skin.take(lined, points, UPRIGHT), rest)
        assert ratio is None or np.abs(ratio[texels(compact, loop)]).max() < 1e-3


def test_the_factor_is_bounded(compact: CompactModel, portrait: tuple[Frame, Points], rest: RestingSkin) -> None:
    frame, points = portrait
    noise = np.random.default_rng(0).integers(0, 256, (20, 20, 3), np.uint8)
    noise = cv2.resize(noise, (frame.shape[1], frame.shape[0]))
    ratio = compact.skin.ratio(compact.skin.take(noise, points, UPRIGHT), rest)
    assert ratio is not None
    assert np.log(DARKEST) <= ratio.min() < -0.05 and 0.02 < ratio.max() <= np.log(LIGHTEST)
    half = compact.skin.ratio(compact.skin.take(noise, points, UPRIGHT), rest, 0.5)
    assert half is not None and np.allclose(half, ratio / 2)


@pytest.mark.parametrize("gain", [0.75, 1.15])
def test_light_on_the_whole_face_leaves_no_trace(
    compact: CompactModel, portrait: tuple[Frame, Points], rest: RestingSkin, gain: float
) -> None:
    frame, points = portrait
    lit = np.clip(frame * gain, 0, 255).astype(np.uint8)
    ratio = compact.skin.ratio(compact.skin.take(lit, points, UPRIGHT), rest)
    assert ratio is None or np.abs(ratio).max() < 0.015


def test_a_turned_head_shows_none(compact: CompactModel, portrait: tuple[Frame, Points], rest: RestingSkin) -> None:
    frame, points = portrait
    skin = compact.skin.take(with_line(frame, points, CHEEK), points, UPRIGHT)
    angle = np.deg2rad(30)
    turn = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]], np.float32)
    assert compact.skin.ratio(skin, rest) is not None
    assert compact.skin.ratio(replace(skin, rotation=turn), rest) is None


def test_what_flickers_at_rest_is_not_shown(compact: CompactModel, portrait: tuple[Frame, Points]) -> None:
    frame, points = portrait
    plain = compact.skin.take(frame, points, UPRIGHT)
    lined = compact.skin.take(with_line(frame, points, CHEEK), points, UPRIGHT)
    steady, restless = compact.skin.rest([plain] * 5), compact.skin.rest([plain, lined, plain, lined, plain])
    change = [np.abs(compact.skin.ratio(lined, rest)).max() for rest in (steady, restless)]
    assert change[1] < 0.7 * change[0]


def test_a_face_beyond_the_frame_shows_none(compact: CompactModel, portrait: tuple[Frame, Points]) -> None:
    frame, points = portrait
    gone = compact.skin.take(frame, points + np.float32((frame.shape[1] * 3, 0, 0)), UPRIGHT)
    assert isinstance(gone, SkinTexture) and np.isfinite(gone.light).all()


def test_wrinkles_follow_the_expression_that_is_asked_for() -> None:
    assert shown_wrinkles(ReenactOptions(wrinkles=0.8)) == 0.8
    assert shown_wrinkles(ReenactOptions(wrinkles=0.8, strength=0.5)) == 0.4
    assert shown_wrinkles(ReenactOptions(wrinkles=0.8, strength=2.0)) == 0.8
    assert shown_wrinkles(ReenactOptions(wrinkles=0.8, region="pose")) == 0


def test_a_clip_brings_its_wrinkles_unless_they_are_refused(media_dir: Path) -> None:
    clip = media_dir / "drivings" / "d03_woman_expressions_audio.mp4"  # screws up her face
    model = load_model()

    def frames(wrinkles: float) -> list[Frame]:
        options = ReenactOptions(size=192, dtype="float32", end="1.0", wrinkles=wrinkles)
        with open_scene(media_dir / "sources" / "s27_ai_woman.png", clip, options, model=model) as scene:
            assert (scene.look_at_rest is None) == (wrinkles == 0)
            return [frame for frame, _ in scene]

    none, all_of_it = frames(0.0), frames(1.0)
    assert max(np.abs(one.astype(int) - other).max() for one, other in zip(none, all_of_it, strict=True)) > 5
    with pytest.raises(UsageError, match=r"--wrinkles 1\.5"):
        frames(1.5)


def test_a_remembered_clip_shows_the_same_wrinkles(media_dir: Path) -> None:
    clip = media_dir / "drivings" / "d03_woman_expressions_audio.mp4"
    model, memory = load_model(), Memory(Path("cache"))

    def frames() -> list[Frame]:
        options = ReenactOptions(size=192, dtype="float32", end="0.8")
        portrait = media_dir / "sources" / "s27_ai_woman.png"
        with open_scene(portrait, clip, options, model=model, memory=memory) as scene:
            assert scene.look_at_rest is not None
            return [frame for frame, _ in scene]

    first = frames()
    assert "driving" in memory.computed
    memory.computed.clear()
    again = frames()
    assert "driving" not in memory.computed
    assert all((one == other).all() for one, other in zip(first, again, strict=True))

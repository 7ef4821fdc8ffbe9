"""The driving's camera: read off what is behind its person, and the source's background moved with it."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from vid2vid_cli.arrays import Frame
from vid2vid_cli.errors import UsageError
from vid2vid_cli.face.camera import CameraTracker, Similarity2D, move_picture
from vid2vid_cli.face.matte import Mask
from vid2vid_cli.media.video import WriteOptions, open_writer
from vid2vid_cli.models.registry import LoadedModel
from vid2vid_cli.pipeline.extract_motion import extract_motion
from vid2vid_cli.pipeline.open_scene import open_scene
from vid2vid_cli.pipeline.options import ReenactOptions, RotateOptions
from vid2vid_cli.pipeline.rotate import rotate

SIZE = (240, 320)

pytestmark = pytest.mark.usefixtures("own_folder")


def similarity(zoom: float, roll_deg: float, right: float, down: float) -> Similarity2D:
    turn = np.radians(roll_deg)
    rows = [[np.cos(turn), -np.sin(turn), right / zoom], [np.sin(turn), np.cos(turn), down / zoom], [0, 0, 1 / zoom]]
    return np.array(rows) * zoom


def scenery(seed: int = 0, detail: int = 6) -> Frame:
    """Draw coarse patches of random colours."""
    small = np.random.default_rng(seed).integers(0, 256, (SIZE[0] // detail, SIZE[1] // detail, 3), dtype=np.uint8)
    return np.asarray(cv2.resize(small, SIZE[::-1], interpolation=cv2.INTER_CUBIC), np.uint8)


def shot(behind: Frame, moved: Similarity2D, person_px: int) -> Frame:
    """Return what a camera sees of a scenery, before which somebody walks."""
    frame = move_picture(behind, moved)
    frame[60:, person_px : person_px + 120] = scenery(1)[60:, :120]
    return frame


def walker(px: int) -> Mask:
    mask = np.zeros(SIZE, np.float32)
    mask[60:, px : px + 120] = 1
    return mask


def test_the_camera_is_followed_and_not_who_walks_before_it() -> None:
    tracker = CameraTracker(lambda _frame: walker(100))
    path = [similarity(1 + 0.01 * k, 0.7 * k, 0.015 * k, -0.008 * k) for k in range(14)]
    behind = scenery()
    for k, moved in enumerate(path):
        found = tracker(shot(behind, moved, 100 + 3 * k))
        corners = np.array([[-1, -0.75, 1], [1, 0.75, 1], [0, 0, 1]]).T
        away = np.abs((found - moved) @ corners)[:2].max()
        assert away * SIZE[1] / 2 < 0.6, f"px at frame {k}"


def test_a_still_camera_stands_perfectly_still() -> None:
    tracker, noise = CameraTracker(lambda _frame: walker(100)), np.random.default_rng(2)
    for k in range(4):
        frame = shot(scenery(), np.eye(3), 100 + 5 * k)
        frame = np.clip(frame + noise.normal(0, 3, frame.shape), 0, 255).astype(np.uint8)
        assert (tracker(frame) == np.eye(3)).all()


def test_a_camera_that_sees_a_plain_wall_or_only_the_person_is_held() -> None:
    for behind, mask in ((np.full((*SIZE, 3), 90, np.uint8), np.zeros(SIZE)), (scenery(), np.ones(SIZE))):
        tracker = CameraTracker(lambda _frame, mask=mask: mask.astype(np.float32))  # type: ignore[misc]
        for k in range(3):
            assert (tracker(move_picture(behind, similarity(1, 0, 0.02 * k, 0))) == np.eye(3)).all()


def test_a_wall_of_noise_is_seldom_looked_at_until_there_is_something_to_follow() -> None:
    asked, noise = [], np.random.default_rng(3)

    def matte(_frame: Frame) -> Mask:
        asked.append(True)
        return np.zeros(SIZE, np.float32)

    tracker = CameraTracker(matte)
    for _ in range(40):
        tracker(noise.integers(0, 256, (*SIZE, 3), dtype=np.uint8))
    assert len(asked) < 10
    path = [similarity(1, 0, 0.01 * k, 0) for k in range(20)]
    found = [tracker(move_picture(scenery(), moved)) for moved in path]
    assert np.abs(found[-1] - found[-2] - (path[-1] - path[-2])).max() * SIZE[1] / 2 < 0.6


# --- through the tool ---


@pytest.fixture(scope="module")
def man(media_dir: Path) -> Frame:
    """A man before a landscape."""
    picture = Image.open(media_dir / "sources" / "s16_man_smiling.jpg").convert("RGB")
    return np.array(picture.resize((288, 288), Image.Resampling.LANCZOS))


@pytest.fixture(scope="module")
def panned(man: Frame, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip in which nobody moves but the camera, by 4 px a frame."""
    path = tmp_path_factory.mktemp("panned") / "panned.mp4"
    with open_writer(path, man.shape[:2], WriteOptions(Fraction(10))) as writer:
        for k in range(4):
            writer.write(move_picture(man, similarity(1, 0, 4 * k / 144, 0)))
    return path


@pytest.mark.parametrize(("background", "moves_px"), [("keep", 0.0), ("follow", 12.0)])
def test_the_background_moves_with_the_camera_if_asked(
    background: str, moves_px: float, man: Frame, panned: Path, model: LoadedModel
) -> None:
    Image.fromarray(man).save("man.png")
    with open_scene("man.png", panned, ReenactOptions(background=background), model=model) as scene:
        last = [frame.copy() for frame in scene.frames()][-1]
    upper = (cv2.cvtColor(one[:60, 40:-40], cv2.COLOR_RGB2GRAY).astype(np.float64) for one in (man, last))
    (right, down), _ = cv2.phaseCorrelate(*upper)  # nobody is there
    assert abs(right - moves_px) < 1 and abs(down) < 0.7


def test_what_has_no_camera_is_named(man: Frame, panned: Path, model: LoadedModel) -> None:
    Image.fromarray(man).save("man.png")
    extract_motion(panned, "take.safetensors", model=model)
    options = ReenactOptions(background="follow")
    with pytest.raises(UsageError, match=r"take.safetensors: --background follow: has no pictures .* take a video"):
        open_scene("man.png", "take.safetensors", options, model=model)
    with pytest.raises(UsageError, match=r"man.png: --background follow"):
        rotate("man.png", "o.png", RotateOptions(yaw="5", background="follow"), model=model)
    with pytest.raises(UsageError, match=r"panned.mp4: --background follow: a video has a camera of its own"):
        open_scene(panned, panned, options, model=model)

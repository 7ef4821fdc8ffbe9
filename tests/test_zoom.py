"""A driving whose camera zooms: the head keeps its size, and what does not zoom stays to the bit."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.test_camera import scenery, shot, similarity, walker
from vid2vid_cli.arrays import Frame
from vid2vid_cli.models.registry import load_model
from vid2vid_cli.pipeline.driving.zoom import ZoomRemover, without_zoom
from vid2vid_cli.pipeline.open_scene import open_scene
from vid2vid_cli.pipeline.options import ReenactOptions
from vid2vid_cli.pipeline.progress import Hooks

NOBODY = walker(0) * 0


def zooming(count: int, step: float = 0.02) -> list[Frame]:
    behind = scenery()
    frames = [similarity((1 + step) ** k, 0, 0, 0) for k in range(count)]
    return [np.asarray(cv2.warpAffine(behind, _affine(moved), behind.shape[1::-1]), np.uint8) for moved in frames]


def _affine(moved: np.ndarray) -> np.ndarray:
    middle = np.array([159.5, 119.5])
    return np.column_stack([moved[:2, :2], middle - moved[:2, :2] @ middle])


def test_a_zoom_is_undone_smoothly() -> None:
    frames = zooming(16)
    remover = ZoomRemover(lambda _frame: NOBODY)
    shown = [remover(frame) for frame in frames]
    middle = slice(90, 150), slice(120, 200)
    first, zoomed, undone = (picture[middle].astype(float) for picture in (frames[0], frames[-1], shown[-1]))
    assert np.abs(undone - first).mean() < 0.5 * np.abs(zoomed - first).mean()
    steps = [np.abs(a[middle].astype(float) - b[middle]).mean() for a, b in pairwise(shown)]
    filmed = [np.abs(a[middle].astype(float) - b[middle]).mean() for a, b in pairwise(frames)]
    assert max(steps) < 1.2 * max(filmed), "a jump where the zoom is noticed"


def test_a_camera_that_turns_or_trembles_and_a_person_who_comes_nearer_change_nothing() -> None:
    behind = scenery()
    turning = [shot(behind, similarity(1 + 0.01 * (k % 2), 0, 0.02 * k, 0), 100) for k in range(8)]
    nearer = [shot(behind, np.eye(3), 100 - 4 * k) for k in range(8)]
    for frames in (turning, nearer):
        remover = ZoomRemover(lambda _frame: walker(100))
        assert all(remover(frame) is frame for frame in frames)


def test_each_shot_has_a_zoom_of_its_own_which_is_told_once() -> None:
    frames, told = zooming(12), []
    shots = [(0, frame) for frame in frames] + [(1, frame) for frame in frames]
    shown = list(without_zoom(shots, lambda _frame: NOBODY, told.append))
    assert [shot for shot, _ in shown] == [0] * 12 + [1] * 12
    assert shown[12][1] is frames[0] and np.array_equal(shown[11][1], shown[23][1])
    assert len(told) == 1 and 0 < told[0] < 12


@pytest.fixture(scope="module")
def zoom_in(media_dir: Path) -> Path:
    clip = media_dir.parent / "cases" / "camera_zoom.mp4"
    if not clip.is_file():
        pytest.skip(f"no {clip.name}: the cases are not here")
    return clip


@pytest.mark.usefixtures("own_folder")
def test_a_head_keeps_its_size_while_the_camera_zooms(zoom_in: Path) -> None:
    model = load_model()
    portrait = Path(__file__).parents[1] / "examples" / "portrait.jpg"
    grown, told = {}, {}
    for background in ("keep", "follow"):
        options = ReenactOptions(fps="6", background=background, smooth=0)
        warnings = told[background] = []
        with open_scene(portrait, zoom_in, options, model=model, hooks=Hooks(warn=warnings.append)) as scene:
            scales = [float(driven.motion.scale) for driven in scene.driving.frames() if driven.motion is not None]
        grown[background] = max(scales) / min(scales)
    assert grown["follow"] > 1.3 and grown["keep"] < 1.15
    (line,) = told["keep"]
    assert "the camera zooms from frame" in line and told["follow"] == []

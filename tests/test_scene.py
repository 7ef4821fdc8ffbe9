"""Frames without files: what `open_scene` yields, and how it ends."""

from __future__ import annotations

import threading
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.support.clips import make_clip
from vid2vid_cli import open_scene
from vid2vid_cli.errors import MediaError, NoFaceError, UsageError
from vid2vid_cli.media.image import read_image
from vid2vid_cli.models.registry import LoadedModel
from vid2vid_cli.pipeline.options import ReenactOptions
from vid2vid_cli.pipeline.reenact import reenact

EXAMPLES = Path(__file__).parents[1] / "examples"
PORTRAIT, DRIVING = EXAMPLES / "portrait.jpg", EXAMPLES / "driving.mp4"
SHORT = ReenactOptions(size=96, end="0.4", dtype="float32")

pytestmark = pytest.mark.usefixtures("own_folder")


def test_a_scene_yields_what_reenact_writes(model: LoadedModel) -> None:
    reenact(PORTRAIT, DRIVING, "frames", SHORT, model=model)
    written = [np.asarray(Image.open(path)) for path in sorted(Path("frames").iterdir())]
    with open_scene(PORTRAIT, DRIVING, SHORT, model=model) as scene:
        yielded = list(scene)
        assert scene.total == len(yielded) == len(written) > 5
        fps = scene.fps
    assert isinstance(fps, Fraction)
    for index, (frame, info) in enumerate(yielded):
        assert frame.dtype == np.uint8 and (frame == written[index]).all()
        assert (info.index, info.found, info.is_repeat) == (index, True, False)
        assert info.time_s == pytest.approx(float(index / fps))


def test_a_picture_that_is_no_file_is_a_source_like_the_file(model: LoadedModel) -> None:
    with open_scene(PORTRAIT, DRIVING, SHORT, model=model) as of_file:
        wanted = [frame for frame, _ in of_file]
    with open_scene(read_image(PORTRAIT), DRIVING, SHORT, model=model) as of_array:
        assert all((frame == same).all() for (frame, _), same in zip(of_array, wanted, strict=True))


@pytest.mark.parametrize("picture", [np.zeros((8, 8, 3), np.float32), np.zeros((8, 8), np.uint8)])
def test_an_array_of_another_kind_is_the_callers_mistake(picture: Any, model: LoadedModel) -> None:
    with pytest.raises(ValueError, match="uint8"):
        open_scene(picture, DRIVING, SHORT, model=model)


def test_what_cannot_be_opened_is_one_clear_error(model: LoadedModel) -> None:
    grey = np.full((64, 64, 3), 128, np.uint8)
    for source, driving, error in (
        (PORTRAIT, "gone.mp4", MediaError),
        ("gone.png", DRIVING, MediaError),
        (grey, DRIVING, NoFaceError),
    ):
        with pytest.raises(error) as caught:
            open_scene(source, driving, SHORT, model=model)
        assert "\n" not in str(caught.value)
    with pytest.raises(UsageError, match="--strength"):
        open_scene(PORTRAIT, DRIVING, ReenactOptions(strength=9), model=model)


def test_a_driving_without_a_face_is_told_of_at_the_end(model: LoadedModel) -> None:
    blank = make_clip(Path("blank.mp4"), 4)
    with open_scene(PORTRAIT, blank, ReenactOptions(size=96, relative=False), model=model) as scene:
        seen = []
        with pytest.raises(NoFaceError, match=r"blank\.mp4"):
            seen += [info.found for _, info in scene]
    assert seen == [] or not any(seen)
    assert scene.counts.held == 4


def test_leaving_early_ends_everything_that_was_started(model: LoadedModel) -> None:
    before = threading.active_count()
    with open_scene(PORTRAIT, DRIVING, SHORT, model=model) as scene:
        frames = iter(scene)
        next(frames)
        frames.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before

"""A portrait that is driven live: it moves as a scene does, and all that a user changes meanwhile acts at once."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support import tiny
from tests.support.faces import landmarks_of
from vid2vid_cli import open_scene
from vid2vid_cli.arrays import Frame
from vid2vid_cli.errors import NoFaceError, UsageError
from vid2vid_cli.face.mesh import FaceAnalyzer
from vid2vid_cli.media.image import read_image
from vid2vid_cli.media.video import read_video
from vid2vid_cli.models.registry import FAMILIES, LoadedModel
from vid2vid_cli.pipeline.driving.rest_so_far import RestSoFar
from vid2vid_cli.pipeline.engine import Engine, start_engine
from vid2vid_cli.pipeline.live_controls import LiveControls
from vid2vid_cli.pipeline.live_portrait import LivePortrait
from vid2vid_cli.pipeline.options import EngineOptions, PictureOptions, ReenactOptions

EXAMPLES = Path(__file__).parents[1] / "examples"
PORTRAIT, DRIVING = EXAMPLES / "portrait.jpg", EXAMPLES / "driving.mp4"
SIDE = 128
COUNT = 12
ABSOLUTE = LiveControls(relative=False, smooth=0)


@pytest.fixture(scope="module")
def engine(model: LoadedModel) -> Engine:
    return start_engine(EngineOptions(threads=1), model)


@pytest.fixture(scope="module")
def pictures() -> list[Frame]:
    return list(itertools.islice(read_video(DRIVING), COUNT))


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def portrait(engine: Engine, said: list[str]) -> Iterator[LivePortrait]:
    """The same picture twice, the second time mirrored, and one without a face."""
    nobody = np.full((SIDE, SIDE, 3), 128, np.uint8)
    sources = [PORTRAIT, np.ascontiguousarray(read_image(PORTRAIT)[:, ::-1]), nobody]
    opened = LivePortrait(engine, sources, PictureOptions(size=SIDE), said.append, controls=ABSOLUTE)
    yield opened
    opened.close()


def play(portrait: LivePortrait, pictures: list[Frame], first: int = 0) -> list[Frame]:
    return [portrait.render(portrait.read(picture, (first + k) / 25)) for k, picture in enumerate(pictures)]


def apart(one: Frame, other: Frame) -> float:
    return float(np.abs(one.astype(float) - other).mean())


def test_it_moves_as_a_scene_does_to_the_bit(portrait: LivePortrait, pictures: list[Frame], model: LoadedModel) -> None:
    options = ReenactOptions(size=SIDE, relative=False, body=False, smooth=0, end=f"{COUNT / 25}")
    with open_scene(PORTRAIT, DRIVING, options, model=model) as scene:
        wanted = list(scene.frames())
    shown = play(portrait, pictures)
    assert len(shown) == len(wanted) == COUNT
    assert all((one == other).all() for one, other in zip(shown, wanted, strict=True))
    assert apart(shown[0], shown[-1]) > 0.3  # and it moves at all


def test_a_new_neutral_face_is_the_rest_from_the_next_picture_on(portrait: LivePortrait, pictures: list[Frame]) -> None:
    """The first face that is seen is the rest by itself."""
    portrait.controls = LiveControls(smooth=0)
    first, *_, last = play(portrait, pictures)
    portrait.take_reference()
    again = play(portrait, pictures[-1:], COUNT)[0]
    assert apart(last, first) > 0.5 and apart(again, first) < 0.4 * apart(last, first)


def test_warming_up_leaves_no_trace(portrait: LivePortrait, pictures: list[Frame], engine: Engine) -> None:
    cold = LivePortrait(engine, [PORTRAIT], PictureOptions(size=SIDE), print, controls=LiveControls())
    portrait.controls = LiveControls()
    portrait.warm_up()
    assert all((a == b).all() for a, b in zip(play(portrait, pictures[:4]), play(cold, pictures[:4]), strict=True))


def test_strength_and_angles_act_on_the_next_picture(
    portrait: LivePortrait, pictures: list[Frame], face_analyzer: FaceAnalyzer
) -> None:
    portrait.controls = LiveControls(strength=0, smooth=0)
    still, *_, last = play(portrait, pictures)
    assert apart(last, still) < 0.1
    portrait.controls = replace(portrait.controls, yaw=20.0)
    turned = play(portrait, pictures[:1], COUNT)[0]
    # The tip of the nose goes to the viewer's right of the middle of the face.
    noses = [
        points[1, 0] - points[[234, 454], 0].mean()
        for points in (landmarks_of(f, face_analyzer) for f in (still, turned))
    ]
    assert noses[1] > noses[0] + 0.02 * SIDE


def test_a_still_shows_angles_expressions_and_gaze_without_a_camera(
    portrait: LivePortrait, face_analyzer: FaceAnalyzer
) -> None:
    rest = portrait.still()
    portrait.controls = replace(portrait.controls, expressions="jawOpen=0.8")
    opened = portrait.still()
    heights = [points[14, 1] - points[13, 1] for points in (landmarks_of(f, face_analyzer) for f in (rest, opened))]
    assert heights[1] > heights[0] + 0.03 * SIDE
    portrait.controls = replace(portrait.controls, expressions=None, gaze="25,0")
    assert 0 < apart(portrait.still(), rest) < apart(opened, rest)


def test_sources_are_switched_and_one_without_a_face_is_said_once(
    portrait: LivePortrait, pictures: list[Frame], said: list[str]
) -> None:
    first = play(portrait, pictures[:1])[0]
    portrait.controls = replace(portrait.controls, source=1)
    second = play(portrait, pictures[:1] * 2, 1)[1]  # what is known of the driver's rest settles
    assert apart(first, second) > 5
    portrait.controls = replace(portrait.controls, source=2)
    third = play(portrait, pictures[:1], 3)[0]
    assert apart(third, second) < 0.5 and portrait.controls.source == 1
    assert len(said) == 1 and "no face found" in said[0]


def test_a_mirror_turns_the_motion_around(engine: Engine, pictures: list[Frame], said: list[str]) -> None:
    """Seen in a mirror, the mirrored clip moves the portrait exactly as the clip itself does without one."""
    plain = LivePortrait(engine, [PORTRAIT], PictureOptions(size=SIDE), said.append, controls=ABSOLUTE)
    mirrored = LivePortrait(
        engine, [PORTRAIT], PictureOptions(size=SIDE), said.append, controls=replace(ABSOLUTE, mirror=True)
    )
    flipped = [np.ascontiguousarray(picture[:, ::-1]) for picture in pictures]
    assert all((a == b).all() for a, b in zip(play(plain, pictures), play(mirrored, flipped), strict=True))


def test_the_neutral_face_stays_neutral_in_the_mirror(portrait: LivePortrait, pictures: list[Frame]) -> None:
    portrait.controls = LiveControls(smooth=0)
    first, *_, last = play(portrait, pictures)
    portrait.controls = replace(portrait.controls, mirror=True)
    again = play(portrait, pictures[:1], COUNT)[0]
    assert apart(again, first) < 0.4 * apart(last, first)


def test_a_lost_face_holds_its_last_motion_and_says_so(portrait: LivePortrait, pictures: list[Frame]) -> None:
    nobody = np.full_like(pictures[0], 90)
    before = portrait.read(nobody, 0.0)
    assert not before.is_found and before.faces == 0 and before.message == "no face in the camera's picture"
    assert apart(portrait.render(before), portrait.still()) == 0
    seen = portrait.read(pictures[-1], 1.0)
    assert seen.is_found and seen.faces == 1 and seen.message is None
    shown = portrait.render(seen)
    lost = portrait.read(nobody, 1.04)
    assert not lost.is_found and "held" in (lost.message or "")
    assert (portrait.render(lost) == shown).all()


def test_two_faces_are_counted(portrait: LivePortrait, pictures: list[Frame]) -> None:
    two = np.concatenate([pictures[0], pictures[0][:, ::-1]], 1)
    reading = portrait.read(two, 0.0)
    assert reading.faces == 2 and reading.message == "2 faces; one of them is followed"


def test_a_frozen_picture_stands_still(portrait: LivePortrait, pictures: list[Frame]) -> None:
    first = play(portrait, pictures[:1])[0]
    portrait.controls = replace(portrait.controls, is_frozen=True)
    assert (play(portrait, pictures[-1:], 1)[0] == first).all()


def test_another_background_is_laid_behind_the_person(portrait: LivePortrait, pictures: list[Frame]) -> None:
    plain = play(portrait, pictures[:1])[0]
    portrait.controls = replace(portrait.controls, background="#00ff00")
    green = play(portrait, pictures[:1], 1)[0]
    assert (green[2:10, 2:10].mean((0, 1)) - (0, 255, 0) < 12).all() and apart(green, plain) > 5
    middle = slice(SIDE // 2 - 8, SIDE // 2 + 8)
    assert apart(green[middle, middle], plain[middle, middle]) < 3  # the face stays


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"source": 3}, "there are 3"),
        ({"yaw": 91.0}, "--yaw 91"),
        ({"roll": float("nan")}, "--roll nan"),
        ({"strength": -1.0}, "--strength -1"),
        ({"smooth": 11.0}, "--smooth 11"),
        ({"background": "transparent"}, "not while live"),
        ({"background": "nothing.png"}, "no such file"),
        ({"expressions": "jawOpen=0:1:0.1"}, "no sweep"),
        ({"expressions": "jawOpn=1"}, "jawOpen"),
        ({"gaze": "up"}, "--gaze up"),
    ],
)
def test_what_makes_no_sense_is_refused_and_changes_nothing(
    portrait: LivePortrait, change: dict[str, object], text: str
) -> None:
    with pytest.raises(UsageError, match=text) as caught:
        portrait.controls = replace(portrait.controls, **change)
    assert "\n" not in str(caught.value) and portrait.controls == ABSOLUTE


def test_sources_that_cannot_be_shown_are_errors_at_the_start(engine: Engine) -> None:
    with pytest.raises(NoFaceError):
        LivePortrait(engine, [np.full((64, 64, 3), 128, np.uint8)], PictureOptions(), print)
    with pytest.raises(UsageError, match="is a video"):
        LivePortrait(engine, [DRIVING], PictureOptions(), print)


def test_the_rest_is_learnt_in_the_first_seconds_and_then_stays(model: LoadedModel, engine: Engine) -> None:
    """Of a face that blinks in its very first picture, the eyes come to rest open; a given rest is never changed."""
    from vid2vid_cli.models.compact.model import CompactModel

    compact = model.model
    assert isinstance(compact, CompactModel)
    weights = torch.zeros(1, len(compact.expression_names))
    calm = compact.motion_of(weights, torch.eye(3)[None])
    weights[0, [compact.expression_names.index(name) for name in ("eyeBlink_L", "eyeBlink_R")]] = 1.0
    blink = compact.motion_of(weights, torch.eye(3)[None])

    def left(rest: RestSoFar) -> float:
        moved = (blink if k == 0 else calm for k in range(250))
        for k, motion in enumerate(moved):
            learnt = rest.see(motion, k / 25)
        away = (learnt.motion.expression - calm.expression).abs().max()
        return float(away / (blink.expression - calm.expression).abs().max())

    assert left(RestSoFar(compact)) < 0.1
    assert left(RestSoFar(compact, is_given=True)) == 1.0


@pytest.mark.parametrize("name", ["facevid2vid", "fomm", "liveportrait"])
def test_every_family_can_be_live_and_refuses_what_it_cannot(name: str, pictures: list[Frame]) -> None:
    family = next(family for family in FAMILIES if family.name == name)
    loaded = LoadedModel(family.build(tiny.CHECKPOINTS[name]()), family, name, "0" * 64)
    portrait = LivePortrait(
        start_engine(EngineOptions(threads=1), loaded), [PORTRAIT], PictureOptions(size=SIDE), print
    )
    portrait.warm_up()
    shown = play(portrait, pictures[:2])
    assert shown[0].shape == portrait.still().shape == (*portrait.size, 3)
    if family.has_head_pose:
        portrait.controls = LiveControls(yaw=10.0)
        play(portrait, pictures[:1], 2)
    else:
        with pytest.raises(UsageError, match="no head pose"):
            portrait.controls = LiveControls(yaw=10.0)
    with pytest.raises(UsageError, match="--expression"):
        portrait.controls = LiveControls(expressions="jawOpen=1")

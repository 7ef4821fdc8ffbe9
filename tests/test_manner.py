"""A person's own manner: habits and the map between two people's, and what a face does that follows it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.support.clips import ffmpeg
from vid2vid_cli import open_scene
from vid2vid_cli.cli.app import main
from vid2vid_cli.errors import UsageError
from vid2vid_cli.habits import (
    FEWEST_FRAMES,
    LEAST_GAIN,
    LEVELS,
    MOST_GAIN,
    HabitMap,
    Habits,
    RunningHabits,
    habits_of,
    join_habits,
)
from vid2vid_cli.media.video import ReadOptions, read_video
from vid2vid_cli.models.base import ReenactmentModel
from vid2vid_cli.models.compact.contact import LidContact, LipContact
from vid2vid_cli.models.compact.model import CompactModel
from vid2vid_cli.models.compact.motion_layout import KEYPOINTS
from vid2vid_cli.models.registry import load_face_analyzer
from vid2vid_cli.motion import Motion, join_motions
from vid2vid_cli.person_file import encode_person, load_person
from vid2vid_cli.pipeline.driving.base import DrivenFrame, Driving, Reference, ShotStart
from vid2vid_cli.pipeline.driving.manner import Manner, MannerDriving
from vid2vid_cli.pipeline.engine import start_engine
from vid2vid_cli.pipeline.live_portrait import LivePortrait, LiveSetup
from vid2vid_cli.pipeline.manner import check_manner
from vid2vid_cli.pipeline.manner import manner_of as manner_of_source
from vid2vid_cli.pipeline.options import EngineOptions, PictureOptions, ReenactOptions
from vid2vid_cli.pipeline.person.movements import REST, kept_habits
from vid2vid_cli.pipeline.person.options import PersonalizeOptions
from vid2vid_cli.pipeline.person.personalize import personalize

EXAMPLES = Path(__file__).parents[1] / "examples"
WIDE = 1  # the place of the mouth's width among the movements
CLOSED = 0.004  # eye distances


@pytest.fixture(scope="module")
def model(face_state: Mapping[str, Tensor]) -> CompactModel:
    return CompactModel(face_state)


def quantiles_of(samples: np.ndarray) -> np.ndarray:
    return np.quantile(samples, LEVELS, axis=0).T


# --- the map ---


def test_a_map_rises_smoothly_through_rest_and_its_gain_is_bounded() -> None:
    random = np.random.default_rng(3)
    for _ in range(50):
        people = [quantiles_of(random.normal(0, random.uniform(0.001, 0.3), (200, 4)) ** 3) for _ in range(2)]
        mapping = HabitMap.between(*people)
        x = torch.arange(-1200, 1201, dtype=torch.float64)[:, None].mul(0.0005).expand(-1, 4)
        y = mapping(x).double().numpy()
        slopes = np.diff(y, axis=0) / 0.0005
        assert np.abs(y[1200]).max() < 1e-9
        assert slopes.min() > 0 and slopes.max() < 3 * MOST_GAIN
        assert np.abs(y[0]).max() < 0.6 * 3 * MOST_GAIN
        assert np.abs(np.diff(slopes, axis=0)).max() < 1.5, "a kink"
        away = np.abs(x.numpy()) > 0.001
        gains = np.divide(y, x.numpy(), where=away, out=np.ones_like(y))[away]
        assert gains.min() > 0.8 * LEAST_GAIN and gains.max() < 1.2 * MOST_GAIN


def test_people_with_the_same_habits_stay_as_they_are() -> None:
    habits = quantiles_of(np.random.default_rng(4).normal(0, 0.1, (500, 3)))
    x = torch.linspace(-0.3, 0.3, 61)[:, None].expand(-1, 3)
    assert torch.allclose(HabitMap.between(habits, habits)(x), x, atol=1e-6)


def test_a_driving_shows_each_movement_as_far_and_as_often_as_the_person() -> None:
    random = np.random.default_rng(5)
    driving, person = random.gamma(2, 0.05, (2000, 1)), random.gamma(3, 0.045, (2000, 1))
    mapping = HabitMap.between(quantiles_of(driving), quantiles_of(person))
    shown = mapping(torch.from_numpy(driving)).numpy()
    levels = (0.75, 0.9, 0.97)
    wanted = np.quantile(person, levels)
    assert (
        np.abs(np.quantile(shown, levels) - wanted).max() < 0.01 < np.abs(np.quantile(driving, levels) - wanted).min()
    )


def test_what_only_trembles_is_not_made_a_habit() -> None:
    still, lively = (
        quantiles_of(np.full((50, 1), 0.002)),
        quantiles_of(np.random.default_rng(6).normal(0, 0.2, (99, 1))),
    )
    assert HabitMap.between(still, lively)(torch.tensor([[0.003]])).item() == pytest.approx(0.003, abs=1e-6)


# --- while a driving goes on ---


def test_a_driving_that_goes_on_is_never_changed_suddenly_and_ends_like_the_person() -> None:
    random = np.random.default_rng(7)
    person = quantiles_of(random.normal(0, 0.15, (999, 1)))
    running, probe = RunningHabits(1, 25.0), torch.tensor([[0.1], [-0.05]])
    shown = []
    for frame in range(900):
        spread = 0.08 if frame < 600 else 0.3  # the stranger begins to shout
        running.add(torch.from_numpy(random.normal(0, spread, (1, 1))))
        mapped = HabitMap.between(running.quantiles, person)(probe)
        shown.append((probe + running.trust * (mapped - probe)).numpy())
    steps = np.abs(np.diff(np.array(shown), axis=0))
    assert np.abs(shown[0] - probe.numpy()).max() < 1e-3, "nothing is known yet"
    assert steps.max() < 0.005, "a jump"
    assert shown[599][0] > 0.13 and shown[899][0] < 0.8 * shown[599][0], (
        "small movements grow, and large ones shrink again"
    )


# --- habits in a file ---


def test_habits_survive_a_file_and_nonsense_in_one_is_refused_or_bounded() -> None:
    habits = habits_of(("one", "two"), torch.randn(40, 2) * 0.1)
    assert habits is not None and habits_of(("one",), torch.zeros(FEWEST_FRAMES - 1, 1)) is None
    tables = habits.tables()
    assert {table.dtype.name for table in tables.values()} == {"float32", "uint8"}
    again = Habits.from_tables(tables)
    assert again is not None and again.names == habits.names and again.frames == 40
    assert np.allclose(again.quantiles, habits.quantiles, atol=1e-7)
    assert Habits.from_tables({}) is None
    assert Habits.from_tables({**tables, "quantiles": np.zeros((3, 2), np.float32)}) is None
    wild = Habits.from_tables({**tables, "quantiles": np.array([[9, 1, np.nan, -9, 5, 2]] * 2, np.float32)})
    assert wild is not None and np.abs(wild.quantiles).max() <= 1 and (np.diff(wild.quantiles, axis=1) >= 0).all()


def test_clips_count_by_their_frames() -> None:
    one, other = Habits(("x",), np.zeros((1, 6)), 30), Habits(("x",), np.ones((1, 6)), 90)
    joined = join_habits([one, other])
    assert joined.frames == 120 and np.allclose(joined.quantiles, 0.75)


# --- the face ---


def motion_at_rest(model: CompactModel) -> Motion:
    """Return the mean face with its lips closed."""
    mean = model.topology.canonical[None]
    expression = torch.cat([LipContact(model.topology).closed(mean, None) - mean, torch.zeros(1, 1, 3)], 1)
    return Motion(torch.eye(3)[None], torch.zeros(1, 3), torch.ones(1, 1), expression)


def with_weights(model: CompactModel, **weights: float) -> Motion:
    """Return a frame with named expressions."""
    strengths = torch.zeros(1, len(model.expression_names))
    for name, strength in weights.items():
        strengths[0, model.expression_names.index(name)] = strength
    return model.motion_of(strengths, torch.eye(3)[None])


def faces_of(model: CompactModel, motion: Motion) -> Tensor:
    return model.topology.canonical + motion.expression[:, :468]


def test_a_face_moves_as_far_as_wanted(model: CompactModel) -> None:
    rest = motion_at_rest(model)
    grin = with_weights(model, mouthSmile_L=0.6, mouthSmile_R=0.6, jawOpen=0.3, browInnerUp_L=0.5)
    shown = model.movements(grin, rest)
    assert shown[0, WIDE] > 0.05
    wanted = shown * torch.tensor([1.0, 1.5, 0.6, 0.6, 1.2, 0.7, 1.3])
    moved = model.with_movements(grin, rest, wanted)
    assert torch.allclose(model.movements(moved, rest), wanted, atol=0.006)
    away = (moved.expression - grin.expression)[0, :468].norm(dim=-1)
    assert away.max() < 0.12 and away[[10, 234, 454]].max() < 0.01, "the rim of the face stays"
    assert torch.equal(moved.expression[:, 468:], grin.expression[:, 468:]), "the gaze stays"
    assert torch.equal(model.with_movements(grin, rest, shown).expression, grin.expression)


def test_closed_lips_stay_closed_and_eyes_as_open(model: CompactModel) -> None:
    rest, lids = motion_at_rest(model), LidContact(model.topology)
    closed = with_weights(model, jawOpen=0.5, mouthClose=0.5, eyeBlink_L=1.0, eyeBlink_R=0.3)
    shown = model.movements(closed, rest)
    moved = model.with_movements(closed, rest, shown + torch.tensor([[0.2, 0.1, 0.1, 0.1, 0.1, 0.2, 0.2]]))
    gaps = LipContact(model.topology)._mouth.gaps
    assert gaps(faces_of(model, closed)).max() < CLOSED
    assert gaps(faces_of(model, moved)).max() < CLOSED, "p, b and m are lost"
    own = model.topology.canonical[None]
    assert torch.allclose(
        lids.shares(faces_of(model, moved), own), lids.shares(faces_of(model, closed), own), atol=1e-5
    )


def test_an_opening_mouth_opens_steadily(model: CompactModel) -> None:
    rest, opened = motion_at_rest(model), []
    for step in range(41):
        frame = with_weights(model, jawOpen=step / 40)
        moved = model.with_movements(frame, rest, model.movements(frame, rest) * torch.tensor([0.6, 1, 1, 1, 1, 1, 1]))
        opened.append(float(LipContact(model.topology)._mouth.gaps(faces_of(model, moved)).max()))
    steps = np.diff(opened)
    assert steps.min() >= 0 and steps.max() < 0.04 and opened[0] < CLOSED < 0.1 < opened[-1]


# --- the driving ---


@dataclass(kw_only=True, eq=False)
class Frames(Driving):
    """A driving of frames that are given; `knows` whether they can be surveyed."""

    shown: list[DrivenFrame]
    rest: Motion
    knows: bool = True

    def frames(self) -> Iterator[DrivenFrame]:
        return iter(self.shown)

    def find_reference(self, model: ReenactmentModel, own: Motion, frame: str) -> Reference:
        return Reference(self.rest, 0)

    def survey(self) -> Iterator[Motion]:
        return (each.motion for each in self.shown if each.motion is not None) if self.knows else iter(())


@pytest.fixture(scope="module")
def smiles(model: CompactModel) -> list[Motion]:
    strengths = np.random.default_rng(8).beta(1, 4, 120)
    return [with_weights(model, mouthSmile_L=float(s), mouthSmile_R=float(s)) for s in strengths]


def driving_of(motions: list[Motion], rest: Motion, *, knows: bool = True) -> Frames:
    shown = [DrivenFrame(None, False, None), *(DrivenFrame(motion, True, None) for motion in motions)]
    return Frames(path=Path("stranger.mp4"), fps=Fraction(25), count=len(shown), shown=shown, rest=rest, knows=knows)


def manner_of(model: CompactModel, motions: list[Motion], rest: Motion, share: float = 1.0) -> Manner:
    """Return the manner of somebody who smiles half as wide again."""
    habits = habits_of(model.movement_names, 1.5 * model.movements(join_motions(motions), rest))
    assert habits is not None
    return Manner(model, habits, share, 25.0)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_clip_is_mapped_onto_the_persons_smile(model: CompactModel, smiles: list[Motion], share: float) -> None:
    rest = motion_at_rest(model)
    driving = MannerDriving.of(driving_of(smiles, rest), manner_of(model, smiles, rest, share))
    driving.find_reference(model, rest, "auto")
    frames = list(driving.frames())
    assert frames[0].motion is None and len(frames) == 121
    moved = join_motions([frame.motion for frame in frames[1:] if frame.motion is not None])
    before = model.movements(join_motions(smiles), rest)[:, WIDE].numpy()
    after = model.movements(moved, rest)[:, WIDE].numpy()
    slope, correlation = np.polyfit(before, after, 1)[0], np.corrcoef(before, after)[0, 1]
    assert slope == pytest.approx(1 + share / 2, abs=0.06) and correlation > 0.99
    if not share:
        assert torch.equal(moved.expression, join_motions(smiles).expression)


def test_what_is_live_begins_as_driven_and_slowly_becomes_the_persons(
    model: CompactModel, smiles: list[Motion]
) -> None:
    rest = motion_at_rest(model)
    motions = smiles * 3
    driving = MannerDriving.of(driving_of(motions, rest, knows=False), manner_of(model, smiles, rest))
    driving.find_reference(model, rest, "auto")
    shown = join_motions([frame.motion for frame in driving.frames() if frame.motion is not None])
    gains = (model.movements(shown, rest) / model.movements(join_motions(motions), rest))[:, WIDE].numpy()
    assert gains[:5] == pytest.approx(1, abs=0.02)
    assert np.median(gains[-60:]) == pytest.approx(1.5, abs=0.2)


def test_another_shot_is_measured_from_its_own_rest(model: CompactModel, smiles: list[Motion]) -> None:
    rest = motion_at_rest(model)
    grinning = with_weights(model, mouthSmile_L=0.6, mouthSmile_R=0.6)
    inner = driving_of([*smiles, grinning], rest)
    inner.shown[-1] = replace(inner.shown[-1], starts=ShotStart(Reference(grinning, 121), None))
    driving = MannerDriving.of(inner, manner_of(model, smiles, rest))
    driving.find_reference(model, rest, "auto")
    last = list(driving.frames())[-1].motion
    assert last is not None and torch.allclose(last.expression, grinning.expression, atol=1e-5), "its rest stays rest"


# --- what is asked for ---


def test_each_mistake_is_one_clear_line(model: CompactModel) -> None:
    @dataclass
    class Picture:
        habits: Habits | None
        path = Path("me.jpg")

    for share, is_relative, words in (
        (1.5, True, "--manner 1.5: write a number from 0"),
        (float("nan"), True, "--manner nan"),
        (1.0, False, "needs --relative"),
    ):
        with pytest.raises(UsageError, match=words):
            check_manner(share, is_relative=is_relative)
    for habits, words in (
        (None, r"me.jpg does not tell how its person moves; .*personalize"),
        (Habits(("x",), np.zeros((1, 6)), 50), "habits of another version"),
    ):
        with pytest.raises(UsageError, match=words):
            manner_of_source(Picture(habits), model, 1.0, 25.0)  # type: ignore[arg-type]


# --- with real files ---


@pytest.fixture(scope="module")
def person(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a person of the bundled clip, played twice: habits take five seconds."""
    home = tmp_path_factory.mktemp("person")
    ffmpeg("-stream_loop", "1", "-i", EXAMPLES / "driving.mp4", "-vf", "scale=256:-2", "-an", home / "long.mp4")
    personalize(home / "long.mp4", home / "me.person", PersonalizeOptions(views=2, threads=1))
    return home / "me.person"


def test_a_person_made_of_a_clip_moves_in_its_own_manner(person: Path, model: CompactModel) -> None:
    habits = kept_habits(person)
    assert habits is not None and habits.names == model.movement_names
    assert habits.quantiles[0, -1] > 0.03, "the bundled clip talks"
    options = ReenactOptions(end="1", size=160, body=False, threads=1)
    played = {}
    for manner in (None, 0.0, 1.0):
        asked = options if manner is None else replace(options, manner=manner)
        with open_scene(person, EXAMPLES / "driving.mp4", asked) as scene:
            played[manner] = np.stack(list(scene.frames()))
    assert np.array_equal(played[None], played[0.0])
    assert played[1.0].shape == played[0.0].shape and not np.array_equal(played[1.0], played[0.0])


def test_pictures_tell_no_habits_and_keep_those_of_a_file(person: Path, tmp_path: Path) -> None:
    portraits = [EXAMPLES / "portrait.jpg"] * 21
    options = PersonalizeOptions(views=2, same_person=True, threads=1)
    personalize(portraits, tmp_path / "posed.person", options)
    assert kept_habits(tmp_path / "posed.person") is None
    personalize([person, portraits[0]], tmp_path / "more.person", options)
    before, after = kept_habits(person), kept_habits(tmp_path / "more.person")
    assert before is not None and after is not None and np.allclose(before.quantiles, after.quantiles)


def test_commands_say_what_a_manner_lacks(person: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    portrait, clip, out = str(EXAMPLES / "portrait.jpg"), str(EXAMPLES / "driving.mp4"), str(tmp_path / "out.mp4")
    for arguments, words in (
        (["reenact", portrait, clip], "portrait.jpg does not tell how its person moves"),
        (["reenact", str(person), portrait], "portrait.jpg is a still, which shows no habits"),
        (["reenact", str(person), clip, "--absolute"], "needs --relative"),
    ):
        assert main([*arguments, "-o", out, "--manner", "1"]) == 2
        said = capsys.readouterr().err.strip().splitlines()
        assert len(said) == 1 and words in said[0]
    assert not list(tmp_path.iterdir())


def test_how_a_person_rests_counts_everywhere_but_at_the_mouth(person: Path, tmp_path: Path) -> None:
    kept = load_person(person)
    rest = kept.statistics[REST]
    assert rest.shape == (KEYPOINTS, 3) and np.isfinite(rest).all()
    raised = rest + np.array([0, -0.1, 0], np.float32)  # the whole face rests higher than the picture shows it
    (tmp_path / "raised.person").write_bytes(encode_person(replace(kept, statistics={**kept.statistics, REST: raised})))
    frames = []
    for path in (person, tmp_path / "raised.person"):
        with open_scene(path, EXAMPLES / "driving.mp4", ReenactOptions(fps="2", end="0.5", size=256)) as scene:
            frames.append(next(scene.frames()).astype(int))
    (face,) = load_face_analyzer().faces(frames[0].astype(np.uint8))
    moved = np.abs(frames[0] - frames[1]).mean(2)

    def around(*points: int) -> float:
        x, y = face.landmarks_px[list(points), :2].mean(0).astype(int)
        return float(moved[y - 6 : y + 7, x - 12 : x + 13].mean())

    brows, lips = around(105, 107, 336, 334), around(13, 14)
    assert brows > 3 and lips < 0.3 * brows


def test_a_person_shown_live_comes_to_move_in_its_own_manner(person: Path) -> None:
    """Play a clip as a camera: the manner counts nothing at first and shows at the end."""
    shown = {}
    for manner in (0.0, 1.0):
        engine = start_engine(EngineOptions(threads=1), None)
        setup = LiveSetup(manner=manner)
        options = PictureOptions(size=128)
        with closing(LivePortrait(engine, [person], options, lambda text: None, setup=setup)) as live:
            pictures = list(read_video(EXAMPLES / "driving.mp4", ReadOptions(end_s=4)))
            shown[manner] = [live.render(live.read(picture, k / 25)) for k, picture in enumerate(pictures)]
    away = [float(np.abs(a.astype(float) - b).mean()) for a, b in zip(shown[0.0], shown[1.0], strict=True)]
    assert max(away[:3]) < 0.01 < max(away[-25:])

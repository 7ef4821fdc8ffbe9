"""Lips and lids meet in the source when the driving's do, and what counts as a face at rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.support.faces import landmarks_of
from vid2vid_cli import open_scene
from vid2vid_cli.face.landmarks import BROWS
from vid2vid_cli.face.mesh import FaceAnalyzer
from vid2vid_cli.media.video import ReadOptions, read_video
from vid2vid_cli.models.base import SourceAppearance
from vid2vid_cli.models.compact.contact import LidContact
from vid2vid_cli.models.compact.model import CompactModel
from vid2vid_cli.models.compact.mouth_halves import CHIN
from vid2vid_cli.models.compact.posing import UNDERSHOWN_WIDTH
from vid2vid_cli.models.compact.rest import weighted_median
from vid2vid_cli.models.registry import LoadedModel, load_model
from vid2vid_cli.motion import Motion, join_motions
from vid2vid_cli.motion_file import encode_motion, load_motion
from vid2vid_cli.pipeline.extract_motion import extract_motion
from vid2vid_cli.pipeline.options import MotionOptions, ReenactOptions

EXAMPLES = Path(__file__).parents[1] / "examples"
TALKING = EXAMPLES / "driving.mp4"
SMILE = 0.12  # eye distances: how far the lips of the source below are apart
LIPS = ((82, 87), (13, 14), (312, 317))  # upper and lower edge, in the middle of the mouth
CORNER = 61
LIDS = ((159, 145), (386, 374))


@pytest.fixture(scope="module")
def model(face_state: Mapping[str, Tensor]) -> CompactModel:
    return CompactModel(face_state)


def motion_of(model: CompactModel, lips: float, *, lids: tuple[float, float] = (1.0, 1.0)) -> Motion:
    """Return a frame of the mean face with lips so far apart (eye distances) and eyes open by shares."""
    mean = model.topology.canonical
    moved = mean.clone()
    loop = torch.from_numpy(model.topology.inner_lips).long()
    half = len(loop) // 2
    for upper, lower in zip(loop[1:half], loop[half + 1 :].flip(0), strict=True):
        middle = (mean[upper, 1] + mean[lower, 1]) / 2
        moved[upper, 1], moved[lower, 1] = middle - lips / 2, middle + lips / 2
    moved[CORNER, 0] += lips / 4  # an open mouth is narrower
    for eye, share in zip(torch.from_numpy(model.topology.eyes).long(), lids, strict=True):
        middle = mean[eye, 1].mean()
        moved[eye, 1] = middle + share * (mean[eye, 1] - middle)
    expression = torch.cat([moved - mean, torch.zeros(1, 3)])[None]
    return Motion(torch.eye(3)[None], torch.zeros(1, 3), torch.ones(1, 1), expression)


def smiling(model: CompactModel) -> SourceAppearance:
    """Return a source whose lips are apart, and whose face is a little larger than the mean one."""
    motion = motion_of(model, SMILE)
    return SourceAppearance({}, 1.1 * model.topology.canonical[None], motion)


def stranger_to(model: CompactModel, driver: Motion) -> SourceAppearance:
    """Return a source with a driver's face, but so far beside it that it is not the driver."""
    own = replace(driver, expression=driver.expression + 0.05)
    return SourceAppearance({}, model.topology.canonical[None], own)


def heights(points: Tensor, pairs: tuple[tuple[int, int], ...]) -> list[float]:
    return [float(points[lower, 1] - points[upper, 1]) for upper, lower in pairs]


def driven(model: CompactModel, source: SourceAppearance, driving: Motion, reference: Motion) -> Tensor:
    rested = replace(source, rest=model.rested(source, reference, None))
    return model.drive(rested, driving, reference, None).keypoints[0]


def test_lips_that_touch_in_the_driving_touch_in_a_smiling_source(model: CompactModel) -> None:
    source, closed = smiling(model), motion_of(model, 0.0)
    before = source.canonical[0] + source.motion.expression[0, :468]
    assert min(heights(before, LIPS)) > 0.1
    after = driven(model, source, closed, closed)
    assert heights(after, LIPS) == pytest.approx([0, 0, 0], abs=1e-5)
    # Both lips gave way, and the chin, the nose and the corners stayed.
    assert after[14, 1] < before[14, 1] - 0.03 and after[13, 1] > before[13, 1] + 0.03
    still = [152, 4, 291]
    torch.testing.assert_close(after[still], before[still], atol=0.01, rtol=0)


def test_a_mouth_opens_as_far_as_the_drivings(model: CompactModel) -> None:
    closed = motion_of(model, 0.0)
    for opening in (0.03, 0.3):
        after = driven(model, smiling(model), motion_of(model, opening), closed)
        assert heights(after, LIPS) == pytest.approx([opening] * 3, abs=1e-5)


def test_a_reference_with_open_lips_leaves_the_source_as_it_is(model: CompactModel) -> None:
    source, opened = smiling(model), motion_of(model, 0.4)
    assert heights(driven(model, source, opened, opened), LIPS) == pytest.approx(
        heights(source.canonical[0] + source.motion.expression[0, :468], LIPS), abs=1e-5
    )


def test_a_source_at_rest_of_its_own_is_not_moved(model: CompactModel) -> None:
    source = smiling(model)
    own = model.drive(source, source.motion, source.motion, None).keypoints[0]
    torch.testing.assert_close(own, source.canonical[0] + source.motion.expression[0, :468], atol=2e-3, rtol=0)


def test_a_wink_stays_one_eye(model: CompactModel) -> None:
    source, rest = smiling(model), motion_of(model, 0.0)
    open_eyes = heights(source.canonical[0] + source.motion.expression[0, :468], LIDS)
    after = heights(driven(model, source, motion_of(model, 0.0, lids=(0.0, 1.0)), rest), LIDS)
    assert after[0] == pytest.approx(0, abs=0.005) and after[1] == pytest.approx(open_eyes[1], abs=0.005)


def test_rest_is_the_calm_part_of_each_frame(model: CompactModel) -> None:
    # Talking and blinking, never both at rest in one frame.
    frames = [motion_of(model, 0.2)] * 4 + [motion_of(model, 0.01, lids=(0.0, 0.0))] * 4 + [motion_of(model, 0.3)] * 2
    rest = model.rest(join_motions(frames))
    face = model.topology.canonical + rest.motion.expression[0, :468]
    assert rest.is_seen
    assert heights(face, LIPS) == pytest.approx([0, 0, 0], abs=1e-5)
    assert float(face[CORNER, 0] - model.topology.canonical[CORNER, 0]) == pytest.approx(0.0025, abs=1e-3)
    assert heights(face, LIDS) == pytest.approx(heights(model.topology.canonical, LIDS), abs=0.005)


def test_whoever_half_shuts_their_eyes_mostly_rests_with_open_ones(model: CompactModel) -> None:
    frames = [motion_of(model, 0.0, lids=(0.5, 0.5))] * 8 + [motion_of(model, 0.0)] * 2
    face = model.topology.canonical + model.rest(join_motions(frames)).motion.expression[0, :468]
    assert heights(face, LIDS) == pytest.approx(heights(model.topology.canonical, LIDS), abs=0.005)


@pytest.mark.parametrize(("share", "is_shut"), [(0.0, True), (0.38, True), (0.6, False)])
def test_eyes_that_are_open_by_their_lashes_alone_are_shut(model: CompactModel, share: float, is_shut: bool) -> None:
    source, rest = smiling(model), motion_of(model, 0.0)
    after = heights(driven(model, source, motion_of(model, 0.0, lids=(share, share)), rest), LIDS)
    assert (max(after) < 0.002) == is_shut


def test_lashes_are_left_out_of_a_reading_as_they_are_put_in(model: CompactModel) -> None:
    lids, mean = LidContact(model.topology), model.topology.canonical[None]
    faces = lids.opened_by(mean.repeat(4, 1, 1), mean, torch.tensor([[0.0, 0.22], [0.4, 0.45], [0.5, 0.8], [1.0, 1.2]]))
    again = lids.set_opening(faces, mean, lids.with_lashes(faces, mean), mean)
    torch.testing.assert_close(again, faces, atol=1e-4, rtol=0)


def with_brows(model: CompactModel, lowered: float) -> Motion:
    """Return the mean face with brows so much further down, in eye distances."""
    motion = motion_of(model, 0.0)
    motion.expression[0, torch.tensor(BROWS).flatten(), 1] += lowered
    return motion


def test_whoever_mostly_talks_with_raised_brows_does_not_rest_so(model: CompactModel) -> None:
    def brows_at_rest(*lowered: float) -> float:
        frames = join_motions([with_brows(model, by) for by in lowered])
        return float(model.rest(frames).motion.expression[0, torch.tensor(BROWS).flatten(), 1].mean())

    assert brows_at_rest(*[-0.06] * 7, *[0.06] * 3) > -0.02
    assert brows_at_rest(*[-0.06] * 10) == pytest.approx(-0.06, abs=1e-4)  # whose brows lie there are left alone


def test_a_frown_leaves_room_above_the_eyes(model: CompactModel) -> None:
    rest = motion_of(model, 0.0)
    source, brows = stranger_to(model, rest), ((105, 159), (334, 386))
    before = min(heights(driven(model, source, rest, rest), brows))
    assert min(heights(driven(model, source, with_brows(model, 0.2), rest), brows)) > 0.5 * before
    assert min(heights(driven(model, source, with_brows(model, 0.02), rest), brows)) < before - 0.02


def test_a_short_chin_makes_room_for_a_lip_that_comes_down(model: CompactModel) -> None:
    def with_jaw(lip: float, chin: float) -> Motion:
        motion = motion_of(model, 0.0)
        motion.expression[0, [17, 84, 314], 1] += lip
        motion.expression[0, list(CHIN), 1] += chin
        return motion

    rest, dropped = with_jaw(0.0, 0.0), with_jaw(0.4, 0.2)  # half of what lies between lip and chin is left
    source = stranger_to(model, with_jaw(0.0, -0.15))
    before, after = (driven(model, source, motion, rest) for motion in (rest, dropped))
    chin = ((17, 152),)
    assert heights(after, chin)[0] == pytest.approx(0.5 * heights(before, chin)[0], rel=0.15)
    assert float(after[17, 1] - before[17, 1]) == pytest.approx(0.4, abs=0.02)  # and the lip moved all of its way


def test_a_mouth_that_never_closes_shows_no_rest(model: CompactModel) -> None:
    assert not model.rest(join_motions([motion_of(model, opening) for opening in (0.1, 0.2, 0.3)])).is_seen


def test_a_median_counts_by_weight() -> None:
    values = torch.tensor([[5.0, 1.0], [1.0, 2.0], [9.0, 3.0]])
    assert weighted_median(values, torch.tensor([1.0, 1.0, 1.0])).tolist() == [[5.0, 2.0]]
    assert weighted_median(values, torch.tensor([0.1, 0.1, 5.0])).tolist() == [[9.0, 3.0]]


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return load_model()


def opening_in(frame: object, analyzer: FaceAnalyzer) -> float:
    """Return how far lips are apart in a picture, in distances of the outer corners of the eyes."""
    points = landmarks_of(frame, analyzer)  # type: ignore[arg-type]
    unit = ((points[33, :2] - points[263, :2]) ** 2).sum() ** 0.5
    return float(((points[13, :2] - points[14, :2]) ** 2).sum() ** 0.5 / unit)


@pytest.mark.usefixtures("own_folder")
def test_the_mouth_of_a_talking_source_is_replaced(loaded: LoadedModel, face_analyzer: FaceAnalyzer) -> None:
    few = Fraction(25, 4)  # frames in a second
    openings = [opening_in(frame, face_analyzer) for frame in read_video(TALKING, ReadOptions(fps=few))]
    assert max(openings) > 0.08  # the source talks
    # Its mouth is driven by a clip in which nobody does: the first frame, which is at rest, again and again.
    extract_motion(TALKING, "talk.motion", MotionOptions(), model=loaded)
    talk = load_motion(Path("talk.motion"))
    silent = replace(talk.motion, expression=talk.motion.expression[:1].expand_as(talk.motion.expression).clone())
    Path("silent.motion").write_bytes(encode_motion(replace(talk, motion=silent)))
    for strength, most in ((1.0, 0.03), (0.0, 1.0)):
        options = ReenactOptions(region="mouth", strength=strength, smooth=0.0, fps=str(float(few)))
        with open_scene(TALKING, "silent.motion", options, model=loaded) as scene:
            shown = [opening_in(frame, face_analyzer) for frame, _ in scene]
        assert max(shown) < most
        if not strength:  # nothing moves: the source talks as before
            assert shown == pytest.approx(openings, abs=0.02)


def test_strangers_move_further_than_the_driving_and_the_driver_as_far(model: CompactModel) -> None:
    """A warped smile looks less wide than its mesh, see posing.py; the driver's own face is taken as it is."""
    rest = motion_of(model, 0.0)
    wider = rest.expression.clone()
    wider[0, [61, 291], 0] += torch.tensor([-0.05, 0.05])
    smile = replace(rest, expression=wider)

    def widened(own: Motion) -> float:
        source = SourceAppearance({}, model.topology.canonical[None], own)
        faces = [model.drive(source, motion, rest, None).keypoints[0] for motion in (rest, smile)]
        return float((faces[1][291, 0] - faces[1][61, 0]) - (faces[0][291, 0] - faces[0][61, 0]))

    driver = replace(
        rest, expression=torch.cat([model._rigging.project(rest.expression[:, :468]), torch.zeros(1, 1, 3)], 1)
    )
    stranger = replace(driver, expression=driver.expression + 0.05)
    assert not model.follows_face(stranger, rest) and model.follows_face(driver, rest)
    assert widened(driver) == pytest.approx(0.1, abs=1e-4)
    assert widened(stranger) == pytest.approx(0.1 * (1 + UNDERSHOWN_WIDTH), abs=2e-3)


def test_brows_of_strangers_rise_further_than_they_come_down(model: CompactModel) -> None:
    """Further down they would be squeezed onto the eyes."""
    rest, brow = motion_of(model, 0.0), torch.tensor(BROWS).flatten()
    source = SourceAppearance({}, model.topology.canonical[None], replace(rest, expression=rest.expression + 0.05))

    def moved(by: float) -> float:
        expression = rest.expression.clone()
        expression[0, brow, 1] += by
        faces = [model.drive(source, m, rest, None).keypoints[0] for m in (rest, replace(rest, expression=expression))]
        return float((faces[1][105, 1] - faces[0][105, 1]) / by)

    assert 1 < moved(0.05) < 1.5 < moved(-0.05) < 1.8

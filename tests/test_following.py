"""What moves beside the head: hair, neck, shoulders and camera follow the driving, and nothing else does."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.support.clips import make_clip
from vid2vid_cli.arrays import Frame
from vid2vid_cli.call.encode import encode_call
from vid2vid_cli.errors import MotionFileError
from vid2vid_cli.evaluation.options import EvaluateClipsOptions
from vid2vid_cli.evaluation.performers import Performer, Portrait
from vid2vid_cli.evaluation.self_reenactment import evaluate_self
from vid2vid_cli.face.crop import EVERYWHERE, CropSpec, crop_around, crop_frame, crop_gray
from vid2vid_cli.face.eyes import LOOPS, LOWER, RINGS, UPPER
from vid2vid_cli.face.landmarks import LIPS
from vid2vid_cli.face.mesh import Face, FaceAnalyzer
from vid2vid_cli.geometry.keypoints import Similarity
from vid2vid_cli.media.image import read_image
from vid2vid_cli.media.video import ReadOptions, read_video
from vid2vid_cli.models.compact.following import follower
from vid2vid_cli.models.compact.following.compared_square import LEAST_CELLS, SIDE, ComparedSquare
from vid2vid_cli.models.compact.following.first_frame import VIEW, FirstFrame
from vid2vid_cli.models.compact.following.follower import FirstFrameFollower
from vid2vid_cli.models.compact.following.pixel_loops import even_out
from vid2vid_cli.models.compact.mesh.box import Box
from vid2vid_cli.models.compact.model import CompactModel
from vid2vid_cli.models.compact.motion_layout import AROUND, CELLS, POINTS, body_of, unit_points
from vid2vid_cli.models.compact.source import CompactSource
from vid2vid_cli.models.registry import LoadedModel
from vid2vid_cli.motion import Motion
from vid2vid_cli.motion_file import load_motion
from vid2vid_cli.pipeline.driving.motion_reader import MotionReader, ReaderSetup
from vid2vid_cli.pipeline.driving.opening import open_driving
from vid2vid_cli.pipeline.encode_options import EncodeOptions
from vid2vid_cli.pipeline.engine import start_engine
from vid2vid_cli.pipeline.extract_motion import extract_motion
from vid2vid_cli.pipeline.motion_output import save_motion
from vid2vid_cli.pipeline.options import EngineOptions, MotionOptions, ReenactOptions
from vid2vid_cli.pipeline.reenact import reenact

PORTRAIT = Path(__file__).parents[1] / "examples" / "portrait.jpg"
SHIFT_PX = 12


@pytest.fixture(scope="module")
def portrait() -> Frame:
    return cv2.resize(read_image(PORTRAIT), (384, 384), interpolation=cv2.INTER_AREA)


@pytest.fixture(scope="module")
def face(portrait: Frame, face_analyzer: FaceAnalyzer) -> Face:
    return max(face_analyzer.faces(portrait), key=lambda found: found.size_px)


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def beside_the_head(face: Face, frame: Frame) -> NDArray[np.float32]:
    """Return 1 well outside the head, 0 on it: (H, W)."""
    head = np.zeros(frame.shape[:2], np.float32)
    low, high = face.landmarks_px[:, :2].min(0), face.landmarks_px[:, :2].max(0)
    middle, half = (low + high) / 2, (high - low) / 2
    axes = tuple(int(v) for v in half * (1.45, 1.5))
    cv2.ellipse(head, tuple(int(v) for v in middle), axes, 0, 0, 360, 1.0, -1)
    return 1 - cv2.GaussianBlur(head, (0, 0), 5)


def move_surroundings(frame: Frame, face: Face, by_px: float) -> Frame:
    """Return the frame with all but the head moved to the right."""
    weight = beside_the_head(face, frame)
    y, x = np.mgrid[0 : frame.shape[0], 0 : frame.shape[1]].astype(np.float32)
    return cv2.remap(frame, x - by_px * weight, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def read_extra(model: LoadedModel, analyzer: FaceAnalyzer, frames: list[Frame], faces: list[Face]) -> Tensor:
    """Return what is read of the last frame after the first: (CELLS, CELLS, 2)."""
    reader = MotionReader(ReaderSetup(model.model, analyzer, "largest", torch.device("cpu")), frames[0], faces[0])
    extra = [reader.read(frame, seen).extra for frame, seen in zip(frames, faces, strict=True)][-1]
    assert extra is not None
    return surroundings(extra)[0]


def surroundings(extra: Tensor) -> Tensor:
    """Return how the cells beside the face move: (B, CELLS, CELLS, 2)."""
    assert extra.shape[1] in (POINTS + AROUND, POINTS + AROUND - 1)  # a call sends no body
    return extra[:, POINTS : POINTS + CELLS * CELLS, :2].reshape(-1, CELLS, CELLS, 2)


def cells_of(values: NDArray[np.float32], face: Face) -> NDArray[np.float32]:
    """Return the mean of a map of the frame (H, W) in each cell of the square around the head."""
    view = crop_around(face, CropSpec(scale=3.0, size=CELLS * 8), EVERYWHERE)
    seen = crop_frame(np.repeat((values * 255).astype(np.uint8)[..., None], 3, 2), view)[..., 0]
    return cv2.resize(seen, (CELLS, CELLS), interpolation=cv2.INTER_AREA) / np.float32(255)


def test_a_frame_like_the_first_moves_nothing(
    model: LoadedModel, face_analyzer: FaceAnalyzer, portrait: Frame, face: Face
) -> None:
    extra = read_extra(model, face_analyzer, [portrait, portrait], [face, face])
    assert float(extra.abs().max()) < 0.003


def test_what_moves_beside_the_head_is_measured_in_squares(
    model: LoadedModel, face_analyzer: FaceAnalyzer, portrait: Frame, face: Face
) -> None:
    moved = move_surroundings(portrait, face, SHIFT_PX)
    extra = read_extra(model, face_analyzer, [portrait, moved], [face, face]).numpy()
    outside = cells_of(beside_the_head(face, portrait), face) > 0.95
    low, high = face.landmarks_px[:, :2].min(0), face.landmarks_px[:, :2].max(0)
    expected = -SHIFT_PX / (float((high - low).max()) * 3.0 / 2)  # towards where it comes from
    textured = np.abs(extra[..., 0]) > 0.2 * abs(expected)  # a plain wall shows no movement
    assert (outside & textured).sum() > 0.3 * outside.sum()
    assert np.median(extra[outside & textured][:, 0]) == pytest.approx(expected, rel=0.25)
    assert abs(np.median(extra[outside][:, 1])) < 0.1 * abs(expected)


def read_as(
    who: bool, model: LoadedModel, analyzer: FaceAnalyzer, frames: list[Frame], face: Face
) -> tuple[Motion, Motion]:
    """Read two frames with the same face as whoever uses them: who, as the driver, or as somebody else."""
    reader = MotionReader(ReaderSetup(model.model, analyzer, "largest", torch.device("cpu")), frames[0], face)
    reader.follows_face = who
    return reader.read(frames[0], face), reader.read(frames[1], face)


def test_the_drivers_own_surroundings_are_measured_again(
    portrait: Frame, face: Face, model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, moved = start_engine(EngineOptions(), model), move_surroundings(portrait, face, SHIFT_PX)
    low, high = (np.clip(face.center_px + by * face.size_px, 0, len(portrait)).astype(int) for by in (-1, 1))
    around, missing = (slice(low[1], high[1]), slice(low[0], high[0])), []
    for times in (0, follower.REFINED_TIMES):
        monkeypatch.setattr(follower, "REFINED_TIMES", times)
        shown = Performer(engine, Portrait(portrait, face, (face,))).follow(moved, face)
        missing.append(np.abs(shown.astype(float) - moved)[around].mean())
    assert missing[1] < 0.85 * missing[0]


def test_other_people_move_alike_whether_the_face_was_compared_or_not(
    model: LoadedModel, face_analyzer: FaceAnalyzer, portrait: Frame, face: Face
) -> None:
    """Motion that is kept is read for the driver and for anybody else."""
    compact, moved = model.model, move_surroundings(portrait, face, SHIFT_PX)
    assert isinstance(compact, CompactModel)
    crop = torch.from_numpy(portrait.copy()).permute(2, 0, 1)[None].float() / 255
    who = compact.appearance(crop, torch.from_numpy(face.landmarks_px)[None])
    stranger = replace(who, motion=replace(who.motion, expression=who.motion.expression + 0.03))
    seen = {}
    for compared in (True, False):
        first, last = read_as(compared, model, face_analyzer, [portrait, moved], face)
        for name, source in (("own", who), ("stranger", stranger)):
            around = compact.drive(source, last, first, None).surroundings_of_frame()
            assert around is not None and around.alike == (name == "own")
            seen[name, compared] = around.shared()
    assert np.array_equal(seen["stranger", True], seen["stranger", False])
    assert np.abs(seen["stranger", True]).max() > 0.01 and np.ptp(seen["stranger", True], (0, 1)).max() == 0
    assert not np.array_equal(seen["own", True], seen["own", False])


def test_a_motion_of_an_earlier_version_has_its_body_in_its_cells(
    model: LoadedModel, face_analyzer: FaceAnalyzer, portrait: Frame, face: Face
) -> None:
    moved = move_surroundings(portrait, face, SHIFT_PX)
    first, last = read_as(False, model, face_analyzer, [portrait, moved], face)
    assert first.extra is not None and last.extra is not None
    earlier = [replace(motion, extra=motion.extra[:, :-1]) for motion in (first, last) if motion.extra is not None]
    crop = torch.from_numpy(portrait.copy()).permute(2, 0, 1)[None].float() / 255
    compact = model.model
    assert isinstance(compact, CompactModel)
    who = compact.appearance(crop, torch.from_numpy(face.landmarks_px)[None])
    around = compact.drive(who, earlier[1], earlier[0], None).surroundings_of_frame()
    assert around is not None
    assert np.array_equal(around.body, body_of(around.cells)) and np.abs(around.body).max() > 0.01


def test_errors_of_the_mesh_are_seen(
    model: LoadedModel, face_analyzer: FaceAnalyzer, portrait: Frame, face: Face
) -> None:
    """The same frame twice, the second time with lips and brows laid wrong: compared, they lie where they were."""
    shifted = face.landmarks_px.copy()
    eyes, mouth = (face.landmarks_px[list(points), :2].mean(0) for points in ((33, 263), (13, 14)))
    for middle, by in ((mouth, (0.0, 3.0)), (eyes, (0.0, -2.5))):
        near = np.exp(-np.square(shifted[:, :2] - middle).sum(1) / (2 * (0.2 * face.size_px) ** 2))
        shifted[:, :2] += near[:, None] * np.array(by, np.float32)
    look = ReaderSetup(model.model, face_analyzer, "largest", torch.device("cpu"))
    wrong = replace(face, landmarks_px=shifted)
    compact = model.model
    assert isinstance(compact, CompactModel)

    def points(motion: Motion) -> Tensor:
        pose = Similarity(motion.scale, motion.rotation, motion.translation)
        residuals = torch.zeros(1, 468, 3) if motion.extra is None else motion.extra[:, :468]
        return pose.apply(compact.topology.canonical + motion.expression[:, :468] + residuals)[0, :, :2]

    away = {}
    for name, follows in (("frame alone", False), ("compared", True)):
        reader = MotionReader(replace(look, follows=follows), portrait, face)
        off = points(reader.read(portrait, wrong)) - points(reader.read(portrait, face))
        away[name] = off.norm(dim=-1)
    off_most = away["frame alone"] > 0.5 * away["frame alone"].max()
    assert away["compared"][off_most].mean() < 0.4 * away["frame alone"][off_most].mean()
    assert away["compared"].mean() < 0.5 * away["frame alone"].mean()


def test_residuals_belong_to_the_face_that_has_them(model: LoadedModel, portrait: Frame, face: Face) -> None:
    compact, crop = model.model, torch.from_numpy(portrait.copy()).permute(2, 0, 1)[None].float() / 255
    assert isinstance(compact, CompactModel)
    landmarks = torch.from_numpy(face.landmarks_px)[None]
    who = compact.appearance(crop, landmarks)
    nothing = torch.zeros(1, POINTS + AROUND, 3)
    shifted = nothing.clone()
    shifted[:, 13, 1] = 0.05  # a lip, in distances of the eyes
    rest = replace(who.motion, extra=nothing)
    stranger = replace(rest, expression=rest.expression + 0.03)
    lips = {}
    for name, reference in (("own", rest), ("stranger", stranger)):
        still, moved = (
            compact.drive(who, replace(reference, extra=e), reference, None).keypoints for e in (nothing, shifted)
        )
        lips[name] = float((moved - still)[0, 13, :2].norm() / who.motion.scale)
    assert lips["own"] > 0.04 and lips["stranger"] < 0.001


def test_an_extra_of_another_kind_is_refused(swaying: Path, model: LoadedModel) -> None:
    extract_motion(swaying, "m.safetensors", MotionOptions(), model=model)
    content = load_motion(Path("m.safetensors"))
    strange = replace(content, motion=replace(content.motion, extra=torch.zeros(9, 7, 2)))
    save_motion(Path("strange.safetensors"), strange)
    with pytest.raises(MotionFileError, match="not that of compact"):
        reenact(swaying.with_name("p.png"), "strange.safetensors", "o.mp4", ReenactOptions(size=96), model=model)


def test_a_sheet_before_the_face_does_not_drag_it(
    model: LoadedModel, face_analyzer: FaceAnalyzer, portrait: Frame, face: Face
) -> None:
    covered = portrait.copy()
    mouth = face.landmarks_px[[13, 14], :2].mean(0)
    cv2.circle(covered, tuple(int(v) for v in mouth), int(face.size_px * 0.22), (255, 255, 255), -1)
    reader = MotionReader(ReaderSetup(model.model, face_analyzer, "largest", torch.device("cpu")), portrait, face)
    extra = reader.read(covered, face).extra
    assert extra is not None
    dragged = extra[:, :468].norm(dim=-1)  # in distances of the eyes
    assert float(dragged.mean()) < 0.01 and float(dragged.max()) < 0.15
    assert float(surroundings(extra).abs().max()) < 0.03


def test_another_picture_is_no_movement(
    model: LoadedModel, face_analyzer: FaceAnalyzer, portrait: Frame, face: Face
) -> None:
    other = 255 - np.ascontiguousarray(portrait[::-1])
    extra = read_extra(model, face_analyzer, [portrait, other], [face, face])
    assert float(extra.abs().max()) == 0.0


def test_a_glimpse_is_a_crop(portrait: Frame, face: Face) -> None:
    for scale in (1.5, 3.0):
        crop = crop_around(face, CropSpec(scale=scale, size=96), EVERYWHERE)
        fine = cv2.cvtColor(crop_frame(portrait, crop), cv2.COLOR_RGB2GRAY).astype(float)
        quick = crop_gray(portrait, crop).astype(float)
        shifted = np.roll(fine, 2, 1)
        assert np.abs(quick - fine).mean() < 0.35 * np.abs(quick - shifted).mean()


def shift_seen(before: Frame, after: Frame, where: NDArray[np.bool_]) -> float:
    """Return by how many px a part has moved to the right, by optical flow."""
    one, other = (cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in (before, after))
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(one, other, None)
    return float(np.median(flow[where][:, 0]))


@pytest.fixture(scope="module")
def swaying(portrait: Frame, face: Face, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a clip in which all but the head of the portrait p.png beside it moves to the right."""
    path = tmp_path_factory.mktemp("swaying") / "swaying.mp4"
    cv2.imwrite(str(path.with_name("p.png")), portrait[..., ::-1])
    frames = [move_surroundings(portrait, face, SHIFT_PX * k / 8) for k in range(9)]
    make_clip(path, frames)
    return path


@pytest.mark.parametrize(
    ("options", "share"),
    [
        (ReenactOptions(), 1.0),
        (ReenactOptions(strength=0.5), 0.5),
        (ReenactOptions(region="pose"), 1.0),
        (ReenactOptions(region="mouth"), 0.0),
        (ReenactOptions(body=False), 0.0),
        (ReenactOptions(relative=False), 0.0),
    ],
    ids=["all", "half as strong", "pose", "mouth", "head only", "absolute"],
)
def test_surroundings_follow_as_far_as_asked(
    options: ReenactOptions, share: float, swaying: Path, face: Face, model: LoadedModel
) -> None:
    chosen = replace(options, smooth=0.0, reference_frame="0", crf=10)
    reenact(swaying.with_name("p.png"), swaying, "o.mp4", chosen, model=model)
    frames, drivings = list(read_video(Path("o.mp4"))), list(read_video(swaying))
    # Neck and collar: below the chin and well within the square around the head, whose border keeps still.
    where = np.zeros(frames[0].shape[:2], bool)
    chin, middle, side = face.landmarks_px[152, 1], face.center_px[0], face.size_px
    where[int(chin + 0.25 * side) : int(chin + 0.5 * side), int(middle - 0.5 * side) : int(middle + 0.5 * side)] = True
    wanted = shift_seen(drivings[0], drivings[-1], where)
    assert wanted > 0.5 * SHIFT_PX
    assert shift_seen(frames[0], frames[-1], where) == pytest.approx(share * wanted, abs=0.3 * wanted)


def test_a_driving_that_stands_still_makes_nothing_tremble(swaying: Path, portrait: Frame, model: LoadedModel) -> None:
    rng = np.random.default_rng(0)
    noisy = [np.clip(portrait + rng.normal(0, 4, portrait.shape), 0, 255).astype(np.uint8) for _ in range(10)]
    make_clip(Path("still.mp4"), noisy)
    reenact(swaying.with_name("p.png"), "still.mp4", "o.mp4", ReenactOptions(crf=4), model=model)
    frames = [frame.astype(float) for frame in read_video(Path("o.mp4"))][1:]
    assert max(np.abs(after - before).mean() for before, after in pairwise(frames)) < 0.6  # of 255


def test_evaluate_tells_what_following_brings(swaying: Path, model: LoadedModel) -> None:
    errors = {}
    for body in (True, False):
        found = evaluate_self(swaying, EvaluateClipsOptions(every=4, size=128, body=body), model=model)
        assert found.settings["body"] is body
        errors[body] = next(row.scores["l1"] for row in found.means if row.method == "model") or 0.0
    assert errors[True] < 0.8 * errors[False]


def test_a_motion_file_keeps_it_and_drives_alike(
    swaying: Path, model: LoadedModel, read: Callable[[str], list[Frame]]
) -> None:
    portrait = swaying.with_name("p.png")
    extract_motion(swaying, "m.safetensors", MotionOptions(), model=model)
    kept = load_motion(Path("m.safetensors")).motion.extra
    assert kept is not None and float(surroundings(kept)[-1].abs().max()) > 0.03
    options = ReenactOptions(smooth=0.0, reference_frame="0", size=192)
    reenact(portrait, swaying, "direct.mp4", options, model=model)
    reenact(portrait, "m.safetensors", "replayed.mp4", options, model=model)
    reenact(portrait, "m.safetensors", "head.mp4", replace(options, body=False), model=model)
    direct, replayed, head = (read(f"{name}.mp4")[-1].astype(float) for name in ("direct", "replayed", "head"))
    # The face's own residuals stay behind: a motion file does not know whose they were.
    assert np.abs(direct - replayed).mean() < 0.5 * np.abs(direct - head).mean()


@pytest.fixture
def read() -> Callable[[str], list[Frame]]:
    return lambda name: list(read_video(Path(name)))


@pytest.mark.parametrize("body", [True, False])
def test_a_call_sends_what_moves_beside_the_head(
    body: bool, swaying: Path, model: LoadedModel, face_analyzer: FaceAnalyzer
) -> None:
    encode_call(swaying, "c.v2v", EncodeOptions(audio="none", body=body, smooth=0), model=model)
    for follows in (True, False):
        look = ReaderSetup(model.model, face_analyzer, "largest", torch.device("cpu"), follows=follows)
        with closing(open_driving(Path("c.v2v"), ReadOptions(), look)) as driving:
            got = [driven.motion.extra for driven in driving.frames() if driven.motion is not None]
        if not (follows and body):
            assert got and all(extra is None for extra in got)
            continue
        with closing(open_driving(swaying, ReadOptions(), look)) as driving:
            wanted = [driven.motion.extra for driven in driving.frames() if driven.motion is not None]
        assert got[-1] is not None and wanted[-1] is not None
        sent, seen = surroundings(got[-1]), surroundings(wanted[-1])
        assert float((sent - seen).norm()) < 0.5 * float(seen.norm())


class Waver:
    """The portrait as the first frame of a driving, and a second one whose skin wavers a little everywhere."""

    def __init__(self, portrait: Frame, face: Face, model: LoadedModel) -> None:
        compact = model.model
        assert isinstance(compact, CompactModel)
        landmarks = torch.from_numpy(face.landmarks_px)[None]
        who = compact.appearance(torch.from_numpy(portrait.copy()).permute(2, 0, 1)[None].float() / 255, landmarks)
        points = unit_points(landmarks, portrait.shape[:2])[:, :468]
        box = compact._rigging.rig(points, np.ones((1, 1), np.float32)).square
        view = np.stack([box.low, box.high]) * 192 + 192
        (left, top), (right, bottom) = np.clip(view, 0, 384).astype(int)
        gray = cv2.cvtColor(portrait, cv2.COLOR_RGB2GRAY)[top:bottom, left:right]
        shown = cv2.resize(gray, (VIEW, VIEW), interpolation=cv2.INTER_AREA)
        y, x = np.mgrid[:VIEW, :VIEW].astype(np.float32)
        self.picture = cv2.remap(shown, x + 1.5 * np.sin(y / 9), y + 1.5 * np.sin(x / 9), cv2.INTER_LINEAR)
        self.points, self._warp = points[0].numpy(), who.warp
        self._box = box
        self._first, self._pose = FirstFrame(who.warp, box, shown), compact.posing.head_pose(who, points)
        below = np.array([0, 0.4 * VIEW, VIEW, VIEW], np.float32)
        self._partly_seen = FirstFrame(who.warp, box, shown, below)

    def cells(self, *, seen: bool) -> NDArray[np.float32]:
        """Return how far the cells of the surroundings move, (CELLS, CELLS); seen: by a frame that covers all."""
        first = self._first if seen else self._partly_seen
        moved = first.surroundings(self._warp.place(self.points, self._pose), self.picture)
        return np.asarray(np.abs(moved).max(-1))

    def moved(self, first: NDArray[np.uint8], then: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return how far cells move to the right from one picture (VIEW, VIEW) to another, in px of them."""
        compared = FirstFrame(self._warp, self._box, first)
        cells = compared.surroundings(self._warp.place(self.points, self._pose), then, near=True)
        return np.asarray(-cells[..., 0] * VIEW / 2)

    def spread(self, points: NDArray[np.float32], part: NDArray[np.int64]) -> float:
        """Return how differently the keypoints of a part move where the mesh lies so."""
        residuals = self._first.keypoints(self._warp.place(points, self._pose), self.picture, finely=True)
        return float(np.ptp(residuals[part], axis=0).max())


@pytest.fixture(scope="module")
def waver(portrait: Frame, face: Face, model: LoadedModel) -> Waver:
    return Waver(portrait, face, model)


def test_what_lies_beyond_the_frame_moves_as_its_edge(waver: Waver) -> None:
    """The upper part of the square lies outside of the frame: there all moves as what is nearest within it."""
    whole, partly = waver.cells(seen=True), waver.cells(seen=False)
    edge = int(np.ceil(0.4 * len(whole)))
    assert np.ptp(whole[:edge], axis=0).max() > 1e-3
    assert (partly[:edge] == partly[edge]).all()
    assert np.ptp(partly[edge:], axis=0).max() > 1e-3


def test_a_cell_moves_as_its_edge_and_not_as_the_wall_beside_it(waver: Waver) -> None:
    """What shows nothing, as a wall beside hair, says nothing about how the hair moves."""
    noise = np.random.default_rng(0).normal(size=(VIEW, VIEW)).astype(np.float32)
    wall, by_px, left = 200 + 20 * cv2.GaussianBlur(noise, (0, 0), 3), 2, 30
    first, then = wall.astype(np.uint8), wall.astype(np.uint8)
    for row, sway in enumerate((3 * np.sin(np.arange(VIEW) / 7)).astype(int)):
        first[row, left + sway : left + sway + 3] = 60
        then[row, left + sway + by_px : left + sway + by_px + 3] = 60
    # The lock of hair lies in one column of cells, and only reaches into the next one.
    moved = np.median(waver.moved(first, then)[3:-3], 0)
    assert moved[left * CELLS // VIEW] > 0.9 * by_px
    assert moved[left * CELLS // VIEW + 1] > 0.75 * by_px


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        ((-1.0, -1.0, 1.0, 1.0), (0, 0, CELLS)),
        ((-0.5, -1.0, 0.5, 0.0), (6, 0, 12)),
        ((0.2, -0.5, 1.0, 0.6), (10, 6, 14)),  # a hair's breadth of cells does not count
        ((0.97, 0.97, 1.0, 1.0), (CELLS - LEAST_CELLS, CELLS - LEAST_CELLS, LEAST_CELLS)),
    ],
)
def test_only_what_a_frame_covers_is_compared(
    seen: tuple[float, float, float, float], expected: tuple[int, int, int]
) -> None:
    square = ComparedSquare.over(Box(*seen), Box(-1, -1, 1, 1))
    assert (square.left, square.top, square.cells) == expected
    picture = np.arange(CELLS * 12, dtype=np.float32)[None].repeat(CELLS * 12, 0).clip(0, 255).astype(np.uint8)
    cut, fine = square.cut(picture), square.as_fine(picture)
    assert len(cut) == min(square.cells * 12, SIDE)
    assert len(fine) * square.cells == pytest.approx(len(cut) * CELLS, abs=CELLS)
    assert cut.mean() == pytest.approx(picture[:, square.left * 12 :][:, : square.cells * 12].mean(), abs=1)
    means = square.means(np.full((len(cut), len(cut), 2), 3.0, np.float32))
    assert means.shape == (CELLS, CELLS, 2)
    assert means.sum() == pytest.approx(3 * 2 * square.cells**2)
    assert (means[square.top :, square.left :][: square.cells, : square.cells] > 2.99).all()


def test_what_is_missed_is_that_of_a_source_cut_off_alike(model: LoadedModel, portrait: Frame, face: Face) -> None:
    """A frame that ends at the neck holds it still there, in a source and in the driving that is compared."""
    compact = model.model
    assert isinstance(compact, CompactModel)
    bottom = int(face.landmarks_px[152, 1] + 0.1 * face.size_px)
    cut = np.ascontiguousarray(portrait[:bottom])
    crop = crop_around(face, compact.follow_crop, EVERYWHERE)
    landmarks = torch.from_numpy(crop.to_crop(face.landmarks_px)).float()[None]
    seen = crop.to_crop(np.array([[0, 0], [cut.shape[1], cut.shape[0]]])).ravel().astype(np.float32)
    source = Portrait(cut, face).view(start_engine(EngineOptions(), model))
    own = compact.appearance(source.image, source.landmarks)
    picture = crop_gray(cut, crop)
    followed, blind = (compact.follow(picture, landmarks, told) for told in (seen, None))
    assert isinstance(own, CompactSource)
    assert isinstance(followed, FirstFrameFollower)
    assert isinstance(blind, FirstFrameFollower)
    differs, would_differ = (np.abs(one.first.warp.follow - own.warp.follow) for one in (followed, blind))
    assert would_differ.max() > 0.5
    assert differs.mean() < 0.4 * would_differ.mean()


def test_lips_of_an_opening_mouth_move_as_the_skin_around_them(waver: Waver) -> None:
    """Where lips part, flow finds anything: they move as what is around them, all alike."""
    opened = waver.points.copy()
    opened[[14, 87, 178, 88, 95, 317, 402, 318, 324], 1] += 0.15
    assert waver.spread(waver.points, np.array(LIPS)) > 1e-3
    assert waver.spread(opened, np.array(LIPS)) < 1e-6


@pytest.mark.parametrize("eye", [0, 1])
def test_lids_of_a_closing_eye_move_as_the_skin_around_them(waver: Waver, eye: int) -> None:
    lids, other = (np.concatenate([LOOPS[one], RINGS[0][one]]) for one in (eye, 1 - eye))
    shut = waver.points.copy()
    shut[LOOPS[eye, UPPER]] = shut[LOOPS[eye, LOWER]]
    assert waver.spread(waver.points, lids) > 1e-3
    assert waver.spread(shut, lids) < 1e-6
    assert waver.spread(shut, other) == pytest.approx(waver.spread(waver.points, other), rel=0.3)


def test_moves_are_evened_out_where_the_mesh_would_fold() -> None:
    y, x = np.mgrid[:6, :6].astype(np.float32)
    points = np.stack([x.ravel(), y.ravel()], 1)
    corners = (np.arange(36).reshape(6, 6)[:5, :5]).ravel()
    triangles = np.concatenate(
        [np.stack([corners, corners + 1, corners + 6], 1), np.stack([corners + 1, corners + 7, corners + 6], 1)]
    ).astype(np.int32)

    def areas(moves: NDArray[np.float32]) -> NDArray[np.float32]:
        a, b, c = (points[triangles[:, k]] + moves[triangles[:, k]] for k in range(3))
        return (b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]

    gentle = np.stack([0.1 * np.sin(y.ravel()), 0.1 * np.cos(x.ravel())], 1).astype(np.float32)
    assert np.array_equal(even_out(points, gentle, triangles, 0.25, 20), gentle)
    torn = gentle.copy()
    torn[7] += (2.5, 0.0)  # past its neighbour
    assert areas(torn).min() < 0
    evened = even_out(points, torn, triangles, 0.25, 20)
    assert areas(evened).min() > 0.2
    assert np.array_equal(evened[[23, 28, 35]], gentle[[23, 28, 35]])
    assert evened[7, 0] > gentle[7, 0] + 0.1


def test_residuals_do_not_fold_lips_over_the_skin(
    portrait: Frame, face: Face, model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    compact = model.model
    assert isinstance(compact, CompactModel)
    view = crop_around(face, compact.follow_crop, EVERYWHERE)
    shown, landmarks = crop_gray(portrait, view), torch.from_numpy(view.to_crop(face.landmarks_px)).float()[None]
    follower = compact.follow(shown, landmarks)
    assert follower is not None
    y, x = np.mgrid[:VIEW, :VIEW].astype(np.float32)
    torn = cv2.remap(shown, x + 5 * np.sin(y / 4), y + 5 * np.sin(x / 4), cv2.INTER_LINEAR)
    motion = compact.motion(None, landmarks, (VIEW, VIEW))
    triangles = compact.topology.triangles
    triangles = triangles[np.isin(triangles, LIPS).any(1)]

    def folded() -> int:
        residuals = follower.compare(motion, torn)[:, :468]
        before, after = (follower.place(motion, one) for one in (torch.zeros_like(residuals), residuals))
        assert before is not None and after is not None
        signs = []
        for mesh in (before, after):
            a, b, c = (mesh.vertices[triangles[:, k], :2] for k in range(3))
            signs.append(np.sign((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]))
        return int((signs[0] != signs[1]).sum())

    assert folded() <= 2
    monkeypatch.setattr(FirstFrame, "without_folds", lambda _self, _mesh, moves: moves)
    assert folded() > 4

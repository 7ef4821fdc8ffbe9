"""Named expressions: each control is read back out of the picture, and fits tell how strong each one is."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.support.faces import landmarks_of
from training import head_model as training
from training.surface_places import closest_places
from vid2vid_cli.cli.app import main
from vid2vid_cli.errors import UsageError, WeightsError
from vid2vid_cli.face.expressions import NAMES, describe, names_meant
from vid2vid_cli.face.mesh import FaceAnalyzer
from vid2vid_cli.media.image import read_image
from vid2vid_cli.media.video import read_video
from vid2vid_cli.models.compact.contact import LidContact
from vid2vid_cli.models.compact.gaze import read_gaze
from vid2vid_cli.models.compact.head_model import HeadModel, fit_bounded
from vid2vid_cli.models.compact.mesh.topology import FaceTopology
from vid2vid_cli.models.compact.model import CompactModel
from vid2vid_cli.models.fomm.model import FommModel
from vid2vid_cli.models.registry import LoadedModel
from vid2vid_cli.pipeline.expression import require_gaze, require_names
from vid2vid_cli.pipeline.options import ReenactOptions, RotateOptions
from vid2vid_cli.pipeline.reenact import reenact
from vid2vid_cli.pipeline.rotate import rotate

ROOT = Path(__file__).resolve().parents[1]
WEIGHTS = ROOT / "weights" / "compact.safetensors"
Points = np.ndarray

pytestmark = pytest.mark.usefixtures("own_folder")


@pytest.fixture(scope="module")
def head(model: LoadedModel) -> HeadModel:
    assert isinstance(model.model, CompactModel)
    return model.model.head_model


@pytest.fixture(scope="module")
def portrait(media_dir: Path) -> Path:
    return media_dir / "sources" / "s27_ai_woman.png"


def weights_of(**strengths: float) -> torch.Tensor:
    weights = torch.zeros(1, len(NAMES))
    for name, strength in strengths.items():
        weights[0, NAMES.index(name)] = strength
    return weights


# --- what the checkpoint holds ---


def test_the_checkpoint_knows_the_names_that_the_program_lists(model: LoadedModel) -> None:
    named = require_names(model.model, "a test")
    assert sorted(named.expression_names) == sorted(NAMES) and len(NAMES) == 53
    tensors = {name: t for name, t in load_file(WEIGHTS).items() if name.startswith("head.")}
    assert sum(t.numel() * t.element_size() for t in tensors.values()) < 600_000


def test_left_and_right_are_mirror_images(head: HeadModel, model: LoadedModel) -> None:
    assert isinstance(model.model, CompactModel)
    mirror = torch.from_numpy(model.model.topology.mirror).long()
    order = [head.names.index(name) for name in ("mouthSmile_L", "mouthSmile_R", "eyeBlink_L", "eyeBlink_R")]
    left, right, shut_left, shut_right = head.offsets(torch.eye(len(head.names))[order])[:, :468]
    for one, other in ((left, right), (shut_left, shut_right)):
        assert torch.allclose(one[mirror] * torch.tensor([-1.0, 1.0, 1.0]), other, atol=1e-3)
    # The person's left is on the right of the picture.
    assert left[291].norm() > 4 * left[61].norm() and shut_left[386, 1] > 0.03 > shut_left[159, 1]


def test_training_writes_the_same_numbers_again_and_keeps_the_rest(tmp_path: Path, media_dir: Path) -> None:
    material = media_dir.parent / "headmodel" / "head_model.safetensors"
    if not material.exists():
        pytest.skip(f"no head model at {material}")
    kept = load_file(WEIGHTS)
    made = tmp_path / "c.safetensors"
    save_file({name: t for name, t in kept.items() if not name.startswith("head.")}, made)
    hashes = []
    for _ in range(2):
        training.main([str(material), "-o", str(made)])
        hashes.append(hashlib.sha256(made.read_bytes()).hexdigest())
    assert hashes[0] == hashes[1]
    again = load_file(made)
    assert again.keys() == kept.keys()
    # Another processor may round the last bit of a half otherwise.
    rounded = "head.expressions", "head.vertices"
    assert all(torch.equal(again[name], kept[name]) for name in kept if name not in rounded)
    assert all(torch.allclose(again[name].float(), kept[name].float(), atol=1e-3) for name in rounded)


def test_places_are_nearest_on_a_surface() -> None:
    vertices = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0]])
    triangles = np.array([[0, 1, 2], [1, 3, 2]])
    points = np.array([[0.2, 0.3, 5.0], [0.9, 0.8, -1], [2.0, 0.5, 0], [-1.0, -1.0, 3.0]])
    places = closest_places(points, vertices, triangles, candidates=2)
    found = places.of(vertices)
    assert np.allclose(found, [[0.2, 0.3, 0], [0.9, 0.8, 0], [1.0, 0.5, 0], [0, 0, 0]])


# --- the fit ---


def test_a_fit_finds_what_was_asked_for(head: HeadModel) -> None:
    rest = head.expression(torch.zeros(1, len(NAMES)))
    for name, strength in (("jawOpen", 0.6), ("mouthSmile_L", 0.8), ("eyeBlink_R", 1.0), ("browOuterUp_L", 0.7)):
        asked = torch.zeros(1, len(NAMES))
        asked[0, head.names.index(name)] = strength
        found = head.weights(head.expression(asked), rest)[0]
        assert found[head.names.index(name)] == pytest.approx(strength, abs=0.12), name
        assert found.sum() < strength + 0.5, name
    assert head.weights(rest, rest).max() < 1e-3


def test_a_fit_keeps_how_far_eyes_are_open(head: HeadModel, model: LoadedModel) -> None:
    """Lids that move as no expression does: their opening counts, less two fifths for the lashes of the mean eye.

    What is left is drawn a little wider, for the lashes that a drawn lid has.
    """
    assert isinstance(model.model, CompactModel)
    topology = model.model.topology
    lids, mean = LidContact(topology), topology.canonical[None]
    faces = lids.opened_by(mean.repeat(2, 1, 1), mean, torch.tensor([[0.6, 0.9], [0.2, 1.2]]))
    faces[..., 0] += 0.3 * (faces[..., 1] - mean[..., 1])  # aslant
    expression = torch.cat([faces - mean, torch.zeros(2, 1, 3)], 1)
    weights = head.weights(expression, torch.zeros(1, 469, 3))
    found = lids.shares(mean + head.offsets(weights)[:, :468], mean)
    assert torch.allclose(found, torch.tensor([[0.51, 0.88], [0.0, 4 / 3]]), atol=0.02)


def test_a_fit_is_the_best_within_its_bounds() -> None:
    random = np.random.default_rng(1)
    columns = random.normal(size=(6, 30))
    target = random.normal(size=(4, 30)) + 1.5 * columns[:2].sum(0)
    normal, wanted = columns @ columns.T, target @ columns.T
    found = fit_bounded(normal, wanted)
    slope = found @ normal - wanted
    assert ((found >= 0) & (found <= 1)).all() and (found == 1).any() and (found == 0).any()
    inside = (found > 0) & (found < 1)
    assert np.abs(slope[inside]).max() < 1e-3 and (slope[found == 0] > -1e-3).all() and (slope[found == 1] < 1e-3).all()


def test_eyes_open_by_the_share_of_their_own_opening(head: HeadModel, model: LoadedModel) -> None:
    """A narrow eye and a wide one are both shut by a whole blink, and half open by half of one."""
    assert isinstance(model.model, CompactModel)
    topology = model.model.topology
    lids, mean = LidContact(topology), topology.canonical[None]
    order = [head.names.index(name) for name in NAMES]
    for size in (0.6, 1.5):
        own = lids.opened_by(mean, mean, torch.full((1, 2), size))
        for strength, share in ((1.0, 0.0), (0.5, 0.5)):
            weights = torch.zeros(1, len(NAMES))
            weights[:, order] = weights_of(eyeBlink_L=strength, eyeBlink_R=strength)
            assert lids.shares(head.move(own, weights), own).numpy() == pytest.approx(share, abs=0.03)


def test_a_mouth_closes_over_an_open_jaw_only(head: HeadModel) -> None:
    order = [head.names.index(name) for name in NAMES]

    def offsets(**strengths: float) -> torch.Tensor:
        weights = torch.zeros(1, len(NAMES))
        weights[:, order] = weights_of(**strengths)
        return head.offsets(weights)

    assert offsets(mouthClose=1.0).abs().max() == 0
    assert torch.equal(offsets(jawOpen=0.3, mouthClose=1.0), offsets(jawOpen=0.3, mouthClose=0.3))


# --- in pictures ---


def eyes_apart(points: Points) -> float:
    return float(np.linalg.norm(points[263, :2] - points[33, :2]))


def gap(upper: int, lower: int) -> Callable[[Points], float]:
    return lambda points: float(np.linalg.norm(points[lower, :2] - points[upper, :2])) / eyes_apart(points)


def height(point: int) -> Callable[[Points], float]:
    """How high a point is over the line of the eyes."""
    return lambda points: float((points[33, 1] + points[263, 1]) / 2 - points[point, 1]) / eyes_apart(points)


def aside(point: int) -> Callable[[Points], float]:
    """How far right a point is of the middle of the eyes."""
    return lambda points: float(points[point, 0] - (points[33, 0] + points[263, 0]) / 2) / eyes_apart(points)


def iris(axis: int) -> Callable[[Points], float]:
    """How far right or below the middle of its eye the iris on the right of the picture is."""
    return lambda points: float(points[469, axis] - (points[263, axis] + points[362, axis]) / 2) / eyes_apart(points)


# What is asked for, what is measured in the picture, and how it changes at least; None: it must stay.
EFFECTS: list[tuple[str, Callable[[Points], float], float]] = [
    ("jawOpen=0.5", gap(13, 14), 0.1),
    ("jawOpen=1", gap(13, 14), 0.2),
    ("eyeBlink=1", gap(386, 374), -0.06),
    ("eyeWide=1", gap(386, 374), 0.01),
    ("mouthSmile_L=1", height(291), 0.06),
    ("mouthSmile_R=1", height(61), 0.06),
    ("mouthFrown=1", height(291), -0.015),
    ("mouthFunnel=1", gap(13, 14), 0.05),
    ("mouthPucker=1", gap(61, 291), -0.05),
    ("mouthStretch=1", gap(61, 291), 0.05),
    ("mouthLeft=1", aside(0), 0.05),
    ("mouthRight=1", aside(0), -0.05),
    ("jawLeft=1", aside(152), 0.03),
    ("browInnerUp=1", height(336), 0.03),
    ("browOuterUp=1", height(334), 0.03),
    ("browDown=1", height(336), -0.015),
    ("eyeLookOut_L=1,eyeLookIn_R=1", iris(0), 0.03),
    ("eyeLookOut_R=1,eyeLookIn_L=1", iris(0), -0.03),
    ("eyeLookUp=0.8", iris(1), -0.006),  # under the upper lid, little of the way is read
]


@pytest.fixture(scope="module")
def unmoved(portrait: Path, face_analyzer: FaceAnalyzer) -> Points:
    return landmarks_of(read_image(portrait), face_analyzer)


@pytest.fixture(scope="module")
def show(portrait: Path, model: LoadedModel, face_analyzer: FaceAnalyzer) -> Callable[[str], Points]:
    """Return what the mesh network sees in a picture that an --expression was added to."""

    def read(asked: str) -> Points:
        result = rotate(portrait, "shown.png", RotateOptions(expression=asked, force=True), model=model)
        return landmarks_of(read_image(result.output), face_analyzer)

    return read


@pytest.mark.parametrize(("asked", "measure", "change"), EFFECTS, ids=[asked for asked, _, _ in EFFECTS])
def test_each_control_is_seen_in_the_picture(
    asked: str, measure: Callable[[Points], float], change: float, show: Callable[[str], Points], unmoved: Points
) -> None:
    moved = measure(show(asked)) - measure(unmoved)
    assert moved * np.sign(change) >= abs(change)


def test_a_wink_shuts_the_eye_that_was_asked_for(show: Callable[[str], Points], unmoved: Points) -> None:
    points = show("eyeBlinkLeft=1")
    assert gap(386, 374)(points) < 0.3 * gap(386, 374)(unmoved), "the person's left eye is on the picture's right"
    assert gap(159, 145)(points) > 0.8 * gap(159, 145)(unmoved)


def test_an_open_mouth_is_no_hole_in_the_skin(portrait: Path, model: LoadedModel, face_analyzer: FaceAnalyzer) -> None:
    """Between the lips it is dark or shows teeth: in no case the skin's colour."""
    result = rotate(portrait, "open.png", RotateOptions(expression="jawOpen=0.6"), model=model)
    frame = read_image(result.output).astype(int)
    points = landmarks_of(frame.astype(np.uint8), face_analyzer)
    x, y = ((points[13] + points[14]) / 2)[:2].round().astype(int)
    cheek = frame[tuple(points[50, 1::-1].round().astype(int))]
    assert gap(13, 14)(points) > 0.12
    assert np.abs(frame[y - 2 : y + 3, x - 2 : x + 3].mean((0, 1)) - cheek).max() > 60


def test_a_sweep_opens_the_mouth_step_by_step(portrait: Path, model: LoadedModel, face_analyzer: FaceAnalyzer) -> None:
    options = RotateOptions(expression="jawOpen=0:0.8:0.4", yaw="10")
    result = rotate(portrait, "s.mp4", options, model=model)
    gaps = [gap(13, 14)(landmarks_of(frame, face_analyzer)) for frame in read_video(Path("s.mp4"))]
    assert result.frames == len(gaps) == 3 and gaps[0] + 0.08 < gaps[1] < gaps[2] - 0.08


def test_expressions_add_to_a_driving(media_dir: Path, model: LoadedModel, face_analyzer: FaceAnalyzer) -> None:
    source, driving = media_dir / "sources" / "s27_ai_woman.png", ROOT / "examples" / "driving.mp4"
    read: dict[str, list[float]] = {"open": [], "smile": []}
    for asked in (None, "mouthSmile=0.7"):
        options = ReenactOptions(expression=asked, end="0.5", size=384, force=True, body=False)
        reenact(source, driving, "d.mp4", options, model=model)
        points = [landmarks_of(frame, face_analyzer) for frame in read_video(Path("d.mp4"))]
        read["open"].append(float(np.mean([gap(13, 14)(p) for p in points])))
        read["smile"].append(float(np.mean([height(291)(p) + height(61)(p) for p in points])))
    assert read["smile"][1] > read["smile"][0] + 0.05
    assert read["open"][1] == pytest.approx(read["open"][0], abs=0.04), "the driving's own mouth still opens"


# --- where the eyes look ---


def seen_gaze(media_dir: Path, model: LoadedModel, analyzer: FaceAnalyzer, options: RotateOptions) -> np.ndarray:
    """Return the gaze (2,) that the mesh network reads in the picture, in eye widths right and down."""
    result = rotate(media_dir / "sources" / "s27_ai_woman.png", "g.png", replace(options, force=True), model=model)
    points = torch.from_numpy(landmarks_of(read_image(result.output), analyzer)).float()[None]
    return read_gaze(points)[0, :2].numpy()


def test_eyes_look_where_they_are_asked_to(media_dir: Path, model: LoadedModel, face_analyzer: FaceAnalyzer) -> None:
    """She looks into the camera: so do eyes that are asked to. Turned away, they must come back to it."""

    def seen(**options: str) -> np.ndarray:
        return seen_gaze(media_dir, model, face_analyzer, RotateOptions(**options))  # type: ignore[arg-type]

    own, camera = seen(yaw="0"), seen(gaze="camera")
    assert np.abs(camera - own).max() < 0.04
    assert seen(gaze="20,0")[0] > camera[0] + 0.05 and seen(gaze="-20,0")[0] < camera[0] - 0.05
    assert seen(gaze="0,15")[1] < seen(gaze="0,-15")[1] - 0.02
    for yaw in (15, -15):
        left_alone, corrected = seen(yaw=str(yaw))[0], seen(yaw=str(yaw), gaze="camera")[0]
        assert (left_alone - corrected) * np.sign(yaw) > 0.04, "the irises stay behind as the head turns"
    # Eyes that cannot see the camera are left alone.
    assert np.abs(seen(yaw="40", gaze="camera") - seen(yaw="40")).max() < 0.01


def test_what_no_eye_can_do_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    for asked, said in (("left", "write camera, source"), ("70,0", "40 degrees at most"), ("1,2,3", "write camera")):
        assert main(["rotate", str(ROOT / "examples" / "portrait.jpg"), "--gaze", asked, "-c", "nowhere"]) == 2
        assert said in capsys.readouterr().err
    with pytest.raises(UsageError, match="--gaze: fomm cannot turn the eyes; use -c compact"):
        require_gaze(FommModel.__new__(FommModel))


# --- what is asked for ---


def test_names_are_understood_as_phones_and_artists_write_them() -> None:
    assert names_meant("eyeBlink") == ("eyeBlink_L", "eyeBlink_R")
    assert names_meant("MouthSmileLeft") == ("mouthSmile_L",) and names_meant("jawLeft") == ("jawLeft",)
    assert names_meant("mouthRight") == ("mouthRight",) and names_meant("tongueOut") == ()
    assert all(names_meant(name) == (name,) and describe(name)[0].islower() for name in NAMES)


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("jawOpn=0.4", "did you mean jawOpen"),
        ("eyeBlink_l=1", "did you mean eyeBlink_"),
        ("xyz=1", "vid2vid controls lists them"),
        ("jawOpen", "write NAME=STRENGTH"),
        ("jawOpen=wide", "not a strength"),
        ("jawOpen=7", "at most 2"),
        ("jawOpen=nan", "at most 2"),
        ("jawOpen=0:1", "START:STOP:STEP"),
        ("jawOpen=0:1:0", "STEP must not be 0"),
    ],
)
def test_what_makes_no_sense_is_one_line(asked: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rotate", str(ROOT / "examples" / "portrait.jpg"), "--expression", asked, "-c", "nowhere"]) == 2
    lines = capsys.readouterr().err.strip().split("\n")
    assert len(lines) == 1 and said in lines[0] and "--expression" in lines[0]


def test_other_families_and_older_checkpoints_say_so(model: LoadedModel) -> None:
    with pytest.raises(UsageError, match="fomm has no named expressions; use -c compact"):
        require_names(FommModel.__new__(FommModel), "--expression")
    old = CompactModel({name: t for name, t in load_file(WEIGHTS).items() if not name.startswith("head.")})
    with pytest.raises(WeightsError, match="no head model"):
        require_names(old, "--expression")
    with pytest.raises(WeightsError, match="no head model"):
        rotate(
            ROOT / "examples" / "portrait.jpg",
            "x.png",
            RotateOptions(expression="jawOpen=1"),
            model=replace(model, model=old),
        )


def test_controls_lists_them_and_draws_a_sheet(capsys: pytest.CaptureFixture[str], portrait: Path) -> None:
    assert main(["controls"]) == 0
    lines = capsys.readouterr().out.strip().split("\n")
    assert [line.split()[0] for line in lines if not line.startswith(" ")] == ["expression", *NAMES]
    assert main(["controls", str(portrait)]) == 2
    assert main(["controls", str(portrait), "-o", "sheet.mp4"]) == 2
    capsys.readouterr()
    assert main(["controls", str(portrait), "-o", "sheet.png", "-q"]) == 0
    sheet = read_image(Path("sheet.png"))
    cell = sheet.shape[1] // 9
    jaw = 1 + NAMES.index("jawOpen")
    row = sheet.shape[0] // 6
    at_rest, opened = (sheet[k // 9 * row :, k % 9 * cell :][20:row, :cell].astype(int) for k in (0, jaw))
    assert np.abs(at_rest - opened).mean() > 3


def test_topology_of_the_training_script_is_the_checkpoints(model: LoadedModel) -> None:
    """The tables of known landmarks name points where they ought to be: corners of eyes and mouth, tip of the nose."""
    topology = FaceTopology.from_state({k: t for k, t in load_file(WEIGHTS).items() if k.startswith("face.")})
    canonical = topology.canonical.numpy()
    by_landmark = dict(zip(range(17, 68), training.KNOWN.tolist(), strict=True))
    mirror = topology.mirror
    for right, left in ((36, 45), (39, 42), (48, 54), (60, 64), (17, 26), (31, 35)):
        assert abs(canonical[mirror[by_landmark[right]]] - canonical[by_landmark[left]]).max() < 0.03, (right, left)

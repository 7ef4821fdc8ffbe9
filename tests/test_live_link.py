"""Takes of Live Link Face: what a phone records drives a portrait, and any driving becomes a take."""

from __future__ import annotations

import csv
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support.faces import landmarks_of
from vid2vid_cli.batch.jobs import find_files
from vid2vid_cli.cli.app import main
from vid2vid_cli.errors import MotionFileError, UsageError
from vid2vid_cli.face.expressions import NAMES
from vid2vid_cli.face.live_link import COLUMNS, SHAPES, Take, column_of, encode_take, is_take, read_take
from vid2vid_cli.face.mesh import FaceAnalyzer
from vid2vid_cli.geometry.rotation import pose_from_rotation
from vid2vid_cli.media.video import ReadOptions, read_video
from vid2vid_cli.models.compact.model import CompactModel
from vid2vid_cli.models.registry import LoadedModel
from vid2vid_cli.motion_file import load_motion
from vid2vid_cli.pipeline.driving.live_link import LiveLinkDriving
from vid2vid_cli.pipeline.driving.motion_reader import ReaderSetup
from vid2vid_cli.pipeline.driving.opening import kind_of, open_driving
from vid2vid_cli.pipeline.extract_motion import extract_motion
from vid2vid_cli.pipeline.options import MotionOptions, ReenactOptions
from vid2vid_cli.pipeline.reenact import reenact

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
PORTRAIT, CLIP = EXAMPLES / "portrait.jpg", EXAMPLES / "driving.mp4"

pytestmark = pytest.mark.usefixtures("own_folder")


@pytest.fixture
def setup(model: LoadedModel, face_analyzer: FaceAnalyzer) -> ReaderSetup:
    return ReaderSetup(model.model, face_analyzer, "largest", torch.device("cpu"))


def phone_take(rows: list[dict[str, float]], codes: list[str], *, newline: str = "\r\n", mark: str = "\ufeff") -> bytes:
    """Write a take as a phone does; columns that are not given are 0."""
    lines = [",".join(COLUMNS)]
    for row, code in zip(rows, codes, strict=True):
        lines.append(",".join([code, "61", *(f"{row.get(column, 0.0):.8f}" for column in COLUMNS[2:])]))
    return (mark + newline.join(lines) + newline).encode()


def codes_at(rate: int, count: int, first: int = 0) -> list[str]:
    numbers = range(first, first + count)
    times = [(n // rate // 3600, n // rate // 60 % 60, n // rate % 60, n % rate) for n in numbers]
    return [":".join(f"{part:02d}" for part in time) + ".250" for time in times]


# --- the file ---


def test_columns_are_those_that_phones_write() -> None:
    assert len(COLUMNS) == 63 and len(SHAPES) == 52 == len(set(SHAPES))
    assert COLUMNS[2:5] == ("EyeBlinkLeft", "EyeLookDownLeft", "EyeLookInLeft") and COLUMNS[53] == "TongueOut"
    assert {column_of(name) for name in NAMES} == set(SHAPES) - {"TongueOut"}


@pytest.mark.parametrize("fps", [Fraction(25), Fraction(30), Fraction(60), Fraction(15), Fraction(30000, 1001)])
@pytest.mark.parametrize("count", [8, 90])
def test_what_is_written_is_read(fps: Fraction, count: int) -> None:
    random = np.random.default_rng(3)
    weights, pose = random.uniform(size=(count, len(NAMES))), random.uniform(-0.5, 0.5, size=(count, 3))
    for base in ("browInnerUp", "cheekPuff"):  # a take has them once
        right, left = NAMES.index(f"{base}_R"), NAMES.index(f"{base}_L")
        weights[:, right] = weights[:, left]
    found = np.arange(count) != 5
    Path("t.csv").write_bytes(encode_take(Take(weights, pose, found, fps)))
    read = read_take(Path("t.csv"))
    assert float(read.fps) == pytest.approx(float(fps), rel=2e-3)
    assert len(read.weights) == count and (read.found == found).all()
    assert np.abs(read.weights - weights)[found].max() < 0.01 and np.abs(read.pose - pose)[found].max() < 0.01
    assert np.allclose(read.weights[5], read.weights[4], atol=0.01), "a face out of sight holds what was last seen"


def test_a_phones_table_is_read_with_its_gaps_and_past_midnight() -> None:
    codes = codes_at(60, 120, first=24 * 3600 * 60 - 60)
    codes = [code.replace("24:00", "00:00") for code in codes]
    rows = [{"JawOpen": k / 120, "HeadYaw": 0.2, "HeadPitch": 0.1, "HeadRoll": -0.3} for k in range(120)]
    kept = [k for k in range(120) if k not in (40, 41, 77)]
    Path("t.csv").write_bytes(phone_take([rows[k] for k in kept], [codes[k] for k in kept]))
    take = read_take(Path("t.csv"))
    assert take.fps == 60 and len(take.weights) == 120
    assert np.allclose(take.weights[:, NAMES.index("jawOpen")], np.arange(120) / 120, atol=1e-4)
    # The person's left is the viewer's right; ARKit's pitch lowers the chin, its roll is counterclockwise.
    assert np.allclose(take.pose, [0.2, -0.1, 0.3], atol=1e-6)


BAD = {
    "without JawOpen": lambda text: text.replace("JawOpen", "Jaw"),
    "no frame": lambda text: text.split("\r\n")[0] + "\r\n",
    "a word": lambda text: text.replace("0.12300000", "wide"),
    "cut off": lambda text: text[: text.rindex("0.0000") - 200],
    "infinite": lambda text: text.replace("0.12300000", "inf"),
    "no timecode": lambda text: text.replace("00:00:00:02.250", "2.25"),
    "back in time": lambda text: text.replace("00:00:00:02.250", "00:00:00:00.250"),
    "not text": lambda text: text.replace("0.12300000", "\udcff\udcfe"),
}


@pytest.mark.parametrize("what", BAD)
def test_a_bad_take_is_one_clear_line(what: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = phone_take([{"JawOpen": 0.123}] * 4, codes_at(60, 4), mark="").decode()
    Path("bad.csv").write_bytes(BAD[what](text).encode("utf-8", "surrogateescape"))
    assert is_take(Path("bad.csv"))
    with pytest.raises(MotionFileError, match=r"^bad\.csv: "):
        read_take(Path("bad.csv"))
    assert main(["reenact", str(PORTRAIT), "bad.csv", "-o", "x.mp4"]) == 1
    lines = capsys.readouterr().err.strip().split("\n")
    assert len(lines) == 1 and lines[0].startswith("error: bad.csv: ") and not Path("x.mp4").exists()


# --- as driving ---


def test_a_take_is_a_kind_of_driving_and_other_tables_are_not(setup: ReaderSetup) -> None:
    Path("d").mkdir()
    Path("d/take.csv").write_bytes(phone_take([{"JawOpen": 1.0}] * 40, codes_at(30, 40)))
    Path("d/notes.csv").write_text("name,age\nx,1\n")
    assert kind_of(Path("d/take.csv")) is LiveLinkDriving
    assert [file.name for file in find_files("d", "DRIVINGS").files] == ["take.csv"]
    driving = open_driving(Path("d/take.csv"), ReadOptions(start_s=1.0), setup)
    assert (driving.fps, driving.count, driving.is_still) == (30, 10, False)
    with pytest.raises(UsageError, match="no frame between"):
        open_driving(Path("d/take.csv"), ReadOptions(start_s=9.0), setup)


def test_a_phones_take_moves_the_portrait(media_dir: Path, model: LoadedModel, face_analyzer: FaceAnalyzer) -> None:
    """At rest first; then the mouth opens, the person's left eye shuts, and the head turns to the viewer's right."""
    still, moved = {}, {"JawOpen": 0.5, "EyeBlinkLeft": 1.0, "HeadYaw": 0.25}
    rows = [still] * 30 + [moved] * 10
    Path("take.csv").write_bytes(phone_take(rows, codes_at(30, 40)))
    options = ReenactOptions(size=512, smooth=0.0)
    reenact(media_dir / "sources" / "s27_ai_woman.png", "take.csv", "out.mp4", options, model=model)
    frames = list(read_video(Path("out.mp4")))
    assert len(frames) == 40
    before, after = (landmarks_of(frames[k], face_analyzer) for k in (2, 38))

    def gap(points: np.ndarray, upper: int, lower: int) -> float:
        size = np.linalg.norm(points[263] - points[33])
        return float(np.linalg.norm((points[upper] - points[lower])[:2]) / size)

    assert gap(after, 13, 14) > gap(before, 13, 14) + 0.1
    assert gap(after, 386, 374) < 0.4 * gap(before, 386, 374) and gap(after, 159, 145) > 0.7 * gap(before, 159, 145)

    def turned(points: np.ndarray) -> float:
        return float((points[1, 0] - points[234, 0]) / (points[454, 0] - points[234, 0]))

    assert turned(after) > turned(before) + 0.05


def test_a_clip_becomes_a_take_that_moves_alike(model: LoadedModel, setup: ReaderSetup) -> None:
    """What the mesh measures of mouth, eyes and brows in the clip is in its take, and the head turns as much."""
    assert isinstance(model.model, CompactModel)
    extract_motion(CLIP, "clip.safetensors", MotionOptions(end="4"), model=model)
    extract_motion(CLIP, "take.csv", MotionOptions(end="4"), model=model)
    with Path("take.csv").open(encoding="utf-8", newline="") as file:
        assert tuple(next(csv.reader(file))) == COLUMNS
    clip = load_motion(Path("clip.safetensors")).motion
    driving = open_driving(Path("take.csv"), ReadOptions(), setup)
    take = [driven.motion for driven in driving.frames() if driven.motion is not None]
    assert len(take) == len(clip)
    mean = model.model.topology.canonical
    pairs = {
        "mouth": ((13, 14),),
        "lips": ((0, 17),),
        "eyes": ((159, 145), (386, 374)),
        "brows": ((105, 33), (334, 263)),
    }
    faces = clip.expression[:, :468] + mean, torch.cat([motion.expression for motion in take])[:, :468] + mean
    for name, points in pairs.items():
        one, other = (sum((face[:, a, 1] - face[:, b, 1]).abs() for a, b in points) / len(points) for face in faces)
        assert isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor)
        if name == "eyes":  # by their own opening, in tenths
            one, other = one / one.median() / 10, other / other.median() / 10
        away, arrived = one - one.mean(), other - other.mean()
        if float(away.std()) > 0.004:  # eye distances: it moves at all
            assert float((away * arrived).sum() / away.square().sum()) > 0.85, name
    yaw = pose_from_rotation(clip.rotation)[0]
    assert torch.allclose(yaw, pose_from_rotation(torch.cat([motion.rotation for motion in take]))[0], atol=2e-3)


def test_a_take_is_not_written_over_another_file(model: LoadedModel) -> None:
    Path("take.csv").write_text("mine")
    assert main(["motion", str(CLIP), "-o", "take.csv", "--end", "0.2"]) == 1
    assert Path("take.csv").read_text() == "mine"

"""Evaluation: the figures against other implementations and identities, the runs on real clips and as real commands."""

from __future__ import annotations

import csv
import json
import math
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage.metrics import structural_similarity

from tests.support.clips import make_clip
from vid2vid_cli.cli.app import main
from vid2vid_cli.errors import MediaError, NoFaceError, OutputExistsError, UsageError, WeightsError
from vid2vid_cli.evaluation import dlib_faces
from vid2vid_cli.evaluation.cross_reenactment import evaluate_cross
from vid2vid_cli.evaluation.free_view import Turn, evaluate_rotate, requested_turns
from vid2vid_cli.evaluation.heads import ExpressionCorrelation, angle_between_deg
from vid2vid_cli.evaluation.judges import FanLandmarks
from vid2vid_cli.evaluation.material import judged_square
from vid2vid_cli.evaluation.measures import (
    MOST_PSNR_DB,
    MeanScores,
    keypoint_distance,
    mean_error,
    multiscale_similarity,
    peak_signal_to_noise,
    similarity,
    window_around,
)
from vid2vid_cli.evaluation.options import EvaluateClipsOptions, EvaluateTurnsOptions
from vid2vid_cli.evaluation.report import METRICS, Evaluation, FigureRow, mean_rows
from vid2vid_cli.evaluation.self_reenactment import evaluate_self
from vid2vid_cli.evaluation.sheet import WHITE_ERROR, SheetCell, SpreadFramesCollector, WorstFrameCollector, error_map
from vid2vid_cli.face.crop import crop_frame
from vid2vid_cli.face.mesh import face_from_landmarks
from vid2vid_cli.geometry.rotation import pose_from_rotation, rotation_from_pose
from vid2vid_cli.media.image import read_image
from vid2vid_cli.media.video import ReadOptions, read_video
from vid2vid_cli.models.registry import LoadedModel, load_face_analyzer, load_model
from vid2vid_cli.pipeline.pose import AXES
from vid2vid_cli.pipeline.progress import Hooks

Frame = np.ndarray
MODULE = [sys.executable, "-m", "vid2vid_cli"]
FEW = EvaluateClipsOptions(every=8, frames=17, threads=1)


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return load_model()


@pytest.fixture(scope="module")
def clip(media_dir: Path) -> Path:
    return media_dir / "drivings" / "d01_ai_man_turning_audio.mp4"


@pytest.fixture(scope="module")
def portrait(media_dir: Path) -> Path:
    return media_dir / "sources" / "s16_man_smiling.jpg"


@pytest.fixture(autouse=True)
def own_signals_and_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Work in an empty folder, and give the test runner its signal handlers back."""
    monkeypatch.chdir(tmp_path)
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)


def picture(seed: int = 0, size: tuple[int, int] = (192, 180)) -> Frame:
    """Draw smooth colours with some noise."""
    random = np.random.default_rng(seed)
    coarse = Image.fromarray(random.integers(0, 256, (6, 6, 3), np.uint8)).resize(size[::-1], Image.Resampling.BICUBIC)
    return np.clip(np.asarray(coarse) + random.normal(0, 4, (*size, 3)), 0, 255).astype(np.uint8)


def scores(found: Evaluation, method: str, *, mean: bool = True) -> dict[str, float | None]:
    rows = [row for row in (found.means if mean else found.rows) if row.method == method]
    return dict(rows[-1].scores)


def value(found: Evaluation, method: str, name: str) -> float:
    figure = scores(found, method)[name]
    assert figure is not None
    return figure


# --- figures ---------------------------------------------------------------------------------------------------------


def test_l1_is_the_mean_of_what_was_added_also_where_bytes_would_wrap() -> None:
    one = np.full((20, 30, 3), 250, np.uint8)
    other = one.copy()
    other[:, :15] = 3
    assert mean_error(one, other) == mean_error(other, one) == pytest.approx(247 / 2)
    assert mean_error(other, one, (slice(0, 20), slice(15, 30))) == 0


def test_psnr_of_known_noise() -> None:
    one = np.full((400, 400, 3), 128, np.uint8)
    noisy = np.rint(one + np.random.default_rng(1).normal(0, 10, one.shape)).astype(np.uint8)
    assert peak_signal_to_noise(one, noisy) == pytest.approx(20 * math.log10(255 / 10), abs=0.05)
    assert peak_signal_to_noise(one, one) == MOST_PSNR_DB


def test_ssim_agrees_with_scikit_image_and_is_1_for_equal_pictures() -> None:
    one, other = picture(0), np.roll(picture(0), 2, axis=1)
    settings = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 255}
    _, everywhere = structural_similarity(one, other, channel_axis=2, full=True, **settings)
    assert 0.2 < everywhere.mean() < 0.9
    assert similarity(one, other) == pytest.approx(everywhere.mean(), abs=1e-3)
    assert similarity(one, one) == pytest.approx(1, abs=1e-5)


def test_ms_ssim_forgives_fine_noise_more_than_ssim_and_is_not_told_of_small_pictures() -> None:
    one = picture(0)
    noisy = np.clip(one + np.random.default_rng(2).normal(0, 12, one.shape), 0, 255).astype(np.uint8)
    several = multiscale_similarity(one, noisy)
    assert several is not None
    assert similarity(one, noisy) + 0.05 < several < 1
    assert multiscale_similarity(one, one) == pytest.approx(1, abs=1e-5)
    assert multiscale_similarity(one[:100], noisy[:100]) is None


def test_keypoints_moved_by_3_and_4_are_5_apart() -> None:
    points = np.random.default_rng(3).uniform(0, 99, (68, 2))
    assert keypoint_distance(points, points + np.array([3, -4])) == pytest.approx(5)


def test_a_window_lies_around_its_points_and_within_the_picture() -> None:
    points = np.array([[40.0, 50.0], [60.0, 58.0]])
    assert window_around(points, 0.25, (100, 100)) == (slice(45, 63), slice(35, 65))
    assert window_around(points, 0.25, (52, 62)) == (slice(45, 52), slice(35, 62))
    assert window_around(points + 200, 0.25, (100, 100)) is None


def test_means_pass_over_what_is_not_known() -> None:
    tally = MeanScores()
    tally.add({"a": 1.0, "b": None, "c": None})
    tally.add({"a": 3.0, "b": 5.0, "c": None})
    assert tally.means() == {"a": 2.0, "b": 5.0, "c": None}


def test_every_clip_counts_alike_however_many_frames_it_has() -> None:
    rows = [
        FigureRow(("long",), "model", {"l1": 10.0}, judged=90),
        FigureRow(("short",), "model", {"l1": 20.0}, judged=2),
    ]
    (mean,) = mean_rows(rows, ("mean of {}",))
    assert (mean.subject, mean.scores["l1"], mean.judged) == (("mean of 2",), 15.0, 92)


def test_the_angle_between_poses() -> None:
    degrees = torch.tensor([0.0, 17.0])
    rest, turned = rotation_from_pose(torch.deg2rad(degrees), torch.tensor([0.1, 0.1]), torch.zeros(2))
    assert angle_between_deg(rest, turned) == pytest.approx(17, abs=1e-2)
    assert angle_between_deg(rest, rest) == pytest.approx(0, abs=0.05)


def test_following_is_1_for_half_as_much_and_minus_1_for_the_contrary() -> None:
    asked = torch.randn(5, 468, 3, generator=torch.Generator().manual_seed(0))
    half, contrary, still = (ExpressionCorrelation() for _ in range(3))
    for frame in asked:
        half.add(frame / 2, frame)
        contrary.add(-frame, frame)
        still.add(torch.zeros_like(frame), frame)
    assert half.value == pytest.approx(1)
    assert contrary.value == pytest.approx(-1)
    assert still.value is None


# --- the square and the sheet ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("frame_size", [(1000, 1000), (330, 900), (260, 260)])
def test_the_judged_square_holds_the_face_and_stays_in_the_frame(frame_size: tuple[int, int]) -> None:
    landmarks = np.zeros((468, 3), np.float32)
    landmarks[0, :2], landmarks[1, :2] = (20, 30), (220, 250)
    face = face_from_landmarks(landmarks, 1.0)
    square = judged_square(face, frame_size, 256)
    corners = square.affine[:, :2] @ np.array([[0, 256], [0, 256]]) + square.affine[:, 2:]
    assert corners.min() >= 0
    assert (corners[:, 1] <= (frame_size[1] + 1e-6, frame_size[0] + 1e-6)).all()
    assert (square.to_crop(np.array([[20.0, 30.0], [220.0, 250.0]])) >= -1e-6).all()
    assert (square.to_crop(np.array([[20.0, 30.0], [220.0, 250.0]])) <= 256 + 1e-6).all()


def test_an_error_map_is_black_where_equal_and_white_where_far_off() -> None:
    truth = np.zeros((2, 3, 3), np.uint8)
    shown = truth.copy()
    shown[:, 1], shown[:, 2] = WHITE_ERROR // 4, WHITE_ERROR
    drawn = error_map(truth, shown)
    assert (drawn[:, 0] == 0).all()
    assert (drawn[:, 1] == (191, 0, 0)).all()
    assert (drawn[:, 2] == 255).all()


def test_rows_of_a_sheet_are_spread_over_the_clip_or_the_worst_of_it() -> None:
    spread, worst = SpreadFramesCollector(4), WorstFrameCollector()
    for index in range(100):
        cells = [SheetCell(np.zeros((1, 1, 3), np.uint8), str(index))]
        spread.offer(0.0, lambda cells=cells: cells)
        worst.offer(-abs(index - 37) + 99, lambda cells=cells: cells)
        assert len(spread.rows) <= 4
    assert [row[0].label for row in spread.rows] == ["0", "32", "64", "96"]
    assert [row[0].label for row in worst.rows] == ["37"]


# --- runs ------------------------------------------------------------------------------------------------------------


def test_a_clip_that_stands_still_is_shown_nearly_as_it_is(clip: Path, loaded: LoadedModel, tmp_path: Path) -> None:
    first = next(read_video(clip, ReadOptions()))
    still = make_clip(tmp_path / "still.mp4", [first] * 9, options=("-c:v", "libx264", "-qp", "0"))
    found = evaluate_self(still, EvaluateClipsOptions(every=4, frames=9, threads=1), model=loaded)
    assert value(found, "copy", "l1") < 0.5
    assert value(found, "model", "l1") < 1
    assert value(found, "model", "psnr") > 38
    assert value(found, "model", "ssim") > 0.98
    assert value(found, "model", "akd") < 1
    assert value(found, "model", "no_face_pct") == 0
    assert found.rows[0].judged == 2


def test_a_moving_clip_is_shown_better_than_copied(clip: Path, loaded: LoadedModel) -> None:
    found = evaluate_self(clip, EvaluateClipsOptions(every=30, frames=91, threads=1), model=loaded)
    assert [row.method for row in found.rows] == ["copy", "model"]
    assert value(found, "model", "akd") < value(found, "copy", "akd") / 3
    assert value(found, "model", "mouth_akd") < value(found, "copy", "mouth_akd") / 3
    assert value(found, "model", "mouth_l1") < value(found, "copy", "mouth_l1")
    assert value(found, "model", "l1") < value(found, "copy", "l1")


def test_frames_are_the_ones_asked_for(clip: Path, loaded: LoadedModel) -> None:
    counts: list[tuple[int, int | None]] = []
    evaluate_self(clip, FEW, model=loaded, hooks=Hooks(progress=lambda *done: counts.append(done)))
    assert counts == [(1, 2), (2, 2)]  # frames 8 and 16, after the source, which is frame 0


def test_a_portrait_follows_a_driving_better_than_a_copy_does(portrait: Path, clip: Path, loaded: LoadedModel) -> None:
    found = evaluate_cross(portrait, clip, EvaluateClipsOptions(every=30, frames=91, threads=1), model=loaded)
    assert value(found, "copy", "shape_pct") == 0
    assert scores(found, "copy")["expression_r"] is None
    assert value(found, "model", "pose_deg") < value(found, "copy", "pose_deg") / 1.5
    # Its lips close where the driving's do, which counts as a change of its own smile.
    assert value(found, "model", "expression_pct") < 1.2 * value(found, "copy", "expression_pct")
    assert 0.4 < value(found, "model", "expression_r") <= 1


def test_turning_is_off_by_little_and_a_copy_by_the_whole_angle(portrait: Path, loaded: LoadedModel) -> None:
    found = evaluate_rotate(portrait, EvaluateTurnsOptions(yaw="-20:20:20", pitch="0", threads=1), model=loaded)
    assert [row.subject[1] for row in found.rows if row.method == "model"] == ["yaw -20", "yaw +0", "yaw +20"]
    by_angle = {row.subject: row.scores["pose_deg"] for row in found.means if row.method == "copy"}
    assert by_angle["mean of 1", "yaw -20"] == pytest.approx(20, abs=0.1)
    assert value(found, "model", "pose_deg") < 5
    assert value(found, "copy", "pose_deg") == pytest.approx(40 / 3, abs=0.1)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_an_angle_is_asked_for_in_the_user_s_convention(axis: int) -> None:
    asked = Turn(AXES[axis], 20).pose.apply(torch.eye(3)[None])
    angles = [math.degrees(float(angle)) for angle in pose_from_rotation(asked)]
    assert angles == pytest.approx([20.0 if k == axis else 0.0 for k in range(3)], abs=1e-3)


def test_rest_is_judged_once_for_all_axes() -> None:
    turns = requested_turns(EvaluateTurnsOptions(yaw="-10:10:10", pitch="-5:5:5", roll="0"))
    assert [(turn.axis, turn.angle_deg) for turn in turns] == [
        ("yaw", -10),
        ("yaw", 0),
        ("yaw", 10),
        ("pitch", -5),
        ("pitch", 5),
    ]


# --- what goes wrong -------------------------------------------------------------------------------------------------


def test_a_clip_without_a_face_alone_is_an_error_and_among_others_left_out(
    media_dir: Path, clip: Path, loaded: LoadedModel, tmp_path: Path
) -> None:
    faceless = media_dir / "bad" / "b13_no_face.mp4"
    with pytest.raises(NoFaceError, match="b13_no_face"):
        evaluate_self(faceless, FEW, model=loaded)
    folder = tmp_path / "clips"
    folder.mkdir()
    (folder / "a.mp4").symlink_to(faceless)
    (folder / "b.mp4").symlink_to(clip)
    (folder / "c.mp4").write_bytes(b"no clip at all")
    (folder / "README.md").write_text("not looked at")
    found = evaluate_self(folder, FEW, model=loaded)
    assert {row.subject for row in found.rows} == {("b.mp4",)}
    assert [path.name for path in found.skipped] == ["c.mp4", "a.mp4"]
    assert any("no face" in line for line in found.warnings)


def test_frames_without_a_face_are_left_out_and_counted(media_dir: Path, loaded: LoadedModel) -> None:
    leaves = media_dir / "bad" / "b12_face_leaves_one_second.mp4"
    found = evaluate_self(leaves, EvaluateClipsOptions(every=15, frames=91, threads=1), model=loaded)
    assert found.rows[0].faceless > 0
    assert found.rows[0].judged + found.rows[0].faceless == 6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"every": 0}, "--every 0"),
        ({"frames": 1}, "--frames 1"),
        ({"size": 5}, "--size 5"),
        ({"csv": "figures.txt"}, "--csv figures.txt"),
        ({"sheet": "sheet.mp4"}, "--sheet sheet.mp4"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, object], message: str, clip: Path) -> None:
    with pytest.raises(UsageError, match=message):
        evaluate_self(clip, EvaluateClipsOptions(**options))  # type: ignore[arg-type]


def test_files_that_are_not_there_or_of_the_wrong_kind(
    portrait: Path, clip: Path, loaded: LoadedModel, tmp_path: Path
) -> None:
    with pytest.raises(MediaError, match="no such file"):
        evaluate_self("nowhere.mp4", FEW, model=loaded)
    with pytest.raises(UsageError, match="is a picture"):
        evaluate_self(portrait, FEW, model=loaded)
    with pytest.raises(UsageError, match="is a clip"):
        evaluate_cross(clip, clip, FEW, model=loaded)
    with pytest.raises(MediaError, match="no clip in this folder"):
        evaluate_self(tmp_path, FEW, model=loaded)


def test_nothing_is_replaced_without_force(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "old.csv").write_text("precious")
    with pytest.raises(OutputExistsError, match=r"old\.csv"):
        evaluate_self(clip, EvaluateClipsOptions(csv="old.csv"))


def test_without_dlib_there_is_no_identity_and_a_reason(
    clip: Path, loaded: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dlib_faces, "find_spec", lambda name: None)
    found = evaluate_self(clip, FEW, model=loaded)
    assert scores(found, "model")["identity"] is None
    assert found.embedding is None
    assert any("pip install dlib-bin" in line for line in found.warnings)


def test_face_alignment_without_weights_says_so_in_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))  # where no weights lie
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # and no way leads to them
    with pytest.raises(WeightsError, match="--landmarks face-alignment: its weights cannot be fetched") as caught:
        FanLandmarks("cpu")
    assert "\n" not in str(caught.value)


# --- commands --------------------------------------------------------------------------------------------------------


def test_evaluate_self_as_a_command_writes_json_csv_and_a_sheet(clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    outputs = ["--csv", "figures.csv", "--sheet", "sheet.png"]
    assert main(["evaluate", "self", str(clip), "--every", "20", "--frames", "41", "--json", *outputs]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert (facts["kind"], facts["every"], facts["frames"], facts["size"]) == ("self", 20, 41, 256)
    assert [row["method"] for row in facts["rows"]] == ["copy", "model"]
    assert all(row["clip"] == clip.name and row["judged"] == 2 for row in facts["rows"])
    with Path("figures.csv").open(encoding="utf-8") as file:
        written = list(csv.DictReader(file))
    assert [row["clip"] for row in written] == [clip.name] * 2 + ["mean of 1"] * 2
    for metric in METRICS["self"]:
        told = facts["rows"][1][metric.name]
        assert written[1][metric.name] == ("" if told is None else str(told))
    sheet = read_image("sheet.png")
    assert sheet.shape == (2 * (256 + 20), 4 * 256, 3)
    frames = list(read_video(clip, ReadOptions(end_s=1.8)))
    face = max(load_face_analyzer().faces(frames[0]), key=lambda face: face.size_px)
    square = judged_square(face, frames[0].shape, 256)
    rows = [sheet[20 + k * 276 : (k + 1) * 276].reshape(256, 4, 256, 3).swapaxes(0, 1) for k in (0, 1)]
    assert mean_error(rows[0][0], crop_frame(frames[0], square)) < 0.5  # the source
    assert mean_error(rows[1][1], crop_frame(frames[40], square)) < 0.5  # the driving, at its second judged frame
    assert mean_error(rows[1][3], error_map(rows[1][1], rows[1][2])) < 0.5  # the error of what is shown beside it


def test_a_table_names_every_clip_and_figure_and_a_partial_run_has_code_5(
    clip: Path, media_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    (folder / "a man.mp4").symlink_to(clip)
    (folder / "nobody.mp4").symlink_to(media_dir / "bad" / "b13_no_face.mp4")
    assert main(["evaluate", "self", str(folder), "--every", "40", "--frames", "41", "--threads", "1"]) == 5
    done = capsys.readouterr()
    lines = done.out.splitlines()
    assert all(metric.title in lines[0] for metric in METRICS["self"])
    assert [line.split("  ")[0] for line in lines if line and line[0] != " "][1:] == ["a man.mp4"] * 2 + [
        "mean of 1"
    ] * 2
    assert "left out" in done.err
    assert "nobody.mp4" in done.err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["self", "nowhere.mp4"], 1, "no such file"),
        (["self", "here.mp4", "--every", "0"], 2, "--every 0"),
        (["self"], 2, "vid2vid evaluate self --help"),
        (["rotate", "here.mp4", "--yaw", "up"], 2, "--yaw up"),
        (["self", "here.mp4", "-c", "nowhere.safetensors"], 4, "no such checkpoint"),
    ],
)
def test_exit_codes(words: list[str], code: int, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("here.mp4").write_bytes(b"no clip at all")
    assert main(["evaluate", *words]) == code
    done = capsys.readouterr()
    assert said in done.err
    assert len(done.err.splitlines()) == 1
    assert done.out == ""

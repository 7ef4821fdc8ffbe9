"""Reenactment, free view and motion files from file to file, on real pictures and clips."""

from __future__ import annotations

import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from vid2vid_cli.errors import MediaError, MotionFileError, NoFaceError, OutputExistsError, UsageError
from vid2vid_cli.face.mesh import FaceAnalyzer, FaceTracker, roi_from_landmarks
from vid2vid_cli.geometry.rotation import rotation_from_pose
from vid2vid_cli.media.image import read_image
from vid2vid_cli.media.video import ReadOptions, WriteOptions, open_writer, probe_video, read_mark, read_video
from vid2vid_cli.models import device
from vid2vid_cli.models.compact.model import CompactModel
from vid2vid_cli.models.device import choose_dtype
from vid2vid_cli.models.registry import LoadedModel, load_model
from vid2vid_cli.motion import Motion, MotionFile, load_motion, save_motion
from vid2vid_cli.pipeline.driving.reference import nearest_frame
from vid2vid_cli.pipeline.extract_motion import extract_motion
from vid2vid_cli.pipeline.options import MotionOptions, ReenactOptions, RotateOptions
from vid2vid_cli.pipeline.parsing import parse_face, parse_fps, parse_sweep, parse_time
from vid2vid_cli.pipeline.progress import Hooks
from vid2vid_cli.pipeline.reenact import reenact
from vid2vid_cli.pipeline.rotate import rotate

EXAMPLES = Path(__file__).parents[1] / "examples"
PORTRAIT, DRIVING = EXAMPLES / "portrait.jpg", EXAMPLES / "driving.mp4"


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return load_model()


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    yield
    assert not list(tmp_path.rglob(".vid2vid-*")), "a temporary file was left behind"


def landmarks_of(frame: np.ndarray, analyzer: FaceAnalyzer) -> np.ndarray:
    face = max(analyzer.faces(frame), key=lambda f: f.size_px)
    return face.landmarks_px


@pytest.mark.parametrize(
    "clip", ["d01_ai_man_turning_audio", "d07_woman_seated_hevc_audio", "d10_woman_webcam_720p_audio"]
)
def test_a_clip_driven_by_itself_keeps_the_face_where_it_was(
    clip: str, media_dir: Path, tmp_path: Path, face_analyzer: FaceAnalyzer, model: LoadedModel
) -> None:
    path = media_dir / "drivings" / f"{clip}.mp4"
    frames = list(read_video(path, ReadOptions(end_s=1.2)))
    still = tmp_path / "first.png"
    Image.fromarray(frames[0]).save(still)
    options = ReenactOptions(end="1.2", reference_frame="0")
    reenact(still, path, "out.mp4", options, model=model)
    rendered = list(read_video(tmp_path / "out.mp4"))
    assert len(rendered) == len(frames)
    tracker, errors = FaceTracker(face_analyzer), []
    for index, (truth, made) in enumerate(zip(frames, rendered, strict=True)):
        face = tracker.update(truth)
        assert face is not None
        if index % 5 == 0:
            seen, score = face_analyzer.landmarks(made, [roi_from_landmarks(face.landmarks_px)])
            assert score[0] > 0.5
            # A face in a crop of 256 px spans about 128 px.
            errors.append(np.linalg.norm(seen[0, :, :2] - face.landmarks_px[:, :2], axis=1).mean() * 128 / face.size_px)
    assert np.mean(errors) < 2.5


def test_a_still_moves_with_the_sound_and_rate_of_its_driving(media_dir: Path, model: LoadedModel) -> None:
    driving = media_dir / "drivings" / "d12_woman_hand_over_face_audio.mp4"
    seen: list[tuple[int, int | None]] = []
    hooks = Hooks(progress=lambda done, total: seen.append((done, total)))
    result = reenact(PORTRAIT, driving, options=ReenactOptions(end="1.5"), model=model, hooks=hooks)
    info, truth = probe_video(result.output), probe_video(driving)
    expected = len(list(read_video(driving, ReadOptions(end_s=1.5))))
    assert result.output == Path("portrait--d12_woman_hand_over_face_audio.mp4")
    assert (info.frame_count, info.fps, info.size) == (expected, truth.fps, (512, 512))
    assert info.has_audio and seen[-1] == (expected, expected)
    assert "synthetic media" in (read_mark(result.output) or "")
    frames = list(read_video(result.output))
    assert max(np.abs(f.astype(int) - frames[0]).mean() for f in frames) > 1  # it moves


def test_paste_back_changes_nothing_far_from_the_face(media_dir: Path, model: LoadedModel) -> None:
    source = media_dir / "sources" / "s04_painting_small_face.jpg"  # a face of 100 px in 600x704
    reenact(source, DRIVING, "frames", ReenactOptions(end="0.4", strength=2.0), model=model)
    still = read_image(source)
    for path in sorted(Path("frames").glob("*.png")):
        frame = read_image(path)
        assert frame.shape == still.shape
        np.testing.assert_array_equal(frame[-100:], still[-100:])
    assert (frame != still).any()


def test_outputs_of_every_kind(model: LoadedModel) -> None:
    options = ReenactOptions(end="0.2", size=128)
    for name in ("o.gif", "o.webm", "folder"):
        result = reenact(PORTRAIT, DRIVING, name, options, model=model)
        assert result.frames == 5 and result.size == (128, 128)
    assert len(list(Path("folder").glob("*.png"))) == 5
    assert probe_video("o.gif").frame_count == probe_video("o.webm").frame_count == 5


def test_a_still_driving_gives_one_picture_with_its_pose(
    media_dir: Path, model: LoadedModel, face_analyzer: FaceAnalyzer
) -> None:
    turned = media_dir / "sources" / "s26_woman_threequarter.jpg"
    result = reenact(PORTRAIT, turned, model=model)
    assert result.output.suffix == ".png" and result.frames == 1
    points = landmarks_of(read_image(result.output), face_analyzer)
    nose_share = (points[1, 0] - points[234, 0]) / (points[454, 0] - points[234, 0])
    before = landmarks_of(read_image(PORTRAIT), face_analyzer)
    own_share = (before[1, 0] - before[234, 0]) / (before[454, 0] - before[234, 0])
    assert nose_share < own_share - 0.1  # she looks to the viewer's left
    with pytest.raises(UsageError, match="picture cannot hold a clip"):
        reenact(PORTRAIT, DRIVING, "x.png", model=model)


def test_a_video_as_source_is_animated_frame_by_frame(media_dir: Path, model: LoadedModel) -> None:
    source = media_dir / "drivings" / "d11_man_car_qcif.mp4"
    result = reenact(source, DRIVING, "v2v.mp4", ReenactOptions(end="1"), model=model)
    frames = list(read_video(result.output))
    originals = list(read_video(source, ReadOptions(fps=result.fps)))
    assert len(frames) == result.frames == 25
    # The scene of the source goes on behind the face.
    corner = [np.abs(f[:20, :20].astype(int) - o[:20, :20]).mean() for f, o in zip(frames, originals, strict=False)]
    assert max(corner) < 6
    rotated = rotate(source, "turned.mp4", RotateOptions(yaw="-15:15:1"), model=model)
    assert rotated.frames == probe_video(source).frame_count


def test_compare_shows_three_pictures_side_by_side(model: LoadedModel) -> None:
    result = reenact(PORTRAIT, DRIVING, "c.mp4", ReenactOptions(end="0.2", size=128, compare=True), model=model)
    height, width = result.size
    driving = probe_video(DRIVING)
    assert height == 128 and width == 256 + round(driving.width * 128 / driving.height)
    frame = next(read_video("c.mp4"))
    shown = np.asarray(Image.fromarray(read_image(PORTRAIT)).resize((128, 128), Image.Resampling.LANCZOS))
    assert np.abs(frame[:, :128].astype(int) - shown).mean() < 6


def test_crop_only_gives_the_face_in_the_size_asked_for(media_dir: Path, model: LoadedModel) -> None:
    source = media_dir / "sources" / "s04_painting_small_face.jpg"
    options = ReenactOptions(end="0.2", paste_back=False, size=200)
    result = reenact(source, DRIVING, "crop.mp4", options, model=model)
    assert max(result.size) == 200
    with pytest.raises(UsageError, match="all"):
        reenact(source, DRIVING, "all.mp4", ReenactOptions(paste_back=False, face="all"), model=model)


def test_all_faces_move_or_only_the_chosen_one(
    media_dir: Path, model: LoadedModel, face_analyzer: FaceAnalyzer
) -> None:
    source = media_dir / "sources" / "s21_three_people.jpg"
    still = read_image(source)
    faces = face_analyzer.faces(still, thorough=True)
    assert len(faces) == 3

    def moved(face: str) -> list[bool]:
        options = RotateOptions(yaw="25", face=face, force=True)
        out = read_image(rotate(source, "r.png", options, model=model).output)
        boxes = [tuple(int(v) for v in f.box) for f in faces]
        return [bool(np.abs(out[t:b, x:r].astype(int) - still[t:b, x:r]).mean() > 6) for x, t, r, b in boxes]

    assert moved("all") == [True, True, True]
    assert moved("1") == [False, True, False]
    with pytest.raises(UsageError, match="faces 0 to 2"):
        moved("3")


def test_frames_without_a_face_are_held_skipped_or_refused(media_dir: Path, model: LoadedModel) -> None:
    clip = media_dir / "bad" / "b12_face_leaves_one_second.mp4"
    frames = probe_video(clip).frame_count
    warnings: list[str] = []
    small = {"size": 96, "force": True}
    held = reenact(PORTRAIT, clip, "o.mp4", ReenactOptions(**small), model=model, hooks=Hooks(warn=warnings.append))
    assert held.frames == frames and 20 < held.held < 45
    assert any("no face in" in w and "held" in w for w in warnings)
    skipped = reenact(PORTRAIT, clip, "o.mp4", ReenactOptions(on_missing="skip", **small), model=model)
    assert skipped.frames == frames - skipped.skipped and skipped.skipped == held.held
    with pytest.raises(NoFaceError, match=r"no face in frame \d+"):
        reenact(PORTRAIT, clip, "p.mp4", ReenactOptions(on_missing="fail", size=96), model=model)
    assert not Path("p.mp4").exists()


def test_a_face_that_comes_late_leaves_the_source_still_until_then(media_dir: Path, model: LoadedModel) -> None:
    clip = media_dir / "bad" / "b15_no_face_at_first.mp4"
    result = reenact(PORTRAIT, clip, "o.mp4", ReenactOptions(size=128), model=model)
    frames = list(read_video("o.mp4"))
    assert len(frames) == result.frames and result.held > 30
    early = np.abs(frames[20].astype(int) - frames[0]).mean()
    late = np.abs(frames[-5].astype(int) - frames[0]).mean()
    assert early < 0.2 and late > 0.6


def test_no_face_anywhere_is_an_error_and_leaves_no_file(media_dir: Path, model: LoadedModel) -> None:
    for source, driving in (
        (PORTRAIT, media_dir / "bad" / "b13_no_face.mp4"),
        (media_dir / "sources" / "s23_no_face.jpg", DRIVING),
    ):
        with pytest.raises(NoFaceError, match="no face"):
            reenact(source, driving, "o.mp4", model=model)
    with pytest.raises(NoFaceError, match="no face"):
        rotate(media_dir / "bad" / "b13_no_face.mp4", "o.mp4", RotateOptions(yaw="10"), model=model)
    assert not Path("o.mp4").exists()


def test_regions_and_strength(model: LoadedModel) -> None:
    def most_moved(**options: object) -> np.ndarray:
        reenact(PORTRAIT, DRIVING, "o", ReenactOptions(end="1.2", force=True, **options), model=model)  # type: ignore[arg-type]
        frames = [read_image(path).astype(int) for path in sorted(Path("o").glob("*.png"))]
        return max(frames, key=lambda frame: np.abs(frame - still).mean())

    still = read_image(PORTRAIT).astype(int)
    whole, nothing = most_moved(), most_moved(strength=0.0)
    assert np.abs(nothing - still).mean() < 0.5 < np.abs(whole - still).mean()
    mouth = np.abs(most_moved(region="mouth") - still).mean(-1)
    rows = np.nonzero(mouth.max(1) > 20)[0]
    eyes = np.abs(most_moved(region="eyes") - still).mean(-1)
    assert mouth[: rows.min()].mean() < 1 and eyes[rows.mean().astype(int) :].mean() < 1


def test_a_motion_file_drives_as_its_clip_does(tmp_path: Path, model: LoadedModel) -> None:
    made = extract_motion(DRIVING, "m.motion", MotionOptions(end="1"), model=model)
    content = load_motion(tmp_path / "m.motion")
    assert made.frames == len(content.motion) == 25 and content.family == "compact"
    reenact(PORTRAIT, DRIVING, "a", ReenactOptions(end="1", reference_frame="0"), model=model)
    reenact(PORTRAIT, "m.motion", "b", ReenactOptions(reference_frame="0"), model=model)
    for one, other in zip(sorted(Path("a").glob("*")), sorted(Path("b").glob("*")), strict=True):
        assert np.abs(read_image(one).astype(int) - read_image(other)).mean() < 0.05
    resampled = reenact(PORTRAIT, "m.motion", "c.mp4", ReenactOptions(fps="50", start="0.5", size=64), model=model)
    assert resampled.fps == 50 and resampled.frames in (24, 26)
    with pytest.raises(UsageError, match="frames 0 to 24"):
        reenact(PORTRAIT, "m.motion", "d.mp4", ReenactOptions(reference_frame="25"), model=model)
    Path("bad.motion").write_bytes(b"\x00" * 100)
    with pytest.raises((MotionFileError, MediaError)):
        reenact(PORTRAIT, "bad.motion", "d.mp4", model=model)


def test_the_nearest_frame_is_the_reference(model: LoadedModel, tmp_path: Path, face_analyzer: FaceAnalyzer) -> None:
    # The source is frame 20 of the driving: with the right reference it comes out about as it went in.
    frames = list(read_video(DRIVING, ReadOptions(end_s=1)))
    Image.fromarray(frames[20]).save(tmp_path / "s.png")
    truth = landmarks_of(frames[20], face_analyzer)[:, :2]

    def error_px(reference: str) -> float:
        options = ReenactOptions(end="1.6", smooth=0.0, reference_frame=reference, force=True)
        reenact("s.png", DRIVING, "o", options, model=model)
        seen = landmarks_of(read_image(sorted(Path("o").glob("*"))[20]), face_analyzer)[:, :2]
        return float(np.linalg.norm(seen - truth, axis=1).mean())

    nearest = error_px("auto")
    assert nearest < 6 and 2 * nearest < error_px("36")


def test_the_nearest_of_known_motions_is_found(model: LoadedModel) -> None:
    network = model.model
    assert isinstance(network, CompactModel)
    count, mask = 5, network.expression_mask("mouth")[None, :, None]
    yaw = torch.deg2rad(torch.tensor([0.0, 10, 20, 20, 20]))
    rotation = rotation_from_pose(yaw, torch.zeros(count), torch.zeros(count))
    opening = torch.tensor([0.0, 0.0, 0.0, 0.1, 0.2])[:, None, None] * mask * torch.tensor([0.0, 1.0, 0.0])
    motions = Motion(rotation, torch.zeros(count, 3), torch.ones(count, 1), opening)
    assert [nearest_frame(network, motions, motions[k]) for k in range(count)] == list(range(count))


def test_the_clip_is_cut_and_resampled_by_time(model: LoadedModel) -> None:
    options = ReenactOptions(start="0:00.4", end="1.2", fps="30000/1001", size=64)
    result = reenact(PORTRAIT, DRIVING, "o.mp4", options, model=model)
    assert result.fps == Fraction(30000, 1001) and result.frames == 24
    with pytest.raises(UsageError, match="--start"):
        reenact(PORTRAIT, DRIVING, "p.mp4", ReenactOptions(start="99"), model=model)


def test_a_sweep_is_a_clip_or_a_sheet(model: LoadedModel) -> None:
    clip = rotate(PORTRAIT, "s.mp4", RotateOptions(yaw="-20:20:10", size=96), model=model)
    assert clip.frames == probe_video("s.mp4").frame_count == 5
    sheet = rotate(PORTRAIT, "s.png", RotateOptions(yaw="-20:20:10", size=96, columns=5), model=model)
    height, width = sheet.size
    assert width == 5 * 96 and 96 <= height <= 130
    frames = list(read_video("s.mp4"))
    assert np.abs(frames[0].astype(int) - frames[4]).mean() > 2


def test_angles_past_the_range_are_warned_of(model: LoadedModel) -> None:
    assert rotate(PORTRAIT, "a.png", RotateOptions(yaw="45", size=64), model=model).warnings == ()
    warned = rotate(PORTRAIT, "b.png", RotateOptions(yaw="50", pitch="10", size=64), model=model).warnings
    assert len(warned) == 1 and "yaw" in warned[0] and "45" in warned[0]


def test_frontalize_faces_the_camera(media_dir: Path, model: LoadedModel, face_analyzer: FaceAnalyzer) -> None:
    result = rotate(
        media_dir / "sources" / "s26_woman_threequarter.jpg", options=RotateOptions(frontalize=True), model=model
    )
    points = landmarks_of(read_image(result.output), face_analyzer)
    assert 0.42 < (points[1, 0] - points[234, 0]) / (points[454, 0] - points[234, 0]) < 0.58
    eyes = points[263] - points[33]
    assert abs(np.degrees(np.arctan2(eyes[1], eyes[0]))) < 4


def test_without_a_source_the_example_turns_and_nothing_asked_is_a_mistake(model: LoadedModel) -> None:
    assert rotate(options=RotateOptions(yaw="10", size=64), model=model).output == Path("portrait--rotated.png")
    with pytest.raises(UsageError, match="say where to turn"):
        rotate(PORTRAIT, model=model)


def test_nothing_is_overwritten_and_missing_folders_are_named(model: LoadedModel) -> None:
    Path("there.png").write_bytes(b"mine")
    with pytest.raises(OutputExistsError, match="--force"):
        rotate(PORTRAIT, "there.png", RotateOptions(yaw="10"), model=model)
    assert Path("there.png").read_bytes() == b"mine"
    with pytest.raises(MediaError, match="does not exist"):
        rotate(PORTRAIT, "nowhere/x.png", RotateOptions(yaw="10"), model=model)


def test_a_see_through_source_lies_on_the_background(media_dir: Path, model: LoadedModel) -> None:
    source = media_dir / "sources" / "s18_side_view_alpha.png"
    options = RotateOptions(yaw="5", background="#00ff00")
    out = read_image(rotate(source, "o.png", options, model=model).output)
    assert out[3, 3].tolist() == [0, 255, 0]


def two_people(media_dir: Path) -> np.ndarray:
    """Return a wide picture with a tiny face at the left and a large one at the right."""
    person = Image.fromarray(read_image(media_dir / "sources" / "s27_ai_woman.png"))
    picture = Image.new("RGB", (960, 512), "gray")
    picture.paste(person.resize((90, 90)), (60, 300))
    picture.paste(person, (448, 0))
    return np.asarray(picture)


def write_clip(path: Path, frames: list[np.ndarray], fps: int = 25, aspect: Fraction = Fraction(1)) -> Path:
    options = WriteOptions(fps=Fraction(fps), pixel_aspect=aspect)
    with open_writer(path, (frames[0].shape[0], frames[0].shape[1]), options) as writer:
        for frame in frames:
            writer.write(frame)
    return path


def test_an_index_means_the_same_face_in_a_clip_as_in_the_list(
    media_dir: Path, model: LoadedModel, face_analyzer: FaceAnalyzer
) -> None:
    picture = two_people(media_dir)
    assert len(face_analyzer.faces(picture, thorough=True)) == 2
    clip = write_clip(Path("two.mp4"), [picture] * 3)
    still = list(read_video(clip))[2].astype(int)

    def moved(face: str) -> tuple[float, float]:
        rotate(clip, "o", RotateOptions(yaw="20", face=face, force=True), model=model)
        change = np.abs(read_image(Path("o/frame_000002.png")).astype(int) - still)
        return change[300:390, 60:150].mean(), change[:, 448:].mean()

    left, right = moved("0")
    assert left > 2 and right < 0.5
    left, right = moved("1")
    assert left < 0.5 and right > 2
    left, right = moved("all")
    assert left > 2 and right > 2
    with pytest.raises(UsageError, match="never shows that many"):
        rotate(clip, "x.mp4", RotateOptions(yaw="20", face="5"), model=model)


def test_the_size_of_the_output_changes_neither_who_is_found_nor_counted(media_dir: Path, model: LoadedModel) -> None:
    Image.fromarray(two_people(media_dir)).save("two.png")
    options = RotateOptions(yaw="20", face="0", size=320)
    small = read_image(rotate("two.png", "small.png", options, model=model).output).astype(int)
    still = np.asarray(Image.open("two.png").resize((320, 171), Image.Resampling.LANCZOS)).astype(int)
    change = np.abs(small - still)
    assert change[100:130, 20:50].mean() > 2 and change[:, 150:].mean() < 0.5


def test_a_sweep_spans_the_output_whatever_the_rates(media_dir: Path, model: LoadedModel) -> None:
    source = media_dir / "drivings" / "d08_man_dreadlocks_12fps.mp4"
    seen: list[tuple[int, int | None]] = []
    hooks = Hooks(progress=lambda done, total: seen.append((done, total)))
    options = ReenactOptions(end="2", yaw="-20:20:1", region="eyes", strength=0.0, size=128, paste_back=True)
    result = reenact(source, DRIVING, "o", options, model=model, hooks=hooks)
    assert result.frames == 50 and seen[-1] == (50, 50)
    late = [read_image(Path("o") / f"frame_{k:06d}.png").astype(int) for k in (46, 49)]
    assert np.abs(late[0] - late[1]).mean() > 0.2  # it turns to the end


def test_a_saved_still_drives_as_the_picture_does(media_dir: Path, model: LoadedModel) -> None:
    smile = media_dir / "sources" / "s26_woman_threequarter.jpg"
    extract_motion(smile, "still.motion", model=model)
    direct = reenact(PORTRAIT, smile, "a.png", model=model)
    saved = reenact(PORTRAIT, "still.motion", "b.png", model=model)
    one, other = (read_image(r.output).astype(int) for r in (direct, saved))
    assert np.abs(one - read_image(PORTRAIT)).mean() > 2 and np.abs(one - other).mean() < 1


def test_a_motion_file_is_cut_where_its_clip_is(model: LoadedModel) -> None:
    extract_motion(DRIVING, "m.motion", model=model)
    for times in ({"start": "0.05", "end": "1.03"}, {"end": "0.01"}, {"start": "0.5", "end": "1", "fps": "30"}):
        options = ReenactOptions(size=64, force=True, **times)
        clip, saved = (reenact(PORTRAIT, d, "o.mp4", options, model=model).frames for d in (DRIVING, "m.motion"))
        assert clip == saved, times


def test_a_motion_file_of_other_keypoints_is_refused(model: LoadedModel) -> None:
    extract_motion(DRIVING, "m.motion", MotionOptions(end="0.2"), model=model)
    content = load_motion(Path("m.motion"))
    few = Motion(*content.motion.tensors()[:3], content.motion.expression[:, :10])
    save_motion(Path("few.motion"), MotionFile(few, content.found, content.fps, content.family))
    with pytest.raises(MotionFileError, match="10 keypoints"):
        reenact(PORTRAIT, "few.motion", "o.mp4", model=model)
    Path("cut.motion").write_bytes(Path("m.motion").read_bytes()[:3000])
    with pytest.raises(MotionFileError, match=r"cut\.motion: not a readable motion file"):
        reenact(PORTRAIT, "cut.motion", "o.mp4", model=model)


def test_a_source_clip_without_its_face_is_told(media_dir: Path, model: LoadedModel) -> None:
    with pytest.raises(NoFaceError, match="b13_no_face"):
        options = ReenactOptions(relative=False, end="0.4", size=96)
        reenact(media_dir / "bad" / "b13_no_face.mp4", DRIVING, "o.mp4", options, model=model)
    leaves = media_dir / "bad" / "b12_face_leaves_one_second.mp4"
    turned = rotate(leaves, "o.mp4", RotateOptions(yaw="15", size=96), model=model)
    assert 20 < turned.held < 45 and any("no face in" in warning for warning in turned.warnings)


def test_a_crop_glides_after_a_moving_head(media_dir: Path, model: LoadedModel, face_analyzer: FaceAnalyzer) -> None:
    person = read_image(media_dir / "sources" / "s27_ai_woman.png")
    small = np.asarray(Image.fromarray(person).resize((200, 200)))
    frames = []
    for k in range(24):
        frame = np.full((240, 480, 3), 128, np.uint8)
        frame[20:220, 20 + 8 * k : 220 + 8 * k] = small
        frames.append(frame)
    clip = write_clip(Path("pan.mp4"), frames)
    result = rotate(clip, "o", RotateOptions(yaw="5", paste_back=False), model=model)
    lefts, shapes = [], []
    for path in sorted(Path("o").glob("*.png"))[4:]:
        picture = read_image(path)
        face = max(face_analyzer.faces(picture), key=lambda f: f.size_px)
        lefts.append(face.box[0])
        shapes.append((face.box[3] - face.box[1]) / (face.box[2] - face.box[0]))
    steps = np.diff(lefts)
    assert result.frames == 24 and np.abs(steps).max() < 9 and np.abs(np.diff(steps)).max() < 6
    assert max(shapes) / min(shapes) < 1.06


def test_the_shape_of_pixels_is_kept(media_dir: Path, model: LoadedModel) -> None:
    person = np.asarray(Image.open(media_dir / "sources" / "s27_ai_woman.png").convert("RGB").resize((128, 256)))
    clip = write_clip(Path("wide.mp4"), [person] * 3, aspect=Fraction(2))
    rotate(clip, "o.mp4", RotateOptions(yaw="5"), model=model)
    assert probe_video("o.mp4").pixel_aspect == probe_video(clip).pixel_aspect == 2


def test_half_precision_gives_nearly_the_same_picture(model: LoadedModel) -> None:
    for dtype in ("bfloat16", "float32"):
        rotate(PORTRAIT, f"{dtype}.png", RotateOptions(yaw="15", size=256, dtype=dtype), model=model)
    one, other = (read_image(Path(f"{dtype}.png")).astype(float) for dtype in ("bfloat16", "float32"))
    assert 0 < np.abs(one - other).mean() < 1


def test_float32_after_bfloat16_is_float32(model: LoadedModel) -> None:
    for name, dtype in (("before", "float32"), ("between", "bfloat16"), ("after", "float32")):
        rotate(PORTRAIT, f"{name}.png", RotateOptions(yaw="15", size=256, dtype=dtype), model=model)
    before, between, after = (read_image(Path(f"{name}.png")) for name in ("before", "between", "after"))
    assert np.array_equal(before, after) and not np.array_equal(before, between)


@pytest.mark.parametrize(
    ("has_matrices", "has_vectors", "maker", "gains"),
    [
        (True, True, "GenuineIntel", True),
        (False, True, "GenuineIntel", False),
        (False, True, "AuthenticAMD", True),
        (False, False, "AuthenticAMD", False),
    ],
)
def test_auto_takes_bfloat16_where_the_model_may_and_the_processor_gains(
    has_matrices: bool, has_vectors: bool, maker: str, gains: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpu = torch.device("cpu")
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: has_matrices)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: has_vectors)
    monkeypatch.setattr(device, "_processor", lambda: f"vendor_id\t: {maker}\n")
    half, nothing = frozenset({torch.bfloat16}), frozenset[torch.dtype]()
    assert choose_dtype("auto", half, cpu) == (torch.bfloat16 if gains else torch.float32)
    assert choose_dtype("auto", half, torch.device("cuda")) == choose_dtype("auto", nothing, cpu) == torch.float32
    assert choose_dtype("float16", nothing, cpu) == torch.float16


@pytest.mark.parametrize("has_vnni", [True, False])
def test_auto_takes_int8_before_bfloat16_where_model_and_processor_can(
    has_vnni: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpu, both = torch.device("cpu"), frozenset({torch.bfloat16, torch.int8})
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: has_vnni)
    monkeypatch.setattr(device, "gains_by_bfloat16", lambda: True)
    assert choose_dtype("auto", both, cpu) == (torch.int8 if has_vnni else torch.bfloat16)
    assert choose_dtype("auto", both, torch.device("cuda")) == torch.float32
    assert choose_dtype("int8", both, cpu) == torch.int8
    for quick, where in ((both, torch.device("cuda")), (frozenset({torch.bfloat16}), cpu)):
        with pytest.raises(UsageError, match="--dtype int8"):
            choose_dtype("int8", quick, where)


def test_a_device_that_is_not_there_is_refused(model: LoadedModel) -> None:
    with pytest.raises(UsageError, match="--device"):
        rotate(PORTRAIT, "o.png", RotateOptions(yaw="5", device="abacus"), model=model)


def test_threads_are_what_was_asked_for(model: LoadedModel) -> None:
    before = torch.get_num_threads()
    try:
        rotate(PORTRAIT, "a.png", RotateOptions(yaw="5", threads=1, size=64), model=model)
        assert torch.get_num_threads() == 1
        rotate(PORTRAIT, "b.png", RotateOptions(yaw="5", threads=500, size=64), model=model)
        assert torch.get_num_threads() == os.cpu_count()
    finally:
        torch.set_num_threads(before)


def test_nothing_replaces_its_own_input_and_nothing_grows_without_bound(model: LoadedModel) -> None:
    Image.open(PORTRAIT).resize((128, 128)).save("mine.png")
    original = Path("mine.png").read_bytes()
    with pytest.raises(MediaError, match="input"):
        rotate("mine.png", "mine.png", RotateOptions(yaw="10", force=True), model=model)
    assert Path("mine.png").read_bytes() == original
    for options in (
        {"yaw": "-10:10:0.0000001"},
        {"yaw": "5", "size": 100000},
        {"yaw": "5", "columns": -1},
        {"yaw": "-40:40:0.1"},  # too many views for one picture
        {"yaw": "5", "face": "\u00b2"},
    ):
        with pytest.raises(UsageError):
            rotate("mine.png", "o.png", RotateOptions(**options), model=model)


def test_a_moving_source_lies_on_the_background_too(media_dir: Path, model: LoadedModel) -> None:
    with Image.open(media_dir / "sources" / "s18_side_view_alpha.png") as still:
        small = still.convert("RGBA").resize((426, 240))
    small.save("a.png", save_all=True, append_images=[small.rotate(1)], duration=100, loop=0)
    rotate("a.png", "o", RotateOptions(yaw="5", background="#00ff00"), model=model)
    assert read_image(Path("o/frame_000000.png"))[3, 3].tolist() == [0, 255, 0]
    with pytest.raises(UsageError, match="--background"):
        rotate("a.png", "p", RotateOptions(yaw="5", background="nocolour"), model=model)


def test_a_picture_as_driving_leaves_a_clip_its_sound(media_dir: Path, model: LoadedModel) -> None:
    clip = media_dir / "drivings" / "d09_man_talking_15fps_audio.mp4"
    smile = media_dir / "sources" / "s16_man_smiling.jpg"
    result = reenact(clip, smile, "o.mp4", ReenactOptions(size=96, region="mouth"), model=model)
    info = probe_video("o.mp4")
    assert info.has_audio and result.frames == info.frame_count == probe_video(clip).frame_count
    told = reenact(PORTRAIT, DRIVING, "p.mp4", ReenactOptions(audio="source", end="0.2", size=64), model=model)
    assert any("--audio source" in warning for warning in told.warnings)


@pytest.mark.parametrize(
    ("text", "angles"),
    [("20", [20]), ("-5.5", [-5.5]), ("0:20:10", [0, 10, 20]), ("10:-10:10", [10, 0, -10]), ("0:5:2", [0, 2, 4])],
)
def test_sweeps(text: str, angles: list[float]) -> None:
    sweep = parse_sweep(text, "yaw")
    assert sweep is not None and sweep.count == len(angles)
    assert sweep.at(0) == angles[0] and sweep.at(1) == angles[-1]


def test_words_that_mean_nothing_are_usage_errors() -> None:
    for text in ("abc", "1:2", "1:2:0", "nan", "1e9", "1:2:3:4"):
        with pytest.raises(UsageError, match="--yaw"):
            parse_sweep(text, "yaw")
    assert parse_time("1:02:03.5", "start") == 3723.5 and parse_fps("29.97") == Fraction(2997, 100)
    for bad in (lambda: parse_time("x", "start"), lambda: parse_fps("0"), lambda: parse_face("left")):
        with pytest.raises(UsageError, match="--"):
            bad()

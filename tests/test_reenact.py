"""Reenactment and motion files from file to file, on real pictures and clips."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from tests.support.clips import ffmpeg
from tests.support.faces import landmarks_of
from vid2vid_cli.errors import MediaError, MotionFileError, NoFaceError, UsageError
from vid2vid_cli.face.mesh import FaceAnalyzer, FaceTracker, roi_from_landmarks
from vid2vid_cli.geometry.rotation import rotation_from_pose
from vid2vid_cli.media.image import read_image
from vid2vid_cli.media.video import ReadOptions, probe_video, read_mark, read_video
from vid2vid_cli.models.compact.model import CompactModel
from vid2vid_cli.models.registry import LoadedModel
from vid2vid_cli.motion import Motion
from vid2vid_cli.motion_file import MotionFile, load_motion
from vid2vid_cli.pipeline.driving.reference import nearest_frame
from vid2vid_cli.pipeline.extract_motion import extract_motion
from vid2vid_cli.pipeline.motion_output import save_motion
from vid2vid_cli.pipeline.options import MotionOptions, ReenactOptions, RotateOptions
from vid2vid_cli.pipeline.progress import Hooks
from vid2vid_cli.pipeline.reenact import reenact
from vid2vid_cli.pipeline.rotate import rotate

EXAMPLES = Path(__file__).parents[1] / "examples"
PORTRAIT, DRIVING = EXAMPLES / "portrait.jpg", EXAMPLES / "driving.mp4"

pytestmark = pytest.mark.usefixtures("own_folder")


@pytest.mark.parametrize(
    "clip", ["d01_ai_man_turning_audio", "d07_woman_seated_hevc_audio", "d10_woman_webcam_720p_audio"]
)
def test_a_clip_driven_by_itself_keeps_the_face_where_it_was(
    clip: str, media_dir: Path, tmp_path: Path, face_analyzer: FaceAnalyzer, model: LoadedModel
) -> None:
    path = media_dir / "drivings" / f"{clip}.mp4"
    frames = list(read_video(path, ReadOptions(end_s=0.6)))
    still = tmp_path / "first.png"
    Image.fromarray(frames[0]).save(still)
    options = ReenactOptions(end="0.6", reference_frame="0")
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
    source = Path("source.mp4")
    ffmpeg("-i", media_dir / "drivings" / "d11_man_car_qcif.mp4", "-frames:v", "30", "-crf", "10", source)
    result = reenact(source, DRIVING, "v2v.mp4", ReenactOptions(end="1"), model=model)
    frames = list(read_video(result.output))
    originals = list(read_video(source, ReadOptions(fps=result.fps)))
    assert len(frames) == result.frames == 25
    # The scene of the source goes on behind the face.
    corner = [np.abs(f[:20, :20].astype(int) - o[:20, :20]).mean() for f, o in zip(frames, originals, strict=False)]
    assert max(corner) < 6
    rotated = rotate(source, "turned.mp4", RotateOptions(yaw="-15:15:1"), model=model)
    assert rotated.frames == probe_video(source).frame_count == 30


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


def test_frames_without_a_face_are_held_skipped_or_refused(media_dir: Path, model: LoadedModel) -> None:
    clip = media_dir / "bad" / "b12_face_leaves_one_second.mp4"
    warnings: list[str] = []
    small = {"size": 96, "force": True, "start": "1.8", "end": "3.2"}
    frames = 42
    held = reenact(PORTRAIT, clip, "o.mp4", ReenactOptions(**small), model=model, hooks=Hooks(warn=warnings.append))
    assert held.frames == frames and 20 < held.held < 45
    assert any("no face in" in w and "held" in w for w in warnings)
    skipped = reenact(PORTRAIT, clip, "o.mp4", ReenactOptions(on_missing="skip", **small), model=model)
    assert skipped.frames == frames - skipped.skipped and skipped.skipped == held.held
    with pytest.raises(NoFaceError, match=r"no face in frame \d+"):
        reenact(PORTRAIT, clip, "p.mp4", ReenactOptions(on_missing="fail", **small), model=model)
    assert not Path("p.mp4").exists()


def test_a_face_that_comes_late_leaves_the_source_still_until_then(media_dir: Path, model: LoadedModel) -> None:
    clip = media_dir / "bad" / "b15_no_face_at_first.mp4"
    result = reenact(PORTRAIT, clip, "o.mp4", ReenactOptions(size=128, start="2.2", end="5"), model=model)
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
        reenact(PORTRAIT, DRIVING, "o", ReenactOptions(end="1.2", fps="10", force=True, **options), model=model)  # type: ignore[arg-type]
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
    reenact(
        PORTRAIT, DRIVING, "a", ReenactOptions(end="1", reference_frame="0", mouth="bank", wrinkles=0.0), model=model
    )
    reenact(PORTRAIT, "m.motion", "b", ReenactOptions(reference_frame="0", mouth="bank"), model=model)
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
        options = ReenactOptions(end="1.48", smooth=0.0, reference_frame=reference, size=256, force=True)
        reenact("s.png", DRIVING, "o", options, model=model)
        seen = 2 * landmarks_of(read_image(sorted(Path("o").glob("*"))[20]), face_analyzer)[:, :2]
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


def test_a_sweep_spans_the_output_whatever_the_rates(media_dir: Path, model: LoadedModel) -> None:
    source = media_dir / "drivings" / "d08_man_dreadlocks_12fps.mp4"
    seen: list[tuple[int, int | None]] = []
    hooks = Hooks(progress=lambda done, total: seen.append((done, total)))
    options = ReenactOptions(end="0.8", yaw="-20:20:1", region="eyes", strength=0.0, size=128, paste_back=True)
    result = reenact(source, DRIVING, "o", options, model=model, hooks=hooks)
    assert result.frames == 20 and seen[-1] == (20, 20)
    late = [read_image(Path("o") / f"frame_{k:06d}.png").astype(int) for k in (16, 19)]
    assert np.abs(late[0] - late[1]).mean() > 0.2  # it turns to the end


def test_a_saved_still_drives_as_the_picture_does(media_dir: Path, model: LoadedModel) -> None:
    smile = media_dir / "sources" / "s26_woman_threequarter.jpg"
    extract_motion(smile, "still.motion", model=model)
    direct = reenact(PORTRAIT, smile, "a.png", model=model)
    saved = reenact(PORTRAIT, "still.motion", "b.png", model=model)
    one, other = (read_image(r.output).astype(int) for r in (direct, saved))
    assert np.abs(one - read_image(PORTRAIT)).mean() > 2 and np.abs(one - other).mean() < 1


def test_a_motion_file_is_cut_where_its_clip_is(model: LoadedModel) -> None:
    extract_motion(DRIVING, "m.motion", MotionOptions(end="1.2"), model=model)
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
    whole, leaves = media_dir / "bad" / "b12_face_leaves_one_second.mp4", Path("leaves.mp4")
    ffmpeg("-ss", "1.5", "-i", whole, "-t", "2", "-crf", "10", leaves)
    turned = rotate(leaves, "o.mp4", RotateOptions(yaw="15", size=96), model=model)
    assert 20 < turned.held < 45 and any("no face in" in warning for warning in turned.warnings)


def test_a_picture_as_driving_leaves_a_clip_its_sound(media_dir: Path, model: LoadedModel) -> None:
    clip = Path("clip.mp4")
    ffmpeg("-i", media_dir / "drivings" / "d09_man_talking_15fps_audio.mp4", "-t", "1.5", "-crf", "10", clip)
    smile = media_dir / "sources" / "s16_man_smiling.jpg"
    result = reenact(clip, smile, "o.mp4", ReenactOptions(size=96, region="mouth"), model=model)
    info = probe_video("o.mp4")
    assert info.has_audio and result.frames == info.frame_count == probe_video(clip).frame_count
    told = reenact(PORTRAIT, DRIVING, "p.mp4", ReenactOptions(audio="source", end="0.2", size=64), model=model)
    assert any("--audio source" in warning for warning in told.warnings)

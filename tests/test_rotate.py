"""Free view from file to file, on real pictures and clips."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.faces import landmarks_of
from vid2vid_cli.errors import MediaError, OutputExistsError, UsageError
from vid2vid_cli.face.mesh import FaceAnalyzer
from vid2vid_cli.media.image import read_image
from vid2vid_cli.media.video import WriteOptions, open_writer, probe_video, read_video
from vid2vid_cli.models.registry import LoadedModel
from vid2vid_cli.pipeline.options import RotateOptions
from vid2vid_cli.pipeline.rotate import rotate

EXAMPLES = Path(__file__).parents[1] / "examples"
PORTRAIT, DRIVING = EXAMPLES / "portrait.jpg", EXAMPLES / "driving.mp4"

pytestmark = pytest.mark.usefixtures("own_folder")


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


def test_nothing_is_overwritten_and_missing_folders_are_made(model: LoadedModel) -> None:
    Path("there.png").write_bytes(b"mine")
    with pytest.raises(OutputExistsError, match="--force"):
        rotate(PORTRAIT, "there.png", RotateOptions(yaw="10"), model=model)
    assert Path("there.png").read_bytes() == b"mine"
    with pytest.raises(MediaError, match="is not a folder"):
        rotate(PORTRAIT, "there.png/x.png", RotateOptions(yaw="10"), model=model)
    rotate(PORTRAIT, "new/folder/x.png", RotateOptions(yaw="10"), model=model)
    assert [path.name for path in Path("new/folder").iterdir()] == ["x.png"]


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


def test_a_sweep_goes_there_and_back(model: LoadedModel) -> None:
    sweep = RotateOptions(yaw="-6:6:3", size=96, loop="pingpong")
    assert rotate(PORTRAIT, "frames", sweep, model=model).frames == 8
    frames = [read_image(path) for path in sorted(Path("frames").iterdir())]
    for there, back in ((1, 7), (2, 6), (3, 5)):
        np.testing.assert_array_equal(frames[there], frames[back])
    assert not (frames[0] == frames[4]).all() and not (frames[1] == frames[3]).all()
    assert rotate(PORTRAIT, "o.gif", sweep, model=model).frames == probe_video("o.gif").frame_count == 8
    for output, asked in (("o.png", sweep), ("p.gif", RotateOptions(yaw="5", loop="pingpong"))):
        with pytest.raises(UsageError, match="--loop pingpong"):
            rotate(PORTRAIT, output, asked, model=model)

"""The families of published checkpoints from file to file: untrained nets of few channels, so the picture is noise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import load_file, save_file

from tests.support import tiny
from vid2vid_cli.cli.app import main
from vid2vid_cli.errors import MotionFileError, UsageError, WeightsError
from vid2vid_cli.evaluation.options import EvaluateClipsOptions
from vid2vid_cli.evaluation.self_reenactment import evaluate_self
from vid2vid_cli.face.crop import BROWS, JAW, CropSpec, FaceCrop, Room, crop_around, crop_frame
from vid2vid_cli.face.mesh import FaceAnalyzer, face_from_landmarks
from vid2vid_cli.face.paste import paste_face
from vid2vid_cli.face.placing import GLIDE, glide_crop
from vid2vid_cli.media.image import read_image, write_image
from vid2vid_cli.media.video import probe_video, read_video
from vid2vid_cli.models.registry import FAMILIES, load_model
from vid2vid_cli.motion_file import load_motion
from vid2vid_cli.pipeline.extract_motion import extract_motion
from vid2vid_cli.pipeline.motion_output import save_motion
from vid2vid_cli.pipeline.options import MotionOptions, ReenactOptions, RotateOptions
from vid2vid_cli.pipeline.reenact import reenact
from vid2vid_cli.pipeline.rotate import rotate

EXAMPLES = Path(__file__).parents[1] / "examples"
PORTRAIT, DRIVING = EXAMPLES / "portrait.jpg", EXAMPLES / "driving.mp4"
FAMILY_NAMES = ("facevid2vid", "liveportrait", "fomm")
NATIVE_PX = {"facevid2vid": 256, "liveportrait": 512, "fomm": 256}


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("checkpoints")
    made = {**tiny.CHECKPOINTS, "sadtalker": tiny.sadtalker}
    for name, make in made.items():
        save_file(make(), folder / f"{name}.safetensors")
    return {name: str(folder / f"{name}.safetensors") for name in made}


@pytest.fixture(params=FAMILY_NAMES)
def family(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def short(checkpoint: str, end: str = "0.12") -> ReenactOptions:
    """Ask for the first frames."""
    return ReenactOptions(checkpoint=checkpoint, end=end, smooth=0, reference_frame="0", force=True)


def frames_of(path: Path) -> np.ndarray:
    return np.stack([frame.astype(np.int16) for frame in read_video(path)])


@pytest.fixture(scope="module")
def plain(checkpoints: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    """Frames of each family without any wish."""
    return {name: reenact_to_frames(checkpoints[name], tmp_path_factory.mktemp(name)) for name in FAMILY_NAMES}


def test_reenact_keeps_size_frames_sound_and_surroundings(
    family: str,
    checkpoints: dict[str, str],
    tmp_path: Path,
    face_analyzer: FaceAnalyzer,
) -> None:
    result = reenact(PORTRAIT, DRIVING, tmp_path / "out.mp4", short(checkpoints[family]))
    assert (result.frames, result.size, result.warnings) == (3, (512, 512), ())
    info = probe_video(tmp_path / "out.mp4")
    assert (info.frame_count, info.size, info.has_audio) == (3, (512, 512), True)
    wide = np.pad(read_image(PORTRAIT), ((128, 128), (128, 128), (0, 0)), mode="edge")
    write_image(tmp_path / "wide.png", wide)
    frames = reenact_to_frames(checkpoints[family], tmp_path, source=tmp_path / "wide.png")
    changed = np.abs(frames - wide.astype(np.int16)).max(-1).max(0)
    assert changed[-4:].max() == 0 and changed[:, :4].max() == 0, "what is far from the face stays as it is"
    (face,) = face_analyzer.faces(wide, thorough=True)
    left, top, right, bottom = (int(side) for side in face.box)
    assert np.median(changed[top:bottom, left:right]) > 20, "the face is drawn anew"


def reenact_to_frames(checkpoint: str, folder: Path, source: Path = PORTRAIT, **changes: object) -> np.ndarray:
    """Reenact some frames into PNG files, which lose nothing."""
    target = folder / "frames"
    reenact(source, DRIVING, target, replace(short(checkpoint), **changes))  # type: ignore[arg-type]
    return np.stack([read_image(path).astype(np.int16) for path in sorted(target.glob("*.png"))])


def test_crop_only_gives_the_native_size(family: str, checkpoints: dict[str, str], tmp_path: Path) -> None:
    options = replace(short(checkpoints[family]), paste_back=False, end="0.08")
    result = reenact(PORTRAIT, DRIVING, tmp_path / "out.mp4", options)
    assert result.size == (NATIVE_PX[family], NATIVE_PX[family])
    result = reenact(PORTRAIT, DRIVING, tmp_path / "out.mp4", replace(options, size=100))
    assert result.size == (100, 100)


def test_a_source_video_moves_too(family: str, checkpoints: dict[str, str], tmp_path: Path) -> None:
    for paste_back in (True, False):
        options = replace(short(checkpoints[family], end="0.08"), paste_back=paste_back)
        result = reenact(DRIVING, DRIVING, tmp_path / "out.mp4", options)
        side = 512 if paste_back else NATIVE_PX[family]
        assert (result.frames, result.size) == (2, (side, side))


def test_a_motion_file_drives_as_its_clip_does(
    family: str, checkpoints: dict[str, str], plain: dict[str, np.ndarray], tmp_path: Path
) -> None:
    path = tmp_path / "moves.safetensors"
    extract_motion(DRIVING, path, MotionOptions(checkpoint=checkpoints[family], end="0.12"))
    recorded = load_motion(path)
    assert recorded.family == family
    assert (recorded.motion.extra is None) == (family == "facevid2vid")
    target = tmp_path / "replayed"
    reenact(PORTRAIT, path, target, short(checkpoints[family]))
    replayed = np.stack([read_image(p).astype(np.int16) for p in sorted(target.glob("*.png"))])
    assert np.abs(plain[family] - replayed).max() <= 1


def test_motion_of_another_family_is_refused(checkpoints: dict[str, str], tmp_path: Path) -> None:
    path = tmp_path / "moves.safetensors"
    extract_motion(DRIVING, path, MotionOptions(checkpoint=checkpoints["liveportrait"], end="0.08"))
    for name in ("facevid2vid", "fomm"):
        with pytest.raises(MotionFileError, match=f"motion of the liveportrait family does not fit -c {name}"):
            reenact(PORTRAIT, path, tmp_path / "out.mp4", ReenactOptions(checkpoint=checkpoints[name]))
    with pytest.raises(MotionFileError, match="does not fit -c compact"):
        reenact(PORTRAIT, path, tmp_path / "out.mp4")


@pytest.mark.parametrize("name", ["liveportrait", "fomm"])
def test_a_motion_file_that_lacks_what_its_family_needs_is_named(
    name: str, checkpoints: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "moves.safetensors"
    extract_motion(DRIVING, path, MotionOptions(checkpoint=checkpoints[name], end="0.08"))
    recorded = load_motion(path)
    save_motion(path, replace(recorded, motion=replace(recorded.motion, extra=None)), force=True)
    assert "extra" not in load_file(path)
    options = ReenactOptions(checkpoint=checkpoints[name], retarget_eyes=name == "liveportrait")
    with pytest.raises(MotionFileError, match="make the file again"):
        reenact(PORTRAIT, path, tmp_path / "out.mp4", options)
    assert not (tmp_path / "out.mp4").exists()


def test_sadtalker_needs_motion_from_elsewhere(checkpoints: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="drive it with a motion file of facevid2vid"):
        reenact(PORTRAIT, DRIVING, tmp_path / "out.mp4", short(checkpoints["sadtalker"]))
    path = tmp_path / "moves.safetensors"
    extract_motion(DRIVING, path, MotionOptions(checkpoint=checkpoints["facevid2vid"], end="0.16"))
    result = reenact(PORTRAIT, path, tmp_path / "out.mp4", ReenactOptions(checkpoint=checkpoints["sadtalker"]))
    assert result.frames == 4


@pytest.mark.parametrize("name", ["facevid2vid", "liveportrait"])
def test_rotate_gives_views_sheets_and_frontal_faces(name: str, checkpoints: dict[str, str], tmp_path: Path) -> None:
    options = RotateOptions(checkpoint=checkpoints[name], yaw="20")
    assert rotate(PORTRAIT, tmp_path / "one.png", options).size == (512, 512)
    assert rotate(PORTRAIT, tmp_path / "sweep.mp4", replace(options, yaw="-20:20:20")).frames == 3
    rotate(PORTRAIT, tmp_path / "sheet.png", replace(options, yaw="-20:20:20"))
    rotate(PORTRAIT, tmp_path / "front.png", replace(options, yaw=None, frontalize=True))
    views = [read_image(tmp_path / f"{view}.png").astype(np.int16) for view in ("one", "front")]
    assert np.abs(views[0] - views[1]).max() > 20
    result = rotate(PORTRAIT, tmp_path / "far.png", replace(options, yaw="60"))
    assert any("past" in warning for warning in result.warnings)


def test_fomm_refuses_angles_before_any_work(checkpoints: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no head pose.*-c compact or facevid2vid or liveportrait"):
        rotate(PORTRAIT, tmp_path / "out.png", RotateOptions(checkpoint=checkpoints["fomm"], yaw="20"))
    with pytest.raises(UsageError, match="no head pose"):
        reenact(PORTRAIT, DRIVING, tmp_path / "out.mp4", replace(short(checkpoints["fomm"]), roll="5"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "region"), [("facevid2vid", "mouth"), ("facevid2vid", "eyes"), ("fomm", "pose"), ("fomm", "mouth")]
)
def test_regions_that_a_family_does_not_know_are_refused(
    name: str, region: str, checkpoints: dict[str, str], tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=f"--region {region}: {name} cannot"):
        reenact(PORTRAIT, DRIVING, tmp_path / "out.mp4", replace(short(checkpoints[name]), region=region))


@pytest.mark.parametrize("region", ["pose", "expression", "mouth", "eyes"])
def test_regions_of_liveportrait_are_not_all_of_it(
    region: str, checkpoints: dict[str, str], plain: dict[str, np.ndarray], tmp_path: Path
) -> None:
    part = reenact_to_frames(checkpoints["liveportrait"], tmp_path, region=region)
    assert np.abs(part - plain["liveportrait"]).max() > 0


@pytest.mark.parametrize(
    ("name", "wish"),
    [
        ("liveportrait", {"stitch": False}),
        ("liveportrait", {"eyes": 0.0}),
        ("liveportrait", {"lips": 0.5}),
        ("liveportrait", {"retarget_eyes": True}),
        ("liveportrait", {"retarget_lips": True}),
        ("facevid2vid", {"adapt_scale": False}),
        ("fomm", {"adapt_scale": False}),
    ],
)
def test_a_wish_changes_the_picture_and_others_refuse_it(
    name: str, wish: dict[str, object], checkpoints: dict[str, str], plain: dict[str, np.ndarray], tmp_path: Path
) -> None:
    assert np.abs(reenact_to_frames(checkpoints[name], tmp_path, **wish) - plain[name]).max() > 0
    (option,) = wish
    for other in FAMILIES:
        if option in other.request:
            continue
        checkpoint = "compact" if other.name == "compact" else checkpoints[other.name]
        words = f"--{option.replace('_', '-')}: {other.name} does not support it"
        with pytest.raises(UsageError, match=words):
            reenact_to_frames(checkpoint, tmp_path, **wish)


def test_openings_that_make_no_sense_are_refused(checkpoints: dict[str, str], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--eyes -1"):
        reenact_to_frames(checkpoints["liveportrait"], tmp_path, eyes=-1.0)
    with pytest.raises(UsageError, match="choose one"):
        reenact_to_frames(checkpoints["liveportrait"], tmp_path, lips=0.2, retarget_lips=True)


def test_strength_zero_keeps_still(family: str, checkpoints: dict[str, str], tmp_path: Path) -> None:
    frames = reenact_to_frames(checkpoints[family], tmp_path, strength=0.0)
    assert np.abs(frames - frames[:1]).max() <= 1


def test_half_precision_is_accepted_and_near(
    family: str, checkpoints: dict[str, str], plain: dict[str, np.ndarray], tmp_path: Path
) -> None:
    halved = reenact_to_frames(checkpoints[family], tmp_path, dtype="bfloat16")
    assert 0 < np.abs(plain[family] - halved).mean() < 5


def test_the_command_answers_with_its_exit_codes(
    checkpoints: dict[str, str],
    tmp_path: Path,
    own_signals: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def run(*words: str) -> tuple[int, str]:
        return main(words), capsys.readouterr().err

    monkeypatch.chdir(tmp_path)
    clip = [str(PORTRAIT), str(DRIVING), "--end", "0.08", "-o", "out.mp4", "--force", "-c"]
    good = run("reenact", *clip, checkpoints["liveportrait"], "--no-stitch", "--lips", "0.1", "--quiet")
    assert good == (0, "")
    code, said = run("reenact", *clip, checkpoints["fomm"], "--eyes", "0.1")
    assert code == 2 and "--eyes: fomm does not support it" in said
    code, said = run("rotate", str(PORTRAIT), "--yaw", "20", "-c", checkpoints["fomm"])
    assert code == 2 and len(said.splitlines()) == 1
    code, said = run("motion", str(DRIVING), "-o", "m.safetensors", "-c", checkpoints["sadtalker"])
    assert code == 4 and "he_estimator" in said


def test_noise_is_judged_worse_than_a_copy(family: str, checkpoints: dict[str, str]) -> None:
    options = EvaluateClipsOptions(checkpoint=checkpoints[family], every=2, frames=3, threads=1)
    found = evaluate_self(DRIVING, options)
    copied, drawn = found.rows
    assert (found.family, copied.method, drawn.method) == (family, "copy", "model")
    assert copied.judged == drawn.judged == 1
    errors = copied.scores["l1"], drawn.scores["l1"]
    assert errors[0] is not None and errors[1] is not None and errors[0] < errors[1]


# Crops


def test_a_rendered_face_of_another_size_lands_in_the_same_place() -> None:
    frame = np.zeros((90, 120, 3), np.uint8)
    turn = np.deg2rad(20)
    affine = np.array([[np.cos(turn), -np.sin(turn), 40], [np.sin(turn), np.cos(turn), 10]])
    crop = FaceCrop(affine, (50, 50))
    small, large = (np.full((side, side, 3), 200, np.uint8) for side in (50, 100))
    pasted = [paste_face(frame, picture, crop).astype(int) for picture in (small, large)]
    assert pasted[0].max() == 200
    assert np.abs(pasted[0] - pasted[1]).mean() < 1


def test_a_crop_below_the_forehead_is_that_of_the_usual_landmarks(face_analyzer: FaceAnalyzer) -> None:
    (face,) = face_analyzer.faces(read_image(PORTRAIT), thorough=True)
    whole = crop_around(face, CropSpec(scale=2, size=256), Room(0, 0, 512, 512))
    lower = crop_around(face, CropSpec(scale=2, size=256, below_forehead=True), Room(0, 0, 512, 512))
    assert lower.center_px[1] > whole.center_px[1] + 5
    hull = face_from_landmarks(face.landmarks_px[list(JAW + BROWS)], 1.0)
    assert lower.affine[0, 0] * 256 == pytest.approx(2 * hull.size_px, rel=1e-6)


def test_liveportrait_sees_faces_upright(face_analyzer: FaceAnalyzer) -> None:
    model = load_model().model
    spec = next(f for f in FAMILIES if f.name == "liveportrait").build(tiny.liveportrait()).source_crop
    assert (spec.scale, spec.shift_up, spec.upright, spec.size) == (2.3, 0.125, True, 256)
    assert not model.source_crop.upright
    picture = read_image(PORTRAIT)
    turned = np.ascontiguousarray(np.rot90(picture))  # to the left
    faces = [max(face_analyzer.faces(p, thorough=True), key=lambda f: f.size_px) for p in (picture, turned)]
    places = [crop_around(face, spec, Room(0, 0, 512, 512)) for face in faces]
    crops = [crop_frame(p, place) for p, place in zip((picture, turned), places, strict=True)]
    assert np.abs(crops[0].astype(int) - crops[1].astype(int)).mean() < 15


def test_a_crop_glides_after_a_face() -> None:
    last = FaceCrop(np.array([[2.0, 0, 10], [0, 2.0, 20]]), (100, 100))
    wanted = FaceCrop(np.array([[1.0, 0, 210], [0, 1.0, 20]]), (100, 100))
    assert glide_crop(last, wanted).affine[:, 2] == pytest.approx([10 + GLIDE * 150, 20 - GLIDE * 50])
    native = FaceCrop(np.array([[1.0, 0, 10], [0, 1.0, 20]]), (100, 100))
    assert glide_crop(native, wanted).is_native


def test_every_family_gets_another_background(family: str, checkpoints: dict[str, str], tmp_path: Path) -> None:
    kept = reenact_to_frames(checkpoints[family], tmp_path, end="0.04")
    blue = reenact_to_frames(checkpoints[family], tmp_path, end="0.04", background="#102080")
    assert (blue[0, :20, :20] == (16, 32, 128)).all() and (kept[0, :20, :20] != blue[0, :20, :20]).any()


def test_every_family_keeps_what_is_transparent(family: str, checkpoints: dict[str, str], tmp_path: Path) -> None:
    portrait = read_image(PORTRAIT)
    alpha = np.full(portrait.shape[:2], 255, np.uint8)
    alpha[:, :40] = 0
    Image.fromarray(np.dstack([portrait, alpha])).save(tmp_path / "clear.png")
    # The whole crop is drawn anew, here by networks that know nothing: nearly all that is sure is that alpha is there.
    reenact(tmp_path / "clear.png", DRIVING, tmp_path / "out", short(checkpoints[family], "0.04"))
    shown = np.array(Image.open(tmp_path / "out" / "frame_000000.png"))
    assert shown.shape == (*portrait.shape[:2], 4)
    assert np.median(shown[:, :40, 3]) < 100 < np.median(shown[:, 60:, 3])

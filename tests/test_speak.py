"""A sound drives a face: lips meet on any source, only the mouth of a film changes, and any command takes it."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from tests.support import tiny
from tests.support.clips import ffmpeg
from vid2vid_cli.batch.jobs import find_files
from vid2vid_cli.cli.app import main
from vid2vid_cli.errors import UsageError
from vid2vid_cli.face.mesh import FaceAnalyzer
from vid2vid_cli.media.sound import Samples
from vid2vid_cli.media.video import ReadOptions, probe_video, read_video
from vid2vid_cli.models.base import SourceAppearance
from vid2vid_cli.models.compact.model import CompactModel
from vid2vid_cli.models.compact.posing import CompactState
from vid2vid_cli.models.registry import LoadedModel, load_speech_model
from vid2vid_cli.models.speaking import SpokenFace
from vid2vid_cli.motion_file import load_motion
from vid2vid_cli.pipeline.driving import speech
from vid2vid_cli.pipeline.driving.motion_reader import ReaderSetup, SpeechSetup
from vid2vid_cli.pipeline.driving.opening import kind_of
from vid2vid_cli.pipeline.driving.speech import SpeechDriving
from vid2vid_cli.pipeline.engine import start_engine
from vid2vid_cli.pipeline.extract_motion import extract_motion
from vid2vid_cli.pipeline.learned_speaker import learn_speaker
from vid2vid_cli.pipeline.options import MotionOptions, ReenactOptions, SpeakOptions
from vid2vid_cli.pipeline.progress import Hooks
from vid2vid_cli.pipeline.source import Source
from vid2vid_cli.pipeline.speak import open_new_mouths, speak
from vid2vid_cli.speech.mouth import LOWER, MOUTH_POINTS, UPPER, SpokenMouth, opening_of, places_of

EXAMPLES = Path(__file__).parents[1] / "examples"
PORTRAIT, CLIP, VOICE = EXAMPLES / "portrait.jpg", EXAMPLES / "driving.mp4", EXAMPLES / "voice.flac"
WIDE = 0.3  # eye distances
SMALL = SpeakOptions(size=96, force=True)

pytestmark = pytest.mark.usefixtures("own_folder")


@pytest.fixture(scope="module")
def setup(model: LoadedModel, face_analyzer: FaceAnalyzer) -> ReaderSetup:
    return ReaderSetup(model.model, face_analyzer, "largest", torch.device("cpu"))


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a film of a head that turns and talks, 12 frames at 12.5 a second."""
    path = tmp_path_factory.mktemp("film") / "film.mkv"
    ffmpeg("-ss", 1, "-i", CLIP, "-vf", "fps=25/2,scale=192:-2", "-frames:v", 12, "-an", "-c:v", "ffv1", path)
    return path


@pytest.fixture(scope="module")
def portrait(model: LoadedModel) -> SourceAppearance:
    """Read the example, who smiles and shows her teeth."""
    return Source(PORTRAIT, SMALL, start_engine(SMALL, model), print).first_appearance()


def lips_apart(height: float) -> np.ndarray:
    """Return displacements that part the lips so far and leave the rest alone."""
    lips = np.zeros((len(MOUTH_POINTS), 3), np.float32)
    lips[places_of(UPPER), 1], lips[places_of(LOWER), 1] = -height / 2, height / 2
    return lips


def mouth(number: int, height: float, *, is_speech: bool = True) -> SpokenMouth:
    return SpokenMouth(number / 25, lips_apart(height), height, 0.0, 0.0, float(not height), 0.0, 0.5, is_speech)


def gaps(state: CompactState) -> torch.Tensor:
    """Return how far lips are apart at each pair of points, on the canonical head: (B, 9)."""
    faces = state.head.undo(state.keypoints)
    return faces[:, list(LOWER), 1] - faces[:, list(UPPER), 1]


def test_lips_meet_whatever_the_source_shows(model: LoadedModel, portrait: SourceAppearance) -> None:
    own = model.model
    assert isinstance(own, CompactModel)
    shown = portrait.canonical + portrait.motion.expression[:, :468]
    assert (shown[:, list(LOWER), 1] - shown[:, list(UPPER), 1]).max() > 0.03, "she no longer smiles"
    rest = own.spoken_motion(SpokenFace(torch.zeros(1, len(MOUTH_POINTS), 3), torch.eye(3)[None]))
    rested = replace(portrait, rest=own.rested(portrait, rest, None))
    lips = torch.from_numpy(np.stack([lips_apart(0.0), lips_apart(WIDE)]))
    spoken = own.spoken_motion(SpokenFace(lips, torch.eye(3).repeat(2, 1, 1)))
    shut, opened = gaps(own.drive(rested, spoken, rest, None))
    assert shut.abs().max() < 2e-3
    assert opened.min() > 0.9 * WIDE and opened.max() < 1.1 * WIDE


def test_lids_and_eyes_have_names(model: LoadedModel, portrait: SourceAppearance) -> None:
    own = model.model
    assert isinstance(own, CompactModel)
    silent = SpokenFace(torch.zeros(1, len(MOUTH_POINTS), 3), torch.eye(3)[None])
    rest = own.spoken_motion(silent)
    blink = {"eyeBlink_L": torch.ones(1), "eyeBlink_R": torch.ones(1)}
    shut = own.spoken_motion(replace(silent, weights=blink)).expression - rest.expression
    assert shut[0, 159, 1] > 0.05 and shut[0, 386, 1] > 0.05, "upper lids come down"
    aside = own.spoken_motion(replace(silent, weights={"eyeLookOut_L": torch.ones(1), "eyeLookIn_R": torch.ones(1)}))
    assert (aside.expression - rest.expression)[0, 468, 0] > 0.05, "the person's left is the viewer's right"


def test_only_the_mouth_of_a_film_changes(model: LoadedModel, film: Path) -> None:
    options = ReenactOptions()
    engine = start_engine(options, model)
    frames = list(read_video(film))

    def mouths() -> Iterator[SpokenMouth]:
        return (mouth(number, 0.25 * (number % 2)) for number in itertools.count())

    with open_new_mouths(engine, Source(film, options, engine, print), mouths, len(frames), options) as scene:
        assert scene.fps == Fraction(25, 2) and scene.total == len(frames)
        shown = list(scene.frames())
    assert len(shown) == len(frames)
    for number, (before, after) in enumerate(zip(frames, shown, strict=True)):
        face = max(engine.analyzer.faces(before), key=lambda one: one.size_px)
        changed = np.argwhere((before != after).any(-1))
        nose, chin = face.landmarks_px[2, 1], face.landmarks_px[152, 1]
        left, right = face.landmarks_px[[132, 361], 0]
        assert len(changed) > 50
        assert changed[:, 0].min() > nose - 0.25 * (chin - nose), "above the lips all is as filmed"
        assert changed[:, 0].max() < chin + 0.6 * (chin - nose) and left - 2 < changed[:, 1].min()
        assert changed[:, 1].max() < right + 2
        read = max(engine.analyzer.faces(after), key=lambda one: one.size_px).landmarks_px
        opening = np.linalg.norm(read[14] - read[13]) / np.linalg.norm(read[263] - read[33])
        assert (opening > 0.12) == bool(number % 2), f"frame {number} is open by {opening:.2f}"


def test_teeth_stay_the_same_through_a_film(model: LoadedModel, film: Path) -> None:
    options = ReenactOptions()
    source = Source(film, options, start_engine(options, model), print)
    seen = [frame.faces[0].appearance for frame in itertools.islice(source.frames(), 6)]
    own = model.model
    assert isinstance(own, CompactModel) and seen[0] is not None and seen[-1] is not None
    first, last = own.with_mouth(seen[0], "driving"), own.with_mouth(seen[-1], "driving")
    assert last.mouth.bank is not first.mouth.bank
    like = own.with_mouth(seen[-1], "driving", seen[0])
    assert like.mouth.bank is first.mouth.bank and like.mouth.jaw is first.mouth.jaw
    assert like.mouth.gaps is last.mouth.gaps, "but its lips are those of the frame"


def test_a_scene_ends_with_the_shorter_of_film_and_mouths(model: LoadedModel, film: Path) -> None:
    options = ReenactOptions()
    engine = start_engine(options, model)
    source = Source(film, options, engine, print)
    with open_new_mouths(engine, source, lambda: iter([mouth(0, 0.1), mouth(1, 0.2)]), 2, options) as scene:
        assert len(list(scene.frames())) == 2
    with pytest.raises(UsageError, match="name a video, whose mouth is to change"):
        open_new_mouths(engine, Source(PORTRAIT, options, engine, print), lambda: iter([]), 1, options)


def test_speaking_is_driving(model: LoadedModel, capsys: pytest.CaptureFixture[str]) -> None:
    spoken = speak(PORTRAIT, VOICE, "spoken.mkv", replace(SMALL, end="1.2", codec="ffv1"), model=model)
    assert (spoken.frames, spoken.fps, spoken.reference) == (30, Fraction(25), "a mouth at rest")
    info = probe_video("spoken.mkv")
    assert info.has_audio and info.frame_count == 30
    assert kind_of(VOICE) is SpeechDriving and VOICE in find_files(str(EXAMPLES), "DRIVINGS").files
    # The same from its motion, and by the other command; other chances move another head.
    same = [*("reenact", str(PORTRAIT), str(VOICE), "--end", "1.2", "--size", "96", "--smooth", "0", "--codec", "ffv1")]
    assert main([*same, "-o", "same.mkv"]) == 0
    assert main([*same, "-o", "other.mkv", "--seed", "8"]) == 0
    frames, again, other = (np.stack(list(read_video(name))) for name in ("spoken.mkv", "same.mkv", "other.mkv"))
    assert np.array_equal(frames, again) and not np.array_equal(frames, other)
    assert np.abs(frames[1:].astype(int) - frames[:1]).max((0, 3)).max() > 60, "nothing moves"


def test_motion_of_a_sound_is_kept(model: LoadedModel) -> None:
    options = MotionOptions(end="2", fps="12.5", head="still", force=True)
    made = extract_motion(VOICE, "voice.safetensors", options, model=model)
    kept = load_motion(Path("voice.safetensors"))
    assert made.frames == len(kept.motion) == 25 and kept.fps == Fraction(25, 2)
    assert (kept.motion.rotation - torch.eye(3)).abs().max() < 1e-6, "a still head"
    lips = kept.motion.expression[:, list(MOUTH_POINTS)]
    opening = opening_of(lips - lips[:1])
    heard = load_speech_model().mouths([np.zeros(16000, np.float32)], Fraction(25))
    assert all(each.opening < 0.01 for each in heard), "silence is shut"
    assert opening.max() > 0.06 and opening[:3].abs().max() < 0.02


def test_a_video_that_speaks_keeps_its_rate(model: LoadedModel, film: Path) -> None:
    told: list[str] = []
    hooks = Hooks(warn=told.append)
    result = speak(film, VOICE, "mouth.mkv", SpeakOptions(source_video=True, codec="ffv1"), model=model, hooks=hooks)
    assert result.frames == 12 and result.fps == Fraction(25, 2) and probe_video("mouth.mkv").has_audio
    assert told == [f"{film}: shorter than the driving; the output ends with it"]
    before, after = (np.stack(list(read_video(path))).astype(int) for path in (film, "mouth.mkv"))
    change = np.abs(before - after).max(-1)
    # Colours are rounded once more on their way into the file.
    assert change[:, : change.shape[1] // 3].max() <= 3, "the upper third of the picture is as filmed"
    assert change.max() > 40
    with pytest.raises(UsageError, match=r"--source-video: .* is a picture; leave it out, or name a video as SOURCE"):
        speak(PORTRAIT, VOICE, "never.mkv", SpeakOptions(source_video=True), model=model)
    with pytest.raises(UsageError, match="keeps the whole picture"):
        speak(film, VOICE, "never.mkv", SpeakOptions(source_video=True, paste_back=False), model=model)


@pytest.mark.parametrize(
    ("sound", "line"),
    [
        ("mute.mkv", "mute.mkv: holds no sound; name a sound, or a film that has one"),
        ("portrait.jpg", "portrait.jpg: is a picture; name a sound, or a film that has one"),
        ("text.wav", "text.wav: cannot be read as sound: "),
        ("empty.wav", "empty.wav: is empty (0 bytes)"),
        ("late.flac", "--start 9: late.flac is only 4.75 s long"),
    ],
)
def test_what_cannot_be_spoken_is_one_line(
    sound: str, line: str, film: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    contents = {"mute.mkv": film, "portrait.jpg": PORTRAIT, "late.flac": VOICE}
    data = contents[sound].read_bytes() if sound in contents else b"no sound at all"
    Path(sound).write_bytes(b"" if sound.startswith("empty") else data)
    options = ["--start", "9"] if sound.startswith("late") else []
    assert main(["speak", str(PORTRAIT), sound, "-o", "o.mp4", *options]) in (1, 2)
    said = capsys.readouterr().err
    assert line in said and said.count("\n") == 1 and not Path("o.mp4").exists()


def test_where_nobody_speaks_the_mouth_stays_shut(setup: ReaderSetup, tmp_path: Path) -> None:
    told: list[str] = []
    ffmpeg("-f", "lavfi", "-i", "anullsrc=r=8000:d=1", tmp_path / "silence.wav")
    opened = SpeechDriving.open(tmp_path / "silence.wav", ReadOptions(warn=told.append), setup)
    driven = list(opened.frames())
    list(opened.frames())  # the warning comes once
    assert len(driven) == opened.count == 25 and all(frame.found for frame in driven)
    assert told == [f"{tmp_path / 'silence.wav'}: no speech was heard in it; the mouth stays shut"]
    rest = opened.find_reference(setup.model, opened.speaker.rest(), "auto").motion
    lips = torch.cat([frame.motion.expression for frame in driven if frame.motion is not None])[:, list(MOUTH_POINTS)]
    assert opening_of(lips - rest.expression[:, list(MOUTH_POINTS)]).abs().max() < 0.01


@pytest.mark.parametrize(
    ("sound", "line"),
    [
        (["-f", "lavfi", "-i", "aevalsrc=0.4*sin(1400*t)*exp(-mod(t\\,0.5)*4)+0.3*sin(2100*t):d=5"], "like speech"),
        (["-i", str(VOICE), "-af", "volume=30dB", "-c:a", "pcm_s16le"], "is clipped, its loud parts are cut off"),
    ],
    ids=["music", "clipped"],
)
def test_what_is_heard_badly_is_one_line(sound: list[str], line: str, setup: ReaderSetup, tmp_path: Path) -> None:
    told: list[str] = []
    ffmpeg(*sound, tmp_path / "sound.wav")
    opened = SpeechDriving.open(tmp_path / "sound.wav", ReadOptions(warn=told.append), setup)
    assert len(list(opened.frames())) == opened.count > 100
    assert len(told) == 1 and line in told[0] and told[0].startswith(str(tmp_path))


def test_hours_need_no_more_than_a_minute(setup: ReaderSetup, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ffmpeg("-f", "lavfi", "-i", "anullsrc=r=2000:d=7200", "-c:a", "pcm_u8", tmp_path / "hours.wav")
    read = itertools.count()
    original = speech.read_sound

    def counted(*arguments: object) -> Iterator[Samples]:
        for block in original(*arguments):  # type: ignore[arg-type]
            next(read)
            yield block

    monkeypatch.setattr(speech, "read_sound", counted)
    opened = SpeechDriving.open(tmp_path / "hours.wav", ReadOptions(), replace(setup, speech=SpeechSetup("still")))
    assert opened.count == 7200 * 25
    frames = opened.frames()
    assert len(list(itertools.islice(frames, 10))) == 10
    assert next(read) < 90, "the sound was read far ahead"


def test_families_with_learned_keypoints_speak_by_example(
    setup: ReaderSetup, model: LoadedModel, tmp_path: Path
) -> None:
    own = model.model
    assert isinstance(own, CompactModel)
    # Taught to itself, the model should say nearly what it says anyway.
    learned = learn_speaker(own, setup.analyzer, setup.device)
    heard = list(itertools.islice(load_speech_model().mouths([loud_voice()], Fraction(25)), 60))
    lips = torch.from_numpy(np.stack([each.lips for each in heard]))
    face = SpokenFace(lips, torch.eye(3).repeat(len(lips), 1, 1))
    said, taught = (
        opening_of((motion - rest)[:, list(MOUTH_POINTS)]).numpy()
        for motion, rest in (
            (own.spoken_motion(face).expression, own.spoken_motion(face).expression[:1] - lips_of(lips[:1])),
            (learned.motion(face).expression, learned.rest().expression),
        )
    )
    assert np.corrcoef(said, taught)[0, 1] > 0.95 and 0.7 < taught.std() / said.std() < 1.3
    for name, frames in (("liveportrait", 3), ("fomm", None)):
        save_file(tiny.CHECKPOINTS[name](), tmp_path / f"{name}.safetensors")
        options = SpeakOptions(checkpoint=str(tmp_path / f"{name}.safetensors"), end="0.12")
        if frames is not None:
            assert speak(PORTRAIT, VOICE, "learned.mp4", options).frames == frames
            continue
        with pytest.raises(UsageError, match="fomm cannot speak a sound; use -c compact or facevid2vid or"):
            speak(PORTRAIT, VOICE, "never.mp4", options)


def lips_of(lips: torch.Tensor) -> torch.Tensor:
    """Return displacements as offsets of all keypoints."""
    offsets = torch.zeros(len(lips), 469, 3)
    offsets[:, list(MOUTH_POINTS)] = lips
    return offsets


def loud_voice() -> Samples:
    data = ffmpeg("-i", VOICE, "-f", "f32le", "-ar", 16000, "-ac", 1, "pipe:1")
    return np.frombuffer(data, np.float32)

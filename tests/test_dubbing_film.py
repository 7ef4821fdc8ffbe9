"""A dubbed film, from its frames and its sound to the whole: what is edited, and that all else stays."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tests.support.clips import ffmpeg, make_clip, number_of
from vid2vid_cli.cli.app import main
from vid2vid_cli.dubbing.dub import dub
from vid2vid_cli.dubbing.edit_list import Picture, PlacedSound, Sound
from vid2vid_cli.dubbing.options import DubOptions
from vid2vid_cli.dubbing.retimed import FilmReader, FramePlan, morph
from vid2vid_cli.dubbing.sound_track import HALF, SoundSource, assemble, quiet_place, read_whole
from vid2vid_cli.dubbing.tone import match, room_tone, tone_of, with_room
from vid2vid_cli.errors import TranscriptError, UsageError
from vid2vid_cli.media.audio import AudioSource
from vid2vid_cli.media.pcm import RATE, read_pcm, write_pcm
from vid2vid_cli.media.video import probe_video, read_mark, read_video
from vid2vid_cli.models.registry import LoadedModel
from vid2vid_cli.pipeline.progress import Hooks
from vid2vid_cli.speech.transcript import Transcript, Word, to_json

EXAMPLES = Path(__file__).parents[1] / "examples"
FPS = Fraction(25, 2)
# When the bundled voice says its words.
SAID = {"face": (1.62, 2.0), "painted": (2.14, 2.6), "long": (2.6, 2.93), "ago,": (2.93, 3.42), "but": (3.6, 3.75)}
LONG = SAID["long"][1] - SAID["long"][0]

ROUNDED = 8  # between the colours of a film and of a picture, on each way

pytestmark = pytest.mark.usefixtures("own_folder")


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a film of 60 frames without loss, of a head that seems to say what the bundled voice does."""
    path = tmp_path_factory.mktemp("film") / "film.mkv"
    voice = ["-i", EXAMPLES / "voice.flac", "-vf", f"fps={FPS},scale=160:-2", "-c:a", "flac"]
    ffmpeg("-i", EXAMPLES / "driving.mp4", *voice, "-map", "0:v", "-map", "1:a", "-c:v", "ffv1", path)
    words = tuple(Word(text, *times) for text, times in SAID.items())
    path.with_suffix(".json").write_text(to_json(Transcript(words, 4.8)))
    return path


# --- the sound ---


def ramp(seconds: float, start: float = 0.0) -> np.ndarray:
    return (np.linspace(start, start + 0.1, round(seconds * RATE), dtype=np.float32)[:, None]).repeat(2, axis=1)


@pytest.fixture
def two_sounds() -> dict[int, SoundSource]:
    write_pcm([ramp(2.0), ramp(1.0, 0.1)], Path("one.flac"))
    write_pcm([ramp(3.0, -0.5)], Path("two.flac"))
    return {0: SoundSource(Path("one.flac")), 1: SoundSource(Path("two.flac"), lambda samples: samples * 2)}


def test_any_part_of_a_sound_is_read_to_the_sample() -> None:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (2 * RATE, 2)).astype(np.float32)
    write_pcm([noise], Path("noise.flac"))
    for start_s, count in ((0.0, 100), (1.2345, 20_000), (1.9, 9000), (-0.01, 1000), (2.5, 10)):
        read = np.concatenate(list(read_pcm(AudioSource(Path("noise.flac"), start_s), count)))
        start = round(start_s * RATE)
        wanted = np.zeros((count, 2), np.float32)
        inside = slice(max(0, -start), max(0, min(count, len(noise) - start)))
        wanted[inside] = noise[start + inside.start : start + inside.stop] if inside.stop > inside.start else 0
        np.testing.assert_allclose(read, wanted, atol=1e-6)


def test_joined_sounds_are_as_long_as_the_edit_list_and_themselves_but_at_the_joins(
    two_sounds: dict[int, SoundSource],
) -> None:
    parts = [Sound(0, 0.0, 0.7), Sound(1, 1.0, 1.25), Sound(0, 1.5, 3.0)]
    starts = np.cumsum([0.0, *(part.length_s for part in parts)])
    blocks = list(assemble([PlacedSound(*each) for each in zip(parts, starts, strict=False)], two_sounds))
    made = np.concatenate(blocks)
    assert len(made) == round(starts[-1] * RATE) and max(map(len, blocks)) <= RATE
    for part, start_s in zip(parts, starts, strict=False):
        source = two_sounds[part.source]
        inner = round(part.length_s * RATE) - 2 * HALF
        wanted = source.changed(read_whole(source.path, part.start_s + HALF / RATE, inner))
        first = round(start_s * RATE) + HALF
        np.testing.assert_allclose(made[first : first + inner], wanted, atol=1e-5)
    assert np.abs(np.diff(made[:, 0])).max() < 0.01, "no click"


def test_cuts_move_to_where_little_is_heard() -> None:
    noise = np.random.default_rng(0).uniform(-0.5, 0.5, (RATE, 2)).astype(np.float32)
    noise[round(0.49 * RATE) : round(0.505 * RATE)] *= 1e-3
    write_pcm([noise], Path("noise.flac"))
    assert 0.49 <= quiet_place(Path("noise.flac"), 0.51, 0.0, 1.0) <= 0.505
    assert quiet_place(Path("noise.flac"), 0.51, 0.508, 1.0) >= 0.508, "never beyond its limits"


def test_another_voice_is_brought_to_the_level_and_the_tone_of_the_film() -> None:
    noise = np.random.default_rng(0).standard_normal((3 * RATE, 2)).astype(np.float32)
    dull = np.stack([np.convolve(channel, np.ones(12) / 12, mode="same") for channel in noise.T], 1)
    write_pcm([0.02 * noise], Path("bright.flac"))
    write_pcm([0.3 * dull.astype(np.float32)], Path("dull.flac"))
    words = [Word("a", 0.5, 2.5)]
    bright, own = (tone_of(Path(name), words) for name in ("bright.flac", "dull.flac"))
    write_pcm(
        [match(own, bright, is_same_person=False)(read_whole(Path("dull.flac"), 0.0, 3 * RATE))], Path("new.flac")
    )
    new = tone_of(Path("new.flac"), words)
    before, after = (np.abs(each.bands_db - bright.bands_db)[2:16].mean() for each in (own, new))
    assert after < before / 2 and abs(20 * np.log10(new.level / bright.level)) < 4
    same = match(own, bright, is_same_person=True)(read_whole(Path("dull.flac"), 1.0, RATE))
    assert np.corrcoef(same[:, 0], read_whole(Path("dull.flac"), 1.0, RATE)[:, 0])[0, 1] > 0.999


def test_the_room_is_heard_under_new_words(film: Path) -> None:
    words = [Word(text, *times) for text, times in SAID.items()]
    pause = room_tone(film, words[-2:], 3.8)
    assert pause is not None and pause[0] < 2.9
    made = with_room(np.zeros((1000, 2), np.float32), np.full((300, 2), 0.1, np.float32))
    assert made.shape == (1000, 2) and np.all(made == np.float32(0.1))


# --- the pictures ---


def test_film_is_read_in_any_order(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mkv", 90, options=("-c:v", "ffv1"))
    reader = FilmReader(clip, probe_video(clip))
    reader._chunk = 7  # several of them
    wanted = [*range(20), 19, 18, 17, *range(16, 3, -1), 4, 4, 5, 6, 60, 61, 89, 10, 9, 8, 12]
    assert [number_of(reader(number)) for number in wanted] == wanted


def test_a_plan_says_which_frames_are_seen_and_where_mouths_change(tmp_path: Path) -> None:
    info = probe_video(make_clip(tmp_path / "clip.mkv", 50, options=("-c:v", "ffv1")))  # 2 s
    pictures = [
        Picture(0.0, 0.4, 0.0, 0.4, is_edited=False),
        Picture(0.4, 1.2, 0.4, 1.6, is_edited=True),  # at two thirds of its speed
        Picture(1.2, 2.0, 1.6, 2.4, is_edited=False),
    ]
    plan = list(FramePlan(pictures, info))
    assert [each.film for each in plan[:10]] == list(range(10)) and [each.film for each in plan[40:]] == list(
        range(30, 50)
    )
    assert np.all(np.diff([each.film for each in plan]) >= 0) and len(plan) == 60
    mouth = [each.mouth for each in plan]
    assert set(mouth[:10]) == set(mouth[40:]) == {0.0} and set(mouth[14:36]) == {1.0} and 0 < mouth[10] < mouth[11] < 1
    assert not any(each.share for each in plan)


def test_a_cut_is_morphed_over(tmp_path: Path) -> None:
    info = probe_video(make_clip(tmp_path / "clip.mkv", 50, options=("-c:v", "ffv1")))
    pictures = [Picture(0.0, 0.8, 0.0, 0.8, is_edited=True), Picture(1.2, 2.0, 0.8, 1.6, is_edited=True)]
    plan = list(FramePlan(pictures, info))
    shares = [each.share for each in plan if each.share]
    assert len(shares) == 8 and shares == sorted(shares) and abs(shares[3] + shares[4] - 1) < 1e-6
    assert plan[20].film == 20 and plan[20].other == 30, "both go on"


def test_a_morph_is_between_its_frames() -> None:
    rows, columns = np.mgrid[:96, :128]

    def blob(x: float) -> np.ndarray:
        light = 60 + 150 * np.exp(-((columns - x) ** 2 + (rows - 48) ** 2) / 200)
        return np.repeat(light[..., None], 3, axis=2).astype(np.uint8)

    def place(frame: np.ndarray) -> float:
        light = np.clip(frame[..., 0].astype(float) - 100, 0, None)
        return float((light * columns).sum() / light.sum())

    half = morph(blob(60), blob(68), 0.5)
    assert abs(place(half) - 64) < 0.7 and half.max() > 195, "moved, and not two of them"
    assert np.abs(morph(blob(60), blob(68), 0.0).astype(int) - blob(60)).max() <= 1


# --- the whole ---


@pytest.fixture(scope="module")
def edited(film: Path, model: LoadedModel, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """Leave a word out and say another twice."""
    target, told = tmp_path_factory.mktemp("edited") / "edited.mkv", list[str]()
    wishes = DubOptions(
        transcript=str(film.with_suffix(".json")), delete=["long"], insert=["but=but"], codec="ffv1", force=True
    )
    dub(film, None, target, wishes, model=model, hooks=Hooks(warn=told.append))
    return target, told


def test_an_edited_film_says_what_was_changed_and_is_as_long_as_it(edited: tuple[Path, list[str]]) -> None:
    target, told = edited
    mark = str(read_mark(target))
    assert mark.startswith("synthetic media made with vid2vid")
    assert mark.endswith("words changed: deleted 'long' at 2.60 s; inserted 'but' after 'but'")
    info = probe_video(target)
    but_s = SAID["but"][1] - SAID["but"][0]
    assert info.fps == FPS and abs(info.frame_count - float((4.8 - LONG + but_s) * FPS)) <= 2
    assert told == []


def test_an_edited_film_is_the_film_itself_around_its_edits(edited: tuple[Path, list[str]], film: Path) -> None:
    before, after = list(read_video(film)), list(read_video(edited[0]))
    same = [np.abs(one.astype(int) - other).max() <= ROUNDED for one, other in zip(before, after, strict=False)]
    # The window of the first edit begins up to 1.4 s before it, that of the second one ends so much after it.
    assert all(same[: int(1.1 * FPS)]) and not all(same)
    shown = after[int(2.2 * FPS)]
    nearest = min(int(np.abs(frame[:60].astype(int) - shown[:60]).max()) for frame in before)
    assert nearest <= ROUNDED, "above the mouth, frames of the film"


def test_the_sound_of_an_edited_film_goes_on_behind_the_deleted_word(
    edited: tuple[Path, list[str]], film: Path
) -> None:
    length = round(0.3 * RATE)
    before = read_whole(film, SAID["ago,"][0] + 0.05, length)[:, 0]
    after = read_whole(edited[0], SAID["ago,"][0] + 0.05 - LONG - 0.06, length + round(0.12 * RATE))[:, 0]
    found = np.correlate(after, before, mode="valid")
    away_s = (int(found.argmax()) / RATE) - 0.06
    assert abs(away_s) < 0.06 and found.max() > 0.9 * float(before @ before)


def test_another_sound_moves_the_mouth_alone_and_lets_the_film_go_there_and_back(
    film: Path, model: LoadedModel
) -> None:
    ffmpeg("-i", film, "-t", 0.8, "-c", "copy", "short.mkv")
    ffmpeg("-ss", 0.2, "-i", EXAMPLES / "voice.flac", "-t", 1.2, "other.wav")
    told: list[str] = []
    result = dub(
        "short.mkv", "other.wav", "out.mkv", DubOptions(codec="ffv1"), model=model, hooks=Hooks(warn=told.append)
    )
    assert told == ["other.wav: 0.4 s longer than short.mkv; the film goes there and back"]
    before, after = list(read_video("short.mkv")), list(read_video("out.mkv"))
    assert result.frames == len(after) == 15 and probe_video("out.mkv").has_audio
    order = [*range(10), *range(9, 4, -1)]
    for number, frame in zip(order, after, strict=True):
        assert np.abs(frame[:60].astype(int) - before[number][:60]).max() <= ROUNDED
    changed = np.abs(np.array([before[number] for number in order]).astype(int) - after)[:, 60:].max((0, 3))
    assert changed.max() > 40 and changed[:, :30].max() <= ROUNDED, "the mouth, and nothing beside the face"


@pytest.mark.usefixtures("own_signals")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--delete", "spider"], "'spider' is not said"),
        ([], "nothing changes; name a SOUND"),
        (["--replace", "but="], "nothing stands behind the ="),
        (["--replace", "but=zebra", "--voice-command", "no-such-prog {text} {out}"], "no-such-prog: no such program"),
        (["--replace", "but=zebra", "--sound", "none.wav"], "none.wav: no such file"),
        (["--delete", "but", "--footage", "none.mkv"], "none.mkv: no such file"),
        (["--delete", "but", "--face", "all"], "one person is dubbed at a time"),
        (["--delete", "but", "--crop-only"], "a dubbed film stays whole"),
    ],
)
def test_what_cannot_be_is_one_line_and_leaves_nothing(
    arguments: list[str], message: str, film: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    transcript = ["--transcript", str(film.with_suffix(".json"))] if arguments else []
    assert main(["dub", str(film), *transcript, *arguments, "-o", "out.mp4"]) in (1, 2)
    shown = capsys.readouterr().err
    assert message in shown and shown.count("\n") == 1
    assert not list(Path().iterdir())


def test_a_transcript_of_another_film_is_refused(film: Path, model: LoadedModel) -> None:
    Path("other.json").write_text(to_json(Transcript((Word("long", 7.0, 7.5),), 9.0)))
    with pytest.raises(TranscriptError, match=r"is of a film of 9.0 s"):
        dub(film, None, "out.mp4", DubOptions(transcript="other.json", delete=["long"]), model=model)
    with pytest.raises(UsageError, match="exclude each other; new words are taken from --sound"):
        dub(film, film, "out.mp4", DubOptions(transcript="other.json"), model=model)

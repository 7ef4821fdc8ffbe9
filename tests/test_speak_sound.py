"""Sound of any format as blocks of numbers, and how a head that speaks holds itself."""

from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from scipy.signal import welch

from tests.support.clips import ffmpeg, make_clip
from vid2vid_cli.errors import MediaError
from vid2vid_cli.media.audio import AudioSource
from vid2vid_cli.media.sound import SAMPLE_RATE, Samples, holds_sound_alone, probe_sound, read_sound
from vid2vid_cli.pipeline.driving.bearing import BearingGenerator

VOICE = Path(__file__).parents[1] / "examples" / "voice.flac"
FORMATS = {
    "studio.wav": ["-ar", "48000", "-ac", "2", "-c:a", "pcm_s24le"],
    "telephone.wav": ["-ar", "8000", "-c:a", "pcm_mulaw"],
    "surround.flac": ["-ar", "44100", "-af", "pan=5.1|FC=c0"],
    "song.mp3": ["-ar", "44100"],
    "song.ogg": ["-c:a", "libvorbis"],
    "note.opus": ["-c:a", "libopus", "-ar", "48000"],
    "note.m4a": ["-c:a", "aac"],
    "note.aac": ["-c:a", "aac", "-ar", "48000", "-f", "adts"],
    "old.aiff": [],
    "old.au": [],
    "box.mka": ["-c:a", "libopus", "-ar", "48000"],
    "theatre.ac3": ["-ar", "48000"],
}


def whole(path: Path, start_s: float | None = None, end_s: float | None = None) -> tuple[Samples, list[str]]:
    """Read a sound, and what was said of it."""
    said: list[str] = []
    blocks = list(read_sound(AudioSource(path, start_s, end_s), probe_sound(path), said.append))
    assert all(0 < len(block) <= SAMPLE_RATE for block in blocks)
    return np.concatenate(blocks), said


@pytest.fixture(scope="module")
def voice() -> Samples:
    return whole(VOICE)[0]


@pytest.mark.parametrize("name", FORMATS)
def test_any_format_is_the_same_sound(name: str, voice: Samples, tmp_path: Path) -> None:
    path = tmp_path / name
    ffmpeg("-i", VOICE, *FORMATS[name], path)
    path = path.rename(tmp_path / "no name tells")
    assert holds_sound_alone(path)
    heard, said = whole(path)
    assert not said
    assert abs(len(heard) - len(voice)) < 0.06 * SAMPLE_RATE  # some codecs add a first and a last block
    count = min(len(heard), len(voice))
    shift = int(np.abs(np.correlate(heard[:count], voice[8000:40000], "valid")).argmax()) - 8000
    assert abs(shift) < 0.06 * SAMPLE_RATE, "the sound comes late"
    loud = np.array([[np.abs(part).mean() for part in np.array_split(sound[:count], 60)] for sound in (heard, voice)])
    assert np.corrcoef(loud)[0, 1] > 0.9


def test_a_part_is_that_part(voice: Samples) -> None:
    part, _ = whole(VOICE, 1.0, 2.5)
    assert len(part) == 1.5 * SAMPLE_RATE
    assert np.abs(part - voice[SAMPLE_RATE : SAMPLE_RATE + len(part)]).max() < 1e-3


def test_films_and_texts_are_no_sound(tmp_path: Path) -> None:
    film = make_clip(tmp_path / "film.mp4", 5, sound=("sine=440:d=0.2", "-c:a", "aac"))
    (tmp_path / "text").write_text("OggS is a format")
    assert not holds_sound_alone(film) and not holds_sound_alone(tmp_path / "text")
    assert probe_sound(film).duration_s == pytest.approx(0.2, abs=0.05), "but a film's sound can be read"
    cover = ["-map", "0:a", "-map", "1:v", "-c:v", "copy", "-disposition:v", "attached_pic"]
    ffmpeg("-i", VOICE, "-i", VOICE.with_name("portrait.jpg"), *cover, "-c:a", "aac", tmp_path / "covered.m4a")
    assert holds_sound_alone(tmp_path / "covered.m4a"), "a cover is no film"


def test_what_cannot_be_heard_is_one_line(tmp_path: Path) -> None:
    mute = make_clip(tmp_path / "mute.mp4", 5)
    with pytest.raises(MediaError, match=r"mute\.mp4: holds no sound; name a sound, or a film that has one$"):
        probe_sound(mute)
    broken = tmp_path / "broken.flac"
    broken.write_bytes(VOICE.read_bytes()[:4] + bytes(5000))
    with pytest.raises(MediaError, match=r"broken\.flac: .*; (make it again|download or make it again)$"):
        whole(broken)


def test_a_damaged_sound_is_followed_by_silence(voice: Samples, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.flac"
    data = VOICE.read_bytes()
    # Packets are there to the end, but from the middle on they hold noise.
    damaged.write_bytes(data[: len(data) // 2] + np.random.default_rng(1).bytes(len(data) // 2))
    info = probe_sound(VOICE)
    said: list[str] = []
    heard = np.concatenate(list(read_sound(AudioSource(damaged), info, said.append)))
    assert len(heard) == len(voice) and np.abs(heard[:20000] - voice[:20000]).max() < 1e-3
    assert len(said) == 1 and "silence follows" in said[0] and "damaged.flac" in said[0]


def test_three_hours_are_read_block_by_block(tmp_path: Path) -> None:
    long = tmp_path / "long.wav"
    ffmpeg("-f", "lavfi", "-i", "anullsrc=r=2000:d=10800", "-c:a", "pcm_u8", long)
    info = probe_sound(long)
    assert info.duration_s == 10800
    blocks = read_sound(AudioSource(long), info, print)
    assert [len(block) for block in itertools.islice(blocks, 3)] == [SAMPLE_RATE] * 3
    blocks.close()  # type: ignore[attr-defined]


def bearings(head: str, seed: int, loudness: float, seconds: int = 240) -> dict[str, np.ndarray]:
    draw = BearingGenerator(Fraction(25), head, seed)  # type: ignore[arg-type]
    frames = [draw(loudness) for _ in range(25 * seconds)]
    return {
        "pose": np.rad2deg([frame.pose for frame in frames]),
        "gaze": np.array([frame.gaze_deg for frame in frames]),
        "blink": np.array([frame.blink for frame in frames]),
    }


def test_a_seed_is_a_bearing() -> None:
    one, again, other = (bearings("calm", seed, 0.7, 20)["pose"] for seed in (1, 1, 2))
    assert np.array_equal(one, again) and not np.allclose(one, other)


def test_heads_move_as_those_that_were_tracked() -> None:
    pose = bearings("lively", 5, 1.0, 1200)["pose"]
    # Degrees between 0.5 and 2 Hz, and from 2 to 8, of yaw, pitch and roll: medians over tracked speakers.
    for axis, slow, quick in ((0, 1.21, 0.61), (1, 0.98, 0.57), (2, 0.76, 0.25)):
        hz, power = welch(pose[:, axis], 25, nperseg=100)
        for low, high, tracked in ((0.5, 2, slow), (2, 8, quick)):
            drawn = float(np.sqrt(power[(hz > low) & (hz <= high)].sum() * hz[1]))
            assert drawn == pytest.approx(tracked, rel=0.35)
    assert not bearings("still", 5, 1.0, 5)["pose"].any()


def test_silence_keeps_the_face_alive() -> None:
    silent, loud = bearings("calm", 3, 0.0), bearings("calm", 3, 1.0)
    assert 0.3 < silent["pose"].std(0).max() < 0.95 * loud["pose"].std(0).max()
    shuts = np.flatnonzero((silent["blink"][1:] > 0.5) & (silent["blink"][:-1] <= 0.5)) / 25
    assert np.diff(shuts).min() > 2.9 and np.diff(shuts).max() < 5.1
    closing = np.diff(silent["blink"])
    assert (closing < -0.01).sum() > 1.4 * (closing > 0.01).sum(), "lids open slower than they close"
    assert silent["blink"].max() == 1
    leaps = np.abs(np.diff(silent["gaze"], axis=0)).max(1)
    assert 60 < (leaps > 1).sum() < 500 and np.median(leaps) < 0.3, "eyes rest, and leap now and then"

"""Sound of strange kinds: whatever can be heard is kept, and a film is never lost for its sound."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tests.support.clips import ffmpeg
from vid2vid_cli.cli.app import main
from vid2vid_cli.errors import MediaError
from vid2vid_cli.media.audio import AudioSource
from vid2vid_cli.media.pcm import RATE, read_pcm
from vid2vid_cli.media.sound import SAMPLE_RATE, probe_sound, read_sound
from vid2vid_cli.media.video import WriteOptions, open_writer, probe_video

FPS, COUNT = Fraction(25), 25
LOST = "the output has no sound"
HEARD = 100  # mixed with silent channels a tone becomes weaker


def film(path: Path, sound: Path, *, start_s: float | None = None) -> tuple[list[str], list[str]]:
    """Write a grey film with a sound. Returns what was warned of, and what was lost."""
    warned: list[str] = []
    lost: list[str] = []
    audio = AudioSource(sound, start_s)
    with open_writer(path, (48, 64), WriteOptions(FPS, audio=audio, warn=warned.append, lose=lost.append)) as writer:
        for _ in range(COUNT):
            writer.write(np.full((48, 64, 3), 90, np.uint8))
    assert probe_video(path).frame_count == COUNT
    return warned, lost


def loudness(path: Path, start_s: float = 0.0) -> float:
    """Return the mean loudness of a file's sound, of samples in -32768 to 32767."""
    wave = path.with_suffix(".s16")
    ffmpeg("-ss", start_s, "-i", path, "-map", "0:a:0", "-f", "s16le", wave)
    samples = np.frombuffer(wave.read_bytes(), np.int16)
    wave.unlink()
    return float(np.abs(samples.astype(float)).mean()) if len(samples) else 0.0


def tone(path: Path, *arguments: object, source: str = "sine=f=300:d=1") -> Path:
    ffmpeg("-f", "lavfi", "-i", source, *arguments, path)
    return path


def unknown_codec_first(folder: Path) -> Path:
    """Make a clip whose first sound has a name that no decoder knows, and whose second is AAC."""
    path = folder / "first.mov"
    ffmpeg(
        *("-f", "lavfi", "-i", "sine=f=300:d=1", "-f", "lavfi", "-i", "sine=f=500:d=1"),
        *("-map", "0:a", "-map", "1:a", "-c:a:0", "pcm_s16le", "-c:a:1", "aac", path),
    )
    path.write_bytes(path.read_bytes().replace(b"sowt", b"apac"))
    return path


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".webm"])
@pytest.mark.parametrize("channels", ["9.1.6", "12c", "5.1(side)", "3.0", "octagonal"])
def test_channels_of_any_layout_are_heard(suffix: str, channels: str, tmp_path: Path) -> None:
    sound = tone(tmp_path / "in.mov", "-af", f"pan={channels}|c0=c0|c1=c0", "-c:a", "pcm_s16be")
    warned, lost = film(tmp_path / f"o{suffix}", sound)
    assert lost == [] and loudness(tmp_path / f"o{suffix}") > HEARD
    assert all("channels of its sound" in text for text in warned)


def test_a_layout_that_the_container_cannot_hold_is_named(tmp_path: Path) -> None:
    sound = tone(tmp_path / "in.mov", "-af", "pan=9.1.6|c0=c0|c1=c0", "-c:a", "pcm_s16be")
    warned, _ = film(tmp_path / "o.mp4", sound)
    assert len(warned) == 1 and "channels of its sound have no place" in warned[0]


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_the_first_sound_that_can_be_decoded_is_taken(suffix: str, tmp_path: Path) -> None:
    warned, lost = film(tmp_path / f"o{suffix}", unknown_codec_first(tmp_path))
    assert lost == [] and loudness(tmp_path / f"o{suffix}") > HEARD
    assert len(warned) == 1 and "first sound" in warned[0] and "sound 2 is taken" in warned[0]


def test_the_first_sound_that_can_be_decoded_is_what_is_spoken_and_cut(tmp_path: Path) -> None:
    path, said = unknown_codec_first(tmp_path), []
    heard = np.concatenate(list(read_sound(AudioSource(path), probe_sound(path), said.append)))
    cut = np.concatenate(list(read_pcm(AudioSource(path), RATE)))[:, 0]
    for samples, rate in ((heard, SAMPLE_RATE), (cut, RATE)):
        loudest_hz = np.abs(np.fft.rfft(samples)).argmax() * rate / len(samples)
        assert loudest_hz == pytest.approx(500, abs=5)
    assert len(said) == 1 and "its first sound" in said[0] and "sound 2 is taken" in said[0]


def test_a_sound_that_nothing_decodes_is_named(tmp_path: Path) -> None:
    path = tone(tmp_path / "only.mov", "-c:a", "pcm_s16le")
    path.write_bytes(path.read_bytes().replace(b"sowt", b"apac"))
    with pytest.raises(MediaError, match="its sound cannot be decoded"):
        list(read_sound(AudioSource(path), probe_sound(path), print))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".gif"])
def test_a_film_whose_sound_cannot_be_decoded_is_made_without(suffix: str, tmp_path: Path) -> None:
    path = tone(tmp_path / "only.mov", "-c:a", "pcm_s16le")
    path.write_bytes(path.read_bytes().replace(b"sowt", b"apac"))
    _, lost = film(tmp_path / f"o{suffix}", path)
    assert [LOST in text for text in lost] == ([] if suffix == ".gif" else [True])


def test_a_sound_that_begins_late_is_not_taken_for_none(tmp_path: Path) -> None:
    path = tmp_path / "late.mkv"
    clip = ("-f", "lavfi", "-i", "color=s=32x32:d=1", "-itsoffset", "0.7", "-f", "lavfi", "-i", "sine=d=0.3")
    ffmpeg(*clip, "-c:a", "pcm_s24le", path)
    assert film(tmp_path / "o.mp4", path) == ([], [])
    assert loudness(tmp_path / "o.mp4", 0.75) > HEARD


def test_an_unheard_part_of_a_sound_costs_no_film(tmp_path: Path) -> None:
    sound = tone(tmp_path / "short.wav", source="sine=d=0.5")
    film(tmp_path / "o.mp4", sound, start_s=5.0)


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_a_sound_that_is_gone_when_all_frames_are_made_costs_no_film(suffix: str, tmp_path: Path) -> None:
    sound, lost = tone(tmp_path / "tone.wav"), list[str]()
    options = WriteOptions(FPS, audio=AudioSource(sound), lose=lost.append)
    with open_writer(tmp_path / f"o{suffix}", (48, 64), options) as writer:
        writer.write(np.full((48, 64, 3), 90, np.uint8))
        sound.unlink()
    assert len(lost) == 1 and LOST in lost[0]
    assert probe_video(tmp_path / f"o{suffix}").frame_count == 1


def test_no_trial_is_left_behind(tmp_path: Path) -> None:
    film(tmp_path / "o.mp4", unknown_codec_first(tmp_path))
    assert {path.name for path in tmp_path.iterdir()} == {"first.mov", "o.mp4"}


# --- whole commands ---


@pytest.fixture
def portrait(media_dir: Path) -> str:
    return str(media_dir / "sources" / "s27_ai_woman.png")


def clip_with(sound: Path, media_dir: Path, path: Path) -> Path:
    face = media_dir / "drivings" / "d14_actor_left_turn_256.mp4"
    ffmpeg("-i", face, "-i", sound, *("-map", "0:v", "-map", "1:a", "-frames:v", "6", "-c", "copy", path))
    return path


def test_a_command_says_that_the_sound_is_missing(
    portrait: str, media_dir: Path, own_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    driving = clip_with(tone(own_folder / "t.mov", "-c:a", "pcm_s16le"), media_dir, own_folder / "clip.mov")
    driving.write_bytes(driving.read_bytes().replace(b"sowt", b"apac"))
    assert main(["reenact", portrait, str(driving), "-o", "o.mp4", "--size", "128"]) == 5
    assert LOST in capsys.readouterr().err and not probe_video("o.mp4").has_audio
    assert main(["reenact", portrait, str(driving), "-o", "n.mp4", "--size", "128", "--audio", "none"]) == 0
    assert main(["encode", str(driving), "-o", "o.v2v"]) == 5
    assert "it is left out" in capsys.readouterr().err
    assert main(["batch", portrait, str(driving), "-o", "out", "--size", "128"]) == 5
    assert probe_video(next(Path("out").glob("*.mp4"))).frame_count == 6


def test_a_call_takes_the_first_sound_that_can_be_decoded(media_dir: Path, own_folder: Path) -> None:
    driving = clip_with(unknown_codec_first(own_folder), media_dir, own_folder / "clip.mov")
    assert main(["encode", str(driving), "-o", "o.v2v"]) == 0
    assert main(["decode", "o.v2v", "-o", "o.mp4", "--size", "128"]) == 0
    assert loudness(own_folder / "o.mp4") > HEARD

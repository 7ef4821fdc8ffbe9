"""Words that the person never says: out of a recording, or out of a voice, made to sound as the film does."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vid2vid_cli.dubbing.sound_track import read_whole
from vid2vid_cli.dubbing.tone import Tone, match, room_tone, tone_of, with_room
from vid2vid_cli.errors import MediaError, TranscriptError
from vid2vid_cli.media.audio import AudioSource
from vid2vid_cli.media.pcm import RATE, Pcm, write_pcm
from vid2vid_cli.media.sound import probe_sound, read_sound
from vid2vid_cli.speech.alignment import Aligner, Phone
from vid2vid_cli.speech.spelling import words_of
from vid2vid_cli.speech.transcript import Transcript, Word
from vid2vid_cli.speech.voices import Voice, read_aloud

FRAME = RATE // 100
SILENT_DB = -38.0  # below the loudest: no word begins or ends there
MARGIN_S = 0.02
LONGEST_S = 600.0


@dataclass(frozen=True)
class NewWords:
    """New words as a file of their own. phones: on its clock; None where they could not be found."""

    text: str
    path: Path
    duration_s: float
    phones: tuple[Phone, ...] | None


@dataclass(frozen=True)
class Surroundings:
    """How the film sounds around new words. room: (N, 2), of a pause."""

    tone: Tone
    room: Pcm

    @classmethod
    def of(cls, film: Path, transcript: Transcript) -> Surroundings:
        """Measure a film."""
        words = transcript.words
        pause = room_tone(film, words, transcript.duration_s or words[-1].end_s)
        silent = np.zeros((0, 2), np.float32)
        room = silent if pause is None else read_whole(film, pause[0], round((pause[1] - pause[0]) * RATE))
        return cls(tone_of(film, words), room)


def speak_words(texts: Sequence[str], voice: Voice, around: Surroundings, folder: Path) -> list[NewWords]:
    """Let a voice say texts. Files go into a folder."""
    made = []
    for number, text in enumerate(texts):
        spoken = folder / f"voice-{number}.wav"
        read_aloud(voice, text, spoken)
        duration_s = probe_sound(spoken).duration_s
        start_s, end_s = _spoken_part(spoken, 0.0, min(duration_s, LONGEST_S))
        made.append(_bring_over(text, spoken, (start_s, end_s), around, folder / f"new-{number}.flac"))
    return made


def take_words(texts: Sequence[str], sound: Path, around: Surroundings, folder: Path) -> list[NewWords]:
    """Take texts out of a recording that says all of them in order."""
    words = words_of(" ".join(texts), f"the new words for {sound}")
    info = probe_sound(sound)
    try:
        aligned = list(Aligner(str(sound)).align(read_sound(AudioSource(sound), info, _ignore), words))
    except TranscriptError as error:
        wanted = " ".join(texts)
        raise TranscriptError(f"{error} (wanted: {wanted!r}); --sound says the new words and no others") from error
    made, done = [], 0
    for number, text in enumerate(texts):
        count = len(words_of(text, "the new words"))
        own = [each.word for each in aligned[done : done + count]]
        done += count
        if not own:
            raise TranscriptError(f"{sound}: {text!r} is not said there; --sound says the new words in their order")
        part = max(0.0, own[0].start_s - MARGIN_S), min(info.duration_s, own[-1].end_s + MARGIN_S)
        made.append(_bring_over(text, sound, part, around, folder / f"new-{number}.flac"))
    return made


def _bring_over(text: str, path: Path, part: tuple[float, float], around: Surroundings, out: Path) -> NewWords:
    """Write a part of a sound as it would sound in the film."""
    start_s, end_s = part
    own = tone_of(path, [Word("new", start_s, end_s)])
    samples = match(own, around.tone, is_same_person=False)(read_whole(path, start_s, round((end_s - start_s) * RATE)))
    write_pcm([with_room(samples, around.room)], out)
    return NewWords(text, out, len(samples) / RATE, _phones(text, out))


def _phones(text: str, path: Path) -> tuple[Phone, ...] | None:
    """Return when each phone is said; None if that cannot be told."""
    try:
        aligner = Aligner(str(path), with_phones=True)
        sound = read_sound(AudioSource(path), probe_sound(path), _ignore)
        return tuple(phone for word in aligner.align(sound, words_of(text, "the new words")) for phone in word.phones)
    except TranscriptError:  # an odd voice, or nothing to align with: the mouth is predicted then
        return None


def _spoken_part(path: Path, start_s: float, end_s: float) -> tuple[float, float]:
    """Return where a sound begins and ends to be heard."""
    sound = read_whole(path, start_s, round((end_s - start_s) * RATE)).mean(axis=1)
    frames = sound[: len(sound) // FRAME * FRAME].reshape(-1, FRAME)
    power = np.square(frames, dtype=np.float64).mean(axis=1)
    loud = np.flatnonzero(power > power.max(initial=0.0) * 10 ** (SILENT_DB / 10))
    if not len(loud) or not power.any():
        raise MediaError(f"{path}: the voice said nothing; choose another --voice")
    since_s = start_s + float(loud[0]) * FRAME / RATE - MARGIN_S
    return max(start_s, since_s), min(end_s, start_s + float(loud[-1] + 1) * FRAME / RATE + MARGIN_S)


def _ignore(text: str) -> None:
    """Of a sound that ends early, the words decide."""

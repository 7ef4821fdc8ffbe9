"""Edit what is said in a film: find the words and the sounds, and plan pictures, sound and mouth."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from vid2vid_cli.dubbing.changes import Change, Wishes, find_changes
from vid2vid_cli.dubbing.edit_list import FILM, EditList, make_edit_list
from vid2vid_cli.dubbing.mouth_track import MouthTrack, MouthTracker
from vid2vid_cli.dubbing.mouths import MouthSource, PredictedMouth, RecombinedMouth
from vid2vid_cli.dubbing.new_words import NewWords, Surroundings, speak_words, take_words
from vid2vid_cli.dubbing.options import DubOptions
from vid2vid_cli.dubbing.own_words import Found, Said, find_own
from vid2vid_cli.dubbing.sound_track import SoundSource
from vid2vid_cli.dubbing.splicing import Spoken, parts_to_see, splices_of
from vid2vid_cli.dubbing.tone import match, tone_of
from vid2vid_cli.dubbing.visemes import Recombined, Unit, best_units, choose_units, units_of
from vid2vid_cli.errors import TranscriptError, UsageError
from vid2vid_cli.media.audio import AudioSource
from vid2vid_cli.media.files import require_file
from vid2vid_cli.media.sound import probe_sound, read_sound
from vid2vid_cli.media.video import probe_video
from vid2vid_cli.models.registry import load_speech_model
from vid2vid_cli.pipeline.transcript import SUBTITLES, read_transcript, transcript_of
from vid2vid_cli.pipeline.transcript_options import TextOptions
from vid2vid_cli.speech.alignment import Aligner
from vid2vid_cli.speech.spelling import words_of
from vid2vid_cli.speech.transcript import RevisedTranscript, Transcript
from vid2vid_cli.speech.voices import find_voice

REACH_S = 1.8  # around a cut, in which the film may play faster or slower
MOUTH_FPS = Fraction(50)
FRAME_S = 0.04  # how long a frame is usually seen
LENGTH_S = 1.0  # by which a film may differ from what its transcript says
BESIDE = (".json", ".vtt", ".srt", ".txt")

Warn = Callable[[str], None]


@dataclass(frozen=True)
class EditedFilm:
    """All that it takes to play an edited film. sounds, mouths: by the number of the source."""

    changes: Sequence[Change]
    transcript: Transcript
    edits: EditList
    sounds: dict[int, SoundSource]
    mouths: dict[int, MouthSource | MouthTrack]


def said_in(video: Path, options: DubOptions, warn: Warn) -> RevisedTranscript:
    """Return what is said in a film, by the transcript or the text that a user gives."""
    if options.transcript is None:
        return RevisedTranscript(transcript_of(video, options, warn))
    path = Path(options.transcript)
    revised = read_transcript(path)
    if path.suffix.lower() in SUBTITLES:  # whose times are those of lines: the words are found in the sound
        text = TextOptions(text=revised.transcript.text)
        return RevisedTranscript(transcript_of(video, text, warn))
    said, is_s = revised.transcript, probe_sound(video).duration_s
    if not said.words:
        raise TranscriptError(f"{path}: holds no words; vid2vid transcript {video} makes one")
    if said.words[-1].end_s > is_s + LENGTH_S or abs((said.duration_s or is_s) - is_s) > LENGTH_S:
        raise TranscriptError(
            f"{path}: is of a film of {said.duration_s or said.words[-1].end_s:.1f} s, not of {video}"
        )
    return revised


def read_library(options: DubOptions, warn: Warn) -> list[Said]:
    """Return the other clips of the person with what is said in them."""
    return [Said(number, Path(clip), _beside(Path(clip), warn)) for number, clip in enumerate(options.footage or (), 1)]


def _beside(clip: Path, warn: Warn) -> Transcript:
    require_file(clip)
    found = next((path for suffix in BESIDE if (path := clip.with_suffix(suffix)).is_file()), None)
    if found is None:
        name = clip.with_suffix(".json")
        raise TranscriptError(f"{clip}: no transcript beside it; make {name} with vid2vid transcript")
    if found.suffix == ".json":
        return read_transcript(found).transcript
    return transcript_of(clip, TextOptions(text_file=str(found)), warn)


def edit_film(video: Path, options: DubOptions, tracker: MouthTracker, folder: Path, warn: Warn) -> EditedFilm:
    """Plan an edited film. folder: for new sounds."""
    revised = said_in(video, options, warn)
    wishes = Wishes(options.replace or (), options.delete or (), options.insert or ())
    changes = find_changes(revised, wishes)
    if not changes:
        raise UsageError("nothing changes; name a SOUND, or words by --replace, --delete or --insert")
    library = read_library(options, warn)
    transcript = revised.transcript
    film = Said(FILM, video, transcript)
    parts = [find_own(change, film, library) if change.text else [] for change in changes]
    new = _new_words([part for each in parts for part in each], film, options, folder)
    numbered = iter(enumerate(new, 1 + len(library)))
    spoken = [
        Spoken(change, [part if part.said is not None else next(numbered) for part in each])
        for change, each in zip(changes, parts, strict=True)
    ]
    info = probe_video(video)
    duration_s = info.start_s + float(info.frame_count / info.fps)
    _require_words(video, changes, transcript, duration_s)
    splices = splices_of(video, transcript.words, duration_s, spoken)
    clips = {film.number: film, **{each.number: each for each in library}}
    seen = parts_to_see(splices, REACH_S)
    mouths: dict[int, MouthSource | MouthTrack] = {
        number: tracker.track(clips[number].path, seen[number]) for number in sorted(seen) if number in clips
    }
    own = mouths[FILM]
    edits = make_edit_list(duration_s, splices, own.jump_px if isinstance(own, MouthTrack) else lambda one, other: 0.0)
    mouths.update(_new_mouths(dict(enumerate(new, 1 + len(library))), clips, tracker, own))
    sounds = _sounds(clips, {part.sound.source for part in edits.sounds}) | {
        number: SoundSource(each.path) for number, each in enumerate(new, 1 + len(library))
    }
    return EditedFilm(changes, transcript, edits, sounds, mouths)


def _require_words(video: Path, changes: Sequence[Change], transcript: Transcript, duration_s: float) -> None:
    """Raise TranscriptError for words that change after the picture has ended."""
    changed = [word for each in changes for word in transcript.words[max(0, each.first - 1) : each.last]]
    late = next((word for word in changed if word.end_s > duration_s + 0.1), None)
    if late is not None:
        raise TranscriptError(f"{video}: {late.text!r} is said at {late.start_s:.2f} s, after the picture has ended")


def _new_words(parts: Sequence[Found], film: Said, options: DubOptions, folder: Path) -> list[NewWords]:
    """Make the words that the person says nowhere."""
    texts = [" ".join(part.text) for part in parts if part.said is None]
    if not texts:
        return []
    for text in texts:
        words_of(text, "the new words")
    if options.new_words is not None:
        require_file(Path(options.new_words))
        return take_words(texts, Path(options.new_words), Surroundings.of(film.path, film.transcript), folder)
    voice = find_voice(options.voice, options.voice_command)
    return speak_words(texts, voice, Surroundings.of(film.path, film.transcript), folder)


def _sounds(clips: dict[int, Said], used: set[int]) -> dict[int, SoundSource]:
    sounds = {FILM: SoundSource(clips[FILM].path)}
    film = tone_of(clips[FILM].path, clips[FILM].transcript.words) if len(used) > 1 else None
    for number in sorted(used & clips.keys() - {FILM}):
        own = tone_of(clips[number].path, clips[number].transcript.words)
        change = match(own, film or own, is_same_person=True)
        sounds[number] = SoundSource(clips[number].path, change)
    return sounds


def _new_mouths(
    new: dict[int, NewWords], clips: dict[int, Said], tracker: MouthTracker, own: MouthSource | MouthTrack
) -> dict[int, MouthSource | MouthTrack]:
    """Return mouths for new words: of the person's own footage where it has what they need, else as they are heard."""
    if not new:
        return {}
    known = _known_units(clips) if any(each.phones for each in new.values()) else []
    mouths: dict[int, MouthSource | MouthTrack] = {}
    for number, each in new.items():
        mouth = _recombine(each, known, clips, tracker)
        mouths[number] = mouth if mouth is not None else _predict(each, own)
    return mouths


def _known_units(clips: dict[int, Said]) -> list[Unit]:
    """Return all phones that the person says in clips."""
    units: list[Unit] = []
    for number, said in clips.items():
        aligner = Aligner(str(said.path), with_phones=True)
        sound = read_sound(AudioSource(said.path), probe_sound(said.path), lambda text: None)
        words = words_of(said.transcript.text, str(said.path))
        units += units_of(number, [phone for word in aligner.align(sound, words) for phone in word.phones])
    return units


def _recombine(
    new: NewWords, known: Sequence[Unit], clips: dict[int, Said], tracker: MouthTracker
) -> RecombinedMouth | None:
    """Put a mouth together: chosen by sound alone at first, so that few frames are looked at, then by what is seen."""
    if not new.phones or not known:
        return None
    wanted = units_of(-1, new.phones)
    likely = best_units(wanted, known)
    if likely is None:
        return None
    tracks = {
        number: tracker.track(said.path, [(u.start_s - 0.1, u.end_s + 0.1) for u in likely if u.source == number])
        for number, said in clips.items()
        if any(unit.source == number for unit in likely)
    }
    lips_at = lambda number, time_s: tracks[number].lips(time_s) if number in tracks else None  # noqa: E731
    chosen = choose_units(wanted, likely, lips_at)
    return None if chosen is None else RecombinedMouth(Recombined(wanted, chosen, likely, lips_at, FRAME_S))


def _predict(new: NewWords, own: MouthSource | MouthTrack) -> PredictedMouth:
    info = probe_sound(new.path)
    sound = read_sound(AudioSource(new.path), info, lambda text: None)
    mouths = list(load_speech_model().mouths(sound, MOUTH_FPS))
    openings = own.openings() if isinstance(own, MouthTrack) else np.zeros(0, np.float32)
    return PredictedMouth(mouths, MOUTH_FPS, openings)

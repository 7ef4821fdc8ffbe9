"""Write down what is said in a film or a sound, with the time of each word."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from vid2vid_cli.errors import TranscriptError, UsageError
from vid2vid_cli.media.audio import AudioSource
from vid2vid_cli.media.files import check_output, require_file
from vid2vid_cli.media.publishing import published
from vid2vid_cli.media.sound import SAMPLE_RATE, Samples, SoundInfo, probe_sound, read_sound
from vid2vid_cli.pipeline.progress import Hooks, WarningLog
from vid2vid_cli.pipeline.transcript_options import TextOptions, TranscriptOptions
from vid2vid_cli.speech.alignment import DOUBTFUL, AlignedWord, Aligner, mismatch
from vid2vid_cli.speech.recognition import Recogniser
from vid2vid_cli.speech.spelling import words_of
from vid2vid_cli.speech.subtitles import from_subtitles, to_srt, to_vtt
from vid2vid_cli.speech.transcript import RevisedTranscript, Transcript, from_json, read_text, to_json

WRITERS = {".json": to_json, ".srt": to_srt, ".vtt": to_vtt}
SUBTITLES = (".srt", ".vtt")
STANDARD = "-"
MOST_TEXT = 10_000_000  # characters of standard input
MOST_NAMED = 5


@dataclass(frozen=True)
class TranscriptResult:
    """What was written. words: how many. duration_s: of the sound. seconds: that the work took."""

    output: Path
    words: int
    duration_s: float
    seconds: float
    warnings: tuple[str, ...]


def make_transcript(
    clip: str | Path, output: str | Path, options: TranscriptOptions | None = None, *, hooks: Hooks | None = None
) -> TranscriptResult:
    """Write a transcript of a film or a sound as .json, .srt or .vtt; the name of the output decides.

    The words come from `options.text` or `options.text_file`, or are recognised. TranscriptError if a text is not
    what is said. Nothing is written then.
    """
    began = time.perf_counter()
    clip, output, options = Path(clip), Path(output), options or TranscriptOptions()
    hooks = hooks or Hooks()
    log = WarningLog(hooks)
    if output.suffix.lower() not in WRITERS:
        raise UsageError(f"{output}: a transcript is .json, .srt or .vtt; name one of these")
    require_file(clip)
    check_output(output, force=options.force, inputs=(clip,), is_file=True)
    transcript = transcript_of(clip, options, log.warn, hooks.progress)
    with published(output, None, force=options.force) as file:
        file.write_text(WRITERS[output.suffix.lower()](transcript), encoding="utf-8")
    duration_s = transcript.duration_s or 0.0
    seconds = time.perf_counter() - began
    return TranscriptResult(output, len(transcript.words), duration_s, seconds, tuple(log.warnings))


def transcript_of(
    clip: Path,
    options: TextOptions,
    warn: Callable[[str], None],
    progress: Callable[[int, int | None], None] = lambda done, total: None,
) -> Transcript:
    """Return what is said in a clip. warn: takes a line about doubtful words. progress: seconds done, and in all."""
    text = given_text(options)
    words = None if text is None else words_of(text, _name_of(options))
    speaker = Aligner(str(clip)) if words is not None else Recogniser(options.model)
    info = probe_sound(clip)
    heard = _counted(read_sound(AudioSource(clip), info, warn), info, progress)
    if isinstance(speaker, Recogniser):
        found = list(speaker.recognise(heard))
        if not found:
            raise TranscriptError(f"{clip}: no word was recognised; give the text with --text")
        return Transcript(tuple(found), info.duration_s)
    aligned = list(speaker.align(heard, words or []))
    if len(aligned) < len(words or []):
        raise TranscriptError(f"{clip}: the text is longer than what is said there; correct the text")
    if sum(each.score < DOUBTFUL for each in aligned) > len(aligned) / 2:
        raise mismatch(str(clip))
    _tell_doubtful(aligned, clip, warn)
    return Transcript(tuple(each.word for each in aligned), info.duration_s)


def read_transcript(path: Path) -> RevisedTranscript:
    """Read a transcript that `make_transcript` wrote and a person may have edited. TranscriptError if it is none."""
    text = read_text(path)
    if path.suffix.lower() in SUBTITLES:
        return RevisedTranscript(from_subtitles(text, str(path)))
    return from_json(text, str(path))


def given_text(options: TextOptions) -> str | None:
    """Return the text that a user gives, in whichever way; None if they give none."""
    if options.text is not None and options.text_file is not None:
        raise UsageError("--text and --text-file exclude each other; choose one")
    if options.text is not None:
        return read_standard() if options.text == STANDARD else options.text
    if options.text_file is None:
        return None
    path = Path(options.text_file)
    return read_transcript(path).transcript.text if path.suffix.lower() in SUBTITLES else read_text(path)


def read_standard() -> str:
    """Read a text from standard input."""
    try:
        text = sys.stdin.read(MOST_TEXT + 1)
    except UnicodeDecodeError as error:
        raise TranscriptError("standard input: is no text in UTF-8; save it as that") from error
    if len(text) > MOST_TEXT:
        raise TranscriptError("standard input: is too large for a text; cut it in parts")
    return text


def _name_of(options: TextOptions) -> str:
    return options.text_file if options.text_file is not None else "--text"


def _counted(
    blocks: Iterator[Samples], info: SoundInfo, progress: Callable[[int, int | None], None]
) -> Iterator[Samples]:
    done = 0
    for block in blocks:
        yield block
        done += len(block)
        progress(done // SAMPLE_RATE, max(1, int(info.duration_s)))


def _tell_doubtful(words: list[AlignedWord], clip: Path, warn: Callable[[str], None]) -> None:
    doubtful = [each.word for each in words if each.score < DOUBTFUL]
    if doubtful:
        named = ", ".join(f"{word.text!r} at {word.start_s:.2f} s" for word in doubtful[:MOST_NAMED])
        more = f" and {len(doubtful) - MOST_NAMED} more" if len(doubtful) > MOST_NAMED else ""
        warn(f"{clip}: words that do not sound as they are written: {named}{more}; check the text there")

"""Recognise words where no text is given: by faster-whisper, an extra, and a model that the user has."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vid2vid_cli.errors import TranscriptError
from vid2vid_cli.speech.alignment import pieces_of
from vid2vid_cli.speech.transcript import Word

_INSTEAD = "or give what is said with --text or --text-file, which works without"
SHORTEST_S = 0.01


class Recogniser:
    """Recognises words. TranscriptError, which says what to install, unless all is there that it takes."""

    def __init__(self, model: str | None) -> None:
        """Load a model. model: its folder."""
        try:
            from faster_whisper import WhisperModel
        except ImportError as error:
            raise TranscriptError(
                f"recognising words needs faster-whisper: pip install 'vid2vid[recognise]'; {_INSTEAD}"
            ) from error
        if model is None or not Path(model).is_dir():
            what = "needs a model" if model is None else f"finds no model in {model}"
            raise TranscriptError(f"recognising words {what}; name its folder with --model, {_INSTEAD}")
        try:
            self._model: Any = WhisperModel(model, device="cpu", compute_type="int8", local_files_only=True)
        except (RuntimeError, ValueError, OSError) as error:
            raise TranscriptError(f"{model}: is no model of faster-whisper: {error}; {_INSTEAD}") from error

    def recognise(self, sound: Iterable[NDArray[np.float32]]) -> Iterator[Word]:
        """Yield words in order. sound: blocks of (N,) float32 in [-1, 1] at 16 kHz; any length, memory stays."""
        last_s = 0.0
        for since_s, piece in pieces_of(sound):
            segments, _ = self._model.transcribe(piece, word_timestamps=True)
            for found in (word for segment in segments for word in segment.words or ()):
                start_s = max(last_s, since_s + float(found.start))
                last_s = max(start_s + SHORTEST_S, since_s + float(found.end))
                if found.word.strip():
                    yield Word(found.word.strip(), start_s, last_s)

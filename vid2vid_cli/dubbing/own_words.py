"""Find new words among those that the person says elsewhere."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from vid2vid_cli.dubbing.changes import Change, plain
from vid2vid_cli.speech.transcript import Transcript, Word

PAUSE_S = 0.3
"""Words further apart are no phrase."""
CONTEXT, ODD_LENGTH = 1.0, 1.5  # what another neighbour costs, and a length that is e times the usual


@dataclass(frozen=True)
class Said:
    """A clip of the person, and what is said in it. number: of its sound in the edit list."""

    number: int
    path: Path
    transcript: Transcript


@dataclass(frozen=True)
class Found:
    """Words for a part of a new text. first, last: which words of `said`; said is None where nobody says them."""

    text: tuple[str, ...]
    said: Said | None
    first: int = 0
    last: int = 0

    @property
    def words(self) -> Sequence[Word]:
        """The words as they are said."""
        return self.said.transcript.words[self.first : self.last] if self.said is not None else ()


def find_own(change: Change, film: Said, library: Sequence[Said]) -> list[Found]:
    """Divide the text of a change into the longest parts that the person says in the film or the library.

    Words that they never say follow each other as one part.
    """
    texts = change.text.split()
    keys = [plain(text) or text for text in texts]
    words = film.transcript.words
    before = plain(words[change.first - 1].text) if change.first else ""
    after = plain(words[change.last].text) if change.last < len(words) else ""
    context = [before, *keys, after]
    parts: list[Found] = []
    place = 0
    while place < len(keys):
        found = _longest(keys, place, context, [film, *library])
        if found is not None:
            parts.append(found)
        elif parts and parts[-1].said is None:
            parts[-1] = Found((*parts[-1].text, texts[place]), None)
        else:
            parts.append(Found((texts[place],), None))
        place += len(found.text) if found is not None else 1
    return parts


def _longest(keys: Sequence[str], place: int, context: Sequence[str], sources: Sequence[Said]) -> Found | None:
    for last in range(len(keys), place, -1):
        wanted = keys[place:last]
        found = [each for said in sources for each in _places(said, wanted)]
        if found:
            usual_s = statistics.median(_length_s(each) for each in found)
            neighbours = context[place], context[last + 1]
            return min(found, key=lambda each: _cost(each, neighbours, usual_s))
    return None


def _places(said: Said, wanted: Sequence[str]) -> Iterator[Found]:
    words = said.transcript.words
    texts = [plain(word.text) for word in words]
    for first in range(len(words) - len(wanted) + 1):
        last = first + len(wanted)
        pauses = [words[k + 1].start_s - words[k].end_s for k in range(first, last - 1)]
        if texts[first:last] == list(wanted) and max(pauses, default=0.0) < PAUSE_S:
            yield Found(tuple(wanted), said, first, last)


def _length_s(found: Found) -> float:
    return found.words[-1].end_s - found.words[0].start_s


def _cost(found: Found, neighbours: tuple[str, str], usual_s: float) -> float:
    """Return what a place costs: other words around it, or a length that is not usual."""
    said = found.said
    words = said.transcript.words if said is not None else ()
    before = plain(words[found.first - 1].text) if found.first else ""
    after = plain(words[found.last].text) if found.last < len(words) else ""
    other = CONTEXT * ((before != neighbours[0]) + (after != neighbours[1]))
    # Nobody wants the shortest of all: slurred.
    ratio = _length_s(found) / usual_s
    return other + ODD_LENGTH * (max(ratio, 1 / ratio) - 1)

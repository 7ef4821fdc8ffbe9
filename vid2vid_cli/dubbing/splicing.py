"""Turn changes of words into splices: where the film is cut, and which sounds come in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from vid2vid_cli.dubbing.changes import Change
from vid2vid_cli.dubbing.edit_list import FILM, Sound, Splice
from vid2vid_cli.dubbing.new_words import NewWords
from vid2vid_cli.dubbing.own_words import Found
from vid2vid_cli.dubbing.sound_track import quiet_place
from vid2vid_cli.speech.transcript import Word

EDGE_S = 0.04  # a word may begin before its time, or ring on after it
LEAST_S = 0.03


@dataclass(frozen=True)
class Spoken:
    """A change, and what is said for it in order: found words, or new ones by their number among the sounds."""

    change: Change
    parts: Sequence[Found | tuple[int, NewWords]]


def splices_of(film: Path, words: Sequence[Word], duration_s: float, spoken: Sequence[Spoken]) -> list[Splice]:
    """Return the splices of changes that are in order."""
    splices: list[Splice] = []
    for each in spoken:
        start_s, end_s = _gap(words, each.change, duration_s)
        limit_s = splices[-1].end_s if splices else 0.0
        start_s = max(limit_s, _border(film, words, each.change.first, start_s, duration_s))
        end_s = max(start_s, _border(film, words, each.change.last, end_s, duration_s))
        if each.change.first == each.change.last:  # one cut, not two
            end_s = start_s
        splices.append(Splice(start_s, end_s, tuple(_sound(part) for part in each.parts)))
    return splices


def _gap(words: Sequence[Word], change: Change, duration_s: float) -> tuple[float, float]:
    """Return which part of the film goes: of a deletion with the pause behind it, or at the end before it."""
    first, last = change.first, change.last
    before_s = words[first - 1].end_s if first else 0.0
    after_s = words[last].start_s if last < len(words) else duration_s
    if first == last:
        # Into the middle of the pause, but never far from the word that it follows.
        middle_s = min((before_s + after_s) / 2, before_s + 0.15) if first else max(0.0, after_s - 0.15)
        return middle_s, middle_s
    start_s, end_s = words[first].start_s, words[last - 1].end_s
    if change.text:
        return start_s, end_s
    return (start_s, after_s) if last < len(words) else (before_s, end_s)


def _border(film: Path, words: Sequence[Word], index: int, time_s: float, duration_s: float) -> float:
    """Move a cut to a quiet place. index: of the word behind it."""
    low_s = words[index - 1].start_s + EDGE_S if index else 0.0
    high_s = words[index].end_s - EDGE_S if index < len(words) else duration_s
    return quiet_place(film, time_s, min(low_s, time_s), max(high_s, time_s))


def _sound(part: Found | tuple[int, NewWords]) -> Sound:
    if not isinstance(part, Found):
        number, new = part
        return Sound(number, 0.0, new.duration_s)
    said = part.said
    if said is None:
        raise ValueError("words that nobody says have no sound")
    words = said.transcript.words
    before_s = words[part.first - 1].start_s + EDGE_S if part.first else 0.0
    after_s = words[part.last].end_s - EDGE_S if part.last < len(words) else words[part.last - 1].end_s + EDGE_S
    first_s, last_s = part.words[0].start_s, part.words[-1].end_s
    start_s = quiet_place(said.path, first_s, min(before_s, first_s), first_s + EDGE_S / 2)
    end_s = quiet_place(said.path, last_s, last_s - EDGE_S / 2, max(after_s, last_s))
    return Sound(said.number, start_s, max(end_s, start_s + LEAST_S))


def parts_to_see(splices: Sequence[Splice], reach_s: float) -> Mapping[int, list[tuple[float, float]]]:
    """Return which parts of each sound's clip show mouths that are needed, from and to in seconds."""
    parts: dict[int, list[tuple[float, float]]] = {}
    for splice in splices:
        for edge_s in (splice.start_s, splice.end_s):
            parts.setdefault(FILM, []).append((edge_s - reach_s, edge_s + reach_s))
        for sound in splice.sounds:
            parts.setdefault(sound.source, []).append((sound.start_s - 0.15, sound.end_s + 0.15))
    return parts

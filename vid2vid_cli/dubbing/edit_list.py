"""The edit list: which parts of which sounds and of the film follow each other. Pure functions, no files.

A splice takes the film from `start_s` to `end_s` out and puts sound of any length in. The sound is cut there. The
picture need not be: a window around the splice plays a little faster or slower, so that the head moves on without a
jump. What is inserted at length is covered by film that goes there and back, and what is cut out at length by a cut
where head and shoulders are most alike.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

FILM = 0
"""The number of the film among the sounds."""
SLOWEST, FASTEST = 0.7, 1.45
"""How fast film may play where it makes room: beyond it a movement looks odd."""
LEAST_REACH_S, REACHES_S = 0.2, (0.2, 0.4, 0.7, 1.0, 1.4)
CUT_REACH_S, CUT_SEARCH_S, CUT_STEP_S = 0.8, 0.32, 0.08
LONGEST_WAY_S = 3.0  # that film goes there before it comes back
SHORTEST_S = 1e-6

Jump = Callable[[float, float], float]
"""How far the head jumps from one time of the film to another, in px."""


@dataclass(frozen=True)
class Sound:
    """A part of a sound. source: which, FILM or another number; times in seconds on its own clock."""

    source: int
    start_s: float
    end_s: float

    @property
    def length_s(self) -> float:
        """Seconds."""
        return self.end_s - self.start_s


@dataclass(frozen=True)
class Splice:
    """Film from start_s to end_s, which may be the same time, whose sound gives way to other sounds, if any."""

    start_s: float
    end_s: float
    sounds: tuple[Sound, ...] = ()

    @property
    def length_s(self) -> float:
        """Seconds that come in."""
        return sum(sound.length_s for sound in self.sounds)


@dataclass(frozen=True)
class PlacedSound:
    """A part of a sound at its place in the output."""

    sound: Sound
    at_s: float

    @property
    def until_s(self) -> float:
        """When it ends in the output."""
        return self.at_s + self.sound.length_s


@dataclass(frozen=True)
class Picture:
    """Film from start_s to end_s, which may be earlier, over at_s to until_s of the output.

    is_edited: the mouth of the film does not belong to the sound there.
    """

    start_s: float
    end_s: float
    at_s: float
    until_s: float
    is_edited: bool

    def film_s(self, time_s: float) -> float:
        """Return which time of the film is seen at a time of the output."""
        share = (time_s - self.at_s) / (self.until_s - self.at_s)
        return self.start_s + share * (self.end_s - self.start_s)


@dataclass(frozen=True)
class EditList:
    """Sounds and pictures in the order of the output, each without gaps."""

    sounds: tuple[PlacedSound, ...]
    pictures: tuple[Picture, ...]

    @property
    def duration_s(self) -> float:
        """Seconds of the output."""
        return self.sounds[-1].until_s if self.sounds else 0.0


def make_edit_list(duration_s: float, splices: Sequence[Splice], jump: Jump = lambda one, other: 0.0) -> EditList:
    """Return the edit list of a film. splices: in order, without overlap, within the film. ValueError otherwise."""
    check_splices(duration_s, splices)
    return EditList(tuple(_place(_sounds(duration_s, splices))), tuple(_pictures(duration_s, splices, jump)))


def check_splices(duration_s: float, splices: Sequence[Splice]) -> None:
    """Raise ValueError for splices that overlap, or lie outside of a film."""
    edges = [0.0, *(edge for splice in splices for edge in (splice.start_s, splice.end_s)), duration_s]
    if any(after < before for before, after in itertools.pairwise(edges)):
        raise ValueError("splices must follow each other within the film")


def _sounds(duration_s: float, splices: Sequence[Splice]) -> Iterator[Sound]:
    done_s = 0.0
    for splice in splices:
        yield Sound(FILM, done_s, splice.start_s)
        yield from splice.sounds
        done_s = splice.end_s
    yield Sound(FILM, done_s, duration_s)


def _place(sounds: Iterator[Sound]) -> Iterator[PlacedSound]:
    at_s = 0.0
    for sound in sounds:
        if sound.length_s > SHORTEST_S:
            placed = PlacedSound(sound, at_s)
            at_s = placed.until_s
            yield placed


def _pictures(duration_s: float, splices: Sequence[Splice], jump: Jump) -> Iterator[Picture]:
    done_s = out_s = 0.0
    for index, splice in enumerate(splices):
        before_s = (splice.start_s - (splices[index - 1].end_s if index else 0.0)) / (2 if index else 1)
        is_last = index + 1 == len(splices)
        after_s = ((duration_s if is_last else splices[index + 1].start_s) - splice.end_s) / (1 if is_last else 2)
        window = _window(splice, before_s, after_s, jump, _Room(0.0, duration_s))
        start_s = window[0].start_s
        if start_s - done_s > SHORTEST_S:
            yield Picture(done_s, start_s, out_s, out_s + start_s - done_s, is_edited=False)
            out_s += start_s - done_s
        for piece in (each for each in window if each.length_s > SHORTEST_S):
            yield Picture(piece.start_s, piece.end_s, out_s, out_s + piece.length_s, is_edited=True)
            out_s += piece.length_s
        done_s = window[-1].end_s
    if duration_s - done_s > SHORTEST_S:
        yield Picture(done_s, duration_s, out_s, out_s + duration_s - done_s, is_edited=False)


@dataclass(frozen=True)
class _Piece:
    """Film from start_s to end_s that plays for length_s."""

    start_s: float
    end_s: float
    length_s: float


@dataclass(frozen=True)
class _Room:
    """The part of the film that may be seen."""

    start_s: float
    end_s: float


def _window(splice: Splice, before_s: float, after_s: float, jump: Jump, room: _Room) -> list[_Piece]:
    """Return the film that is seen around a splice. before_s, after_s: how far the window may reach."""
    gone_s, come_s = splice.end_s - splice.start_s, splice.length_s
    for reach_s in REACHES_S:
        before, after = min(reach_s, before_s), min(reach_s, after_s)
        film_s, length_s = before + gone_s + after, before + come_s + after
        if length_s > SHORTEST_S and SLOWEST <= film_s / length_s <= FASTEST:
            return [_Piece(splice.start_s - before, splice.end_s + after, length_s)]
    if come_s > gone_s:
        return _there_and_back(splice, min(LEAST_REACH_S, before_s), min(LEAST_REACH_S, after_s), room)
    return _cut(splice, min(CUT_REACH_S, before_s), min(CUT_REACH_S, after_s), jump)


def _there_and_back(splice: Splice, before_s: float, after_s: float, room: _Room) -> list[_Piece]:
    """Cover a long insertion: the film goes on, comes back, and so on, and ends where it is to go on."""
    start_s, end_s = splice.start_s - before_s, splice.end_s + after_s
    extra_s = before_s + splice.length_s + after_s - (end_s - start_s)
    is_ahead = room.end_s - end_s >= start_s - room.start_s
    free_s = min(LONGEST_WAY_S, room.end_s - end_s if is_ahead else start_s - room.start_s)
    if free_s < 0.04:  # no film to go to: what there is goes there and back, or stands still
        free_s, is_ahead = 0.0, True
    stretch_s = max(end_s - start_s, 0.0)
    if not free_s:
        return [_Piece(start_s, end_s, stretch_s + extra_s)]
    turns = max(1, -int(-extra_s // (2 * free_s)))
    way_s = extra_s / (2 * turns)
    ways = [_Piece(end_s, end_s + way_s, way_s), _Piece(end_s + way_s, end_s, way_s)] * turns
    if is_ahead:
        return [_Piece(start_s, end_s, stretch_s), *ways]
    ways = [_Piece(start_s, start_s - way_s, way_s), _Piece(start_s - way_s, start_s, way_s)] * turns
    return [*ways, _Piece(start_s, end_s, stretch_s)]


def _cut(splice: Splice, before_s: float, after_s: float, jump: Jump) -> list[_Piece]:
    """Leave out a long part: cut from and to where the head is most alike, and play in step again at both ends."""
    search_s = min(CUT_SEARCH_S, before_s / 2, after_s / 2)
    steps = round(search_s / CUT_STEP_S)
    shifts = [index * CUT_STEP_S for index in range(-steps, steps + 1)]
    pairs = itertools.product(shifts, shifts)
    away, back = min(
        pairs, key=lambda pair: (jump(splice.start_s + pair[0], splice.end_s + pair[1]), sum(map(abs, pair)))
    )
    middle_s = (away + back) / 2
    return [
        _Piece(splice.start_s - before_s, splice.start_s + away, before_s + splice.length_s / 2 + middle_s),
        _Piece(splice.end_s + back, splice.end_s + after_s, after_s + splice.length_s / 2 - middle_s),
    ]

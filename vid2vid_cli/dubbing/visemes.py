"""Recombine a person's mouth from their own footage, sound by sound of the language, where context fits best.

Each phone that is to be said is looked for in what the person has said: the same phone, or one that looks alike, best
with the same neighbours and as long. What followed each other in the footage follows here at no cost; other joins
cost by how far the mouth jumps, and fade over 60 ms.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vid2vid_cli.speech.alignment import Phone
from vid2vid_cli.speech.mouth import MOUTH_POINTS

Lips = NDArray[np.float32]
LipsAt = Callable[[int, float], "Lips | None"]
"""The lips (178, 3) of a source at a time in seconds, as speech/mouth.py has them; None where nobody is seen."""

# Phones that look alike.
GROUPS = (
    *(("P", "B", "M"), ("F", "V"), ("W", "UW", "UH"), ("OW", "AO", "OY"), ("AA", "AY", "AW", "AH"), ("AE", "EH")),
    *(("IY", "IH", "EY", "Y"), ("CH", "SH", "JH", "ZH"), ("T", "D", "N", "L"), ("S", "Z"), ("K", "G", "NG", "HH")),
    *(("TH", "DH"), ("R", "ER"), ("SIL",)),
)
_GROUP = {phone: index for index, group in enumerate(GROUPS) for phone in group}
SHUT, SILENCE = frozenset(GROUPS[0]), "SIL"
LONGEST_JOIN_S = 0.05  # what lies less apart follows each other without a pause
MOST_CANDIDATES = 16
OTHER_PHONE, OTHER_GROUP, OTHER_NEIGHBOUR, NEIGHBOUR_ALIKE = 0.5, 3.0, 1.0, 0.3
LENGTH, JOIN, JUMP = (
    0.6,
    0.4,
    6.0,
)  # what a ratio e of lengths costs, a join, and a jump of the mouth by an eye distance
HALF_FADE_S = 0.03
LINGER_S = 0.4  # how long before and after what is said the mouth is not yet, or no longer, at rest
ALIKE, GAIN = 3, 1.1  # how many more units are averaged, and what that costs of their movement


@dataclass(frozen=True)
class Unit:
    """A phone, its neighbours, and where it is said. source: which sound; its own times in seconds."""

    source: int
    name: str
    before: str
    after: str
    start_s: float
    end_s: float

    @property
    def length_s(self) -> float:
        """Seconds."""
        return max(0.01, self.end_s - self.start_s)


def units_of(source: int, phones: Sequence[Phone]) -> list[Unit]:
    """Return the phones of a sound with their neighbours; where nothing is said, silence is one."""
    spoken = [phone for phone in phones if phone.end_s > phone.start_s]
    filled: list[Phone] = []
    for phone in spoken:
        since_s = filled[-1].end_s if filled else 0.0
        if phone.start_s - since_s > LONGEST_JOIN_S:
            filled.append(Phone(SILENCE, since_s, phone.start_s))
        filled.append(phone)
    names = [SILENCE, *(phone.name for phone in filled), SILENCE]
    return [
        Unit(source, phone.name, names[index], names[index + 2], phone.start_s, phone.end_s)
        for index, phone in enumerate(filled)
    ]


def choose_units(wanted: Sequence[Unit], known: Sequence[Unit], lips_at: LipsAt) -> list[Unit] | None:
    """Return a known unit for each wanted one, the cheapest in all (Viterbi). None if one looks like no known one.

    Silence stays itself: it needs no footage.
    """
    seen = [unit for unit in known if unit.name != SILENCE and lips_at(unit.source, unit.start_s) is not None]
    costs = np.zeros(1)
    chains: list[list[Unit]] = [[]]
    last: Sequence[Unit | None] = [None]
    for unit in wanted:
        offered = [unit] if unit.name == SILENCE else _candidates(unit, seen)
        if not offered:
            return None
        steps = np.array([[_join_cost(one, other, lips_at) for one in last] for other in offered])  # (new, old)
        total = steps + costs[None]
        best = total.argmin(1)
        own = [0.0 if each.name == SILENCE else _cost(unit, each) for each in offered]
        costs = total[np.arange(len(offered)), best] + np.array(own)
        chains = [[*chains[old], each] for old, each in zip(best, offered, strict=True)]
        last = offered
    return chains[int(costs.argmin())]


def _candidates(unit: Unit, known: Sequence[Unit]) -> list[Unit]:
    alike = [each for each in known if _GROUP.get(each.name) == _GROUP.get(unit.name)]
    return sorted(alike, key=lambda each: _cost(unit, each))[:MOST_CANDIDATES]


def _cost(wanted: Unit, offered: Unit) -> float:
    cost = 0.0 if wanted.name == offered.name else OTHER_PHONE
    cost += _neighbour_cost(wanted.before, offered.before) + _neighbour_cost(wanted.after, offered.after)
    return cost + LENGTH * abs(float(np.log(wanted.length_s / offered.length_s)))


def _neighbour_cost(wanted: str, offered: str) -> float:
    if wanted == offered:
        return 0.0
    return NEIGHBOUR_ALIKE if _GROUP.get(wanted) == _GROUP.get(offered) else OTHER_NEIGHBOUR


def _join_cost(one: Unit | None, other: Unit, lips_at: LipsAt) -> float:
    if one is None or SILENCE in (one.name, other.name) or follows(one, other):
        return 0.0
    before, after = lips_at(one.source, one.end_s), lips_at(other.source, other.start_s)
    if before is None or after is None:
        return JOIN + JUMP
    return JOIN + JUMP * float(np.abs(after - before).mean())


def follows(one: Unit, other: Unit) -> bool:
    """Say whether a unit follows another one in the footage itself."""
    return one.source == other.source and abs(other.start_s - one.end_s) < 0.011


class Recombined:
    """The mouth that says wanted units, by the footage of chosen ones."""

    def __init__(
        self, wanted: Sequence[Unit], chosen: Sequence[Unit], known: Sequence[Unit], lips_at: LipsAt, frame_s: float
    ) -> None:
        """Take as many chosen units as wanted ones. known: of which some more are alike.

        frame_s: how long a frame of the output is seen.
        """
        self._wanted, self._chosen, self._lips_at, self._frame_s = wanted, chosen, lips_at, frame_s
        self._alike = [[] if unit.name == SILENCE else _candidates(unit, known)[:ALIKE] for unit in wanted]
        self._starts = np.array([unit.start_s for unit in wanted])

    def at(self, time_s: float) -> Lips:
        """Return the lips (178, 3) at a time of the wanted sound."""
        index = int(np.clip(np.searchsorted(self._starts, time_s, side="right") - 1, 0, len(self._wanted) - 1))
        lips = self._of(index, time_s)
        unit = self._wanted[index]
        for other, border_s in ((index - 1, unit.start_s), (index + 1, unit.end_s)):
            away_s = abs(time_s - border_s)
            if 0 <= other < len(self._wanted) and away_s < HALF_FADE_S and not self._goes_on(index, other):
                share = 0.5 * (1 - away_s / HALF_FADE_S)
                lips = (1 - share) * lips + share * self._of(other, time_s)
        return np.asarray(lips * (1 - self._closure(time_s)), np.float32)

    def _goes_on(self, index: int, other: int) -> bool:
        first, second = sorted((index, other))
        return follows(self._chosen[first], self._chosen[second])

    def _of(self, index: int, time_s: float) -> Lips:
        """Return the lips of the footage for a wanted unit, at a time that may lie a little beside it."""
        wanted, chosen = self._wanted[index], self._chosen[index]
        share = (time_s - wanted.start_s) / wanted.length_s
        total, weight = np.zeros((len(MOUTH_POINTS), 3), np.float32), 0.0
        if chosen.name == SILENCE:
            return self._in_silence(index, time_s)
        # What is alike is averaged: a single utterance has whims that another one need not have.
        costs = [0.0, *(_cost(wanted, other) for other in self._alike[index])]
        for unit, cost in zip([chosen, *self._alike[index]], costs, strict=True):
            found = self._lips_at(unit.source, unit.start_s + share * unit.length_s)
            if found is not None:
                total, weight = total + np.float32(np.exp(-cost)) * found, weight + float(np.exp(-cost))
        return np.asarray(GAIN / weight * total if weight else total, np.float32)

    def _in_silence(self, index: int, time_s: float) -> Lips:
        """Return the lips where nothing is said: at rest, but parted just before a sound and after it, as they were."""
        silence, total = self._wanted[index], np.zeros((len(MOUTH_POINTS), 3), np.float32)
        for other, border_s, is_next in ((index + 1, silence.end_s, True), (index - 1, silence.start_s, False)):
            away_s = abs(time_s - border_s)
            if not 0 <= other < len(self._wanted) or away_s >= LINGER_S:
                continue
            seen = [
                found
                for unit in (self._chosen[other], *self._alike[other])
                if (unit.before if is_next else unit.after) == SILENCE
                and (found := self._lips_at(unit.source, unit.start_s - away_s if is_next else unit.end_s + away_s))
                is not None
            ]
            if seen:
                share = 0.5 + 0.5 * float(np.cos(np.pi * away_s / LINGER_S))
                total = total + np.float32(share) * np.mean(seen, 0, np.float32)
        return np.asarray(total, np.float32)

    def _closure(self, time_s: float) -> float:
        """Return how surely lips are shut: the frame nearest to the middle of p, b or m shows them so."""
        amount = 0.0
        for unit in self._wanted:
            if unit.name in SHUT and abs(time_s - (unit.start_s + unit.end_s) / 2) < 0.2:
                away_s = abs(time_s - (unit.start_s + unit.end_s) / 2)
                hold_s = max(0.3 * unit.length_s, 0.5 * self._frame_s)
                amount = max(amount, float(np.clip(1 - (away_s - hold_s) / HALF_FADE_S, 0, 1)))
        return amount


def best_units(wanted: Sequence[Unit], known: Sequence[Unit], most: int = 4) -> list[Unit] | None:
    """Return the few known units that suit each wanted one best by sound alone. None if one has none that looks alike.

    What follows a chosen unit in the footage, and suits as well, is among them.
    """
    speaking = [unit for unit in known if unit.name != SILENCE]
    chosen: dict[tuple[int, float], Unit] = {}
    for unit in wanted:
        if unit.name == SILENCE:
            continue
        offered = _candidates(unit, speaking)[:most]
        if not offered:
            return None
        chosen.update({(each.source, each.start_s): each for each in offered})
    return sorted(chosen.values(), key=lambda each: (each.source, each.start_s))

"""Tell the people of a clip apart as its frames go by, and gather what each shows."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from vid2vid_cli.arrays import Frame, Map, Points
from vid2vid_cli.face.mesh import Face, distance
from vid2vid_cli.pipeline.person.candidates import Candidates
from vid2vid_cli.pipeline.person.habits import Habits
from vid2vid_cli.pipeline.person.measuring import FaceReading
from vid2vid_cli.pipeline.person.same_person import SAME, STAYS, Portrait

FEW = 2  # frames
MOST_PEOPLE = 8  # of whom something is kept
MOST_RELIEFS = 4096  # frames from which it is told what a face mostly looks like
MOMENT_S = 0.7  # within which a face is found where it was
NEAR = 0.5  # of a face's size: how far it moves in a moment


@dataclass(eq=False)  # each is one of its own, whatever is known of them
class Somebody:
    """One of the people in a clip.

    first_s: when they were first seen. frames: in which they were seen. sharpness, reliefs: of these.
    """

    portrait: Portrait
    first_s: float
    last_s: float
    last: Face
    frames: int = 0
    candidates: Candidates = field(default_factory=Candidates)
    habits: Habits = field(default_factory=Habits)
    sharpness: list[float] = field(default_factory=list)
    reliefs: list[Map] = field(default_factory=list)

    def probably_shows(self, reading: FaceReading, place: Points, time_s: float) -> bool:
        """Say whether a face is this person's: it looks so, or a little so where they were a moment ago."""
        away = self.portrait.distance(place)
        was_here = time_s - self.last_s < MOMENT_S and distance(self.last, reading.face) < NEAR * self.last.size_px
        return away < (STAYS if was_here else SAME)

    def take(self, frame: Frame, reading: FaceReading, place: Points, time_s: float) -> None:
        """Add a frame that shows them."""
        self.portrait.add(place)
        self.frames, self.last, self.last_s = self.frames + 1, reading.face, time_s
        if len(self.reliefs) < MOST_RELIEFS:
            self.sharpness.append(reading.facts.sharpness)
            self.reliefs.append(reading.relief)
        self.candidates.offer(frame, reading)
        self.habits.add(reading.motion)

    def merge(self, other: Somebody) -> None:
        """Take what was found of the same person as if they were two."""
        self.portrait.add(other.portrait.sum, other.portrait.count)
        self.frames, self.first_s = self.frames + other.frames, min(self.first_s, other.first_s)
        self.sharpness += other.sharpness
        self.reliefs += other.reliefs
        self.candidates.merge(other.candidates)
        self.habits.merge(other.habits)


def somebody(reading: FaceReading, place: Points, time_s: float, *, keeps_main: bool) -> Somebody:
    """Return a person of whom nothing is known but where they are seen. keeps_main: see Crowd."""
    candidates = Candidates(keeps_main=keeps_main)
    return Somebody(Portrait(np.zeros_like(place), 0), time_s, time_s, reading.face, candidates=candidates)


@dataclass
class Crowd:
    """The people of one clip. keeps_main: whether one whole picture of each is kept."""

    people: list[Somebody] = field(default_factory=list)
    keeps_main: bool = True

    def add(self, frame: Frame, reading: FaceReading, place: Points, time_s: float) -> None:
        """Give a face to whom it belongs. place: see same_person.Likeness."""
        nearest = min(self.people, key=lambda one: one.portrait.distance(place), default=None)
        if nearest is None or not nearest.probably_shows(reading, place, time_s):
            nearest = next((one for one in self.people if one.probably_shows(reading, place, time_s)), None)
        if nearest is None:
            nearest = somebody(reading, place, time_s, keeps_main=self.keeps_main)
            self.people.append(nearest)
        nearest.take(frame, reading, place, time_s)
        if len(self.people) > MOST_PEOPLE:
            self._fold(nearest)

    def _fold(self, newest: Somebody) -> None:
        """Forget whoever was seen least, but for the newest."""
        others = [one for one in self.people if one is not newest]
        self.people.remove(min(others, key=lambda one: one.frames))

    def person(self, known: Portrait | None, *, same: bool) -> tuple[Somebody | None, list[Somebody]]:
        """Return the person who is meant, and all others.

        known: who it is; None: who is seen most. same: all are that person. Somebody who is alone in the clip is taken
        for the person unless they plainly are another.
        """
        if not self.people:
            return None, []
        anchor = known or max(self.people, key=lambda one: one.frames).portrait
        anchor = Portrait(anchor.sum.copy(), anchor.count)
        # Seen once or twice, a face may be that of a passer-by, or a bad frame.
        alone = sum(one.frames > FEW for one in self.people) <= 1
        own = [
            one for one in self.people if same or anchor.distance(one.portrait.sum) < anchor.limits(one.portrait)[alone]
        ]
        others = [one for one in self.people if one not in own]
        if not own:
            return None, others
        first = own[0]
        for one in own[1:]:
            first.merge(one)
        return first, others

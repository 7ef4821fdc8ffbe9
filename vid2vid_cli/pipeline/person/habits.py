"""The motions in which a person was seen, few enough to be kept: how they move is told from these."""

from __future__ import annotations

from dataclasses import dataclass, field

from vid2vid_cli.motion import Motion, join_motions

MOST_MOTIONS = 2048


@dataclass
class Habits:
    """Motions of a person, evenly taken from all that were seen. step: every `step`th is kept."""

    motions: list[Motion] = field(default_factory=list)
    step: int = 1
    _seen: int = 0

    def add(self, motion: Motion) -> None:
        """Take the motion of one frame."""
        if self._seen % self.step == 0:
            self.motions.append(motion)
        self._seen += 1
        self._thin()

    def merge(self, other: Habits) -> None:
        """Take those of the same person in another clip."""
        self.motions += other.motions
        self._seen += other._seen
        self._thin()

    def joined(self) -> Motion | None:
        """Return all of them as one; None if there are none."""
        return join_motions(self.motions) if self.motions else None

    def _thin(self) -> None:
        while len(self.motions) > MOST_MOTIONS:
            self.motions, self.step = self.motions[::2], 2 * self.step

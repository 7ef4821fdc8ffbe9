"""How long the frames of a live call take, at either end."""

from __future__ import annotations

import time
from dataclasses import dataclass


@dataclass(frozen=True)
class DelaySummary:
    """The average and the longest delay of a live call, in ms."""

    mean_ms: float
    longest_ms: float


@dataclass
class Delays:
    """How long frames took from coming in to going out, in ms. Sums, since a call may last for days."""

    count: int = 0
    sum_ms: float = 0.0
    longest_ms: float = 0.0

    def add_since(self, arrived_s: float) -> None:
        """Count a frame that goes out now. arrived_s: when it came in, by time.perf_counter."""
        delay_ms = 1000 * (time.perf_counter() - arrived_s)
        self.count, self.sum_ms = self.count + 1, self.sum_ms + delay_ms
        self.longest_ms = max(self.longest_ms, delay_ms)

    def summary(self) -> DelaySummary | None:
        """Return the average and the longest delay; None if no frame was counted."""
        return DelaySummary(self.sum_ms / self.count, self.longest_ms) if self.count else None

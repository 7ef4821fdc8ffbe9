"""Whether two faces are one person's, by what the light on them looks like once both are seen from the front."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from vid2vid_cli.arrays import Points

SAME = 0.52  # distance up to which a picture surely is the same person's as a portrait
STAYS = 0.65  # the same for a face that is where that person was a moment ago
OTHER = 0.72  # from here on it is somebody else's; in between it may be the same, years or a pair of glasses apart
SAME_CLIPS, OTHER_CLIPS, MANY = 0.4, 0.48, 8  # both for two portraits of at least so many frames, whose noise is gone


@dataclass
class Portrait:
    """Whose face it is, from all frames that were found to be one person's. sum: of their places. count: of frames."""

    sum: Points
    count: float = 1

    def distance(self, place: Points) -> float:
        """Return how unlike a face, or the sum of several, is: from 0 to 2."""
        lengths = float(np.linalg.norm(self.sum)) * float(np.linalg.norm(place))
        return 1 - float(self.sum @ place) / max(lengths, 1e-6)

    def limits(self, other: Portrait) -> tuple[float, float]:
        """Return the distance up to which another portrait surely is the same person's, and that from which not."""
        return (SAME_CLIPS, OTHER_CLIPS) if min(self.count, other.count) >= MANY else (SAME, OTHER)

    def add(self, place: Points, count: float = 1) -> None:
        """Add a face. place: of one frame, or the sum of several."""
        self.sum, self.count = self.sum + place, self.count + count

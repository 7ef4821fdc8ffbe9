"""Whether a driving is the person whom the source's pictures show: then its mouth is their own, as it is right now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from vid2vid_cli.arrays import Points
from vid2vid_cli.geometry.easing import smoothstep_between
from vid2vid_cli.models.compact.likeness import describe, load_likeness
from vid2vid_cli.models.compact.wrinkles import SkinTexture

# Distance of a frame from the person: surely the same up to the first, surely somebody else from the second on.
# Another clip of the same person is mostly below 0.3, one frame in a hundred of other people below 0.44.
THEMSELF, SOMEBODY = 0.35, 0.5


@dataclass(frozen=True)
class KnownPerson:
    """Whose pictures they are. place: (A,), among all people, see likeness.Likeness."""

    place: Points

    @classmethod
    def of(cls, skins: Sequence[SkinTexture]) -> KnownPerson:
        """Learn a person from what their pictures show of the skin."""
        return cls(np.sum([_place(skin) for skin in skins], axis=0))

    def shown_by(self, skin: SkinTexture) -> float:
        """Return how surely a frame's skin is this person's, 0 to 1."""
        place = _place(skin)
        lengths = float(np.linalg.norm(self.place)) * float(np.linalg.norm(place))
        return smoothstep_between(float(self.place @ place) / max(lengths, 1e-6), 1 - SOMEBODY, 1 - THEMSELF)


def _place(skin: SkinTexture) -> Points:
    return load_likeness()(describe(skin.light, skin.facing))

"""Person files that are made up: small pictures without faces, for what reads and writes such files."""

from __future__ import annotations

import numpy as np

from vid2vid_cli.media.jpeg import encode_jpeg
from vid2vid_cli.person_file import FACTS, Facts, PersonFile, Seen, StoredView


def made_up_facts(**given: float) -> Facts:
    """Return the facts of a face that looks at the camera, at rest."""
    plain = dict.fromkeys(FACTS, 0.0)
    plain |= {"right_lid": 0.33, "left_lid": 0.33, "mouth_width": 0.6, "sharpness": 0.1, "size_px": 40.0, "score": 1.0}
    return Facts(**(plain | given))


def made_up_person(*facts: Facts, size: tuple[int, int] = (48, 40)) -> PersonFile:
    """Return a person with a view for each of the facts, noise for pictures; two views without any."""
    rng = np.random.default_rng(5)
    views = []
    for each in facts or (made_up_facts(), made_up_facts(yaw=0.3)):
        landmarks = rng.uniform(4, 36, (470, 3)).astype(np.float32)
        views.append(StoredView(encode_jpeg(rng.integers(0, 256, (*size, 3), np.uint8), 92), landmarks, each))
    identity = rng.normal(size=(468, 3)).astype(np.float32)
    habits = {"percentiles": rng.normal(size=(5, 7)).astype(np.float32), "names": np.arange(9, dtype=np.uint8)}
    return PersonFile(tuple(views), 0, identity, Seen(pictures=1, clips=1, frames=9, used=8), habits)

"""Leave out what only the whole of a clip reveals: frames that are blurred for this person, and hands before the face.

The network that lays the mesh is sure of a face behind a hand, too. But fingers draw edges where the skin is smooth in
most frames: what counts is how much relief a frame adds to what the person's face mostly has there.
"""

from __future__ import annotations

from collections import Counter

import numpy as np

from vid2vid_cli.arrays import Map
from vid2vid_cli.pipeline.person.candidates import Candidate, main_score
from vid2vid_cli.pipeline.person.crowd import Somebody

BLURRED = 0.5  # of how sharp the person mostly is
USUAL_CHANGE = 0.01  # of log light a texel: between frames of one face
BUSIEST = 12  # cells that are compared: a hand covers so many
HIDDEN = 0.05  # mean of their added relief, from which on something is before the face
FEWEST = 8  # frames that tell what a face mostly looks like


def added_relief(reliefs: Map, usual: Map) -> Map:
    """Return how much relief frames (N, CELLS, CELLS) add to the usual one, where they add most: (N,)."""
    # What is not seen adds nothing.
    added = np.nan_to_num(np.clip(reliefs - usual - USUAL_CHANGE, 0, None)).reshape(len(reliefs), -1)
    return np.asarray(np.sort(added, axis=1)[:, -BUSIEST:].mean(1), np.float32)


def drop_unfit(person: Somebody) -> Counter[str]:
    """Leave out the views of a clip that are blurred or hidden; count its frames that are."""
    faults = Counter[str]()
    if len(person.sharpness) < FEWEST:
        return faults
    least = BLURRED * float(np.percentile(person.sharpness, 75))
    reliefs = np.stack(person.reliefs)
    seen = np.isfinite(reliefs).sum(0) >= FEWEST / 2
    usual = np.where(seen, np.nanmedian(np.where(seen, reliefs, 0), axis=0), np.inf)  # seldom seen: nothing is added
    hidden = added_relief(reliefs, usual) > HIDDEN

    def is_fit(candidate: Candidate) -> bool:
        is_sharp = candidate.facts.sharpness >= least
        return is_sharp and bool(added_relief(candidate.reading.relief[None], usual)[0] <= HIDDEN)

    found, main = person.candidates.found, person.candidates.main
    fit = {cell: candidate for cell, candidate in found.items() if is_fit(candidate)}
    if not fit:  # then it is what the person looks like
        return faults
    person.candidates.found = fit
    if main is not None and not is_fit(main):
        person.candidates.main = max(fit.values(), key=lambda candidate: main_score(candidate.facts))
    faults["blurred"] = sum(each < least for each in person.sharpness)
    faults["hidden by something"] = int(hidden.sum())
    return faults

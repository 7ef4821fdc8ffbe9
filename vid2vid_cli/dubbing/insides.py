"""The inside of a person's own mouth, for shapes that it takes in their footage: their own teeth and tongue."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray

from vid2vid_cli.dubbing.mouth_track import MouthTrack
from vid2vid_cli.speech.mouth import SpokenMouth, opening_of, width_of

LEAST_OPENING = 0.02  # eye distances: below it a mouth shows nothing
FARTHEST = 0.35  # of the opening that is shown: an inside that differs more is no likeness
WIDTH = 1.0  # how much a difference of widths counts beside one of openings
PATIENCE = 0.015  # eye distances: how much better another inside must be, so that they do not take turns


class Insides:
    """Pictures of the insides of one mouth, found by how far it is open and how wide."""

    def __init__(self, tracks: Iterable[MouthTrack]) -> None:
        """Take all frames that were seen."""
        seen = [each for track in tracks for each in track.insides()]
        lips = torch.from_numpy(np.stack([lips for lips, _ in seen])) if seen else torch.zeros(0, 178, 3)
        self._shapes = _shapes(opening_of(lips).numpy(), width_of(lips).numpy())
        self._insides = [inside for _, inside in seen]

    def fill(self, mouths: Iterable[SpokenMouth]) -> Iterator[SpokenMouth]:
        """Yield mouths that follow each other with the inside that suits each of them; shut ones as they are."""
        last = -1
        for mouth in mouths:
            last = self._choose(mouth, last)
            yield mouth if last < 0 else replace(mouth, look=self._insides[last])

    def _choose(self, mouth: SpokenMouth, last: int) -> int:
        """Return the number of an inside; -1 for none. last: that of the frame before."""
        if mouth.opening < LEAST_OPENING or not len(self._insides):
            return -1
        away = np.abs(self._shapes - _shapes(np.array(mouth.opening), np.array(mouth.width))).sum(-1)
        # An inside that is stretched is worse than one that is squeezed.
        away = away + 2 * np.maximum(0, mouth.opening - self._shapes[:, 0])
        best = int(away.argmin())
        if away[best] > FARTHEST * mouth.opening:
            return -1
        return last if last >= 0 and away[last] < away[best] + PATIENCE else best


def _shapes(opening: NDArray[np.float32], width: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.stack([opening, WIDTH * width], axis=-1)

"""The mouth of each output frame: the film's own, that of the person's other words, or one for new words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vid2vid_cli.dubbing.edit_list import EditList, PlacedSound
from vid2vid_cli.dubbing.mouth_track import MouthTrack, spoken_mouth
from vid2vid_cli.dubbing.visemes import Recombined
from vid2vid_cli.speech.mouth import MOUTH_POINTS, SpokenMouth

Lips = NDArray[np.float32]
HALF_FADE_S = 0.03
"""Half of the time in which one mouth turns into the next."""
AMPLITUDES = (0.6, 1.6)
LOUD = 95  # percentile of openings by which people are compared


class MouthSource(Protocol):
    """Says how a mouth is at any time of a sound."""

    def lips(self, time_s: float) -> Lips | None:
        """Return displacements (178, 3) from rest; None where nothing is known."""
        ...


class RecombinedMouth:
    """A mouth put together of the person's own footage."""

    def __init__(self, recombined: Recombined) -> None:
        self._recombined = recombined

    def lips(self, time_s: float) -> Lips | None:
        """Return displacements (178, 3) from rest."""
        return self._recombined.at(time_s)


class PredictedMouth:
    """A mouth that was heard, scaled to how far the person opens theirs."""

    def __init__(self, mouths: Sequence[SpokenMouth], fps: Fraction, openings: NDArray[np.float32]) -> None:
        """mouths: of the whole sound, at a rate. openings: of frames in which the person speaks."""
        heard = float(np.percentile([mouth.opening for mouth in mouths], LOUD)) if mouths else 0.0
        own = float(np.percentile(openings, LOUD)) if len(openings) else heard
        self._scale = float(np.clip(own / max(heard, 1e-3), *AMPLITUDES)) if heard > 0.02 else 1.0
        self._lips, self._fps = [mouth.lips for mouth in mouths], float(fps)

    def lips(self, time_s: float) -> Lips | None:
        """Return displacements (178, 3) from rest."""
        if not self._lips:
            return None
        place = min(max(0.0, time_s * self._fps), len(self._lips) - 1.0)
        low = int(place)
        high = min(low + 1, len(self._lips) - 1)
        return np.asarray(self._scale * ((1 - (place - low)) * self._lips[low] + (place - low) * self._lips[high]))


def mouths_of(
    edits: EditList, sources: Mapping[int, MouthSource | MouthTrack], fps: Fraction, count: int
) -> Iterator[SpokenMouth]:
    """Yield the mouth of each output frame. Where the film's picture and sound are left alone it rests, unseen."""
    rest = np.zeros((len(MOUTH_POINTS), 3), np.float32)
    sounds, pictures = iter(_neighbours(edits.sounds)), iter(edits.pictures)
    before, sound, after = next(sounds)
    picture = next(pictures)
    for number in range(count):
        time_s = float((number + Fraction(1, 2)) / fps)
        while time_s >= sound.until_s and after is not None:
            before, sound, after = next(sounds)
        while time_s >= picture.until_s and (following := next(pictures, None)) is not None:
            picture = following
        lips = _mixed(time_s, (before, sound, after), sources) if picture.is_edited else None
        yield spoken_mouth(time_s, rest if lips is None else lips)


def _neighbours(
    sounds: Sequence[PlacedSound],
) -> Iterator[tuple[PlacedSound | None, PlacedSound, PlacedSound | None]]:
    for index, sound in enumerate(sounds):
        yield sounds[index - 1] if index else None, sound, sounds[index + 1] if index + 1 < len(sounds) else None


def _mixed(
    time_s: float,
    around: tuple[PlacedSound | None, PlacedSound, PlacedSound | None],
    sources: Mapping[int, MouthSource | MouthTrack],
) -> Lips | None:
    before, sound, after = around
    lips = _lips(sound, time_s, sources)
    for other, away_s in ((before, time_s - sound.at_s), (after, sound.until_s - time_s)):
        if other is None or away_s >= HALF_FADE_S or (mouth := _lips(other, time_s, sources)) is None:
            continue
        share = 0.5 * (1 - away_s / HALF_FADE_S)
        lips = mouth if lips is None else (1 - share) * lips + share * mouth
    return lips


def _lips(placed: PlacedSound, time_s: float, sources: Mapping[int, MouthSource | MouthTrack]) -> Lips | None:
    source = sources.get(placed.sound.source)
    return None if source is None else source.lips(placed.sound.start_s + time_s - placed.at_s)

"""Say how well the mouth follows speech, from the motion alone: the table that `make speech` prints.

    python -m training.speech_figures MEDIA --cache TRACKS

Correlations are with the mouths of people who gave nothing to the networks (rows of kind `speech_test`), frame by
frame at lag 0. Lips count as shut where they are read as less than SHUT apart; real lips of grid_s1 are so in 97 % of
p, b and m, and in 6 % of the vowels. Phones are aligned by pocketsphinx; the last rows are sentences that no network
was trained on, by espeak-ng, if it is installed. What a rendered film shows is measured elsewhere, with the same
`likeness` and `shut_phones`.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from training.speech_alignment import Phone, align
from training.speech_material import displacements
from training.speech_tracks import Array, Track, cached_tracks, read_sound
from vid2vid_cli.models.registry import load_speech_model
from vid2vid_cli.speech.model import SpeechModel
from vid2vid_cli.speech.mouth import opening_of, width_of

Series = NDArray[np.float64]
SHUT = 0.02  # eye distances
VOWELS = frozenset(("aa", "ae", "ah", "ao", "aw", "ay", "eh", "er", "ey", "ih", "iy", "ow", "oy", "uh", "uw"))
BILABIALS = frozenset("pbm")
SHORTEST_VOWEL_S = 0.06
FPS = Fraction(25)
UNHEARD = (
    "Tomorrow morning a polite baker will bring warm bread to number seventy.",
    "My brother built a cabin by the pond, and painted the door a pale blue.",
    "People who jump over puddles often arrive with wet shoes and a big smile.",
    "Place the lemon beside the butter, and remember to cover the bowl.",
    "The mayor promised a better bridge, but nobody believed him in April.",
    "Climb up the slope, pass the empty camp, and stop above the lake.",
    "Perhaps some music would improve the mood before the number begins.",
    "Emma bought apples, plums, a bottle of milk and a pot of marmalade.",
)


@dataclass(frozen=True)
class Aligned:
    """A sound with its phones. speaker: whose row of the table it belongs to."""

    speaker: str
    sound: Array
    phones: Sequence[Phone]


@dataclass(frozen=True)
class Likeness:
    """How alike two mouths are: correlations, and how far the spoken one moves, over the real one."""

    opening: float
    width: float
    amplitude: float


@dataclass(frozen=True)
class Closures:
    """In which share of bilabials lips shut, and in which share of vowels."""

    bilabials: float
    vowels: float
    count: int


def likeness(spoken: Series, real: Series) -> Likeness:
    """Compare openings and widths (T, 2); NaN is not counted."""
    known = np.isfinite(real).all(1)
    both = [np.corrcoef(spoken[known, column], real[known, column])[0, 1] for column in (0, 1)]
    return Likeness(float(both[0]), float(both[1]), float(spoken[known, 0].std() / real[known, 0].std()))


def compared(model: SpeechModel, tracks: Iterable[Track]) -> dict[str, Likeness]:
    """Compare what the model says of each clip's sound with the clip, by speaker."""
    pairs: dict[str, list[tuple[Series, Series]]] = defaultdict(list)
    for track in tracks:
        lips = displacements(track)
        real = torch.stack([opening_of(lips), width_of(lips)], 1).double().numpy()
        mouths = model.mouths([track.sound], Fraction(track.fps).limit_denominator(1001))
        spoken = np.array([(mouth.opening, mouth.width) for mouth in mouths])
        count = min(len(spoken), len(real))
        pairs[track.clip.speaker].append((spoken[:count], real[:count]))
    return {who: likeness(*map(np.concatenate, zip(*found, strict=True))) for who, found in pairs.items()}


def closures(model: SpeechModel, items: Iterable[Aligned]) -> dict[str, Closures]:
    """Say in which share of p, b, m and of vowels the model's lips are shut, by speaker."""
    shut: dict[str, list[bool]] = defaultdict(list)
    wrong: dict[str, list[bool]] = defaultdict(list)
    for item in items:
        opening = np.array([mouth.opening for mouth in model.mouths([item.sound], FPS)])
        bilabials, vowels = shut_phones(opening, item.phones, float(FPS))
        shut[item.speaker] += bilabials
        wrong[item.speaker] += vowels
    return {who: Closures(float(np.mean(shut[who])), float(np.mean(wrong[who])), len(shut[who])) for who in shut}


def shut_phones(opening: Series, phones: Sequence[Phone], fps: float) -> tuple[list[bool], list[bool]]:
    """Say of each p, b and m, and of each vowel, whether lips are shut. opening: (T,), any frame rate."""
    times = np.arange(len(opening)) / fps
    bilabials, vowels = [], []
    for phone in phones:
        if phone.name in BILABIALS:
            # A frame on each side: a p may be shorter than a frame.
            near = (times >= phone.start_s - 0.5 / fps) & (times <= phone.end_s + 0.5 / fps)
            bilabials.append(bool(opening[near].min(initial=np.inf) < SHUT))
        elif phone.name in VOWELS and phone.end_s - phone.start_s >= SHORTEST_VOWEL_S:
            quarter = (phone.end_s - phone.start_s) / 4
            middle = np.interp(np.linspace(phone.start_s + quarter, phone.end_s - quarter, 5), times, opening)
            vowels.append(bool(middle.mean() < SHUT))
    return bilabials, vowels


def aligned_clips(tracks: Iterable[Track]) -> Iterator[Aligned]:
    """Yield the clips whose text is known."""
    for track in tracks:
        if track.clip.text:
            yield Aligned(track.clip.speaker, track.sound, align(track.sound, track.clip.text.strip()))


def unheard_sentences() -> Iterator[Aligned]:
    """Yield sentences by espeak-ng, which no network has heard; nothing where it is missing."""
    if shutil.which("espeak-ng") is None:
        return
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "spoken.wav"
        for voice in ("en-us+f3", "en-us+f4"):
            for text in UNHEARD:
                subprocess.run(["espeak-ng", "-v", voice, "-s", "150", "-w", str(place), text], check=True)
                sound = read_sound(place)
                words = "".join(letter for letter in text.lower() if letter.isalpha() or letter == " ")
                yield Aligned(f"espeak-ng {voice}", sound, align(sound, words))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("media", type=Path, help="folder with MANIFEST.csv")
    parser.add_argument("--cache", type=Path, required=True, help="folder for the tracks of the clips")
    options = parser.parse_args(arguments)
    model, tracks = load_speech_model(), list(cached_tracks(options.media, options.cache))
    alike = compared(model, (track for track in tracks if track.clip.is_test))
    print(f"{'speaker':20} {'opening':>8} {'width':>8} {'amplitude':>10}")
    for who, row in alike.items():
        print(f"{who:20} {row.opening:8.2f} {row.width:8.2f} {row.amplitude:10.2f}")
    means = [
        float(np.mean([getattr(row, name) for row in alike.values()])) for name in ("opening", "width", "amplitude")
    ]
    print(f"{'mean':20} {means[0]:8.2f} {means[1]:8.2f} {means[2]:10.2f}")
    print(f"\n{'speaker':20} {'p, b, m shut':>14} {'vowels shut':>14} {'count':>8}")
    for who, closed in {**closures(model, aligned_clips(tracks)), **closures(model, unheard_sentences())}.items():
        print(f"{who:20} {closed.bilabials:14.0%} {closed.vowels:14.0%} {closed.count:8}")


if __name__ == "__main__":
    main()

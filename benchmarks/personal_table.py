"""The figures of persons as Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

CLIP = "clip"
COLUMNS = ("1", "2", "4", "8", CLIP)
MEASURES = {
    "l1": ("L1 of 255", 2),
    "face_l1": ("L1 in the box of the face", 2),
    "psnr": ("PSNR dB", 2),
    "ssim": ("SSIM", 3),
    "mouth_l1": ("mouth L1", 2),
    "akd": ("AKD px", 2),
    "mouth_akd": ("mouth AKD px", 2),
    "identity": ("identity distance", 3),
}
TURNS = {"turned": 3, "asked": 3, "driven": 3, "driven_l1": 1}  # figures of heads that turn, and their digits
DISTANCES = ("l1", "face_l1", "mouth_l1", "akd", "identity")  # less is better


def format_tables(results: dict[str, Any]) -> str:
    """Return all tables."""
    tables = (_about(results), mean_table(results), turns_table(results), people_table(results), _speed(results))
    return "\n\n".join(tables)


def values_of(people: Sequence[dict[str, Any]], count: str, name: str) -> list[float]:
    """Return a figure of every person; NaN where it could not be measured."""
    values = [person["scores"][count].get(name) for person in people]
    return [np.nan if value is None else value for value in values]


def mean_of(results: dict[str, Any], count: str, name: str) -> float:
    """Return the mean of a figure over people."""
    return float(np.nanmean(values_of(results["people"], count, name)))


def worst_change(results: dict[str, Any], count: str, name: str) -> float:
    """Return how much a distance grows, against one picture, for the person who loses most; below 0 for nobody."""
    one, more = (np.array(values_of(results["people"], which, name)) for which in ("1", count))
    return float(np.nanmax(more / one - 1))


def side_means(results: dict[str, Any], count: str) -> tuple[float, float, int]:
    """Return the identity distance of turned heads with one picture and with more, where those show that side."""
    pairs = [
        (side["1"]["identity"], side[count]["identity"])
        for person in results["people"]
        for side in person["sides"]
        if side[count]["is_shown"] and None not in (side["1"]["identity"], side[count]["identity"])
    ]
    one, more = np.mean(pairs, axis=0) if pairs else (np.nan, np.nan)
    return float(one), float(more), len(pairs)


def _about(results: dict[str, Any]) -> str:
    mouth = "The inside of the driving's mouth is not shown. " if results["own_mouth"] else ""
    return (
        f"{len(results['people'])} people with two clips: pictures from the first, judged on every "
        f"{results['every']}th frame of up to {results['seconds']:g} s of the second, which drives head only. {mouth}"
        f"Squares of 256 px around the head; keypoints and identity are {results['judge']}'s."
    )


def mean_table(results: dict[str, Any]) -> str:
    """Show the means by number of pictures."""
    lines = [
        "| mean over people | " + " | ".join(COLUMNS) + " | clip against 1 | worst person, any number |",
        "|---|" + "---|" * (len(COLUMNS) + 2),
    ]
    for name, (title, digits) in MEASURES.items():
        means = [mean_of(results, count, name) for count in COLUMNS]
        change = f"{means[-1] / means[0] - 1:+.1%}" if name in DISTANCES else f"{means[-1] - means[0]:+.{digits}f}"
        worst = max(worst_change(results, count, name) for count in COLUMNS[1:]) if name in DISTANCES else None
        cells = [*(f"{mean:.{digits}f}" for mean in means), change, "" if worst is None else f"{worst:+.1%}"]
        lines.append(f"| {title} | " + " | ".join(cells) + " |")
    sides = [side_means(results, count) for count in COLUMNS]
    cells = [f"{more:.3f} (1: {one:.3f}; {number})" if number else "-" for one, more, number in sides]
    one, more, _ = sides[-1]
    lines.append(f"| identity at yaw ±30, sides seen at 10° | {' | '.join(cells)} | {more / one - 1:+.1%} | |")
    for name, title in (("asked", "driven heads turned to ±30°"), ("driven", "heads driven to 20° and more")):
        turned = [mean_of_turns(results, name, count) for count in COLUMNS]
        cells = ["-" if mean is None else f"{mean:.3f}" for mean in turned]
        change = f"{turned[-1] / turned[0] - 1:+.1%}" if turned[0] and turned[-1] else ""
        lines.append(f"| identity of {title}, sides seen at 20° | {' | '.join(cells)} | {change} | |")
    return "\n".join(lines)


def turns_table(results: dict[str, Any]) -> str:
    """Show the sides of the clips that turn, where pictures show them."""
    lines = [
        "| side to which a clip turns, the person's own | true frames | pictures of that side "
        "| identity, turned to 30° at rest: 1 → clip | turned to 30° and driven: 1 → clip | driven there: 1 → clip "
        "| L1, driven there: 1 → clip |",
        "|---|---|---|---|---|---|---|",
    ]
    turns = results["turns"]
    for turn in turns:
        cells = [_change(turn[name]["1"], turn[name][CLIP], digits) for name, digits in TURNS.items()]
        side = "left" if turn["side"] > 0 else "right"
        lines.append(f"| {turn['clip']}, {side} | {turn['frames']} | {turn['views']} | {' | '.join(cells)} |")
    means = [[mean_of_turns(results, name, count) for count in ("1", CLIP)] for name in TURNS]
    cells = [_change(one, more, digits) for (one, more), digits in zip(means, TURNS.values(), strict=True)]
    lines.append(f"| mean of {len(turns)} sides | | | {' | '.join(cells)} |")
    return "\n".join(lines)


def mean_of_turns(results: dict[str, Any], name: str, count: str) -> float | None:
    """Return the mean of a figure over the sides where one picture and the clip have it."""
    both = [turn[name] for turn in results["turns"] if None not in (turn[name]["1"], turn[name][CLIP])]
    known = [figures[count] for figures in both if figures.get(count) is not None]
    return float(np.mean(known)) if known else None


def _change(one: float | None, more: float | None, digits: int) -> str:
    if one is None or more is None:
        return "no face found"
    return f"{one:.{digits}f} → {more:.{digits}f} ({more / one - 1:+.0%})"


def people_table(results: dict[str, Any]) -> str:
    """Show what the clip changes for every person."""
    lines = ["| clip against one picture | L1 | face L1 | mouth L1 | AKD | identity |", "|---|---|---|---|---|---|"]
    for person in results["people"]:
        one, whole = ([values_of([person], count, name)[0] for name in DISTANCES] for count in ("1", CLIP))
        cells = [f"{b:.3g} ({b / a - 1:+.0%})" for a, b in zip(one, whole, strict=True)]
        lines.append(f"| {person['person']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _speed(results: dict[str, Any]) -> str:
    speed = results["speed"]
    one, whole = speed["1"], speed[CLIP]
    return (
        f"On one core, {one:.1f} frames per second of processor time with one picture and {whole:.1f} with "
        f"{speed['pictures']} ({whole / one:.2f} of it), a film's frames in turn, reading and pasting included."
    )

"""Say what a person file has seen, and what pictures would help."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from vid2vid_cli.errors import PersonFileError
from vid2vid_cli.media.files import require_file
from vid2vid_cli.media.jpeg import view_picture
from vid2vid_cli.person_file import PersonFile, Seen, load_person

SIDE_DEG, UP_DEG = 20.0, 10.0  # how far a head should be seen turned
OPEN_MOUTH, WIDE_MOUTH, CLOSED_MOUTH = 0.08, 0.25, 0.03  # eye distances
SHUT = 0.5  # of the usual opening of the eyes
RAISED, WIDER = 0.03, 0.04  # eye distances by which a smile lifts the corners of the mouth, and widens it
LIGHTS = 0.4  # of log light: from how far apart lamps are two


@dataclass(frozen=True)
class PersonSummary:
    """What a person file shows. Angles in degrees, least and greatest. help: a line for each picture that would."""

    path: Path
    bytes: int
    views: int
    seen: Seen
    size: tuple[int, int]
    yaw_deg: tuple[float, float]
    pitch_deg: tuple[float, float]
    mouths: dict[str, int]
    eyes: dict[str, int]
    smiles: int
    lights: int
    has_habits: bool
    help: tuple[str, ...]


def describe_person(path: str | Path) -> PersonSummary:
    """Read a person file and say what it shows. PersonFileError if it is damaged."""
    path = Path(path)
    require_file(path)
    return summarize(path, load_person(path), path.stat().st_size)


def summarize(path: Path, person: PersonFile, size: int) -> PersonSummary:
    """Say what a person shows. size: of the file, in bytes."""
    facts = [view.facts for view in person.views]
    yaws, pitches = ([math.degrees(getattr(each, axis)) for each in facts] for axis in ("yaw", "pitch"))
    heights = [each.mouth_height for each in facts]
    usual = sorted(each.lids for each in facts)[3 * len(facts) // 4]
    shut = sum(each.lids < SHUT * usual for each in facts)
    mouths = {
        "closed": sum(height < CLOSED_MOUTH for height in heights),
        "open": sum(OPEN_MOUTH <= height < WIDE_MOUTH for height in heights),
        "wide": sum(height >= WIDE_MOUTH for height in heights),
    }
    main = facts[person.main]
    smiles = sum(each.smile - main.smile > RAISED and each.mouth_width - main.mouth_width > WIDER for each in facts)
    yaw, pitch = ((round(min(angles), 1), round(max(angles), 1)) for angles in (yaws, pitches))
    return PersonSummary(
        path=path,
        bytes=size,
        views=len(facts),
        seen=person.seen,
        size=_main_size(path, person),
        yaw_deg=yaw,
        pitch_deg=pitch,
        mouths=mouths,
        eyes={"open": len(facts) - shut, "shut": shut},
        smiles=smiles,
        lights=_lights(person),
        has_habits=bool(person.statistics),
        help=_help(yaw, pitch, mouths, shut, smiles),
    )


def _main_size(path: Path, person: PersonFile) -> tuple[int, int]:
    """Return the size (height, width) of the main view, after decoding all: a damaged one is told here."""
    try:
        sizes = [view_picture(person, number).shape for number in range(len(person.views))]
    except PersonFileError as error:
        raise PersonFileError(f"{path}: {error}") from error
    return sizes[person.main][0], sizes[person.main][1]


def _lights(person: PersonFile) -> int:
    """Count the lamps: by how far the light from the side differs."""
    across = sorted(view.facts.light_from_right for view in person.views)
    return 1 + int((across[-1] - across[0]) / LIGHTS)


def _help(
    yaw: tuple[float, float], pitch: tuple[float, float], mouths: dict[str, int], shut: int, smiles: int
) -> tuple[str, ...]:
    """Say what pictures would help. Sides are the viewer's, as for --yaw."""
    lines = []
    for side, most in (("left", -yaw[0]), ("right", yaw[1])):
        if most < SIDE_DEG:
            lines.append(f"a picture turned to the {side} would help: {_beyond(most)}")
    for way, most in (("up", pitch[1]), ("down", -pitch[0])):
        if most < UP_DEG:
            lines.append(f"a picture looking {way} would help: {_beyond(most)}")
    if not mouths["closed"]:
        lines.append("a picture with closed lips would help: there is none")
    if not mouths["open"] and not mouths["wide"]:
        lines.append("a picture with an open mouth would help: no teeth are seen")
    elif not mouths["wide"]:
        lines.append("a picture with a wide open mouth would help: there is none")
    if not shut:
        lines.append("a picture with shut eyes would help: there is none")
    if not smiles:
        lines.append("a picture with a smile would help: there is none")
    return tuple(lines)


def _beyond(most_deg: float) -> str:
    return f"nothing beyond {max(0.0, most_deg):.0f} degrees"

"""What keys do while a portrait is live, as data: a window reads it, and its help page as well."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum, auto
from typing import Any

from vid2vid_cli.pipeline.live_controls import STRONGEST, LiveControls

BACKGROUNDS = ("keep", "blur", "white", "black", "#00b140")  # the last is the green of screens
ANGLE_STEP_DEG, MOST_DEG = 3.0, 45.0
STRENGTH_STEP = 0.1

Change = Callable[[LiveControls, int], LiveControls]
"""Makes new controls of the old ones and the number of sources."""


class Action(Enum):
    """What a key does that is no change of the controls."""

    TAKE_REFERENCE = auto()
    TOGGLE_OVERLAY = auto()
    QUIT = auto()


@dataclass(frozen=True)
class Command:
    """What some keys do.

    keys: as they are called here: a character, or left, right, up, down, space. text: what help says, which lists keys
    of the same text together. effect: of any of the keys.
    """

    keys: tuple[str, ...]
    text: str
    effect: Action | Change


def _turned(axis: str, step_deg: float) -> Change:
    def turned(controls: LiveControls, sources: int) -> LiveControls:
        angle = getattr(controls, axis) + step_deg
        change: dict[str, Any] = {axis: min(max(angle, -MOST_DEG), MOST_DEG)}
        return replace(controls, **change)

    return turned


def _flipped(name: str) -> Change:
    def flipped(controls: LiveControls, sources: int) -> LiveControls:
        change: dict[str, Any] = {name: not getattr(controls, name)}
        return replace(controls, **change)

    return flipped


def _strengthened(step: float) -> Change:
    def strengthened(controls: LiveControls, sources: int) -> LiveControls:
        return replace(controls, strength=min(max(round(controls.strength + step, 2), 0.0), STRONGEST))

    return strengthened


def _chosen(number: int) -> Change:
    return lambda controls, sources: replace(controls, source=number) if number < sources else controls


def _next_source(controls: LiveControls, sources: int) -> LiveControls:
    return replace(controls, source=(controls.source + 1) % sources)


def _next_background(controls: LiveControls, sources: int) -> LiveControls:
    known = controls.background in BACKGROUNDS
    place = BACKGROUNDS.index(controls.background) + 1 if known else 0
    return replace(controls, background=BACKGROUNDS[place % len(BACKGROUNDS)])


def _reset(controls: LiveControls, sources: int) -> LiveControls:
    """Return what is usual, but for which portrait is shown and how its camera is looked at."""
    usual, c = LiveControls(), controls
    return replace(usual, source=c.source, mirror=c.mirror, smooth=c.smooth, region=c.region)


UNSHOWN = ("=",)  # lies where plus does on many keyboards, and means plus
DIGITS = tuple(str(number) for number in range(1, 10))
COMMANDS = (
    *(Command((digit,), "portrait", _chosen(int(digit) - 1)) for digit in DIGITS),
    Command(("n",), "portrait", _next_source),
    Command(("c",), "my neutral face", Action.TAKE_REFERENCE),
    Command(("r",), "relative or absolute", _flipped("relative")),
    Command(("+", "="), "strength", _strengthened(STRENGTH_STEP)),
    Command(("-",), "strength", _strengthened(-STRENGTH_STEP)),
    Command(("left",), "turn", _turned("yaw", -ANGLE_STEP_DEG)),
    Command(("right",), "turn", _turned("yaw", ANGLE_STEP_DEG)),
    Command(("up",), "look up, down", _turned("pitch", ANGLE_STEP_DEG)),
    Command(("down",), "look up, down", _turned("pitch", -ANGLE_STEP_DEG)),
    Command((",",), "tilt", _turned("roll", -ANGLE_STEP_DEG)),
    Command((".",), "tilt", _turned("roll", ANGLE_STEP_DEG)),
    Command(("0",), "all as usual", _reset),
    Command(("m",), "mirror", _flipped("mirror")),
    Command(("b",), "background", _next_background),
    Command(("f",), "freeze", _flipped("is_frozen")),
    Command(("p", "space"), "pause", _flipped("is_paused")),
    Command(("h",), "show or hide this", Action.TOGGLE_OVERLAY),
    Command(("q",), "quit", Action.QUIT),
)


def help_lines() -> list[tuple[tuple[str, ...], str]]:
    """Return what there are keys for, each with its keys, for a help page; the digits as one."""
    found: dict[str, dict[str, None]] = {}  # a dict keeps the order, and each key once
    for command in COMMANDS:
        shown = [f"{DIGITS[0]}-{DIGITS[-1]}" if key in DIGITS else key for key in command.keys if key not in UNSHOWN]
        found.setdefault(command.text, {}).update(dict.fromkeys(shown))
    return [(tuple(keys), text) for text, keys in found.items()]


def press(key: str, controls: LiveControls, sources: int) -> LiveControls | Action | None:
    """Return what a key makes of the controls, the action that it asks for, or None if it means nothing.

    key: see `Command`; letters in lower case. sources: how many portraits there are.
    """
    effect = next((command.effect for command in COMMANDS if key in command.keys), None)
    return effect if effect is None or isinstance(effect, Action) else effect(controls, sources)

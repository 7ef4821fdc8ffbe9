"""What a window shows over the picture: how it goes, which keys there are, and what happens."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from vid2vid_cli.arrays import Frame
from vid2vid_cli.live import drawing
from vid2vid_cli.live.commands import help_lines
from vid2vid_cli.live.outputs import LiveStatus
from vid2vid_cli.pipeline.live_controls import LiveControls
from vid2vid_cli.pipeline.pose import AXES

REFRESH_S = 0.25  # numbers that change with every picture cannot be read
LINGER_S = 3.0  # how long a line stays after its cause is gone
PREVIEW = 0.22  # the camera's picture: its width, of the window's
LONGEST_NAME = 18
LEAST_PX = 8  # letters in windows that are too narrow for both panels


class Layer(NamedTuple):
    """A picture that lies over another.

    picture: (h, w, 4), RGBA, or opaque (h, w, 3). left, top: in pixels of the window.
    """

    picture: Frame
    left: int
    top: int


class Overlay:
    """Lays panels and lines over pictures. sources: the names of the portraits."""

    def __init__(self, sources: Sequence[str]) -> None:
        self._sources = sources
        self.is_shown = False
        self._line, self._until_s = "", 0.0
        self._rows: tuple[drawing.Row, ...] = ()
        self._rows_until_s, self._controls, self._delay_ms = 0.0, LiveControls(), 0.0

    def say(self, text: str, now_s: float) -> None:
        """Show a line for some seconds."""
        self._line, self._until_s = text, now_s + LINGER_S

    def layers(self, size: tuple[int, int], status: LiveStatus, now_s: float) -> list[Layer]:
        """Return what lies over the picture in a window of a size (height, width)."""
        if status.message is not None:
            self.say(status.message, now_s)
        if not status.is_repeat:  # a repeated picture has none
            self._delay_ms = status.delay_ms
        size_px = drawing.text_px(size)
        layers = self._panels(size, size_px, status, now_s) if self.is_shown else []
        if now_s < self._until_s:
            text = _line(self._line, round(1.15 * size_px), size[1] - 4 * size_px)
            above_label_px = round(0.09 * min(size))
            layers.append(Layer(text, (size[1] - text.shape[1]) // 2, size[0] - text.shape[0] - above_label_px))
        return layers

    def _panels(self, size: tuple[int, int], size_px: int, status: LiveStatus, now_s: float) -> list[Layer]:
        if now_s >= self._rows_until_s or status.controls != self._controls:
            known = replace(status, delay_ms=self._delay_ms)
            self._rows, self._rows_until_s = facts_of(known, self._sources), now_s + REFRESH_S
            self._controls = status.controls
        edge = round(0.8 * size_px)
        facts, keys = _facts(self._rows, size_px), _keys(size_px)
        if size_px > LEAST_PX and facts.shape[1] + keys.shape[1] + 3 * edge > size[1]:
            return self._panels(size, size_px - 1, status, now_s)
        layers = [Layer(facts, edge, edge)]
        if status.camera is not None:
            preview = _preview(status.camera, max(1, round(PREVIEW * size[1])), is_mirrored=status.controls.mirror)
            layers.append(Layer(preview, edge, 2 * edge + facts.shape[0]))
        layers.append(Layer(keys, max(edge, size[1] - keys.shape[1] - edge), edge))
        return layers


_facts = lru_cache(maxsize=2)(drawing.facts)
_line = lru_cache(maxsize=8)(drawing.line)


@lru_cache(maxsize=2)
def _keys(size_px: int) -> Frame:
    return drawing.keys(help_lines(), size_px)


def _preview(camera: Frame, width: int, *, is_mirrored: bool) -> Frame:
    """Return the camera's picture in small, as it is used; (h, w, 3)."""
    height = max(1, round(camera.shape[0] * width / camera.shape[1]))
    small = np.asarray(cv2.resize(camera, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    return small[:, ::-1] if is_mirrored else small


def facts_of(status: LiveStatus, sources: Sequence[str]) -> tuple[drawing.Row, ...]:
    """Return how it goes, as labels and values."""
    face = "lost, motion held" if status.is_held else "found"
    several = f", {status.faces} seen" if status.faces > 1 else ""
    return (
        ("frames/s", f"{status.fps:.1f}"),
        ("delay", f"{status.delay_ms:.0f} ms"),
        ("left out", str(status.dropped)),
        ("face", face + several),
        *settings_of(status.controls, sources),
    )


def settings_of(controls: LiveControls, sources: Sequence[str]) -> tuple[drawing.Row, ...]:
    """Return what the user has set, as labels and values."""
    c = controls
    angles = [f"{axis} {angle:+.0f}°" for axis in AXES if (angle := getattr(c, axis))]
    return (
        ("portrait", f"{c.source + 1}/{len(sources)} {name_of(sources[c.source])}"),
        ("motion", f"{'relative' if c.relative else 'absolute'}, strength {c.strength:.1f}"),
        ("turned", ", ".join(angles) or "not"),
        ("mirror", "on" if c.mirror else "off"),
        ("background", c.background),
        ("picture", "paused" if c.is_paused else "frozen" if c.is_frozen else "live"),
    )


def name_of(source: str) -> str:
    """Return the name of a portrait's file, not too long for a panel."""
    name = Path(source).name
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"


def change_of(old: LiveControls, new: LiveControls, sources: Sequence[str]) -> str:
    """Say in a line what differs between controls; nothing if nothing does."""
    rows = zip(settings_of(old, sources), settings_of(new, sources), strict=True)
    return ", ".join(f"{label} {value}" for before, (label, value) in rows if before[1] != value)

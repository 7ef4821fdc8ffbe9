"""Draw curves in panels, with Pillow alone."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw, ImageFont

PANEL, MARGIN = (420, 330), (62, 40, 16, 46)  # size of a panel; left, top, right, bottom
COLOURS = ((200, 60, 40), (40, 90, 170), (60, 140, 60), (140, 90, 160))


@dataclass(frozen=True)
class Curve:
    """One way to do something. points: place on the axis and the measure, one for each setting."""

    name: str
    points: list[tuple[float, float]]


@dataclass(frozen=True)
class Axis:
    """The logarithmic axis below all panels. ticks: labels by their places."""

    label: str
    lowest: float
    highest: float
    ticks: Mapping[float, str]

    def share(self, value: float) -> float:
        """Return where a value lies, from 0 to 1."""
        return math.log(value / self.lowest) / math.log(self.highest / self.lowest)


def draw_panels(panels: Mapping[str, Sequence[Curve]], axis: Axis, path: Path) -> None:
    """Draw a panel of curves under each title, with one legend: that of the panel with most curves."""
    sheet = Image.new("RGB", (PANEL[0] * len(panels), PANEL[1] + 24), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=13)
    for index, (title, curves) in enumerate(panels.items()):
        _draw_panel(pen, font, index * PANEL[0], title, (curves, axis))
    most = max(len(curves) for curves in panels.values())
    for index, curve in enumerate(next(curves for curves in panels.values() if len(curves) == most)):
        left = 60 + 300 * index
        pen.line([(left, PANEL[1] + 10), (left + 26, PANEL[1] + 10)], fill=COLOURS[index], width=3)
        pen.text((left + 32, PANEL[1] + 2), curve.name, fill="black", font=font)
    sheet.save(path, optimize=True)


def _draw_panel(
    pen: ImageDraw.ImageDraw, font: Any, left_px: int, title: str, drawn: tuple[Sequence[Curve], Axis]
) -> None:
    curves, axis = drawn
    left, top = left_px + MARGIN[0], MARGIN[1]
    width, height = PANEL[0] - MARGIN[0] - MARGIN[2], PANEL[1] - MARGIN[1] - MARGIN[3]
    values = [value for curve in curves for _, value in curve.points if math.isfinite(value)] or [0.0]
    low, high = min(values), max(values)
    room = 0.05 * (high - low) or 0.01 * abs(high) or 1.0  # curves may be level
    low, high = low - room, high + room

    def place(size: float, value: float) -> tuple[float, float]:
        return left + width * axis.share(size), top + height * (1 - (value - low) / (high - low))

    pen.rectangle([left, top, left + width, top + height], outline=(150, 150, 150))
    for size, label in axis.ticks.items():
        x = place(size, low)[0]
        pen.line([(x, top), (x, top + height)], fill=(225, 225, 225))
        pen.text((x, top + height + 5), label, fill="black", font=font, anchor="ma")
    for step in range(5):
        value = low + (high - low) * (0.05 + 0.225 * step)
        y = place(axis.lowest, value)[1]
        pen.line([(left, y), (left + width, y)], fill=(225, 225, 225))
        pen.text((left - 6, y), f"{value:.3g}", fill="black", font=font, anchor="rm")
    pen.text((left, top - 22), title, fill="black", font=font)
    pen.text((left + width / 2, top + height + 22), axis.label, fill="black", font=font, anchor="ma")
    for curve, colour in zip(curves, COLOURS, strict=False):
        places = [place(*point) for point in curve.points if all(map(math.isfinite, point))]
        pen.line(places, fill=colour, width=2)
        for x, y in places:
            pen.ellipse([x - 3, y - 3, x + 3, y + 3], fill=colour)

"""Draw rate against quality, with Pillow alone."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from benchmarks.codec_table import MEASURES, TARGETS, mean_of

PANEL, MARGIN = (420, 330), (62, 40, 16, 46)  # size of a panel; left, top, right, bottom
COLOURS = ((200, 60, 40), (40, 90, 170), (60, 140, 60), (140, 90, 160))
LOWEST, HIGHEST = 8.0, 8000.0  # bytes a frame


@dataclass(frozen=True)
class Curve:
    """One way to send a clip. points: bytes per frame and the measure, one for each setting."""

    name: str
    points: list[tuple[float, float]]


def draw_plot(results: dict[str, Any], path: Path) -> None:
    """Draw a panel for each measure, over the logarithm of bytes per frame; both are means over clips."""
    sheet = Image.new("RGB", (PANEL[0] * len(MEASURES), PANEL[1] + 24), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=13)
    for index, (measure, title) in enumerate(MEASURES.items()):
        _draw_panel(pen, font, index * PANEL[0], title, curves_of(results, measure))
    # One legend for all panels, below them.
    for index, curve in enumerate(curves_of(results, "psnr")):
        left = 60 + 300 * index
        pen.line([(left, PANEL[1] + 10), (left + 26, PANEL[1] + 10)], fill=COLOURS[index], width=3)
        pen.text((left + 32, PANEL[1] + 2), curve.name, fill="black", font=font)
    sheet.save(path, optimize=True)


def curves_of(results: dict[str, Any], measure: str) -> list[Curve]:
    """Return the curves of the call and of the video codecs: a point for each setting, a mean over clips."""
    # Only clips that the video codecs were measured on, so that all curves show the same clips.
    named = {video["clip"] for video in results["videos"]}
    part = {**results, "clips": [clip for clip in results["clips"] if clip["clip"] in named]}
    ours = [(mean_of(part, rate, "bytes"), mean_of(part, rate, measure)) for rate in reversed(TARGETS)]
    curves = [Curve("vid2vid call", ours)]
    points = [point for video in results["videos"] for point in video["points"]]
    for codec in dict.fromkeys(point["codec"] for point in points):
        settings: dict[tuple[int, int], list[tuple[float, float]]] = {}
        for point in points:
            if point["codec"] == codec:
                settings.setdefault((point["side"], point["crf"]), []).append((point["bytes"], point[measure]))
        curves.append(Curve(codec, sorted(tuple(np.nanmean(values, axis=0)) for values in settings.values())))
    return curves


def _draw_panel(pen: ImageDraw.ImageDraw, font: Any, left_px: int, title: str, curves: list[Curve]) -> None:
    left, top = left_px + MARGIN[0], MARGIN[1]
    width, height = PANEL[0] - MARGIN[0] - MARGIN[2], PANEL[1] - MARGIN[1] - MARGIN[3]
    values = [value for curve in curves for _, value in curve.points if math.isfinite(value)]
    low, high = min(values), max(values)
    low, high = low - 0.05 * (high - low), high + 0.05 * (high - low)

    def place(size: float, value: float) -> tuple[float, float]:
        share = math.log(size / LOWEST) / math.log(HIGHEST / LOWEST)
        return left + width * share, top + height * (1 - (value - low) / (high - low))

    pen.rectangle([left, top, left + width, top + height], outline=(150, 150, 150))
    for size in (10, 100, 1000):
        x = place(size, low)[0]
        pen.line([(x, top), (x, top + height)], fill=(225, 225, 225))
        pen.text((x, top + height + 5), str(size), fill="black", font=font, anchor="ma")
    for step in range(5):
        value = low + (high - low) * (0.05 + 0.225 * step)
        y = place(LOWEST, value)[1]
        pen.line([(left, y), (left + width, y)], fill=(225, 225, 225))
        pen.text((left - 6, y), f"{value:.3g}", fill="black", font=font, anchor="rm")
    worse = ", less is better" if title == "AKD" else ""
    pen.text((left, top - 22), f"{title}{worse}", fill="black", font=font)
    pen.text((left + width / 2, top + height + 22), "bytes a frame", fill="black", font=font, anchor="ma")
    for curve, colour in zip(curves, COLOURS, strict=False):
        places = [place(*point) for point in curve.points if all(map(math.isfinite, point))]
        pen.line(places, fill=colour, width=2)
        for x, y in places:
            pen.ellipse([x - 3, y - 3, x + 3, y + 3], fill=colour)

"""Draw a training log as curves, with Pillow alone."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

CELL = (300, 180)
COLUMNS = 4


def draw_curves(log: Path, output: Path) -> None:
    """Draw each column of a log over the hours, one panel each, on a scale of its own."""
    with log.open(newline="") as file:
        rows = list(csv.DictReader(file))
    names = [name for name in rows[0] if name not in ("step", "seconds")] if rows else []
    lines = max(1, -(-len(names) // COLUMNS))
    sheet = Image.new("RGB", (COLUMNS * CELL[0], lines * CELL[1]), "white")
    pen = ImageDraw.Draw(sheet)
    for index, name in enumerate(names):
        points = [(float(row["seconds"]) / 3600, float(row[name])) for row in rows if row[name]]
        if len(points) > 1:
            _draw_panel(pen, name, np.array(points), (index % COLUMNS * CELL[0], index // COLUMNS * CELL[1]))
    sheet.save(output)


def _draw_panel(pen: ImageDraw.ImageDraw, name: str, points: np.ndarray, corner: tuple[int, int]) -> None:
    (x0, low), (x1, high) = points.min(0), points.max(0)
    scale = np.array([(CELL[0] - 30) / max(x1 - x0, 1e-9), (CELL[1] - 60) / max(high - low, 1e-9)])
    across, up = ((points - (x0, low)) * scale).T
    places = np.column_stack([corner[0] + 15 + across, corner[1] + CELL[1] - 20 - up])
    pen.line([tuple(place) for place in places], fill=(30, 80, 160), width=2)
    text = f"{name}: {points[0, 1]:.4g} to {points[-1, 1]:.4g} in {x1:.2f} h"
    pen.text((corner[0] + 15, corner[1] + 8), text, fill="black")

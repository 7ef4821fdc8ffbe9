"""Draw figures by number of pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.personal_table import COLUMNS, MEASURES, mean_of, mean_of_turns
from benchmarks.plot import Axis, Curve, draw_panels

DRAWN = ("l1", "mouth_l1", "akd", "identity")
PLACES = dict(zip((1.0, 2.0, 4.0, 8.0, 16.0), COLUMNS, strict=True))  # a clip stands where 16 would be
AXIS = Axis("pictures of the person", 0.8, 20.0, PLACES)


def draw_curves(results: dict[str, Any], path: Path) -> None:
    """Draw a panel for each figure: its mean over people, by number of pictures."""
    panels = {}
    for name in DRAWN:
        points = [(place, mean_of(results, count, name)) for place, count in PLACES.items()]
        panels[f"{MEASURES[name][0]}, less is better"] = [Curve("mean over people", points)]
    turned = [
        Curve(
            title, [(place, mean) for place, count in PLACES.items() if (mean := mean_of_turns(results, name, count))]
        )
        for name, title in (("asked", "mean; last panel: turned by the user"), ("driven", "turned by the film"))
    ]
    panels["identity of turned heads, less is better"] = turned
    draw_panels(panels, AXIS, path)

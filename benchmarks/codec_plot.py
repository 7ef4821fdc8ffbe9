"""Draw rate against quality."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.codec_table import MEASURES, TARGETS, mean_of
from benchmarks.plot import Axis, Curve, draw_panels

AXIS = Axis("bytes a frame", 8.0, 8000.0, {float(size): str(size) for size in (10, 100, 1000)})


def draw_plot(results: dict[str, Any], path: Path) -> None:
    """Draw a panel for each measure, over the logarithm of bytes per frame; both are means over clips."""
    titles = {measure: f"{title}, less is better" if title == "AKD" else title for measure, title in MEASURES.items()}
    draw_panels({title: curves_of(results, measure) for measure, title in titles.items()}, AXIS, path)


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

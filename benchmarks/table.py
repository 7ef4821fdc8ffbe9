"""Show results as a Markdown table, and keep the copy of it in docs/ up to date."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def format_table(results: dict[str, Any]) -> str:
    """Return the results as Markdown."""
    machine, speed, memory = results["machine"], results["speed"], results["memory"]
    stages = results["stages_ms"]
    total_ms = sum(stages.values())
    rows = [f"| {stage} | {ms:.1f} | {ms / total_ms:.0%} |" for stage, ms in stages.items()]
    growth = memory["long_mb"] / memory["short_mb"] - 1
    return "\n".join(
        [
            f"Measured on {machine['cores']} cores ({machine['processor']}), Python {machine['python']}, torch "
            f"{machine['torch']}: {results['material']}; source and output 512x512.",
            "",
            "| what | result |",
            "|---|---|",
            f"| `reenact` after warm-up, file to file, in one process | **{speed['warm_fps']:.1f} frames/s** |",
            f"| the same as a command, including Python's start-up and loading | {speed['command_fps']:.1f} frames/s |",
            f"| time from the command to the first frame on disk | {speed['first_frame_s']:.1f} s |",
            f"| peak memory, clip of {memory['short_s']:g} s | {memory['short_mb']:.0f} MB |",
            f"| peak memory, clip of {memory['long_s'] / 60:g} min | {memory['long_mb']:.0f} MB ({growth:+.1%}) |",
            f"| largest ffmpeg process, in addition | {memory['ffmpeg_mb']:.0f} MB |",
            "",
            "| stage, measured on its own | ms per frame | share |",
            "|---|---|---|",
            *rows,
            f"| sum (the stages overlap in the command) | {total_ms:.1f} | 100% |",
        ]
    )


def update_page(path: Path, table: str, mark: str) -> None:
    """Replace what is between the two marks of a file."""
    text = path.read_text(encoding="utf-8")
    before, begin, rest = text.partition(f"<!-- {mark}:begin -->")
    _, end, after = rest.partition(f"<!-- {mark}:end -->")
    if not begin or not end:
        raise ValueError(f"{path}: the marks {mark}:begin and {mark}:end are missing")
    path.write_text(f"{before}{begin}\n{table}\n{end}{after}", encoding="utf-8")

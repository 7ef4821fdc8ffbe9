"""Show what the families of published checkpoints cost as Markdown tables."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

WAYS = {"naive": "naive, float32", "float32": "`--dtype float32`", "bfloat16": "`--dtype bfloat16`"}


def format_families(results: dict[str, Any]) -> str:
    """Return the results as Markdown."""
    machine, peaks, families = results["machine"], results["peak_gflops"], results["families"]
    rows = [row for family, found in families.items() for row in _ways(family, found, peaks)]
    loading = ", ".join(f"{found['load_s']:.1f} s for {family}" for family, found in families.items())
    return "\n".join(
        [
            f"Measured with {results['threads']} threads on {machine['processor']}, Python {machine['python']}, torch "
            f"{machine['torch']}. The largest matrix products reach {peaks['float32']:.0f} GFLOP/s in float32 and "
            f"{peaks['bfloat16']:.0f} in bfloat16; two operations are counted for each multiplication.",
            "",
            "| family | way | s a frame | against naive | GFLOP a frame | share of peak | difference | peak memory |",
            "|---|---|---|---|---|---|---|---|",
            *rows,
            "",
            f"| step, those above it included | {' | '.join(families)} |",
            f"|---|{'---|' * len(families)}",
            *_steps(families),
            "",
            f"Loading takes {loading}, checking the file's sha256 included.",
        ]
    )


def _ways(family: str, found: dict[str, Any], peaks: dict[str, float]) -> list[str]:
    """Return a row for each way to draw a frame."""
    rows = []
    for way, words in WAYS.items():
        frame_s, gflop = found["frame_s"][way], found["gflop"][way]
        speed = found["frame_s"]["naive"] / frame_s
        share = gflop / frame_s / peaks["bfloat16" if way == "bfloat16" else "float32"]
        against = "1" if way == "naive" else f"**{speed:.2f} times**"
        rest = f"{share:.0%} | {_difference(found, way)} | {_memory(found, way)}"
        rows.append(f"| {family} | {words} | {frame_s:.2f} | {against} | {gflop:.0f} | {rest} |")
    return rows


def _difference(found: dict[str, Any], way: str) -> str:
    """Say how far the picture is from the naive one: at most in float32, in the mean in half precision."""
    if way == "naive":
        return ""
    apart = found["difference"][way]
    return f"{apart['largest']:.0e} at most" if way == "float32" else f"{apart['mean']:.1e} in the mean"


def _memory(found: dict[str, Any], way: str) -> str:
    return f"{found['memory_mb'][way]:.0f} MB" if way in found["memory_mb"] else ""


def _steps(families: dict[str, Any]) -> list[str]:
    """Return a row for each step: the speed against the naive path, and what the step added to the one before."""
    columns = [_gains(found["steps"]) for found in families.values()]
    names = [step["step"] for step in next(iter(families.values()))["steps"]]
    return [f"| {name} | {' | '.join(cells)} |" for name, *cells in zip(names, *columns, strict=True)]


def _gains(steps: list[dict[str, Any]]) -> list[str]:
    speeds = [1.0, *(step["speed"] for step in steps)]
    return [f"{now:.2f} times ({now / before - 1:+.0%})" for before, now in pairwise(speeds)]

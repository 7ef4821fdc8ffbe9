"""Show the cost of the families of published checkpoints as Markdown tables."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

NAIVE, FLOAT, HALF = "naive", "channels last", "bfloat16"  # the last step before bfloat16 is what float32 runs
WAYS = {NAIVE: "naive, float32", FLOAT: "`--dtype float32`", HALF: "`--dtype bfloat16`"}


def format_families(results: dict[str, Any]) -> str:
    """Return the results as Markdown."""
    machine, peaks, families = results["machine"], results["peak_gflops"], results["families"]
    rows = [_way(family, found, way, peaks) for family, found in families.items() for way in WAYS]
    loading = ", ".join(f"{found['load_s']:.1f} s for {family}" for family, found in families.items())
    threads = "one thread" if results["threads"] == 1 else f"{results['threads']} threads"
    return "\n".join(
        [
            f"Measured with {threads} on {machine['processor']}, Python {machine['python']}, torch {machine['torch']}"
            f"{results['clock']}. The largest matrix products reach {peaks['float32']:.0f} GFLOP/s in float32 and "
            f"{peaks['bfloat16']:.0f} in bfloat16; a multiply-add counts as two operations.",
            "",
            "| family | arithmetic | s per frame | speed-up | GFLOP per frame | of peak | difference | peak memory |",
            "|---|---|---|---|---|---|---|---|",
            *rows,
            "",
            f"| step, on top of those above it | {' | '.join(families)} |",
            f"|---|{'---|' * len(families)}",
            *_steps(families),
            "",
            f"Loading takes {loading}, including the check of the file's sha256.",
        ]
    )


def _way(family: str, found: dict[str, Any], way: str, peaks: dict[str, float]) -> str:
    """Return the row of one way to draw a frame; differences at most in float32, on average in half precision."""
    one = found["ways"][way]
    dtype = "bfloat16" if way == HALF else "float32"
    share = one["gflop"] / one["frame_s"] / peaks[dtype]
    against = "1" if way == NAIVE else f"**{one['speed']:.2f} times**"
    apart = {NAIVE: "", FLOAT: f"{one['difference']['largest']:.0e} at most"}
    memory = "" if way == NAIVE else f"{found['memory_mb'][dtype]:.0f} MB"
    cells = (
        family,
        WAYS[way],
        f"{one['frame_s']:.2f}",
        against,
        f"{one['gflop']:.0f}",
        f"{share:.0%}",
        apart.get(way, f"{one['difference']['mean']:.0e} on average"),
        memory,
    )
    return f"| {' | '.join(cells)} |"


def _steps(families: dict[str, Any]) -> list[str]:
    """Return a row for each step: the speed against the naive path, and the gain over the step before."""
    names = list(next(iter(families.values()))["ways"])[1:]
    columns = [_gains([one["speed"] for one in found["ways"].values()]) for found in families.values()]
    return [f"| {name} | {' | '.join(cells)} |" for name, *cells in zip(names, *columns, strict=True)]


def _gains(speeds: list[float]) -> list[str]:
    return [f"{now:.2f} times ({now / before - 1:+.0%})" for before, now in pairwise(speeds)]

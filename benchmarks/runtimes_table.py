"""Compare other runtimes with our own path in a Markdown table."""

from __future__ import annotations

from typing import Any

LAYERS = {"our layers": "ours", "plain layers": "plain"}


def ours(precision: str) -> str:
    """Return the name of our own way in a precision."""
    return f"PyTorch, {precision}, our layers"


def format_runtimes(results: dict[str, Any]) -> str:
    """Return the results as Markdown. Of our layers and plain ones, those are listed that a runtime is faster with."""
    machine, parts = results["machine"], results["parts"]
    names = list(dict.fromkeys(name.rsplit(", ", 1)[0] for ways in parts.values() for name in ways))
    packages = ", ".join(f"{name} {number}" for name, number in results["packages"].items())
    threads = "one thread" if results["threads"] == 1 else f"{results['threads']} threads"
    return "\n".join(
        [
            f"Measured with {threads} on {machine['processor']}, Python {machine['python']}, torch {machine['torch']}, "
            f"{packages}{results['clock']}. Seconds per frame, then the speed relative to ours in the same precision. "
            "(plain) or (ours) says which layers the runtime did better with.",
            "",
            f"| runtime | {' | '.join(parts)} | start-up, wall clock |",
            f"|---|{'---|' * (len(parts) + 1)}",
            *(_row(name, parts) for name in names),
        ]
    )


def list_faults(results: dict[str, Any]) -> str:
    """List why ways cannot run parts, one per line."""
    rows = [
        f"{part}: {name}: {' / '.join(one['fault'].splitlines())}"
        for part, ways in results["parts"].items()
        for name, one in ways.items()
        if "fault" in one
    ]
    return "\n".join(rows)


def _row(name: str, parts: dict[str, Any]) -> str:
    found = [_best(name, ways) for ways in parts.values()]
    tried = [any(way.startswith(name) for way in ways) for ways in parts.values()]
    failed = ["cannot" if is_tried else "" for is_tried in tried]
    cells = [fault if best is None else _cell(name, *best) for best, fault in zip(found, failed, strict=True)]
    ready = [best[1]["ready_s"] for best in found if best is not None]
    return f"| {name.replace('PyTorch', 'ours')} | {' | '.join(cells)} | {f'{max(ready):.0f} s' if ready else ''} |"


def _best(name: str, ways: dict[str, Any]) -> tuple[str, dict[str, Any]] | None:
    """Return the layers that a way is fastest with, and its figures. Our own path always counts with our layers."""
    able = {layers: ways[f"{name}, {layers}"] for layers in LAYERS if "s" in ways.get(f"{name}, {layers}", {})}
    if f"{name}, our layers" in map(ours, ("float32", "bfloat16")):
        able.pop("plain layers", None)
    return max(able.items(), key=lambda item: float(item[1]["speed"]), default=None)


def _cell(name: str, layers: str, one: dict[str, Any]) -> str:
    seconds = f"{one['s']:.2f} s"
    return seconds if name.startswith("PyTorch") else f"{seconds}, **{one['speed']:.2f}** ({LAYERS[layers]})"

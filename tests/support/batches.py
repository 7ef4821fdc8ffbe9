"""Run batches and read what they have made."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from vid2vid_cli.cli.app import main

FRAMES = 8  # of each clip of the fixture `material`


def run(*words: str | Path | int) -> int:
    """Run the command in this process; return its exit code."""
    return main([str(word) for word in words])


def pair_of(material: Path) -> tuple[Path, Path]:
    return material / "s" / "anna.png", material / "d" / "nod.mp4"


def report_in(folder: Path | str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(folder, "report.jsonl").read_text().splitlines()]


def outputs_in(folder: Path | str) -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir() if path.suffix == ".mp4")


def sha256_of(path: Path | str) -> str:
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()

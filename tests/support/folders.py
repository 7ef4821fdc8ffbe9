"""Folders that a clone may lack: real media and golden vectors. Without them the tests that need them are skipped."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

SHARED = Path(__file__).resolve().parents[3] / "shared"


@dataclass(frozen=True)
class OutsideFolder:
    """A folder outside the repository, named by an environment variable. holds: the folders that tests read in it."""

    content: str
    variable: str
    default: Path
    holds: tuple[str, ...]

    def find(self) -> Path:
        """Return the folder; skip the test if it or a part of it is missing."""
        folder = Path(os.environ.get(self.variable, self.default))
        if not all((folder / name).is_dir() for name in self.holds):
            pytest.skip(f"no {self.content} at {folder}; set {self.variable} to their folder")
        return folder

    def summary(self, skipped: Iterable[Any]) -> str | None:
        """Say in one line how many of these skipped reports lacked the folder, and how to get it."""
        count = sum(f"no {self.content} at " in _reason(report) for report in skipped)
        if not count:
            return None
        tests = "1 test was" if count == 1 else f"{count} tests were"
        parts = ", ".join(f"{name}/" for name in self.holds)
        return (
            f"{tests} skipped for lack of {self.content}: set {self.variable} to a folder with {parts} "
            '(see "Tests" in CONTRIBUTING.md)'
        )


MEDIA = OutsideFolder("real media", "VID2VID_MEDIA", SHARED / "media", ("sources", "drivings", "bad"))
GOLDEN = OutsideFolder("golden vectors", "VID2VID_GOLDEN", SHARED / "golden", ("manifests",))


def summaries(skipped: list[Any]) -> Iterator[str]:
    """Give one line for each folder that tests lacked."""
    for folder in (MEDIA, GOLDEN):
        if line := folder.summary(skipped):
            yield line


def _reason(report: Any) -> str:
    # A skipped report holds (file, line, reason), also when it comes from a worker of xdist.
    return str(report.longrepr[-1]) if isinstance(report.longrepr, (tuple, list)) else ""

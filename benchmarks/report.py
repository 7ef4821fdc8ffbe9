"""What the benchmarks' commands share: results are kept as JSON, shown as Markdown, and stand in the README."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.material import REPOSITORY
from benchmarks.table import update_readme


@dataclass(frozen=True)
class Report:
    """Where the results of a benchmark are. mark: of their place in the README."""

    file: Path
    mark: str
    format: Callable[[dict[str, Any]], str]

    def parser(self, description: str | None) -> argparse.ArgumentParser:
        """Begin a command line; a benchmark adds what else it takes."""
        parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
        parser.add_argument(
            "--readme", action="store_true", help="measure nothing; put the last results into README.md"
        )
        return parser

    def read(self) -> dict[str, Any]:
        """Return the last results."""
        results: dict[str, Any] = json.loads(self.file.read_text(encoding="utf-8"))
        return results

    def keep(self, results: dict[str, Any]) -> None:
        """Write results in the place of the last ones."""
        self.file.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")

    def update_readme(self) -> None:
        """Put the last results into the README."""
        update_readme(REPOSITORY / "README.md", self.format(self.read()), self.mark)

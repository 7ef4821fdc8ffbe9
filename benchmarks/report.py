"""What the benchmarks' commands share: results are kept as JSON and shown as Markdown on a page of docs/."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.material import REPOSITORY
from benchmarks.table import update_page


@dataclass(frozen=True)
class Report:
    """Where the results of a benchmark are kept and shown.

    page: file name in docs/. mark: name of the generated region of that page.
    """

    file: Path
    page: str
    mark: str
    format: Callable[[dict[str, Any]], str]

    def parser(self, description: str | None) -> argparse.ArgumentParser:
        """Begin a command line; a benchmark adds what else it takes."""
        parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
        parser.add_argument(
            "--docs", action="store_true", help=f"measure nothing; put the last results into docs/{self.page}"
        )
        return parser

    def read(self) -> dict[str, Any]:
        """Return the last results."""
        results: dict[str, Any] = json.loads(self.file.read_text(encoding="utf-8"))
        return results

    def keep(self, results: dict[str, Any]) -> None:
        """Replace the last results."""
        self.file.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")

    def update_docs(self) -> None:
        """Put the last results into their page."""
        update_page(REPOSITORY / "docs" / self.page, self.format(self.read()), self.mark)

"""Hooks of mkdocs: documents outside of docs/ become pages of the site, and links to them keep working.

A link such as `../weights/MODEL_CARD.md` works in the repository as it is; on the site it leads to the page made here.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

REPOSITORY = Path(__file__).resolve().parents[1]
PAGES = {
    "weights/MODEL_CARD.md": "model-card.md",
    "examples/README.md": "examples.md",
    "training/README.md": "training.md",
    "tests/virtual_machine/README.md": "virtual-machine.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}


def on_files(files: Files, config: Any) -> Files:
    """Add those documents as pages, with their links into docs/ rewritten."""
    for path, page in PAGES.items():
        text = (REPOSITORY / path).read_text(encoding="utf-8").replace("](../docs/", "](").replace("](docs/", "](")
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Rewrite links to those documents into links to their pages, and `a\\|b` in tables as this renderer wants it."""
    for path, page in PAGES.items():
        markdown = markdown.replace(f"](../{path}", f"]({page}")
    return re.sub(r"`[^`\n]+`", lambda code: code[0].replace("\\|", "|"), markdown)

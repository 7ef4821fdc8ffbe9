"""Hooks of mkdocs: papers that live outside of docs/ become pages of the site, and links to them keep working.

A link such as `../weights/MODEL_CARD.md` works where the repository is read; on the site it leads to the page made here.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

REPOSITORY = Path(__file__).resolve().parents[1]
PAGES = {
    "weights/MODEL_CARD.md": "model-card.md",
    "examples/README.md": "examples.md",
    "training/README.md": "training.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
}


def on_files(files: Files, config: Any) -> Files:
    """Add the papers; their links into docs/ become links beside them."""
    for paper, page in PAGES.items():
        text = (REPOSITORY / paper).read_text(encoding="utf-8").replace("](../docs/", "](").replace("](docs/", "](")
        files.append(File.generated(config, page, content=text))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Turn links to the papers into links to their pages."""
    for paper, page in PAGES.items():
        markdown = markdown.replace(f"](../{paper}", f"]({page}")
    return markdown

"""What docs/ and the README tell about Python: every name can be imported, and every option and argument exists."""

from __future__ import annotations

import ast
import inspect
import re
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest

import vid2vid_cli

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
EXAMPLES = [(page.name, code) for page in PAGES for code in BLOCK.findall(page.read_text(encoding="utf-8"))]


def names_of(tree: ast.Module) -> dict[str, Any]:
    """Import what an example imports of vid2vid."""
    names: dict[str, Any] = {}
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("vid2vid_cli"):
            exec(compile(ast.Module([node], []), "example", "exec"), names)
    return names


def faults(code: str) -> list[str]:
    """Try each call of something of vid2vid: options are made, and other arguments are matched with the function."""
    tree = ast.parse(code)
    names, found = names_of(tree), []
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        called = names.get(call.func.id) if isinstance(call.func, ast.Name) else None
        if called is None:
            continue
        keywords = {word.arg: word.value for word in call.keywords if word.arg}
        try:
            inspect.signature(called).bind(*call.args, **keywords)
        except TypeError as error:
            found.append(f"{ast.unparse(call)}: {error}")
        if is_dataclass(called):
            unknown = set(keywords) - {field.name for field in fields(called)}
            found += [f"{ast.unparse(call)}: no option {name}" for name in unknown]
    return found


@pytest.mark.parametrize(("page", "code"), EXAMPLES, ids=[f"{page}-{k}" for k, (page, _) in enumerate(EXAMPLES)])
def test_an_example_names_what_exists(page: str, code: str) -> None:
    assert faults(code) == []


def test_examples_are_found_and_so_are_their_faults() -> None:
    assert {"README.md", "python.md", "speech.md"} <= {page for page, _ in EXAMPLES}
    begin = "from vid2vid_cli import speak\nfrom vid2vid_cli.pipeline.options import SpeakOptions\n"
    assert faults(f'{begin}speak("a.png", "b.wav", "c.mp4", SpeakOptions(seed=8))') == []
    assert len(faults(f'{begin}speak("a.png")')) == 1
    assert len(faults(f"{begin}SpeakOptions(sed=8)")) == 2
    with pytest.raises(ImportError):
        faults("from vid2vid_cli import speek")


def test_every_public_function_has_an_example() -> None:
    imported = {name for page, code in EXAMPLES if page == "python.md" for name in names_of(ast.parse(code))}
    assert {name for name in vid2vid_cli.__all__ if name.islower() and not name.startswith("_")} <= imported

"""The script that tries other versions of Python finds them, and calls supported only what passed."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest

from tests import try_pythons
from tests.try_pythons import dotted, installed_pythons, last_line, main

ROOT = Path(__file__).resolve().parents[1]


def stand_in(folder: Path, name: str, says: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    program = folder / name
    program.write_text(f"#!/bin/sh\n{says}\n")
    program.chmod(0o755)
    return program


def test_one_interpreter_of_each_version_is_found(tmp_path: Path) -> None:
    older = tmp_path / "3.12.1" / "bin"
    stand_in(older, "python3.12", "echo 3 12 1")
    stand_in(tmp_path / "3.9" / "bin", "python3", "echo 3 9 18")
    stand_in(tmp_path / "shims", "python3.13", "exit 127")  # chosen by nobody
    stand_in(tmp_path / "shims", "python3-config", "echo 3 14 0")
    newer = stand_in(tmp_path / "usr", "python3.12", "echo 3 12 11")
    oldest = stand_in(tmp_path / "usr", "python3.10", "echo 3 10 2")
    folders = [older, tmp_path / "3.9" / "bin", tmp_path / "shims", tmp_path / "usr", tmp_path / "none"]
    assert installed_pythons(folders) == {(3, 10): oldest, (3, 12): newer}
    assert sys.version_info[:2] in installed_pythons([Path(sys.executable).parent])


def test_what_only_installs_is_not_called_passed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(try_pythons, "ENVIRONMENTS", tmp_path)
    pythons = {}
    for minor, says in {
        (3, 10): "echo 'ERROR: no wheel' >&2; echo hint >&2; exit 1",
        (3, 11): 'case "$*" in *pytest*) echo "== 3 failed, 9 passed in 2 s =="; exit 1;; esac',
        (3, 12): 'case "$*" in *pytest*) echo "12 passed in 2 s";; esac',
    }.items():
        pythons[minor] = stand_in(tmp_path / dotted(minor) / "bin", "python", says)
    monkeypatch.setattr(try_pythons, "installed_pythons", lambda folders: pythons)
    monkeypatch.setattr(sys, "argv", ["try_pythons.py", "tests/test_floors.py"])
    assert main() == 1
    assert [line.split(maxsplit=2) for line in capsys.readouterr().out.splitlines()] == [
        ["3.10", "FAILED", "does not install: ERROR: no wheel"],
        ["3.11", "FAILED", f"3 failed, 9 passed in 2 s; see {tmp_path}/3.11.log"],
        ["3.12", "passed", f"12 passed in 2 s; see {tmp_path}/3.12.log"],
    ]
    monkeypatch.setattr(sys, "argv", ["try_pythons.py", "--only", "3.12"])
    assert main() == 0
    monkeypatch.setattr(sys, "argv", ["try_pythons.py", "--only", "3.12 3.15"])
    assert main() == 1
    assert capsys.readouterr().out.endswith("not installed: 3.15\n")
    assert last_line("") == ""


def test_the_oldest_python_is_that_of_the_package() -> None:
    declared = re.search(r'requires-python = ">=3\.(\d+)"', (ROOT / "pyproject.toml").read_text())
    assert declared is not None and (3, int(declared[1])) == try_pythons.OLDEST

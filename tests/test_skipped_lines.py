"""Tests that lack a folder are counted in one line at the end of the run, which says where the folder comes from."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.folders import OutsideFolder

ROOT = Path(__file__).resolve().parents[1]
TESTS = """
import pytest
from tests.support.folders import GOLDEN

@pytest.mark.parametrize("number", range(3))
def test_of_media(media_dir, number): pass

def test_of_golden_vectors(): GOLDEN.find()

def test_of_something_else(): pytest.skip("no CUDA device")

def test_that_passes(): pass
"""


@pytest.mark.parametrize("workers", [0, 2])
def test_missing_folders_are_named_once_at_the_end(workers: int, tmp_path: Path) -> None:
    (tmp_path / "test_few.py").write_text(TESTS)
    lacking = {name: str(tmp_path / "none") for name in ("VID2VID_MEDIA", "VID2VID_GOLDEN")}
    outer = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-n", str(workers), "--rootdir", str(tmp_path), "-q"],
        cwd=tmp_path,
        env={**outer, **lacking, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-3:-1] == [
        "3 tests were skipped for lack of real media: set VID2VID_MEDIA to a folder with sources/, drivings/, bad/ "
        '(see "Tests" in CONTRIBUTING.md)',
        "1 test was skipped for lack of golden vectors: set VID2VID_GOLDEN to a folder with manifests/ "
        '(see "Tests" in CONTRIBUTING.md)',
    ]
    assert "1 passed, 5 skipped" in done.stdout.splitlines()[-1]


def test_a_folder_that_lacks_a_part_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = OutsideFolder("pictures", "PICTURES", tmp_path, ("a", "b"))
    (tmp_path / "a").mkdir()
    with pytest.raises(pytest.skip.Exception, match="no pictures at .*; set PICTURES"):
        folder.find()
    (tmp_path / "b").mkdir()
    assert folder.find() == tmp_path
    monkeypatch.setenv("PICTURES", str(tmp_path / "none"))
    with pytest.raises(pytest.skip.Exception):
        folder.find()
    assert folder.summary([]) is None

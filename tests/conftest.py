"""Fixtures for all tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def media_dir() -> Path:
    """Find the folder of real media: VID2VID_MEDIA, else shared/media beside the repository."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "media"
    folder = Path(os.environ.get("VID2VID_MEDIA", beside))
    if not folder.is_dir():
        pytest.skip(f"no real media at {folder}; set VID2VID_MEDIA to their folder")
    return folder

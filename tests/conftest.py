"""Fixtures for all tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

if "PYTEST_XDIST_WORKER" in os.environ:  # before torch is imported, and for all processes that tests start
    os.environ.setdefault("OMP_NUM_THREADS", "1")

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from vid2vid_cli.face.mesh import FaceAnalyzer


@pytest.fixture(scope="session")
def media_dir() -> Path:
    """Find the folder of real media: VID2VID_MEDIA, else shared/media beside the repository."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "media"
    folder = Path(os.environ.get("VID2VID_MEDIA", beside))
    if not folder.is_dir():
        pytest.skip(f"no real media at {folder}; set VID2VID_MEDIA to their folder")
    return folder


@pytest.fixture(scope="session")
def face_state() -> dict[str, Tensor]:
    """Read the tensors of the checkpoint that comes with the package."""
    return load_file(Path(__file__).resolve().parents[1] / "weights" / "compact.safetensors")


@pytest.fixture(scope="session")
def face_analyzer(face_state: dict[str, Tensor]) -> Iterator[FaceAnalyzer]:
    """Build the face analyzer once; small networks are quickest on one thread of a shared machine."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield FaceAnalyzer.from_state(face_state)
    torch.set_num_threads(threads)

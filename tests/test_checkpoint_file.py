"""Checkpoints that the scripts of training/ rewrite: what is not replaced stays bit for bit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from training.checkpoint_file import update_checkpoint
from training.drop_tensors import drop_tensors
from vid2vid_cli.hashing import hash_file

METADATA = {name: name * 3 for name in "zyxwvutsrqponmlkjihgfedcba"}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    tensors = {"face.a": torch.rand(3, 5), "face.b": torch.rand(7).half(), "painter.net": torch.rand(64, 64)}
    save_file({**tensors, "faces": torch.arange(9)}, tmp_path / "w.safetensors", METADATA)
    return tmp_path / "w.safetensors"


def test_tensors_are_left_out_by_prefix_and_all_else_stays(checkpoint: Path) -> None:
    before, size = load_file(checkpoint), checkpoint.stat().st_size
    assert drop_tensors(checkpoint, ("painter.", "ranges.")) == ["painter.net"]
    after = load_file(checkpoint)
    assert before.keys() - after.keys() == {"painter.net"} and after.keys() <= before.keys()
    assert all(torch.equal(after[name], before[name]) and after[name].dtype == before[name].dtype for name in after)
    with safe_open(checkpoint, framework="pt") as file:
        assert file.metadata() == METADATA
    assert checkpoint.stat().st_size < size - 64 * 64 * 4 + 16
    assert checkpoint.with_name("SHA256SUMS").read_text() == f"{hash_file(checkpoint)}  w.safetensors\n"


def test_equal_content_has_equal_hashes(checkpoint: Path) -> None:
    """The writer of safetensors orders metadata anew each time."""
    hashes = set()
    for _ in range(4):
        update_checkpoint(checkpoint, {"new": torch.ones(2)}, {"more": "é"})
        hashes.add(hash_file(checkpoint))
    assert len(hashes) == 1

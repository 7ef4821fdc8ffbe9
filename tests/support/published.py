"""Publish small checkpoints in the catalogue, and pull them."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from vid2vid_cli.checkpoints import catalogue
from vid2vid_cli.checkpoints.catalogue import CATALOGUE, Checkpoint, CheckpointFile, Licence
from vid2vid_cli.checkpoints.download import RetryPolicy
from vid2vid_cli.pipeline.weights.inventory import list_weights
from vid2vid_cli.pipeline.weights.options import PullOptions
from vid2vid_cli.pipeline.weights.pull import Pulled, pull_weights

HASTE = RetryPolicy(attempts=3, pause_s=0.0, silence_s=20.0)
NETWORK = ("HF_ENDPOINT", "VID2VID_MIRROR", "HF_HUB_OFFLINE", "VID2VID_OFFLINE", "HTTP_PROXY", "http_proxy")


def sha256_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def published(content: bytes, name: str = "small", **changes: Any) -> Checkpoint:
    """Make a checkpoint of the catalogue whose file has this content."""
    file = CheckpointFile("model.pth.tar", len(content), sha256_of(content))
    return Checkpoint(name, "facevid2vid", (replace(file, **changes),), Licence("MIT"), 256)


def publish(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(catalogue, "CATALOGUE", (*CATALOGUE, checkpoint))


def pull(name: str = "small", **options: Any) -> Pulled:
    return pull_weights(name, PullOptions(**{"via": "url", **options}), retry=HASTE)


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def state(name: str = "small") -> str:
    return next(each.state for each in list_weights() if each.checkpoint.name == name)

"""Which device computes, in which dtype, on how many threads."""

from __future__ import annotations

import os

import cv2
import torch

from vid2vid_cli.errors import UsageError


def choose_device(name: str) -> torch.device:
    """Return the device of a name; auto takes cuda, then mps, then cpu."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"--device {name}: write auto, cpu, cuda, cuda:N or mps") from error
    # torch accepts any device in a name; only computing on it would fail.
    there = {
        "cpu": True,
        "cuda": torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }
    if not there.get(device.type, False):
        raise UsageError(f"--device {name}: no such device on this machine; --device cpu always works")
    return device


def choose_dtype(name: str) -> torch.dtype:
    """Return the dtype of a name: float32, float16 or bfloat16."""
    dtype: torch.dtype = getattr(torch, name)
    return dtype


def set_threads(count: int) -> None:
    """Let torch and OpenCV use `count` threads; 0 leaves one core of several to the other stages.

    Small networks gain little from a second thread, and lose much if its core is busy with something else. Small
    pictures always lose, since threads that wait for the next one keep a core busy.
    """
    if count < 0:
        raise UsageError(f"--threads {count}: write a positive number, or 0 for the default")
    count = min(count, os.cpu_count() or 1)
    count = count or max(1, (os.cpu_count() or 1) - 1)
    torch.set_num_threads(count)
    cv2.setNumThreads(count)

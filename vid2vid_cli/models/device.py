"""Which device computes, in which dtype, on how many threads."""

from __future__ import annotations

import os
import platform
from collections.abc import Set
from pathlib import Path

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


def choose_dtype(name: str, quick: Set[torch.dtype], device: torch.device) -> torch.dtype:
    """Return the dtype of a name; auto takes the fastest that suits both model and processor.

    quick: which of int8 and bfloat16 the model may compute in without a visible difference to float32.
    """
    if name == "auto":
        # From the fastest to the slowest.
        gains = ((torch.int8, gains_by_int8), (torch.bfloat16, gains_by_bfloat16))
        found = (dtype for dtype, gained in gains if dtype in quick and device.type == "cpu" and gained())
        return next(found, torch.float32)
    dtype: torch.dtype = getattr(torch, name)
    if dtype == torch.int8 and (dtype not in quick or device.type != "cpu"):
        raise UsageError(
            "--dtype int8: not with this checkpoint, device or torch; write auto, float32, bfloat16 or float16"
        )
    return dtype


def gains_by_int8() -> bool:
    """Say whether the processor is faster in int8: VNNI instructions multiply four times as fast."""
    return _supports("_is_vnni_supported")


def gains_by_bfloat16() -> bool:
    """Say whether the processor is faster in bfloat16.

    Without instructions for it, a processor only emulates it. Intel's are fast in matrix units (AMX), which virtual
    machines may hide. In Intel's vector instructions a convolution took 1.8 times as long as in float32, and the
    receiver of a call 1.3 times. AMD's vector instructions double the rate.
    """
    if _supports("_is_amx_tile_supported"):
        return True
    return _supports("_is_avx512_bf16_supported") and "GenuineIntel" not in _processor()


def _supports(probe: str) -> bool:
    return bool(getattr(torch.cpu, probe, bool)())  # there are no public names yet


def _processor() -> str:
    try:
        return Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    except OSError:
        return platform.processor()


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

"""Which device computes, in which arithmetic, on how many threads."""

from __future__ import annotations

import os

import torch

from vid2vid_cli.errors import UsageError


def choose_device(name: str) -> torch.device:
    """Return the device that a name means: auto takes cuda, then mps, then cpu."""
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"--device {name}: write auto, cpu, cuda, cuda:N or mps") from error
    there = {
        "cpu": True,
        "cuda": torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }
    if not there.get(device.type, False):
        raise UsageError(f"--device {name}: no such device on this machine; --device cpu always works")
    return device


def choose_dtype(name: str, takes_bfloat16: bool, device: torch.device) -> torch.dtype:
    """Return the arithmetic that a name means: auto is bfloat16 where the model may and the processor gains."""
    if name != "auto":
        dtype: torch.dtype = getattr(torch, name)
        return dtype
    return torch.bfloat16 if takes_bfloat16 and device.type == "cpu" and has_fast_bfloat16() else torch.float32


def has_fast_bfloat16() -> bool:
    """Say whether this processor computes convolutions faster in bfloat16 than in float32: with tiles (AMX).

    AVX-512's own bfloat16 instructions do not suffice: where they are alone, a convolution took twice as long.
    """
    is_supported: bool = getattr(torch.cpu, "_is_amx_tile_supported", bool)()  # no public name yet
    return is_supported


def set_threads(count: int) -> None:
    """Let torch use `count` processor threads; 0 leaves one core of several to the decoder and the encoder.

    Small networks gain little from a second thread, and lose much where its core is busy with something else.
    """
    if count < 0:
        raise UsageError(f"--threads {count}: write a positive number, or 0 for the default")
    count = min(count, os.cpu_count() or 1)
    torch.set_num_threads(count or max(1, (os.cpu_count() or 1) - 1))

"""Describe the machine, and report progress."""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path
from typing import Any

import torch

from vid2vid_cli import __version__


def describe_machine() -> dict[str, Any]:
    """Return what the figures depend on."""
    return {
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "processor": processor_name(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "vid2vid": __version__,
    }


def processor_name() -> str:
    """Return the name of the processor, as the system gives it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def say(text: str) -> None:
    """Report on stderr what is being measured."""
    print(f"measuring {text} ...", file=sys.stderr, flush=True)

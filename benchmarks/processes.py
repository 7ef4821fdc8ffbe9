"""Measure the command as a process: total time, time to the first frame, peak memory."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

COMMAND = (sys.executable, "-m", "vid2vid_cli", "reenact")
POLL_S = 0.005  # fine enough for the time to the first frame


@dataclass(frozen=True)
class Peak:
    """Peak resident memory in MB: of the Python process, and of its largest ffmpeg (0 if that cannot be seen)."""

    python_mb: float
    ffmpeg_mb: float


def run_command(*arguments: str) -> tuple[float, dict[str, float]]:
    """Run `vid2vid reenact`. Returns its wall-clock seconds, with the interpreter's start, and its --json summary."""
    began = time.perf_counter()
    finished = subprocess.run([*COMMAND, *arguments, "--json"], stdout=subprocess.PIPE, text=True, check=True)
    return time.perf_counter() - began, json.loads(finished.stdout)


def first_frame_s(*arguments: str) -> float:
    """Return the seconds from the start of the command until its first frame is on disk as a PNG."""
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        command = [*COMMAND, *arguments, "-o", f"{folder}/frames", "--quiet"]
        child = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        try:
            while next(Path(folder).rglob("frame_000000.png"), None) is None:
                if child.poll() not in (None, 0):
                    raise RuntimeError(f"the command failed before its first frame: {child.communicate()[1]}")
                time.sleep(POLL_S)
            return time.perf_counter() - began
        finally:
            # Interrupted, not killed, so that it removes its scratch files.
            child.send_signal(signal.SIGINT)
            child.communicate()


def peak_memory(*arguments: str) -> Peak:
    """Run `vid2vid reenact` to its end and return its peak memory."""
    child = subprocess.Popen([*COMMAND, *arguments, "--quiet"])
    python_mb = ffmpeg_mb = 0.0
    while True:
        python_mb = max(python_mb, _high_water_mb(child.pid))
        ffmpeg_mb = max([ffmpeg_mb, *(_high_water_mb(pid) for pid in children_of(child.pid) if _is_ffmpeg(pid))])
        pid, status, usage = os.wait4(child.pid, os.WNOHANG)
        if pid:
            break
        time.sleep(0.1)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        raise RuntimeError(f"the command failed with exit code {child.returncode}")
    # Without /proc: the largest of the process and its children, in kB (on macOS in bytes).
    unit = 1e6 if sys.platform == "darwin" else 1e3
    return Peak(python_mb or usage.ru_maxrss / unit, ffmpeg_mb)


def largest_peak_mb(child: subprocess.Popen[bytes]) -> float:
    """Wait for a process. Returns the peak resident memory in MB of the largest among it and its children."""
    peak_mb = 0.0
    while child.poll() is None:
        peak_mb = max([peak_mb, *map(_high_water_mb, [child.pid, *children_of(child.pid)])])
        time.sleep(0.1)
    return peak_mb


def busy_s(pid: int) -> float:
    """Return the processor time, in seconds, that a process and its children have used; nan without /proc."""
    ticks = 0
    for one in [pid, *children_of(pid)]:
        try:
            fields = Path(f"/proc/{one}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        ticks += int(fields[11]) + int(fields[12])  # in user mode and in the kernel
    return ticks / os.sysconf("SC_CLK_TCK") if Path("/proc/self/stat").exists() else math.nan


def _high_water_mb(pid: int) -> float:
    """Return the peak resident memory of a process so far, 0 if it cannot be read."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) * 1.024e-3 for line in lines if line.startswith("VmHWM")), 0.0)


def _is_ffmpeg(pid: int) -> bool:
    """Tell whether a child is ffmpeg yet: until exec it is a copy of its parent, with its memory."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().startswith("ffmpeg")
    except OSError:
        return False


def children_of(pid: int) -> list[int]:
    """Return the children of all threads of a process, none if they cannot be listed."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [int(child) for child in task.read_text().split()]
        except OSError:
            continue
    return found

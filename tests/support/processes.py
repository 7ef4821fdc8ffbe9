"""Start the command, see what it has started, and measure how soon it ends (Linux)."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

MODULE = [sys.executable, "-m", "vid2vid_cli"]
PROMISED_S = 2.0


def start(*words: str | Path, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*MODULE, *map(str, words)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        env={**os.environ, **environment},
    )


def run_in_terminal(command: Sequence[str | Path]) -> tuple[int, str, str]:
    """Run a command whose stderr is a terminal; return its code, its stdout and what the terminal got."""
    import pty

    ours, theirs = pty.openpty()
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100", "PYTHONIOENCODING": "ascii"}
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, encoding="utf-8", env=environment)
    os.close(theirs)
    seen = b""
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:  # how Linux says that the last writer is gone
            break
        if not part:
            break
        seen += part
    os.close(ours)
    out, _ = child.communicate(timeout=60)
    return child.returncode, out, seen.decode("utf-8", "replace")


def wait_for(is_there: Callable[[], object], child: subprocess.Popen[str]) -> None:
    """Wait until something is there while a child is at work."""
    deadline = time.monotonic() + 300  # Ray takes two minutes to begin where ten processes share a core
    while not is_there():
        if time.monotonic() > deadline or child.poll() is not None:
            child.kill()
            raise AssertionError(child.communicate())
        time.sleep(0.02)


def all_end_promptly(attempt: Callable[[], float]) -> None:
    """Try up to three times what ends processes and returns the seconds that they took: once it keeps the promise.

    What hangs takes two minutes each time. A machine that does other things gives all of them less time, so as much
    is allowed as a process that only computes is held up.
    """
    took_s = []
    for _ in range(3):
        took_s.append(attempt())
        if took_s[-1] <= PROMISED_S * slowness():
            return
    raise AssertionError(f"after a signal it took {took_s} s to end")


def slowness() -> float:
    """Measure how many times longer than on an idle machine a process takes that only computes."""
    began, worked = time.perf_counter(), time.process_time()
    while time.process_time() - worked < 0.1:
        pass
    return (time.perf_counter() - began) / (time.process_time() - worked)


def children() -> set[int]:
    """List the processes that this one has started and that still run (Linux)."""
    found: set[int] = set()
    for task in Path(f"/proc/{os.getpid()}/task").iterdir():
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):  # a thread that has just ended
            found.update(int(pid) for pid in (task / "children").read_text().split())
    return found


def processes_in(folder: Path) -> list[str]:
    """List the commands of other running processes whose current folder this is (Linux)."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            is_zombie = ") Z " in (entry / "stat").read_text()
            if int(entry.name) != os.getpid() and (entry / "cwd").resolve() == folder and not is_zombie:
                found.append((entry / "cmdline").read_text())
        except OSError:
            continue
    return found

"""Start a Python process that runs a module of this package, and be one: messages go through its pipes alone."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import IO

# The package's folder replaces the current one in the path: a file there may have the name of a module.
_START = "import sys; sys.path[0] = sys.argv.pop(1); from {} import main; main()"
_PACKAGE = Path(__file__).resolve().parents[2]


def python_command(module: str, *arguments: str) -> list[str]:
    """Return the command that runs `main` of a module, such as vid2vid_cli.batch.worker, in a process of its own."""
    return [sys.executable, "-c", _START.format(module), str(_PACKAGE), *arguments]


def environment_for(threads: int) -> dict[str, str]:
    """Return this process's environment, changed so that no library starts a thread per core. threads: for each."""
    limits = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), str(threads))
    return {**os.environ, **limits}


def own_stdout() -> IO[bytes]:
    """Keep stdout for messages. Whatever a library prints goes to stderr."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return out

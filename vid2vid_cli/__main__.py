"""The program `vid2vid`, also as `python -m vid2vid_cli`."""

from __future__ import annotations

import contextlib
import os
import signal
import sys

INTERRUPTED = 130
SIGNALLED = 129


def main() -> int:
    """Run the command line; an interrupt while it is loaded, or while Python ends, makes no traceback."""
    try:
        from vid2vid_cli.cli.app import main as run

        code = run()
    except KeyboardInterrupt:
        code = INTERRUPTED
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if code >= SIGNALLED:
        _leave_at_once(code)
    return code


def _leave_at_once(code: int) -> None:
    """End without the second that Python takes to take the libraries apart: all that matters is cleaned up already."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    raise SystemExit(main())

"""Turn any failure of a command into one line on stderr and an exit code."""

from __future__ import annotations

import inspect
import sys
import traceback
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from vid2vid_cli.errors import Vid2VidError, describe_failure, one_line
from vid2vid_cli.process.shutdown import clean_up

INTERRUPTED = 130


def guarded(command: Callable[..., int | None]) -> Callable[..., int]:
    """Make a command return an exit code even if it fails; its parameter `verbosity` decides about the traceback."""
    if "verbosity" not in inspect.signature(command).parameters:
        raise ValueError("a command needs the parameter verbosity")

    @wraps(command)
    def run(**given: Any) -> int:
        try:
            _require_folder()
            return command(**given) or 0
        except KeyboardInterrupt:
            clean_up()  # before the message: its reader may look at the folder at once
            return fail("interrupted", INTERRUPTED)
        except Exception as error:  # noqa: BLE001  the last stop: the user gets a line and an exit code
            if given["verbosity"].verbose:
                traceback.print_exc()
            return fail(*describe_failure(error))

    return run


def _require_folder() -> None:
    """Raise Vid2VidError if the current folder was removed: torch ends the process then, and no path means anything."""
    try:
        Path.cwd()
    except OSError as error:
        raise Vid2VidError(
            "the folder in which vid2vid was started is gone; change to another one and run it again"
        ) from error


def fail(text: str, exit_code: int) -> int:
    """Write an error line to stderr; return the exit code."""
    write_line(f"error: {text}")
    return exit_code


def write_line(text: str) -> None:
    """Write one line to stderr, whatever characters it contains; a reader that has gone is no error."""
    try:
        sys.stderr.write(one_line(text) + "\n")
        sys.stderr.flush()
    except BrokenPipeError:
        return

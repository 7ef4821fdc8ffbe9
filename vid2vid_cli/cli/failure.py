"""Turn whatever ends a command into one line on stderr and an exit code."""

from __future__ import annotations

import inspect
import re
import sys
import traceback
from collections.abc import Callable
from functools import wraps
from typing import Any

from vid2vid_cli.errors import Vid2VidError

INTERRUPTED = 130


def guarded(command: Callable[..., int | None]) -> Callable[..., int]:
    """Let a command return its exit code, also where it fails; its parameter `talk` says how to tell of it."""
    if "talk" not in inspect.signature(command).parameters:
        raise ValueError("a command takes a parameter talk")

    @wraps(command)
    def run(**given: Any) -> int:
        try:
            return command(**given) or 0
        except KeyboardInterrupt:
            return fail("interrupted", INTERRUPTED)
        except Exception as error:  # noqa: BLE001  the last stop: told to the user, with an exit code
            if given["talk"].verbose:
                traceback.print_exc()
            return fail(*describe(error))

    return run


def describe(error: Exception) -> tuple[str, int]:
    """Return the line that tells of a failure and the exit code."""
    if isinstance(error, Vid2VidError):
        return str(error), error.exit_code
    if isinstance(error, MemoryError):
        return f"out of memory; a smaller --size needs less ({error or 'no more said'})", 1
    words = f"unexpected {type(error).__name__}: {error}" if str(error) else f"unexpected {type(error).__name__}"
    return f"{words}; run again with --verbose to see where", 1


def fail(text: str, exit_code: int) -> int:
    """Write one line about a failure to stderr and return its exit code."""
    write_line(f"error: {text}")
    return exit_code


def write_line(text: str) -> None:
    """Write one line to stderr, whatever characters it holds; nobody reading it is no further failure."""
    try:
        sys.stderr.write(one_line(text) + "\n")
        sys.stderr.flush()
    except BrokenPipeError:
        return


def one_line(text: str) -> str:
    """Return a text without line breaks and other characters that would command a terminal."""
    text = re.sub(r"\s*[\r\n]+\s*", " ", text.strip())
    return re.sub(r"[\x00-\x1f\x7f-\x9f]", lambda found: f"\\x{ord(found[0]):02x}", text)

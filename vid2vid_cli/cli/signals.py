"""Handle signals: raise an exception, so that every `finally` runs, but never in the middle of an import."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import NoReturn

from vid2vid_cli.process.address_space import require_address_space
from vid2vid_cli.process.shutdown import ENDING, SIGNAL_BASE, STDERR, forced_exit_after, handlers, signals_delayed

SHOW_CURSOR = "\r\x1b[K\x1b[?25h"  # clear the line and show the cursor, which a progress bar hides
CLEANING_S = 1.6
"""How long cleaning up after a signal may take, in seconds; the promise is to end within two."""


@dataclass
class Process:
    """The process that commands run in. is_ours: it is the program `vid2vid`, not a caller of `main`."""

    is_ours: bool = False


process = Process()


@dataclass
class Ending:
    """The signal that ends a command; its number is 0 until one arrives."""

    number: int = 0

    @property
    def exit_code(self) -> int:
        """The exit code that a shell reports for this signal, or 0 without a signal."""
        return SIGNAL_BASE + self.number if self.number else 0


@contextmanager
def signals_clean_up() -> Iterator[Ending]:
    """End on SIGTERM and on a closed terminal as on Ctrl-C: every `finally` runs, so that nothing is left behind.

    Until the block ends only the first signal counts: a second Ctrl-C must not interrupt the cleaning up. If the
    cleaning up hangs, or a library swallows the exception, the program `vid2vid` still ends in time; the process of
    a caller of `main` does not, since it is not ours to end.
    """
    ending = Ending()
    usual = handlers()

    def leave(number: int, frame: FrameType | None) -> None:
        ending.number = number
        for other in ENDING:
            signal.signal(other, signal.SIG_IGN)  # from here on only cleaning up
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        sys.exit(ending.exit_code)

    for number, handler in usual.items():
        if handler in (signal.SIG_DFL, signal.default_int_handler):  # else somebody chose another, as nohup does
            signal.signal(number, leave)
    try:
        with forced_exit_after(CLEANING_S, last_words) if process.is_ours else contextlib.nullcontext():
            yield ending
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)


def last_words(number: int) -> str:
    """Return what to write to stderr if a signal ends the process at once."""
    return (SHOW_CURSOR if os.isatty(STDERR) else "") + ("error: interrupted\n" if number == signal.SIGINT else "")


def end_process(code: int) -> NoReturn:
    """End the process at once: everything that matters is cleaned up, and unloading the libraries takes a second."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(code)


@contextmanager
def signals_held() -> Iterator[None]:
    """Delay signals that end the program until the block, an import, is over.

    An exception raised while torch is imported surfaces inside its C++ code, which aborts the process. The program
    `vid2vid` has nothing to clean up at that point, so it need not wait: it ends at once, without an exception.
    """

    def end_at_once(number: int) -> None:
        if process.is_ours:
            sys.stderr.write(last_words(number))
            end_process(SIGNAL_BASE + number)

    require_address_space()
    # A signal that arrives in a caller's process is raised when the block is over.
    with signals_delayed(end_at_once):
        yield

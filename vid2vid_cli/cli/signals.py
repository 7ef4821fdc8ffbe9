"""What a signal does: end as by an exception, so that every `finally` runs, but never inside of an import."""

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

from vid2vid_cli.process.shutdown import ENDING, SIGNAL_BASE, STDERR, forced_exit_after, handlers, signals_delayed

SHOW_CURSOR = "\r\x1b[K\x1b[?25h"  # which a progress bar hides
CLEANING_S = 1.6
"""How long cleaning up after a signal may take; all shall be over within two seconds."""


@dataclass
class Process:
    """The process that commands run in. is_ours: it is the program `vid2vid`, not one that calls it."""

    is_ours: bool = False


process = Process()


@dataclass
class Ending:
    """Which signal ends a command; number 0 while none has come."""

    number: int = 0

    @property
    def exit_code(self) -> int:
        """The code that a shell gives to what this signal ends, 0 where none came."""
        return SIGNAL_BASE + self.number if self.number else 0


@contextmanager
def signals_clean_up() -> Iterator[Ending]:
    """End on SIGTERM and a closed terminal as on Ctrl-C: with every `finally` run, so that nothing is left behind.

    Only the first signal counts until the block has ended: a second Ctrl-C must not break off the cleaning up. What
    that hangs on, or a library that swallows the exception, keeps only a caller's process alive, not our own.
    """
    ending = Ending()
    usual = handlers()

    def leave(number: int, frame: FrameType | None) -> None:
        ending.number = number
        for other in ENDING:
            signal.signal(other, signal.SIG_IGN)
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        sys.exit(ending.exit_code)

    for number, handler in usual.items():
        if handler in (signal.SIG_DFL, signal.default_int_handler):  # nohup stays nohup
            signal.signal(number, leave)
    try:
        with forced_exit_after(CLEANING_S, last_words) if process.is_ours else contextlib.nullcontext():
            yield ending
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)


def last_words(number: int) -> str:
    """Return what stderr is told where a signal ends the process at once."""
    return (SHOW_CURSOR if os.isatty(STDERR) else "") + ("error: interrupted\n" if number == signal.SIGINT else "")


def end_process(code: int) -> NoReturn:
    """End without the second that Python takes to take the libraries apart: all that matters is cleaned up already."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(code)


@contextmanager
def signals_held() -> Iterator[None]:
    """Let signals that end the program wait until the block has ended, an import before which nothing was begun.

    In a process of our own there is no need to wait: it ends at once, without an exception. One that rises while
    torch is imported comes out in the middle of its C++ code, which aborts the process.
    """

    def hear(number: int) -> None:
        if process.is_ours:
            sys.stderr.write(last_words(number))
            end_process(SIGNAL_BASE + number)

    with signals_delayed(hear):
        yield

"""What a signal does: end as by an exception, so that every `finally` runs, but never inside of an import."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import NoReturn

SHOW_CURSOR = "\r\x1b[K\x1b[?25h"  # which a progress bar hides
ENDING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


@dataclass
class Process:
    """The process that commands run in. is_ours: it is the program `vid2vid`, not one that calls it."""

    is_ours: bool = False


process = Process()


@contextmanager
def signals_clean_up() -> Iterator[None]:
    """End on SIGTERM and a closed terminal as on Ctrl-C: with every `finally` run, so that nothing is left behind.

    Only the first signal counts until the block has ended: a second Ctrl-C must not break off the cleaning up.
    """
    usual = {number: handler for number in ENDING if (handler := signal.getsignal(number)) is not None}

    def leave(number: int, frame: FrameType | None) -> None:
        for other in ENDING:
            signal.signal(other, signal.SIG_IGN)
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        sys.exit(128 + number)

    for number, handler in usual.items():
        if handler in (signal.SIG_DFL, signal.default_int_handler):  # nohup stays nohup
            signal.signal(number, leave)
    try:
        yield
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)


def leave_nothing() -> None:
    """Kill the children and remove the files that an interrupted command still has: no `finally` may have been near."""
    for module, clean in (("vid2vid_cli.media.ffmpeg", "kill_all"), ("vid2vid_cli.temporary", "close_all")):
        if module in sys.modules:
            getattr(sys.modules[module], clean)()


def end_process(code: int) -> NoReturn:
    """End without the second that Python takes to take the libraries apart: all that matters is cleaned up already."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()
    os._exit(code)


@contextmanager
def signals_held() -> Iterator[None]:
    """Let signals that end the program wait until the block has ended, an import before which nothing was begun.

    In a process of our own there is no need to wait: it ends at once, without an exception.

    An exception that rises while torch is imported comes out in the middle of its C++ code, which aborts the
    process. A blocked mask would not do: the thread that draws the progress bar would take the signal instead.
    """
    came: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        if process.is_ours:
            words = "error: interrupted\n" if number == signal.SIGINT else ""
            sys.stderr.write((SHOW_CURSOR if sys.stderr.isatty() else "") + words)
            end_process(128 + number)
        came.append(number)

    usual = {number: signal.getsignal(number) for number in ENDING}
    if threading.current_thread() is not threading.main_thread():  # signals reach the main thread only
        usual = {}
    held = {number: handler for number, handler in usual.items() if callable(handler)}
    for number in held:
        signal.signal(number, note)
    try:
        yield
    finally:
        for number, handler in held.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])

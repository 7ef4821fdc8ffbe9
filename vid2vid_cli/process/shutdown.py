"""How a process that a signal ends leaves nothing behind, also where its cleaning up hangs."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from types import FrameType
from typing import Any, NoReturn

ENDING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
SIGNAL_BASE = 128
"""A shell's exit code of what a signal has ended, less the number of the signal."""
STDERR = 2


def handlers() -> dict[int, Any]:
    """Return what happens at the signals that end a process; none but in the main thread, which alone they reach."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    return {number: handler for number in ENDING if (handler := signal.getsignal(number)) is not None}


@contextmanager
def interrupts_held(hear: Callable[[int], object] = lambda number: None) -> Iterator[None]:
    """Let signals that end the program wait until the block has ended, so that no exception rises inside of it.

    Around what would be lost half done: a child that is there already, but whose number is not noted yet. A blocked
    mask would not do: any other thread would take the signal, and the exception would rise all the same.

    hear: is told the number of a signal as it comes.
    """
    came: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        hear(number)
        came.append(number)

    usual = {number: handler for number, handler in handlers().items() if callable(handler)}
    try:
        for number in usual:
            signal.signal(number, note)
        yield
    finally:
        for number, handler in usual.items():
            if signal.getsignal(number) is note:
                signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])


class CleanupStage(IntEnum):
    """When a cleaner has its turn: a child that still runs could write a file again that was just removed."""

    CHILDREN = 0
    FILES = 1


@dataclass(frozen=True)
class Cleaner:
    """Removes what one module may have left. forced: from any thread, without waiting for anything, locks included."""

    orderly: Callable[[], None]
    forced: Callable[[], None]


_cleaners: dict[CleanupStage, Cleaner] = {}


def register_cleaner(stage: CleanupStage, cleaner: Cleaner) -> None:
    """Name what `leave_nothing` calls in a stage; a module does so in its last line, when all of it is there."""
    _cleaners[stage] = cleaner


def leave_nothing(*, by_force: bool = False) -> None:
    """Kill the children and remove the files of an interrupted command: its own `finally` blocks may not have run.

    by_force: from any thread, without waiting for anything, locks included.
    """
    for _, cleaner in sorted(_cleaners.items()):
        (cleaner.forced if by_force else cleaner.orderly)()


@contextmanager
def ended_in_time(limit_s: float, words: Callable[[int], str] = lambda number: "") -> Iterator[None]:
    """End this process by force some seconds after a signal of ENDING, if it still runs then.

    Around all that a process of our own does, in its main thread. words: what stderr is told, by the signal's number.

    A handler in Python has its turn only when the main thread is about to go on: never while it computes in a library
    or waits for a lock that nobody frees, as where the interrupt rose just when the lock was taken. So the system
    itself wakes a thread.
    """
    if not hasattr(select, "poll"):  # Windows
        yield
        return
    came, wake = os.pipe()
    os.set_blocking(wake, False)
    threading.Thread(target=_watch, args=(came, limit_s, words), name="vid2vid-watchdog", daemon=True).start()
    signal.set_wakeup_fd(wake, warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(-1)
        os.close(wake)


def _watch(came: int, limit_s: float, words: Callable[[int], str]) -> None:
    """Wait for a signal's number, then for the time that cleaning up may take."""
    number = 0
    while number not in ENDING:
        said = os.read(came, 1)
        if not said:
            os.close(came)
            return
        number = said[0]
    time.sleep(limit_s)
    _end_by_force(number, words)


def _end_by_force(number: int, words: Callable[[int], str]) -> NoReturn:
    try:
        leave_nothing(by_force=True)
        poller = select.poll()
        poller.register(STDERR, select.POLLOUT)
        if poller.poll(0):  # not past sys.stderr, whose lock may be held; not where nobody reads and it is full
            with contextlib.suppress(OSError):
                os.write(STDERR, words(number).encode())
    finally:
        os._exit(SIGNAL_BASE + number)

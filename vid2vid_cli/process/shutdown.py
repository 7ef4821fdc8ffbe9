"""End a process on a signal without leaving children or files behind, even if its own clean-up hangs."""

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

# Windows has no SIGHUP.
ENDING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
SIGNAL_BASE = 128
"""What a shell adds to the number of a signal to make the exit code of the program that it ended."""
STDERR = 2


def handlers() -> dict[int, Any]:
    """Return the handlers of the signals that end a process; none outside the main thread, which alone gets signals."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    # A handler that was not installed from Python reads as None and could not be put back.
    return {number: handler for number in ENDING if (handler := signal.getsignal(number)) is not None}


@contextmanager
def signals_delayed(on_signal: Callable[[int], object] = lambda number: None) -> Iterator[None]:
    """Delay signals that end the program until the block has ended, so that no exception rises inside it.

    Use it around what must not be left half done, such as starting a child and noting that it runs. Blocking the
    signals would not help: any other thread would take them, and the exception would rise all the same.

    on_signal: called with the number of a signal as soon as it comes.
    """
    received: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        on_signal(number)
        received.append(number)

    # SIG_IGN and SIG_DFL raise no exception: they stay as they are.
    usual = {number: handler for number, handler in handlers().items() if callable(handler)}
    try:
        for number in usual:
            signal.signal(number, note)
        yield
    finally:
        for number, handler in usual.items():
            if signal.getsignal(number) is note:  # unless the block has installed another one
                signal.signal(number, handler)
        if received:
            signal.raise_signal(received[0])


@contextmanager
def ended_in_order(finish: Callable[[], object]) -> Iterator[None]:
    """Let the first signal of ENDING ask for an end in order, such as finishing a recording; a second ends as usual.

    finish: asks for it, returns at once and takes no lock. Outside the main thread nothing changes.
    """
    usual = {number: handler for number, handler in handlers().items() if callable(handler)}
    if not usual:
        yield
        return
    # Whoever waits there would take the signal for the beginning of an end by force.
    wakeup_fd = signal.set_wakeup_fd(-1)

    def as_usual() -> None:
        for number, handler in usual.items():
            signal.signal(number, handler)
        if wakeup_fd >= 0:
            signal.set_wakeup_fd(wakeup_fd, warn_on_full_buffer=False)

    def ask(number: int, frame: FrameType | None) -> None:
        as_usual()
        finish()

    try:
        for number in usual:
            signal.signal(number, ask)
        yield
    finally:
        as_usual()


class CleanupStage(IntEnum):
    """When a cleaner runs. Children come first: one that still runs could make a file again that was just removed."""

    CHILDREN = 0
    FILES = 1


@dataclass(frozen=True)
class Cleaner:
    """Removes what one module may have left. forced: safe in any thread, and waits for nothing, not even a lock."""

    orderly: Callable[[], None]
    forced: Callable[[], None]


_cleaners: dict[CleanupStage, Cleaner] = {}


def register_cleaner(stage: CleanupStage, cleaner: Cleaner) -> None:
    """Name what `clean_up` calls in a stage. A module does so in its last line, when all of it is defined."""
    _cleaners[stage] = cleaner


def clean_up(*, by_force: bool = False) -> None:
    """Kill the children and remove the files of an interrupted command, whose `finally` blocks may not have run.

    by_force: from any thread, without waiting for anything, not even a lock.
    """
    for _, cleaner in sorted(_cleaners.items()):
        (cleaner.forced if by_force else cleaner.orderly)()


@contextmanager
def forced_exit_after(limit_s: float, message: Callable[[int], str] = lambda number: "") -> Iterator[None]:
    """End this process by force if it still runs some seconds after a signal of ENDING.

    Use it in the main thread, around everything that a process of our own does. message: what stderr gets then, made
    from the signal's number.

    Python calls a handler only when the main thread is about to go on: never while it computes in a library, or waits
    for a lock that nobody frees because the interrupt rose just when it was taken. So a thread is woken by the system.
    """
    if not hasattr(select, "poll"):  # Windows
        yield
        return
    received_fd, wakeup_fd = os.pipe()
    os.set_blocking(wakeup_fd, False)  # set_wakeup_fd insists on it
    arguments = (received_fd, limit_s, message)
    threading.Thread(target=_watch, args=arguments, name="vid2vid-watchdog", daemon=True).start()
    signal.set_wakeup_fd(wakeup_fd, warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(-1)
        os.close(wakeup_fd)  # which ends the thread


def _watch(received_fd: int, limit_s: float, message: Callable[[int], str]) -> None:
    """Wait for the number of a signal, then give the clean-up its time, then end the process."""
    number = 0
    while number not in ENDING:  # other signals come here too, as far as they have handlers
        data = os.read(received_fd, 1)
        if not data:
            os.close(received_fd)
            return
        number = data[0]
    time.sleep(limit_s)
    _exit_by_force(number, message)


def _exit_by_force(number: int, message: Callable[[int], str]) -> NoReturn:
    try:
        clean_up(by_force=True)
        # Not by sys.stderr, whose lock may be held, and not if the pipe is full and nobody reads it.
        poller = select.poll()
        poller.register(STDERR, select.POLLOUT)
        if poller.poll(0):
            with contextlib.suppress(OSError):
                os.write(STDERR, message(number).encode())
    finally:
        os._exit(SIGNAL_BASE + number)

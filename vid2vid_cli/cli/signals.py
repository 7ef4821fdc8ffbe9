"""What a signal does: end as by an exception, so that every `finally` runs, but never inside of an import."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

ENDING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


def let_signals_clean_up() -> None:
    """End on SIGTERM and a closed terminal as on Ctrl-C: with every `finally` run, so that nothing is left behind."""

    def leave(number: int, frame: FrameType | None) -> None:
        sys.exit(128 + number)

    for number in ENDING:
        if number != signal.SIGINT and signal.getsignal(number) == signal.SIG_DFL:  # nohup stays nohup
            signal.signal(number, leave)


@contextmanager
def signals_held() -> Iterator[None]:
    """Let signals that end the program wait until the block has ended.

    An exception that rises while torch is imported comes out in the middle of its C++ code, which aborts the
    process. A blocked mask would not do: the thread that draws the progress bar would take the signal instead.
    """
    came: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
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

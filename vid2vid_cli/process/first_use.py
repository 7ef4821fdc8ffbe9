"""Tells a user why the first run takes longer: numba compiles what it runs, once for each machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

NOTICE = "first use: compiling for this machine takes about half a minute; later runs start at once"
FEW = 8  # functions: where no more are compiled, nobody waits long

_listeners: list[Callable[[str], None]] = []


@contextmanager
def telling(say: Callable[[str], None]) -> Iterator[None]:
    """Tell a user, within the block, when this process begins to compile much; once in the life of the process."""
    _listeners.append(say)
    try:
        yield
    finally:
        _listeners.remove(say)


@lru_cache(maxsize=1)
def watch() -> None:
    """Watch numba's compiler, whose events come only where its cache has nothing. Call this once numba is needed."""
    from numba.core import event as events

    class Watch(events.Listener):
        compiled = 0

        def on_start(self, event: object) -> None:
            self.compiled += 1
            if self.compiled == FEW + 1 and _listeners:
                _listeners[-1](NOTICE)

        def on_end(self, event: object) -> None:
            pass

    register: Any = events.register
    register("numba:compile", Watch())

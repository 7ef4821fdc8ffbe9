"""Let the stages of a pipeline run side by side: bounded, in order, gone without trace when closed early."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class _Channel(Generic[T]):
    """Hold at most `depth` items between one producer and one consumer, who sleep while they must wait."""

    def __init__(self, depth: int) -> None:
        self._items: deque[T] = deque()
        self._depth = depth
        self._changed = threading.Condition()
        self._is_finished = False
        self._is_abandoned = False
        self._error: BaseException | None = None

    def put(self, item: T) -> bool:
        """Append `item`, waiting for room; tell whether anybody still wants more."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._items) < self._depth or self._is_abandoned)
            if self._is_abandoned:
                return False
            self._items.append(item)
            self._changed.notify_all()
            return True

    def finish(self, error: BaseException | None) -> None:
        """Say that nothing follows, and with which error the producer ended."""
        with self._changed:
            self._error = error
            self._is_finished = True
            self._changed.notify_all()

    def abandon(self) -> None:
        """Say that nothing more is wanted."""
        with self._changed:
            self._is_abandoned = True
            self._items.clear()
            self._changed.notify_all()

    def __iter__(self) -> Iterator[T]:
        """Yield the items in order, then raise the producer's error if there was one."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._items) or self._is_finished)
                if not self._items:
                    break
                item = self._items.popleft()
                self._changed.notify_all()
            yield item
            del item  # a frame must not live on here while the next one is awaited
        if self._error is not None:
            raise self._error


def _produce(iterable: Iterable[T], channel: _Channel[T]) -> None:
    """Feed `channel` from `iterable` and close the source in the thread that ran it."""
    error: BaseException | None = None
    try:
        iterator = iter(iterable)
        try:
            for item in iterator:
                if not channel.put(item):
                    break
                del item
        finally:
            close = getattr(iterator, "close", None)
            if close is not None:
                close()
    except BaseException as caught:  # noqa: BLE001  carried over to the consumer, nothing is swallowed
        error = caught
    channel.finish(error)


def _consume(iterable: Iterable[T], depth: int) -> Iterator[T]:
    channel: _Channel[T] = _Channel(depth)
    # A daemon, so that a source that never returns cannot keep a dying interpreter alive.
    thread = threading.Thread(target=_produce, args=(iterable, channel), name="vid2vid-prefetch", daemon=True)
    thread.start()
    try:
        yield from channel
    finally:
        channel.abandon()
        thread.join()


def prefetch(iterable: Iterable[T], depth: int = 2) -> Iterator[T]:
    """Run `iterable` in a thread of its own, at most `depth` finished items and one unfinished ahead.

    The thread starts with the first item asked for. Order is kept, and an error is raised here after the
    items that came before it. Closing the result, or dropping it after an error, ends the
    thread, closes a source generator inside that thread, and waits for both.
    """
    if depth < 1:
        raise ValueError(f"depth must be at least 1, not {depth}")
    return _consume(iterable, depth)

"""Run the stages of a pipeline side by side: bounded, in order, leaving nothing behind if closed early."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, Generic, TypeVar

from vid2vid_cli.process.shutdown import signals_delayed

T = TypeVar("T")

_feeding = threading.local()
"""`channel`: the one that this thread feeds."""


class AbandonedError(Exception):
    """The result of this thread is no longer needed. Raised where the thread waits; no consumer ever sees it."""


def is_abandoned() -> bool:
    """Say whether the result of the calling thread is no longer needed, so that it should stop waiting."""
    channel: _Channel[Any] | None = getattr(_feeding, "channel", None)
    return channel is not None and channel.is_abandoned


class _Channel(Generic[T]):
    """Hold at most `depth` items between one producer and one consumer, who sleep while they have to wait."""

    def __init__(self, depth: int) -> None:
        self._items: deque[T] = deque()
        self._depth = depth
        # Guards all fields, and wakes either side when one of them changes.
        self._changed = threading.Condition()
        self._is_finished = False
        self.is_abandoned = False
        self._sources: list[_Channel[Any]] = []
        self._error: BaseException | None = None

    def put(self, item: T) -> bool:
        """Append `item`, waiting for room. Return whether more is still needed."""
        with self._changed:
            self._changed.wait_for(lambda: len(self._items) < self._depth or self.is_abandoned)
            if self.is_abandoned:
                return False
            self._items.append(item)
            self._changed.notify_all()
            return True

    def finish(self, error: BaseException | None) -> None:
        """Declare that nothing follows. error: what ended the producer, if anything did."""
        with self._changed:
            self._error = error
            self._is_finished = True
            self._changed.notify_all()

    def abandon(self) -> None:
        """Declare that nothing more is needed, from this channel or from those that feed it."""
        with self._changed:
            self.is_abandoned = True
            self._items.clear()
            self._changed.notify_all()
            sources = list(self._sources)
        # Outside the lock: each source takes its own, and no thread may hold two.
        for source in sources:
            source.abandon()

    def add_source(self, source: _Channel[Any]) -> None:
        """Register another channel that the producer of this one consumes."""
        with self._changed:
            self._sources.append(source)
            is_abandoned = self.is_abandoned
        if is_abandoned:
            source.abandon()

    def remove_source(self, source: _Channel[Any]) -> None:
        """Forget a channel that has been consumed."""
        with self._changed:
            self._sources.remove(source)

    def __iter__(self) -> Iterator[T]:
        """Yield the items in order, then raise the producer's error if there was one. AbandonedError once abandoned."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: bool(self._items) or self._is_finished or self.is_abandoned)
                if self.is_abandoned:
                    raise AbandonedError
                if not self._items:
                    break
                item = self._items.popleft()
                self._changed.notify_all()
            yield item
            del item  # a frame must not be kept alive here while the next one is awaited
        if self._error is not None:
            raise self._error


def _produce(iterable: Iterable[T], channel: _Channel[T]) -> None:
    """Feed `channel` from `iterable`, and close that in the thread that ran it."""
    error: BaseException | None = None
    _feeding.channel = channel
    try:
        iterator = iter(iterable)
        try:
            for item in iterator:
                if not channel.put(item):
                    break
                del item
        finally:
            # A generator may be closed only where it does not run, so not by the consumer.
            close = getattr(iterator, "close", None)
            if close is not None:
                close()
    except BaseException as caught:  # noqa: BLE001  handed to the consumer, nothing is swallowed
        error = caught
    channel.finish(error)


def _consume(iterable: Iterable[T], depth: int) -> Iterator[T]:
    channel: _Channel[T] = _Channel(depth)
    ours: _Channel[Any] | None = getattr(_feeding, "channel", None)
    # A daemon, so that a source that never returns cannot keep a dying interpreter alive.
    thread = threading.Thread(target=_produce, args=(iterable, channel), name="vid2vid-prefetch", daemon=True)
    try:
        with signals_delayed():
            thread.start()
        if ours is not None:
            ours.add_source(channel)
        yield from channel
    finally:
        channel.abandon()
        if thread.ident is not None:  # an interrupt may have come before it was started
            thread.join()
        if ours is not None:
            ours.remove_source(channel)


def prefetch(iterable: Iterable[T], depth: int = 2) -> Iterator[T]:
    """Run `iterable` in a thread of its own, at most `depth` finished items and one unfinished item ahead.

    The thread starts when the first item is asked for. Order is kept, and an error is raised here after the items
    that came before it. Closing the result, or dropping it after an error, ends the thread, closes a source generator
    inside that thread, and waits for both. Earlier stages in threads of their own are told at once; one that waits
    for something outside must ask `is_abandoned` now and then.
    """
    if depth < 1:
        raise ValueError(f"depth must be at least 1, not {depth}")
    return _consume(iterable, depth)

"""Between two stages that must never lag: a place for one item, where a newer one replaces one that nobody took."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

T = TypeVar("T")


class OverError(Exception):
    """Nothing more will come. Raised where the next item is taken."""


class Newest(Generic[T]):
    """Holds the newest item. All methods may be called from any thread."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._item: T | None = None
        self._is_over = False
        self.dropped = 0
        """How many items were replaced before anybody took them."""

    def put(self, item: T) -> None:
        """Offer an item in place of any older one. Once `finish` was called it is ignored."""
        with self._changed:
            if self._is_over:
                return
            self.dropped += self._item is not None
            self._item = item
            self._changed.notify_all()

    def take(self, patience_s: float | None = None) -> T | None:
        """Wait for an item and take it; None if none comes in time. OverError once nothing more will come."""
        with self._changed:
            self._changed.wait_for(lambda: self._item is not None or self._is_over, patience_s)
            item, self._item = self._item, None
            self._changed.notify_all()
            if item is None and self._is_over:
                raise OverError
            return item

    def wait_until_taken(self) -> None:
        """Wait until somebody has taken the item, or nothing more will come."""
        with self._changed:
            self._changed.wait_for(lambda: self._item is None or self._is_over)

    def finish(self, *, at_once: bool = False) -> None:
        """Let nothing more come. at_once: also take back what nobody has taken yet."""
        with self._changed:
            self._is_over = True
            if at_once:
                self._item = None
            self._changed.notify_all()

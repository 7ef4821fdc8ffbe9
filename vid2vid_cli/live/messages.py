"""The line that tells the user what is going on."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

NEWS_S = 6.0
"""How long a line about what has happened stays."""


class Messages:
    """What is wrong now, or for some seconds what has just happened. All methods may be called from any thread."""

    def __init__(self, warn: Callable[[str], None]) -> None:
        """warn: takes each line once as well, for whoever has no window."""
        self._warn, self._lock = warn, threading.Lock()
        self._wrong: str | None = None
        self._news, self._until_s = "", 0.0

    def tell(self, text: str | None) -> None:
        """Say what is wrong from now on; None: nothing any more."""
        with self._lock:
            if text is not None and text != self._wrong:
                self._warn(text)
            self._wrong = text

    def note(self, text: str) -> None:
        """Say for some seconds what has happened."""
        with self._lock:
            self._warn(text)
            self._news, self._until_s = text, time.monotonic() + NEWS_S

    def current(self) -> str | None:
        """Return the line to show now, if any."""
        with self._lock:
            return self._wrong or (self._news if time.monotonic() < self._until_s else None)

"""What has arrived for a live picture and was not looked at yet: of the camera's pictures the newest alone."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import IO, Any

from vid2vid_cli.serve.pipes import read_message


@dataclass(frozen=True)
class CameraFrame:
    """A picture of the camera. number: counted from 0 since the start. arrived_s: on the performance counter."""

    number: int
    jpeg: bytes
    arrived_s: float


@dataclass
class Inbox:
    """What has arrived and not been looked at: orders in their order, and of pictures the newest alone.

    dropped: pictures that were replaced by newer ones before anybody looked at them.
    """

    orders: list[Mapping[str, Any]] = field(default_factory=list)
    frame: CameraFrame | None = None
    dropped: int = 0
    _count: int = 0
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def listen(self, incoming: IO[bytes]) -> None:
        """Take what comes in; when the input ends, so does the process, whatever it does."""
        while (message := read_message(incoming)) is not None:
            with self._changed:
                if isinstance(message, bytes):
                    self.dropped += self.frame is not None
                    self.frame = CameraFrame(self._count, message, time.perf_counter())
                    self._count += 1
                else:
                    self._note(message)
                self._changed.notify()
        os._exit(0)

    def _note(self, order: Mapping[str, Any]) -> None:
        if order["type"] in ("start", "end", "stop_camera"):  # what the camera showed before counts no more
            self.frame = None
        if order["type"] in ("start", "end"):
            self.orders.clear()
            self._count = self.dropped = 0
        self.orders.append(order)

    def take(self) -> tuple[list[Mapping[str, Any]], CameraFrame | None]:
        """Wait until there is something, and take all of it."""
        with self._changed:
            self._changed.wait_for(lambda: self.orders or self.frame is not None)
            orders, self.orders = self.orders, []
            frame, self.frame = self.frame, None
            return orders, frame

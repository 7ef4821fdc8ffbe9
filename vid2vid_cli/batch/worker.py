"""A worker process: jobs come in as lines of JSON, and messages go out as lines of JSON.

It ends when its input ends, even if the batch that started it was killed.
"""

from __future__ import annotations

import json
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import IO, TYPE_CHECKING, Any

from vid2vid_cli.batch.jobs import Job
from vid2vid_cli.pipeline.progress import Hooks
from vid2vid_cli.process.shutdown import SIGNAL_BASE, clean_up, forced_exit_after

if TYPE_CHECKING:
    from vid2vid_cli.batch.workbench import Workbench

PROGRESS_EVERY_S = 0.2
CLEANING_S = 0.9
"""How long cleaning up after a signal may take: a little less than local.GRACE_S, when a worker is killed."""
ALONE, SHARED = "alone", "shared"


class MessagePipe:
    """Sends messages to the batch that started this worker."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out
        self._last_s = 0.0

    def send(self, **message: Any) -> None:
        """Send a message."""
        self._out.write(json.dumps(message).encode() + b"\n")
        self._out.flush()

    def progress(self, done: int, total: int | None) -> None:
        """Send how far a job is, a few times a second. The first frame is always sent: other jobs may wait for it."""
        now = time.monotonic()
        if done == 1 or now - self._last_s > PROGRESS_EVERY_S:
            self._last_s = now
            self.send(progress=[done, total])


def main() -> None:
    """Do jobs until the input ends."""
    messages = MessagePipe(_own_stdout())
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the batch's to handle
    jobs: queue.SimpleQueue[Mapping[str, Any] | None] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(jobs,), daemon=True).start()
    from vid2vid_cli.batch.workbench import Workbench  # until torch is loaded, SIGTERM ends this process at once

    signal.signal(signal.SIGTERM, _leave)
    messages.send(ready=os.getpid())
    try:
        with forced_exit_after(CLEANING_S):
            _work(jobs, Workbench(Path(sys.argv[1]), is_shared=sys.argv[2] == SHARED), messages)
    except SystemExit as ending:
        clean_up()
        os._exit(int(ending.code or 0))  # skips the second that Python takes to unload the libraries


def _work(jobs: queue.SimpleQueue[Mapping[str, Any] | None], bench: Workbench, messages: MessagePipe) -> None:
    while (plain := jobs.get()) is not None:
        outcome = bench.do(Job.from_json(plain), Hooks(messages.progress))
        messages.send(outcome=asdict(outcome))


def _own_stdout() -> IO[bytes]:
    """Keep stdout for messages. Whatever a library prints goes to stderr."""
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return out


def _listen(jobs: queue.SimpleQueue[Mapping[str, Any] | None]) -> None:
    """Put jobs into the queue. When the input ends, stop even a job that is half done."""
    received = b""
    while part := os.read(0, 1 << 16):  # not sys.stdin, whose lock would still be held when the interpreter ends
        *lines, received = (received + part).split(b"\n")
        for text in lines:
            jobs.put(json.loads(text))
    jobs.put(None)
    os.kill(os.getpid(), signal.SIGTERM)


def _leave(number: int, frame: FrameType | None) -> None:
    """End once, running every `finally`."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(SIGNAL_BASE + number)

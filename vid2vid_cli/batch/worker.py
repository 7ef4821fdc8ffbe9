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
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO, TYPE_CHECKING, Any

from vid2vid_cli.batch.jobs import Job
from vid2vid_cli.errors import CancelledError
from vid2vid_cli.pipeline.progress import Hooks
from vid2vid_cli.process.python_child import own_stdout
from vid2vid_cli.process.shutdown import SIGNAL_BASE, clean_up, forced_exit_after

if TYPE_CHECKING:
    from vid2vid_cli.arrays import Frame
    from vid2vid_cli.batch.workbench import Workbench

PROGRESS_EVERY_S, PREVIEW_EVERY_S = 0.2, 0.5
PREVIEW_PX, PREVIEW_QUALITY = 768, 80
CLEANING_S = 0.9
"""How long cleaning up after a signal may take: a little less than local.GRACE_S, when a worker is killed."""
ALONE, SHARED = "alone", "shared"


class MessagePipe:
    """Sends messages to the batch that started this worker."""

    def __init__(self, out: IO[bytes]) -> None:
        self._out = out
        self._last_s = 0.0
        self._shown_s = 0.0

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

    def show(self, path: Path, frame: Frame) -> None:
        """Keep a frame as the newest preview, at most twice a second."""
        from vid2vid_cli.media.image import encode_jpeg

        if time.monotonic() - self._shown_s > PREVIEW_EVERY_S:
            unfinished = path.with_suffix(".part")
            unfinished.write_bytes(encode_jpeg(frame, PREVIEW_QUALITY, PREVIEW_PX))
            unfinished.replace(path)
            self._shown_s = time.monotonic()
            self.send(preview=True)


@dataclass
class Inbox:
    """What the batch has sent. jobs: None ends the work. cancelled: indices of jobs that nobody wants any more."""

    jobs: queue.SimpleQueue[Mapping[str, Any] | None] = field(default_factory=queue.SimpleQueue)
    cancelled: set[int] = field(default_factory=set)

    def listen(self) -> None:
        """Take what comes in. When the input ends, stop even a job that is half done."""
        received = b""
        while part := os.read(0, 1 << 16):  # not sys.stdin, whose lock would still be held when the interpreter ends
            *lines, received = (received + part).split(b"\n")
            for message in map(json.loads, lines):
                if "cancel" in message:
                    self.cancelled.add(message["cancel"])
                else:
                    self.jobs.put(message)
        self.jobs.put(None)
        os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    """Do jobs until the input ends."""
    messages, inbox = MessagePipe(own_stdout()), Inbox()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the batch's to handle
    threading.Thread(target=inbox.listen, daemon=True).start()
    from vid2vid_cli.batch.workbench import Workbench  # until torch is loaded, SIGTERM ends this process at once

    signal.signal(signal.SIGTERM, _leave)
    messages.send(ready=os.getpid())
    try:
        with forced_exit_after(CLEANING_S):
            _work(inbox, Workbench(Path(sys.argv[1]), is_shared=sys.argv[2] == SHARED), messages)
    except SystemExit as ending:
        clean_up()
        os._exit(int(ending.code or 0))  # skips the second that Python takes to unload the libraries


def _work(inbox: Inbox, bench: Workbench, messages: MessagePipe) -> None:
    while (plain := inbox.jobs.get()) is not None:
        job = Job.from_json(plain)
        outcome = bench.do(job, hooks_of(job, inbox, messages))
        inbox.cancelled.discard(job.index)
        messages.send(outcome=asdict(outcome))


def hooks_of(job: Job, inbox: Inbox, messages: MessagePipe) -> Hooks:
    """Return hooks that pass on how far a job is and how it looks, and that end it once it is cancelled."""

    def progress(done: int, total: int | None) -> None:
        if job.index in inbox.cancelled:
            raise CancelledError
        messages.progress(done, total)

    def show(frame: Frame) -> None:
        if job.preview is not None:
            messages.show(job.preview, frame)

    return Hooks(progress, show=show)


def _leave(number: int, frame: FrameType | None) -> None:
    """End once, running every `finally`."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    sys.exit(SIGNAL_BASE + number)

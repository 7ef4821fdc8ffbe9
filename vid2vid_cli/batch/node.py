"""What runs on the nodes of a Ray cluster: a job a task, the model kept from task to task, files shipped if wished."""

from __future__ import annotations

import io
import os
import signal
import stat
import tarfile
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from vid2vid_cli.batch.jobs import Job
from vid2vid_cli.batch.report import Outcome, failure
from vid2vid_cli.errors import MediaError
from vid2vid_cli.media.publishing import publish, publish_frames
from vid2vid_cli.pipeline.progress import Hooks
from vid2vid_cli.process.scratch import Scratch, sweep

if TYPE_CHECKING:
    from vid2vid_cli.batch.workbench import Workbench

PROGRESS_EVERY_S = 0.5


class Progress:
    """How far the jobs are; an actor that the tasks tell and the driver asks."""

    def __init__(self) -> None:
        self._news: dict[int, tuple[int, int | None]] = {}

    def tell(self, index: int, done: int, total: int | None) -> None:
        """Note how far a job is."""
        self._news[index] = (done, total)

    def take(self) -> dict[int, tuple[int, int | None]]:
        """Return what is new since the last time."""
        news, self._news = self._news, {}
        return news


@dataclass(frozen=True)
class Shipment:
    """That the inputs come, and the output goes, by the object store. has_checkpoint: whether the last file is one."""

    has_checkpoint: bool


class LateError(BaseException):
    """A job has had its time; no `except Exception` of any library shall keep it from ending."""


@lru_cache(maxsize=1)
def _workbench(cache: str) -> Workbench:
    """Keep the model and what is remembered from task to task of this process."""
    from vid2vid_cli.batch.workbench import Workbench

    return Workbench(Path(cache), is_shared=True)


def vid2vid_job(
    plain: Mapping[str, Any], limits: tuple[str, float], progress: Any, shipment: Shipment | None, *files: bytes
) -> tuple[dict[str, Any], bytes | None]:
    """Do one job. limits: folder of what is remembered, seconds for the job. Returns its outcome and shipped output."""
    job, (cache, timeout_s) = Job.from_json(plain), limits
    hooks = _hooks(job, progress)
    if shipment is None:
        return asdict(_do(job, cache, timeout_s, hooks)), None
    try:
        home = private_folder()
        sweep(home, again=True)  # of what tasks left whose process was killed
        with Scratch(home / "job") as scratch:
            local = unpack(job, scratch.folder, shipment, files)
            outcome = _do(local, str(home / "cache"), timeout_s, hooks)
            content = pack_output(local.output) if outcome.state == "done" else None
        return asdict(_with_names(outcome, local, job)), content
    except OSError as error:
        words = f"{error.filename or tempfile.gettempdir()}: {error.strerror or error}"
        return asdict(failure(f"{job.output}: a node has no place for its files: {words}; free some there")), None
    except MediaError as error:
        return asdict(failure(str(error))), None


def private_folder() -> Path:
    """Return a folder for temporary files that is this user's alone. MediaError where another has taken its name."""
    user = os.getuid() if hasattr(os, "getuid") else 0
    folder = Path(tempfile.gettempdir(), f"vid2vid-{user}")
    folder.mkdir(0o700, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != user:
        raise MediaError(f"{folder}: belongs to somebody else; remove it, or set TMPDIR to another folder")
    return folder


def _hooks(job: Job, progress: Any) -> Hooks:
    last_s = 0.0

    def tell(done: int, total: int | None) -> None:
        nonlocal last_s
        if done == 1 or time.monotonic() - last_s > PROGRESS_EVERY_S:  # others may wait for a first frame
            last_s = time.monotonic()
            progress.tell.remote(job.index, done, total)

    tell(0, None)
    return Hooks(tell)


def _do(job: Job, cache: str, timeout_s: float, hooks: Hooks) -> Outcome:
    try:
        bench = _workbench(cache)
        with time_limit(timeout_s):
            return bench.do(job, hooks)
    except LateError:
        error = f"{job.output}: not ready after {timeout_s:g} s; give it a longer --timeout"
        return failure(error, seconds=timeout_s)


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise LateError after some seconds in the main thread, where tasks run; 0 sets no limit."""
    if not seconds or threading.current_thread() is not threading.main_thread():
        yield
        return

    def late(number: int, frame: FrameType | None) -> None:
        raise LateError

    usual = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, usual)


def unpack(job: Job, folder: Path, shipment: Shipment, files: tuple[bytes, ...]) -> Job:
    """Write the inputs into a folder and return the job with their paths there."""
    paths = []
    for number, content in enumerate(files):
        known = job.inputs[number] if number < len(job.inputs) else Path(job.options.checkpoint)
        path = folder / str(number) / known.name
        path.parent.mkdir()
        path.write_bytes(content)
        paths.append(path)
    options = replace(job.options, checkpoint=str(paths[-1])) if shipment.has_checkpoint else job.options
    driving = None if job.driving is None else paths[1]
    return Job(job.index, paths[0], driving, folder / "out" / job.output.name, options)


def _with_names(outcome: Outcome, local: Job, job: Job) -> Outcome:
    """Let messages name the files that the user knows."""
    names = [(str(here), str(there)) for here, there in zip(local.inputs, job.inputs, strict=True)]
    names += [(str(local.output), str(job.output)), (local.options.checkpoint, job.options.checkpoint)]

    def renamed(text: str) -> str:
        for here, there in names:
            text = text.replace(here, there)
        return text

    error = None if outcome.error is None else renamed(outcome.error)
    return replace(outcome, error=error, warnings=tuple(map(renamed, outcome.warnings)))


def pack_output(path: Path) -> bytes:
    """Return an output as one string of bytes: a tar archive with the file, or the folder of frames, as `output`."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.add(path, "output")
    return packed.getvalue()


def publish_output(path: Path, packed: bytes) -> None:
    """Unpack an output beside its place and rename it there, whole or not at all."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with Scratch(path) as scratch, tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            archive.extractall(scratch.folder, filter="data")
            made = scratch.file("output")
            (publish_frames if made.is_dir() else publish)(made, path, None)  # sealed on the node that made it
    except (OSError, tarfile.TarError) as error:
        raise MediaError(f"{path}: cannot be written: {error}; free some space or choose another folder") from error

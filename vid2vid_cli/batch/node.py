"""What runs on the nodes of a Ray cluster: one task per job. The model is kept from task to task."""

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
from vid2vid_cli.media.credentials.signing import sidecar_of
from vid2vid_cli.media.publishing import publish, publish_frames
from vid2vid_cli.pipeline.progress import Hooks
from vid2vid_cli.process.scratch import Scratch, sweep

if TYPE_CHECKING:
    from vid2vid_cli.batch.workbench import Workbench

PROGRESS_EVERY_S = 0.5


class Progress:
    """How far each job is: an actor that tasks report to, and that the driver asks."""

    def __init__(self) -> None:
        self._latest: dict[int, tuple[int, int | None]] = {}

    def report(self, index: int, done: int, total: int | None) -> None:
        """Record how far a job is, in frames."""
        self._latest[index] = (done, total)

    def take(self) -> dict[int, tuple[int, int | None]]:
        """Return the frames done and in all of each job that moved on since the last call, by the job's index."""
        latest, self._latest = self._latest, {}
        return latest


@dataclass(frozen=True)
class Shipment:
    """Says that inputs and output travel through the object store. has_checkpoint: whether the last file is one."""

    has_checkpoint: bool


@dataclass(frozen=True)
class TaskLimits:
    """What a job may use on a node. cache: folder for what is remembered. timeout_s: 0 for no limit."""

    cache: str
    timeout_s: float


class LateError(BaseException):
    """A job ran out of time. Not an Exception, so that no library's `except Exception` keeps the job alive."""


@lru_cache(maxsize=1)
def _workbench(cache: str) -> Workbench:
    """Return the workbench of this process, which keeps the model from task to task."""
    from vid2vid_cli.batch.workbench import Workbench

    return Workbench(Path(cache), is_shared=True)


def vid2vid_job(
    plain: Mapping[str, Any], limits: TaskLimits, progress: Any, shipment: Shipment | None, *files: bytes
) -> tuple[dict[str, Any], bytes | None]:
    """Do one job. Returns its outcome, and the packed output if files are shipped. files: the inputs' contents."""
    job = Job.from_json(plain)
    hooks = _hooks(job, progress)
    if shipment is None:
        return asdict(_do(job, limits, hooks)), None
    try:
        home = private_folder()
        sweep(home, again=True)  # what tasks left whose process was killed
        with Scratch(home / "job") as scratch:
            local = unpack(job, scratch.folder, shipment, files)
            # The batch's own cache is a folder of the driver's machine, which may not exist here.
            outcome = _do(local, replace(limits, cache=str(home / "cache")), hooks)
            content = pack_output(local.output) if outcome.state == "done" else None
        return asdict(_with_names(outcome, local, job)), content
    except OSError as error:
        words = f"{error.filename or tempfile.gettempdir()}: {error.strerror or error}"
        return asdict(failure(f"{job.output}: a node has no room for its files: {words}; free some space there")), None
    except MediaError as error:
        return asdict(failure(str(error))), None


def private_folder() -> Path:
    """Return a temporary folder that belongs to this user alone. MediaError if somebody else has taken its name."""
    user = os.getuid() if hasattr(os, "getuid") else 0
    folder = Path(tempfile.gettempdir(), f"vid2vid-{user}")
    folder.mkdir(0o700, exist_ok=True)
    status = folder.lstat()  # not stat: somebody else may have put a link there
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != user:
        raise MediaError(f"{folder}: belongs to somebody else; remove it, or set TMPDIR to another folder")
    return folder


def _hooks(job: Job, progress: Any) -> Hooks:
    last_s = 0.0

    def report(done: int, total: int | None) -> None:
        nonlocal last_s
        if (
            done == 1 or time.monotonic() - last_s > PROGRESS_EVERY_S
        ):  # jobs with the same source wait for the first frame
            last_s = time.monotonic()
            progress.report.remote(job.index, done, total)

    report(0, None)
    return Hooks(report)


def _do(job: Job, limits: TaskLimits, hooks: Hooks) -> Outcome:
    try:
        bench = _workbench(limits.cache)  # before the clock starts: loading torch is not the job's fault
        with time_limit(limits.timeout_s):
            return bench.do(job, hooks)
    except LateError:
        error = f"{job.output}: not ready after {limits.timeout_s:g} s; give it a longer --timeout"
        return failure(error, seconds=limits.timeout_s)


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise LateError after some seconds; 0 sets no limit. Works in the main thread only, which is where tasks run."""
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
    """Write the inputs into a folder, and return the job with their paths there."""
    paths = []
    for number, content in enumerate(files):
        known = job.inputs[number] if number < len(job.inputs) else Path(job.options.checkpoint)
        # A folder each: source and driving may have the same name.
        path = folder / str(number) / known.name
        path.parent.mkdir()
        path.write_bytes(content)
        paths.append(path)
    options = replace(job.options, checkpoint=str(paths[-1])) if shipment.has_checkpoint else job.options
    driving = None if job.driving is None else paths[1]
    return Job(job.index, paths[0], driving, folder / "out" / job.output.name, options)


def _with_names(outcome: Outcome, local: Job, job: Job) -> Outcome:
    """Replace the paths on the node in all messages by those that the user knows."""
    names = [(str(here), str(there)) for here, there in zip(local.inputs, job.inputs, strict=True)]
    names += [(str(local.output), str(job.output)), (local.options.checkpoint, job.options.checkpoint)]

    def renamed(text: str) -> str:
        for here, there in names:
            text = text.replace(here, there)
        return text

    error = None if outcome.error is None else renamed(outcome.error)
    return replace(outcome, error=error, warnings=tuple(map(renamed, outcome.warnings)))


def pack_output(path: Path) -> bytes:
    """Return an output as the bytes of a tar archive, in which the file or the folder of frames is called `output`.

    Credentials beside it go along.
    """
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        archive.add(path, "output")
        if sidecar_of(path).is_file():
            archive.add(sidecar_of(path), sidecar_of(Path("output")).name)
    return packed.getvalue()


def publish_output(path: Path, packed: bytes) -> None:
    """Unpack an output next to its path, then rename it: it appears whole or not at all."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with Scratch(path) as scratch, tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            archive.extractall(scratch.folder, filter="data")  # refuses links and paths to elsewhere
            made = scratch.file("output")
            # Sealed on the node that made it. The batch has decided before that this name may be replaced.
            (publish_frames if made.is_dir() else publish)(made, path, None, force=True)
    except (OSError, tarfile.TarError) as error:
        raise MediaError(f"{path}: cannot be written: {error}; free some space or choose another folder") from error

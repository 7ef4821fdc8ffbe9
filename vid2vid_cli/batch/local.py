"""Do jobs in worker processes on this machine: which worker gets which job, and what if one dies or is too slow."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from vid2vid_cli.batch.jobs import Job
from vid2vid_cli.batch.report import Outcome, failure
from vid2vid_cli.batch.worker import ALONE, SHARED
from vid2vid_cli.errors import one_line
from vid2vid_cli.process.python_child import environment_for, python_command
from vid2vid_cli.process.scratch import sweep
from vid2vid_cli.process.shutdown import signals_delayed

GRACE_S = 1.2
"""How long a worker may take to clean up before it is killed."""
DROP_S, DROP_GRACE_S = 0.3, 0.4
"""How long a worker may take to drop a job by itself, and then to clean up: a job is cancelled within a second."""
LOOK_AHEAD = 1000
"""How many waiting jobs are looked at when a worker is free; more would slow down very large batches."""


@dataclass(frozen=True)
class Crew:
    """How jobs are done.

    begin: called with a job before its first try. progress: called with the number of a worker, its job, frames done,
    and frames in all. preview: called with a job that has a newer preview.
    """

    workers: int
    retry: int
    timeout_s: float
    cache: Path
    begin: Callable[[Job], None]
    progress: Callable[[int, Job, int, int | None], None]
    preview: Callable[[Job], None] = lambda job: None


@dataclass
class Queue:
    """The jobs that wait, and what their workers have in common.

    tries: how often each job was begun. known: the sources and motions that are remembered by now.
    in_progress: those that a worker is computing now. Jobs that need them wait, instead of computing them again.
    """

    waiting: list[Job]
    tries: dict[int, int] = field(default_factory=dict)
    known: set[Any] = field(default_factory=set)
    in_progress: set[Any] = field(default_factory=set)

    def take(self, last: Path | None = None, of_others: Collection[Path] = ()) -> Job | None:
        """Take the next job; None if all of them need what another worker is computing now.

        last: the worker's last source, whose jobs come first. of_others: the last sources of other workers, whose jobs
        come last.
        """
        free = [job for job in self.waiting[:LOOK_AHEAD] if self.in_progress.isdisjoint((job.appearance, job.motion))]
        if not free:
            return None
        # A worker keeps its last source in memory, so jobs with the same one are cheapest for it.
        own = (job for job in free if job.source == last)
        unclaimed = (job for job in free if job.source not in of_others)
        job = next(own, None) or next(unclaimed, free[0])
        self.waiting.remove(job)
        self.tries[job.index] = self.tries.get(job.index, 0) + 1
        self.in_progress |= {job.appearance, job.motion} - {None} - self.known
        return job

    def has_begun(self, job: Job) -> None:
        """Note that a job has made its first frame. By then its source is remembered."""
        self.in_progress.discard(job.appearance)
        self.known.add(job.appearance)

    def give_back(self, job: Job, outcome: Outcome, retry: int) -> Outcome | None:
        """Note how a try ended. Returns the final outcome, or None if the job will be tried again."""
        self.in_progress -= {job.appearance, job.motion}
        if outcome.state == "done":
            self.known |= {job.appearance, job.motion} - {None}
        if outcome.is_worth_retrying and self.tries[job.index] <= retry:
            self.waiting.append(job)
            return None
        return replace(outcome, attempts=self.tries[job.index])


class WorkerProcess:
    """One worker: a Python process in a session of its own, so that Ctrl-C does not reach it."""

    def __init__(self, number: int, crew: Crew) -> None:
        self.number = number
        self.job: Job | None = None
        self.last_source: Path | None = None
        self.is_ready = False
        self.began_s = 0.0
        self.drop_by_s: float | None = None
        self._received = b""
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  closed with the worker
        sharing = ALONE if crew.workers == 1 else SHARED
        self.process = subprocess.Popen(
            python_command("vid2vid_cli.batch.worker", str(crew.cache), sharing),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            bufsize=0,
            start_new_session=True,
            env=environment_for(max(1, usable_cores() // crew.workers)),
        )

    def give(self, job: Job) -> None:
        """Give it a job. If it has died, that is noticed when its output ends."""
        self.job, self.began_s, self.last_source = job, time.monotonic(), job.source
        self._send(job.to_json())

    def drop_job(self) -> None:
        """Ask it to give up its job and stay; `is_late` says when it has not."""
        if self.job is not None and self.drop_by_s is None:
            self.drop_by_s = time.monotonic() + DROP_S
            self._send({"cancel": self.job.index})

    def _send(self, message: dict[str, Any]) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._pipe("stdin").write(json.dumps(message).encode() + b"\n")

    def receive(self) -> list[dict[str, Any]] | None:
        """Return the messages that have arrived; None if the worker is gone."""
        part = os.read(self.fileno(), 1 << 16)  # never blocks: the selector said that something is there
        if not part:
            return None
        *lines, self._received = (self._received + part).split(b"\n")
        return [json.loads(line) for line in lines]

    def fileno(self) -> int:
        """The pipe that messages come from."""
        return int(self._pipe("stdout").fileno())

    def deadline_s(self, timeout_s: float) -> float | None:
        """Return when its job must have ended, on the monotonic clock; the worker's start does not count."""
        if self.job is None or self.drop_by_s is not None:
            return self.drop_by_s
        return self.began_s + timeout_s if timeout_s and self.is_ready else None

    def is_late(self, timeout_s: float) -> bool:
        """Say whether its job has run out of time."""
        deadline_s = self.deadline_s(timeout_s)
        return deadline_s is not None and time.monotonic() >= deadline_s

    def last_words(self) -> str:
        """Say how it died."""
        status = self.process.wait()
        self._log.seek(0)
        lines = self._log.read().decode("utf-8", "replace").strip().splitlines()
        how = f"was killed by signal {-status}" if status < 0 else f"ended with code {status}"
        return one_line(f"the worker {how}" + (f": {lines[-1]}" if lines else "; it may have run out of memory"))

    def ask_to_end(self) -> None:
        """Ask it to clean up and end."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)

    def end(self, deadline_s: float) -> None:
        """Wait for it until a time on the monotonic clock, then kill it if it still runs."""
        try:
            self.process.wait(max(0.05, deadline_s - time.monotonic()))
        except subprocess.TimeoutExpired:
            self.process.kill()
        for name in ("stdin", "stdout"):
            with contextlib.suppress(BrokenPipeError):
                self._pipe(name).close()
        self.process.wait()
        self._log.close()

    def _pipe(self, name: str) -> Any:
        return getattr(self.process, name)


def usable_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads_each(workers: int, threads: int) -> int:
    """Return how many threads the networks of a worker get: as many as asked for, or a fair share of the cores."""
    # A single worker leaves one core to what feeds it: decoding, encoding, finding faces.
    return threads or max(1, usable_cores() // workers - (workers == 1 and usable_cores() > 1))


def do_jobs(jobs: Sequence[Job], crew: Crew) -> Iterator[tuple[Job, Outcome]]:
    """Yield each job with its outcome as soon as it ends. Closing the iterator ends all workers."""
    queue, workers = Queue(list(jobs)), dict[int, WorkerProcess]()
    try:
        for number in range(
            min(crew.workers, len(jobs))
        ):  # they load torch while their first job waits for another's source
            start_worker(workers, number, crew)
        while queue.waiting or any(worker.job for worker in workers.values()):
            give_out(queue, workers, crew)
            for worker in ready_workers(workers, crew):
                yield from handle(worker, workers, queue, crew)
            yield from stop_late(workers, queue, crew)
    finally:
        end_workers(list(workers.values()), jobs, crew)


def start_worker(workers: dict[int, WorkerProcess], number: int, crew: Crew) -> WorkerProcess:
    """Start a worker. No interrupt comes between starting and registering it, so that none outlives the batch."""
    with signals_delayed():
        workers[number] = WorkerProcess(number, crew)
    return workers[number]


def give_out(queue: Queue, workers: dict[int, WorkerProcess], crew: Crew) -> None:
    """Give jobs to idle workers. A lost worker is replaced."""
    for number in range(crew.workers):
        worker = workers.get(number)
        if worker is not None and worker.job is not None:
            continue
        of_others = {other.last_source for other in workers.values() if other is not worker and other.last_source}
        job = queue.take(worker.last_source if worker is not None else None, of_others)
        if job is None:
            continue
        if queue.tries[job.index] == 1:
            crew.begin(job)
        (worker or start_worker(workers, number, crew)).give(job)
        crew.progress(number, job, 0, None)


def ready_workers(workers: dict[int, WorkerProcess], crew: Crew, wakeup_fd: int | None = None) -> list[WorkerProcess]:
    """Wait for a message from any worker, until the first of them runs out of time, or for bytes at wakeup_fd."""
    with selectors.DefaultSelector() as selector:
        if wakeup_fd is not None:
            selector.register(wakeup_fd, selectors.EVENT_READ)
        for worker in workers.values():
            selector.register(worker, selectors.EVENT_READ, worker)
        deadlines_s = [worker.deadline_s(crew.timeout_s) for worker in workers.values()]
        first_s = min((each for each in deadlines_s if each is not None), default=None)
        wait_s = None if first_s is None else max(0.0, first_s - time.monotonic())
        return [key.data for key, _ in selector.select(wait_s) if key.data is not None]


def handle(
    worker: WorkerProcess, workers: dict[int, WorkerProcess], queue: Queue, crew: Crew
) -> Iterator[tuple[Job, Outcome]]:
    """Handle the messages of a worker. Yields its job if it has ended for good."""
    messages, job = worker.receive(), worker.job
    if messages is None:
        # It died: write the message that it could no longer send.
        del workers[worker.number]
        seconds = time.monotonic() - worker.began_s
        was_dropped = worker.drop_by_s is not None
        outcome = Outcome("cancelled", seconds) if was_dropped else failure(worker.last_words(), seconds=seconds)
        end_workers([worker], [job] if job is not None else [], crew)
        messages = [{"outcome": asdict(outcome)}]
    for message in messages:
        if "ready" in message:
            # The job's time starts now: loading torch is not its fault.
            worker.is_ready, worker.began_s = True, time.monotonic()
        if job is not None and "progress" in message:
            queue.has_begun(job)
            crew.progress(worker.number, job, *message["progress"])
        if job is not None and "preview" in message:
            crew.preview(job)
        if job is not None and "outcome" in message:
            worker.job = worker.drop_by_s = None
            ended = queue.give_back(job, Outcome.from_json(message["outcome"]), crew.retry)
            if ended is not None:
                yield job, ended


def stop_late(workers: dict[int, WorkerProcess], queue: Queue, crew: Crew) -> Iterator[tuple[Job, Outcome]]:
    """End the workers whose jobs ran out of time, or that did not drop them when they were asked to."""
    for worker in [worker for worker in workers.values() if worker.is_late(crew.timeout_s)]:
        job = worker.job
        if job is None:
            continue
        del workers[worker.number]
        was_dropped = worker.drop_by_s is not None
        end_workers([worker], [job], crew, DROP_GRACE_S if was_dropped else GRACE_S)
        error = f"{job.output}: not ready after {crew.timeout_s:g} s; give it a longer --timeout"
        outcome = Outcome("cancelled") if was_dropped else failure(error, seconds=crew.timeout_s)
        ended = queue.give_back(job, outcome, crew.retry)
        if ended is not None:
            yield job, ended


def end_workers(workers: Sequence[WorkerProcess], jobs: Sequence[Job], crew: Crew, grace_s: float = GRACE_S) -> None:
    """End workers, all at once, and remove what they left if they had to be killed."""
    for worker in workers:
        worker.ask_to_end()
    deadline_s = time.monotonic() + grace_s
    for worker in workers:
        worker.end(deadline_s)
    for folder in {crew.cache, *(job.output.parent for job in jobs)}:
        sweep(folder, again=True)

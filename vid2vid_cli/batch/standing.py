"""Workers that wait for jobs: what a server has, where a batch knows all of its jobs when it begins."""

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable

from vid2vid_cli.batch.jobs import Job
from vid2vid_cli.batch.local import (
    Crew,
    Queue,
    WorkerProcess,
    end_workers,
    give_out,
    handle,
    ready_workers,
    start_worker,
    stop_late,
)
from vid2vid_cli.batch.report import Outcome

Ended = Callable[[Job, Outcome], None]


class Standing(ABC):
    """Does jobs as they come, in the order in which they came but for those that need what another is computing.

    ended: called with each job and its outcome. It and the functions of the crew are called in a thread of this object,
    which alone touches the workers: all methods return at once.
    """

    def __init__(self, ended: Ended) -> None:
        self._ended, self._queue = ended, Queue([])
        self._requests: deque[Callable[[], None]] = deque()
        self._is_closing = False
        self._wakeup_fd, self._wake_fd = os.pipe()
        self._thread = threading.Thread(target=self._run, name="vid2vid-crew", daemon=True)
        self._thread.start()

    def submit(self, job: Job) -> None:
        """Take a job. Its index must be its own."""
        self._ask(lambda: self._queue.waiting.append(job))

    def cancel(self, index: int) -> None:
        """Cancel a job, whether it waits or is being done. Without effect if it has ended."""
        self._ask(lambda: self._cancel(index))

    def close(self) -> None:
        """End all workers, and wait for that; jobs that have not ended are forgotten."""
        self._ask(self._begin_to_close)
        self._thread.join()
        os.close(self._wake_fd)

    def _ask(self, request: Callable[[], None]) -> None:
        self._requests.append(request)
        os.write(self._wake_fd, b"!")

    def _run(self) -> None:
        try:
            while not self._is_closing:
                self._work()
                while self._requests:
                    self._requests.popleft()()
                    os.read(self._wakeup_fd, 1)  # one byte came with each, before or just after it
        finally:
            self._end()
            os.close(self._wakeup_fd)

    def _begin_to_close(self) -> None:
        self._is_closing = True

    def _cancel(self, index: int) -> None:
        for job in [job for job in self._queue.waiting if job.index == index]:
            self._queue.waiting.remove(job)
            self._ended(job, Outcome("cancelled"))
        self._drop(index)

    @abstractmethod
    def warm_up(self) -> None:
        """Let those who are to do the jobs get ready."""

    @abstractmethod
    def _work(self) -> None:
        """Hand out jobs, and take what comes back; wait until something does, or a byte is at the wakeup pipe."""

    @abstractmethod
    def _drop(self, index: int) -> None:
        """Cancel a job that is being done."""

    @abstractmethod
    def _end(self) -> None:
        """End all work."""


class StandingCrew(Standing):
    """Worker processes on this machine, which keep the model from job to job."""

    def __init__(self, crew: Crew, ended: Ended) -> None:
        self._crew, self._workers = crew, dict[int, WorkerProcess]()
        super().__init__(ended)

    def warm_up(self) -> None:
        """Start the workers, so that the first job need not wait until they have loaded torch."""
        self._ask(self._start_all)

    def _start_all(self) -> None:
        for number in range(self._crew.workers):
            if number not in self._workers:
                start_worker(self._workers, number, self._crew)

    def _work(self) -> None:
        give_out(self._queue, self._workers, self._crew)
        for worker in ready_workers(self._workers, self._crew, self._wakeup_fd):
            for job, outcome in handle(worker, self._workers, self._queue, self._crew):
                self._ended(job, outcome)
        for job, outcome in stop_late(self._workers, self._queue, self._crew):
            self._ended(job, outcome)

    def _drop(self, index: int) -> None:
        for worker in self._workers.values():
            if worker.job is not None and worker.job.index == index:
                worker.drop_job()

    def _end(self) -> None:
        end_workers(list(self._workers.values()), [], self._crew)

"""Do jobs on a Ray cluster, from the driver's side. What runs on the nodes is in `node.py`."""

from __future__ import annotations

import contextlib
import itertools
import signal
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import Any

from vid2vid_cli.batch.jobs import Job
from vid2vid_cli.batch.local import Crew, Queue
from vid2vid_cli.batch.node import Progress, Shipment, TaskLimits, publish_output, vid2vid_job
from vid2vid_cli.batch.report import Outcome, failure
from vid2vid_cli.errors import MediaError, UsageError, describe_failure, one_line
from vid2vid_cli.process.scratch import sweep

LOOK_EVERY_S = 0.3
AHEAD = 2
"""How many jobs are handed over for each that can run, so that no node is idle."""
GRACE_S = 5.0
"""How long cancelled tasks may take to clean up, on nodes that are busy."""
KILLED_S = 3.0
"""How long what did not clean up in time may take to end for Ray, before what it left is removed here."""
GONE_S = 15.0
"""How long its processes may take to be gone: Ray's yield to all others, and where those are busy, they die slowly."""
SWEEP_EVERY_S = 0.1
CONNECT_S = 5.0


@dataclass
class Cluster:
    """A connection to Ray, and the jobs that were handed over.

    ship: whether files go through the object store. ours: whether this batch opened the connection.
    progress: the actor that tasks report to. tasks: jobs by Ray's reference.
    slots: the number of the bar that shows a job, by the job's index. shipped: files in the object store, by path.
    """

    ray: Any
    crew: Crew
    ship: bool
    ours: bool
    progress: Any
    tasks: dict[Any, Job] = field(default_factory=dict)
    slots: dict[int, int] = field(default_factory=dict)
    shipped: dict[Path, Any] = field(default_factory=dict)

    def most_at_once(self, job: Job) -> int:
        """Return how many jobs like this one are handed over at a time: as many as can run, and as many again."""
        # Asked anew each time: nodes come and go.
        available = self.ray.cluster_resources()
        needs = resources(job)
        runs = min(int(available.get(name, 0) // need) for name, need in needs.items() if need)
        return max(1, AHEAD * runs)

    def submit(self, job: Job) -> None:
        """Hand a job over."""
        needs = resources(job)
        # The queue decides about retries: it knows which failures may be temporary.
        task = self.ray.remote(vid2vid_job).options(num_cpus=needs["CPU"], num_gpus=needs["GPU"], max_retries=0)
        model = job.checkpoint_path
        shipment = Shipment(has_checkpoint=model is not None) if self.ship else None
        files = [self._put(path) for path in (*job.inputs, model) if path is not None] if self.ship else []
        # A task runs in another folder, and perhaps on another machine that shares this one's disk.
        far = replace(
            job,
            source=job.source.absolute(),
            driving=None if job.driving is None else job.driving.absolute(),
            output=job.output.absolute(),
            options=job.options if model is None else replace(job.options, checkpoint=str(model.absolute())),
        )
        limits = TaskLimits(str(self.crew.cache.absolute()), self.crew.timeout_s)
        self.tasks[task.remote(far.to_json(), limits, self.progress, shipment, *files)] = job

    def _put(self, path: Path) -> Any:
        """Put a file into the object store, once."""
        if path not in self.shipped:
            self.shipped[path] = self.ray.put(path.read_bytes())
        return self.shipped[path]

    def forget_files(self, waiting: Sequence[Job]) -> None:
        """Drop the files from the object store that no job needs any more."""
        needed = {path for job in (*waiting, *self.tasks.values()) for path in (*job.inputs, job.checkpoint_path)}
        for path in [path for path in self.shipped if path not in needed]:
            del self.shipped[path]

    def show(self) -> list[Job]:
        """Pass on how far the jobs are. Returns those that have made a frame."""
        begun = []
        by_index = {job.index: job for job in self.tasks.values()}
        for index, (done, total) in self.ray.get(self.progress.take.remote()).items():
            if index not in by_index:
                continue
            taken = set(self.slots.values())
            slot = self.slots.setdefault(index, next(k for k in itertools.count() if k not in taken))
            self.crew.progress(slot, by_index[index], done, total)
            if done:
                begun.append(by_index[index])
        return begun

    def collect(self, task: Any) -> tuple[Job, Outcome]:
        """Return the outcome of a task, however it ended."""
        job = self.tasks.pop(task)
        self.slots.pop(job.index, None)
        try:
            plain, content = self.ray.get(task)
            if content is not None:
                publish_output(job.output, content)
        except (MediaError, OSError) as error:
            return job, failure(*describe_failure(error))
        except Exception as error:  # noqa: BLE001  Ray has many: a worker, a node or an object is lost
            lines = [line for line in str(error).splitlines() if line.strip()]
            return job, failure(one_line(f"{job.output}: its worker was lost: {lines[0] if lines else error!r}"))
        return job, Outcome.from_json(plain)

    def close(self) -> None:
        """Cancel all tasks, and leave the cluster as it was."""
        for task in self.tasks:
            with contextlib.suppress(Exception):  # a job whose input could not be read has no task
                self.ray.cancel(task, force=False)
        late = self._await(GRACE_S)
        for task in late:
            with contextlib.suppress(Exception):
                self.ray.cancel(task, force=True)
        self._await(KILLED_S)
        with contextlib.suppress(Exception):
            self.ray.kill(self.progress)
        if self.ours:
            self.ray.shutdown()
        if self.tasks and not self.ship:
            self._sweep_up(GONE_S if late else KILLED_S)

    def _sweep_up(self, seconds: float) -> None:
        """Remove what tasks left that were killed before they had cleaned up, once their processes are gone.

        seconds: how long to wait for that. Another batch that works in the same folder looks like one that dies slowly.
        """
        deadline = time.monotonic() + seconds
        for folder in {self.crew.cache, *(job.output.parent for job in self.tasks.values())}:
            while not sweep(folder, again=True) and time.monotonic() < deadline:
                time.sleep(SWEEP_EVERY_S)

    def _await(self, seconds: float) -> list[Any]:
        """Wait until all tasks have ended, for some time at most. Returns those that have not."""
        if not self.tasks:
            return []
        try:
            return list(self.ray.wait(list(self.tasks), num_returns=len(self.tasks), timeout=seconds)[1])
        except Exception:  # noqa: BLE001  Ray has many, and the cluster may be gone
            return list(self.tasks)


def resources(job: Job) -> dict[str, float]:
    """Return what a job needs of a node: a core per thread, and a GPU if it computes on one."""
    return {"CPU": max(1, job.options.threads), "GPU": 1 if job.options.device.startswith("cuda") else 0}


def do_jobs_on_cluster(jobs: Sequence[Job], crew: Crew, address: str, *, ship: bool) -> Iterator[tuple[Job, Outcome]]:
    """Yield each job with its outcome as soon as it ends. Closing the iterator cancels the rest."""
    if not jobs:
        return
    queue, cluster = Queue(list(jobs)), connect(address, crew, ship=ship)
    try:
        while queue.waiting or cluster.tasks:
            hand_over(queue, cluster)
            ended, _ = cluster.ray.wait(list(cluster.tasks), timeout=LOOK_EVERY_S)
            for job in cluster.show():
                queue.has_begun(job)
            for task in ended:
                job, outcome = cluster.collect(task)
                final = queue.give_back(job, outcome, crew.retry)
                if final is not None:
                    yield job, final
            cluster.forget_files(queue.waiting)
    finally:
        cluster.close()


def hand_over(queue: Queue, cluster: Cluster) -> None:
    """Hand over as many of the waiting jobs as the cluster can begin soon."""
    while queue.waiting and len(cluster.tasks) < cluster.most_at_once(queue.waiting[0]):
        job = queue.take()
        if job is None:
            return
        if queue.tries[job.index] == 1:
            cluster.crew.begin(job)
        try:
            cluster.submit(job)
        except OSError as error:  # an input that cannot be read for shipping
            words = f"{error.filename}: cannot be read: {error.strerror}; check the name and its permissions"
            cluster.tasks[cluster.ray.put((asdict(failure(words)), None))] = job


def connect(address: str, crew: Crew, *, ship: bool) -> Cluster:
    """Connect to a cluster. UsageError if there is none, or if Ray is not installed here."""
    try:
        ray = import_module("ray")
    except ImportError as error:
        raise UsageError("--cluster: Ray is not installed; pip install 'vid2vid[cluster]'") from error
    ours = not ray.is_initialized()
    if ours:
        _check_listening(address)
        try:
            with sigterm_kept():
                ray.init(address=address, logging_level="ERROR", log_to_driver=False)
        except (ConnectionError, ValueError, RuntimeError, TimeoutError) as error:
            words = one_line(str(error).splitlines()[0] if str(error) else type(error).__name__)
            raise UsageError(
                f"--cluster {address}: no cluster answers ({words}); start one with ray start --head"
            ) from error
    # If its node is lost, the actor starts again on another one, and calls wait for that.
    progress = ray.remote(Progress).options(num_cpus=0, max_restarts=-1, max_task_retries=-1).remote()
    return Cluster(ray, crew, ship, ours, progress)


@contextmanager
def sigterm_kept() -> Iterator[None]:
    """Keep the handler of SIGTERM: Ray installs one of its own, which exits with code 15."""
    usual = signal.getsignal(signal.SIGTERM)
    if usual is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    came = False  # whether SIGTERM arrived while Ray's handler was in place
    try:
        yield
    except SystemExit as ending:
        came = ending.code == signal.SIGTERM
        if not came:
            raise
    finally:
        signal.signal(signal.SIGTERM, usual)
    if came:
        signal.raise_signal(signal.SIGTERM)


def _check_listening(address: str) -> None:
    """Raise UsageError if nothing listens at HOST:PORT. Ray itself would try for minutes, and fail in a log only."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host:
        return
    try:
        with socket.create_connection((host, int(port)), CONNECT_S):
            return
    except (OSError, ValueError, OverflowError) as error:
        raise UsageError(
            f"--cluster {address}: nothing answers there ({error}); write HOST:PORT of its head"
        ) from error

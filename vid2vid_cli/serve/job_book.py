"""The jobs since the server started: how far each is, who waits for news of it, and where its result lies."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from vid2vid_cli.batch.jobs import Job
from vid2vid_cli.batch.local import Crew, threads_each
from vid2vid_cli.batch.report import Outcome
from vid2vid_cli.serve.job_requests import MEDIA_TYPES, JobRequest
from vid2vid_cli.serve.options import Limits
from vid2vid_cli.serve.refusals import RefusedError, not_found
from vid2vid_cli.serve.store import FileStore, new_id

ENDED = ("done", "failed", "cancelled")
STATES = ("waiting", "running", *ENDED)
CANCEL_S = 2.0
NEWS_EVERY_S = 0.2
HEARTBEAT_S = 15.0


class Workers(Protocol):
    """Who does the jobs, such as `batch.standing.StandingCrew`."""

    def submit(self, job: Job) -> None:
        """Take a job."""
        ...

    def cancel(self, index: int) -> None:
        """Cancel a job."""
        ...

    def close(self) -> None:
        """End all work."""
        ...


@dataclass(eq=False)
class JobRecord:
    """One job. done, total: frames. previews: how many preview pictures there have been."""

    id: str
    job: Job
    request: JobRequest
    created: float
    state: str = "waiting"
    done: int = 0
    total: int | None = None
    error: str | None = None
    code: int = 0
    seconds: float = 0.0
    warnings: tuple[str, ...] = ()
    previews: int = 0
    size_bytes: int | None = None
    released: contextlib.ExitStack = field(default_factory=contextlib.ExitStack)
    watchers: set[asyncio.Event] = field(default_factory=set)

    @property
    def has_ended(self) -> bool:
        """Whether nothing more will happen to it."""
        return self.state in ENDED

    @property
    def result_name(self) -> str:
        """Return what a browser should call the result: plain letters only."""
        stems = [re.sub(r"[^A-Za-z0-9_-]+", "-", Path(each.name).stem).strip("-")[:40] for each in self.files]
        stem = "--".join(each or "file" for each in stems)
        return f"{stem}{'' if len(stems) > 1 else '--rotated'}.{self.request.format}"

    @property
    def files(self) -> list[Any]:
        """The source and the driving."""
        return [each for each in (self.request.source, self.request.driving) if each is not None]

    @property
    def media_type(self) -> str:
        """Return the result's media type."""
        return MEDIA_TYPES[self.request.format]

    def to_json(self) -> dict[str, Any]:
        """Return it as the API shows it."""
        has_result = self.state == "done"
        result = {"name": self.result_name, "bytes": self.size_bytes, "media_type": self.media_type}
        return {
            "id": self.id,
            "command": self.request.command,
            "state": self.state,
            "created": self.created,
            "done": self.done,
            "total": self.total,
            "error": self.error,
            "code": self.code,
            "seconds": round(self.seconds, 3),
            "command_line": self.request.command_line,
            "source": self.request.source.id,
            "driving": None if self.request.driving is None else self.request.driving.id,
            "format": self.request.format,
            "has_preview": self.previews > 0,
            "result": result if has_result else None,
            "warnings": list(self.warnings),
        }

    def tell_watchers(self) -> None:
        """Let everybody who waits for news look again."""
        for watcher in self.watchers:
            watcher.set()

    def in_clients_words(self, text: str) -> str:
        """Replace the paths in a message by the names that the client knows."""
        for each in self.request.files:
            text = text.replace(str(each.path), each.name)
        text = text.replace(str(self.job.output), self.result_name)
        return text.replace(f"{self.job.output.parent}/", "")


class JobBook:
    """All jobs, by id. folder: for results and previews. Everything happens in the event loop's thread."""

    def __init__(self, folder: Path, results: Path, store: FileStore, limits: Limits) -> None:
        folder.mkdir(mode=0o700)
        self._folder, self._results, self._store, self._limits = folder, results, store, limits
        self._records: dict[str, JobRecord] = {}
        self._by_index: dict[int, JobRecord] = {}
        self._numbers = itertools.count()
        self._loop = asyncio.get_running_loop()
        self._workers: Workers | None = None

    def crew(self, workers: int, cache: Path) -> Crew:
        """Return how the jobs are done; what happens to them is noted in this book."""

        def begin(job: Job) -> None:
            self._later(lambda: self._note(job, state="running"))

        def progress(number: int, job: Job, done: int, total: int | None) -> None:
            self._later(lambda: self._note(job, done=done, total=total))

        def preview(job: Job) -> None:
            self._later(lambda: self._note(job, previews=self._by_index[job.index].previews + 1))

        return Crew(workers, 0, self._limits.job_s, cache, begin, progress, preview)

    def hire(self, workers: Workers) -> None:
        """Say who does the jobs."""
        self._workers = workers

    def ended(self, job: Job, outcome: Outcome) -> None:
        """Note how a job ended. May be called from any thread."""
        self._later(lambda: self._end(job, outcome))

    def _later(self, happens: Callable[[], None]) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: the server ends
            self._loop.call_soon_threadsafe(happens)

    def _note(self, job: Job, **changes: Any) -> None:
        record = self._by_index.get(job.index)
        if record is not None and not record.has_ended:
            for name, value in changes.items():
                setattr(record, name, value)
            record.tell_watchers()

    def _end(self, job: Job, outcome: Outcome) -> None:
        record = self._by_index.get(job.index)
        if record is None:
            return
        record.state = outcome.state
        record.seconds, record.code = outcome.seconds, outcome.exit_code
        record.error = None if outcome.error is None else record.in_clients_words(outcome.error)
        record.warnings = tuple(map(record.in_clients_words, outcome.warnings))
        if outcome.state == "done":
            record.done = record.total = outcome.frames
            record.size_bytes = job.output.stat().st_size if job.output.is_file() else None
        record.released.close()
        record.tell_watchers()

    def newest_first(self) -> list[JobRecord]:
        """Return all jobs."""
        return list(reversed(self._records.values()))

    def get(self, number: str) -> JobRecord:
        """Return a job by its id."""
        if number not in self._records:
            raise not_found("job")
        return self._records[number]

    def check_room(self) -> None:
        """Raise RefusedError if there are as many jobs as there may be."""
        if len(self._records) >= self._limits.jobs:
            raise RefusedError(f"the server knows {self._limits.jobs} jobs; delete some", 429)
        if sum(record.size_bytes or 0 for record in self._records.values()) > self._limits.total_bytes:
            raise RefusedError("the results of all jobs take as much as they may; delete some", 429)

    def add(self, request: JobRequest, threads: int) -> JobRecord:
        """Begin a job as soon as somebody is free."""
        self.check_room()
        if self._workers is None:
            raise ValueError("nobody does jobs yet")
        number, index = new_id(), next(self._numbers)
        driving = None if request.driving is None else request.driving.path
        job = Job(
            index,
            request.source.path,
            driving,
            self._results / f"{request.command}-{time.strftime('%Y%m%d-%H%M%S')}-{number}.{request.format}",
            replace(request.options, threads=threads),
            self._folder / f"{number}.jpg",
        )
        record = JobRecord(number, job, request, time.time())
        for each in request.files:
            record.released.enter_context(self._store.use(each))
        self._records[number] = self._by_index[index] = record
        self._workers.submit(job)
        return record

    async def delete(self, number: str) -> JobRecord:
        """Cancel a job, and wait until it has ended; or remove one that has, with its result."""
        record = self.get(number)
        if not record.has_ended:
            if self._workers is not None:
                self._workers.cancel(record.job.index)
            await self._wait_for_end(record)
            return record
        del self._records[number], self._by_index[record.job.index]
        for path in (record.job.output, record.job.preview):
            for part in [] if path is None else path.parent.glob(f"{path.stem}.*"):  # credentials lie beside some
                part.unlink(missing_ok=True)
        return record

    async def _wait_for_end(self, record: JobRecord) -> None:
        async def end() -> None:
            async for _ in self.news(record):
                pass

        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(end(), CANCEL_S)

    async def news(self, record: JobRecord) -> AsyncIterator[str]:
        """Yield "job" when a job has changed, "preview" when it has a newer one, "" now and then; until it has ended.

        At most five times a second.
        """
        changed = asyncio.Event()
        record.watchers.add(changed)
        shown = 0
        try:
            while True:
                has_ended = record.has_ended
                changed.clear()
                if record.previews != shown:
                    shown = record.previews
                    yield "preview"
                yield "job"
                if has_ended:
                    return
                await asyncio.sleep(NEWS_EVERY_S)
                while not await _happens(changed, HEARTBEAT_S):
                    yield ""
        finally:
            record.watchers.discard(changed)


async def _happens(event: asyncio.Event, within_s: float) -> bool:
    try:
        await asyncio.wait_for(event.wait(), within_s)
    except asyncio.TimeoutError:
        return False
    return True


def fair_threads(jobs: int) -> int:
    """Return how many threads the networks of a job get: what is left when a live picture takes its share."""
    return threads_each(jobs + 1, 0)

"""Everything that the server keeps while it runs, and how that begins and ends."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from vid2vid_cli.batch.local import Crew
from vid2vid_cli.batch.standing import Standing, StandingCrew
from vid2vid_cli.errors import UsageError, Vid2VidError
from vid2vid_cli.process.scratch import Scratch, sweep
from vid2vid_cli.serve.job_book import JobBook, JobRecord, fair_threads
from vid2vid_cli.serve.job_requests import JobRequest
from vid2vid_cli.serve.live_sessions import LiveSessions
from vid2vid_cli.serve.looking import Looker
from vid2vid_cli.serve.options import Limits, ServeOptions
from vid2vid_cli.serve.store import FileStore, StoredFile, Upload


@dataclass(frozen=True)
class Folders:
    """Where things lie, all but the results private to this server and gone when it ends."""

    private: Path
    results: Path

    @classmethod
    def under(cls, private: Path, keep: str | None) -> Folders:
        """Return them. keep: the folder that the user wants the results in."""
        return cls(private, private / "results" if keep is None else Path(keep))


class Service:
    """The files, the jobs and the live pictures of one server."""

    def __init__(self, options: ServeOptions, folders: Folders) -> None:
        """Make the folders. Nothing is started yet; see `start`."""
        self.options, self.limits = options, Limits.of(options)
        folders.results.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.store = FileStore(folders.private / "files", self.limits)
        self.looker = Looker(options.checkpoint, self.limits)
        self.book = JobBook(folders.private / "previews", folders.results, self.store, self.limits)
        self.live = LiveSessions(options, self.limits)
        self._crew = self._hire(self.book.crew(options.jobs, folders.private / "cache"))
        self.book.hire(self._crew)
        self._warming: set[asyncio.Task[None]] = set()

    def _hire(self, crew: Crew) -> Standing:
        if self.options.cluster is None:
            return StandingCrew(crew, self.book.ended)
        from vid2vid_cli.batch.standing_cluster import StandingCluster  # needs Ray, which most users do not have

        return StandingCluster(crew, self.book.ended, self.options.cluster)

    def start(self) -> None:
        """Load torch in the processes that will need it, while the first page is shown."""
        self._in_background(self.looker.warm_up())

    async def take(self, upload: Upload) -> StoredFile:
        """Find out what a file holds, and keep it. RefusedError if it cannot be used."""
        try:
            facts = await self.looker.describe(upload.path)
        except Vid2VidError as error:
            error.args = (str(error).replace(str(upload.path), upload.name),)
            raise
        self._crew.warm_up()  # whoever sends files will soon want something done with them
        if facts["kind"] == "picture":
            self._in_background(self.live.warm_up())
        return upload.keep(facts)

    async def begin_job(self, request: JobRequest) -> JobRecord:
        """Check what is asked for as the command itself would, then begin."""
        self.book.check_room()
        background = None if request.background is None else str(request.background.path)
        if background is not None and self.options.cluster is not None:
            raise UsageError("--background: no file is sent to the cluster for it; use a colour")
        plain = asdict(request.options)
        name = f"result.{request.format}"
        await self.looker.check(request.command, plain, name, is_clip=request.is_clip, background=background)
        return self.book.add(request, self.options.threads or fair_threads(self.options.jobs))

    def _in_background(self, work: Any) -> None:
        task = asyncio.ensure_future(_without_fuss(work))
        self._warming.add(task)
        task.add_done_callback(self._warming.discard)

    async def close(self) -> None:
        """End all processes."""
        for task in self._warming:
            task.cancel()
        ending = asyncio.get_running_loop().run_in_executor(None, self._crew.close)
        await asyncio.gather(self.looker.close(), self.live.close(), ending, return_exceptions=True)


async def _without_fuss(work: Any) -> None:
    # What fails now fails again when somebody asks for it, who is then told.
    with contextlib.suppress(Vid2VidError, OSError):
        await work


def private_folder() -> Scratch:
    """Return a folder for this server alone, which only its user can enter; what killed servers left is removed."""
    beside = Path(tempfile.gettempdir()) / "vid2vid"
    sweep(beside.parent, again=True)
    return Scratch(beside)

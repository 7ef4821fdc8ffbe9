"""How each job ended: report.jsonl, which grows while the batch runs and is sorted at its end."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Literal

from vid2vid_cli.batch.jobs import Job, checkpoint_parts
from vid2vid_cli.errors import MediaError, NoFaceError, OutputExistsError, UsageError, WeightsError
from vid2vid_cli.media.files import hash_output
from vid2vid_cli.process.scratch import Scratch
from vid2vid_cli.version import __version__

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

REPORT = "report.jsonl"
State = Literal["done", "failed", "refused", "begun", "cancelled"]
# Exit codes of failures that a retry cannot fix.
_HOPELESS = frozenset(kind.exit_code for kind in (UsageError, NoFaceError, WeightsError))


@dataclass(frozen=True)
class Outcome:
    """How a job ended.

    state: `refused` if its output exists and no batch made it; `begun` if the batch was killed before it ended.
    `cancelled` if whoever asked for it changed their mind.
    exit_code: as of the command that does this job alone. sha256: of the output. attempts: tries, this one included.
    computed: what was not remembered from an earlier job, "source" or "driving".
    """

    state: State
    seconds: float = 0.0
    frames: int = 0
    held: int = 0
    skipped: int = 0
    error: str | None = None
    exit_code: int = 0
    sha256: str | None = None
    warnings: tuple[str, ...] = ()
    computed: tuple[str, ...] = ()
    attempts: int = 1

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> Outcome:
        """Build an outcome from plain values."""
        return cls(**{**plain, "warnings": tuple(plain["warnings"]), "computed": tuple(plain["computed"])})

    @property
    def is_worth_retrying(self) -> bool:
        """Whether a retry may succeed. Options, faces and weights do not change by themselves."""
        return self.state == "failed" and self.exit_code not in _HOPELESS


def failure(error: str, exit_code: int = 1, seconds: float = 0.0) -> Outcome:
    """Return the outcome of a job that failed."""
    return Outcome("failed", seconds, error=error, exit_code=exit_code)


def recipe(job: Job, checkpoint: list[list[int]]) -> str:
    """Return a fingerprint of everything that decides the output: inputs, checkpoint, options, version.

    checkpoint: sizes and times of its files, as `_stamp` gives them.
    """
    options = {name: value for name, value in asdict(job.options).items() if name not in {"force", "threads"}}
    stamps = [*map(_stamp, job.inputs), *checkpoint]
    facts = [__version__, job.command, [str(path.absolute()) for path in job.inputs], stamps, options]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode("utf-8", "surrogateescape")).hexdigest()


def _stamp(path: Path) -> list[int]:
    """Return a file's size and time: much faster than a hash, for folders full of videos. Empty if it is missing."""
    try:
        status = path.stat()
    except (OSError, ValueError):
        return []
    return [status.st_size, status.st_mtime_ns]


def row_of(job: Job, recipe_of_job: str, outcome: Outcome) -> dict[str, Any]:
    """Return a job's row of the report."""
    return {
        "job": job.index,
        "state": outcome.state,
        "command": job.command,
        "source": str(job.source),
        "driving": None if job.driving is None else str(job.driving),
        "output": str(job.output),
        "seconds": round(outcome.seconds, 3),
        "frames": outcome.frames,
        "held": outcome.held,
        "skipped": outcome.skipped,
        "attempts": outcome.attempts,
        "error": outcome.error,
        "exit_code": outcome.exit_code,
        "sha256": outcome.sha256,
        "warnings": list(outcome.warnings),
        "computed": list(outcome.computed),
        "recipe": recipe_of_job,
    }


def read_rows(path: Path) -> dict[str, dict[str, Any]]:
    """Read the last row of each output. A line that a killed batch left incomplete is ignored."""
    rows: dict[str, dict[str, Any]] = {}
    try:
        with path.open("rb") as file:
            for line in file:
                with contextlib.suppress(ValueError, RecursionError, KeyError, TypeError):
                    row = json.loads(line)
                    rows[str(row["output"])] = dict(row)
    except FileNotFoundError:
        return {}  # the first batch in this folder
    except OSError as error:
        raise MediaError(f"{path}: cannot be read: {error.strerror}") from error
    return rows


@dataclass
class Report:
    """The report of a batch in a folder. Its `with` block locks the folder, and sorts the report at the end."""

    folder: Path
    jobs: Sequence[Job]
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    _recipes: dict[int, str] = field(default_factory=dict)
    _checkpoints: dict[str, list[list[int]]] = field(default_factory=dict)
    _file: IO[bytes] | None = None

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder / REPORT

    def __enter__(self) -> Report:
        try:
            self._file = self.path.open("ab")
        except OSError as error:
            raise MediaError(f"{self.path}: cannot be written: {error.strerror}") from error
        try:
            self._lock()
        except BlockingIOError as error:
            self._close()
            raise MediaError(f"{self.folder}: another batch is using it; wait, or choose another folder") from error
        self.rows = read_rows(self.path)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:  # an interrupted batch leaves the rows as they came
                self._put_in_order()
        finally:
            self._close()

    def _lock(self) -> None:
        """Lock the folder for this batch. BlockingIOError if another one holds the lock."""
        if fcntl is None or self._file is None:
            return
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise
        except OSError:  # a file system without locks
            return

    def recipe(self, job: Job) -> str:
        """Return a job's fingerprint as of the first call: inputs that change later make the output outdated."""
        if job.index not in self._recipes:
            name = job.options.checkpoint
            if name not in self._checkpoints:
                self._checkpoints[name] = [_stamp(path) for path in checkpoint_parts(name)]
            self._recipes[job.index] = recipe(job, self._checkpoints[name])
        return self._recipes[job.index]

    def is_done(self, job: Job) -> bool:
        """Say whether an earlier run made this very output, and the output is still whole."""
        row = self.rows.get(str(job.output))
        if row is None or row.get("state") != "done" or row.get("recipe") != self.recipe(job):
            return False
        try:
            return row.get("sha256") == hash_output(job.output)
        except OSError:
            return False

    def refusal(self, job: Job) -> Outcome | None:
        """Return why a job may not write its output; None if it may. Only outputs of a batch are replaced."""
        is_ours = self.rows.get(str(job.output), {}).get("ours", False)
        if job.options.force or is_ours or not os.path.lexists(job.output):
            return None
        error = f"{job.output}: exists already, and no batch made it; choose another --name, or add --force"
        return Outcome("refused", error=error, exit_code=OutputExistsError.exit_code)

    def begin(self, job: Job) -> None:
        """Record that a job is about to write its output, so that a later run knows that a batch made it."""
        if not self.rows.get(str(job.output), {}).get("ours", False):
            self.note(job, Outcome("begun"))

    def note(self, job: Job, outcome: Outcome) -> None:
        """Record how a job ended."""
        # The output of a job that failed may still exist, made by an earlier try or an earlier batch.
        may_exist = outcome.state == "begun" or os.path.lexists(job.output)
        row = {**row_of(job, self.recipe(job), outcome), "ours": may_exist and outcome.state != "refused"}
        self.rows[str(job.output)] = row
        if self._file is None:
            raise ValueError("the report is not open")
        try:
            # Appended and flushed at once: a batch that is killed loses nothing. The last row of an output counts.
            self._file.write(json.dumps(row).encode() + b"\n")
            self._file.flush()
        except OSError as error:
            raise MediaError(f"{self.path}: cannot be written: {error.strerror}") from error

    def keep(self, job: Job) -> None:
        """Take over the row of a job that was done before, under its index in this batch."""
        self.rows[str(job.output)] = {**self.rows[str(job.output)], "job": job.index}

    def _put_in_order(self) -> None:
        """Write one row per job in their order, then the outputs of earlier batches in this folder."""
        mine = [self.rows[str(job.output)] for job in self.jobs if str(job.output) in self.rows]
        names = {str(job.output) for job in self.jobs}
        others = [row for name, row in self.rows.items() if name not in names and row.get("state") == "done"]
        text = b"".join(json.dumps(row).encode() + b"\n" for row in [*mine, *({**row, "job": None} for row in others)])
        try:
            with Scratch(self.path) as scratch:
                scratch.file(REPORT).write_bytes(text)
                scratch.file(REPORT).replace(self.path)
        except OSError as error:
            raise MediaError(f"{self.path}: cannot be written: {error.strerror}") from error

    def _close(self) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None

"""Do jobs one after the other in one process, which loads the model once and remembers sources and drivings."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

from vid2vid_cli.batch.jobs import Job
from vid2vid_cli.batch.report import Outcome, failure
from vid2vid_cli.errors import CancelledError, describe_failure, one_line
from vid2vid_cli.media.files import hash_output
from vid2vid_cli.models.registry import LoadedModel, load_model
from vid2vid_cli.pipeline.memory import Memory
from vid2vid_cli.pipeline.options import ReenactOptions, RotateOptions, SpeakOptions
from vid2vid_cli.pipeline.progress import Hooks, Result
from vid2vid_cli.pipeline.reenact import reenact
from vid2vid_cli.pipeline.rotate import rotate
from vid2vid_cli.pipeline.speak import speak


class Workbench:
    """Keeps what stays the same from job to job.

    cache: folder for what is remembered. is_shared: whether other processes use it at the same time.
    """

    def __init__(self, cache: Path, *, is_shared: bool) -> None:
        self._memory = Memory(cache, is_shared)
        self._model: tuple[str, LoadedModel] | None = None

    def do(self, job: Job, hooks: Hooks) -> Outcome:
        """Do one job. Whatever goes wrong becomes its outcome."""
        began = time.perf_counter()
        self._memory.computed.clear()
        try:
            job.output.parent.mkdir(parents=True, exist_ok=True)
            result = self._make(job, hooks)
            # A later run keeps the output only if it still has this hash.
            sha256 = hash_output(result.output)
        except CancelledError:
            return Outcome("cancelled", time.perf_counter() - began)
        except Exception as error:  # noqa: BLE001  one failed job must not stop the rest
            text, exit_code = describe_failure(error)
            seconds = time.perf_counter() - began
            return replace(failure(one_line(text), exit_code, seconds), computed=self._computed())
        seconds = time.perf_counter() - began
        return Outcome(
            "done",
            seconds,
            result.frames,
            result.held,
            result.skipped,
            exit_code=result.exit_code,
            sha256=sha256,
            warnings=tuple(map(one_line, result.warnings)),
            computed=self._computed(),
        )

    def _computed(self) -> tuple[str, ...]:
        """Name what the job had to compute, each thing once."""
        return tuple(dict.fromkeys(self._memory.computed))

    def _make(self, job: Job, hooks: Hooks) -> Result:
        model = self._load(job.options.checkpoint)
        if job.driving is not None and isinstance(job.options, ReenactOptions):
            files = (job.source, job.driving, job.output)
            if isinstance(job.options, SpeakOptions):
                return speak(*files, job.options, model=model, hooks=hooks, memory=self._memory)
            return reenact(*files, job.options, model=model, hooks=hooks, memory=self._memory)
        if isinstance(job.options, RotateOptions):
            return rotate(job.source, job.output, job.options, model=model, hooks=hooks, memory=self._memory)
        raise ValueError("a job's options do not fit its command")

    def _load(self, checkpoint: str) -> LoadedModel:
        if self._model is None or self._model[0] != checkpoint:
            self._model = None  # first let the old one go: two may not fit into memory
            self._model = checkpoint, load_model(checkpoint)
        return self._model[1]

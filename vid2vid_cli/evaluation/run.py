"""How every evaluation starts, and how it ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from vid2vid_cli.errors import UsageError
from vid2vid_cli.evaluation.judges import Judges, choose_judges
from vid2vid_cli.evaluation.material import Material
from vid2vid_cli.evaluation.options import EvaluateClipsOptions, EvaluateTurnsOptions, FrameOptions
from vid2vid_cli.evaluation.report import Evaluation, FigureRow, check_csv, write_csv
from vid2vid_cli.evaluation.sheet import Sheet, check_sheet
from vid2vid_cli.media.files import require_file
from vid2vid_cli.media.provenance import Provenance
from vid2vid_cli.models.registry import LoadedModel
from vid2vid_cli.pipeline.engine import Engine, start_engine
from vid2vid_cli.pipeline.progress import Hooks, WarningLog

COPY, MODEL = "copy", "model"
"""The methods that are judged. The first shows the source unchanged, whatever drives it: the model must beat it."""

Options = EvaluateClipsOptions | EvaluateTurnsOptions


@dataclass(frozen=True)
class EvaluationSetup:
    """What stays the same while pictures are judged.

    follows: whether a driving frame is compared with the first one, in families that can; otherwise only its mesh
    counts, as in calls.
    """

    engine: Engine
    judges: Judges
    size_px: int
    follows: bool = True


@dataclass(frozen=True)
class EvaluationRun:
    """An evaluation in progress."""

    options: Options
    setup: EvaluationSetup
    material: Material
    log: WarningLog
    hooks: Hooks
    sheet: Sheet

    def finish(
        self, kind: Literal["self", "cross", "rotate"], rows: Sequence[FigureRow], means: Sequence[FigureRow]
    ) -> Evaluation:
        """Collect the results, and write the files that the options ask for."""
        options, loaded, judges = self.options, self.setup.engine.loaded, self.setup.judges
        # Only what changes the figures: paths, threads and the like would make equal runs look different.
        settings = {name: value for name, value in asdict(options).items() if name in SETTINGS}
        provenance = Provenance(
            command="evaluate", credentials=options.credentials, watermark=options.watermark, log=self.log
        )
        self.sheet.write(options.sheet, force=options.force, provenance=provenance, warn=self.log.warn)
        evaluation = Evaluation(
            kind,
            loaded.path,
            loaded.family.name,
            loaded.sha256,
            judges.landmarks.name,
            None if judges.embedding is None else judges.embedding.name,
            settings,
            tuple(rows),
            tuple(means),
            self.material.skipped,
            tuple(self.log.warnings),
        )
        if options.csv is not None:
            write_csv(options.csv, evaluation, force=options.force)
        return evaluation


SETTINGS = ("size", "every", "frames", "body", "yaw", "pitch", "roll")


def start_run(
    options: Options, inputs: Sequence[Path], model: LoadedModel | None, hooks: Hooks | None, columns: int
) -> EvaluationRun:
    """Check everything that can fail before any work, then load models and judges. columns: of the sheet."""
    check_numbers(options)
    for path in inputs:
        if not path.is_dir():
            require_file(path)
    check_csv(options.csv, force=options.force, inputs=inputs)
    check_sheet(options.sheet, force=options.force, inputs=inputs)
    hooks = hooks or Hooks()
    log = WarningLog(hooks)
    engine = start_engine(options, model)
    judges = choose_judges(options.landmarks, engine.analyzer, str(engine.device))
    # A run without identity distances is still worth it, but must not be mistaken for a complete one.
    if judges.embedding is None:
        log.warn(judges.why)
    # Turning a portrait has no driving, so there is nothing to choose.
    follows = not isinstance(options, EvaluateClipsOptions) or options.body
    setup = EvaluationSetup(engine, judges, options.size, follows)
    return EvaluationRun(options, setup, Material(log), log, hooks, Sheet(columns, options.size))


def check_numbers(options: Options) -> None:
    """Raise UsageError for numbers out of range."""
    if not 32 <= options.size <= 2048:
        raise UsageError(f"--size {options.size}: give the side in pixels, 32 to 2048")
    if isinstance(options, FrameOptions):
        if options.every < 1:
            raise UsageError(f"--every {options.every}: give a number from 1")
        if options.frames < 0 or options.frames == 1:
            raise UsageError(f"--frames {options.frames}: give a number from 2, or 0 for all")

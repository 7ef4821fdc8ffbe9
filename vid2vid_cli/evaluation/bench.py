"""What every evaluation needs to begin, and what it does at the end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import torch

from vid2vid_cli.errors import UsageError
from vid2vid_cli.evaluation.judges import Judges, choose_judges
from vid2vid_cli.evaluation.material import Material
from vid2vid_cli.evaluation.performers import without_networks
from vid2vid_cli.evaluation.report import Evaluation, FigureRow, check_csv, write_csv
from vid2vid_cli.evaluation.sheet import Sheet, check_sheet
from vid2vid_cli.media.files import require_file
from vid2vid_cli.models.base import ReenactmentModel
from vid2vid_cli.models.registry import LoadedModel
from vid2vid_cli.pipeline.engine import Engine, start_engine
from vid2vid_cli.pipeline.options import EvaluateClipsOptions, EvaluateTurnsOptions, FrameOptions
from vid2vid_cli.pipeline.progress import Hooks, WarningLog

COPY = "copy"
"""The method that shows the source as it is, whatever drives."""

Options = EvaluateClipsOptions | EvaluateTurnsOptions


@dataclass(frozen=True)
class Bench:
    """All that stays the same while pictures are judged.

    models: by the name under which they are judged. follows: see pipeline.driving.motion_reader.ReaderSetup.
    """

    engine: Engine
    models: dict[str, ReenactmentModel]
    judges: Judges
    size_px: int
    follows: bool = True


@dataclass(frozen=True)
class Run:
    """An evaluation under way."""

    options: Options
    bench: Bench
    material: Material
    log: WarningLog
    hooks: Hooks
    sheet: Sheet

    def finish(
        self, kind: Literal["self", "cross", "rotate"], rows: Sequence[FigureRow], means: Sequence[FigureRow]
    ) -> Evaluation:
        """Put together what was found, and write the files that are asked for."""
        options, loaded, judges = self.options, self.bench.engine.loaded, self.bench.judges
        settings = {name: value for name, value in asdict(options).items() if name in SETTINGS}
        self.sheet.write(options.sheet, force=options.force, warn=self.log.warn)
        found = Evaluation(
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
            write_csv(options.csv, found)
        return found


SETTINGS = ("size", "every", "frames", "body", "yaw", "pitch", "roll")


def start_run(
    options: Options, inputs: Sequence[Path], model: LoadedModel | None, hooks: Hooks | None, columns: int
) -> Run:
    """Check what can be wrong before any work, load models and judges. columns: of the sheet."""
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
    if judges.embedding is None:
        log.warn(judges.why)
    follows = not isinstance(options, EvaluateClipsOptions) or options.body
    bench = Bench(engine, judged_models(engine), judges, options.size, follows)
    return Run(options, bench, Material(log), log, hooks, Sheet(columns, options.size))


def judged_models(engine: Engine) -> dict[str, ReenactmentModel]:
    """Return the checkpoint and, where its family can do without networks, the warp alone before it."""
    model, warp = engine.loaded.model, without_networks(engine.loaded)
    if warp is None:
        return {"model": model}
    warp.to(engine.device, torch.float32)
    return {"warp": warp, "model": model}


def check_numbers(options: Options) -> None:
    """Raise UsageError for numbers that make no sense."""
    if not 32 <= options.size <= 2048:
        raise UsageError(f"--size {options.size}: write the side in pixels, 32 to 2048")
    if isinstance(options, FrameOptions):
        if options.every < 1:
            raise UsageError(f"--every {options.every}: write a number from 1")
        if options.frames < 0 or options.frames == 1:
            raise UsageError(f"--frames {options.frames}: write a number from 2, or 0 for all")

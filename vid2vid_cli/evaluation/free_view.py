"""Free view: turn portraits to given angles, and measure the pose error and how well identity is kept."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from vid2vid_cli.errors import NoFaceError, UsageError, Vid2VidError
from vid2vid_cli.evaluation.heads import HeadReader
from vid2vid_cli.evaluation.judged_portrait import JudgedPortrait
from vid2vid_cli.evaluation.options import EvaluateTurnsOptions
from vid2vid_cli.evaluation.report import Evaluation, FigureRow, mean_rows
from vid2vid_cli.evaluation.run import COPY, MODEL, start_run
from vid2vid_cli.evaluation.sheet import SheetCell
from vid2vid_cli.models.registry import LoadedModel, load_model
from vid2vid_cli.motion import PoseOverride
from vid2vid_cli.pipeline.parsing import parse_sweep
from vid2vid_cli.pipeline.pose import AXES
from vid2vid_cli.pipeline.progress import Hooks, counted

MOST_ANGLES = 60
ALL_ANGLES = "all angles"


def evaluate_rotate(
    sources: str | Path,
    options: EvaluateTurnsOptions | None = None,
    *,
    model: LoadedModel | None = None,
    hooks: Hooks | None = None,
) -> Evaluation:
    """Measure how well portraits are turned: pose error and identity at each angle.

    sources: a picture or a folder of them. Raises a subclass of Vid2VidError whose text is one line. If there are
    several pictures, those that cannot be judged are left out.
    """
    sources, options = Path(sources), options or EvaluateTurnsOptions()
    turns = requested_turns(options)
    run = start_run(options, [sources], model, hooks, columns=1 + len(turns))
    reader = HeadReader(load_model().model, run.setup.engine.analyzer)
    pictures = run.material.pictures(sources)
    progress = counted(run.hooks, len(pictures) * len(turns))
    rows: list[FigureRow] = []
    for picture in pictures:
        try:
            judged, cells = judge_turns(JudgedPortrait(picture, run.setup, reader), turns, progress)
        except Vid2VidError as error:
            run.material.skip(picture, error, is_alone=len(pictures) == 1)
            continue
        rows += judged
        run.sheet.add(cells)
    if not rows:
        raise NoFaceError(f"{sources}: none of {len(pictures)} pictures could be judged; see the warnings")
    return run.finish("rotate", rows, means_by_angle(rows))


@dataclass(frozen=True)
class Turn:
    """A turn of the head about one axis: yaw, pitch or roll."""

    axis: str
    angle_deg: float

    @property
    def pose(self) -> PoseOverride:
        """Return the turn as an offset to the pose that is there."""
        angle_rad = torch.tensor([math.radians(self.angle_deg)])
        yaw, pitch, roll = (angle_rad if self.axis == name else None for name in AXES)
        return PoseOverride(yaw, pitch, roll)

    def __str__(self) -> str:
        return f"{self.axis} {self.angle_deg:+g}"


def requested_turns(options: EvaluateTurnsOptions) -> list[Turn]:
    """Return the turns that the options ask for. The turn by 0 degrees, which all axes share, comes only once."""
    turns: list[Turn] = []
    for axis, text in zip(AXES, (options.yaw, options.pitch, options.roll), strict=True):
        sweep = parse_sweep(text, axis)
        if sweep is not None:
            # One more than the limit is enough to exceed it, however fine the sweep.
            shares = [index / max(1, sweep.count - 1) for index in range(min(sweep.count, MOST_ANGLES + 1))]
            has_rest = any(not turn.angle_deg for turn in turns)
            turns += [Turn(axis, sweep.at(share)) for share in shares if sweep.at(share) or not has_rest]
    if len(turns) > MOST_ANGLES:
        raise UsageError(f"--yaw, --pitch, --roll: {len(turns)} angles are too many; {MOST_ANGLES} at most")
    return turns


def judge_turns(
    portrait: JudgedPortrait, turns: list[Turn], progress: Callable[[], None]
) -> tuple[list[FigureRow], list[SheetCell]]:
    """Turn a portrait. Returns a row for each turn and method, and cells for a sheet."""
    rows: list[FigureRow] = []
    cells = [SheetCell(portrait.picture, f"source, {portrait.name}")]
    performer = portrait.performer()
    for turn in turns:
        subject = (portrait.name, str(turn))
        expected = turn.pose.apply(portrait.head.rotation[None])[0]  # (3, 3)
        rows.append(FigureRow(subject, COPY, portrait.compare(portrait.reading, expected), 1))
        picture = portrait.cut(performer.turn(turn.pose))
        rows.append(FigureRow(subject, MODEL, portrait.compare(portrait.read(picture), expected), 1))
        error = rows[-1].scores["pose_deg"]
        cells.append(SheetCell(picture, f"{turn}, " + ("no face" if error is None else f"off by {error:.1f} deg")))
        progress()
    return rows, cells


def means_by_angle(rows: list[FigureRow]) -> list[FigureRow]:
    """Return the means over all portraits, at each angle and then over all angles."""
    means: list[FigureRow] = []
    # dict.fromkeys keeps the order in which the angles were asked for.
    for angle in dict.fromkeys(row.subject[1] for row in rows):
        means += mean_rows([row for row in rows if row.subject[1] == angle], ("mean of {}", angle))
    return [*means, *mean_rows(rows, ("mean of {}", ALL_ANGLES))]

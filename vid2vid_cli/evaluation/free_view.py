"""Free view: portraits are turned to given angles; how far the pose is off, and whether it is still the same person."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import torch

from vid2vid_cli.errors import NoFaceError, UsageError, Vid2VidError
from vid2vid_cli.evaluation.bench import COPY, start_run
from vid2vid_cli.evaluation.heads import HeadReader
from vid2vid_cli.evaluation.report import Evaluation, FigureRow, mean_rows
from vid2vid_cli.evaluation.sheet import Cell
from vid2vid_cli.evaluation.sitters import Sitter
from vid2vid_cli.models.registry import LoadedModel, load_model
from vid2vid_cli.motion import PoseOverride
from vid2vid_cli.pipeline.options import EvaluateTurnsOptions
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
    """Measure how portraits are turned: error of the pose and identity at each angle.

    sources: a picture or a folder of them. Raises a subclass of Vid2VidError whose text is one line; of several
    pictures, one that cannot be judged is left out.
    """
    sources, options = Path(sources), options or EvaluateTurnsOptions()
    turns = asked_turns(options)
    run = start_run(options, [sources], model, hooks, columns=1 + len(turns))
    reader = HeadReader(load_model().model, run.bench.engine.analyzer)
    pictures = run.material.pictures(sources)
    progress = counted(run.hooks, len(pictures) * len(turns))
    rows: list[FigureRow] = []
    for picture in pictures:
        try:
            judged, cells = judge_turns(Sitter(picture, run.bench, reader), turns, progress)
        except Vid2VidError as error:
            run.material.skip(picture, error, is_alone=len(pictures) == 1)
            continue
        rows += judged
        run.sheet.add(cells)
    if not rows:
        raise NoFaceError(f"{sources}: none of {len(pictures)} pictures can be judged; see the warnings")
    return run.finish("rotate", rows, means_by_angle(rows))


Turn = tuple[str, float]
"""An axis (yaw, pitch or roll) and an angle in degrees."""


def asked_turns(options: EvaluateTurnsOptions) -> list[Turn]:
    """Return the turns that are asked for, each about one axis; rest, which all axes have, only once."""
    turns: list[Turn] = []
    for axis, text in zip(AXES, (options.yaw, options.pitch, options.roll), strict=True):
        sweep = parse_sweep(text, axis)
        if sweep is not None:
            shares = [index / max(1, sweep.count - 1) for index in range(min(sweep.count, MOST_ANGLES + 1))]
            turns += [
                (axis, sweep.at(share)) for share in shares if sweep.at(share) or not any(not a for _, a in turns)
            ]
    if len(turns) > MOST_ANGLES:
        raise UsageError(f"--yaw, --pitch, --roll: {len(turns)} angles are too many; {MOST_ANGLES} at most")
    return turns


def judge_turns(sitter: Sitter, turns: list[Turn], progress: Callable[[], None]) -> tuple[list[FigureRow], list[Cell]]:
    """Turn a portrait by every model. Returns a row for each turn and method, and cells for a sheet."""
    rows: list[FigureRow] = []
    cells: list[Cell] = [(sitter.picture, f"source, {sitter.name}")]
    performers = sitter.performers()
    for axis, angle_deg in turns:
        name = f"{axis} {angle_deg:+g}"
        pose = override(axis, angle_deg)
        asked = pose.apply(sitter.head.rotation[None])[0]
        rows.append(FigureRow((sitter.name, name), COPY, sitter.compare(sitter.seen, asked), 1))
        for method, performer in performers.items():
            picture = sitter.cut(performer.turn(pose))
            rows.append(FigureRow((sitter.name, name), method, sitter.compare(sitter.look(picture), asked), 1))
        error = rows[-1].scores["pose_deg"]
        cells.append((picture, f"{name}, " + ("no face" if error is None else f"off by {error:.1f} deg")))
        progress()
    return rows, cells


def override(axis: str, angle_deg: float) -> PoseOverride:
    """Ask for a turn about one axis, added to the pose that is there."""
    yaw, pitch, roll = (torch.tensor([math.radians(angle_deg)]) if axis == name else None for name in AXES)
    return PoseOverride(yaw, pitch, roll)


def means_by_angle(rows: list[FigureRow]) -> list[FigureRow]:
    """Return the means over all portraits at each angle, then over all angles."""
    means: list[FigureRow] = []
    for angle in dict.fromkeys(row.subject[1] for row in rows):
        means += mean_rows([row for row in rows if row.subject[1] == angle], ("mean of {}", angle))
    return [*means, *mean_rows(rows, ("mean of {}", ALL_ANGLES))]

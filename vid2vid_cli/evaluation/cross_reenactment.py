"""Cross-reenactment: portraits move as clips of others do. There is no truth; what is kept and followed is measured."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from vid2vid_cli.errors import MediaError, NoFaceError, Vid2VidError
from vid2vid_cli.evaluation.bench import COPY, start_run
from vid2vid_cli.evaluation.heads import Following, Head, HeadReader, distance_pct
from vid2vid_cli.evaluation.material import Shots, judged_square
from vid2vid_cli.evaluation.measures import MeanScores
from vid2vid_cli.evaluation.report import Evaluation, FigureRow, mean_rows
from vid2vid_cli.evaluation.sheet import Cell, Keeper, Worst
from vid2vid_cli.evaluation.sitters import Seen, Sitter
from vid2vid_cli.face.crop import crop_frame
from vid2vid_cli.models.registry import LoadedModel, load_model
from vid2vid_cli.pipeline.options import EvaluateClipsOptions
from vid2vid_cli.pipeline.progress import Hooks, counted


def evaluate_cross(
    sources: str | Path,
    drivings: str | Path,
    options: EvaluateClipsOptions | None = None,
    *,
    model: LoadedModel | None = None,
    hooks: Hooks | None = None,
) -> Evaluation:
    """Measure how every portrait does under every driving clip: identity kept, pose and expression followed.

    sources: a picture or a folder of them. drivings: a clip or a folder of them, each relative to its first frame
    with a face. Raises a subclass of Vid2VidError whose text is one line; of several files, one that cannot be
    judged is left out.
    """
    sources, drivings, options = Path(sources), Path(drivings), options or EvaluateClipsOptions()
    run = start_run(options, [sources, drivings], model, hooks, columns=4)
    reader = HeadReader(load_model().model, run.bench.engine.analyzer)
    pictures, clips = run.material.pictures(sources), run.material.clips(drivings)
    progress = counted(run.hooks, len(pictures) * sum(clip.due(options) for clip in clips))
    rows: list[FigureRow] = []
    for picture in pictures:
        try:
            sitter = Sitter(picture, run.bench, reader)
        except Vid2VidError as error:
            run.material.skip(picture, error, is_alone=len(pictures) == 1)
            continue
        for clip in clips:
            pair = Pair(sitter, reader, Worst())
            try:
                rows += pair.judge(Shots(clip, options, run.bench.engine.analyzer, run.log), progress)
            except Vid2VidError as error:
                run.material.skip(clip.path, error, is_alone=len(clips) == 1)
            for cells in pair.keeper.rows:
                run.sheet.add(cells)
    if not rows:
        raise NoFaceError(f"{sources}: no pair of portrait and clip can be judged; see the warnings")
    return run.finish("cross", rows, mean_rows(rows, ("mean of {}", "")))


class Pair:
    """A portrait under one driving clip."""

    def __init__(self, sitter: Sitter, reader: HeadReader, keeper: Keeper) -> None:
        self.keeper = keeper
        self._sitter, self._reader = sitter, reader
        self._tallies: dict[str, MeanScores] = {}
        self._following: dict[str, Following] = {}

    def judge(self, shots: Shots, progress: Callable[[], None]) -> list[FigureRow]:
        """Let every model show the frames of the clip that are due. Returns a row for each method."""
        rest, stream = shots.split()
        rest_head = self._reader.read(rest.frame, rest.face)
        performers = self._sitter.performers(rest)
        square = judged_square(rest.face, rest.frame.shape, self._sitter.picture.shape[0])
        judged = 0
        with closing(stream):  # type: ignore[type-var]
            for shot in stream:
                driving = self._reader.read(shot.frame, shot.face)
                self._add(COPY, self._sitter.seen, driving, rest_head)
                pictures = {n: self._sitter.cut(p.follow(shot.frame, shot.face)) for n, p in performers.items()}
                errors = {n: self._add(n, self._sitter.look(p), driving, rest_head) for n, p in pictures.items()}
                cells: list[Cell] = [
                    (self._sitter.picture, f"source, {self._sitter.name}"),
                    (crop_frame(shot.frame, square), f"{shots.clip.path.stem}, frame {shot.index}"),
                    *[(picture, f"{name}, pose off by {errors[name]:.1f} deg") for name, picture in pictures.items()],
                ]
                self.keeper.offer(list(errors.values())[-1], lambda cells=cells: cells)  # type: ignore[misc]
                judged += 1
                progress()
        if not judged:
            raise MediaError(f"{shots.clip.path}: too short, no frame is left to judge; a smaller --every may help")
        return self._rows(shots, judged)

    def _add(self, method: str, seen: Seen, driving: Head, rest: Head) -> float:
        """Add what was seen of a method in one frame. Returns the error of its pose in degrees, 180 without a face."""
        own = self._sitter.head
        scores = self._sitter.compare(seen, driving.rotation @ rest.rotation.T @ own.rotation)
        scores["expression_pct"] = None
        if seen.head is not None:
            shown, asked = seen.head.expression - own.expression, driving.expression - rest.expression
            scores["expression_pct"] = distance_pct(shown, asked)
            self._following.setdefault(method, Following()).add(shown, asked)
        self._tallies.setdefault(method, MeanScores()).add(scores)
        return 180.0 if scores["pose_deg"] is None else scores["pose_deg"]

    def _rows(self, shots: Shots, judged: int) -> list[FigureRow]:
        subject = (self._sitter.name, shots.clip.path.name)
        return [
            FigureRow(
                subject,
                method,
                {**tally.means(), "expression_r": self._following.get(method, Following()).correlation},
                judged,
                shots.faceless,
            )
            for method, tally in self._tallies.items()
        ]

"""Cross-reenactment: clips of other people drive portraits.

There is no true frame to compare with. It measures how well identity is kept, and how well pose and expression follow.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from vid2vid_cli.errors import MediaError, NoFaceError, Vid2VidError
from vid2vid_cli.evaluation.heads import ExpressionCorrelation, Head, HeadReader, distance_pct
from vid2vid_cli.evaluation.judged_portrait import HeadReading, JudgedPortrait
from vid2vid_cli.evaluation.material import TrackedFrames, judged_square
from vid2vid_cli.evaluation.measures import MeanScores
from vid2vid_cli.evaluation.options import EvaluateClipsOptions
from vid2vid_cli.evaluation.report import Evaluation, FigureRow, mean_rows
from vid2vid_cli.evaluation.run import COPY, MODEL, start_run
from vid2vid_cli.evaluation.sheet import SheetCell, SheetCollector, WorstFrameCollector
from vid2vid_cli.face.crop import crop_frame
from vid2vid_cli.models.registry import LoadedModel, load_model
from vid2vid_cli.pipeline.progress import Hooks, counted


def evaluate_cross(
    sources: str | Path,
    drivings: str | Path,
    options: EvaluateClipsOptions | None = None,
    *,
    model: LoadedModel | None = None,
    hooks: Hooks | None = None,
) -> Evaluation:
    """Measure every portrait driven by every clip: how well identity is kept, and pose and expression follow.

    sources: a picture or a folder of them. drivings: a clip or a folder of them, each relative to its first frame
    with a face. Raises a subclass of Vid2VidError whose text is one line. If there are several files, those that
    cannot be judged are left out.
    """
    sources, drivings, options = Path(sources), Path(drivings), options or EvaluateClipsOptions()
    run = start_run(options, [sources, drivings], model, hooks, columns=3)
    # Heads are always read with the embedded checkpoint, so that figures of different families compare.
    reader = HeadReader(load_model().model, run.setup.engine.analyzer)
    pictures, clips = run.material.pictures(sources), run.material.clips(drivings)
    progress = counted(run.hooks, len(pictures) * sum(clip.due(options) for clip in clips))
    rows: list[FigureRow] = []
    for picture in pictures:
        try:
            portrait = JudgedPortrait(picture, run.setup, reader)
        except Vid2VidError as error:
            run.material.skip(picture, error, is_alone=len(pictures) == 1)
            continue
        for clip in clips:
            pair = JudgedPair(portrait, reader, WorstFrameCollector())
            try:
                rows += pair.judge(TrackedFrames(clip, options, run.setup.engine.analyzer, run.log), progress)
            except Vid2VidError as error:
                run.material.skip(clip.path, error, is_alone=len(clips) == 1)
            for cells in pair.collector.rows:
                run.sheet.add(cells)
    if not rows:
        raise NoFaceError(f"{sources}: no pair of portrait and clip could be judged; see the warnings")
    return run.finish("cross", rows, mean_rows(rows, ("mean of {}", "")))


class JudgedPair:
    """A portrait and the clip that drives it."""

    def __init__(self, portrait: JudgedPortrait, reader: HeadReader, collector: SheetCollector) -> None:
        self.collector = collector
        self._portrait, self._reader = portrait, reader
        self._tallies: dict[str, MeanScores] = {}
        self._correlations: dict[str, ExpressionCorrelation] = {}

    def judge(self, frames: TrackedFrames, progress: Callable[[], None]) -> list[FigureRow]:
        """Render the chosen frames of the clip. Returns a row for each method."""
        rest, stream = frames.split()
        rest_head = self._reader.read(rest.frame, rest.face)
        performer = self._portrait.performer(rest)
        # The sheet shows the driving in a square of its own, as large as the portrait's.
        square = judged_square(rest.face, rest.frame.shape, self._portrait.picture.shape[0])
        judged = 0
        with closing(stream):  # type: ignore[type-var]
            for tracked in stream:
                driving = self._reader.read(tracked.frame, tracked.face)
                self._add(COPY, self._portrait.reading, driving, rest_head)
                picture = self._portrait.cut(performer.follow(tracked.frame, tracked.face))
                error = self._add(MODEL, self._portrait.read(picture), driving, rest_head)
                cells = [
                    SheetCell(self._portrait.picture, f"source, {self._portrait.name}"),
                    SheetCell(crop_frame(tracked.frame, square), f"{frames.clip.path.stem}, frame {tracked.index}"),
                    SheetCell(picture, f"pose off by {error:.1f} deg"),
                ]
                self.collector.offer(error, lambda cells=cells: cells)  # type: ignore[misc]
                judged += 1
                progress()
        if not judged:
            raise MediaError(f"{frames.clip.path}: too short to judge any frame; try a smaller --every")
        return self._rows(frames, judged)

    def _add(self, method: str, reading: HeadReading, driving: Head, rest: Head) -> float:
        """Add what was read from a method's frame. Returns its pose error in degrees, 180 without a face."""
        own = self._portrait.head
        # Relative motion: the rotation of the driving since its rest is added to the portrait's own pose.
        scores = self._portrait.compare(reading, driving.rotation @ rest.rotation.T @ own.rotation)
        scores["expression_pct"] = None
        if reading.head is not None:
            # Only changes from rest are compared: two people at rest have different faces already.
            shown, expected = reading.head.expression - own.expression, driving.expression - rest.expression
            scores["expression_pct"] = distance_pct(shown, expected)
            self._correlations.setdefault(method, ExpressionCorrelation()).add(shown, expected)
        self._tallies.setdefault(method, MeanScores()).add(scores)
        return 180.0 if scores["pose_deg"] is None else scores["pose_deg"]

    def _rows(self, frames: TrackedFrames, judged: int) -> list[FigureRow]:
        subject = (self._portrait.name, frames.clip.path.name)
        return [
            FigureRow(
                subject,
                method,
                {**tally.means(), "expression_r": self._correlations.get(method, ExpressionCorrelation()).value},
                judged,
                frames.faceless,
            )
            for method, tally in self._tallies.items()
        ]

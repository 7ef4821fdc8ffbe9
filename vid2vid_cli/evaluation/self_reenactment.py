"""Self-reenactment: a clip drives its own first frame, so that its other frames are the ground truth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vid2vid_cli.arrays import Frame
from vid2vid_cli.errors import MediaError, NoFaceError, Vid2VidError
from vid2vid_cli.evaluation.judges import MESH_LIPS, FaceReading, Judges
from vid2vid_cli.evaluation.material import TrackedFrame, TrackedFrames, judged_square
from vid2vid_cli.evaluation.measures import (
    MeanScores,
    Window,
    keypoint_distance,
    mean_error,
    multiscale_similarity,
    peak_signal_to_noise,
    require_similarity,
    similarity,
    window_around,
)
from vid2vid_cli.evaluation.options import EvaluateClipsOptions
from vid2vid_cli.evaluation.performers import Performer, Portrait
from vid2vid_cli.evaluation.report import Evaluation, FigureRow, mean_rows
from vid2vid_cli.evaluation.run import COPY, MODEL, EvaluationSetup, start_run
from vid2vid_cli.evaluation.sheet import (
    WHITE_ERROR,
    SheetCell,
    SheetCollector,
    SpreadFramesCollector,
    WorstFrameCollector,
    error_map,
)
from vid2vid_cli.face.crop import FaceCrop, crop_frame
from vid2vid_cli.models.registry import LoadedModel
from vid2vid_cli.pipeline.progress import Hooks, counted

MOUTH_MARGIN = 0.25  # of the longer side of the box around the lips
ROWS_OF_ONE_CLIP = 8  # of a sheet; of several clips, each gives one row


def evaluate_self(
    clips: str | Path,
    options: EvaluateClipsOptions | None = None,
    *,
    model: LoadedModel | None = None,
    hooks: Hooks | None = None,
) -> Evaluation:
    """Measure self-reenactment on a clip or a folder of clips, against a copy.

    Raises a subclass of Vid2VidError whose text is one line. In a folder, clips that cannot be judged are left out.
    """
    clips, options = Path(clips), options or EvaluateClipsOptions()
    require_similarity()
    run = start_run(options, [clips], model, hooks, columns=4)
    found = run.material.clips(clips)
    progress = counted(run.hooks, sum(clip.due(options) for clip in found))
    rows: list[FigureRow] = []
    for clip in found:
        is_alone = len(found) == 1
        collector: SheetCollector = SpreadFramesCollector(ROWS_OF_ONE_CLIP) if is_alone else WorstFrameCollector()
        frames = TrackedFrames(clip, options, run.setup.engine.analyzer, run.log)
        try:
            rows += judge_clip(frames, run.setup, collector, progress)
        except Vid2VidError as error:
            run.material.skip(clip.path, error, is_alone=is_alone)
            continue
        for cells in collector.rows:
            run.sheet.add(cells)
    if not rows:
        raise NoFaceError(f"{clips}: none of {len(found)} clips could be judged; see the warnings")
    return run.finish("self", rows, mean_rows(rows, ("mean of {}",)))


def judge_clip(
    frames: TrackedFrames, setup: EvaluationSetup, collector: SheetCollector, progress: Callable[[], None]
) -> list[FigureRow]:
    """Let a clip drive its first frame that shows a face, and judge it and the copy on the same frames."""
    source, stream = frames.split()
    clip = JudgedClip(setup, source, frames.clip.path.stem)
    tallies = {name: MeanScores() for name in (COPY, MODEL)}
    judged = 0
    with closing(stream):  # type: ignore[type-var]
        for tracked in stream:
            frame = clip.judge(tracked)
            for name, scores in frame.scores.items():
                tallies[name].add(scores)
            collector.offer(frame.scores[MODEL]["l1"] or 0.0, lambda frame=frame: frame.cells(clip))  # type: ignore[misc]
            judged += 1
            progress()
    if not judged:
        raise MediaError(f"{frames.clip.path}: too short to judge any frame; try a smaller --every")
    name = frames.clip.path.name
    return [FigureRow((name,), method, tally.means(), judged, frames.faceless) for method, tally in tallies.items()]


@dataclass(frozen=True)
class JudgedFrame:
    """A judged frame. truth, shown: its square (size, size, 3), as filmed and by the model. scores: by method."""

    tracked: TrackedFrame
    truth: Frame
    shown: Frame
    scores: Mapping[str, Mapping[str, float | None]]

    def cells(self, clip: JudgedClip) -> list[SheetCell]:
        """Lay the frame out as a row of a sheet: source, driving, what the model shows, and its error."""
        return [
            SheetCell(clip.source, f"source, {clip.name}"),
            SheetCell(self.truth, f"driving, frame {self.tracked.index}"),
            SheetCell(self.shown, f"model, L1 {self.scores[MODEL]['l1']:.1f}"),
            SheetCell(error_map(self.truth, self.shown), f"its error, white: {WHITE_ERROR} of 255"),
        ]


@dataclass(frozen=True)
class TrueFrame:
    """A driving frame as filmed, to compare others with.

    picture: its judged square (size, size, 3). reading: what the judges read in it. mouth: the window of its lips, so
    that a method cannot gain by moving them.
    """

    picture: Frame
    reading: FaceReading
    mouth: Window | None
    judges: Judges

    @classmethod
    def of(cls, tracked: TrackedFrame, square: FaceCrop, judges: Judges) -> TrueFrame:
        """Cut the square out of a frame and read it."""
        picture = crop_frame(tracked.frame, square)
        lips = square.to_crop(tracked.face.landmarks_px[MESH_LIPS, :2])
        return cls(picture, judges.read(picture), window_around(lips, MOUTH_MARGIN, square.size), judges)

    def scores(self, shown: Frame, reading: FaceReading | None = None) -> dict[str, float | None]:
        """Compare another picture (size, size, 3) of this frame. reading: what the judges read in it, if known."""
        read = reading or self.judges.read(shown)
        return {
            **compare_pictures(self.picture, shown, self.mouth),
            **compare_readings(self.reading, read, self.judges.landmarks.mouth),
        }


class JudgedClip:
    """The source frame of a clip, and the two methods that show it: the copy and the model."""

    def __init__(self, setup: EvaluationSetup, source: Portrait, name: str = "") -> None:
        self.name = name
        self._judges = setup.judges
        self._square = judged_square(source.face, source.frame.shape, setup.size_px)
        self._performer = Performer(setup.engine, source, follows=setup.follows)
        self.source = crop_frame(source.frame, self._square)
        self._copy = self._judges.read(self.source)

    def judge(self, tracked: TrackedFrame) -> JudgedFrame:
        """Render a frame, and compare the result and the copy with the frame itself."""
        truth = TrueFrame.of(tracked, self._square, self._judges)
        shown = crop_frame(self._performer.follow(tracked.frame, tracked.face), self._square)
        scores = {COPY: truth.scores(self.source, self._copy), MODEL: truth.scores(shown)}
        return JudgedFrame(tracked, truth.picture, shown, scores)


def compare_pictures(truth: Frame, shown: Frame, mouth: Window | None) -> dict[str, float | None]:
    """Compare two frames (H, W, 3) pixel by pixel, as a whole and in the window of the mouth."""
    return {
        "l1": mean_error(truth, shown),
        "psnr": peak_signal_to_noise(truth, shown),
        "ssim": similarity(truth, shown),
        "ms_ssim": multiscale_similarity(truth, shown),
        "mouth_l1": None if mouth is None else mean_error(truth, shown, mouth),
    }


def compare_readings(truth: FaceReading, shown: FaceReading, mouth: NDArray[np.int64]) -> dict[str, float | None]:
    """Compare what the judges read. mouth: indices of the lips' keypoints. no_face_pct: 100 if the face is lost."""
    scores: dict[str, float | None] = dict.fromkeys(("akd", "mouth_akd", "identity", "no_face_pct"))
    # A face that the judges miss in the true frame too says nothing about the method.
    if truth.points is not None:
        scores["no_face_pct"] = 0.0 if shown.points is not None else 100.0
    if truth.points is not None and shown.points is not None:
        scores["akd"] = keypoint_distance(truth.points, shown.points)
        scores["mouth_akd"] = keypoint_distance(truth.points[mouth], shown.points[mouth])
    if truth.identity is not None and shown.identity is not None:
        # Distance of the embeddings; below 0.6, dlib counts two pictures as one person.
        scores["identity"] = float(np.linalg.norm(truth.identity - shown.identity))
    return scores

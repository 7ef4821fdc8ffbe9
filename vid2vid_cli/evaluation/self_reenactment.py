"""Self-reenactment: the first frame of a clip is moved as the clip itself, whose frames are then the truth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vid2vid_cli.errors import MediaError, NoFaceError, Vid2VidError
from vid2vid_cli.evaluation.bench import COPY, Bench, start_run
from vid2vid_cli.evaluation.judges import MESH_LIPS, Sight
from vid2vid_cli.evaluation.material import Shot, Shots, judged_square
from vid2vid_cli.evaluation.measures import (
    MeanScores,
    Window,
    keypoint_distance,
    mean_error,
    peak_signal_to_noise,
    similarity,
    similarity_of_scales,
    window_around,
)
from vid2vid_cli.evaluation.performers import Performer, Portrait
from vid2vid_cli.evaluation.report import Evaluation, FigureRow, mean_rows
from vid2vid_cli.evaluation.sheet import WHITE_ERROR, Cell, Keeper, Spread, Worst, error_map
from vid2vid_cli.face.crop import Frame, crop_frame
from vid2vid_cli.models.registry import LoadedModel
from vid2vid_cli.pipeline.options import EvaluateClipsOptions
from vid2vid_cli.pipeline.progress import Hooks, counted

MOUTH_MARGIN = 0.25  # of the longer side of the lips' box
ROWS_OF_ONE_CLIP = 8


def evaluate_self(
    clips: str | Path,
    options: EvaluateClipsOptions | None = None,
    *,
    model: LoadedModel | None = None,
    hooks: Hooks | None = None,
) -> Evaluation:
    """Measure self-reenactment on a clip, or on each clip of a folder, against a copy and against the bare warp.

    Raises a subclass of Vid2VidError whose text is one line; in a folder, a clip that cannot be judged is left out.
    """
    clips, options = Path(clips), options or EvaluateClipsOptions()
    run = start_run(options, [clips], model, hooks, columns=5)
    found = run.material.clips(clips)
    progress = counted(run.hooks, sum(clip.due(options) for clip in found))
    rows: list[FigureRow] = []
    for clip in found:
        keeper: Keeper = Spread(ROWS_OF_ONE_CLIP) if len(found) == 1 else Worst()
        try:
            row = judge_clip(Shots(clip, options, run.bench.engine.analyzer, run.log), run.bench, keeper, progress)
        except Vid2VidError as error:
            run.material.skip(clip.path, error, is_alone=len(found) == 1)
            continue
        rows += row
        for cells in keeper.rows:
            run.sheet.add(cells)
    if not rows:
        raise NoFaceError(f"{clips}: none of {len(found)} clips can be judged; see the warnings")
    return run.finish("self", rows, mean_rows(rows, ("mean of {}",)))


def judge_clip(shots: Shots, bench: Bench, keeper: Keeper, progress: Callable[[], None]) -> list[FigureRow]:
    """Reenact a clip from its own first frame that shows a face, and judge every method on the same frames."""
    source, stream = shots.split()
    scene = JudgedClip(bench, source, shots.clip.path.stem)
    tallies = {name: MeanScores() for name in scene.methods}
    judged = 0
    with closing(stream):  # type: ignore[type-var]
        for shot in stream:
            take = scene.judge(shot)
            for name, scores in take.scores.items():
                tallies[name].add(scores)
            last = list(take.scores)[-1]
            keeper.offer(take.scores[last]["l1"] or 0.0, lambda take=take: take.cells(scene))  # type: ignore[misc]
            judged += 1
            progress()
    if not judged:
        raise MediaError(f"{shots.clip.path}: too short, no frame is left to judge; a smaller --every may help")
    name = shots.clip.path.name
    return [FigureRow((name,), method, tally.means(), judged, shots.faceless) for method, tally in tallies.items()]


@dataclass(frozen=True)
class Take:
    """One judged frame. truth, shown: squares of it (size, size, 3); scores: by method."""

    shot: Shot
    truth: Frame
    shown: Mapping[str, Frame]
    scores: Mapping[str, Mapping[str, float | None]]

    def cells(self, scene: JudgedClip) -> list[Cell]:
        """Lay it out for a sheet: source, driving, what each model shows, and the last one's error."""
        last = list(self.shown)[-1]
        models = [(picture, f"{name}, L1 {self.scores[name]['l1']:.1f}") for name, picture in self.shown.items()]
        return [
            (scene.source, f"source, {scene.name}"),
            (self.truth, f"driving, frame {self.shot.index}"),
            *[cell for cell, name in zip(models, self.shown, strict=True) if name != COPY],
            (error_map(self.truth, self.shown[last]), f"error of {last}, white: {WHITE_ERROR} of 255"),
        ]


class JudgedClip:
    """A source frame, and every method that shows it: copied, and by each model."""

    def __init__(self, bench: Bench, source: Portrait, name: str = "") -> None:
        self.name = name
        self._judges = bench.judges
        self._square = judged_square(source.face, source.frame.shape, bench.size_px)
        self._performers = {
            name: Performer(model, bench.engine, source, follows=bench.follows) for name, model in bench.models.items()
        }
        self.source = crop_frame(source.frame, self._square)
        self._copy = self._judges.look(self.source)
        self.methods = (COPY, *self._performers)

    def judge(self, shot: Shot) -> Take:
        """Let each model show a frame, and compare what is shown with the frame itself."""
        truth = crop_frame(shot.frame, self._square)
        seen = self._judges.look(truth)
        lips = self._square.to_crop(shot.face.landmarks_px[MESH_LIPS, :2])
        mouth = window_around(lips, MOUTH_MARGIN, self._square.size)
        shown = {COPY: self.source}
        sights = {COPY: self._copy}
        for name, performer in self._performers.items():
            shown[name] = crop_frame(performer.follow(shot.frame, shot.face), self._square)
            sights[name] = self._judges.look(shown[name])
        scores = {
            name: {
                **compare_pictures(truth, picture, mouth),
                **compare_sights(seen, sights[name], self._judges.landmarks.mouth),
            }
            for name, picture in shown.items()
        }
        return Take(shot, truth, shown, scores)


def compare_pictures(truth: Frame, shown: Frame, mouth: Window | None) -> dict[str, float | None]:
    """Compare two frames (H, W, 3) pixel by pixel, and in the window of the mouth."""
    return {
        "l1": mean_error(truth, shown),
        "psnr": peak_signal_to_noise(truth, shown),
        "ssim": similarity(truth, shown),
        "ms_ssim": similarity_of_scales(truth, shown),
        "mouth_l1": None if mouth is None else mean_error(truth, shown, mouth),
    }


def compare_sights(truth: Sight, shown: Sight, mouth: NDArray[np.int64]) -> dict[str, float | None]:
    """Compare what the judges saw. mouth: which keypoints are the lips. no_face_pct: 100 where they lost the face."""
    scores: dict[str, float | None] = dict.fromkeys(("akd", "mouth_akd", "identity", "no_face_pct"))
    if truth.points is not None:
        scores["no_face_pct"] = 0.0 if shown.points is not None else 100.0
    if truth.points is not None and shown.points is not None:
        scores["akd"] = keypoint_distance(truth.points, shown.points)
        scores["mouth_akd"] = keypoint_distance(truth.points[mouth], shown.points[mouth])
    if truth.identity is not None and shown.identity is not None:
        scores["identity"] = float(np.linalg.norm(truth.identity - shown.identity))
    return scores

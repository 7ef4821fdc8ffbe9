"""Self-reenactment: the first frame of a clip is moved as the clip itself, whose frames are then the truth."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vid2vid_cli.errors import NoFaceError
from vid2vid_cli.face.crop import CropSpec, FaceCrop, Frame, crop_around, crop_frame
from vid2vid_cli.face.mesh import Face, FaceTracker
from vid2vid_cli.media.video import ReadOptions, read_video
from vid2vid_cli.models.base import ReenactmentModel
from vid2vid_cli.pipeline.engine import Engine
from vid2vid_cli.pipeline.evaluation.judges import MESH_LIPS, Judges
from vid2vid_cli.pipeline.evaluation.measures import (
    Points,
    Scores,
    Tally,
    keypoint_distance,
    mean_error,
    peak_signal_to_noise,
    similarity,
    similarity_of_scales,
    window_around,
)
from vid2vid_cli.pipeline.evaluation.performers import FirstFrame, ModelPerformer, Performer, StillPerformer
from vid2vid_cli.streaming import prefetch

CROP_SCALE = 1.75  # side of the judged square over the longer side of the face: hair, neck, some background are in
MOUTH_MARGIN = 0.25  # of the longer side of the lips' box


@dataclass(frozen=True)
class Protocol:
    """Which frames are judged, and how large: every so-manieth of so many from the start; 0 means all."""

    every: int = 6
    frames: int = 120
    size_px: int = 256


@dataclass(frozen=True)
class Bench:
    """All that stays the same from clip to clip. models: by the name under which they are judged."""

    engine: Engine
    models: dict[str, ReenactmentModel]
    judges: Judges
    protocol: Protocol


@dataclass(frozen=True)
class Sight:
    """What the judges see in a picture; None where they see no face."""

    points: Points | None
    identity: NDArray[np.float64] | None


@dataclass(frozen=True)
class Shot:
    """One judged frame. truth: the clip's own. mouth: points of its lips, (N, 2), in px of the square."""

    index: int
    frame: Frame
    face: Face


@dataclass(frozen=True)
class ClipScores:
    """How each method did on a clip. judged: frames judged. faceless: frames left out, for they show no face."""

    clip: Path
    judged: int
    faceless: int
    methods: dict[str, Scores]


def judge_clip(clip: Path, bench: Bench, warn: object = None) -> ClipScores:
    """Reenact a clip from its own first frame that shows a face, and judge every method on the same frames."""
    shots = Shots(clip, bench)
    tallies = {name: Tally() for name in ("copy", *bench.models)}
    judged = 0
    with closing(shots.__iter__()) as stream:
        first = next(stream, None)
        if first is None:
            raise NoFaceError(f"{clip}: no face found in any frame; leave it out")
        square = judged_square(first.face, bench.protocol.size_px)
        performers = cast(first, bench)
        for shot in stream:
            judged += 1
            truth = crop_frame(shot.frame, square)
            seen = look(truth, bench.judges)
            mouth = window_around(square.to_crop(shot.face.landmarks_px[MESH_LIPS, :2]), MOUTH_MARGIN, square.size)
            shown: dict[str, Frame] = {}
            for name, performer in performers.items():
                shown[name] = crop_frame(performer.follow(shot.frame, shot.face), square)
                scores = compare_pictures(truth, shown[name])
                scores["mouth_l1"] = None if mouth is None else mean_error(truth, shown[name], mouth)
                tallies[name].add({**scores, **compare_faces(seen, look(shown[name], bench.judges), bench.judges)})
    return ClipScores(clip, judged, shots.faceless, {name: tally.means() for name, tally in tallies.items()})


def judged_square(face: Face, size_px: int) -> FaceCrop:
    """Return the one square of a clip in which its frames are compared, around the first frame's face."""
    return crop_around(face, CropSpec(CROP_SCALE, size=size_px), (0.0, 0.0, np.inf, np.inf))


def cast(first: Shot, bench: Bench) -> dict[str, Performer]:
    """Let everybody who is judged look at the first frame."""
    start = FirstFrame(first.frame, first.face, bench.engine.analyzer.faces(first.frame))
    return {
        "copy": StillPerformer(start),
        **{name: ModelPerformer(model, bench.engine, start) for name, model in bench.models.items()},
    }


class Shots:
    """The frames of a clip that are judged, the first with a face before them; faces are followed through all."""

    def __init__(self, clip: Path, bench: Bench) -> None:
        self._clip, self._bench = clip, bench
        self.faceless = 0

    def __iter__(self) -> Iterator[Shot]:
        """Yield the first frame with a face, then every so-manieth with one."""
        protocol = self._bench.protocol
        tracker = FaceTracker(self._bench.engine.analyzer)
        started = False
        with closing(prefetch(read_video(self._clip, ReadOptions()), 4)) as frames:  # type: ignore[type-var]
            for index, frame in enumerate(frames):
                if protocol.frames and index >= protocol.frames:
                    return
                face = tracker.update(frame)
                is_due = index % protocol.every == 0
                self.faceless += is_due and face is None
                if face is not None and (is_due or not started):
                    started = True
                    yield Shot(index, frame, face)


def look(picture: Frame, judges: Judges) -> Sight:
    """Let the judges look at a picture."""
    return Sight(judges.landmarks(picture), None if judges.embedding is None else judges.embedding(picture))


def compare_pictures(truth: Frame, shown: Frame) -> dict[str, float | None]:
    """Compare two frames pixel by pixel."""
    return {
        "l1": mean_error(truth, shown),
        "psnr": peak_signal_to_noise(truth, shown),
        "ssim": similarity(truth, shown),
        "ms_ssim": similarity_of_scales(truth, shown),
    }


def compare_faces(truth: Sight, shown: Sight, judges: Judges) -> dict[str, float | None]:
    """Compare what the judges saw. no_face: 1 where they lost the face, whose mean is their share."""
    scores: dict[str, float | None] = {"akd": None, "mouth_akd": None, "identity": None}
    if truth.points is not None:
        scores["no_face"] = float(shown.points is None)
        if shown.points is not None:
            mouth = judges.landmarks.mouth
            scores["akd"] = keypoint_distance(truth.points, shown.points)
            scores["mouth_akd"] = keypoint_distance(truth.points[mouth], shown.points[mouth])
    if truth.identity is not None and shown.identity is not None:
        scores["identity"] = float(np.linalg.norm(truth.identity - shown.identity))
    return scores

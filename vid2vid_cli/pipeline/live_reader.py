"""Read the face of a camera, picture by picture: who is followed, what moves, and since what rest."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
import torch

from vid2vid_cli.arrays import Frame
from vid2vid_cli.face.detector import CONVINCING_SCORE
from vid2vid_cli.face.mesh import Face, FaceTracker
from vid2vid_cli.motion import Motion
from vid2vid_cli.pipeline.driving.base import DrivenFrame
from vid2vid_cli.pipeline.driving.motion_reader import ReaderSetup
from vid2vid_cli.pipeline.driving.rest_so_far import LearntRest, RestSoFar
from vid2vid_cli.pipeline.driving.watching import FaceWatcher
from vid2vid_cli.pipeline.live_controls import LiveControls
from vid2vid_cli.smoothing import MotionSmoother

COUNTED_EVERY_S = 2.0  # how often the faces of a picture are counted, which takes longer than to follow one
SEARCHED_EVERY_S = 0.1  # how often a lost face is searched for: a search takes longer than a frame may


@dataclass(frozen=True)
class LiveReading:
    """What one picture of the camera tells.

    driven: the motion, the last one known while the face is lost; None before the first. faces: how many the last
    count found. rest: what motion is relative to; None before the first face. time_s: when the picture was taken.
    """

    driven: DrivenFrame
    faces: int
    rest: LearntRest | None
    time_s: float

    @property
    def is_found(self) -> bool:
        """Whether this very picture shows the face."""
        return self.driven.found

    @property
    def message(self) -> str | None:
        """What to tell the user about the faces; None where all is well."""
        if not self.is_found:
            return (
                "no face in the camera's picture"
                if self.driven.motion is None
                else "face lost; its last motion is held"
            )
        return f"{self.faces} faces; one of them is followed" if self.faces > 1 else None


class LiveTracker(FaceTracker):
    """Follows a face without ever searching thoroughly, which takes seconds, and counts faces now and then.

    time_s: when the next picture was taken, to be set before each `update`.
    """

    time_s = 0.0
    faces = 0
    _counted_s = _searched_s = -math.inf

    def update(self, frame: Frame) -> Face | None:
        """Find the face in the next picture (H, W, 3); None while there is none."""
        face = super().update(frame)
        if face is not None and self.time_s >= self._counted_s + COUNTED_EVERY_S:
            self._count(len(self.analyzer.detector.detect(frame, min_score=CONVINCING_SCORE)), at_least=1)
        return face

    def find(self, frame: Frame) -> Face | None:
        """Search the whole picture, quickly, and not for every picture while nobody is there."""
        if self.time_s < self._searched_s + SEARCHED_EVERY_S:
            return None
        self._searched_s = self.time_s
        faces = self.analyzer.faces(frame)
        self._count(len(faces))
        return self.choose(faces, frame)

    def _count(self, faces: int, at_least: int = 0) -> None:
        self.faces, self._counted_s = max(at_least, faces), self.time_s


class LiveReader:
    """Reads motion off a camera's pictures, each of them once and in order."""

    def __init__(self, setup: ReaderSetup, fps: float) -> None:
        """fps: about how many pictures a second will be read, for smoothing."""
        self._setup, self._fps = setup, fps
        self._is_mirrored, self._smooth = False, 0.0
        self._takes_reference, self._is_given = False, False
        self._first: Frame | None = None  # the picture whose head pose is the neutral one
        self._begin_anew()

    def take_reference(self) -> None:
        """Let the next picture with a face be the neutral one. May be called from any thread."""
        self._takes_reference = True

    def _begin_anew(self) -> None:
        """Forget where the face was, in which crop it was read and how it rests."""
        self._tracker = LiveTracker(self._setup.analyzer, self._setup.select)
        self._begin_crop()
        self._smoother: MotionSmoother | None = None

    def _begin_crop(self) -> None:
        self._watcher = FaceWatcher(self._setup)
        self._rest = RestSoFar(self._setup.model, is_given=self._is_given)
        self._last: DrivenFrame | None = None

    @torch.inference_mode()
    def read(self, picture: Frame, controls: LiveControls, time_s: float) -> LiveReading:
        """Read a picture (H, W, 3). time_s: when it was taken, on any clock that never goes back."""
        if controls.mirror != self._is_mirrored:
            self._mirror(controls.mirror, time_s)
        self._tracker.time_s = time_s
        seen = np.ascontiguousarray(picture[:, ::-1]) if controls.mirror else picture
        face = self._tracker.update(seen)
        if face is not None and self._takes_reference:
            self._takes_reference, self._is_given, self._first = False, True, picture
            # In a crop of its own, so that somebody who has moved closer is seen whole again.
            self._begin_crop()
        elif face is not None and self._first is None:
            self._first = picture
        driven = self._driven(seen, face, time_s)
        return LiveReading(self._smoothed(driven, controls.smooth), self._tracker.faces, self._rest.learnt, time_s)

    def _driven(self, picture: Frame, face: Face | None, time_s: float) -> DrivenFrame:
        if face is None:
            return DrivenFrame(None, False, picture) if self._last is None else replace(self._last, found=False)
        driven = next(self._watcher.watch([picture], lambda _: face))
        if driven.motion is not None:
            self._rest.see(driven.motion, time_s, driven.look)
        self._last = replace(driven, picture=None)  # of a lost face, the motion is held and not the picture
        return driven

    def _mirror(self, is_mirrored: bool, time_s: float) -> None:
        """See everything as in a mirror, or no longer. The picture that was the neutral one stays so."""
        self._is_mirrored = is_mirrored
        self._begin_anew()
        if self._first is not None:
            seen = np.ascontiguousarray(self._first[:, ::-1]) if is_mirrored else self._first
            self._tracker.time_s = time_s
            self._driven(seen, self._tracker.update(seen), time_s)
            # In the next picture the face is searched for, since it is elsewhere than in that one.
            self._tracker = LiveTracker(self._setup.analyzer, self._setup.select)

    def _smoothed(self, driven: DrivenFrame, strength: float) -> DrivenFrame:
        if strength != self._smooth:
            self._smooth, self._smoother = strength, None
        motion: Motion | None = driven.motion
        if not strength or motion is None:
            return driven
        self._smoother = self._smoother or MotionSmoother(strength, self._fps)
        return replace(driven, motion=self._smoother(motion))

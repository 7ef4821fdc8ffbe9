"""Find out how far each source must be turned to look turned as far as asked: turn it, and read its pictures."""

from __future__ import annotations

import contextlib
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vid2vid_cli.arrays import Frame
from vid2vid_cli.errors import Vid2VidError
from vid2vid_cli.face.landmarks import LANDMARKS
from vid2vid_cli.face.mesh import (
    Face,
    FaceAnalyzer,
    FaceTracker,
    face_from_landmarks,
    roi_from_landmarks,
    select_face,
)
from vid2vid_cli.geometry.keypoints import fit_similarity
from vid2vid_cli.geometry.rotation import axis_angle_from_rotation, pose_from_rotation
from vid2vid_cli.geometry.turning import UNCHANGED, TurnCurve, Turning
from vid2vid_cli.models.base import ReenactmentModel, SourceAppearance
from vid2vid_cli.models.calibrated_turns import CalibratedTurns
from vid2vid_cli.motion import PoseOverride
from vid2vid_cli.pipeline.animator import Animator

# The first and the last turn that are tried, and one midway: the same for all requests, so that an angle looks the same
# alone and in a sweep. The last one is nearer where a head would leave what can be read, but no nearer than this.
FIRST_TRY_DEG, LAST_TRY_DEG, NEAREST_LAST_DEG = 10.0, 40.0, 30.0
READABLE_DEG = 58.0
SIDE_PX = 512  # of the pictures that are read
# Where a face is cut out changes what is read of its turn by about a degree. So it is read in some squares, and what
# they say is averaged: steps to the right and down, as shares of the usual side, and their own side.
SQUARES = ((0.0, 0.0, 1.0), (-0.03, 0.02, 0.94), (0.03, 0.02, 1.08), (0.0, -0.04, 1.0))
# Points on bone: nose, forehead, corners of the eyes, temples, sides of the face. With cheeks and lips among them, real
# heads and warped ones are read a tenth further pitched.
# fmt: off
BONY = (
    1, 4, 5, 6, 8, 9, 10, 21, 33, 54, 67, 93, 103, 109, 127, 133, 151, 162, 168, 195, 197, 234, 251, 263, 284, 297,
    323, 332, 338, 356, 362, 389, 454,
)
# fmt: on
# The mesh network does not read profiles. Heads that are known to be turned by 0, 40, 50, 60 and 70 degrees (see
# training/known_heads.py) are read about as these, and would be as those if it went on as up to 40. Without the
# difference, a head that is already half turned away would be turned too far until more is read.
READ_YAW_DEG = (0.0, 35.4, 43.8, 50.6, 54.0, 59.0)
EVEN_YAW_DEG = (0.0, 35.4, 44.2, 53.1, 62.0, 67.0)
Way = tuple[int, int]
"""An axis, 0 for yaw and 1 for pitch, and 1 or -1."""


class TurnCalibration:
    """Calibrates the faces of a still source when angles are first asked of them. Roll needs none."""

    def __init__(self, model: ReenactmentModel, analyzer: FaceAnalyzer) -> None:
        self._model, self._analyzer = model, analyzer
        self._faces: dict[int, FaceTurns] = {}

    def calibrated(self, number: int, appearance: SourceAppearance, pose: PoseOverride | None) -> SourceAppearance:
        """Return a face that looks turned as asked. number: of the face; its first appearance is measured."""
        model = self._model
        if pose is None or not isinstance(model, CalibratedTurns):
            return appearance
        if number not in self._faces:
            self._faces[number] = FaceTurns(model, self._analyzer, appearance)
        return model.with_turning(appearance, self._faces[number].turning(pose))


class FaceTurns:
    """Measures how far one face looks turned, for the ways that are asked for."""

    def __init__(self, model: ReenactmentModel, analyzer: FaceAnalyzer, appearance: SourceAppearance) -> None:
        self._model, self._analyzer, self._appearance = model, analyzer, appearance
        self._measured: dict[Way, TurnCurve | None] = {}
        self._trial: Trial | None = None

    def turning(self, pose: PoseOverride) -> Turning:
        """Return the curves for a pose, and all that are known already."""
        for way in asked_ways(pose):
            if way not in self._measured:
                self._measured[way] = self._curve(way)
        return Turning({way: curve for way, curve in self._measured.items() if curve is not None})

    def _curve(self, way: Way) -> TurnCurve | None:
        """Measure one way; None where no face is read."""
        with contextlib.suppress(Vid2VidError), torch.inference_mode():
            if self._trial is None:
                self._trial = Trial(self._model, self._analyzer, self._appearance)
            shown = self._trial.readings(way)
            if shown and isinstance(self._model, CalibratedTurns):
                axis, sign = way
                own = sign * float(pose_from_rotation(self._appearance.motion.rotation)[axis])
                room = max(0.0, math.radians(self._model.furthest_pose_deg[axis]) - own)
                return TurnCurve.through(self._trial.angles(way), shown, room)
        return None


class Trial:
    """A small copy of a source that is turned exactly as far as asked, and read."""

    def __init__(self, model: ReenactmentModel, analyzer: FaceAnalyzer, appearance: SourceAppearance) -> None:
        self._analyzer, self._own = analyzer, appearance.motion.rotation
        if isinstance(model, CalibratedTurns):
            appearance = model.with_turning(model.smaller(appearance, SIDE_PX), UNCHANGED)
        self._animator = Animator(model, appearance, Path("source"))
        frame = self._animator.frame_at_rest()
        rest = select_face(analyzer.faces(frame), "largest", frame)
        self._rest = None if rest is None else steadily_read(analyzer, frame, rest)
        self._bony = torch.zeros(LANDMARKS)
        self._bony[list(BONY)] = 1

    def angles(self, way: Way) -> tuple[float, ...]:
        """Return how far a face is turned one way to be read, radians."""
        axis, sign = way
        own_deg = sign * math.degrees(float(pose_from_rotation(self._own)[axis]))
        room_deg = READABLE_DEG - own_deg if axis == 0 else math.inf
        last_deg = min(LAST_TRY_DEG, max(NEAREST_LAST_DEG, room_deg))
        return tuple(map(math.radians, (FIRST_TRY_DEG, (FIRST_TRY_DEG + last_deg) / 2, last_deg)))

    def readings(self, way: Way) -> list[float]:
        """Return how far the face looks turned at the angles that are tried, radians; it ends where no face is read."""
        readings: list[float] = []
        if self._rest is not None:
            tracker = FaceTracker(self._analyzer, start=self._rest)
            for angle in self.angles(way):
                pose = turn_of(way, angle)
                frame = self._animator.frame_at_rest(pose)
                face = tracker.follow(frame)  # no search, which takes seconds
                if face is None:
                    break
                tracker.last = steadily_read(self._analyzer, frame, face)
                readings.append(self._angle(self._rest, tracker.last, pose))
        return readings

    def _angle(self, rest: Face, turned: Face, pose: PoseOverride) -> float:
        """Return how far a face turned about the axis of a pose, radians."""
        before, after = (torch.from_numpy(face.landmarks_px[None, :LANDMARKS]) for face in (rest, turned))
        rotation = fit_similarity(before, after, self._bony).rotation
        seen = axis_angle_from_rotation(rotation)[0]
        meant = axis_angle_from_rotation(pose.apply(self._own) @ self._own.transpose(-1, -2))[0].to(seen)
        angle = float(seen @ meant / meant.norm())
        if pose.yaw is not None:
            own, shown = (float(pose_from_rotation(head)[0]) for head in (self._own, rotation @ self._own.to(rotation)))
            angle += math.copysign(1, float(pose.yaw)) * (unread_yaw(shown) - unread_yaw(own))
        return angle


def steadily_read(analyzer: FaceAnalyzer, frame: Frame, face: Face) -> Face:
    """Read a face that was found in a frame (H, W, 3) again, in SQUARES, and return the mean."""
    usual = roi_from_landmarks(face.landmarks_px)
    side, x, y = usual.size_px, usual.x_px, usual.y_px
    squares = [
        replace(usual, x_px=x + right * side, y_px=y + down * side, size_px=size * side)
        for right, down, size in SQUARES
    ]
    read = analyzer.mesh_faces(frame, squares)
    return face_from_landmarks(np.mean([one.landmarks_px for one in read], axis=0), face.score) if read else face


def unread_yaw(read: float) -> float:
    """Return how much more of a turn aside is left out at a yaw that is read, radians, than nearer to the front."""
    read_deg = math.degrees(abs(read))
    even_deg = float(np.interp(read_deg, READ_YAW_DEG, EVEN_YAW_DEG))
    return math.copysign(math.radians(max(even_deg - read_deg, 0.0)), read)


def turn_of(way: Way, angle_rad: float) -> PoseOverride:
    """Return a turn one way from where the head is."""
    axis, sign = way
    angle = torch.tensor([sign * angle_rad])
    return PoseOverride(yaw=angle) if axis == 0 else PoseOverride(pitch=angle)


def asked_ways(pose: PoseOverride) -> list[Way]:
    """Return the ways that a pose may turn a head. Absolute ones depend on where the head is: either way."""
    ways: list[Way] = []
    for axis, angle in enumerate((pose.yaw, pose.pitch)):
        if angle is not None:
            ways += [(axis, sign) for sign in (1, -1) if pose.absolute or _goes(angle, sign)]
    return ways


def _goes(angle: Tensor, sign: int) -> bool:
    return bool((angle * sign > 0).any())

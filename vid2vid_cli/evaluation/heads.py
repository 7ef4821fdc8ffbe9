"""Read shape, pose and expression of a face from a picture, with the embedded mesh, whatever family rendered it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from vid2vid_cli.arrays import Frame
from vid2vid_cli.face.mesh import Face, FaceAnalyzer, select_face
from vid2vid_cli.geometry.keypoints import Similarity
from vid2vid_cli.models.base import ReenactmentModel
from vid2vid_cli.models.compact.motion_layout import POINTS, unit_points


@dataclass(frozen=True)
class Head:
    """A face decomposed, in the canonical frame of the mesh, where the eyes of the mean face are 1 apart.

    shape: (468, 3), the face without its pose and, as far as it can be told, without its expression.
    rotation: (3, 3), canonical to camera. expression: (468, 3), offsets that still contain some shape: only their
    changes count.
    """

    shape: Tensor
    rotation: Tensor
    expression: Tensor


class HeadReader:
    """Read heads from pictures. mesh_model: the embedded one, whose keypoints are the points of the mesh."""

    def __init__(self, mesh_model: ReenactmentModel, analyzer: FaceAnalyzer) -> None:
        self._model, self._analyzer = mesh_model, analyzer

    def find(self, picture: Frame) -> Head | None:
        """Read the largest face of a picture (H, W, 3); None without a face."""
        face = select_face(self._analyzer.faces(picture), "largest", picture)
        return None if face is None else self.read(picture, face)

    @torch.inference_mode()
    def read(self, picture: Frame, face: Face) -> Head:
        """Read a face that was found in a picture (H, W, 3)."""
        size = (picture.shape[0], picture.shape[1])
        landmarks = torch.from_numpy(face.landmarks_px).float()[None]
        motion = self._model.motion(None, landmarks, size)
        # The similarity takes canonical keypoints to those in the picture; `undo` takes them back.
        pose = Similarity(motion.scale, motion.rotation, motion.translation)
        # Even at rest a face differs from the mean face. Only a part of that difference is expression.
        shown = self._model.without_shape(motion)[:, :POINTS]
        shape = pose.undo(unit_points(landmarks, size)[:, :POINTS]) - shown
        return Head(shape[0], motion.rotation[0], motion.expression[0, :POINTS])


def distance_pct(one: Tensor, other: Tensor) -> float:
    """Return the mean distance of canonical keypoints (468, 3), in percent of the mean face's eye distance."""
    return 100 * float((one - other).norm(dim=-1).mean())


def angle_between_deg(one: Tensor, other: Tensor) -> float:
    """Return the angle of the rotation between two rotations (3, 3), in degrees."""
    # The trace of a rotation is 1 + 2 cos(angle). Rounding may take it a little outside of -1 to 3.
    cosine = (float((one @ other.T).diagonal().sum()) - 1) / 2
    return math.degrees(math.acos(max(-1.0, min(1.0, cosine))))


class ExpressionCorrelation:
    """How well rendered expressions follow the driving ones over a whole clip. It keeps only sums."""

    def __init__(self) -> None:
        self._product = self._shown = self._driving = 0.0

    def add(self, shown: Tensor, driving: Tensor) -> None:
        """Add a frame's changes of expression (468, 3) from rest: the rendered one and the driving one."""
        self._product += float((shown * driving).sum())
        self._shown += float(shown.square().sum())
        self._driving += float(driving.square().sum())

    @property
    def value(self) -> float | None:
        """Return the cosine between both over all keypoints and frames, -1 to 1. None if either did not move."""
        size = math.sqrt(self._shown * self._driving)
        return self._product / size if size > 1e-9 else None

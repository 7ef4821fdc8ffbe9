"""Read a face's shape, pose and expression off a picture by the embedded mesh, whatever family made the picture."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from vid2vid_cli.face.crop import Frame
from vid2vid_cli.face.mesh import Face, FaceAnalyzer, select_face
from vid2vid_cli.geometry.keypoints import Similarity
from vid2vid_cli.models.base import ReenactmentModel
from vid2vid_cli.models.compact.motion_layout import POINTS, unit_points


@dataclass(frozen=True)
class Head:
    """A face taken apart, in the canonical frame of the mesh, where the eyes of the mean face are 1 apart.

    shape: (468, 3), the face without its pose, and without its expression as well as that can be told.
    rotation: (3, 3), canonical to camera. expression: (468, 3), offsets, in which shape is left: only changes count.
    """

    shape: Tensor
    rotation: Tensor
    expression: Tensor


class HeadReader:
    """Reads heads off pictures. mesh_model: the embedded checkpoint's, whose keypoints are the mesh's."""

    def __init__(self, mesh_model: ReenactmentModel, analyzer: FaceAnalyzer) -> None:
        self._model, self._analyzer = mesh_model, analyzer

    def find(self, picture: Frame) -> Head | None:
        """Read the largest face of a picture (H, W, 3); None where there is none."""
        face = select_face(self._analyzer.faces(picture), "largest", picture)
        return None if face is None else self.read(picture, face)

    @torch.inference_mode()
    def read(self, picture: Frame, face: Face) -> Head:
        """Read a face that is found already."""
        size = (picture.shape[0], picture.shape[1])
        landmarks = torch.from_numpy(face.landmarks_px).float()[None]
        motion = self._model.motion(None, landmarks, size)
        pose = Similarity(motion.scale, motion.rotation, motion.translation)
        # A face at rest is no mean face: of what its points are off by, only a part is expression.
        shown = self._model.without_shape(motion)[:, :POINTS]
        shape = pose.undo(unit_points(landmarks, size)[:, :POINTS]) - shown
        return Head(shape[0], motion.rotation[0], motion.expression[0, :POINTS])


def distance_pct(one: Tensor, other: Tensor) -> float:
    """Return the mean distance of canonical keypoints (468, 3), in percent of the mean face's distance of the eyes."""
    return 100 * float((one - other).norm(dim=-1).mean())


def angle_between_deg(one: Tensor, other: Tensor) -> float:
    """Return the angle of the rotation between two rotations (3, 3), in degrees."""
    cosine = (float((one @ other.T).diagonal().sum()) - 1) / 2
    return math.degrees(math.acos(max(-1.0, min(1.0, cosine))))


class Following:
    """How well shown expressions follow those that drive, over a whole clip; it keeps sums alone."""

    def __init__(self) -> None:
        self._product = self._shown = self._asked = 0.0

    def add(self, shown: Tensor, asked: Tensor) -> None:
        """Add a frame's changes of expression (468, 3) from rest: as shown, and as they drove."""
        self._product += float((shown * asked).sum())
        self._shown += float(shown.square().sum())
        self._asked += float(asked.square().sum())

    @property
    def correlation(self) -> float | None:
        """Give the cosine between both over all keypoints and frames, -1 to 1; None where either stood still."""
        size = math.sqrt(self._shown * self._asked)
        return self._product / size if size > 1e-9 else None

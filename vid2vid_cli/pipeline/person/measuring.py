"""Measure the face in a frame: pose, mouth, lids, light, how sharp it is, and what tells whose it is."""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from vid2vid_cli.arrays import Frame, Map, Points
from vid2vid_cli.errors import WeightsError
from vid2vid_cli.face.eyes import INNER, LOOPS, OUTER
from vid2vid_cli.face.mesh import Face, roi_from_landmarks
from vid2vid_cli.face.square import crop_square
from vid2vid_cli.geometry.keypoints import Similarity
from vid2vid_cli.geometry.rotation import pose_from_rotation
from vid2vid_cli.models.compact.likeness import describe
from vid2vid_cli.models.compact.model import CompactModel
from vid2vid_cli.models.compact.motion_layout import POINTS, unit_points
from vid2vid_cli.models.registry import load_model
from vid2vid_cli.motion import Motion
from vid2vid_cli.person_file import Facts

SHARPNESS_PX = 256  # side of the square around a face in which its detail is measured
CELLS = 12  # of a face seen from the front, along a side, in which its relief is measured
SEEN, MOSTLY = 0.3, 0.6  # facing of skin that is seen; share of a cell that has to be
RELIEF_YAW = math.radians(22)  # beyond, the edge of the nose and the hair are relief enough
FACING = 0.25  # see FaceTopology.facing: skin turned further away tells nothing of the light
GAPS = ((82, 87), (13, 14), (312, 317))  # upper and lower edge of the mouth's opening
CORNERS = (78, 308)
NOSE = 2  # its base
# Points of a lid over those of the other: the middle three of seven.
UPPER, LOWER = slice(11, 14), slice(3, 6)


@dataclass(frozen=True)
class FaceReading:
    """What one frame tells of a face.

    motion: of one frame, with the embedded checkpoint's keypoints. head: (468, 3), the face without its pose.
    descriptor: see same_person. relief: see relief_of. cut: share of the landmarks that lie outside of the frame.
    """

    face: Face
    motion: Motion
    head: Points
    facts: Facts
    descriptor: Points
    relief: Map
    cut: float


class FaceReader:
    """Measures faces by the embedded checkpoint, whatever checkpoint will animate them."""

    def __init__(self) -> None:
        model = load_model().model
        if not isinstance(model, CompactModel):
            raise WeightsError("the checkpoint of the package is of another family; install vid2vid again")
        self.model = model

    @torch.inference_mode()
    def read(self, frame: Frame, face: Face) -> FaceReading:
        """Measure a face of a frame (H, W, 3)."""
        size = frame.shape[0], frame.shape[1]
        landmarks = torch.from_numpy(face.landmarks_px)[None].float()
        motion = self.model.motion(None, landmarks, size)
        pose = Similarity(motion.scale, motion.rotation, motion.translation)
        head = pose.undo(unit_points(landmarks, size)[:, :POINTS])[0].numpy()
        texture = self.model.skin.take(frame, face.landmarks_px[:POINTS], motion.rotation[0].numpy())
        flat = face.landmarks_px[:, :2]
        cut = float(((flat < 0) | (flat >= frame.shape[1::-1])).any(axis=1).mean())
        yaw, pitch, roll = (float(angle[0]) for angle in pose_from_rotation(motion.rotation))
        light = _light(texture.light, texture.facing)
        facts = Facts(
            *(yaw, pitch, roll, *_mouth(head), *_lids(head)),
            *(_sharpness(frame, face), *light, face.size_px, face.score),
        )
        descriptor, relief = describe(texture.light, texture.facing), relief_of(texture.light, texture.facing, yaw)
        return FaceReading(face, motion, head, facts, descriptor, relief, cut)


def _mouth(head: Points) -> tuple[float, float, float]:
    """Return the height of the gap between the lips, its width, and how high its corners lie."""
    height = float(np.mean([head[lower, 1] - head[upper, 1] for upper, lower in GAPS]))
    right, left = head[list(CORNERS)]
    return max(0.0, height), float(np.linalg.norm(left - right)), float(head[NOSE, 1] - (right[1] + left[1]) / 2)


def _lids(head: Points) -> tuple[float, float]:
    """Return the height of both eyes' openings over their widths."""
    right, left = (
        float(np.linalg.norm(head[loop[LOWER]] - head[loop[UPPER]], axis=1).mean())
        / max(float(np.linalg.norm(head[loop[OUTER]] - head[loop[INNER]])), 1e-3)
        for loop in LOOPS
    )
    return right, left


def _light(light: Map, facing: Map) -> tuple[float, float, float]:
    """Return the brightness of the skin, and the logarithms of its light from the right and from above.

    light: logarithm of the brightness, see wrinkles.SkinTexture.
    """
    seen = (facing > FACING).astype(np.float32)
    half = light.shape[0] // 2

    def mean(rows: slice, columns: slice) -> float:
        weight = seen[rows, columns]
        return float((light[rows, columns] * weight).sum() / max(1.0, float(weight.sum())))

    everything, first, second = slice(None), slice(half), slice(half, None)
    brightness = math.exp(mean(everything, everything))
    across = mean(everything, second) - mean(everything, first)
    return min(1.0, brightness), across, mean(first, everything) - mean(second, everything)


def relief_of(light: Map, facing: Map, yaw: float) -> Map:
    """Return how steeply light changes in each part of a face: (CELLS, CELLS), NaN where it is not seen.

    light, facing: (S, S), see wrinkles.SkinTexture. yaw: of the head, radians.
    """
    if abs(yaw) > RELIEF_YAW:
        return np.full((CELLS, CELLS), np.nan, np.float32)
    smooth = cv2.GaussianBlur(light, (0, 0), 1.0)
    slope = np.hypot(cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1)) / 8
    seen = (facing > SEEN).astype(np.float32)
    share = cv2.resize(seen, (CELLS, CELLS), interpolation=cv2.INTER_AREA)
    mean = cv2.resize(slope * seen, (CELLS, CELLS), interpolation=cv2.INTER_AREA) / np.maximum(share, 1e-3)
    return np.where(share > MOSTLY, mean, np.nan).astype(np.float32)


def _sharpness(frame: Frame, face: Face) -> float:
    """Return how much of a face's contrast is fine detail, at one size of all faces: small ones lack it."""
    square = crop_square(frame, roi_from_landmarks(face.landmarks_px), SHARPNESS_PX)
    inner = square[SHARPNESS_PX // 5 : -SHARPNESS_PX // 5, SHARPNESS_PX // 5 : -SHARPNESS_PX // 5]
    gray = cv2.GaussianBlur(cv2.cvtColor(inner, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), 1.0)
    fine = cv2.Laplacian(gray, cv2.CV_32F)
    return float(fine.std() / (gray.std() + 8.0))

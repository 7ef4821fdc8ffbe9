"""Fit a mesh to every face in a frame, and follow one face through a video."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vid2vid_cli.arrays import Frame, Points
from vid2vid_cli.face.attention_mesh import IRIS_CENTRES, AttentionMesh
from vid2vid_cli.face.blazeface import FullRangeDetector, ShortRangeDetector
from vid2vid_cli.face.detector import (
    CONVINCING_SCORE,
    FaceBox,
    FaceDetector,
    FindsFaces,
    store_channels_last,
)
from vid2vid_cli.face.eyes import IRISES
from vid2vid_cli.face.fast_mesh import use_fast_layers
from vid2vid_cli.face.frames import images_of
from vid2vid_cli.face.landmarks import LANDMARKS
from vid2vid_cli.face.square import Square, crop_square

RIGHT_EYE, LEFT_EYE = 33, 263  # outer corners: the person's right eye is left for the viewer
# Pairs of mesh points whose mean is a keypoint of the detector: both eyes, the tip of the nose, the mouth.
MARKED = ((33, 133), (263, 362), (1, 1), (13, 14))
ROI_MARGIN = 1.5  # side of the region over the longer side of the face
MIN_DETECTION = 0.35
MIN_PRESENCE = 0.99  # a logit of 4.6
SURE_PRESENCE = 0.99995  # a logit of 9.9
FAST = 0.1  # of its size: a face that moved so far since the last frame is looked at twice
FRAMES_BETWEEN_THOROUGH_SEARCHES = 15

# Which of the network's points a face has: of each iris, its centre alone.
KEPT_POINTS = np.array([*range(LANDMARKS), *IRIS_CENTRES])

Select = Literal["largest", "center"] | int
Box = tuple[float, float, float, float]
"""Left, top, right and bottom in px of the frame."""


@dataclass(frozen=True)
class Face:
    """The mesh of one face.

    box: left, top, right, bottom of the landmarks in frame px.
    landmarks_px: (470, 3) float32, the mesh's 468 and the centres of the right and the left iris; frame px from the
    picture's left and top edge, x right, y down, z away from the camera in the same unit (smaller is nearer, 0 near
    the middle of the head).
    score: the network's confidence that this is a face, in [0, 1].
    """

    box: Box
    landmarks_px: Points
    score: float

    @property
    def size_px(self) -> float:
        """Return the longer side of the box."""
        return max(self.box[2] - self.box[0], self.box[3] - self.box[1])

    @property
    def center_px(self) -> NDArray[np.float64]:
        """Return the centre of the box, (2,)."""
        return np.array([self.box[0] + self.box[2], self.box[1] + self.box[3]]) / 2


def face_from_landmarks(landmarks: Points, score: float) -> Face:
    """Build a face from its landmarks (468 or 470, 3) in frame px."""
    low, high = landmarks[:, :2].min(axis=0), landmarks[:, :2].max(axis=0)
    return Face((float(low[0]), float(low[1]), float(high[0]), float(high[1])), landmarks, score)


def roi_from_box(box: FaceBox) -> Square:
    """Return the region that the mesh network expects around a detection: eyes level, some margin."""
    return Square(*box.center_px, box.size_px * ROI_MARGIN, box.tilt_rad)


def roi_from_landmarks(landmarks: Points) -> Square:
    """Return the region that the mesh network expects around a face with landmarks (468, 3) in frame px."""
    flat = landmarks[:, :2].astype(np.float64)
    eye_line = flat[LEFT_EYE] - flat[RIGHT_EYE]
    level = Square(0, 0, 1, math.atan2(eye_line[1], eye_line[0]))
    own = flat @ level.axes  # (N, 2), along the face's own axes: right and down
    low, high = own.min(axis=0), own.max(axis=0)
    x, y = level.axes @ ((low + high) / 2)
    return Square(float(x), float(y), float((high - low).max()) * ROI_MARGIN, level.angle_rad)


class FaceAnalyzer:
    """Find faces and fit meshes to them. It holds the networks and no state."""

    def __init__(self, detector: FindsFaces, mesh_net: AttentionMesh) -> None:
        """Take the networks. On the CPU, the mesh's layers are replaced with fast ones, permanently."""
        self.detector = detector
        self.mesh_net = mesh_net.eval()
        store_channels_last(mesh_net)
        if next(mesh_net.parameters()).device.type == "cpu":
            use_fast_layers(mesh_net)

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor], device: torch.device | str = "cpu") -> FaceAnalyzer:
        """Build the networks from tensors named detector_short.*, detector_full.* and mesh.*."""
        short, full, mesh = ShortRangeDetector(), FullRangeDetector(), AttentionMesh()
        prefixed = ((short, "detector_short."), (full, "detector_full."), (mesh, "mesh."))
        for network, prefix in prefixed:
            load_prefixed(network, state, prefix)
            network.to(device)
        return cls(FaceDetector(short, full), mesh)

    def faces(self, frame: Frame, *, thorough: bool = False) -> list[Face]:
        """Find all faces in a frame (H, W, 3), from left to right. thorough: for stills, slow."""
        found = self.faces_in_boxes(frame, self.detector.detect(frame, min_score=MIN_DETECTION, thorough=thorough))
        if thorough and not found:
            found = self.faces_in_boxes(frame, self.detector.detect_tilted(frame, min_score=MIN_DETECTION))
        return sorted(found, key=lambda face: float(face.center_px[0]))

    def faces_in_boxes(self, frame: Frame, boxes: Sequence[FaceBox]) -> list[Face]:
        """Fit meshes to detections. Drop those that are not faces after all, and duplicates."""
        boxes = sorted(boxes, key=lambda box: -box.score)
        landmarks, scores = self.landmarks(frame, [roi_from_box(box) for box in boxes])
        rois = [
            roi_from_landmarks(points)
            for box, points, score in zip(boxes, landmarks, scores, strict=True)
            if is_credible(box, points, score)
        ]
        # A second pass, on the region that the landmarks give, places a face exactly as tracking would.
        return distinct_faces(self.mesh_faces(frame, rois))

    def face_in(self, frame: Frame, box: Box) -> Face:
        """Fit a mesh where somebody says that there is a face, however little the networks believe it."""
        left, top, right, bottom = box
        given = Square((left + right) / 2, (top + bottom) / 2, max(right - left, bottom - top) * ROI_MARGIN, 0)
        (first,), (score,) = self.landmarks(frame, [given])
        (again,), (score_again,) = self.landmarks(frame, [roi_from_landmarks(first)])
        return (
            face_from_landmarks(again, float(score_again))
            if score_again > score
            else face_from_landmarks(first, float(score))
        )

    def mesh_faces(self, frame: Frame, rois: Sequence[Square]) -> list[Face]:
        """Fit meshes to regions, and keep those that hold a face whose centre is in the frame."""
        landmarks, scores = self.landmarks(frame, rois)
        faces = map(face_from_landmarks, landmarks, scores.tolist())
        width_height = frame.shape[1::-1]
        return [f for f in faces if f.score >= MIN_PRESENCE and all((f.center_px >= 0) & (f.center_px < width_height))]

    @torch.inference_mode()
    def landmarks(self, frame: Frame, rois: Sequence[Square]) -> tuple[Points, Points]:
        """Fit a mesh to each region of a frame: landmarks (N, 470, 3) in frame px, scores (N,) in [0, 1]."""
        if not rois:
            return np.zeros((0, LANDMARKS + len(IRISES), 3), np.float32), np.zeros(0, np.float32)
        size = self.mesh_net.image_size
        crops = [crop_square(frame, roi, size) for roi in rois]
        points, logits = self.mesh_net(images_of(crops, next(self.mesh_net.parameters()).device))
        fractions = (points[:, KEPT_POINTS] / size).cpu().numpy()
        placed = [roi.mesh_to_frame(mesh) for roi, mesh in zip(rois, fractions, strict=True)]
        return np.stack(placed), torch.sigmoid(logits).cpu().numpy()


def load_prefixed(network: nn.Module, state: Mapping[str, Tensor], prefix: str) -> None:
    """Load the tensors whose names begin with a prefix, strictly."""
    network.load_state_dict({k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)})


def is_credible(box: FaceBox, landmarks: Points, presence: float) -> bool:
    """Check a detection against its mesh (468, 3) and the presence score of that mesh.

    Both networks may see a face in clouds and lettering, but seldom the same eyes, nose and mouth. Measured, as a
    fraction of the box: the keypoints of both differ by up to 0.12 on true faces, with a presence logit above 10, and
    by 0.04 to 0.27 on false ones, with a logit below 9.2. A weak detection must pass both tests.
    """
    marked = landmarks[np.array(MARKED), :2].mean(axis=1)
    difference = float(np.linalg.norm(marked - box.keypoints_px[:4], axis=1).mean()) / max(box.size_px, 1e-6)
    if box.score >= CONVINCING_SCORE:
        return presence >= MIN_PRESENCE and difference < 0.25
    return presence >= SURE_PRESENCE and difference < 0.1


def distinct_faces(faces: Sequence[Face]) -> list[Face]:
    """Keep the first of the meshes that lie on the same face: their centres are less than half a face apart."""
    kept: list[Face] = []
    for face in faces:
        if all(distance(face, other) > 0.5 * min(face.size_px, other.size_px) for other in kept):
            kept.append(face)
    return kept


def distance(one: Face, other: Face) -> float:
    """Return the distance between the centres of two faces in frame px."""
    return float(np.linalg.norm(one.center_px - other.center_px))


class FaceTracker:
    """Follow one face through the frames of a video. The detector runs only while the face is lost."""

    def __init__(self, analyzer: FaceAnalyzer, select: Select = "largest", start: Face | None = None) -> None:
        self.analyzer = analyzer
        self.select = select
        self.last = start
        self.frames_lost = 0

    def update(self, frame: Frame) -> Face | None:
        """Find the face in the next frame (H, W, 3); None while there is none."""
        face = self.follow(frame) or self.find(frame)
        self.frames_lost = 0 if face else self.frames_lost + 1
        self.last = face or self.last
        return face

    def follow(self, frame: Frame) -> Face | None:
        """Look where the face was in the last frame."""
        if self.last is None or self.frames_lost:
            return None
        found = self.analyzer.mesh_faces(frame, [roi_from_landmarks(self.last.landmarks_px)])
        # Off the middle of its square a face is read a little distorted: a fast one is looked at again where it is.
        if found and distance(found[0], self.last) > FAST * self.last.size_px:
            found = self.analyzer.mesh_faces(frame, [roi_from_landmarks(found[0].landmarks_px)])
        # A mesh that jumps may have slid onto a neighbour: let the detector decide.
        return found[0] if found and distance(found[0], self.last) < 0.5 * self.last.size_px else None

    def find(self, frame: Frame) -> Face | None:
        """Search the whole frame for the lost face, or for the first one."""
        # An index counts the faces that a thorough search finds, as `vid2vid faces` lists them.
        needs_all = self.last is None and isinstance(self.select, int)
        face = None if needs_all else self.choose(self.analyzer.faces(frame), frame)
        if face is None and self.frames_lost % FRAMES_BETWEEN_THOROUGH_SEARCHES == 0:
            face = self.choose(self.analyzer.faces(frame, thorough=True), frame)
        return face

    def choose(self, faces: Sequence[Face], frame: Frame) -> Face | None:
        """Choose the face to follow: at first the selected one, later the one nearest to where it was."""
        if self.last is None:
            return select_face(faces, self.select, frame)
        # A face too far away is somebody else. Each lost frame gives the lost face time to get further.
        reach = self.last.size_px * (1 + 0.25 * self.frames_lost)
        nearest = min(faces, key=partial(distance, self.last), default=None)
        return nearest if nearest and distance(self.last, nearest) < reach else None


def select_face(faces: Sequence[Face], select: Select, frame: Frame) -> Face | None:
    """Choose among the faces of a frame, sorted from left to right: the largest, the most central or by index."""
    if isinstance(select, int):
        return faces[select] if 0 <= select < len(faces) else None
    if select == "largest":
        return max(faces, key=lambda face: face.size_px, default=None)
    middle = np.array(frame.shape[1::-1]) / 2
    return min(faces, key=lambda face: float(np.linalg.norm(face.center_px - middle)), default=None)

"""The judges of a picture: landmarks find the keypoints of its face, an embedding tells whose face it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vid2vid_cli.arrays import Frame
from vid2vid_cli.errors import Vid2VidError
from vid2vid_cli.evaluation.dlib_faces import DlibEmbedding, DlibFaces
from vid2vid_cli.evaluation.measures import PixelPoints
from vid2vid_cli.evaluation.options import LandmarkJudge
from vid2vid_cli.face.alignment import load_aligner
from vid2vid_cli.face.landmarks import LIPS
from vid2vid_cli.face.mesh import FaceAnalyzer, select_face

MESH_LIPS = np.array(LIPS)
LIPS_OF_68 = np.arange(48, 68)


class Landmarks(Protocol):
    """Find the keypoints of the face in a picture. mouth: indices of those on the lips."""

    name: str
    mouth: NDArray[np.int64]

    def __call__(self, picture: Frame) -> PixelPoints | None:
        """Return keypoints (N, 2) in px of a picture (H, W, 3), or None without a face."""
        ...


class Embedding(Protocol):
    """Tell whose face it is: vectors of one person lie close together."""

    name: str

    def __call__(self, picture: Frame) -> NDArray[np.float64] | None:
        """Return the vector of the face in a picture (H, W, 3), or None without a face."""
        ...


@dataclass(frozen=True)
class FaceReading:
    """What the judges read from a picture: keypoints (N, 2) in px and the identity vector. None without a face."""

    points: PixelPoints | None
    identity: NDArray[np.float64] | None


@dataclass(frozen=True)
class Judges:
    """The judges of a run. embedding: None if there is none; `why` tells why."""

    landmarks: Landmarks
    embedding: Embedding | None
    why: str = ""

    def read(self, picture: Frame) -> FaceReading:
        """Read the face in a picture (H, W, 3)."""
        return FaceReading(self.landmarks(picture), None if self.embedding is None else self.embedding(picture))


class MeshLandmarks:
    """The points of the face mesh: always available, but not independent, since the mesh also drives."""

    name = "mesh"
    mouth = MESH_LIPS

    def __init__(self, analyzer: FaceAnalyzer) -> None:
        self._analyzer = analyzer

    def __call__(self, picture: Frame) -> PixelPoints | None:
        """Return the points of the largest face."""
        face = select_face(self._analyzer.faces(picture), "largest", picture)
        return None if face is None else face.landmarks_px[:, :2].astype(np.float64)


class FanLandmarks:
    """The 68 points of the package face-alignment (Bulat and Tzimiropoulos 2017), as AKD in the literature."""

    name = "face-alignment"
    mouth = LIPS_OF_68

    def __init__(self, device: str) -> None:
        """Load its networks. WeightsError if they are neither cached nor available."""
        self._aligner = load_aligner(device, "--landmarks")

    def __call__(self, picture: Frame) -> PixelPoints | None:
        """Return the 68 points of the largest face."""
        # Copied because the package hands the picture to torch, which warns about read-only arrays.
        faces, _, _ = self._aligner.get_landmarks_from_image(np.array(picture), return_bboxes=True)
        # The tallest face is the largest: its width changes with yaw.
        return max(
            (np.asarray(face, np.float64) for face in faces or []), key=lambda p: float(np.ptp(p[:, 1])), default=None
        )


def choose_judges(landmarks: LandmarkJudge, analyzer: FaceAnalyzer, device: str) -> Judges:
    """Choose the landmarks that were asked for, and the embedding if it is installed."""
    points = MeshLandmarks(analyzer) if landmarks == "mesh" else FanLandmarks(device)
    # dlib is optional: without it, only identity is not measured.
    try:
        return Judges(points, DlibEmbedding(DlibFaces()))
    except Vid2VidError as error:
        return Judges(points, None, f"no identity distance: {error}")

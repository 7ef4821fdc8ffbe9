"""Who looks at a picture in order to judge it: where the keypoints of its face are, and whose face it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vid2vid_cli.errors import Vid2VidError
from vid2vid_cli.evaluation.dlib_faces import DlibEmbedding, DlibFaces
from vid2vid_cli.evaluation.measures import PixelPoints
from vid2vid_cli.face.alignment import load_aligner
from vid2vid_cli.face.crop import Frame
from vid2vid_cli.face.mesh import FaceAnalyzer, select_face
from vid2vid_cli.face.meshnet import LIPS
from vid2vid_cli.pipeline.options import LandmarkJudge

MESH_LIPS = np.array(LIPS)
LIPS_OF_68 = np.arange(48, 68)


class Landmarks(Protocol):
    """Finds the keypoints of the face in a picture. mouth: which of them are the lips."""

    name: str
    mouth: NDArray[np.int64]

    def __call__(self, picture: Frame) -> PixelPoints | None:
        """Return keypoints (N, 2) in px of a picture (H, W, 3); None where no face is seen."""
        ...


class Embedding(Protocol):
    """Says whose face it is: pictures of one person lie near each other."""

    name: str

    def __call__(self, picture: Frame) -> NDArray[np.float64] | None:
        """Return the vector of the face in a picture (H, W, 3); None where no face is seen."""
        ...


@dataclass(frozen=True)
class Sight:
    """What the judges see in a picture: keypoints (N, 2) in px, whose face it is; None where they see no face."""

    points: PixelPoints | None
    identity: NDArray[np.float64] | None


@dataclass(frozen=True)
class Judges:
    """Who judges. embedding: None where there is none, and `why` says why."""

    landmarks: Landmarks
    embedding: Embedding | None
    why: str = ""

    def look(self, picture: Frame) -> Sight:
        """Look at a picture (H, W, 3)."""
        return Sight(self.landmarks(picture), None if self.embedding is None else self.embedding(picture))


class MeshLandmarks:
    """The face mesh's own 468 points: the judge that is always there, though it also drives."""

    name = "mesh"
    mouth = MESH_LIPS

    def __init__(self, analyzer: FaceAnalyzer) -> None:
        self._analyzer = analyzer

    def __call__(self, picture: Frame) -> PixelPoints | None:
        """Return the points of the largest face."""
        face = select_face(self._analyzer.faces(picture), "largest", picture)
        return None if face is None else face.landmarks_px[:, :2].astype(np.float64)


class FanLandmarks:
    """The 68 points of the package face-alignment (Bulat and Tzimiropoulos 2017), which the literature's AKD uses."""

    name = "face-alignment"
    mouth = LIPS_OF_68

    def __init__(self, device: str) -> None:
        """Load its networks; WeightsError where they are neither here nor to be had."""
        self._aligner = load_aligner(device, "--landmarks")

    def __call__(self, picture: Frame) -> PixelPoints | None:
        """Return the 68 points of the largest face."""
        faces, _, _ = self._aligner.get_landmarks_from_image(np.array(picture), return_bboxes=True)
        return max(
            (np.asarray(face, np.float64) for face in faces or []), key=lambda p: float(np.ptp(p[:, 1])), default=None
        )


def choose_judges(landmarks: LandmarkJudge, analyzer: FaceAnalyzer, device: str) -> Judges:
    """Take the landmarks asked for, and the embedding if one is installed."""
    points = MeshLandmarks(analyzer) if landmarks == "mesh" else FanLandmarks(device)
    try:
        return Judges(points, DlibEmbedding(DlibFaces()))
    except Vid2VidError as error:
        return Judges(points, None, f"no identity distance: {error}")

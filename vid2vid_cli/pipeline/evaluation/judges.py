"""Who looks at a picture in order to judge it: where the keypoints of its face are, and whose face it is."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from vid2vid_cli.errors import WeightsError
from vid2vid_cli.face.crop import Frame
from vid2vid_cli.face.mesh import FaceAnalyzer, select_face
from vid2vid_cli.pipeline.evaluation.measures import Points

# Of the 468 points of the mesh: the outer and the inner lips.
MESH_LIPS = np.array(
    [61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185]
    + [78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191]
)
LIPS_OF_68 = np.arange(48, 68)
DLIB_FILES = ("shape_predictor_68_face_landmarks.dat", "dlib_face_recognition_resnet_model_v1.dat")


class Landmarks(Protocol):
    """Finds the keypoints of the face in a picture. mouth: which of them are the lips."""

    name: str
    mouth: NDArray[np.int64]

    def __call__(self, picture: Frame) -> Points | None:
        """Return keypoints (N, 2) in px of a picture (H, W, 3); None where no face is seen."""
        ...


class Embedding(Protocol):
    """Says whose face it is: pictures of one person lie near each other."""

    name: str

    def __call__(self, picture: Frame) -> NDArray[np.float64] | None:
        """Return the vector of the face in a picture (H, W, 3); None where no face is seen."""
        ...


@dataclass(frozen=True)
class Judges:
    """Who judges. embedding: None where there is none, and `why` says why."""

    landmarks: Landmarks
    embedding: Embedding | None
    why: str = ""


class MeshLandmarks:
    """The face mesh's own 468 points: the judge that is always there, though it also drives."""

    name = "mesh"
    mouth = MESH_LIPS

    def __init__(self, analyzer: FaceAnalyzer) -> None:
        self._analyzer = analyzer

    def __call__(self, picture: Frame) -> Points | None:
        """Return the points of the largest face."""
        face = select_face(self._analyzer.faces(picture), "largest", picture)
        return None if face is None else face.landmarks_px[:, :2].astype(np.float64)


class DlibFaces:
    """The 68 points and the embedding of 128 numbers of dlib, an independent judge of both."""

    name = "dlib"
    mouth = LIPS_OF_68

    def __init__(self) -> None:
        """Load dlib's models; WeightsError when the packages are not installed."""
        dlib, folder = _dlib()
        shape, identity = (str(folder / name) for name in DLIB_FILES)
        self._rectangle = dlib.rectangle
        self._detector = dlib.get_frontal_face_detector()
        self._predictor = dlib.shape_predictor(shape)
        self._encoder = dlib.face_recognition_model_v1(identity)
        self._last: tuple[Frame, Any] | None = None

    def __call__(self, picture: Frame) -> Points | None:
        """Return the 68 points of the largest face."""
        shape = self._shape(picture)
        return None if shape is None else np.array([(p.x + 0.5, p.y + 0.5) for p in shape.parts()])

    def embed(self, picture: Frame) -> NDArray[np.float64] | None:
        """Return the 128 numbers of the largest face."""
        shape = self._shape(picture)
        return None if shape is None else np.array(self._encoder.compute_face_descriptor(picture, shape))

    def _shape(self, picture: Frame) -> Any:
        if self._last is None or self._last[0] is not picture:
            boxes = self._detector(np.ascontiguousarray(picture), 1)
            largest = max(boxes, key=lambda box: box.area(), default=None)
            self._last = (picture, None if largest is None else self._predictor(picture, largest))
        return self._last[1]


class DlibEmbedding:
    """The embedding alone."""

    name = "dlib"

    def __init__(self, faces: DlibFaces) -> None:
        self._faces = faces

    def __call__(self, picture: Frame) -> NDArray[np.float64] | None:
        """Return the 128 numbers of the largest face."""
        return self._faces.embed(picture)


def _dlib() -> tuple[ModuleType, Path]:
    """Import dlib and find its models; the package that carries them cannot itself be imported everywhere."""
    models = find_spec("face_recognition_models")
    if find_spec("dlib") is None or models is None or not models.submodule_search_locations:
        raise WeightsError("dlib: not installed; pip install dlib-bin face_recognition_models")
    import dlib

    folder = Path(models.submodule_search_locations[0]) / "models"
    for name in DLIB_FILES:
        if not (folder / name).is_file():
            raise WeightsError(f"{folder / name}: missing; pip install --force-reinstall face_recognition_models")
    return dlib, folder

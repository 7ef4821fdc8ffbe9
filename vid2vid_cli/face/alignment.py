"""The detector of the literature: the package face-alignment, whose own weights it fetches when first used."""

from __future__ import annotations

import io
import warnings
from contextlib import redirect_stderr, redirect_stdout
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vid2vid_cli.errors import WeightsError
from vid2vid_cli.face.detector import FaceBox
from vid2vid_cli.face.square import Frame, Points

# Which of the 68 points lie on the person's right eye, left eye, nose tip, mouth, right and left ear.
MARKS = (range(36, 42), range(42, 48), range(30, 31), range(60, 68), range(1), range(16, 17))


class Aligner(Protocol):
    """What is used of face_alignment.FaceAlignment."""

    def get_landmarks_from_image(
        self, image_or_path: NDArray[np.uint8], *, return_bboxes: bool
    ) -> tuple[list[NDArray[np.float32]] | None, object, list[NDArray[np.float32]] | None]:
        """Return the 68 points (68, 2) of each face in an RGB picture, nothing, and left, top, right, bottom, score."""
        ...


class AlignmentDetector:
    """Finds faces as `FaceDetector` does, by face-alignment's detector and its 68 points."""

    def __init__(self, aligner: Aligner) -> None:
        self._aligner = aligner

    def detect(self, frame: Frame, *, min_score: float = 0.5, thorough: bool = False) -> list[FaceBox]:
        """Find faces in a frame (H, W, 3), sorted from left to right; thorough changes nothing."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of a frame without a face the pipeline tells itself
            landmarks, _, boxes = self._aligner.get_landmarks_from_image(frame, return_bboxes=True)
        if landmarks is None or boxes is None:
            return []
        found = [_as_box(points, box) for points, box in zip(landmarks, boxes, strict=True) if box[4] >= min_score]
        return sorted(found, key=lambda box: box.left_px + box.right_px)

    def detect_tilted(self, frame: Frame, *, min_score: float = 0.5) -> list[FaceBox]:
        """Find nothing: the detector does not look at turned pictures."""
        return []


def _as_box(points: NDArray[np.float32], box: NDArray[np.float32]) -> FaceBox:
    """Turn an answer of face-alignment, in px from the middle of the first pixel, into frame px."""
    left, top, right, bottom = (float(side) + 0.5 for side in box[:4])
    marks: Points = np.stack([points[list(part)].mean(0) for part in MARKS]).astype(np.float32) + np.float32(0.5)
    return FaceBox(left, top, right, bottom, marks, float(box[4]))


def load_alignment(device: str) -> AlignmentDetector:
    """Load face-alignment on a device, as a detector. WeightsError when its weights can not be had."""
    return AlignmentDetector(load_aligner(device, "--detector"))


def load_aligner(device: str, option: str) -> Aligner:
    """Load face-alignment on a device. WeightsError, which names `option`, when its own weights can not be had."""
    from face_alignment import FaceAlignment, LandmarksType

    try:
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            aligner: Aligner = FaceAlignment(LandmarksType.TWO_D, device=device, flip_input=False, compile=False)
    except (OSError, RuntimeError) as error:
        words = " ".join(str(error).strip("<>").removeprefix("urlopen error ").split())
        raise WeightsError(
            f"{option} face-alignment: its weights cannot be fetched ({words}); connect once, or leave {option} out"
        ) from error
    return aligner

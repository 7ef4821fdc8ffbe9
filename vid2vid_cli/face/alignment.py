"""Detect faces with the package face-alignment, as the literature does. It downloads its own weights on first use."""

from __future__ import annotations

import io
import warnings
from contextlib import redirect_stderr, redirect_stdout
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vid2vid_cli.arrays import Frame, Points
from vid2vid_cli.errors import UsageError, WeightsError
from vid2vid_cli.face.detector import FaceBox

# Indices into the 68 points of what BlazeFace marks too: the person's right eye, left eye, nose tip, mouth, right ear
# and left ear. The 68 points have no ears, so the ends of the jaw line stand for them.
MARKS = (range(36, 42), range(42, 48), range(30, 31), range(60, 68), range(1), range(16, 17))


class Aligner(Protocol):
    """The part of face_alignment.FaceAlignment that is used here."""

    def get_landmarks_from_image(
        self, image_or_path: NDArray[np.uint8], *, return_bboxes: bool
    ) -> tuple[list[NDArray[np.float32]] | None, object, list[NDArray[np.float32]] | None]:
        """Find faces in an RGB picture.

        Returns the 68 points (68, 2) of each face, nothing, and its box: left, top, right, bottom, score.
        """
        ...


class AlignmentDetector:
    """Find faces as `FaceDetector` does, with face-alignment's detector and its 68 points."""

    def __init__(self, aligner: Aligner) -> None:
        self._aligner = aligner

    def detect(self, frame: Frame, *, min_score: float = 0.5, thorough: bool = False) -> list[FaceBox]:
        """Find faces in a frame (H, W, 3), sorted from left to right. `thorough` makes no difference here."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the pipeline reports frames without a face itself
            landmarks, _, boxes = self._aligner.get_landmarks_from_image(frame, return_bboxes=True)
        if landmarks is None or boxes is None:
            return []
        found = [_as_box(points, box) for points, box in zip(landmarks, boxes, strict=True) if box[4] >= min_score]
        return sorted(found, key=lambda box: box.left_px + box.right_px)

    def detect_tilted(self, frame: Frame, *, min_score: float = 0.5) -> list[FaceBox]:
        """Return no faces: this detector does not search turned pictures."""
        return []


def _as_box(points: NDArray[np.float32], box: NDArray[np.float32]) -> FaceBox:
    """Convert an answer of face-alignment, which counts px from the centre of the first pixel, to frame px."""
    left, top, right, bottom = (float(side) + 0.5 for side in box[:4])
    marks: Points = np.stack([points[list(part)].mean(0) for part in MARKS]).astype(np.float32) + np.float32(0.5)
    return FaceBox(left, top, right, bottom, marks, float(box[4]))


def load_alignment(device: str) -> AlignmentDetector:
    """Load face-alignment on a device, as a detector. WeightsError when its weights are not available."""
    return AlignmentDetector(load_aligner(device, "--detector"))


def load_aligner(device: str, option: str) -> Aligner:
    """Load face-alignment on a device. Errors name `option`.

    UsageError if the package is missing, WeightsError when its weights are not available.
    """
    try:
        from face_alignment import FaceAlignment, LandmarksType
    except ImportError as error:
        cure = "pip install 'vid2vid[landmarks]', or leave the option out"
        raise UsageError(f"{option} face-alignment: the package does not load ({error}); {cure}") from error

    try:
        # It prints its downloads, which would spoil --json and the progress bar.
        with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            aligner: Aligner = FaceAlignment(LandmarksType.TWO_D, device=device, flip_input=False, compile=False)
    except (OSError, RuntimeError) as error:
        reason = " ".join(str(error).strip("<>").removeprefix("urlopen error ").split())
        raise WeightsError(
            f"{option} face-alignment: its weights cannot be fetched ({reason}); connect once, or leave {option} out"
        ) from error
    return aligner

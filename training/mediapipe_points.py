"""Read faces of pictures with the original MediaPipe runtime, for training/angles.py and training/known_heads.py.

    JUDGE_ENV/bin/python training/mediapipe_points.py POINTS.npz PICTURE...

It runs alone, in an environment of its own (Python 3.11 or 3.12, `pip install mediapipe==0.10.21`), and imports nothing
of this project. POINTS.npz holds the 478 points of each picture in which a face is found, in px: x right, y down, z
away from the camera. Where exactly a face lies in a picture changes what is read of its turn by a degree and more, so
each picture is read SHIFTS times, a little moved and resized, and the median counts.
"""

import sys
from typing import Any

import cv2
import mediapipe
import numpy as np

Array = np.ndarray[Any, np.dtype[Any]]

SHIFTS, LONGEST_PX = 6, 640
FARTHEST, SMALLEST, LARGEST = 0.05, 0.85, 1.15  # moves as shares of the picture's sides; sizes


def main() -> None:
    """Write the points of all pictures of the command line; name those without a face."""
    tracker = mediapipe.solutions.face_mesh.FaceMesh(
        static_image_mode=True, refine_landmarks=True, max_num_faces=1, min_detection_confidence=0.3
    )
    found: dict[str, Any] = {}
    for path in sys.argv[2:]:
        frame = cv2.cvtColor(np.asarray(cv2.imread(path)), cv2.COLOR_BGR2RGB)
        readings = [points for points in (read(tracker, frame, *change) for change in changes()) if points is not None]
        if readings:
            found[path] = np.median(readings, axis=0)
        else:
            print(f"{path}: no face")
    np.savez(sys.argv[1], **found)


def changes() -> Array:
    """Return sizes and moves to the right and down, (SHIFTS, 3); the first leaves a picture as it is."""
    rng = np.random.default_rng(0)
    drawn = rng.uniform((SMALLEST, -FARTHEST, -FARTHEST), (LARGEST, FARTHEST, FARTHEST), (SHIFTS - 1, 3))
    return np.concatenate([[[1.0, 0.0, 0.0]], drawn])


def read(tracker: Any, frame: Array, size: float, right: float, down: float) -> Array | None:
    """Read a picture (H, W, 3) that is resized about its middle and moved; points (478, 3) in px of the picture."""
    height, width = frame.shape[:2]
    scale = min(1.0, LONGEST_PX / max(height, width))
    small = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA) if scale < 1 else frame
    rows, columns = small.shape[:2]
    move = np.array([(right + (1 - size) / 2) * columns, (down + (1 - size) / 2) * rows])
    affine = np.array([[size, 0, move[0]], [0, size, move[1]]])
    shown = cv2.warpAffine(small, affine, (columns, rows), borderMode=cv2.BORDER_REPLICATE)
    faces = tracker.process(shown).multi_face_landmarks
    if not faces:
        return None
    points = np.array([(point.x * columns, point.y * rows, point.z * columns) for point in faces[0].landmark])
    points[:, :2] -= move
    return np.asarray(points / size / scale)


if __name__ == "__main__":
    main()

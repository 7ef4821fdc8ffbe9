"""Where the faces of frames are."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from vid2vid_cli.face.mesh import FaceAnalyzer
from vid2vid_cli.media.image import read_image
from vid2vid_cli.models.compact.motion_layout import POINTS
from vid2vid_cli.models.compact.view_tone import FacePicture

LIDS = ((159, 145, 33, 133), (386, 374, 362, 263))  # upper, lower, both corners of each eye
LIPS = (13, 14, 78, 308)


def landmarks_of(frame: np.ndarray, analyzer: FaceAnalyzer) -> np.ndarray:
    """Find the landmarks of a frame's largest face: (478, 3) in px."""
    face = max(analyzer.faces(frame), key=lambda f: f.size_px)
    return face.landmarks_px


def face_picture(path: Path, analyzer: FaceAnalyzer) -> FacePicture:
    """Read a picture with its largest face's mesh."""
    frame = read_image(path)
    points = landmarks_of(frame, analyzer)[:POINTS]
    return FacePicture(frame, points, float(np.linalg.norm(points[33] - points[263])))


def opening(points: np.ndarray, loop: tuple[int, int, int, int]) -> float:
    """Return an opening's height over its width. points: (468, 2 or 3)."""
    upper, lower, left, right = points[list(loop), :2]
    return float(np.linalg.norm(upper - lower) / np.linalg.norm(left - right))

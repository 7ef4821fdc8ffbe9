"""Where the faces of frames are."""

from __future__ import annotations

import numpy as np

from vid2vid_cli.face.mesh import FaceAnalyzer


def landmarks_of(frame: np.ndarray, analyzer: FaceAnalyzer) -> np.ndarray:
    """Find the landmarks of a frame's largest face: (478, 3) in px."""
    face = max(analyzer.faces(frame), key=lambda f: f.size_px)
    return face.landmarks_px

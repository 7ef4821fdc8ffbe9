"""The reference that `auto` takes is a face at rest, on a real clip of grimaces, blinks and winks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from vid2vid_cli.face.mesh import FaceAnalyzer, FaceTracker
from vid2vid_cli.media.video import ReadOptions, read_video
from vid2vid_cli.models.compact.model import CompactModel
from vid2vid_cli.motion import Motion
from vid2vid_cli.pipeline.driving.reference import nearest_frame

LIDS = ((159, 145), (386, 374))
LIPS = ((13, 14),)


@pytest.fixture(scope="module")
def clip(media_dir: Path, face_analyzer: FaceAnalyzer, compact: CompactModel) -> tuple[Motion, Tensor]:
    """Return the motion and the landmarks (N, 470, 3) of every fourth frame of a woman who makes faces."""
    path = media_dir / "drivings" / "d03_woman_expressions_audio.mp4"
    tracker, landmarks = FaceTracker(face_analyzer), []
    size = (0, 0)
    for index, frame in enumerate(read_video(path, ReadOptions(end_s=4.0))):
        face = tracker.update(frame)
        assert face is not None
        size = frame.shape[0], frame.shape[1]
        if index % 4 == 0:
            landmarks.append(face.landmarks_px)
    points = torch.from_numpy(np.stack(landmarks)).float()
    return compact.motion(None, points, size), points


def height(points: Tensor, pairs: tuple[tuple[int, int], ...]) -> Tensor:
    """Return how far lids or lips are open, in distances of the outer corners of the eyes: (N,)."""
    gaps = [(points[:, above, :2] - points[:, below, :2]).norm(dim=1) for above, below in pairs]
    return torch.stack(gaps).mean(0) / (points[:, 33, :2] - points[:, 263, :2]).norm(dim=1)


def test_shut_eyes_and_open_lips_are_no_rest(clip: tuple[Motion, Tensor], compact: CompactModel) -> None:
    motion, points = clip
    lids, lips, unrest = height(points, LIDS), height(points, LIPS), compact.unrest(motion)
    wide, closed = lids.quantile(0.75), lips.quantile(0.1)
    shut, opened = lids < 0.5 * wide, lips > closed + 0.08
    assert shut.any() and opened.any()  # the clip has both
    assert min(unrest[shut].min(), unrest[opened].min()) > 1
    calm = (lids > 0.9 * wide) & (lips < closed + 0.03)
    assert calm.any() and unrest[calm].max() < 1


def test_auto_takes_a_frame_with_open_eyes_and_closed_lips(clip: tuple[Motion, Tensor], compact: CompactModel) -> None:
    motion, points = clip
    lids, lips = height(points, LIDS), height(points, LIPS)
    # Also where the source itself, as any frame of the clip, is not at rest.
    for own in (0, int(lids.argmin()), int(lips.argmax())):
        chosen = nearest_frame(compact, motion, motion[own])
        assert lids[chosen] > 0.7 * lids.quantile(0.75) and lips[chosen] < lips.quantile(0.1) + 0.07

"""Eyes that look elsewhere are drawn whole: nothing of the iris stays where it was, and nothing else changes."""

from __future__ import annotations

import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from vid2vid_cli.face.crop import Room, crop_around, crop_frame
from vid2vid_cli.face.eyes import IRISES, LOOPS, LOWER, EyeFrame
from vid2vid_cli.face.mesh import FaceAnalyzer
from vid2vid_cli.media.image import read_image
from vid2vid_cli.models.compact.model import CompactModel
from vid2vid_cli.models.compact.motion_layout import KEYPOINTS, POINTS
from vid2vid_cli.motion import Motion

Map = NDArray[np.float32]


class Woman:
    """A woman whose irises touch her lower lids, and how she looks elsewhere."""

    def __init__(self, picture: Path, analyzer: FaceAnalyzer, model: CompactModel) -> None:
        frame = read_image(picture)
        (face,) = analyzer.faces(frame)
        crop = crop_around(face, model.source_crop, Room.of_frame(frame.shape))
        shown = torch.from_numpy(crop_frame(frame, crop).copy()).permute(2, 0, 1)[None].float() / 255
        landmarks = torch.from_numpy(crop.to_crop(face.landmarks_px)).float()[None]
        self.points = landmarks[0, :, :2].double().numpy()
        self._model, self._source = model, model.appearance(shown, landmarks)

    def looking(self, right: float, down: float) -> Map:
        """Return the brightness (H, W) of her picture. right, down: in eye widths."""
        own, change = self._source.motion, torch.zeros(KEYPOINTS, 3)
        change[POINTS, :2] = torch.tensor((right, down))
        moved = Motion(own.rotation, own.translation, own.scale, own.expression + change)
        return self._model.render(self._source, self._model.drive(self._source, moved, own, None))[0].mean(0).numpy()

    def at_lower_lid(self, brightness: Map, eye: int) -> Map:
        """Return what lies at the lower lid below an iris, a little of the white and of the rim."""
        frame = EyeFrame.of(self.points, eye)
        lid = frame.to_own(self.points[LOOPS[eye, LOWER]])
        x = frame.to_own(self.points[IRISES[eye]])[0] + np.linspace(-0.12, 0.12, 9)
        y = np.interp(x, *lid[np.argsort(lid[:, 0])].T)[:, None] + np.linspace(-0.07, 0.03, 7)
        px = frame.to_frame(np.stack([np.broadcast_to(x[:, None], y.shape), y], -1)).astype(np.float32) - 0.5
        return np.asarray(cv2.remap(brightness, px[..., 0], px[..., 1], cv2.INTER_LINEAR))


@pytest.fixture(scope="module")
def woman(media_dir: Path, face_analyzer: FaceAnalyzer, face_state: dict[str, torch.Tensor]) -> Woman:
    return Woman(media_dir / "sources" / "s27_ai_woman.png", face_analyzer, CompactModel(face_state))


@pytest.mark.parametrize("eye", [0, 1])
def test_an_iris_that_looks_up_leaves_nothing_at_the_lower_lid(woman: Woman, eye: int) -> None:
    assert woman.at_lower_lid(woman.looking(0, 0), eye).min() < 0.2, "the iris touches the lid"
    assert woman.at_lower_lid(woman.looking(0, -0.12), eye).min() > 0.36, "white, and the lid's own edge"


def test_a_gaze_that_is_the_source_s_own_changes_no_pixel(woman: Woman) -> None:
    np.testing.assert_array_equal(woman.looking(0, 0), woman.looking(1e-6, 0))


def test_a_gaze_fades_in_without_a_jump(woman: Woman) -> None:
    """From frame to frame of a slow glance, no pixel changes by more than where an edge of the iris passes."""
    steps = [woman.looking(x, 0) for x in np.linspace(0, 0.06, 13)]
    changes = [np.abs(after - before).max() for before, after in itertools.pairwise(steps)]
    assert max(changes) < 0.16

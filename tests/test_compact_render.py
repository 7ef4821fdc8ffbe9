"""Compact on the examples: a picture that was looked at, and the mouth and the eyes, read back from pictures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.golden.make_compact_render import GOLDEN, render_golden
from tests.support.faces import LIDS, LIPS, opening
from vid2vid_cli.arrays import Frame
from vid2vid_cli.face.crop import Room, crop_around, crop_frame
from vid2vid_cli.face.mesh import Face, FaceAnalyzer, FaceTracker
from vid2vid_cli.media.image import read_image
from vid2vid_cli.media.video import read_video
from vid2vid_cli.models.compact.model import CompactModel

EXAMPLES = Path(__file__).parents[1] / "examples"


class Stage:
    """The example portrait, ready to be driven by moments of the example clip."""

    def __init__(self, state: Mapping[str, Tensor], analyzer: FaceAnalyzer) -> None:
        self.model, self._analyzer = CompactModel(state), analyzer
        frame = read_image(EXAMPLES / "portrait.jpg")
        face = max(analyzer.faces(frame), key=lambda f: f.size_px)
        crop = crop_around(face, self.model.source_crop, Room.of_frame(frame.shape))
        image = torch.from_numpy(crop_frame(frame, crop).copy()).permute(2, 0, 1)[None].float() / 255
        self.image = image
        self.source = self.model.appearance(image, torch.from_numpy(crop.to_crop(face.landmarks_px)).float()[None])

    @torch.inference_mode()
    def show(self, driving: Face, reference: Face, size: tuple[int, int]) -> Frame:
        """Return the portrait as `driving` is against `reference`."""
        moved, rest = (
            self.model.motion(None, torch.from_numpy(face.landmarks_px)[None], size) for face in (driving, reference)
        )
        image = self.model.render(self.source, self.model.drive(self.source, moved, rest, None))
        return (image[0].permute(1, 2, 0) * 255).round().byte().numpy()

    def read(self, picture: Frame) -> np.ndarray:
        """Return the mesh of the face in a picture."""
        return max(self._analyzer.faces(picture), key=lambda f: f.size_px).landmarks_px


@pytest.fixture(scope="module")
def stage(face_state: Mapping[str, Tensor], face_analyzer: FaceAnalyzer) -> Stage:
    return Stage(face_state, face_analyzer)


@pytest.fixture(scope="module")
def moments(face_analyzer: FaceAnalyzer) -> tuple[list[Face], tuple[int, int]]:
    """Return the faces of the example clip, and the size of its frames."""
    tracker, faces, size = FaceTracker(face_analyzer), [], (0, 0)
    for frame in read_video(EXAMPLES / "driving.mp4"):
        face = tracker.update(frame)
        size = frame.shape[0], frame.shape[1]
        if face is not None:
            faces.append(face)
    return faces, size


def test_a_turned_head_is_the_picture_that_was_looked_at(face_state: Mapping[str, Tensor]) -> None:
    difference = np.abs(render_golden(face_state).astype(int) - read_image(GOLDEN).astype(int))
    assert np.quantile(difference, 0.999) <= 2 and difference.mean() < 0.5


def test_no_motion_keeps_the_portrait(stage: Stage) -> None:
    own = stage.source.motion
    image = stage.model.render(stage.source, stage.model.drive(stage.source, own, own, None))
    assert -10 * torch.log10((image - stage.image).square().mean()) > 28


def test_an_opening_mouth_opens_in_the_picture(stage: Stage, moments: tuple[list[Face], tuple[int, int]]) -> None:
    faces, size = moments
    wide = max(faces, key=lambda f: opening(f.landmarks_px, LIPS))
    shut = min(faces, key=lambda f: opening(f.landmarks_px, LIPS))
    rest, moved = (opening(stage.read(stage.show(face, shut, size)), LIPS) for face in (shut, wide))
    assert moved > rest + 0.5 * (opening(wide.landmarks_px, LIPS) - opening(shut.landmarks_px, LIPS))


def test_a_blink_closes_the_eyes_in_the_picture(stage: Stage, moments: tuple[list[Face], tuple[int, int]]) -> None:
    faces, size = moments
    ajar = [np.mean([opening(f.landmarks_px, eye) for eye in LIDS]) for f in faces]
    awake, blink = faces[int(np.argmax(ajar))], faces[int(np.argmin(ajar))]
    assert min(ajar) < 0.5 * max(ajar)
    rest, moved = (stage.read(stage.show(face, awake, size)) for face in (awake, blink))
    # The head is turned at that moment: the mesh reads its far eye less well.
    shares = sorted(opening(moved, eye) / opening(rest, eye) for eye in LIDS)
    assert shares[0] < 0.6 and shares[1] < 0.92

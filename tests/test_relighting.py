"""A person's own face is lit as in the driving, lips and chin included, and nobody else's."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest
import torch

from vid2vid_cli.arrays import Frame, Points
from vid2vid_cli.face.crop import FaceCrop, Room, crop_around, crop_frame
from vid2vid_cli.face.frames import image_of
from vid2vid_cli.face.landmarks import BROWS
from vid2vid_cli.face.mesh import FaceAnalyzer
from vid2vid_cli.media.image import read_image
from vid2vid_cli.models.compact.brow_trust import trust_brows
from vid2vid_cli.models.compact.model import CompactModel
from vid2vid_cli.models.compact.mouth_picture import take_mouth
from vid2vid_cli.models.compact.posing import CompactState
from vid2vid_cli.models.compact.relighting import Relighting
from vid2vid_cli.models.compact.source import CompactSource
from vid2vid_cli.models.compact.wrinkles import DrivingLook, RestingSkin, SkinTexture
from vid2vid_cli.models.registry import load_model

UPRIGHT = np.eye(3, dtype=np.float32)
CHEEKS, CHIN, UPPER_LIP = (50, 280), (199,), (0,)  # points of the mesh
GRAY = 150


class Own(NamedTuple):
    """A portrait that drives itself. mesh_px: (468, 3), in px of the frame; places: of its crop, which is rendered."""

    model: CompactModel
    frame: Frame
    mesh_px: Points
    crop: FaceCrop
    source: CompactSource
    rest: RestingSkin
    still: CompactState

    def light(self, frame: Frame, wrinkles: float = 1.0, *, skin: SkinTexture | None = None) -> Points | None:
        """Return what a frame changes in the light of the source. skin: of another source."""
        look = DrivingLook(None, self.model.skin.take(frame, self.mesh_px, UPRIGHT), wrinkles)
        light = self.model.with_look(replace(self.still, skin=skin or self.still.skin), look, self.rest).light
        return None if light is None else light.logarithm

    def rendered(self, frame: Frame) -> np.ndarray:
        """Render the source as lit in a frame: (H, W, 3) in [0, 1]."""
        look = DrivingLook(None, self.model.skin.take(frame, self.mesh_px, UPRIGHT), wrinkles=1.0)
        driven = self.model.with_look(self.still, look, self.rest)
        return self.model.render(self.source, driven)[0].permute(1, 2, 0).numpy()

    def around(self, picture: np.ndarray, point: int) -> float:
        """Return the mean of a rendered picture around a point of the mesh."""
        x, y = self.crop.to_crop(self.mesh_px.astype(np.float64))[point, :2].astype(int)
        return float(picture[y - 3 : y + 4, x - 3 : x + 4].mean())


@pytest.fixture(scope="module")
def own(media_dir: Path, face_analyzer: FaceAnalyzer) -> Own:
    model = load_model().model
    assert isinstance(model, CompactModel)
    frame = read_image(media_dir / "sources" / "s27_ai_woman.png")
    (face,) = face_analyzer.faces(frame)
    mesh_px = face.landmarks_px[:468].astype(np.float32)
    crop = crop_around(face, model.source_crop, Room.of_frame(frame.shape))
    landmarks = torch.from_numpy(crop.to_crop(face.landmarks_px)).float()[None]
    with torch.inference_mode():
        source = model.appearance(image_of(crop_frame(frame, crop)), landmarks)
        still = model.drive(source, source.motion, source.motion, None)
    return Own(
        model, frame, mesh_px, crop, source, model.skin.rest([model.skin.take(frame, mesh_px, UPRIGHT)] * 3), still
    )


@torch.inference_mode()
@pytest.mark.parametrize("gain", [0.75, 1.1])
def test_the_whole_face_is_lit_as_in_the_driving(own: Own, gain: float) -> None:
    plain = own.rendered(own.frame)
    lit = own.rendered(np.clip(own.frame * gain, 0, 255).astype(np.uint8))
    for point in (*CHEEKS, *CHIN, *UPPER_LIP):
        assert own.around(lit, point) / own.around(plain, point) == pytest.approx(gain, abs=0.06)
    # The picture's corners, which no face is near, keep their light.
    assert np.array_equal(lit[:20, :20], plain[:20, :20])


def skin_in(own: Own, path: Path, face_analyzer: FaceAnalyzer) -> SkinTexture:
    frame = read_image(path)
    face = face_analyzer.faces(frame)[0]
    return own.model.skin.take(frame, face.landmarks_px[:468].astype(np.float32), UPRIGHT)


@pytest.mark.parametrize("other", ["s24_man_beard_large.jpg", "s16_man_smiling.jpg", "s03_terracotta_statue.jpg"])
def test_nobody_else_gets_the_light(own: Own, other: str, media_dir: Path, face_analyzer: FaceAnalyzer) -> None:
    dark = np.asarray(own.frame * 0.7, np.uint8)
    assert own.light(dark) is not None
    assert own.light(dark, skin=skin_in(own, media_dir / "sources" / other, face_analyzer)) is None


def test_ones_own_face_is_known_in_other_light(own: Own) -> None:
    slope = np.linspace(0.6, 1.0, own.frame.shape[1])[:, None]  # light from the right
    lit = own.model.skin.take(np.asarray(own.frame * slope, np.uint8), own.mesh_px, UPRIGHT)
    dark = np.asarray(own.frame * 0.7, np.uint8)
    whole, half = own.light(dark, skin=lit), own.light(dark, 0.5, skin=lit)
    assert whole is not None and half is not None
    assert whole.min() < -0.2 and np.allclose(half, whole / 2)


def test_what_other_pictures_show_already_is_not_changed_again(own: Own) -> None:
    """A picture that covers the face and is as dark as the driving stays so; the source's own light is changed."""
    dark = np.asarray(own.frame * 0.7, np.uint8)
    relighting = Relighting(own.model.skin)
    look, skin = own.model.skin.take(dark, own.mesh_px, UPRIGHT), own.source.skin
    change = relighting.change(skin, look, own.rest.texture, 1.0)
    assert change is not None and change.logarithm.min() < -0.2

    def left(frame: Frame) -> np.ndarray:
        return relighting.left_to_change(change, skin, image_of(frame), own.mesh_px).logarithm

    assert np.allclose(left(own.frame), change.logarithm, atol=0.02)
    assert np.abs(left(dark)).mean() < 0.1 * np.abs(change.logarithm).mean()


def test_a_brow_beside_its_mesh_is_not_shown(own: Own) -> None:
    """Of a picture whose mesh misses one brow, that brow is left out, and nothing else."""
    skin, brow = own.model.skin, np.array(BROWS[0])
    at_place = skin.take(own.frame, own.mesh_px, UPRIGHT)
    missed = own.mesh_px.copy()
    missed[brow, 1] += 0.25 * float(np.linalg.norm(missed[33, :2] - missed[263, :2]))  # its mesh lies lower
    trust = trust_brows(skin, at_place, skin.take(own.frame, missed, UPRIGHT))
    assert trust[brow].max() < 0.5 and trust[list(BROWS[1][:3])].min() > 0.9 and trust[199] == 1
    assert trust_brows(skin, at_place, at_place).min() == 1


def test_a_colour_of_the_light_arrives(own: Own) -> None:
    change = own.light(np.asarray(own.frame * (1.0, 0.8, 0.6), np.uint8))
    assert change is not None
    red, green, blue = (float(np.median(change[..., k][own.model.skin.mask > 0.5])) for k in range(3))
    assert abs(red) < 0.03 and green < -0.1 and blue < green - 0.1


def test_eyes_that_shut_darken_nothing(own: Own) -> None:
    shut = own.frame.copy()
    for eye in own.model.topology.eyes:
        cv2.fillPoly(shut, [np.rint(own.mesh_px[eye, :2]).astype(np.int32)], (0, 0, 0))
    change = own.light(shut)
    assert change is not None and np.abs(change).max() < 0.05


def test_what_is_fine_is_left_to_the_source(own: Own) -> None:
    noise = np.random.default_rng(0).normal(1, 0.3, own.frame.shape[:2])[..., None]
    change = own.light(np.clip(own.frame * noise, 0, 255).astype(np.uint8))
    wide = own.light(np.asarray(own.frame * 0.7, np.uint8))
    assert change is not None and wide is not None
    assert np.std(change[own.model.skin.mask > 0.5]) < 0.1 * np.abs(wide).max()


@torch.inference_mode()
def test_ones_own_mouth_keeps_the_light_of_its_frame(own: Own) -> None:
    opened = own.source.motion.expression.clone()
    loop = own.model.topology.inner_lips
    lower = torch.from_numpy(loop[len(loop) // 2 + 1 :]).long()
    opened[:, lower, 1] += 0.2
    driven = own.model.drive(own.source, replace(own.source.motion, expression=opened), own.source.motion, None)
    gray = np.full_like(own.frame, GRAY)
    mouth = take_mouth(gray, own.mesh_px, loop)
    look = DrivingLook(mouth, own.model.skin.take(own.frame, own.mesh_px, UPRIGHT), wrinkles=1.0)
    keypoints = driven.keypoints[0].numpy()
    height, width = own.source.features["image"].shape[2:]
    lips = keypoints[loop, :2] * (max(height, width) / 2) + (width / 2, height / 2)
    x, y = lips[[len(loop) // 4, -len(loop) // 4]].mean(0).astype(int)

    def inside(skin: SkinTexture | None) -> np.ndarray:
        state = own.model.with_look(replace(driven, skin=skin), look, own.rest)
        return own.model.render(own.source, state)[0, :, y, x].numpy()

    assert np.allclose(inside(driven.skin), GRAY / 255, atol=0.01)
    assert np.ptp(inside(None)) > 0.03  # of another face: in the colour of the source's light

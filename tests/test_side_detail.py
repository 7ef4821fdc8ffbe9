"""Sides of a face that a source shows in few pixels: they have detail as fine and as strong as the skin before them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from vid2vid_cli.arrays import Frame, Map
from vid2vid_cli.face.crop import Room, crop_around, crop_frame
from vid2vid_cli.face.frames import frame_of
from vid2vid_cli.face.mesh import FaceAnalyzer
from vid2vid_cli.media.image import read_image
from vid2vid_cli.models.compact.mesh.box import Box
from vid2vid_cli.models.compact.mesh.placed_mesh import DRAWN_OUT, MIRROR
from vid2vid_cli.models.compact.model import CompactModel
from vid2vid_cli.models.compact.side_detail import in_all_directions, noise_like
from vid2vid_cli.motion import PoseOverride

EXAMPLE = Path(__file__).parents[1] / "examples" / "portrait.jpg"
TURN_RAD = np.radians(30.0)
FINE = 0.006  # eye distances
CHEEKS, EYES = (50, 280), (159, 386)  # points of the mesh


class Turned:
    """A portrait, and the same turned by TURN_RAD, with where it is drawn out."""

    def __init__(self, model: CompactModel, analyzer: FaceAnalyzer, portrait: Path, yaw: float = TURN_RAD) -> None:
        frame = read_image(portrait)
        face = max(analyzer.faces(frame), key=lambda found: found.size_px)
        crop = crop_around(face, model.source_crop, Room.of_frame(frame.shape))
        self.before = crop_frame(frame, crop).copy()
        self.points_px = crop.to_crop(face.landmarks_px)
        image = torch.from_numpy(self.before).permute(2, 0, 1)[None].float() / 255
        self.source = source = model.appearance(image, torch.from_numpy(self.points_px).float()[None])
        driven = model.drive(source, source.motion, source.motion, PoseOverride(yaw=torch.tensor([yaw])))
        self.mesh = source.warp.place(driven.keypoints[0].numpy(), driven.head)
        size = self.before.shape[:2]
        self.drawn_out = self.mesh.draw(Box.whole(size), size, (DRAWN_OUT,))[..., 0]
        self.eye_px = source.sides.eye_px
        with torch.inference_mode():
            self.after = frame_of(model.render(source, driven))

    def detail(self, picture: Frame) -> Map:
        """Return how strong the fine detail of a picture is along its rows, around each pixel."""
        light = np.log(cv2.cvtColor(picture.astype(np.float32) / 255, cv2.COLOR_RGB2GRAY) + 0.06)
        sigma = FINE * self.eye_px
        fine = light - cv2.GaussianBlur(light, (0, 1), sigmaX=sigma, sigmaY=1e-3)
        return np.asarray(np.sqrt(cv2.GaussianBlur(fine**2, (0, 0), 2 * sigma)), np.float32)

    def on_cheeks(self, values: Map) -> float:
        """Return the lower of the values on both cheeks, as the source shows them."""
        return min(float(values[int(y), int(x)]) for x, y in self.points_px[list(CHEEKS), :2])

    def on_side(self, values: Map) -> NDArray[np.float32]:
        """Return the values well within what is drawn out."""
        inside = cv2.erode(np.asarray(self.drawn_out > 0.9, np.uint8), np.ones((9, 9)))
        return values[inside > 0]


@pytest.fixture(scope="module")
def model(face_state: Mapping[str, Tensor]) -> CompactModel:
    return CompactModel(face_state)


def test_a_side_that_comes_into_view_is_as_fine_as_the_cheek(model: CompactModel, face_analyzer: FaceAnalyzer) -> None:
    assert_as_fine(Turned(model, face_analyzer, EXAMPLE))


def test_a_beard_goes_on_to_the_ear(model: CompactModel, face_analyzer: FaceAnalyzer, media_dir: Path) -> None:
    assert_as_fine(Turned(model, face_analyzer, media_dir / "sources" / "s24_man_beard_large.jpg"))


def assert_as_fine(turned: Turned) -> None:
    """Check that what is drawn out is about as finely structured as the cheeks; stretched alone, it has a sixth."""
    there, cheek = turned.on_side(turned.detail(turned.after)), turned.on_cheeks(turned.detail(turned.before))
    assert len(there) > 0.3 * turned.eye_px**2 / 4
    assert np.quantile(there, 0.25) > 0.4 * cheek
    assert np.quantile(there, 0.5) < 2 * cheek


def test_detail_is_laid_over_nothing_else(model: CompactModel, face_analyzer: FaceAnalyzer) -> None:
    turned = Turned(model, face_analyzer, EXAMPLE)
    size = turned.before.shape[:2]
    share, factor = turned.source.sides.draw(turned.mesh, Box.whole(size), size)
    assert (share > 0.9).any() and (factor[share == 0] == 1).all()
    assert np.log(factor).std() > 0
    assert np.abs(np.log(factor).mean()) < 0.01, "it neither darkens nor lightens"


def test_glasses_brows_and_hair_tell_nothing_of_skin(model: CompactModel, face_analyzer: FaceAnalyzer) -> None:
    turned = Turned(model, face_analyzer, EXAMPLE)
    sides, size = turned.source.sides, turned.before.shape[:2]
    covered = turned.before.copy()
    covered[: int(turned.points_px[EYES, 1].mean())] = 0
    for x, y in turned.points_px[EYES, :2]:
        cv2.circle(covered, (int(x), int(y)), int(0.25 * turned.eye_px), (0, 0, 0), max(2, int(0.03 * turned.eye_px)))
    plain, with_glasses = (
        np.log(each.draw(turned.mesh, Box.whole(size), size)[1]) for each in (sides, replace(sides, picture=covered))
    )
    assert np.corrcoef(plain.ravel(), with_glasses.ravel())[0, 1] > 0.9
    assert with_glasses.std() < 1.2 * plain.std()


@pytest.mark.parametrize("width", [1.0, 3.0])
def test_noise_is_as_coarse_as_what_is_seen(width: float) -> None:
    white = np.random.default_rng(1).standard_normal((256, 256)).astype(np.float32)
    seen = cv2.GaussianBlur(white, (0, 0), width)
    noise = noise_like(seen, np.ones_like(seen), 32)
    assert coarseness(noise) == pytest.approx(coarseness(seen), rel=0.3)
    assert noise.mean() == pytest.approx(0, abs=1e-3) and 0.7 < noise.std() < 1.1


def coarseness(picture: Map) -> float:
    """Return how far a picture goes on alike: the correlation of neighbours, as the width of a blur of noise."""
    step = np.diff(picture, axis=1)
    return float(np.sqrt(picture.var() / (2 * step.var())))


def test_folds_of_a_smile_are_no_beard() -> None:
    """What runs one way counts for little, with noise on it for as much as that."""
    rows, columns = np.mgrid[:48, :24].astype(np.float32)
    folds = 0.1 * np.sin((rows + 2 * columns) / 4)
    stubble = 0.1 * cv2.GaussianBlur(np.random.default_rng(3).standard_normal((48, 24)), (0, 0), 0.7)
    assert in_all_directions(folds) < 0.1
    assert in_all_directions(stubble) > 0.85
    assert 0.1 < in_all_directions(folds + stubble) < 0.8
    with_glasses = np.where(rows < 10, np.nan, stubble)
    assert in_all_directions(with_glasses) == pytest.approx(in_all_directions(stubble[10:]), abs=0.02)
    assert in_all_directions(np.full((9, 9), np.nan)) == 0


def test_smiling_folds_are_not_drawn_out_as_stubble(
    model: CompactModel, face_analyzer: FaceAnalyzer, media_dir: Path
) -> None:
    """A clean-shaven man whose smile folds his cheeks: the side of his face is as smooth as skin."""
    turned = Turned(model, face_analyzer, media_dir / "stills" / "p182.jpg", yaw=-TURN_RAD)
    sides, size = turned.source.sides, turned.before.shape[:2]
    detail = np.log(sides.draw(turned.mesh, Box.whole(size), size)[1])
    assert 0.005 < turned.on_side(detail).std() < 0.03


def test_a_face_without_anything_fine_has_no_noise() -> None:
    even = np.zeros((64, 64), np.float32)
    assert not noise_like(even, np.ones_like(even), 16).any()
    white = np.random.default_rng(2).standard_normal(even.shape).astype(np.float32)
    assert noise_like(white, np.ones_like(even), 16).any()
    assert not noise_like(white, np.ones_like(even), 4).any(), "too few texels to tell"


def test_a_side_that_is_mirrored_has_its_own_detail(
    model: CompactModel, face_analyzer: FaceAnalyzer, media_dir: Path
) -> None:
    values = Turned(model, face_analyzer, media_dir / "sources" / "s08_painted_man_glasses.png").mesh.values
    assert values[:, MIRROR].max() > 0.95
    assert values[values[:, MIRROR] > 0.95, DRAWN_OUT].max() < 0.05

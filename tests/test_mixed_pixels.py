"""Pixels of several pictures are mixed as the plain formula says: bilinearly, by shares, before a background."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import pytest

from vid2vid_cli.arrays import Points
from vid2vid_cli.models.compact.mesh.rasterizer import rasterize
from vid2vid_cli.models.compact.mixed_pixels import (
    EVERYWHERE,
    MovedMesh,
    Parts,
    PersonPicture,
    PersonPixels,
    Taken,
    lay_before,
    mix_pixels,
    mix_places,
)

SIZE = (23, 31)  # of the frame
ABOVE, BESIDE, FADE_PX = 3, 2, 4.0
OTHERS, MIRRORED, OWN = (1, 2, 4, Taken.SHARE), (0, 5, 7, Taken.SHARE_OF_REST), (0, 0, 0, Taken.REST)


@dataclass(frozen=True)
class Scene:
    """A mesh of four triangles, and two pictures; the second one really shows only a part of the frame."""

    mesh: MovedMesh
    pictures: tuple[PersonPicture, PersonPicture]

    def drawn(self) -> Points:
        """Return the mesh's values in each pixel: (H, W, C)."""
        return rasterize(self.mesh.vertices_px, self.mesh.values, self.mesh.triangles, SIZE)

    def mixed(self, drawn: Points) -> Points:
        """Return what the pixels (H, W, C) take from the pictures, by OpenCV and the formula."""
        left, person = np.ones(drawn.shape[:2], np.float32), np.zeros((*drawn.shape[:2], 4), np.float32)
        for number, at, share_at, how in self.mesh.parts.tolist():
            share = left if how == Taken.REST else drawn[..., share_at] * (left if how == Taken.SHARE_OF_REST else 1)
            picture, x, y = self.pictures[number], drawn[..., at], drawn[..., at + 1]
            low_x, low_y, high_x, high_y = picture.box
            room = np.min([x - low_x, high_x - x, y - low_y, high_y - y], 0)
            share = share * np.clip(room / picture.fade_px, 0, 1)
            places = (x + picture.beside).clip(0), (y + picture.above).clip(0)
            colours = cv2.remap(picture.pixels, *places, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            person, left = person + share[..., None] * colours, left - share
        return person


@pytest.fixture
def scene() -> Scene:
    rng = np.random.default_rng(4)
    height, width = SIZE
    corners = np.array([[-1, -1], [width, -1], [width, height], [-1, height], [12, 9]], np.float32)
    triangles = np.array([[0, 1, 4], [1, 2, 4], [2, 3, 4], [3, 0, 4]], np.int32)

    def places() -> Points:
        return corners + rng.uniform(-4, 4, corners.shape).astype(np.float32)

    shares = np.array([[0.6, 0.9, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 0.5, 0.7]], np.float32)
    values = np.column_stack([places(), places(), shares[0], places(), shares[1]]).astype(np.float32)
    shape = (ABOVE + height, width + 2 * BESIDE, 4)
    own, other = (cv2.blur(rng.uniform(0.1, 1, shape).astype(np.float32), (3, 3)) for _ in range(2))
    box = np.array([5, -100, 24, 100], np.float32)
    pictures = PersonPicture(own, ABOVE, BESIDE, EVERYWHERE, 1.0), PersonPicture(other, ABOVE, BESIDE, box, FADE_PX)
    vertices = np.column_stack([corners, np.zeros(len(corners))]).astype(np.float32)
    parts: Parts = np.array([OTHERS, MIRRORED, OWN], np.int64)
    return Scene(MovedMesh(vertices, triangles, values, parts, 2), pictures)


def test_pixels_are_mixed_by_their_shares_and_the_rest_is_the_sources(scene: Scene) -> None:
    person, displacement = mix_pixels(scene.mesh, PersonPixels.of(scene.pictures), SIZE)
    drawn = scene.drawn()
    wanted = scene.mixed(drawn)
    assert ((drawn[..., 4] > 0.1).mean() > 0.3) & ((drawn[..., 7] > 0.1).mean() > 0.3)
    # OpenCV knows 32 places between two pixels, so neighbours that differ by one are off by a 64th.
    assert np.abs(person - wanted).max() < 0.03 and np.abs(person - wanted).mean() < 0.003
    pixels = np.stack(np.meshgrid(np.arange(SIZE[1]), np.arange(SIZE[0])), -1)
    assert np.allclose(displacement, drawn[..., 2:4] - pixels, atol=1e-4)


def test_samples_of_a_pixel_are_mixed_as_pixels_are(scene: Scene) -> None:
    pictures, drawn = PersonPixels.of(scene.pictures), scene.drawn()
    person, _ = mix_pixels(scene.mesh, pictures, SIZE)
    samples = np.ascontiguousarray(np.moveaxis(drawn[[4, 17]], -1, 1))
    assert np.allclose(mix_places(samples, scene.mesh.parts, pictures), person[[4, 17]].mean(0), atol=1e-4)


def test_what_no_triangle_covers_stays(scene: Scene) -> None:
    mesh = scene.mesh
    half = MovedMesh(mesh.vertices_px, mesh.triangles[:2], mesh.values, mesh.parts, mesh.main)
    person, displacement = mix_pixels(half, PersonPixels.of(scene.pictures), SIZE)
    own = scene.pictures[0].pixels[ABOVE:, BESIDE:-BESIDE]
    assert np.allclose(person[-3:, :3], own[-3:, :3]) and not displacement[-3:, :3].any()


def test_a_person_is_laid_before_a_background() -> None:
    rng = np.random.default_rng(0)
    person, background = rng.uniform(0, 1, (7, 9, 4)).astype(np.float32), rng.uniform(0, 1, (3, 7, 9))
    background = background.astype(np.float32)
    wanted = np.moveaxis(person[..., :3], -1, 0) + (1 - person[..., 3]) * background
    assert np.allclose(lay_before(person, background), wanted.clip(0, 1), atol=1e-6)

"""Pictures of one mesh are laid over an image as the plain formula says: bilinearly, by shares, edges repeated."""

from __future__ import annotations

import cv2
import numpy as np

from vid2vid_cli.models.compact.mesh.rasterizer import rasterize
from vid2vid_cli.models.compact.view_blend import Pictures, lay_pictures

SIZE = (23, 31)


def test_pictures_are_mixed_by_their_shares_over_the_image_and_their_edges_are_repeated() -> None:
    rng = np.random.default_rng(5)
    height, width = SIZE
    corners = np.array([[-1, -1], [width, -1], [width, height], [-1, height], [12, 9]], np.float32)
    vertices = np.column_stack([corners, np.zeros(len(corners))]).astype(np.float32)
    triangles = np.array([[0, 1, 4], [1, 2, 4], [2, 3, 4], [3, 0, 4]], np.int32)
    shown = [np.asarray(cv2.blur(rng.integers(0, 256, (17, 40, 3), np.uint8), (5, 5)), np.uint8) for _ in range(2)]
    # Each is smaller than the mesh in it: on all sides its edge is seen.
    places = [corners + rng.uniform(-5, 5, corners.shape).astype(np.float32) for _ in shown]
    shares = np.array([[0.5, 0.2, 0.3, 0.0, 0.4], [0.1, 0.6, 0.0, 0.3, 0.5]], np.float32)
    image = rng.uniform(0, 1, (3, *SIZE)).astype(np.float32)
    wanted = np.moveaxis(image, 0, -1).copy()
    centres = vertices - np.array([0.5, 0.5, 0], np.float32)
    drawn_shares = rasterize(centres, np.ascontiguousarray(shares.T), triangles, SIZE)
    wanted *= 1 - drawn_shares.sum(-1, keepdims=True)
    for picture, at, share in zip(shown, places, np.moveaxis(drawn_shares, -1, 0), strict=True):
        x, y = np.moveaxis(rasterize(centres, at - np.float32(0.5), triangles, SIZE), -1, 0)
        colours = cv2.remap(
            picture.astype(np.float32), x.copy(), y.copy(), cv2.INTER_LINEAR, None, cv2.BORDER_REPLICATE
        )
        wanted += share[..., None] * colours / 255
    pictures = Pictures.of(shown, places).some(np.arange(2), shares)
    lay_pictures(image, vertices, triangles, pictures, (0, 0, width, height))
    assert np.abs(np.moveaxis(image, 0, -1) - wanted).max() < 0.02  # OpenCV knows 32 places between two pixels

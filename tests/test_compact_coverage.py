"""Edges of the compact family: lids and the far sides of faces are smooth, and irises are round wherever they look."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from vid2vid_cli.arrays import Points
from vid2vid_cli.face.crop import Room, crop_around, crop_frame
from vid2vid_cli.face.eyes import INNER, IRISES, LOOPS, LOWER, OUTER, UPPER, EyeFrame
from vid2vid_cli.face.mesh import FaceAnalyzer
from vid2vid_cli.media.image import read_image
from vid2vid_cli.models.compact import rendering
from vid2vid_cli.models.compact.iris_size import USUAL, iris_radius
from vid2vid_cli.models.compact.mesh.coverage import mark_jumps, rasterize_at
from vid2vid_cli.models.compact.model import CompactModel
from vid2vid_cli.models.compact.motion_layout import KEYPOINTS, POINTS, unit_points
from vid2vid_cli.models.compact.posing import CompactState
from vid2vid_cli.models.compact.source import CompactSource
from vid2vid_cli.motion import Motion, PoseOverride

PORTRAIT = Path(__file__).parents[1] / "examples" / "portrait.jpg"
RIM = np.concatenate([LOOPS[:, OUTER : INNER + 1], LOOPS[:, UPPER][:, ::-1]], 1)  # the openings as polygons, (2, 16)
FINE = 16  # by which an expected coverage is drawn larger
SCALE = 2  # by which the portrait is enlarged: its eyes are small


def test_a_slanted_edge_covers_each_pixel_by_its_share() -> None:
    vertices = np.array([[-20, -20, 0], [60, -20, 0], [-20, 3, 0], [60, 21, 0]], np.float32)  # above a slanted line
    triangles = np.array([[0, 1, 2], [1, 3, 2]], np.int32)
    y, x = (places.ravel().astype(np.int32) for places in np.mgrid[:20, :20])
    begins = np.arange(0, 401, 20, dtype=np.int32)
    shares = rasterize_at(vertices, np.ones((4, 1), np.float32), triangles, (x, begins))[..., 0].mean(0)
    steps = (np.arange(FINE) + 0.5) / FINE - 0.5
    fine_y, fine_x = y[:, None, None] + steps[:, None], x[:, None, None] + steps
    exact = (fine_y < 3 + (fine_x + 20) * 18 / 80).mean((1, 2))
    assert np.abs(shares - exact).max() < 0.2
    assert ((shares > 0.2) & (shares < 0.8)).sum() >= 10


def test_an_edge_is_where_places_jump_and_not_where_a_surface_is_stretched() -> None:
    y, x = np.mgrid[:40, :60].astype(np.float32)
    stretched = np.stack([np.where(x < 20, 0, 2 * (x - 20)), 0.7 * y + x], -1) / 60
    least = np.float32(0.5 / 60)
    assert not mark_jumps(stretched, least).any()
    jumping = stretched + np.where(y > x / 2, 3 / 60, 0)[..., None].astype(np.float32)
    expected = np.zeros((40, 60), bool)
    side = y > x / 2
    for axis in (0, 1):
        change = np.diff(side, axis=axis)
        before, after = ([(0, 1), (0, 0)], [(1, 0), (0, 0)]) if axis == 0 else ([(0, 0), (0, 1)], [(0, 0), (1, 0)])
        expected |= np.pad(change, before) | np.pad(change, after)
    within = np.s_[2:-2, 2:-2]  # at the border, steps on one side are missing
    np.testing.assert_array_equal((mark_jumps(jumping, least) > 0)[within], expected[within])


@pytest.fixture(scope="module")
def model(face_state: dict[str, Tensor]) -> CompactModel:
    return CompactModel(face_state)


class Painted:
    """The example's portrait with painted eyes: landmarks (1, 470, 3) in px, points (470, 2)."""

    def __init__(self, analyzer: FaceAnalyzer, model: CompactModel) -> None:
        frame = read_image(PORTRAIT)
        (face,) = analyzer.faces(frame)
        crop = crop_around(face, model.source_crop, Room.of_frame(frame.shape))
        height, width = crop_frame(frame, crop).shape[:2]
        self.size = SCALE * height, SCALE * width
        self.landmarks = SCALE * torch.from_numpy(crop.to_crop(face.landmarks_px)).float()[None]
        self.points = self.landmarks[0, :, :2].numpy().astype(np.float64)

    def in_px(self, state: CompactState) -> np.ndarray:
        """Return the mesh of a target in px: (468, 2)."""
        height, width = self.size
        return state.keypoints[0, :, :2].double().numpy() * max(self.size) / 2 + (width / 2, height / 2)

    def openings(self, points: Points | None = None, grown_px: int = 0) -> np.ndarray:
        """Return how much of each pixel lies in the openings of the eyes, (H, W); grown: a mask, some px wider."""
        rims = (self.points if points is None else points)[RIM]
        mask = np.zeros((self.size[0] * FINE, self.size[1] * FINE), np.uint8)
        cv2.fillPoly(mask, [np.rint(rim * FINE - 0.5).astype(np.int32) for rim in rims], 255)
        if grown_px:
            mask = cv2.dilate(mask, np.ones((2 * grown_px * FINE + 1,) * 2, np.uint8))
        return np.asarray(cv2.resize(mask, self.size[::-1], interpolation=cv2.INTER_AREA) / 255)

    def discs(self, radius: float, by: tuple[float, float] = (0, 0)) -> np.ndarray:
        """Return discs (H, W) around the irises, moved right and down. radius, by: in eye widths."""
        y, x = np.mgrid[: self.size[0], : self.size[1]] + 0.5
        mask = np.zeros(self.size)
        for eye in (0, 1):
            frame = EyeFrame.of(self.points, eye)
            middle = self.points[IRISES[eye]] + frame.width_px * np.array(by)
            mask += np.clip(radius * frame.width_px - np.hypot(x - middle[0], y - middle[1]) + 0.5, 0, 1)
        return mask

    def source(self, model: CompactModel, opening: np.ndarray, iris: np.ndarray) -> CompactSource:
        """Return a source of red skin, with eyes of white (green and blue) and black irises."""
        white = opening * (1 - iris)
        image = torch.from_numpy(np.stack([1 - opening, white, white])).float()[None]
        return model.appearance(image, self.landmarks)


@pytest.fixture(scope="module")
def painted(face_analyzer: FaceAnalyzer, model: CompactModel) -> Painted:
    return Painted(face_analyzer, model)


def changed(model: CompactModel, source: CompactSource, change: Tensor) -> CompactState:
    own = source.motion
    moved = Motion(own.rotation, own.translation, own.scale, own.expression + change)
    state = model.drive(source, moved, own, None)
    assert isinstance(state, CompactState)
    return state


def test_the_edge_of_a_closing_lid_covers_each_pixel_by_its_share(
    model: CompactModel, painted: Painted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rendering, "draw_lids", lambda *_: [])  # whose line of lashes hides the edge
    source = painted.source(model, painted.openings(), np.zeros(painted.size))
    face = (source.canonical + source.motion.expression[:, :POINTS])[0]
    change = torch.zeros(KEYPOINTS, 3)
    upper, lower = (torch.from_numpy(LOOPS[:, part].ravel()) for part in (UPPER, LOWER))
    change[upper, 1] = 0.55 * (face[lower, 1] - face[upper, 1])
    state = changed(model, source, change)
    shown = model.render(source, state)[0, 1].numpy()  # green: how much of each pixel is eye
    points = painted.in_px(state)
    expected = painted.openings(points)
    differences, between = [], 0
    for eye in (0, 1):
        lid = points[LOOPS[eye, UPPER]][1:6]
        for x in range(int(np.ceil(lid[:, 0].min())), int(lid[:, 0].max())):
            edge = int(np.interp(x + 0.5, *lid[np.argsort(lid[:, 0])].T))
            differences += list(np.abs(shown[edge - 2 : edge + 3, x] - expected[edge - 2 : edge + 3, x]))
            between += int(((shown[edge - 2 : edge + 3, x] > 0.1) & (shown[edge - 2 : edge + 3, x] < 0.9)).any())
    assert len(differences) > 100
    # The last row of a lid's own pixels, half eye in the source, is stretched; whole pixels would be off by up to 1.
    assert np.quantile(differences, 0.95) < 0.4
    assert between > 0.6 * len(differences) / 5  # of the columns have a pixel that is lid in part


@pytest.mark.parametrize("by", [(0.0, 0.16), (0.0, -0.16), (0.08, 0.12), (-0.08, -0.12)])
def test_an_iris_stays_round_where_it_moves_to(model: CompactModel, painted: Painted, by: tuple[float, float]) -> None:
    opening = painted.openings(grown_px=1)
    source = painted.source(model, opening, painted.discs(USUAL))
    change = torch.zeros(KEYPOINTS, 3)
    change[POINTS, :2] = torch.tensor(by)
    image = model.render(source, changed(model, source, change))[0].numpy()
    well_inside = cv2.erode(painted.openings(), np.ones((5, 5))) > 0.99  # away from the lids' own edge
    wrong = np.abs((1 - image[1]) - painted.discs(USUAL, by)) * well_inside
    assert wrong.sum() < 0.2 * (painted.discs(USUAL, by) * well_inside).sum()


@pytest.mark.parametrize("radius", [0.17, 0.21, 0.28])
def test_the_size_of_irises_is_measured(model: CompactModel, painted: Painted, radius: float) -> None:
    source = painted.source(model, painted.openings(grown_px=1), painted.discs(radius))
    points = unit_points(painted.landmarks, painted.size)[0, :, :2].double().numpy()
    middles = [EyeFrame.of(points, eye).to_own(points[IRISES[eye]]) for eye in (0, 1)]
    assert iris_radius(source.features["image"], points, middles) == pytest.approx(radius, abs=0.015)
    blank = torch.full_like(source.features["image"], 0.5)
    assert iris_radius(blank, points, middles) == USUAL


def covered(model: CompactModel, points: Points, size: tuple[int, int]) -> np.ndarray:
    """Return how much of each pixel a face covers: (H, W). points: (468, 2) in px."""
    mask = np.zeros((size[0] * FINE, size[1] * FINE), np.uint8)
    for triangle in np.rint(points * FINE - 0.5).astype(np.int32)[model.topology.triangles]:
        cv2.fillConvexPoly(mask, triangle, 255)
    return np.asarray(cv2.resize(mask, size[::-1], interpolation=cv2.INTER_AREA) / 255)


@pytest.mark.parametrize("yaw", [0.5, -0.5])
def test_the_far_edge_of_a_turned_face_covers_each_pixel_by_its_share(
    model: CompactModel, painted: Painted, yaw: float
) -> None:
    face = cv2.dilate(covered(model, painted.points[:POINTS], painted.size), np.ones((3, 3))).astype(np.float32)
    image = torch.from_numpy(np.stack([face, 1 - face, np.zeros_like(face)]))[None]
    source = model.appearance(image, painted.landmarks)
    turned = model.drive(source, source.motion, source.motion, PoseOverride(torch.tensor([yaw]), None, None))
    assert isinstance(turned, CompactState)
    red = model.render(source, turned)[0, 0].numpy()
    points = painted.in_px(turned)
    expected = covered(model, points, painted.size)
    differences = []
    for y in range(int(np.quantile(points[:, 1], 0.35)), int(np.quantile(points[:, 1], 0.75))):
        edge = int(np.flatnonzero(expected[y] > 0.01)[-1 if yaw > 0 else 0])
        differences.append(np.abs(red[y] - expected[y])[edge - 2 : edge + 3].max())
    assert np.quantile(differences, 0.9) < 0.25


def test_any_number_of_threads_gives_the_same_edges(model: CompactModel, painted: Painted) -> None:
    source = painted.source(model, painted.openings(grown_px=1), painted.discs(USUAL))
    change = torch.zeros(KEYPOINTS, 3)
    change[POINTS, :2] = 0.08
    before, pictures = torch.get_num_threads(), []
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            pictures.append(model.render(source, changed(model, source, change)))
    finally:
        torch.set_num_threads(before)
    assert torch.equal(*pictures)

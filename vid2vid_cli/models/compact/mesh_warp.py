"""The analytic flow of the compact family: where in the source does each pixel of the target come from?

The face is the 468-point mesh. Around it lie rings of vertices, pushed outwards and backwards in the head's frame:
they carry ears, hair and neck along, less and less with the distance, and the crop's border holds still.
The whole is one continuous triangulation, so a target pixel always has a source; where it folds, depth decides.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vid2vid_cli.geometry.keypoints import Similarity
from vid2vid_cli.models.compact.rasterizer import rasterize
from vid2vid_cli.models.compact.topology import FaceTopology

Points = NDArray[np.float32]


@dataclass(frozen=True)
class Ring:
    """One ring around the face.

    reach: how far outside the outline, as a share of the outline's distance from the centre. limit: at most this
    share of the way to the crop's border. depth: how far back, in eye distances. follow_top, follow_bottom: how much
    of the head's movement the ring takes part in, above the face and below the chin. flex: how much of the outline's
    own change of shape (the jaw's opening).
    """

    reach: float
    limit: float
    depth: float
    follow_top: float
    follow_bottom: float
    flex: float


RINGS = (
    Ring(reach=0.09, limit=0.25, depth=0.05, follow_top=0.95, follow_bottom=0.93, flex=0.4),
    Ring(reach=0.35, limit=0.55, depth=0.20, follow_top=0.97, follow_bottom=0.65, flex=0.3),
    Ring(reach=0.72, limit=0.72, depth=0.30, follow_top=0.10, follow_bottom=0.50, flex=0.0),
    Ring(reach=1.30, limit=0.88, depth=0.30, follow_top=0.00, follow_bottom=0.30, flex=0.0),
)
BACKGROUND_DEPTH = 10.0  # behind every head


class MeshWarp:
    """The warp of one source: built once, asked for a flow per target."""

    def __init__(self, topology: FaceTopology, points: Points, pose: Similarity, aspect: tuple[float, float]) -> None:
        """Build the extended mesh of a source.

        points: (468, 3), the source's keypoints in [-1, 1] of the crop's longer side. pose: of the source, batch
        of 1. aspect: half height and half width of the crop in the same unit (the longer is 1).
        """
        self._topology = topology
        self._pose = pose
        self._outline = points[topology.oval]
        centre = self._outline[:, :2].mean(0)
        rays = self._outline[:, :2] - centre
        border = _reach_border(centre, rays, aspect)
        self._ring_homes = _place_rings(centre, rays, border)
        self._ring_anchors = self._anchor_rings(pose)
        corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], np.float32) * aspect[::-1]
        still = np.concatenate([centre + border, corners])
        still = np.concatenate([still, np.full((len(still), 1), BACKGROUND_DEPTH)], 1).astype(np.float32)
        self._still = still
        self.homes = self._assemble(points, self._ring_homes, np.zeros(self._ring_homes.shape[:2]))
        face_count, count = len(points), len(topology.oval)
        stitches = _stitch_rings(topology.oval, face_count, count, len(RINGS) + 1)
        first_border = face_count + len(RINGS) * count
        self.triangles = np.concatenate(
            [topology.triangles, stitches, _stitch_corners(still[:count, :2], corners, first_border)]
        ).astype(np.int32)

    def flow(self, keypoints: Points, pose: Similarity, size: tuple[int, int]) -> tuple[Points, NDArray[np.int32]]:
        """Return the displacement to the source for each target pixel, and the triangle that it shows.

        keypoints: (468, 3), the target's, in the source's crop. pose: of the target, batch of 1.
        size: (height, width) of the map. Returns (height, width, 2), in units of the crop's longer side / 2, and
        (height, width).
        """
        targets = self.target_vertices(keypoints, pose)
        height, width = size
        half = max(size) / 2
        vertices_px = targets.copy()
        vertices_px[:, 0] = targets[:, 0] * half + (width - 1) / 2
        vertices_px[:, 1] = targets[:, 1] * half + (height - 1) / 2
        displacement = np.ascontiguousarray(self.homes[:, :2] - targets[:, :2])
        return rasterize(vertices_px, displacement, self.triangles, size)

    def target_vertices(self, keypoints: Points, pose: Similarity) -> Points:
        """Return all vertices (V, 3) of the mesh for target keypoints."""
        anchors = self._anchor_rings(pose)
        moved = anchors - self._ring_anchors
        outline = keypoints[self._topology.oval]
        rigid = _apply(pose, _undo(self._pose, self._outline))
        bend = outline[:, :2] - rigid[:, :2]
        flex = np.array([ring.flex for ring in RINGS], np.float32)[:, None, None]
        follow = self._follow()[..., None]
        rings = self._ring_homes + follow * moved[..., :2] + flex * bend
        return self._assemble(keypoints, rings, anchors[..., 2])

    def _follow(self) -> Points:
        """Return how much each ring vertex follows the head, (rings, 36): by its direction in the head's frame."""
        canonical = self._topology.canonical.numpy()[self._topology.oval]
        middle = canonical[:, 1].mean()
        below = np.clip((canonical[:, 1] - middle) / (canonical[:, 1].max() - middle), 0, 1)
        top = np.array([ring.follow_top for ring in RINGS])[:, None]
        bottom = np.array([ring.follow_bottom for ring in RINGS])[:, None]
        return np.asarray(top + (bottom - top) * below**2, np.float32)

    def _anchor_rings(self, pose: Similarity) -> Points:
        """Return the rings as points of the rigid head under a pose: (rings, 36, 3)."""
        outline = _undo(self._pose, self._outline)
        centre = outline[:, :2].mean(0)
        rings = []
        for ring in RINGS:
            vertices = outline.copy()
            vertices[:, :2] += ring.reach * (outline[:, :2] - centre)
            vertices[:, 2] += ring.depth
            rings.append(_apply(pose, vertices))
        return np.stack(rings)

    def _assemble(self, face: Points, rings: Points, ring_depths: NDArray[np.floating]) -> Points:
        rings3 = np.concatenate([rings, ring_depths[..., None]], -1).reshape(-1, 3)
        return np.concatenate([face, rings3, self._still]).astype(np.float32)


def _apply(pose: Similarity, points: Points) -> Points:
    rotation, translation = pose.rotation[0].numpy(), pose.translation[0].numpy()
    return np.asarray(float(pose.scale) * points @ rotation.T + translation, np.float32)


def _undo(pose: Similarity, points: Points) -> Points:
    rotation, translation = pose.rotation[0].numpy(), pose.translation[0].numpy()
    return np.asarray((points - translation) / float(pose.scale) @ rotation, np.float32)


def _reach_border(centre: Points, rays: Points, aspect: tuple[float, float]) -> Points:
    """Return the rays (36, 2) prolonged to the crop's border, or a little past the outline where that lies outside."""
    half = np.array(aspect[::-1], np.float32)
    room = np.where(rays > 0, half - centre, -half - centre)
    with np.errstate(divide="ignore", invalid="ignore"):
        stretch = np.where(np.abs(rays) > 1e-6, room / rays, np.inf).min(1)
    return np.asarray(rays * np.maximum(stretch, 1.02)[:, None], np.float32)


def _place_rings(centre: Points, rays: Points, border: Points) -> Points:
    """Return where the rings lie in the source's picture: (rings, 36, 2)."""
    rings = [
        centre + np.where(_length(rays * (1 + r.reach)) < _length(rays + r.limit * (border - rays)),
                          rays * (1 + r.reach), rays + r.limit * (border - rays))
        for r in RINGS
    ]  # fmt: skip
    return np.stack(rings).astype(np.float32)


def _length(vectors: Points) -> Points:
    return np.asarray(np.linalg.norm(vectors, axis=-1, keepdims=True), np.float32)


def _stitch_rings(oval: NDArray[np.int32], first: int, count: int, rings: int) -> NDArray[np.int32]:
    """Return the triangles between the outline and the first ring, and between neighbouring rings."""
    loops = [oval] + [first + k * count + np.arange(count) for k in range(rings)]
    triangles = []
    for inner, outer in itertools.pairwise(loops):
        following, beyond = np.roll(inner, -1), np.roll(outer, -1)
        triangles += [np.stack([inner, following, outer], 1), np.stack([following, beyond, outer], 1)]
    return np.concatenate(triangles).astype(np.int32)


def _stitch_corners(border: Points, corners: Points, first: int) -> NDArray[np.int32]:
    """Return the triangles between the border loop and the crop's four corners."""
    count = len(border)
    centre = border.mean(0)
    middle = (border + np.roll(border, -1, 0)) / 2 - centre
    directions = middle / _length(middle)
    triangles = []
    for k, corner in enumerate(corners):
        # The loop's edge that looks at the corner.
        edge = int(np.argmax(directions @ (corner - centre) / np.linalg.norm(corner - centre)))
        triangles.append([first + edge, first + (edge + 1) % count, first + count + k])
    return np.array(triangles, np.int32)

"""The analytic flow of the compact family: where in the source does each pixel of the target come from?

The face is the 468-point mesh; around it lie rings (rings.py), and the crop's border holds still. All of it is one
continuous triangulation, so every target pixel has a source; where it folds, depth decides. Where a turned source hides
a half of the face that the target shows, the other half is shown there, mirrored.

Each vertex carries CHANNELS values, which are drawn over the target: first the displacement to the source and to the
mirrored source with its weight, then which part of a head a pixel shows, for the networks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vid2vid_cli.arrays import Points
from vid2vid_cli.geometry.easing import smoothstep
from vid2vid_cli.geometry.keypoints import Similarity
from vid2vid_cli.models.compact.mesh.box import Border, Box
from vid2vid_cli.models.compact.mesh.coverage import EdgePixels, rasterize_at
from vid2vid_cli.models.compact.mesh.eyelids import Eyelids
from vid2vid_cli.models.compact.mesh.openings import PlacedFace, inside_source_xy, opening_loops, refill_triangles
from vid2vid_cli.models.compact.mesh.rasterizer import rasterize
from vid2vid_cli.models.compact.mesh.rings import (
    RINGS,
    follow_weights,
    place_rings,
    reach_border,
    ring_reaches,
    silhouette_push,
    stitch_corners,
    stitch_rings,
)
from vid2vid_cli.models.compact.mesh.topology import FaceTopology

INSET = 0.03  # of the way to the face's middle; less leaves hair and background on the cheek, more widens the face
BACKGROUND_DEPTH = 10.0  # behind every head
# own displacement 2, mirrored displacement 2, mirror weight 1; place on the mean head 3, following the head 1,
# inside the mouth 1, inside an eye 1, turned to the camera more than in the source 1
CHANNELS = 12
FOLLOWING = 8  # the channel that says how much a pixel follows the head
EYE = 10  # the channel that is 1 inside the openings of the eyes


@dataclass(frozen=True)
class Flow:
    """Where each target pixel comes from, in units of half the crop's longer side.

    displacement: (height, width, 2), from the target pixel to its source. mirrored: the same to the place on the other
    half of the face. mirror_weight: (height, width, 1), how much of that is taken. Both are None if none is.
    """

    displacement: Points
    mirrored: Points | None = None
    mirror_weight: Points | None = None


@dataclass(frozen=True)
class PlacedMesh:
    """The mesh of a source, placed as one target shows it.

    vertices: (V, 3) in halves of the crop's longer side, z away. values: (V, CHANNELS). triangles: (T, 3).
    has_mirror: whether anything is taken from the other half of the face. closing: (2, 7), see eyelids.Eyelids.
    """

    vertices: Points
    values: Points
    triangles: NDArray[np.int32]
    has_mirror: bool
    closing: Points

    def flow(self, size: tuple[int, int]) -> Flow:
        """Return where the pixels of the target come from. size: (height, width) of the whole crop's map."""
        values = self.draw(Box.whole(size), size, range(5 if self.has_mirror else 2))
        if not self.has_mirror:
            return Flow(values)
        return Flow(np.ascontiguousarray(values[..., :2]), values[..., 2:4], values[..., 4:])

    def draw(self, box: Box, size: tuple[int, int], channels: Sequence[int] = range(CHANNELS)) -> Points:
        """Draw some of the channels over a part of the target: (height, width, channels).

        box: the part. size: (height, width) of what is drawn.
        """
        return rasterize(self._in_px(box, size), self._some(channels), self.triangles, size)

    def draw_at(self, edges: EdgePixels, channels: Sequence[int]) -> Points:
        """Draw some of the channels at the samples of some pixels of the whole crop: (SAMPLES, E, channels)."""
        begins = np.searchsorted(edges.y, np.arange(edges.size[0] + 1)).astype(np.int32)
        places = self._in_px(Box.whole(edges.size), edges.size)
        return rasterize_at(places, self._some(channels), self.triangles, (edges.x, begins))

    def _in_px(self, box: Box, size: tuple[int, int]) -> Points:
        """Return the vertices (V, 3) in px of a picture of a box, from the centre of its first pixel."""
        step = (box.high - box.low) / (size[1], size[0])
        vertices_px = self.vertices.copy()
        vertices_px[:, :2] = (self.vertices[:, :2] - box.low) / step - 0.5
        vertices_px[:, 2] /= step.mean()
        return vertices_px

    def _some(self, channels: Sequence[int]) -> Points:
        return np.ascontiguousarray(self.values[:, channels])


class MeshWarp:
    """The warp of one source: built once, then placed for each target."""

    def __init__(self, topology: FaceTopology, points: Points, pose: Similarity, border: Border) -> None:
        """Build the extended mesh of a source.

        points: (468, 3), the source's keypoints in [-1, 1] of the crop's longer side. pose: of the source, batch
        of 1. border: what holds still around the head, in the same unit.
        """
        self._topology, self._pose = topology, pose
        self.keypoint_count, self.face_triangles = len(points), topology.triangles
        self._outline = points[topology.oval]
        canonical = topology.canonical.numpy()[topology.oval]
        centre = self._outline[:, :2].mean(0)
        rays = self._outline[:, :2] - centre
        rim = reach_border(centre, rays, border)
        self._reaches, self._follow = ring_reaches(canonical), follow_weights(canonical)
        self._ring_places = place_rings(centre, rays, rim, self._reaches)
        self._push = silhouette_push(points[:, :2], self._ring_places, centre)
        self._ring_source_xy = _push_out(self._ring_places, centre, self._push)
        # The rings hang on the outline as it is on the canonical head, and turn with it.
        self._rest_outline = pose.undo_array(self._outline)
        self._rest_rings = self._place_rest_rings()
        self._ring_anchors = self._anchor_rings(pose)
        (left, top), (right, bottom) = border.low, border.high
        corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float32)
        still = np.concatenate([centre + rim, corners])
        self._still = np.concatenate([still, np.full((len(still), 1), BACKGROUND_DEPTH)], 1).astype(np.float32)
        self.source_xy = self._assemble(points, self._ring_source_xy, self._ring_anchors[..., 2])
        count, first = len(topology.oval), len(points)
        stitches = stitch_rings(topology.oval, first)
        last = stitch_corners(still[:count], corners, first + len(RINGS) * count)
        self._loops = np.concatenate(opening_loops(topology))
        face = refill_triangles(topology, len(self.source_xy))
        self.triangles = np.concatenate([face, stitches, last]).astype(np.int32)
        self._facing = topology.facing(points)
        self._hidden = topology.spread(_hidden_weights(self._facing, self._facing[topology.mirror]), times=3)
        self._parts = self._name_parts()
        self._lids = Eyelids(points, float(pose.scale))

    def flow(self, keypoints: Points, pose: Similarity, size: tuple[int, int]) -> Flow:
        """Return where the pixels of the target come from.

        keypoints: (468, 3), the target's, in the source's crop. pose: of the target, batch of 1.
        size: (height, width) of the map.
        """
        return self.place(keypoints, pose).flow(size)

    def place(self, keypoints: Points, pose: Similarity) -> PlacedMesh:
        """Return the mesh as a target shows it; arguments as for `flow`."""
        targets = self.target_vertices(keypoints, pose)
        targets = np.concatenate([targets, keypoints[self._loops]])
        own = PlacedFace(self.source_xy[: len(keypoints), :2], float(self._pose.scale))
        target = PlacedFace(keypoints[:, :2], float(pose.scale))
        inside = inside_source_xy(self._topology, own, target)
        revealed = (self._topology.facing(keypoints) - self._facing).astype(np.float32)
        shown = smoothstep((revealed - 0.1) / 0.3)
        source_xy = self._inset_source_xy(shown)
        closing = self._lids.closing(keypoints, target.scale)
        values = np.zeros((len(targets), CHANNELS), np.float32)
        values[:, :2] = np.concatenate([source_xy, inside]) - targets[:, :2]
        weights = self._mirror_weights(shown)
        if weights is not None:
            mirrored = self._mirrored_source_xy()
            values[:, 2:4] = np.concatenate([mirrored, mirrored[self._loops]]) - targets[:, :2]
            values[:, 4] = weights
        values[:, 5:11] = self._parts
        # The loops' own vertices lie behind all others, see __init__.
        values[: len(keypoints), 11] = revealed
        values[len(self.source_xy) :, 11] = revealed[self._loops]
        return PlacedMesh(targets, values, self.triangles, weights is not None, closing)

    def target_vertices(self, keypoints: Points, pose: Similarity) -> Points:
        """Return all vertices (V, 3) of the mesh for target keypoints."""
        anchors = self._anchor_rings(pose)
        moved = anchors - self._ring_anchors
        rigid = pose.apply_array(self._rest_outline)
        bend = keypoints[self._topology.oval, :2] - rigid[:, :2]
        flex = np.array([ring.flex for ring in RINGS], np.float32)[:, None, None]
        rings = self._ring_places + self._follow[..., None] * moved[..., :2] + flex * bend
        return self._assemble(keypoints, self._keep_visible(keypoints, rings), anchors[..., 2])

    def _name_parts(self) -> Points:
        """Return for each vertex its place on the mean head, how far it follows it, and whether it fills an opening.

        Returns (V, 6): x, y, z in eye distances (0 for vertices that do not follow), following, mouth, eye.
        """
        mean = self._topology.canonical.numpy()
        outline = mean[self._topology.oval]
        rings = []
        for ring, reach in zip(RINGS, self._reaches, strict=True):
            vertices = outline + np.array([0, 0, ring.depth])
            vertices[:, :2] += reach[:, None] * (outline[:, :2] - outline[:, :2].mean(0))
            rings.append(vertices)
        still = np.zeros((len(self._still), 3))
        places = np.concatenate([mean, *rings, still, mean[self._loops]])
        follow = np.ones(len(places))
        follow[len(mean) : len(self.source_xy)] = np.concatenate([self._follow.ravel(), still[:, 0]])
        openings = np.zeros((len(places), 2))
        mouth = len(self._topology.inner_lips)
        openings[-mouth:, 0] = 1
        openings[len(self.source_xy) : -mouth, 1] = 1
        return np.column_stack([places * follow[:, None], follow, openings]).astype(np.float32)

    def _keep_visible(self, keypoints: Points, rings: Points) -> Points:
        """Push the rings out as far as the source's were, where the target needs it as well."""
        if not self._push.any():
            return rings
        centre = keypoints[self._topology.oval, :2].mean(0)
        needed = silhouette_push(keypoints[:, :2], rings, centre)
        share = np.clip(needed / np.maximum(self._push, 1e-6), 0, 1).astype(np.float32)
        return _push_out(rings, centre, share * self._push)

    def _place_rest_rings(self) -> Points:
        """Return the rings as points of the canonical head: (rings, 36, 3)."""
        outline = self._rest_outline
        rings = np.repeat(outline[None], len(RINGS), 0)
        rings[..., :2] += self._reaches[..., None] * (outline[:, :2] - outline[:, :2].mean(0))
        rings[..., 2] += np.array([ring.depth for ring in RINGS], np.float32)[:, None]
        return rings

    def _anchor_rings(self, pose: Similarity) -> Points:
        """Return the rings as points of the rigid head under a pose: (rings, 36, 3)."""
        return pose.apply_array(self._rest_rings.reshape(-1, 3)).reshape(self._rest_rings.shape)

    def _assemble(self, face: Points, rings: Points, ring_depths: Points) -> Points:
        rings3 = np.concatenate([rings, ring_depths[..., None]], -1).reshape(-1, 3)
        return np.concatenate([face, rings3, self._still]).astype(np.float32)

    def _mirrored_source_xy(self) -> Points:
        """Return for each vertex where its partner on the other half of the head lies in the source: (V, 2)."""
        partner = self._topology.mirror
        place = {int(point): k for k, point in enumerate(self._topology.oval)}
        swap = [place[int(partner[point])] for point in self._topology.oval]
        face = self.source_xy[: len(partner)][partner]
        return self._assemble(face, self._ring_source_xy[:, swap], self._ring_anchors[..., 2])[:, :2]

    def _inset_source_xy(self, revealed: Points) -> Points:
        """Return what vertices show of the source (V, 2), moved inwards a little at the edge of the face.

        The source shows the side of the face in a few pixels, mixed with hair and background. Where the target turns
        that side to the camera, the cheek beside it is stretched over it instead. revealed: (468,).
        """
        source_xy = self.source_xy[:, :2].copy()
        share = INSET * revealed * smoothstep((0.45 - self._facing) / 0.35)
        face = source_xy[: len(share)]
        face += share[:, None] * (self._outline[:, :2].mean(0) - face)
        # The first ring shows what is right outside of the face: ears and hair, not what is behind them.
        oval = self._topology.oval
        ring = source_xy[len(share) : len(share) + len(oval)]
        ring += share[oval, None] / 2 * (face[oval] - ring)
        return source_xy

    def _mirror_weights(self, revealed: Points) -> Points | None:
        """Return how much of each vertex (V,) is to be taken from the other half; None if nothing is."""
        if self._hidden.max() <= 0:
            return None
        face = self._hidden * revealed
        if face.max() < 0.02:
            return None
        rings = np.array([ring.mirror for ring in RINGS], np.float32)[:, None] * face[self._topology.oval]
        still = np.zeros(len(self._still))
        return np.concatenate([face, rings.ravel(), still, face[self._loops]]).astype(np.float32)


def _push_out(rings: Points, centre: Points, distance: Points) -> Points:
    """Return rings (rings, 36, 2) moved away from the centre by a distance (rings, 36)."""
    rays = rings - centre
    return np.asarray(rings + rays / np.linalg.norm(rays, axis=-1, keepdims=True) * distance[..., None], np.float32)


def _hidden_weights(facing: Points, partner_facing: Points) -> Points:
    """Return how much better the source shows a point's partner: 0 where it shows the point itself well."""
    is_edge_on, is_better = (0.5 - facing) / 0.3, (partner_facing - facing - 0.15) / 0.3
    return np.asarray(smoothstep(is_edge_on) * smoothstep(is_better), np.float32)

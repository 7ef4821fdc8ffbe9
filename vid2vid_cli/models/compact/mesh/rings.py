"""Rings of vertices around the face, which carry ears, hair and neck along, less and less with distance."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

import numpy as np

from vid2vid_cli.arrays import Indices, Points
from vid2vid_cli.models.compact.mesh.box import Border


@dataclass(frozen=True)
class Ring:
    """One ring around the face.

    reach: how far outside the outline, as a share of the outline's distance from the centre. limit: at most this
    share of the way to the crop's border. depth: how far back, in eye distances. follow_top, follow_bottom: its share
    of the head's movement, above the face and below the chin. flex: its share of the outline's own change of shape
    (the jaw's opening). mirror: how much it belongs to the head, of which the mirrored half may be shown.
    """

    reach: float
    limit: float
    depth: float
    follow_top: float
    follow_bottom: float
    flex: float
    mirror: float


# Fitted to real clips by the picture's error, then smoothed by eye for large turns of the head.
RINGS = (
    Ring(reach=0.09, limit=0.20, depth=0.05, follow_top=0.97, follow_bottom=0.93, flex=0.4, mirror=1.0),
    Ring(reach=0.30, limit=0.45, depth=0.12, follow_top=0.97, follow_bottom=0.75, flex=0.3, mirror=1.0),
    Ring(reach=0.44, limit=0.62, depth=0.15, follow_top=0.84, follow_bottom=0.60, flex=0.1, mirror=0.0),
    Ring(reach=0.78, limit=0.78, depth=0.15, follow_top=0.12, follow_bottom=0.45, flex=0.0, mirror=0.0),
    Ring(reach=1.30, limit=0.90, depth=0.15, follow_top=0.00, follow_bottom=0.25, flex=0.0, mirror=0.0),
)
CROWN = 0.4  # above the face the rings reach this much further, around skull and hair


def upness(outline: Points) -> Points:
    """Return how far up each point of the canonical outline (36, 3) lies: 1 at the top, 0 from the middle down."""
    middle = outline[:, 1].mean()
    return np.asarray(np.clip((middle - outline[:, 1]) / (middle - outline[:, 1].min()), 0, 1) ** 2, np.float32)


def follow_weights(outline: Points) -> Points:
    """Return how much each ring vertex follows the head, (rings, 36), by its direction in the head's frame.

    outline: (36, 3), canonical.
    """
    middle = outline[:, 1].mean()
    below = np.clip((outline[:, 1] - middle) / (outline[:, 1].max() - middle), 0, 1) ** 2
    top = np.array([ring.follow_top for ring in RINGS])[:, None]
    bottom = np.array([ring.follow_bottom for ring in RINGS])[:, None]
    return np.asarray(top + (bottom - top) * below, np.float32)


def ring_reaches(outline: Points) -> Points:
    """Return how far each ring vertex lies outside the outline, as a share of the ray: (rings, 36)."""
    reach = np.array([ring.reach for ring in RINGS])[:, None]
    return np.asarray(reach * (1 + CROWN * upness(outline)), np.float32)


def reach_border(centre: Points, rays: Points, border: Border) -> Points:
    """Return the rays (36, 2) extended to a border, or just past the outline where the outline lies outside of it."""
    room = np.where(rays > 0, border.high - centre, border.low - centre)
    with np.errstate(divide="ignore", invalid="ignore"):
        # Along each axis; a ray parallel to it never meets the border there.
        stretch = np.where(np.abs(rays) > 1e-6, room / rays, np.inf).min(1)
    return np.asarray(rays * np.maximum(stretch, 1.02)[:, None], np.float32)


def place_rings(centre: Points, rays: Points, rim: Points, reaches: Points) -> Points:
    """Return where the rings lie in the source's picture, outside the outline and inside the border: (rings, 36, 2)."""
    distance = np.linalg.norm(rays, axis=-1, keepdims=True)
    room = np.linalg.norm(rim, axis=-1, keepdims=True) - distance
    steps = [
        np.minimum(distance * (1 + reach[:, None]), distance + ring.limit * room)
        for ring, reach in zip(RINGS, reaches, strict=True)
    ]
    return np.stack([centre + rays / distance * step for step in steps]).astype(np.float32)


def silhouette_push(face: Points, rings: Points, centre: Points) -> Points:
    """Return how far each ring vertex must move outwards to lie outside the silhouette of the face: (rings, 36).

    The far half of a turned head's outline lies within its silhouette. face: (K, 2). rings: (rings, 36, 2).
    """
    rays = rings - centre
    distance = np.linalg.norm(rays, axis=-1)
    # Rings keep their order: the further out, the larger the margin.
    margin = 1.02 + 0.05 * np.arange(len(rings), dtype=np.float32)[:, None]
    edge = np.stack([_silhouette(face - centre, ray) for ray in rays])
    return np.asarray(np.maximum(edge * margin - distance, 0), np.float32)


def _silhouette(points: Points, rays: Points) -> Points:
    """Return how far the points (K, 2) reach in the direction of each ray (R, 2), within about 8 degrees: (R,)."""
    directions = rays / np.linalg.norm(rays, axis=-1, keepdims=True)
    along = points @ directions.T
    near = along > 0.99 * np.linalg.norm(points, axis=-1, keepdims=True)
    return np.asarray(np.where(near, along, 0).max(0), np.float32)


def stitch_rings(oval: Indices, first: int) -> Indices:
    """Return the triangles between the outline and the first ring, between neighbouring rings, and to the border loop.

    oval: (36,), vertex indices. first: the index of the first ring vertex; rings and border follow in order.
    """
    count = len(oval)
    loops: list[Indices] = [oval]
    loops += [np.arange(first + k * count, first + (k + 1) * count, dtype=np.int32) for k in range(len(RINGS) + 1)]
    triangles = []
    for inner, outer in itertools.pairwise(loops):
        following, beyond = np.roll(inner, -1), np.roll(outer, -1)
        triangles += [np.stack([inner, following, outer], 1), np.stack([following, beyond, outer], 1)]
    return np.concatenate(triangles).astype(np.int32)


def stitch_corners(border: Points, corners: Points, first: int) -> Indices:
    """Return the triangles between the border loop (36, 2) and the crop's four corners (4, 2).

    first: index of the loop's first vertex; the corners follow the loop.
    """
    count = len(border)
    centre = border.mean(0)
    middle = (border + np.roll(border, -1, 0)) / 2 - centre
    directions = middle / np.linalg.norm(middle, axis=-1, keepdims=True)
    triangles = []
    for k, corner in enumerate(corners):
        # The edge of the loop that faces the corner.
        edge = int(np.argmax(directions @ (corner - centre) / np.linalg.norm(corner - centre)))
        triangles.append([first + edge, first + (edge + 1) % count, first + count + k])
    return np.array(triangles, np.int32)

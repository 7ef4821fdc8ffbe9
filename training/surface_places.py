"""Places on a surface of triangles: nearest to points, or along paths of its edges."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import dijkstra

Array = NDArray[np.float64]
Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Surface:
    """A surface. vertices: (V, 3). triangles: (T, 3)."""

    vertices: Array
    triangles: Indices


@dataclass(frozen=True)
class Places:
    """Places on a surface: corners (P, 3) of the triangles they are in, and shares (P, 3) of those, sum 1."""

    corners: Indices
    shares: Array

    def of(self, values: Array) -> Array:
        """Return values (..., V, 3) of the vertices at the places: (..., P, 3)."""
        return np.asarray((values[..., self.corners, :] * self.shares[..., None]).sum(-2))

    def put(self, points: Sequence[int], other: Places) -> None:
        """Replace the places of some points."""
        self.corners[list(points)], self.shares[list(points)] = other.corners, other.shares


def shortest_path(surface: Surface, through: Sequence[int]) -> Indices:
    """Return the vertices of the shortest path along a surface's edges through some vertices, in order."""
    graph = edge_lengths(surface)
    path = [through[0]]
    for start, stop in itertools.pairwise(through):
        _, before = dijkstra(graph, directed=False, indices=start, return_predecessors=True)
        steps = [stop]
        while steps[-1] != start:
            steps.append(int(before[steps[-1]]))
        path += steps[-2::-1]
    return np.array(path)


def edge_lengths(surface: Surface) -> csr_matrix:
    """Return the lengths of a surface's edges as a sparse matrix (V, V)."""
    pairs = np.concatenate([surface.triangles[:, [0, 1]], surface.triangles[:, [1, 2]], surface.triangles[:, [2, 0]]])
    pairs = np.unique(np.sort(pairs, 1), axis=0)
    lengths = np.linalg.norm(surface.vertices[pairs[:, 0]] - surface.vertices[pairs[:, 1]], axis=1)
    return csr_matrix((lengths, (pairs[:, 0], pairs[:, 1])), (len(surface.vertices), len(surface.vertices)))


def length_shares(points: Array) -> Array:
    """Return how far along a line of points (N, 3) each is, as a share of its length: (N,)."""
    steps = np.linalg.norm(np.diff(points[:, :2], axis=0), axis=1).cumsum()
    return np.concatenate([[0.0], steps / steps[-1]])


def along(path: Indices, vertices: Array, shares: Array) -> Places:
    """Return the places at some shares (N,) of a path's length, seen from the front."""
    at = length_shares(vertices[path])
    left = np.clip(np.searchsorted(at, shares, side="right") - 1, 0, len(path) - 2)
    part = ((shares - at[left]) / (at[left + 1] - at[left])).clip(0, 1)
    corners = np.stack([path[left], path[left + 1], path[left]], 1)
    return Places(corners, np.stack([1 - part, part, np.zeros_like(part)], 1))


def closest_places(points: Array, vertices: Array, triangles: Indices, candidates: int = 48) -> Places:
    """Return the places on a surface nearest to points (P, 3): exact among the triangles whose middles are nearest."""
    middles = vertices[triangles].mean(1)
    near = np.argpartition(((points[:, None] - middles[None]) ** 2).sum(-1), candidates - 1, 1)[:, :candidates]
    corners, shares = np.zeros((len(points), 3), np.int64), np.zeros((len(points), 3))
    for k, point in enumerate(points):
        own = triangles[near[k]]
        part = _closest_shares(point, vertices[own])
        away = (((part[..., None] * vertices[own]).sum(1) - point) ** 2).sum(-1)
        corners[k], shares[k] = own[away.argmin()], part[away.argmin()]
    return Places(corners, shares)


def _closest_shares(point: Array, triangles: Array) -> Array:
    """Return the barycentric shares (C, 3) of the place in each triangle (C, 3, 3) that is nearest to a point (3,)."""
    a, b, c = triangles.transpose(1, 0, 2)
    ab, ac, ap = b - a, c - a, point - a
    d00, d01, d11 = (ab * ab).sum(1), (ab * ac).sum(1), (ac * ac).sum(1)
    d20, d21 = (ap * ab).sum(1), (ap * ac).sum(1)
    scale = np.maximum(d00 * d11 - d01**2, 1e-18)
    v, w = (d11 * d20 - d01 * d21) / scale, (d00 * d21 - d01 * d20) / scale
    inside = np.stack([1 - v - w, v, w], 1)
    best, away = inside, np.where((inside >= 0).all(1), 0.0, np.inf)
    for i, j in ((0, 1), (1, 2), (2, 0)):  # outside: the nearest place is on one of the edges
        start, edge = triangles[:, i], triangles[:, j] - triangles[:, i]
        part = (((point - start) * edge).sum(1) / np.maximum((edge**2).sum(1), 1e-18)).clip(0, 1)
        distance = ((start + part[:, None] * edge - point) ** 2).sum(1)
        shares = np.zeros_like(inside)
        shares[:, i], shares[:, j] = 1 - part, part
        is_nearer = distance < away
        best, away = np.where(is_nearer[:, None], shares, best), np.where(is_nearer, distance, away)
    return np.asarray(best)


def join_places(places: Sequence[Places]) -> Places:
    """Return places one after the other."""
    return Places(np.concatenate([p.corners for p in places]), np.concatenate([p.shares for p in places]))


def place_at(places: Places, index: int) -> Places:
    """Return one of some places."""
    return Places(places.corners[index : index + 1], places.shares[index : index + 1])

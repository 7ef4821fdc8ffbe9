"""The light head: the ICT model's mean head in few vertices, on the compact family's canonical head.

`training/head_model.py` writes it into the checkpoint as `head.vertices` and `head.triangles`.
"""

from __future__ import annotations

import numpy as np

from training.surface_places import Surface

CELL = 0.085  # eye distances: vertices in one cell of a grid become one


def lighten(surface: Surface) -> Surface:
    """Return a surface with one vertex, their mean, for all that are in one cell of a grid."""
    cells = np.floor(surface.vertices / CELL).astype(np.int64)
    _, cluster, counts = np.unique(cells, axis=0, return_inverse=True, return_counts=True)
    cluster = cluster.ravel()
    vertices = np.stack([np.bincount(cluster, axis) for axis in surface.vertices.T], 1) / counts[:, None]
    triangles = cluster[surface.triangles]
    a, b, c = triangles.T
    triangles = triangles[(a != b) & (b != c) & (c != a)]
    return Surface(vertices, np.unique(triangles, axis=0))

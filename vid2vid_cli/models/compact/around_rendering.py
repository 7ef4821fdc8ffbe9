"""One frame of a person of whom several pictures show what lies around the face."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vid2vid_cli.arrays import Points
from vid2vid_cli.models.compact.around import Around, Numbers, Stance
from vid2vid_cli.models.compact.mesh.placed_mesh import MIRROR, PlacedMesh
from vid2vid_cli.models.compact.mesh.warp import Surroundings
from vid2vid_cli.models.compact.mixed_mesh import PLACE, MixedMesh, Part, mirrored_part, to_px
from vid2vid_cli.models.compact.mixed_pixels import Taken
from vid2vid_cli.models.compact.motion_layout import POINTS
from vid2vid_cli.models.compact.posing import CompactState

LEAST = 0.08  # of a stance's weight: so much is taken off each, so that one that is hardly seen takes no time
LEAST_MIRRORED = 0.02  # of any vertex


def mix_mesh(
    around: Around,
    driven: CompactState,
    own: PlacedMesh,
    surroundings: Surroundings | None,
    size: tuple[int, int],
) -> MixedMesh:
    """Mix the mesh of a frame.

    own: the source's mesh, placed. surroundings: how the driving's body moves, where that is followed; else it lies as
    in the pictures that are shown. size: (height, width) of the crop.
    """
    asked = 0.0 if driven.asked is None else float(driven.asked)
    weights = np.maximum(around.weigh(driven.head, asked) - LEAST, 0)
    weights /= weights.sum()
    used, first = np.flatnonzero(weights).tolist(), around.stances[0]
    keypoints, vertices = driven.keypoints[0].cpu().numpy(), own.vertices.copy()
    moving = _moving(first)
    placed = (around.stances[k].warp.target_vertices(keypoints, driven.head) if k else own.vertices for k in used)
    vertices[moving] = sum(weights[k] * each[moving] for k, each in zip(used, placed, strict=True))
    body = _Body.of(around, weights, driven, surroundings, vertices)
    others = [k for k in used if k]
    own_xy = own.values[:, :PLACE] + own.vertices[:, :2]
    parts, left = [], np.ones(len(vertices), np.float32)
    for k in others:
        stance, share = around.stances[k], np.zeros(len(vertices), np.float32)
        known = len(stance.warp.source_xy)
        xy = np.concatenate([stance.warp.source_xy, own_xy[known:]])
        share[:known] = weights[k] * around.shares[k]
        left -= share
        places = to_px(body.held(xy, vertices, k), size)
        parts.append(Part(k, np.concatenate([places, share[:, None]], 1), Taken.SHARE))
    if own.has_mirror and float((own.values[:, MIRROR] * left).max()) > LEAST_MIRRORED:
        parts.append(mirrored_part(own, size))
    parts.append(Part(0, to_px(body.held(own_xy, vertices, 0), size), Taken.REST))
    main = max(used, key=lambda k: float(weights[k]))
    return MixedMesh.of(replace(own, vertices=vertices), around.pixels, parts, main)


@dataclass(frozen=True)
class _Body:
    """How the body lies around the head of a frame.

    around: the vertices around the face, S of them. follow: (S, 1), how much they follow the head. shifts: (stances, S,
    2), how far the body lies from where each stance shows it; None where it is not known: then it bends with the head,
    as that of one picture does.
    """

    around: slice
    follow: Points
    shifts: Points | None

    @classmethod
    def of(
        cls, around: Around, weights: Numbers, driven: CompactState, surroundings: Surroundings | None, vertices: Points
    ) -> _Body:
        """Find the body of a frame whose mesh is mixed by weights (stances,)."""
        shell, warp = _shell(around.stances[0]), around.stances[0].warp
        follow = sum(weights[k] * around.stances[k].warp.follow for k in np.flatnonzero(weights))
        followed: Points | float = 0.0
        if surroundings is None:
            offsets = around.body_shifts(weights, driven.head)
        else:
            followed = warp.move_around(surroundings, vertices[shell, :2])
            bodies = np.zeros((len(weights), 2)) if around.bodies is None else around.bodies.bodies
            offsets = np.asarray(-bodies, np.float32)
        shifts = None if offsets is None else offsets[:, None] * warp.room_to_move - followed
        return cls(shell, np.asarray(follow, np.float32), shifts)

    def held(self, source_xy: Points, vertices: Points, number: int) -> Points:
        """Return what vertices (V, 3) show of a stance: (V, 2). source_xy: what its own mesh says. number: of it.

        What follows the head is that. The rest keeps its place: its rays from the face, which the mesh is made of, lie
        on other places of it in each picture.
        """
        if self.shifts is None:
            return source_xy
        held = source_xy.copy()
        part = held[self.around]
        part += (1 - self.follow) * (vertices[self.around, :2] - self.shifts[number] - part)
        return held


def _shell(first: Stance) -> slice:
    """Return the vertices around the face, up to the border."""
    return slice(first.warp.keypoint_count, first.warp.still[0])


def _moving(first: Stance) -> NDArray[np.intp]:
    """Return the vertices that are mixed: all but the face, the border, and what fills openings."""
    still, after = first.warp.still
    return np.concatenate([np.arange(POINTS, still), np.arange(after, len(first.warp.source_xy))])

"""The outline of a head whose top a picture's upper edge cuts off: how far the hair reaches where nobody sees it.

A light head (light_head.py) says how far heads reach around a point between the ears. By how much more or less a person
does is seen beside the cut, and is guessed above it by a Gaussian process over the angle (Rasmussen, Williams,
"Gaussian Processes for Machine Learning", 2006, eq. 2.25 and 2.26): the nearer, the more alike. How wide the cut is
tells how high the arch above it is. The numbers were measured on 146 portraits.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from vid2vid_cli.arrays import Map, Points
from vid2vid_cli.geometry.keypoints import Similarity
from vid2vid_cli.models.compact.mesh.light_head import LightHead
from vid2vid_cli.models.compact.mesh.square_map import HALF, SeenPerson, SquareMap, part_around

RAYS = 72  # around a head
CENTRE_Y = -0.25  # eye distances, on the canonical head: between the ears
SAMPLES = 192  # of each ray, to find where the person ends
FURTHEST = 2.0  # of a light head: no person is looked for further out
USUAL = 0.98  # of a light head's outline: that of people with their hair
SPREAD, ALIKE_DEG, UNSURE = 0.1, 45.0, 0.04  # of the logarithm of this share; how far it is alike; of single locks
BELIEVED = (0.6, 1.7)  # of a light head's outline: what else ends there is no head
SIDES_DEG = 100.0  # from the head's top: further down there are shoulders
JOINED_DEG = 12.0  # beside the cut: over which the outline leaves what is seen
# How high above a cut a head reaches, times the square of half its width, in eye distances; how sure that is, of it;
# and how sure where the cut ends.
ARCH, UNSURE_ARCH, UNSURE_EDGE = 0.72, 0.2, 0.02
CUT_SAMPLES = 256  # along the frame's top
NEAR_EDGE = 1.0  # cells: what ends this near to the frame's edge may end because of it


@dataclass(frozen=True)
class Crown:
    """The outline of a cut-off head. centre: (2,), halves of the crop's longer side. radii: (RAYS,), from the top on.

    eye_distance: of the head, in the same unit. Rays go around as the hands of a clock do.
    """

    centre: Points
    radii: Points
    eye_distance: float

    @classmethod
    def of(cls, head: LightHead, pose: Similarity, person: SeenPerson) -> Crown | None:
        """Find the outline of a person's head; None where the frame's top does not cut it off.

        head: a mean head. pose: of the person's, batch of 1.
        """
        if person.frame.top - person.matte.border.low[1] < person.matte.step[1]:
            return None  # it is the crop that ends here: nothing above it moves
        placed, axis = (pose.apply_array(points)[:, :2] for points in (head.vertices, _AXIS))
        centre, up = np.asarray(axis[0], np.float32), axis[1] - axis[0]
        usual = USUAL * _silhouette(placed - centre)
        seen, is_known, ends_above = _seen(centre, usual, person)
        is_known &= np.abs(_wrapped(_ANGLES - np.arctan2(up[0], -up[1]))) < np.radians(SIDES_DEG)
        is_known &= (seen > BELIEVED[0] * usual) & (seen < BELIEVED[1] * usual)
        leaves = (centre[1] - person.frame.top) / np.maximum(-_DIRECTIONS[:, 1], 1e-3)  # where rays leave the frame
        is_cut = ends_above & (leaves < BELIEVED[1] * usual)
        if not is_cut.any():
            return None
        shares, noise = np.log(seen / usual), np.where(is_known, UNSURE, np.inf)
        arch = _arch(centre, float(pose.scale), person)
        if arch is not None and not is_known[arch[0]]:
            ray, reach, error = arch
            shares[ray], noise[ray] = np.log(reach / usual[ray]), error / reach
        guess, spread = _guess(shares, noise)
        radii = usual * np.exp(guess + _joining(shares - guess, is_known))
        # It is known that the head reaches beyond the frame; the less sure the guess, the more likely much beyond.
        unsure = spread * radii
        beyond = leaves + unsure * np.logaddexp(0, (radii - leaves) / unsure)
        radii = np.where(is_known, seen, np.where(is_cut, beyond, radii))
        return cls(centre, np.asarray(radii, np.float32), float(pose.scale))

    def through(self, places: Points) -> Crown:
        """Return the outline bent so that it passes through some places (K, 2)."""
        away = places - self.centre
        angles = np.arctan2(away[:, 0], -away[:, 1])
        missed = np.log(np.linalg.norm(away, axis=-1) / self._reach(angles))
        near = np.exp(-((_wrapped(_ANGLES[:, None] - angles) / np.radians(JOINED_DEG)) ** 2) / 2)
        return replace(self, radii=np.asarray(self.radii * np.exp(near @ missed), np.float32))

    def over(self, square: SquareMap) -> Map:
        """Return how much of the head each cell of a map shows: (SIDE, SIDE)."""
        x, y = square.middles
        places = np.stack(np.broadcast_arrays(x[None], y[:, None]), -1)
        return self.inside(places, float(square.step.mean()))

    def inside(self, places: Points, soft: float) -> Points:
        """Return how much of a head is at places (..., 2): (...). soft: the width of its edge."""
        away = places - self.centre
        reach = self._reach(np.arctan2(away[..., 0], -away[..., 1]))
        return np.asarray(np.clip((reach - np.hypot(away[..., 0], away[..., 1])) / soft + 0.5, 0, 1), np.float32)

    def _reach(self, angles: Points) -> Points:
        return np.asarray(np.interp(angles, _ANGLES, self.radii, period=2 * np.pi))


# From there towards the top of the head.
_AXIS: Points = np.array([[0, CENTRE_Y, 0], [0, CENTRE_Y - 1, 0]], np.float32)
_ANGLES = np.arange(RAYS) * (2 * np.pi / RAYS)
_APART_DEG = np.degrees((_ANGLES[:, None] - _ANGLES + np.pi) % (2 * np.pi) - np.pi)
_DIRECTIONS = np.column_stack([np.sin(_ANGLES), -np.cos(_ANGLES)])


def _wrapped(angles: NDArray[np.floating]) -> Points:
    return np.asarray((angles + np.pi) % (2 * np.pi) - np.pi)


def _silhouette(points: Points) -> Points:
    """Return how far points (V, 2) reach along each ray: (RAYS,)."""
    length = np.linalg.norm(points, axis=-1)
    along = points @ _DIRECTIONS.T
    return np.asarray(np.where(along > np.cos(2 * np.pi / RAYS) * length[:, None], along, 0).max(0))


def _seen(centre: Points, usual: Points, person: SeenPerson) -> tuple[Points, NDArray[np.bool_], NDArray[np.bool_]]:
    """Return where the person ends along each ray, whether a frame shows that, and whether its top cuts it off."""
    reach = np.linspace(0, FURTHEST, SAMPLES)[:, None] * usual
    places = centre + reach[..., None] * _DIRECTIONS
    inside = person.matte.at(np.asarray(places, np.float32)) > HALF
    inside[-1] = False
    ends = inside.argmin(0)
    seen, at = np.take_along_axis(reach, ends[None], 0)[0], places[ends, np.arange(RAYS)]
    frame, margin = person.frame, NEAR_EDGE * person.matte.step
    is_known = ((at > frame.low + margin) & (at < frame.high - margin)).all(-1)
    return np.maximum(seen, 1e-6), is_known, at[:, 1] < frame.top


def _arch(centre: Points, eye_distance: float, person: SeenPerson) -> tuple[int, float, float] | None:
    """Return the ray through the middle of the cut, how far the head reaches along it, and how unsure that is.

    The wider the cut, the higher the arch that is missing; None where a side of the frame cuts it off, too.
    """
    frame = person.frame
    x = np.linspace(frame.left, frame.right, CUT_SAMPLES)
    top = np.full(CUT_SAMPLES, frame.top + person.matte.step[1] / 2)
    row = person.matte.at(np.column_stack([x, top]).astype(np.float32))
    part = part_around(row, float(np.interp(centre[0], x, np.arange(CUT_SAMPLES))))
    if part is None or part[0] == 0 or part[1] == CUT_SAMPLES:
        return None
    left, right = x[part[0]], x[part[1] - 1]
    away = np.array([(left + right) / 2, frame.top]) - centre
    arch = ARCH * ((right - left) / 2) ** 2 / eye_distance
    ray = round(np.arctan2(away[0], -away[1]) / (2 * np.pi / RAYS)) % RAYS
    return ray, float(np.linalg.norm(away)) + arch, UNSURE_ARCH * arch + UNSURE_EDGE * eye_distance


def _guess(shares: Points, noise: Points) -> tuple[Points, Points]:
    """Return by how much rays are more or less than usual, as logarithms, and how unsure that is: (RAYS,) each.

    shares: (RAYS,), that logarithm where it is known. noise: (RAYS,), its error; infinite where it is not known.
    """
    alike = SPREAD**2 * np.exp(-((_APART_DEG / ALIKE_DEG) ** 2) / 2)
    known = np.flatnonzero(np.isfinite(noise))
    by = np.linalg.solve(alike[np.ix_(known, known)] + np.diag(noise[known] ** 2), alike[known])
    variance = SPREAD**2 - (by * alike[known]).sum(0)
    return np.asarray(by.T @ shares[known]), np.asarray(np.sqrt(np.maximum(variance, 1e-12)))


def _joining(missed: Points, is_known: NDArray[np.bool_]) -> Points:
    """Return what to add (RAYS,) so that an outline leaves what is known at its very end, whatever locks there are."""
    known = np.flatnonzero(is_known)
    if not known.size:
        return np.zeros(RAYS, np.float32)
    apart = np.abs(_APART_DEG[:, known])
    near = np.exp(-((apart.min(1) / JOINED_DEG) ** 2) / 2)
    return np.asarray(near * missed[known[apart.argmin(1)]])

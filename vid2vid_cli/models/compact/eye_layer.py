"""Eyes that look elsewhere: white and iris, drawn from the eye's own colours between the lids that the target shows.

The white is the source's, straightened between its lids, with the iris taken out along each line from corner to corner,
lids and lashes included. The iris is the source's too; what lids hide of it has the colours that it has elsewhere at
the same distance from its middle.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from vid2vid_cli.arrays import Points
from vid2vid_cli.face.eyes import LOOPS, EyeFrame
from vid2vid_cli.geometry.easing import smoothstep
from vid2vid_cli.models.compact.iris_size import lids_of
from vid2vid_cli.models.compact.layer import Layer

Array = NDArray[np.float64]

CORNER = 0.5  # eye widths from the middle of an eye to its corners
LID_PLACES = np.linspace(-CORNER, CORNER, 65)  # where the heights of lids are kept
ACROSS, DOWN = 129, 61  # places of the straightened white: from corner to corner, and from above to below the lids
BEYOND = 0.35  # heights of the opening: how far above and below the lids the straightened white reaches
AROUND_IRIS = 0.05  # eye widths: what lies so near to the iris is taken out with it
INNER_END = 0.46  # eye widths from the middle: what is beyond is the corner's skin
END = 3  # places at either end of what is taken out whose mean stands for it
IRIS_SIDE, IRIS_REACH = 65, 1.3  # px of the iris's picture; how many radii it reaches
SURE = 0.08  # heights of the opening from the lids: what is nearer is not surely iris
DRAWN, UNMIXED = 0.97, 0.95  # radii: how large an iris is drawn; beyond the other, its colours are mixed with white
COMMON = 0.85  # radii: further out, what is hidden has the colours that the iris has here
SHADE, SHADE_REACH = 0.35, 0.45  # how much darker an iris is right below the upper lid; heights of the opening
CARRIED = 0.7  # of the way of the lids' middle: how far an iris goes with them
SOFT = 0.022  # eye widths: edge of the iris and of the lids
FULL = 0.025  # eye widths: a gaze that has changed so far is drawn, less of it in part
CORNER_SOFT = 0.06  # eye widths: from the corner inwards, the drawn white fades in


class MovedEye(NamedTuple):
    """An eye of a source, and how far its iris is to move.

    center, axes, width: of its EyeFrame; all else is in its axes and widths. upper, lower: (65,), heights of its lids
    at LID_PLACES. iris: (2,), its middle. radius: of the iris. change: (2,), of the iris.
    """

    center: Array
    axes: Array
    width: float
    upper: Array
    lower: Array
    iris: Array
    radius: float
    change: Array


class EyeTarget(NamedTuple):
    """Where a target shows the eyes. size: (height, width). mesh_px: (468, 2). grown: how much its head is larger."""

    size: tuple[int, int]
    mesh_px: Array
    grown: float


class DrawnEye(NamedTuple):
    """What one eye shows. white: (DOWN, ACROSS, 3), straightened. iris: (IRIS_SIDE, IRIS_SIDE, 3)."""

    white: Points
    iris: Points


def read_eye(image: Points, eye: MovedEye) -> DrawnEye:
    """Take the colours of an eye out of a source (H, W, 3) in [0, 1]. eye: in halves of its longer side."""
    u = np.linspace(-CORNER, CORNER, ACROSS)
    upper, lower = (np.interp(u, LID_PLACES, lid) for lid in (eye.upper, eye.lower))
    # Above and below the lids, in heights of the whole opening: at the corners they meet.
    t = np.linspace(-BEYOND, 1 + BEYOND, DOWN)[:, None]
    height = max(float((lower - upper).max()), 1e-3)
    v = upper + np.clip(t, 0, 1) * (lower - upper) + (np.minimum(t, 0) + np.maximum(t - 1, 0)) * height
    seen = _sample(image, eye, np.stack([np.broadcast_to(u, v.shape), v], -1))
    return DrawnEye(_without_iris(seen, u, v, eye), _whole_iris(image, eye))


def _without_iris(seen: Points, u: Array, v: Array, eye: MovedEye) -> Points:
    """Return a straightened eye (DOWN, ACROSS, 3) whose iris is filled along each line, from both of its sides."""
    white = seen.copy()
    half = np.sqrt(np.maximum((eye.radius + AROUND_IRIS) ** 2 - (v - eye.iris[1]) ** 2, 0))
    away = np.abs(u - eye.iris[0])
    for line in range(len(seen)):
        out = np.flatnonzero((away < half[line]) & (np.abs(u) < INNER_END))
        if not len(out):
            continue
        first, last = int(out[0]), int(out[-1])
        left, right = seen[line, max(first - END, 0) : first], seen[line, last + 1 : last + 1 + END]
        # Where the iris reaches the corner, nothing white is left on that side.
        has_left, has_right = u[first] > -INNER_END + AROUND_IRIS, u[last] < INNER_END - AROUND_IRIS
        ends = [side.mean(0) for side, there in ((left, has_left), (right, has_right)) if there and len(side)]
        if ends:
            share = np.linspace(0, 1, len(out), dtype=np.float32)[:, None]
            white[line, out] = ends[0] + share * (ends[-1] - ends[0])
    return np.asarray(cv2.GaussianBlur(white, (3, 3), 0.6), np.float32)


def _whole_iris(image: Points, eye: MovedEye) -> Points:
    """Return a picture of the iris (IRIS_SIDE, IRIS_SIDE, 3), completed where lids hide it."""
    steps = np.linspace(-IRIS_REACH, IRIS_REACH, IRIS_SIDE)
    x, y = np.meshgrid(steps, steps)
    places = eye.iris + eye.radius * np.stack([x, y], -1)
    upper, lower = (np.interp(places[..., 0], LID_PLACES, lid) for lid in (eye.upper, eye.lower))
    seen = _sample(image, eye, places) / _shade((places[..., 1] - upper) / np.maximum(lower - upper, 1e-3))
    margin = SURE * max(float((eye.lower - eye.upper).max()), 1e-3)
    room = np.minimum(places[..., 1] - upper, lower - places[..., 1]) / margin - 1
    visible = smoothstep(room) * (np.abs(places[..., 0]) < INNER_END)
    radius = np.hypot(x, y)
    rings = np.arange(0, IRIS_REACH, 0.1)
    profile = np.zeros((len(rings), 3), np.float32)
    for k, ring in enumerate(rings):
        there = (np.abs(radius - ring) < 0.1) & (visible > 0.9)
        # The median: a light that is mirrored somewhere must not become a ring.
        profile[k] = np.median(seen[there], 0) if there.sum() > 2 else (profile[k - 1] if k else seen.mean((0, 1)))
    usual = np.stack([np.interp(np.minimum(radius, COMMON), rings, profile[:, c]) for c in range(3)], -1)
    return np.asarray(usual + visible[..., None] * (seen - usual), np.float32)


def _shade(t: Array) -> Array:
    """Return how bright an iris is for its distance from the upper lid (...), in heights of the opening: (..., 1)."""
    return np.asarray(1 - SHADE * (1 - smoothstep(t / SHADE_REACH)))[..., None]


def _sample(image: Points, eye: MovedEye, own: Array) -> Points:
    """Sample a picture (H, W, 3) at places (h, w, 2) in the axes and widths of an eye."""
    height, width = image.shape[:2]
    places = eye.center + eye.width * own @ eye.axes.T
    px = places * max(height, width) / 2 + (width / 2 - 0.5, height / 2 - 0.5)
    x, y = np.moveaxis(px.astype(np.float32), -1, 0)
    return np.asarray(cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32)


def draw_eye(drawn: DrawnEye, eye: MovedEye, target: EyeTarget, index: int) -> Layer | None:
    """Draw an eye that looks elsewhere. None where nothing changes, or out of sight.

    eye: of the source, with the change of its gaze. index: 0 right, 1 left.
    """
    frame = EyeFrame.of(target.mesh_px, index)
    loop = target.mesh_px[LOOPS[index]]
    margin = 0.25 * frame.width_px
    low = np.maximum(np.floor(loop.min(0) - margin), 0).astype(int)
    high = np.minimum(np.ceil(loop.max(0) + margin) + 1, target.size[::-1]).astype(int)
    strength = float(smoothstep(np.array(np.hypot(*eye.change) / FULL)))
    if strength <= 0 or (high <= low).any():
        return None
    x, y = np.meshgrid(np.arange(low[0], high[0]) + 0.5, np.arange(low[1], high[1]) + 0.5)
    own = frame.to_own(np.stack([x, y], -1))
    upper, lower = (np.interp(own[..., 0], *lid.T) for lid in lids_of(frame.to_own(loop)))
    height = max(float((lower - upper).max()), 1e-3)
    outside = np.maximum(upper - own[..., 1], own[..., 1] - lower)
    t = _between(own[..., 1], upper, lower, height)
    colours = _look_up(drawn.white, own[..., 0] / (2 * CORNER) + 0.5, (t + BEYOND) / (1 + 2 * BEYOND))
    # As a head turns, an eye is seen less wide, and as high as before.
    squeezed = frame.width_px / (eye.width * max(target.size) / 2 * target.grown)
    carried = (upper + lower).mean() / 2 * squeezed - (eye.upper + eye.lower).mean() / 2
    aside = (own * (1, squeezed) - eye.iris - eye.change - (0, CARRIED * carried)) / eye.radius
    soft = max(SOFT, 0.7 / frame.width_px)
    from_middle = np.hypot(aside[..., 0], aside[..., 1])
    is_iris = smoothstep(0.5 - outside / (2 * soft)) * smoothstep(0.5 - (from_middle - DRAWN) * eye.radius / (2 * soft))
    aside *= np.minimum(1, UNMIXED / np.maximum(from_middle, UNMIXED))[..., None]
    iris = _look_up(drawn.iris, *(np.moveaxis(aside, -1, 0) / (2 * IRIS_REACH) + 0.5)) * _shade(t)
    colours = colours + is_iris[..., None] * (iris - colours)
    alpha = strength * smoothstep((0.6 * BEYOND * height - outside) / (0.4 * BEYOND * height))
    alpha *= smoothstep((CORNER - np.abs(own[..., 0])) / CORNER_SOFT)
    return Layer(int(low[0]), int(low[1]), colours.astype(np.float32), alpha[..., None].astype(np.float32))


def _between(down: Array, upper: Array, lower: Array, height: float) -> Array:
    """Return where places lie between lids, 0 to 1, and beyond them in heights of the whole opening. All (h, w)."""
    inside = np.clip((down - upper) / np.maximum(lower - upper, 1e-3), 0, 1)
    return inside + np.minimum(down - upper, 0) / height + np.maximum(down - lower, 0) / height


def _look_up(picture: Points, x: Array, y: Array) -> Points:
    """Sample a picture (h, w, 3) at places from 0 to 1, its edge repeated."""
    height, width = picture.shape[:2]
    x_px, y_px = (x * (width - 1)).astype(np.float32), (y * (height - 1)).astype(np.float32)
    return np.asarray(cv2.remap(picture, x_px, y_px, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.float32)

"""Gaze: read from where the irises lie between the corners of the eyes, and shown by sliding them there.

A gaze is (x, y, 0): how far the irises lie right of and below the middles of their eyes in the picture, in eye widths.
Both eyes share one gaze. The gaze is the last of the compact family's keypoints.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vid2vid_cli.arrays import Points
from vid2vid_cli.face.eyes import INNER, IRISES, LOOPS, LOWER, OUTER, UPPER, EyeFrame
from vid2vid_cli.geometry.easing import smoothstep, smoothstep_between
from vid2vid_cli.models.compact.iris_size import iris_radius, lids_at
from vid2vid_cli.models.compact.mesh.box import Box

Array = NDArray[np.float64]

SHUT, SEEN = 0.06, 0.16  # gap over width of an eye: below SHUT no iris is seen, from SEEN on one is
FURTHEST = 0.22  # eye widths: a larger change of gaze is an error
# Eye widths, from the middle of the eye: its corners, how far an iris moves, and the skin at a corner that is left out.
CORNER, ROOM, LEFT_OUT = 0.5, 0.46, 0.16
LID_EDGE = 0.03  # eye widths: this much of an opening's rim is lid
WHITE_TO = 0.42  # eye widths from the middle: the white that stands for hidden white is taken from here at most
# Eye widths: of the soft edge of an iris, and from it to where all is white for certain.
RIM_WIDTH, CERTAIN = 0.03, 0.06
TURNS = 3  # steps in which a hidden place is turned into view
LASHES_SEEN = 0.05, 0.12  # gap over width of a target's eye: from lashes alone to no lashes between its lids
RIM = np.concatenate([LOOPS[:, OUTER : INNER + 1], LOOPS[:, UPPER][:, ::-1]], 1)
"""The openings as polygons, (2, 16)."""


def read_gaze(landmarks: Tensor) -> Tensor:
    """Return the gazes (B, 3) of landmarks (B, 470, 3) in any unit; zeros if they have no irises (B, 468, 3).

    The gaze of shut eyes is 0.
    """
    faces = landmarks.detach().cpu().double().numpy()
    if faces.shape[1] <= IRISES[1]:
        return landmarks.new_zeros(len(landmarks), 3)
    return torch.from_numpy(np.array([_gaze_of(face) for face in faces], np.float32)).to(landmarks)


def _gaze_of(face: Array) -> tuple[float, float, float]:
    total, weights = np.zeros(2), 1e-6
    for eye in (0, 1):
        frame = EyeFrame.of(face[:, :2], eye)
        seen = smoothstep_between(_gap(face, eye), SHUT, SEEN)
        # The eye nearer to the camera is wider and is seen better.
        weight = (0.01 + seen) * frame.width_px**2
        total += weight * seen * _mirrored(frame.to_own(face[IRISES[eye], :2]), eye)
        weights += weight
    x, y = np.clip(total / weights, -0.5, 0.5)
    return float(x), float(y), 0.0


def _gap(face: Array, eye: int) -> float:
    """Return how far an eye of a mesh (468 or 470, 2 or 3) is open, over its width."""
    gaps = np.linalg.norm(face[LOOPS[eye, LOWER], :2] - face[LOOPS[eye, UPPER], :2], axis=1)
    return float(gaps.max()) / EyeFrame.of(face[:, :2], eye).width_px


def place_irises(mesh: Points, gaze: Points) -> Points:
    """Return the irises (2, 3) of a mesh (468, 3) with a gaze (3,): the inverse of `read_gaze`."""
    irises: Points = mesh[LOOPS].mean(1)
    for eye in (0, 1):
        frame = EyeFrame.of(mesh[:, :2].astype(np.float64), eye)
        irises[eye, :2] = frame.to_frame(_mirrored(gaze[:2].astype(np.float64), eye))
    return irises


def _mirrored(own: Array, eye: int) -> Array:
    """Convert between an eye's own axes, inwards and down, and right and down in the picture."""
    return own * (-1, 1) if eye else own


@dataclass(frozen=True)
class Samples:
    """Samples of pixels. places: (N, 2), in the mesh's unit. ranks: (N,), evenly spread over (0, 1) in each pixel."""

    places: Points
    ranks: Array


@dataclass(frozen=True)
class Moved:
    """Places of an opening whose iris moves, in the eye's axes and widths.

    shown: (P, 2), what they show of the source before. change: (2,), of the iris. ranks: (P,), see Samples.
    """

    shown: Array
    change: Array
    ranks: Array


class Irises:
    """The irises of one source."""

    def __init__(self, points: Points, gaze: Points, image: Tensor) -> None:
        """Measure the eyes.

        points: (468 or 470, 3), the source's landmarks, in halves of its longer side. gaze: (3,), its own. image:
        (1, 3, H, W), the source in [0, 1].
        """
        mesh = points[:, :2].astype(np.float64)
        self._frames = [EyeFrame.of(mesh, eye) for eye in (0, 1)]
        self._lids = [frame.to_own(mesh[loop]) for frame, loop in zip(self._frames, LOOPS, strict=True)]
        self._own = [_mirrored(gaze[:2].astype(np.float64), eye) for eye in (0, 1)]
        if len(mesh) > IRISES[1]:
            self._own = [frame.to_own(mesh[iris]) for frame, iris in zip(self._frames, IRISES, strict=True)]
        self._radius = iris_radius(image, mesh, self._own)
        self._trust = [smoothstep_between(_gap(mesh, eye), SHUT, SEEN) for eye in (0, 1)]

    def move(self, displacement: Points, box: Box, keypoints: Points, by: Points) -> NDArray[np.uint8]:
        """Move the irises in the openings of a target's eyes.

        displacement: (h, w, 2), of a part of the target, in the mesh's unit; changed in place. box: that part.
        keypoints: (468, 3), the target's. by: (2 or 3,), how the gaze differs from the source's.
        Returns (h, w), 255 where what the source hides is shown, which takes several samples of a pixel to be smooth.
        """
        height, width = displacement.shape[:2]
        made_up = np.zeros((height, width), np.uint8)
        low, step = box.low, (box.high - box.low) / (width, height)
        for eye, change in self._changes(keypoints, by):
            x, y = _pixels_inside((keypoints[RIM[eye], :2] - low) / step - 0.5, (height, width))
            if len(x):
                places = (np.stack([x, y], 1) + 0.5) * step + low
                moved = Moved(self._frames[eye].to_own(places + displacement[y, x]), change, np.full(len(x), 0.5))
                shift, turned = self._shift(moved, eye)
                displacement[y, x] += shift
                made_up[y[turned], x[turned]] = 255
        return made_up

    def move_at(self, displacement: Points, samples: Samples, keypoints: Points, by: Points) -> None:
        """Do the same at samples that are known to lie in openings. displacement: (N, 2), changed in place."""
        places = samples.places
        middles = keypoints[LOOPS, :2].mean(1)
        away = np.square(places[:, None] - middles).sum(-1)
        for eye, change in self._changes(keypoints, by):
            chosen = np.flatnonzero(away[:, eye] < away[:, 1 - eye])
            if len(chosen):
                shown = self._frames[eye].to_own((places + displacement)[chosen].astype(np.float64))
                displacement[chosen] += self._shift(Moved(shown, change, samples.ranks[chosen]), eye)[0]

    def _changes(self, keypoints: Points, by: Points) -> Iterator[tuple[int, Array]]:
        """Give each eye whose iris moves, and how: (2,), in the eye's axes and widths."""
        size = float(np.linalg.norm(by[:2]))
        if size < 1e-4:
            return
        change = by[:2].astype(np.float64) * min(1.0, FURTHEST / size)
        for eye in (0, 1):
            # What is left of an eye that is nearly shut shows its lashes.
            share = self._trust[eye] * smoothstep_between(_gap(keypoints.astype(np.float64), eye), *LASHES_SEEN)
            if share > 0:
                yield eye, share * _mirrored(change, eye)

    def _shift(self, moved: Moved, eye: int) -> tuple[Points, NDArray[np.bool_]]:
        """Return how far what places show of the source moves with the iris (P, 2), and which show what it hides."""
        frame = self._frames[eye]
        found, hidden = self._keep_between_lids(self._look(moved, eye), moved, eye)
        return np.asarray(frame.width_px * (found - moved.shown) @ frame.axes.T, np.float32), hidden

    def _look(self, moved: Moved, eye: int) -> Array:
        """Return what places of an opening show of the source (P, 2) once the iris has moved, whatever the lids."""
        change = moved.change
        x, (begin, end) = moved.shown[:, 0], self._own[eye][0] + np.array([-self._radius, self._radius])
        begin, end = max(begin, -ROOM), min(end, ROOM)
        along = float(np.clip(change[0], min(-ROOM - begin, 0.0), max(ROOM - end, 0.0)))
        # The iris keeps its width; the white on either side is stretched or compressed up to the corners. Where it is
        # stretched, the part right at the corner is left out, since it is skin.
        left, right = (min(max(away, 0.0), LEFT_OUT) for away in (along, -along))
        ends = [min(left - CORNER, begin), max(CORNER - right, end)]
        knots = [-CORNER, begin + along, end + along, CORNER]
        across = change[1] * np.interp(x, knots, [0.0, 1.0, 1.0, 0.0])
        inside = np.where(np.abs(x) < CORNER, np.interp(x, knots, [ends[0], begin, end, ends[1]]), x)
        return np.stack([inside, moved.shown[:, 1] - across], 1)

    def _keep_between_lids(self, found: Array, moved: Moved, eye: int) -> tuple[Array, NDArray[np.bool_]]:
        """Return places of an opening (P, 2), those that the source's lids hide replaced by others; and which are.

        An eye looks the same all around its iris, so each hidden place is turned around the iris until it is in view:
        an iris that the source shows in part is round where the target shows more of it. As much of the lids' edge as
        was seen before stays.
        """
        shown, middle = moved.shown, self._own[eye]
        upper, lower = lids_at(shown[:, 0], self._lids[eye])
        above, below = (np.clip(gap, 0, LID_EDGE) for gap in (shown[:, 1] - upper, lower - shown[:, 1]))
        away = found - middle
        radius = np.linalg.norm(away, axis=1)
        hidden_by = np.maximum(found[:, 1] - lower + below, upper + above - found[:, 1])
        # What is white comes from further out, where it is certain to be: the iris may be larger than measured.
        radius += smoothstep((radius - self._radius) / RIM_WIDTH + 0.5) * np.clip(2 * hidden_by, 0, CERTAIN)
        # In the middle there are two ways round, and samples are shared out among them.
        side = np.where(smoothstep(away[:, 0] / (2 * self._radius) + 0.5) > moved.ranks, 1, -1)
        x, y = found.T
        furthest = np.maximum(np.abs(x), WHITE_TO)
        for _ in range(TURNS):
            upper, lower = lids_at(x, self._lids[eye])
            between = (upper + lower) / 2
            y = np.clip(found[:, 1], np.minimum(upper + above, between), np.maximum(lower - below, between))
            aside = np.sqrt(np.maximum(radius**2 - (y - middle[1]) ** 2, 0))
            turned = np.clip(middle[0] + side * aside, -furthest, furthest)
            x = np.where(y == found[:, 1], found[:, 0], turned)
        return np.stack([x, y], 1), np.asarray(y != found[:, 1])


def _pixels_inside(rim: NDArray[np.floating], size: tuple[int, int]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return x and y of the pixels of a map within a polygon (P, 2) in its px."""
    low = np.maximum(np.floor(rim.min(0)).astype(int), 0)
    high = np.minimum(np.ceil(rim.max(0)).astype(int) + 1, (size[1], size[0]))
    if (high <= low).any():
        return np.zeros(0, np.intp), np.zeros(0, np.intp)
    mask = np.zeros((high[1] - low[1], high[0] - low[0]), np.uint8)
    cv2.fillPoly(mask, [np.rint((rim - low) * 16).astype(np.int32)], 1, shift=4)
    y, x = np.nonzero(mask)
    return x + low[0], y + low[1]

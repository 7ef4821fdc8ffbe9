"""A mouth's inside in the two rigid halves of a jaw: upper teeth move with the head, lower ones with the chin.

A mouth lies on a curved plane of the head, the arch of the teeth: x right, y down, on the canonical head (the distance
of the eyes is 1), z = const + ARCH x^2. The lips slide over both halves, nothing is stretched; what opens between them
is dark.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vid2vid_cli.arrays import Frame
from vid2vid_cli.geometry.easing import smoothstep
from vid2vid_cli.geometry.keypoints import Similarity
from vid2vid_cli.models.compact.mouth_tone import skin_colour

Values = NDArray[np.floating[Any]]

ARCH = 1.6  # how fast the teeth recede to the sides; lips do so by 1.9
BEHIND_LIPS = 0.02  # eye distances from the lips' middle to the teeth
COLUMNS, ROWS = 48, 40  # of the grid on which a mouth is read
INSET = 0.07  # of an opening: the tracked lips lie a little on the lip
STEEPEST = 2  # rows that the line between the teeth may rise or fall from column to column
SIDE_FADE = 0.05  # eye distances within which a half fades to the corners of its mouth
SHOWN = 0.55  # of the upper half must be teeth
GREY = 0.08  # saturation up to which skin counts as grey
LINE = 0.8  # a line between the rows is darker than so much of the teeth above it
LEAST_TEETH = 0.03  # eye distances of a row that must show
UPPER_LIP, LOWER_LIP = 13, 14  # mesh points: middles of the inner lips
CHIN = (152, 148, 377, 175, 171, 396)


@dataclass(frozen=True)
class Projection:
    """How a picture shows the arch: px = linear @ (x, y) + depth * ARCH * x^2 + offset, centre of the first px at 0."""

    linear: Values
    depth: Values
    offset: Values

    @classmethod
    def of_head(cls, head: Similarity, arch_z: float, half: float, middle: tuple[float, float]) -> Projection:
        """Project by a head's pose, batch of 1, in halves of a picture's longer side.

        arch_z: depth of the arch's middle on the canonical head. half: px of half the longer side. middle: px.
        """
        turn = head.rotation[0].double().numpy() * float(head.scale) * half
        offset = head.translation[0, :2].double().numpy() * half + middle + turn[:2, 2] * arch_z - 0.5
        return cls(turn[:2, :2], turn[:2, 2], offset)

    def to_px(self, x: Values, y: Values) -> tuple[Values, Values]:
        """Project places of the arch."""
        bulge = ARCH * x * x
        (a, b), (c, d) = self.linear.tolist()
        (e, f), (left, top) = self.depth.tolist(), self.offset.tolist()
        return a * x + b * y + (e * bulge + left), c * x + d * y + (f * bulge + top)

    def to_arch(self, x_px: Values, y_px: Values) -> tuple[Values, Values]:
        """Find the places of the arch that pixels show."""
        (a, b), (c, d) = np.linalg.inv(self.linear).tolist()
        (e, f), (left, top) = self.depth.tolist(), self.offset.tolist()
        u, v = x_px - left, y_px - top
        flat = a * u + b * v
        tilt_x, tilt_y = a * e + b * f, c * e + d * f
        # flat = x + tilt_x * ARCH x^2, solved for the x that is on the front; beyond the arch's rim there is none.
        root = np.sqrt(np.maximum(1 + 4 * tilt_x * ARCH * flat, 0.1))
        x = 2 * flat / (1 + root)
        return x, c * u + d * v - tilt_y * ARCH * x * x

    @property
    def unit_px(self) -> float:
        """How many px one eye distance is."""
        return float(np.sqrt(abs(np.linalg.det(self.linear))))


@dataclass(frozen=True)
class Halves:
    """What a picture shows of a mouth, to be moved in two halves.

    picture: (h, w, 3), uint8 RGB. projection: of the arch into it. x: (COLUMNS,), ascending. lines: (4, COLUMNS), y
    on the arch: the upper lip's edge, where the upper teeth end, where the lower ones begin, the lower lip's edge.
    teeth: (2,), how much of the upper and of the lower half is teeth, in its middle, 0 to 1. skin: (3,), the
    face's, in [0, 1].
    """

    picture: Frame
    projection: Projection
    x: Values
    lines: Values
    teeth: Values
    skin: Values

    def upper(self, x: Values, y: Values, px: float) -> tuple[Values, Values]:
        """Sample the upper half at places (h, w) of the arch: colours (h, w, 3) of 255, and how much is there (h, w).

        px: eye distances a pixel.
        """
        top, seam = (self._line(line, x) for line in self.lines[:2])
        there = smoothstep((seam - y) / (1.5 * px) + 0.5) * self._side(x)
        return self._sample(x, np.clip(y, np.minimum(top, seam), seam)), there

    def lower(self, x: Values, y: Values, px: float) -> tuple[Values, Values]:
        """Sample the lower half; as `upper`."""
        seam, bottom = (self._line(line, x) for line in self.lines[2:])
        thick = smoothstep((bottom - seam) / 0.03)
        there = smoothstep((y - seam) / (1.5 * px) + 0.5) * self._side(x) * thick
        return self._sample(x, np.clip(y, seam, np.maximum(bottom, seam))), there

    def whole(self) -> Halves:
        """Return halves of which the lower one begins where the upper one ends, with all that lies between."""
        return replace(self, lines=self.lines[[0, 1, 1, 3]])

    @property
    def shows_teeth(self) -> bool:
        """Whether the upper half is plainly teeth."""
        middle = slice(COLUMNS // 4, -COLUMNS // 4)
        return float(self.teeth[0]) > SHOWN and float((self.lines[1] - self.lines[0])[middle].mean()) > LEAST_TEETH

    @property
    def has_lower(self) -> bool:
        """Whether the picture shows anything below the upper teeth."""
        middle = slice(COLUMNS // 4, -COLUMNS // 4)
        return float((self.lines[3] - self.lines[1])[middle].mean()) > LEAST_TEETH

    def edge(self) -> float:
        """Return where the upper teeth end in the middle, y on the arch."""
        return float(np.interp(0, self.x, self.lines[1]))

    def low_edge(self) -> float:
        """Return where the lower teeth begin in the middle, y on the arch."""
        return float(np.interp(0, self.x, self.lines[2]))

    def _line(self, line: Values, x: Values) -> Values:
        return np.interp(x, self.x, line).astype(np.float32)

    def _side(self, x: Values) -> Values:
        return smoothstep(np.minimum(x - self.x[0], self.x[-1] - x) / SIDE_FADE)

    def _sample(self, x: Values, y: Values) -> Values:
        u, v = self.projection.to_px(np.clip(x, self.x[0], self.x[-1]), y)
        return sample(self.picture, u, v)


def sample(picture: Frame, u: Values, v: Values) -> Values:
    """Sample a picture (H, W, 3) at px (h, w): (h, w, 3) of 255, float32."""
    colours = cv2.remap(
        picture, u.astype(np.float32), v.astype(np.float32), cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(colours, np.float32)


def read_halves(picture: Frame, points_px: Values, loop: NDArray[np.int32], projection: Projection) -> Halves | None:
    """Read a mouth out of a picture (H, W, 3). None where its lips are shut.

    points_px: (468, 2 or 3). loop: the inner lips. projection: of the face's arch.
    """
    x, y = projection.to_arch(points_px[loop, 0] - 0.5, points_px[loop, 1] - 0.5)
    half = len(loop) // 2
    low = np.r_[0, len(loop) - 1 : half - 1 : -1]
    width = float(x[half] - x[0])
    xs = np.linspace(x[0] + 0.03 * width, x[half] - 0.03 * width, COLUMNS)
    top, bottom = np.interp(xs, x[: half + 1], y[: half + 1]), np.interp(xs, x[low], y[low])
    gap = np.maximum(bottom - top, 0)
    if width <= 0 or gap.max() < 0.02:
        return None
    top, bottom = top + INSET * gap, bottom - INSET * gap
    share = np.linspace(0, 1, ROWS)[:, None]
    strip = sample(picture, *projection.to_px(np.broadcast_to(xs, (ROWS, COLUMNS)), top + share * (bottom - top)))
    skin = skin_colour(picture, points_px)
    seam, low_seam = find_seams(strip)
    upper = share < seam
    teeth = is_tooth(strip, skin)
    middle = slice(COLUMNS // 4, -COLUMNS // 4)
    shares = [
        float(teeth[:, middle][part[:, middle]].mean()) if part[:, middle].any() else 0.0
        for part in (upper, share > low_seam)
    ]
    lines = np.stack([top, *(top + line * (bottom - top) for line in (seam, low_seam)), bottom])
    return Halves(picture, projection, xs, lines, np.array(shares), skin / np.float32(255))


def is_tooth(colours: Values, skin: Values) -> NDArray[np.bool_]:
    """Tell teeth from gums, lips, tongue and dark: bright, and less red than the skin. colours: (..., 3) of 255."""
    bright = colours.mean(-1) / max(float(skin.mean()), 1.0)
    if skin.max() - skin.min() < GREY * skin.max():  # in a grey picture only brightness tells
        return np.asarray(bright > 0.85)
    green = colours[..., 1] / np.maximum(colours[..., 0], 1) / max(float(skin[1]) / max(float(skin[0]), 1.0), 1e-3)
    return np.asarray((bright > 0.66) & (green > 1.03))


def find_seams(strip: Values) -> tuple[Values, Values]:
    """Find the dark lines below the upper teeth and above the lower ones: each (COLUMNS,), as a share of the height.

    strip: (ROWS, COLUMNS, 3), a mouth between its lips.
    """
    light = cv2.GaussianBlur(strip.mean(-1), (0, 0), 0.8)
    light = light / max(float(np.quantile(light, 0.9)), 1.0)
    share = np.linspace(0, 1, len(light))[:, None]
    # Close to the lips it is dark as well, at the upper one by its shadow.
    upper = darkest_path(light + np.where(share < 0.35, 1.0, 0.25 * share))
    middle = slice(COLUMNS // 4, -COLUMNS // 4)
    on_line, above = (np.abs(share - upper) < 0.04)[:, middle], (share < upper - 0.06)[:, middle]
    if light[:, middle][on_line].mean() > LINE * light[:, middle][above].mean():
        upper = np.ones_like(upper)  # there is none: the upper teeth reach the lower lip
    # Lower teeth begin where it gets light, below the dark line.
    rise = np.asarray(cv2.Sobel(light, cv2.CV_64F, 0, 1, ksize=3)) / 8
    below = np.where(share < upper - 0.5 / len(light), 2.0, 0.0)
    return upper, np.maximum(darkest_path(below - 4 * rise), upper)


def darkest_path(cost: Values) -> Values:
    """Return the path from left to right of least cost (dynamic programming): (C,), in [0, 1]. cost: (R, C)."""
    rows, columns = cost.shape
    total, came = cost[:, 0].copy(), np.zeros((columns, rows), int)
    for column in range(1, columns):
        padded = np.pad(total, STEEPEST, constant_values=np.inf)
        moves = np.stack([padded[k : k + rows] + 0.03 * abs(k - STEEPEST) for k in range(2 * STEEPEST + 1)])
        came[column] = moves.argmin(0) - STEEPEST
        total = moves.min(0) + cost[:, column]
    path = np.empty(columns, int)
    path[-1] = int(total.argmin())
    for column in range(columns - 1, 0, -1):
        path[column - 1] = path[column] + came[column, path[column]]
    smooth = cv2.GaussianBlur((path / (rows - 1)).astype(np.float64)[None], (0, 0), 1.0)[0]
    return np.asarray(np.clip(smooth, 0, 1))

"""The inside of an opening mouth: warping a closed mouth would show smeared lips there.

It is laid over the warped and painted picture. The first that serves fills it: the source's own mouth where the source
shows teeth, the driving's own where there are pictures of it, teeth of the checkpoint's bank, or a dark cavity. What is
chosen lasts as long as the source does, so that nothing flickers. Lengths are in mouth widths, or in eye distances on
the canonical head.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vid2vid_cli.geometry.easing import smoothstep, smoothstep_between
from vid2vid_cli.geometry.regions import Mouth
from vid2vid_cli.models.compact.layer import Layer
from vid2vid_cli.models.compact.mesh.rasterizer import rasterize
from vid2vid_cli.models.compact.mesh.topology import FaceTopology
from vid2vid_cli.models.compact.mouth_halves import Halves, Projection, Values
from vid2vid_cli.models.compact.mouth_jaw import Jaw
from vid2vid_cli.models.compact.mouth_picture import Depths, MouthPicture, sample_mouth
from vid2vid_cli.models.compact.mouth_tone import SkinTone

# Mouth widths: an opening that exceeds the source's own, stretched so many times, by the first amount is not filled
# yet, by the second one fully.
OWN_STRETCH, SHOWN_FROM, SHOWN_TO = 1.6, 0.005, 0.03
MOVED_FROM, MOVED_TO = 0.01, 0.04  # the same for the source's own mouth, which is filled as soon as the lips move
# Colours relative to the brightness of the skin: measured on portraits with open mouths, rounded.
CAVITY, TONGUE = np.array([[0.19, 0.09, 0.085], [0.86, 0.47, 0.47]], np.float32)
FINE = 4  # subpixels along a side, where the lips' edge is drawn
BEYOND_PX = 2.0  # how far what is drawn reaches beyond the lips, for their soft edge
LEAST_EDGE_PX = 0.5  # softness of the lips' edge in a sharp picture


def mouth_gaps(points: Values, loop: NDArray[np.int32], mouth_width: float) -> Values:
    """Return the opening at each point of the loop of inner lips, in mouth widths: (20,); 0 at the corners.

    points: (468, 2 or 3), on the canonical head, so that turning it opens nothing.
    """
    half = len(loop) // 2
    upper, lower = points[loop[1:half], :2], points[loop[:half:-1], :2]
    gap = np.linalg.norm(lower - upper, axis=1) / mouth_width
    return np.concatenate([[0], gap, [0], gap[::-1]]).astype(np.float32)


@dataclass(frozen=True)
class SourceMouth:
    """What is known of a source's own mouth, and what fills it.

    gaps: (20,), of `mouth_gaps`. tone: how the face around it is lit. jaw: where its teeth are. own: its own mouth,
    None where it shows no teeth. bank: an upper and a lower row of others, None without a bank. kind: what may fill it.
    """

    topology: FaceTopology
    gaps: Values
    tone: SkinTone
    jaw: Jaw
    own: Halves | None
    bank: tuple[Halves, Halves] | None
    kind: Mouth = "auto"

    @property
    def shows_own(self) -> bool:
        """Whether the source's own mouth fills it."""
        return self.own is not None and self.kind in ("auto", "source")

    @property
    def shows_driving(self) -> bool:
        """Whether the driving's mouth fills it where there is a picture of that."""
        return self.kind in ("auto", "driving") and not self.shows_own


@dataclass(frozen=True)
class MouthTarget:
    """A mouth to be filled: where a frame has it.

    size: (height, width) of the image. points_px: (468, 3), the target's mesh in its px. face: the same on the
    canonical head. width: of the source's mouth on it. projection: of the arch of teeth.
    """

    size: tuple[int, int]
    points_px: Values
    face: Values
    width: float
    projection: Projection

    @property
    def width_px(self) -> float:
        """Width of the mouth as if seen from the front."""
        return self.width * self.projection.unit_px


@dataclass(frozen=True)
class Opening:
    """The pixels between the lips: a box of the picture.

    left, top: of the box. depths: of its pixels, (h, w). weight: (h, w), how much of a pixel is filled. places_px:
    (h, w, 2), in the driving's picture.
    """

    left: int
    top: int
    depths: Depths
    weight: Values
    places_px: Values


def fill_mouth(target: MouthTarget, source: SourceMouth, shown: MouthPicture | None) -> Layer | None:
    """Fill the inside of a warped image's mouth as far as the warp shows none; None where nothing is missing.

    shown: the driving's mouth, None where there is no picture of it.
    """
    if not source.shows_driving:
        shown = None
    opening = find_opening(target, source, shown)
    if opening is None:
        return None
    if shown is not None:
        own_px = float(np.linalg.norm(shown.lips_px[0] - shown.lips_px[len(shown.lips_px) // 2]))
        lips = target.points_px[source.topology.inner_lips, :2]
        width_px = float(np.linalg.norm(lips[0] - lips[len(lips) // 2]))
        magnified, depths = max(width_px, 1.0) / max(own_px, 1.0), opening.depths
        colour = sample_mouth(shown, opening.places_px, source.tone, magnified, depths)
    else:
        colour = _fill_halves(opening, target, source)
    return Layer(opening.left, opening.top, colour, opening.weight[..., None])


def find_opening(target: MouthTarget, source: SourceMouth, shown: MouthPicture | None) -> Opening | None:
    """Find what is to be filled; arguments as for `fill_mouth`."""
    loop, points_px = source.topology.inner_lips, target.points_px
    gaps = mouth_gaps(target.face, loop, target.width)
    # Frames of a video show other teeth each: what is seen of them would take turns with what is filled in.
    if source.shows_own or (source.kind == "driving" and shown is None):
        moved = float(np.abs(gaps - source.gaps).max())
        hole = np.full(len(gaps), smoothstep_between(moved, MOVED_FROM, MOVED_TO))
    else:
        hole = smoothstep((gaps - OWN_STRETCH * source.gaps - SHOWN_FROM) / (SHOWN_TO - SHOWN_FROM))
    if not hole.any():
        return None
    lips = points_px[loop, :2]
    left, top = np.maximum(np.floor(lips.min(0) - BEYOND_PX).astype(int) - 1, 0)
    right, bottom = np.minimum(np.ceil(lips.max(0) + BEYOND_PX).astype(int) + 1, target.size[::-1])
    if right <= left or bottom <= top:
        return None
    size, lips = (int(bottom - top), int(right - left)), lips - (left, top)
    places = np.zeros((len(loop), 2), np.float32) if shown is None else shown.lips_px
    reach = BEYOND_PX / target.width_px
    attributes = np.column_stack([_along(len(loop)), *_depths(gaps, reach), hole, places]).astype(np.float32)
    vertices = np.column_stack([_widened(lips, BEYOND_PX) - 0.5, np.zeros(len(loop))]).astype(np.float32)
    values = rasterize(vertices, attributes, _local_triangles(source.topology), size)
    along, below_upper, above_lower, filled = np.moveaxis(values[..., :4], -1, 0)
    edge = max(LEAST_EDGE_PX, 0.7 * source.tone.blur_px)
    weight = coverage(lips, size, edge) * filled
    return Opening(int(left), int(top), Depths(along, below_upper, above_lower), weight, values[..., 4:])


def coverage(loop_px: Values, size: tuple[int, int], edge_px: float) -> Values:
    """Return how much of each pixel of (height, width) lies within a closed line (P, 2), its edge softened."""
    fine = np.zeros((size[0] * FINE, size[1] * FINE), np.uint8)
    # Corners of the subpixel grid are counted from the centre of its first subpixel, in 16ths.
    cv2.fillPoly(fine, [np.round((loop_px * FINE - 0.5) * 16).astype(np.int32)], 255, shift=4)
    share = cv2.resize(fine.astype(np.float32) / np.float32(255), size[::-1], interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.GaussianBlur(share, (0, 0), edge_px), np.float32)


def _fill_halves(opening: Opening, target: MouthTarget, source: SourceMouth) -> Values:
    """Draw the source's own mouth, or one of the bank: (h, w, 3) in [0, 1]."""
    colour = draw_cavity(opening.depths, source.tone)
    rows, columns = (np.arange(size, dtype=np.float32) for size in opening.weight.shape)
    x, y = target.projection.to_arch(*np.meshgrid(columns + opening.left, rows + opening.top))
    jaw, unit = source.jaw, 1 / target.projection.unit_px
    own = source.own if source.shows_own else None
    bank = source.bank if source.kind != "source" else None
    edge = jaw.upper_edge(target.face) if own is None else own.edge()
    if own is not None and own.has_lower:
        aside, down = jaw.own_lower_shift(target.face)
        _lay(colour, *own.whole().lower(x - aside, y - down, unit))
    elif bank is not None:
        aside, down = jaw.lower_place(target.face, edge)
        down -= jaw.scale * bank[1].low_edge()
        lower = bank[1].lower((x - aside) / jaw.scale, (y - down) / jaw.scale, unit / jaw.scale)
        _lay(colour, *lower, _shade(opening.depths.above_lower, opening.depths))
    if own is not None:
        _lay(colour, *own.upper(x, y - jaw.own_upper_shift(target.face), unit))
    elif bank is not None:
        upper = bank[0].upper(x / jaw.scale, (y - edge) / jaw.scale, unit / jaw.scale)
        _lay(colour, *upper, _shade(opening.depths.below_upper, opening.depths))
    return np.asarray(np.clip(colour, 0, 1), np.float32)


def _lay(below: Values, colour: Values, there: Values, light: Values | None = None) -> None:
    """Lay a half over what is below it (h, w, 3) in [0, 1], in place. light: (h, w), how much reaches it."""
    colour = colour * (np.float32(1 / 255) if light is None else light[..., None] * np.float32(1 / 255))
    below += there[..., None] * (colour - below)


def _shade(distance: Values, opening: Depths) -> Values:
    """Return how much light reaches teeth at a distance from a lip that shades them, less to the sides: (h, w)."""
    across = np.clip(np.abs(2 * opening.along - 1), 0, 1)
    # Little light enters a mouth that is hardly open.
    entering = 0.70 + 0.25 * smoothstep((opening.below_upper + opening.above_lower) / 0.18)
    return np.asarray(entering * (0.66 + 0.34 * smoothstep(distance / 0.06)) * (1 - 0.35 * across**3), np.float32)


def draw_cavity(opening: Depths, tone: SkinTone) -> Values:
    """Draw the dark of a mouth and a tongue in it: (h, w, 3) in [0, 1]."""
    across2 = np.square(2 * opening.along - 1)
    height = np.maximum(opening.below_upper + opening.above_lower, np.float32(1e-3))
    up = np.clip(opening.above_lower / height, 0, 1)
    # A tongue lies low and is rounded; light falls on its front, and on the middle more than on the sides.
    top = 0.70 * np.sqrt(np.clip(1 - 1.15 * across2, 0, 1))
    tongue = smoothstep((top - up) / 0.30 + 0.35) * smoothstep((height - 0.08) / 0.18)
    light = (0.95 - 0.50 * smoothstep(up / np.maximum(top, 0.2))) * (1 - 0.40 * across2)
    dark, red = (light_up(colour, tone) for colour in (CAVITY, TONGUE))
    return np.asarray(dark + tongue[..., None] * (light[..., None] * red - dark), np.float32)


def light_up(colour: Values, tone: SkinTone) -> Values:
    """Return a colour (3,), relative to the brightness of the skin, in the light of a source."""
    grey = colour.mean()
    return np.asarray(
        np.clip((grey + tone.saturation * (colour - grey)) * tone.brightness * tone.tint, 0, 1), np.float32
    )


def _along(count: int) -> Values:
    half = count // 2
    there = np.arange(half + 1) / half
    return np.asarray(np.concatenate([there, there[-2:0:-1]]), np.float32)


def _depths(gaps: Values, reach: float) -> tuple[Values, Values]:
    """Return the distance from the upper and from the lower lip at each point of the loop, moved out by `reach`."""
    half = len(gaps) // 2
    upper = np.arange(len(gaps)) <= half
    return np.where(upper, -reach, gaps + reach), np.where(upper, gaps + reach, -reach)


def _widened(lips_px: Values, by_px: float) -> Values:
    """Return the loop of lips (P, 2) moved outwards: both lips across the mouth, the corners along it."""
    half = len(lips_px) // 2
    along = lips_px[half] - lips_px[0]
    along = along / max(float(np.linalg.norm(along)), 1e-6)
    down = np.array([-along[1], along[0]])
    moved = lips_px + by_px * np.where(np.arange(len(lips_px))[:, None] <= half, -down, down)
    moved[0], moved[half] = lips_px[0] - by_px * along, lips_px[half] + by_px * along
    return np.asarray(moved, np.float32)


def _local_triangles(topology: FaceTopology) -> NDArray[np.int32]:
    """Return the mouth's triangles as indices into the inner lips' loop."""
    place = {int(point): k for k, point in enumerate(topology.inner_lips)}
    chosen = topology.triangles[topology.mouth_triangles]
    return np.array([[place[int(point)] for point in triangle] for triangle in chosen], np.int32)

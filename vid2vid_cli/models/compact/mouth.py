"""The inside of an opening mouth: warping a closed mouth would show smeared lips there.

A drawn mouth fills the hole, lit like the face around it: upper teeth that hang from the skull, a dark cavity, the
tongue below. The painter may then retouch it. If the source's own mouth is open enough, its inside is kept. Lengths are
in mouth widths, so that the drawing does not depend on the size of the picture.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vid2vid_cli.geometry.easing import smoothstep
from vid2vid_cli.models.compact.mesh.rasterizer import rasterize
from vid2vid_cli.models.compact.mesh.topology import FaceTopology
from vid2vid_cli.models.compact.mouth_picture import MouthPicture, sample_mouth, skin_colour

Array = NDArray[np.float32]

# Mouth widths: an opening that exceeds the source's own, stretched so many times, by the first amount is not drawn yet,
# by the second one it is drawn fully.
OWN_STRETCH, HOLE_FROM, HOLE_TO = 1.6, 0.03, 0.09
SHOWN_FROM, SHOWN_TO = 0.005, 0.03  # the same for a mouth that is not drawn but shown: it may appear at once
TEETH_LENGTH, TEETH_SPREAD = 0.115, 0.37
# Colours relative to the brightness of the skin: measured on portraits with open mouths, rounded.
TEETH, CAVITY, TONGUE = np.array([[1.02, 0.97, 0.90], [0.20, 0.11, 0.10], [0.66, 0.36, 0.35]], np.float32)


@dataclass(frozen=True)
class SkinTone:
    """How a source's face is lit.

    brightness: in [0, 1]. saturation: over that of a usual photograph. tint: (3,), the colour of the light, mean 1.
    skin: (3,), the colour of the skin itself, in [0, 1].
    """

    brightness: float
    saturation: float
    tint: Array
    skin: Array


def read_skin_tone(image: Tensor, points_px: Array) -> SkinTone:
    """Read the skin tone of a source. image: (1, 3, H, W) in [0, 1]. points_px: (468, 2 or 3) in its px."""
    colour = skin_colour(image[0].permute(1, 2, 0).cpu().numpy(), points_px)
    brightness = float(colour.mean())
    saturation = float((colour.max() - colour.min()) / max(brightness, 1e-3))
    # A dark face has light teeth: only its light darkens them. Hence a brightness nearer to the middle.
    lit = 0.65 * brightness + 0.35 * 0.62
    # Skin is warm by itself; about a third of its colour comes from the light.
    tint = (colour / max(brightness, 1e-3)) ** 0.35
    return SkinTone(lit, min(1.0, saturation / 0.35), np.asarray(tint / tint.mean(), np.float32), colour)


def mouth_gaps(points: Array, loop: NDArray[np.int32], mouth_width: float) -> Array:
    """Return the opening at each point of the loop of inner lips, in mouth widths: (20,); 0 at the corners.

    points: (468, 2 or 3), in the unit of mouth_width.
    """
    half = len(loop) // 2
    upper, lower = points[loop[1:half], :2], points[loop[:half:-1], :2]
    gap = np.linalg.norm(lower - upper, axis=1) / mouth_width
    return np.concatenate([[0], gap, [0], gap[::-1]]).astype(np.float32)


@dataclass(frozen=True)
class SourceMouth:
    """What is known of a source's own mouth. gaps: (20,), of `mouth_gaps`. tone: how the face around it is lit."""

    topology: FaceTopology
    gaps: Array
    tone: SkinTone


@dataclass(frozen=True)
class MouthLayer:
    """A drawn mouth, to be blended into a picture: colour (h, w, 3) in [0, 1], weight (h, w, 1), left and top in px."""

    left: int
    top: int
    colour: Array
    weight: Array

    def blend(self, image: Tensor) -> None:
        """Blend it into an image (3, H, W), in place."""
        height, width = self.weight.shape[:2]
        patch = image[:, self.top : self.top + height, self.left : self.left + width]
        colour, weight = (
            torch.from_numpy(np.ascontiguousarray(np.moveaxis(layer, -1, 0))).to(image)
            for layer in (self.colour, self.weight)
        )
        patch += weight * (colour - patch)


def fill_mouth(
    size: tuple[int, int], points_px: Array, mouth_width_px: float, source: SourceMouth, shown: MouthPicture | None
) -> MouthLayer | None:
    """Fill the inside of a warped image's mouth as far as the source has none of its own; None where it has enough.

    size: (height, width) of the image. points_px: (468, 3), the target's mesh in its px. mouth_width_px: width of the
    mouth as if seen from the front. shown: the driving's mouth; None draws one.
    """
    loop = source.topology.inner_lips
    gaps = mouth_gaps(points_px, loop, mouth_width_px)
    begin, end = (HOLE_FROM, HOLE_TO) if shown is None else (SHOWN_FROM, SHOWN_TO)
    hole = smoothstep((gaps - OWN_STRETCH * source.gaps - begin) / (end - begin))
    if not hole.any():
        return None
    corners = points_px[loop]
    left, top = np.maximum(np.floor(corners[:, :2].min(0)).astype(int) - 1, 0)
    right, bottom = np.ceil(corners[:, :2].max(0)).astype(int) + 2
    right, bottom = min(int(right), size[1]), min(int(bottom), size[0])
    if right <= left or bottom <= top:
        return None
    vertices = (corners - (left + 0.5, top + 0.5, 0.0)).astype(np.float32)
    places = np.zeros((len(loop), 2), np.float32) if shown is None else shown.lips_px
    attributes = np.column_stack([_along(len(loop)), *_depths(gaps), hole, places]).astype(np.float32)
    values = rasterize(vertices, attributes, _local_triangles(source.topology), (bottom - top, right - left))
    # Outside of the lips all attributes are 0, and so is the weight.
    along, below_upper, above_lower, open_share = np.moveaxis(values[..., :4], -1, 0)
    soft = max(0.02, 1.2 / mouth_width_px)
    edge = smoothstep(np.minimum(below_upper, above_lower) / soft)
    weight = (edge * open_share)[..., None]
    if shown is not None:
        return MouthLayer(int(left), int(top), sample_mouth(shown, values[..., 4:], source.tone.skin), weight)
    inside = draw_inside(along, below_upper, above_lower, soft)
    return MouthLayer(int(left), int(top), _light(inside, source.tone), weight)


def draw_inside(along: Array, below_upper: Array, above_lower: Array, soft: float) -> Array:
    """Draw teeth, cavity and tongue.

    along: 0 to 1 from the left corner to the right one. below_upper, above_lower: distance from the lips, in mouth
    widths. All (H, W). soft: width of soft edges. Returns (H, W, 3), relative to the skin's brightness.
    """
    across = (along - 0.5) / 0.5
    opening = below_upper + above_lower
    # The cavity is darkest in the middle of a wide opening, and gets some light near the lips.
    shade = 0.75 + 0.5 * np.exp(-np.minimum(below_upper, above_lower) / 0.05)
    colour = CAVITY * shade[..., None]
    tongue_top = np.clip(0.62 * opening * (1 - 0.9 * across**2) - 0.03, 0, 0.32)
    tongue = smoothstep((tongue_top - above_lower) / (0.06 + soft) + 0.5) * smoothstep((opening - 0.10) / 0.12)
    light = 0.72 + 0.28 * np.clip(above_lower / 0.12, 0, 1) - 0.25 * across**2
    colour = colour + tongue[..., None] * (TONGUE * light[..., None] - colour)
    # Upper teeth: an arch that gets shorter and darker towards the corners, with faint lines between the teeth.
    length = TEETH_LENGTH * np.clip(1 - (np.abs(across) / (2 * TEETH_SPREAD)) ** 3, 0, 1)
    scallop = 0.010 * np.abs(np.sin(_tooth_phase(across)))
    teeth = smoothstep((length + scallop - below_upper) / soft + 0.5)
    lines = 1 - 0.16 * np.exp(-((np.sin(_tooth_phase(across)) / 0.16) ** 2))
    roof = 0.62 + 0.38 * smoothstep(below_upper / 0.05)  # the upper lip's shadow
    brightness = roof * lines * (1 - 0.55 * across**2)
    return np.asarray(colour + teeth[..., None] * (TEETH * brightness[..., None] - colour), np.float32)


def _tooth_phase(across: Array) -> Array:
    """Return an angle that passes a multiple of pi at each gap between teeth, narrower towards the corners."""
    return np.asarray(np.pi * 4.2 * np.sin(np.clip(across, -1, 1) * 1.35) / np.sin(1.35), np.float32)


def _light(inside: Array, tone: SkinTone) -> Array:
    grey = inside.mean(-1, keepdims=True)
    return np.asarray(
        np.clip((grey + tone.saturation * (inside - grey)) * tone.brightness * tone.tint, 0, 1), np.float32
    )


def _along(count: int) -> Array:
    half = count // 2
    there = np.arange(half + 1) / half
    return np.asarray(np.concatenate([there, there[-2:0:-1]]), np.float32)


def _depths(gaps: Array) -> tuple[Array, Array]:
    """Return the distance from the upper and from the lower lip at each point of the loop."""
    half = len(gaps) // 2
    upper = np.arange(len(gaps)) <= half
    return np.where(upper, 0, gaps), np.where(upper, gaps, 0)


def _local_triangles(topology: FaceTopology) -> NDArray[np.int32]:
    """Return the mouth's triangles as indices into the inner lips' loop."""
    place = {int(point): k for k, point in enumerate(topology.inner_lips)}
    chosen = topology.triangles[topology.mouth_triangles]
    return np.array([[place[int(point)] for point in triangle] for triangle in chosen], np.int32)

"""The inside of the driving's mouth, as its frame shows it: real teeth and tongue for a source that shows none.

After Averbuch-Elor, Cohen-Or, Kopf, Cohen, "Bringing Portraits to Life" (SIGGRAPH Asia 2017): what lies between the
driving's lips is warped lip to lip into the source's, its tone matched to the source's by the skin of both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from vid2vid_cli.arrays import Frame, Points
from vid2vid_cli.geometry.easing import smoothstep
from vid2vid_cli.models.compact.mouth_halves import sample
from vid2vid_cli.models.compact.mouth_tone import SkinTone, match_blur, match_tone, paleness, skin_colour

LARGEST_PX = 192  # longer side of what is kept of a mouth: more detail than most portraits show
CORNER_INSET = 0.07  # of the width: corners show the inside of lips and cheeks
MARGIN = 0.12  # of its longer side, around the inner lips: for sampling at their edge
FRAME_BLUR_PX = 1.0  # of frames, as measured on ten clips; not of each frame, which would make sharpness flicker
# Of the opening: the tracked lower lip lies a little on the lip, whose colour must not come along; the upper one lies
# where the teeth begin, which must.
UPPER_INSET, LOWER_INSET = 0.015, 0.08
# A lamp beside the camera lights tongue and throat, which lie in the shadow of the lips in most portraits.
GAPING = (0.12, 0.45)  # mouth widths: no darker up to the first height, from the second on all that is missing is
DARK_ABOVE, DARK_ASIDE, DARKEST = 0.62, 0.35, 0.85  # light that is missing: below the upper lip, at the corners, most
DARK_STONE = 0.4  # light that is missing everywhere in a grey mouth: a tongue that is not red tells itself from lips so
ABOVE = (0.2, 1.0)  # of the height, from the lower lip on: where the shadow of the upper lip begins, and is full
TOOTH_LIGHT, TOOTH_GREEN = (0.65, 0.9), (0.98, 1.08)  # over the skin: brightness, and green to red; not yet, surely
# Where the tracked upper lip lies on the lip, its red comes along, as of a gum that is too bright.
DARK_LIP, LIP_UP = 0.5, (0.3, 0.7)  # light that is missing; from where up, of the height
LIP_LIGHT, LIP_GREEN = (0.5, 0.75), (0.88, 0.74)  # over the skin, as of teeth


class Depths(NamedTuple):
    """Where places (H, W) lie between the lips.

    along: 0 to 1 from the left corner to the right one. below_upper, above_lower: from the lips, in mouth widths.
    """

    along: Points
    below_upper: Points
    above_lower: Points


@dataclass(frozen=True)
class MouthPicture:
    """What a driving frame shows between the lips.

    picture: (h, w, 3), uint8 RGB. lips_px: (20, 2), the loop of inner lips in its px, centre of the first pixel at 0.
    skin: (3,), colour of the driving's skin, in [0, 1]. blur_px: of its edges, in px of the picture. is_foreign: how
    surely it is another person's than the source's, 0 to 1.
    """

    picture: Frame
    lips_px: Points
    skin: Points
    blur_px: float = 1.0
    is_foreign: float = 0.0


def take_mouth(frame: Frame, points_px: Points, loop: NDArray[np.int32]) -> MouthPicture:
    """Cut the inside of a mouth out of a frame (H, W, 3). points_px: (468, 2 or 3), the mesh in its px."""
    lips = _inset(points_px[loop, :2])
    low, high = lips.min(0), lips.max(0)
    margin = MARGIN * float((high - low).max()) + 2
    height, width = frame.shape[:2]
    left, top = (int(np.clip(v, 0, limit - 2)) for v, limit in zip(low - margin, (width, height), strict=True))
    right, bottom = (
        int(np.clip(np.ceil(v), 2, limit)) for v, limit in zip(high + margin, (width, height), strict=True)
    )
    cut = frame[top : max(bottom, top + 1), left : max(right, left + 1)]
    scale = min(1.0, LARGEST_PX / max(cut.shape[:2]))
    if scale < 1:
        size = max(1, round(cut.shape[1] * scale)), max(1, round(cut.shape[0] * scale))
        cut = np.asarray(cv2.resize(cut, size, interpolation=cv2.INTER_AREA), np.uint8)
    # From px edges of the frame to px centres of the picture.
    lips_px = (lips - (left, top)) * scale - 0.5
    skin = skin_colour(frame, points_px) / np.float32(255)
    return MouthPicture(np.ascontiguousarray(cut), lips_px.astype(np.float32), skin, FRAME_BLUR_PX * scale)


def _inset(lips: Points) -> Points:
    """Move each point of the loop (20, 2) a part of the way to the one opposite, and all a little off the corners."""
    half = len(lips) // 2
    moved = lips.copy()
    upper, lower = np.arange(1, half), np.arange(len(lips) - 1, half, -1)
    across = lips[lower] - lips[upper]
    moved[upper] += UPPER_INSET * across
    moved[lower] -= LOWER_INSET * across
    along = lips[half] - lips[0]
    along /= max(float(np.linalg.norm(along)), 1e-6)
    beside = (moved - (lips[0] + lips[half]) / 2) @ along
    return np.asarray(moved - CORNER_INSET * beside[:, None] * along, np.float32)


def sample_mouth(
    shown: MouthPicture, places_px: Points, tone: SkinTone, magnified: float, depths: Depths | None = None
) -> Points:
    """Sample a mouth's picture at places (H, W, 2) in its px: (H, W, 3) in [0, 1], in a source's light and sharpness.

    magnified: px of the source for one of the picture. depths: of the places, to darken another person's mouth inwards.
    """
    picture = match_blur(shown.picture, shown.blur_px, tone.blur_px / magnified)
    colours = sample(picture, places_px[..., 0], places_px[..., 1]) / np.float32(255)
    toned = match_tone(colours, shown.skin, tone)
    if depths is None or shown.is_foreign <= 0:
        return toned
    missing = shadow_inside(colours, shown.skin, depths, DARK_STONE * paleness(shown.skin, tone))
    return toned * (1 - np.float32(shown.is_foreign) * missing)[..., None]


def shadow_inside(colours: Points, skin: Points, depths: Depths, everywhere: float) -> Points:
    """Return how much light is missing between lips, (H, W): none on teeth, some on tongue, throat and strange lips.

    colours: (H, W, 3) in [0, 1], as the driving shows them beside its skin (3,). everywhere: how much light is missing
    in a gaping mouth wherever no teeth are.
    """
    height = np.maximum(depths.below_upper + depths.above_lower, np.float32(1e-3))
    up = depths.above_lower / height
    green = colours[..., 1] / np.maximum(colours[..., 0], 0.02) * float(skin[0] / max(float(skin[1]), 0.02))
    bright = colours.mean(-1) / max(float(skin.mean()), 0.02)
    lip = DARK_LIP * _between(bright, LIP_LIGHT) * _between(green, LIP_GREEN) * _between(up, LIP_UP)
    gaping = _between(height, GAPING)
    if not gaping.any():
        return np.asarray(lip, np.float32)
    across = np.square(2 * np.clip(depths.along, 0, 1) - 1)
    missing = DARK_ABOVE * _between(up, ABOVE) + DARK_ASIDE * across + everywhere
    tooth = _between(bright, TOOTH_LIGHT) * _between(green, TOOTH_GREEN)
    return np.asarray(np.maximum(lip, gaping * (1 - tooth) * np.minimum(missing, DARKEST)), np.float32)


def _between(values: NDArray[Any], limits: tuple[float, float]) -> NDArray[Any]:
    return smoothstep((values - limits[0]) / (limits[1] - limits[0]))

"""The inside of the driving's mouth, as its frame shows it: real teeth and tongue for a source that shows none.

After Averbuch-Elor, Cohen-Or, Kopf, Cohen, "Bringing Portraits to Life" (SIGGRAPH Asia 2017): what lies between the
driving's lips is warped lip to lip into the source's, its tone matched to the source's by the skin of both.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vid2vid_cli.arrays import Frame, Points
from vid2vid_cli.models.compact.mouth_halves import sample
from vid2vid_cli.models.compact.mouth_tone import SkinTone, match_blur, match_tone, skin_colour

LARGEST_PX = 192  # longer side of what is kept of a mouth: more detail than most portraits show
CORNER_INSET = 0.07  # of the width: corners show the inside of lips and cheeks
MARGIN = 0.12  # of its longer side, around the inner lips: for sampling at their edge
FRAME_BLUR_PX = 1.0  # of frames, as measured on ten clips; not of each frame, which would make sharpness flicker
# Of the opening: the tracked lower lip lies a little on the lip, whose colour must not come along; the upper one lies
# where the teeth begin, which must.
UPPER_INSET, LOWER_INSET = 0.015, 0.08


@dataclass(frozen=True)
class MouthPicture:
    """What a driving frame shows between the lips.

    picture: (h, w, 3), uint8 RGB. lips_px: (20, 2), the loop of inner lips in its px, centre of the first pixel at 0.
    skin: (3,), colour of the driving's skin, in [0, 1]. blur_px: of its edges, in px of the picture.
    """

    picture: Frame
    lips_px: Points
    skin: Points
    blur_px: float = 1.0


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


def sample_mouth(shown: MouthPicture, places_px: Points, tone: SkinTone, magnified: float) -> Points:
    """Sample a mouth's picture at places (H, W, 2) in its px: (H, W, 3) in [0, 1], in a source's light and sharpness.

    magnified: px of the source for one of the picture.
    """
    picture = match_blur(shown.picture, shown.blur_px, tone.blur_px / magnified)
    colours = sample(picture, places_px[..., 0], places_px[..., 1])
    return match_tone(colours / np.float32(255), shown.skin, tone)

"""How far a body goes with its head: wholly down to the chin, and not at all on the shoulders.

Between the two the movement fades out. The farther beside the neck, the longer that takes, but for hair: where a head
tilts, what lies far out would move the most, and fold over the shoulder. Of what stands on the picture's lower edge,
neck and hair reach up to the head, and shoulders do not.
"""

from __future__ import annotations

import cv2
import numpy as np

from vid2vid_cli.arrays import Points
from vid2vid_cli.geometry.easing import smoothstep
from vid2vid_cli.models.compact.mesh.head_pose import EARS_Z, HeadPose
from vid2vid_cli.models.compact.mesh.square_map import HALF, SquareMap

NECK_BEGIN, NECK_END = -0.1, 0.35  # heights of a face below its chin, where the head's movement begins to fade and ends
FAN = 1.3  # of the way beside the head's axis: how far above that end the movement begins to fade, at least
STILL_EDGE = 0.25  # of half the crop: where the head's movement fades out towards the border
SHOULDER_TOP = 0.3, 0.7  # y on the canonical head: a body that reaches above is no shoulder; one that ends below, is
SOFT_CELLS = 1.5  # of the map: how softly what holds still passes into what moves


def follow_head(places: Points, head: HeadPose, matte: SquareMap, room: Points) -> Points:
    """Return how much places (..., 3) follow the head (...).

    room: (...), how far it is to what holds still, see SeenPerson.room.
    """
    height = head.chin - head.forehead
    hair, still = (part.at(places[..., :2]) for part in hair_and_shoulders(matte, head))
    fading = (NECK_END - NECK_BEGIN) * height
    fading = fading + (1 - hair) * np.maximum(FAN * head.aside(places) - fading, 0)
    moves = smoothstep((head.chin + NECK_END * height - head.down(places)) / fading)
    edge = STILL_EDGE * float((matte.border.high - matte.border.low).max()) / 2
    return np.asarray(moves * smoothstep(room / edge) * (1 - still), np.float32)


def hair_and_shoulders(matte: SquareMap, head: HeadPose) -> tuple[SquareMap, SquareMap]:
    """Return where neck and hair are, and where shoulders are: 1 up to their outline, and a little above it."""
    stands = np.minimum.accumulate(smoothstep(2 * matte.values - HALF)[::-1])[::-1]
    x, y = np.meshgrid(*matte.middles)
    ears = np.full_like(x, head.in_picture(0, EARS_Z)[2])
    down = head.down(np.stack([x, y, ears], -1))
    highest, lowest = SHOULDER_TOP
    beside_head = smoothstep((lowest - down) / (lowest - highest))
    reaching = (stands * beside_head).max(0)
    still = cv2.dilate(np.maximum(stands - reaching, 0), np.ones((3, 3), np.uint8))
    hair, still = (cv2.GaussianBlur(part, (0, 0), SOFT_CELLS) for part in (stands * reaching, still))
    return SquareMap(np.asarray(hair, np.float32), matte.border), SquareMap(np.asarray(still, np.float32), matte.border)

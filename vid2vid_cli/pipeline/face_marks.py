"""Draw a face that was found: its box, its keypoints, and where it looks."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from vid2vid_cli.arrays import Frame
from vid2vid_cli.face.mesh import Face

BETWEEN_THE_EYES = 168
BOX, POINT = (255, 255, 255), (120, 220, 255)
# The head's own axes: to its left (right for the viewer), down, and forwards out of the face.
AXES = (((1, 0, 0), (255, 40, 40)), ((0, 1, 0), (40, 220, 40)), ((0, 0, -1), (60, 90, 255)))


def draw_face(frame: Frame, face: Face, rotation: NDArray[np.floating[Any]], label: str) -> Frame:
    """Return a copy of a frame (H, W, 3) with one face marked.

    rotation: (3, 3), from the head's own axes to the camera's (x right, y down, z away). x is drawn red, y green,
    and the direction in which the face looks (-z) blue, seen from far away.
    """
    picture = Image.fromarray(frame)
    draw = ImageDraw.Draw(picture)
    line_px = max(1, round(face.size_px / 120))
    radius_px = face.size_px / 250
    for x, y in face.landmarks_px[:, :2].tolist():
        draw.ellipse((x - radius_px, y - radius_px, x + radius_px, y + radius_px), fill=POINT)
    draw.rectangle(face.box, outline=BOX, width=line_px)
    origin = face.landmarks_px[BETWEEN_THE_EYES, :2]
    for axis, colour in AXES:
        end = origin + face.size_px / 2 * (rotation @ np.array(axis))[:2]
        draw.line([*origin.tolist(), *end.tolist()], fill=colour, width=2 * line_px)
    size_px = max(10, round(face.size_px / 10))
    font = ImageFont.load_default(size=size_px)
    draw.text(
        (face.box[0] + line_px + 2, face.box[1]), label, fill=BOX, font=font, stroke_width=2, stroke_fill=(0, 0, 0)
    )
    return np.array(picture)

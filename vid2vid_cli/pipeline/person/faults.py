"""What makes a picture of a face unfit to be kept, and the lines that count such pictures."""

from __future__ import annotations

import math
from collections import Counter
from pathlib import Path

from vid2vid_cli.pipeline.person.measuring import FaceReading

MOST_CUT = 0.08  # of the landmarks, outside of the picture
LEAST_SCORE = 0.9995  # of the mesh network
LEAST_PX = 40.0  # of a face
FURTHEST_YAW, FURTHEST_PITCH = math.radians(65), math.radians(45)  # beyond, the mesh is guessed
NO_FACE = "without a face"


def fault_of(reading: FaceReading) -> str | None:
    """Say why a picture is unfit; None if it is fit."""
    facts = reading.facts
    if reading.cut > MOST_CUT:
        return "cut off"
    if facts.score < LEAST_SCORE:
        return "hardly one"
    if facts.size_px < LEAST_PX:
        return f"smaller than {LEAST_PX:.0f} px"
    if abs(facts.yaw) > FURTHEST_YAW or abs(facts.pitch) > FURTHEST_PITCH:
        return "turned away"
    return None


def fault_line(path: Path, faults: Counter[str], looked_at: int) -> str | None:
    """Return a line about the frames of a clip that were left out; None if all were fit."""
    count = faults.total()
    if not count:
        return None
    reasons = ", ".join(f"{number} {reason}" for reason, number in faults.most_common())
    return f"{path}: {count} of {looked_at} frames left out: {reasons}"

"""Warn where a turn would show a side of the face that the source does not have."""

from __future__ import annotations

import math

from vid2vid_cli.geometry.rotation import pose_from_rotation
from vid2vid_cli.models.base import ReenactmentModel
from vid2vid_cli.pipeline.pose import AXES, Sweeps
from vid2vid_cli.pipeline.progress import WarningLog
from vid2vid_cli.pipeline.source import Source

# The mesh takes a profile for less than it is, 46 degrees for one of 80. Up to 35 it measures well.
SIDE_VIEW_DEG = 38.0


def warn_of_unseen_side(model: ReenactmentModel, source: Source, sweeps: Sweeps, log: WarningLog) -> None:
    """Warn if absolute angles are too far from the source's own pose, as in turning a profile to the camera."""
    if not any(sweeps):
        return
    own = pose_from_rotation(source.first_appearance().motion.rotation)
    for sweep, angle, limit_deg, name in zip(sweeps, own, model.pose_range_deg, AXES, strict=True):
        if sweep is None:
            continue
        own_deg = math.degrees(float(angle))
        turn_deg = max(abs(end - own_deg) for end in (sweep.start, sweep.stop))
        if turn_deg > min(limit_deg, SIDE_VIEW_DEG):
            log.warn(
                f"{source.path}: its face has {name} {own_deg:.0f} or more and would turn by {turn_deg:.0f} degrees, "
                "to a side that the picture does not show; it falls apart there"
            )

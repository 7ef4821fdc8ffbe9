"""Head-pose angles that a user asks for, from text to the override that a model takes."""

from __future__ import annotations

import math

import torch

from vid2vid_cli.models.base import ReenactmentModel
from vid2vid_cli.motion import PoseOverride
from vid2vid_cli.pipeline.options import PoseOptions
from vid2vid_cli.pipeline.parsing import Sweep, parse_sweep
from vid2vid_cli.pipeline.progress import WarningLog

AXES = ("yaw", "pitch", "roll")
Sweeps = tuple[Sweep | None, Sweep | None, Sweep | None]


def parse_sweeps(options: PoseOptions) -> Sweeps:
    """Parse yaw, pitch and roll; None for an angle that is left alone."""
    return parse_sweep(options.yaw, "yaw"), parse_sweep(options.pitch, "pitch"), parse_sweep(options.roll, "roll")


def warn_of_range(model: ReenactmentModel, sweeps: Sweeps, options: PoseOptions, log: WarningLog) -> None:
    """Warn of angles at which the model's pictures no longer look right."""
    for sweep, limit_deg, name in zip(sweeps, model.pose_range_deg, AXES, strict=True):
        if sweep is not None and sweep.largest > limit_deg:
            kind = name if options.absolute_pose else f"{name} offset"
            log.warn(f"{kind} {sweep.largest:g}: past {limit_deg:g} degrees the picture falls apart")


def pose_override(sweeps: Sweeps, share: float, *, absolute: bool) -> PoseOverride | None:
    """Return the angles at a share of the clip, 0 to 1; None if none was asked for."""
    if not any(sweeps):
        return None
    yaw, pitch, roll = (None if s is None else torch.tensor([math.radians(s.at(share))]) for s in sweeps)
    return PoseOverride(yaw, pitch, roll, absolute=absolute)

"""Eye contact: where irises lie between the corners of the eyes when eyes look at the camera, or beside it."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from vid2vid_cli.geometry.easing import smoothstep_tensor
from vid2vid_cli.geometry.rotation import pose_from_rotation

# In widths of an eye, of 26 mm: an iris is 11 mm before the centre of its eyeball, the corners are 9 mm before it.
IRIS_AHEAD, CORNERS_AHEAD = 0.42, 0.35
# Lids follow eyes that look up and down, which hides part of the way: irises moved all of it would lie under them.
CORNERS_AHEAD_UPWARDS = 0.2
LEVEL = -0.053  # how far below the line of the corners irises lie in portraits that look into the camera (median of 18)
FULL_DEG, NONE_DEG = 20.0, 30.0  # of a head's turn: up to the first the eyes follow, from the second on they do not


def gaze_towards(rotation: Tensor, right_deg: float, up_deg: float) -> Tensor:
    """Return the gazes (B, 1, 3), see gaze.py, of heads (B, 3, 3) whose eyes look right of and above the camera.

    An eye that looks into the camera shows its iris over the centre of its ball, wherever the head turns; the corners
    lie before the ball and turn with the head.
    """
    yaw, pitch, _ = pose_from_rotation(rotation)
    aside = IRIS_AHEAD * math.sin(math.radians(right_deg)) - CORNERS_AHEAD * torch.sin(yaw)
    down = LEVEL - IRIS_AHEAD * math.sin(math.radians(up_deg)) + CORNERS_AHEAD_UPWARDS * torch.sin(pitch)
    # The eye's width is seen shorter as the head turns.
    return torch.stack([aside / torch.cos(yaw), down / torch.cos(yaw), torch.zeros_like(yaw)], 1)[:, None]


def share_asked(rotation: Tensor) -> Tensor:
    """Return how much heads (B, 3, 3) still look where they are asked to: (B, 1, 1), 0 for one that is turned away."""
    # The last entry of a rotation is the cosine of the angle between the head's axis and the camera's.
    turned_deg = torch.rad2deg(torch.acos(rotation[:, 2, 2].clamp(-1, 1)))
    return smoothstep_tensor((NONE_DEG - turned_deg) / (NONE_DEG - FULL_DEG))[:, None, None]

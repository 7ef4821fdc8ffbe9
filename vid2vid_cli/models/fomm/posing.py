"""How the first-order motion model's keypoints follow a driving (paper, section 3.3)."""

from __future__ import annotations

import torch

from vid2vid_cli.models.fomm.networks import LocalMotion


def follow(source: LocalMotion, driving: LocalMotion, reference: LocalMotion, scale: float = 1.0) -> LocalMotion:
    """Move a source (of one frame) as a driving (of B frames) moves from a reference (of one frame).

    The jacobians are turned and stretched by what changed in the driving, whatever the scale (eq. 9 and 10).
    """
    change = driving.jacobians @ torch.linalg.inv(reference.jacobians)
    keypoints = source.keypoints + scale * (driving.keypoints - reference.keypoints)
    return LocalMotion(keypoints, change @ source.jacobians)

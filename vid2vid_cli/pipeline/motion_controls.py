"""What a user asks of a scene beside its driving: how much of the motion arrives, and what is added to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from torch import Tensor

from vid2vid_cli.geometry.regions import Mouth, Region
from vid2vid_cli.models.gaze_request import GazeRequest
from vid2vid_cli.motion import PoseOverride
from vid2vid_cli.pipeline.expression import Expressions, parse_expressions, parse_gaze
from vid2vid_cli.pipeline.options import OnMissing, ReenactOptions


@dataclass(frozen=True)
class MotionControls:
    """How much of a driving's motion arrives, and how.

    region: what may move. strength: 0 nothing, 1 as driven. smooth: 0 none, 1 firm. on_missing: what happens to
    driving frames without a face. absolute_pose: angles of the user's replace the driven ones instead of being added.
    mouth: what fills an opening mouth. expressions: what is added to the driven face, over the length of the scene.
    gaze: where the eyes look, None as driven.
    """

    region: Region = "all"
    strength: float = 1.0
    smooth: float = 0.0
    on_missing: OnMissing = "hold"
    absolute_pose: bool = False
    mouth: Mouth = "auto"
    expressions: Expressions = field(default_factory=dict)
    gaze: GazeRequest | None = None

    @classmethod
    def of(cls, options: ReenactOptions) -> MotionControls:
        """Take the controls out of a command's options."""
        o = options
        added, gaze = parse_expressions(o), parse_gaze(o)
        return cls(o.region, o.strength, o.smooth, o.on_missing, o.absolute_pose, o.mouth, added, gaze)


class Asked(NamedTuple):
    """What the user asks of one frame beside the driving: angles, weights (1, E) of expressions, gaze."""

    pose: PoseOverride | None
    expression: Tensor | None
    gaze: GazeRequest | None

"""What a user changes while a live portrait plays."""

from __future__ import annotations

from dataclasses import dataclass

from vid2vid_cli.errors import UsageError
from vid2vid_cli.geometry.regions import Mouth, Region
from vid2vid_cli.models.base import ReenactmentModel
from vid2vid_cli.pipeline.background import parse_background
from vid2vid_cli.pipeline.expression import parse_expressions, parse_gaze, require_gaze, require_names
from vid2vid_cli.pipeline.motion_controls import MotionControls
from vid2vid_cli.pipeline.options import ExpressionOptions
from vid2vid_cli.pipeline.parsing import Sweep
from vid2vid_cli.pipeline.pose import AXES, Sweeps

FURTHEST_DEG = 90.0
STRONGEST = 3.0
SMOOTHEST = 10.0


@dataclass(frozen=True)
class LiveControls:
    """How a live portrait is driven. Replaced as a whole, so that a frame never sees half of a change.

    source: the place of the portrait that is shown, from 0. relative: whether the driving's changes since its rest
    count, or its pose and expression themselves. strength: 0 none, 1 as driven, at most 3. mirror: whether the driving
    is seen as in a mirror. background: as --background, but transparent and follow. yaw, pitch, roll: degrees added to
    the motion, see geometry.rotation. expressions: as --expression, single values; gaze: as --gaze; None for none.
    region: what may move. smooth: 0 none, 1 firm, at most 10. is_frozen: the picture stands still. is_paused:
    nothing is taken in or rendered.
    """

    source: int = 0
    relative: bool = True
    strength: float = 1.0
    mirror: bool = False
    background: str = "keep"
    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    expressions: str | None = None
    gaze: str | None = None
    region: Region = "all"
    smooth: float = 0.3
    is_frozen: bool = False
    is_paused: bool = False

    def motion_controls(self, mouth: Mouth = "auto") -> MotionControls:
        """Return the part of them that scenes know as well. UsageError for a text that makes no sense."""
        asked = ExpressionOptions(self.expressions or None, self.gaze)
        added, gaze = parse_expressions(asked), parse_gaze(asked)
        return MotionControls(self.region, self.strength, self.smooth, mouth=mouth, expressions=added, gaze=gaze)


def asked_angles(controls: LiveControls) -> Sweeps:
    """Return the angles as scenes know them; None for one that is 0."""
    yaw, pitch, roll = (
        Sweep(angle, angle, 0.0) if angle else None for angle in (controls.yaw, controls.pitch, controls.roll)
    )
    return yaw, pitch, roll


def check_controls(controls: LiveControls, sources: int, model: ReenactmentModel | None = None) -> LiveControls:
    """Return controls that make sense. UsageError in one line otherwise.

    sources: how many portraits there are. model: what it cannot do is refused as well; None while none is loaded.
    """
    if not 0 <= controls.source < sources:
        raise UsageError(f"source {controls.source + 1}: there are {sources}, counted from 1")
    for name in AXES:
        if not abs(getattr(controls, name)) <= FURTHEST_DEG:  # NaN fails too
            raise UsageError(f"--{name} {getattr(controls, name):g}: write degrees from -90 to 90")
    if not 0 <= controls.strength <= STRONGEST:
        raise UsageError(f"--strength {controls.strength:g}: write a number from 0 to {STRONGEST:g}")
    if not 0 <= controls.smooth <= SMOOTHEST:
        raise UsageError(f"--smooth {controls.smooth:g}: write a number from 0 to {SMOOTHEST:g}")
    kind = parse_background(controls.background).kind
    if kind in ("transparent", "follow"):
        raise UsageError(f"--background {kind}: not while live; write keep, blur, a colour or the name of a file")
    asked = controls.motion_controls()
    for name, sweep in asked.expressions.items():
        if sweep.count > 1:
            raise UsageError(f"--expression {name}: nobody knows how long it lasts; write one number, no sweep")
    if model is not None and asked.gaze is not None:
        require_gaze(model)
    if model is not None and asked.expressions:
        require_names(model, "--expression")
    return controls

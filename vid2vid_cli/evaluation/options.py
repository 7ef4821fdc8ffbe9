"""What the commands of `vid2vid evaluate` can be asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vid2vid_cli.pipeline.options import EngineOptions, option

_ANGLE = {"panel": "Head pose", "metavar": "DEGREES"}
LandmarkJudge = Literal["mesh", "face-alignment"]


@dataclass(frozen=True)
class FrameOptions:
    """Which frames of a clip are measured."""

    every: int = option(6, "Measure every Nth frame of a clip.", panel="Judging")
    frames: int = option(120, "Stop after this many frames of a clip; 0: at its end.", panel="Judging")


@dataclass(frozen=True)
class JudgeOptions:
    """How a run measures, and what it writes."""

    size: int = option(256, "Side in pixels of the square around the face that is compared.", panel="Judging")
    landmarks: LandmarkJudge = option(
        "mesh", "Landmarks: the 468 of the mesh, or the usual 68 of face-alignment.", panel="Judging"
    )
    csv: str | None = option(None, "Write all scores to this .csv file.", panel="Output")
    sheet: str | None = option(None, "Write a picture that shows the compared frames side by side.", panel="Output")
    force: bool = option(False, "Overwrite existing outputs.", panel="Output")
    credentials: bool | None = option(
        None, "Sign the sheet (on by default).", "--credentials/--no-credentials", panel="Output"
    )
    watermark: bool | None = option(
        None, "Put an invisible watermark into the sheet (on by default).", "--watermark/--no-watermark", panel="Output"
    )


@dataclass(frozen=True)
class EvaluateClipsOptions(JudgeOptions, FrameOptions, EngineOptions):
    """The options of `evaluate self` and `evaluate cross`, besides their inputs."""

    body: bool = option(
        True,
        "Render as --body of reenact does, or only the mesh of the head (compact).",
        "--body/--head-only",
        panel="Judging",
    )


@dataclass(frozen=True)
class EvaluateTurnsOptions(JudgeOptions, EngineOptions):
    """The options of `evaluate rotate`, besides its input."""

    yaw: str = option("-30:30:15", "Angles to turn the face by: degrees, or START:STOP:STEP.", **_ANGLE)
    pitch: str = option("-15:15:15", "Angles to lift the chin by: degrees, or START:STOP:STEP.", **_ANGLE)
    roll: str = option("0", "Angles to tilt the head by: degrees, or START:STOP:STEP.", **_ANGLE)

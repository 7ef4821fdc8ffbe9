"""The options of `live`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vid2vid_cli.geometry.regions import Mouth, Region
from vid2vid_cli.pipeline.options import EncodingOptions, EngineOptions, ExpressionOptions, PictureOptions, option

PipeFormat = Literal["y4m", "mpegts"]
_ANGLE = {"panel": "Head pose", "metavar": "DEGREES"}


@dataclass(frozen=True)
class LiveOptions(EncodingOptions, PictureOptions, ExpressionOptions, EngineOptions):
    """The options of `live`, besides its sources and outputs. Keys change most of them while it runs."""

    camera: str = option(
        "0",
        "What drives: the number or name of a camera, a file, an address (rtsp, http), screen, or - for a pipe.",
        panel="Camera",
        metavar="N|FILE|URL|screen",
    )
    camera_size: str | None = option(
        None, "Size to ask of the camera; default: 640x480.", panel="Camera", metavar="WIDTHxHEIGHT"
    )
    camera_fps: float | None = option(None, "Pictures a second to ask of the camera; default: 30.", panel="Camera")
    loop: bool = option(False, "A file as camera: begin anew at its end.", "--loop", panel="Camera")
    mirror: bool = option(False, "See the camera as in a mirror.", "--mirror", panel="Camera")
    driving_face: str = option(
        "largest", "Which face of the camera's picture: largest, center or an index from the left.", panel="Camera"
    )
    duration: str | None = option(
        None, "How long to go on: seconds or [H:]MM:SS; default: until you quit.", panel="Time", metavar="TIME"
    )
    # Pictures of this size are rendered in time on two processor cores.
    size: int | None = option(512, "Longer side of the output in pixels.", panel="Picture")
    background: str = option("keep", "Behind the person: keep, blur, COLOUR or FILE.", panel="Picture")
    format: PipeFormat = option("y4m", "What goes to standard output: raw video, or H.264 in MPEG-TS.", panel="Output")
    label: bool = option(
        True, "Show the word synthetic in every picture; leaving it out takes --consent.", panel="Output"
    )
    consent: str | None = option(
        None,
        'With --no-label: that the person shown agrees, such as "I have the consent of the person shown".',
        panel="Output",
        metavar="WORDS",
    )
    stats: str | None = option(
        None, "Write a line of JSON for each picture into a new file: delays, faces.", panel="Output", metavar="FILE"
    )
    relative: bool = option(
        True,
        "Apply the camera's changes since your neutral face, or its pose and expression themselves.",
        "--relative/--absolute",
        panel="Motion",
    )
    region: Region = option("all", "Which part of the motion to use.", panel="Motion")
    strength: float = option(1.0, "Strength of the motion: 0 none, 1 as driven, 2 twice as much.", panel="Motion")
    smooth: float = option(0.3, "Smoothing of the motion against jitter: 0 none, 1 strong, at most 10.", panel="Motion")
    manner: float = option(
        0.0, "How much a person file's own way to move counts: 0 as driven, 1 as the person moves.", panel="Motion"
    )
    mouth: Mouth = option(
        "auto", "What fills an opening mouth: the source's own, yours, or a portrait's of the bank.", panel="Motion"
    )
    wrinkles: float = option(1.0, "How much of your wrinkles shows: 0 none, 1 all (compact).", panel="Motion")
    yaw: float = option(0.0, "Degrees to turn the face to the viewer's right.", **_ANGLE)
    pitch: float = option(0.0, "Degrees to lift the chin.", **_ANGLE)
    roll: float = option(0.0, "Degrees to tilt the head clockwise.", **_ANGLE)
    threads: int = option(1, "CPU threads of each of the two stages.", panel="Engine")

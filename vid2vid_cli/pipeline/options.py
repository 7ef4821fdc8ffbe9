"""What a user can ask for, said once: the commands and the Python functions take the same frozen dataclasses.

Every field carries its help text; the command line is made from it (cli/options.py).
Angles are in degrees: yaw > 0 turns the face towards the viewer's right, pitch > 0 lifts the chin, roll > 0 tilts
the head clockwise as the viewer sees it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from vid2vid_cli.geometry.regions import Region
from vid2vid_cli.media.files import MAX_PIXELS

Audio = Literal["driving", "source", "none"]
OnMissing = Literal["hold", "skip", "fail"]
DType = Literal["float32", "float16", "bfloat16"]


def option(default: Any, text: str, *flags: str, panel: str = "") -> Any:
    """Declare an option: its default, its help, and its flags where they differ from the name."""
    return field(default=default, metadata={"help": text, "flags": flags, "panel": panel})


@dataclass(frozen=True)
class LimitOptions:
    """What is refused because it would take too much."""

    max_pixels: int = option(MAX_PIXELS, "Refuse pictures and videos of more pixels a frame than this.", panel="Engine")


@dataclass(frozen=True)
class EngineOptions:
    """Which checkpoint computes, and where."""

    checkpoint: str = option("compact", "Family name or checkpoint file.", "--checkpoint", "-c", panel="Engine")
    device: str = option("auto", "auto, cpu, cuda, cuda:N or mps.", panel="Engine")
    dtype: DType = option("float32", "Arithmetic of the networks.", panel="Engine")
    threads: int = option(0, "Threads of the networks; 0 leaves one core to decoder and encoder.", panel="Engine")


@dataclass(frozen=True)
class PoseOptions:
    """Head-pose angles that the user sets."""

    yaw: str | None = option(
        None, "Degrees to turn the face to the viewer's right, or START:STOP:STEP.", panel="Head pose"
    )
    pitch: str | None = option(None, "Degrees to lift the chin, or START:STOP:STEP.", panel="Head pose")
    roll: str | None = option(None, "Degrees to tilt the head clockwise, or START:STOP:STEP.", panel="Head pose")
    absolute_pose: bool = option(
        False,
        "Set the angles instead of adding them to the motion.",
        "--absolute-pose/--offset-pose",
        panel="Head pose",
    )


@dataclass(frozen=True)
class PictureOptions(LimitOptions):
    """Which face, and what becomes of the rest of the picture."""

    face: str = option(
        "largest", "Face of the source: largest, center, its index from the left, or all.", panel="Picture"
    )
    paste_back: bool = option(
        True,
        "Put the face back into the whole source, or give the crop alone.",
        "--paste-back/--crop-only",
        panel="Picture",
    )
    size: int | None = option(None, "Longer side of the output in pixels; default: the source's own.", panel="Picture")
    background: str = option("white", "Colour under a transparent source: a name or #rrggbb.", panel="Picture")


@dataclass(frozen=True)
class EncodingOptions:
    """How the output is encoded."""

    codec: str | None = option(
        None, "Video encoder of ffmpeg; default: libx264, libvpx-vp9 for webm.", panel="Encoding"
    )
    crf: int | None = option(
        None, "Quality of the encoder, lower is better; default: the encoder's good one.", panel="Encoding"
    )
    preset: str | None = option(None, "Speed preset of the encoder.", panel="Encoding")
    force: bool = option(False, "Replace an output that exists.", panel="Encoding")


@dataclass(frozen=True)
class DrivingOptions:
    """Which part of a driving is read, and how its face is followed."""

    driving_face: str = option(
        "largest", "Face of the driving: largest, center or its index from the left.", panel="Motion"
    )
    smooth: float = option(0.3, "Smoothing of the motion against jitter: 0 none, 1 firm.", panel="Motion")
    on_missing: OnMissing = option(
        "hold", "A frame without a face: hold the last motion, skip it, or fail.", panel="Motion"
    )
    start: str | None = option(None, "Where in the driving to begin: seconds or [H:]MM:SS.", panel="Time")
    end: str | None = option(None, "Where in the driving to end: seconds or [H:]MM:SS.", panel="Time")
    fps: str | None = option(None, "Frame rate, such as 25 or 30000/1001; default: the driving's.", panel="Time")


@dataclass(frozen=True)
class MotionOptions(DrivingOptions, EngineOptions, LimitOptions):
    """All that `motion` takes besides its two files."""

    # The file holds what was seen; whoever drives with it smooths it.
    smooth: float = option(0.0, "Smoothing of the motion against jitter: 0 none, 1 firm.", panel="Motion")

    force: bool = option(False, "Replace an output that exists.", panel="Encoding")


@dataclass(frozen=True)
class ReenactOptions(EncodingOptions, PictureOptions, DrivingOptions, PoseOptions, EngineOptions):
    """All that `reenact` takes besides its three files."""

    relative: bool = option(
        True,
        "Take movement against a reference frame, or pose and expression as they are. A still DRIVING is absolute.",
        "--relative/--absolute",
        panel="Motion",
    )
    reference_frame: str = option(
        "auto", "Driving frame that counts as the source's own: its number, or auto for the nearest.", panel="Motion"
    )
    region: Region = option("all", "What moves.", panel="Motion")
    strength: float = option(1.0, "How much it moves: 0 nothing, 1 as driven, 2 twice as much.", panel="Motion")
    audio: Audio = option("driving", "Whose sound the output has.", panel="Time")
    compare: bool = option(False, "Show source, driving and result side by side.", "--compare", panel="Picture")


@dataclass(frozen=True)
class RotateOptions(EncodingOptions, PictureOptions, PoseOptions, EngineOptions):
    """All that `rotate` takes besides its two files."""

    frontalize: bool = option(
        False, "Turn the face to the camera; same as all angles 0, absolute.", "--frontalize", panel="Head pose"
    )
    fps: str = option("25", "Frame rate of a video of a sweep.", panel="Time")
    columns: int = option(0, "Columns of a contact sheet of a sweep; 0 chooses.", panel="Picture")

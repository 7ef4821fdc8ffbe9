"""The options of all commands, each defined once: the command line and the Python functions share these dataclasses.

Every field carries its help text; cli/options.py builds the command line from it.
Angles are in degrees: yaw > 0 turns the face towards the viewer's right, pitch > 0 lifts the chin, roll > 0 tilts
the head clockwise as the viewer sees it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from vid2vid_cli.checkpoints.catalogue import DEFAULT_CHECKPOINT
from vid2vid_cli.geometry.regions import Mouth, Region
from vid2vid_cli.media.files import MAX_PIXELS

Audio = Literal["driving", "source", "none"]
OnMissing = Literal["hold", "skip", "fail"]
DType = Literal["float32", "float16", "bfloat16"]
Loop = Literal["forward", "pingpong"]
Detector = Literal["built-in", "face-alignment"]
HeadMotion = Literal["still", "calm", "lively"]
_ANGLE = {"panel": "Head pose", "metavar": "DEGREES"}
_TIME, _RATE = {"panel": "Time", "metavar": "TIME"}, {"panel": "Time", "metavar": "RATE"}
_LIVEPORTRAIT, _FACEVID2VID = {"panel": "Only for -c liveportrait"}, {"panel": "Only for -c facevid2vid and fomm"}


def option(default: Any, text: str, *flags: str, panel: str = "", metavar: str = "") -> Any:
    """Declare an option: its default, its help text, and its flags if they differ from the field's name.

    panel: where it stands on the help page. metavar: what its value is called there, if its type does not say enough.
    """
    return field(default=default, metadata={"help": text, "flags": flags, "panel": panel, "metavar": metavar})


@dataclass(frozen=True)
class LimitOptions:
    """Limits on the size of inputs."""

    max_pixels: int = option(MAX_PIXELS, "Refuse pictures and video frames with more pixels than this.", panel="Engine")


@dataclass(frozen=True)
class EngineOptions:
    """Which checkpoint runs, and on what."""

    checkpoint: str = option(
        DEFAULT_CHECKPOINT,
        "Family name, checkpoint file or folder.",
        "--checkpoint",
        "-c",
        panel="Engine",
        metavar="NAME|PATH",
    )
    device: str = option("auto", "Device of the networks: auto, cpu, cuda, cuda:N or mps.", panel="Engine")
    dtype: DType = option("float32", "Precision of the networks, in families that have some.", panel="Engine")
    threads: int = option(0, "CPU threads of the networks; 0 leaves one core to decoding and encoding.", panel="Engine")
    detector: Detector = option(
        "built-in", "Face detector; face-alignment (extra landmarks) downloads its own weights.", panel="Engine"
    )


@dataclass(frozen=True)
class PoseOptions:
    """Head-pose angles set by the user."""

    yaw: str | None = option(None, "Degrees to turn the face to the viewer's right, or START:STOP:STEP.", **_ANGLE)
    pitch: str | None = option(None, "Degrees to lift the chin, or START:STOP:STEP.", **_ANGLE)
    roll: str | None = option(None, "Degrees to tilt the head clockwise, or START:STOP:STEP.", **_ANGLE)
    absolute_pose: bool = option(
        False,
        "Use the angles as the pose itself, or add them to the motion.",
        "--absolute-pose/--offset-pose",
        panel="Head pose",
    )


@dataclass(frozen=True)
class ExpressionOptions:
    """Expressions set by the user."""

    expression: str | None = option(
        None,
        "Expressions to add, such as jawOpen=0.4,mouthSmile_L=0:1:0.1; vid2vid controls lists them (compact).",
        panel="Expression",
        metavar="NAME=X,...",
    )
    gaze: str | None = option(
        None,
        "Where the eyes look: camera, source, or degrees right,up of the camera (compact).",
        panel="Expression",
        metavar="WHERE",
    )


@dataclass(frozen=True)
class FamilyOptions:
    """Options that only some families of checkpoints support; the others refuse them."""

    stitch: bool | None = option(
        None,
        "Keep the shoulders in place (liveportrait; on by default).",
        "--stitch/--no-stitch",
        **_LIVEPORTRAIT,
    )
    eyes: float | None = option(
        None,
        "How far to open the eyes, height over width: 0 closed, 0.35 typical (liveportrait).",
        **_LIVEPORTRAIT,
    )
    lips: float | None = option(
        None, "How far to open the lips, height over width: 0 closed (liveportrait).", **_LIVEPORTRAIT
    )


@dataclass(frozen=True)
class FollowOptions(FamilyOptions):
    """Options for following a driving that only some families support."""

    adapt_scale: bool | None = option(
        None,
        "Scale the movement by the relative size of the two faces (facevid2vid, fomm; on by default).",
        "--adapt-scale/--no-adapt-scale",
        **_FACEVID2VID,
    )
    retarget_eyes: bool = option(False, "Open the eyes as far as in the driving (liveportrait).", **_LIVEPORTRAIT)
    retarget_lips: bool = option(False, "Open the lips as far as in the driving (liveportrait).", **_LIVEPORTRAIT)


@dataclass(frozen=True)
class PictureOptions(LimitOptions):
    """Which face moves, and what happens to the rest of the picture."""

    face: str = option(
        "largest", "Which face of the source: largest, center, an index from the left, or all.", panel="Picture"
    )
    face_box: str | None = option(
        None,
        "Where the face of the source is, in pixels, where none is found: drawings, for instance.",
        panel="Picture",
        metavar="X,Y,WIDTH,HEIGHT",
    )
    paste_back: bool = option(
        True,
        "Paste the face back into the whole source, or output the crop alone.",
        "--paste-back/--crop-only",
        panel="Picture",
    )
    size: int | None = option(None, "Longer side of the output in pixels; default: as the source.", panel="Picture")
    background: str = option(
        "keep", "Behind the person: keep, follow, blur, transparent, COLOUR or FILE.", panel="Picture"
    )


@dataclass(frozen=True)
class EncodingOptions:
    """How the output is encoded and written."""

    codec: str | None = option(
        None, "Video encoder of ffmpeg; default: libx264, or libvpx-vp9 for .webm.", panel="Encoding"
    )
    crf: int | None = option(
        None, "Constant quality (CRF), lower is better and larger; default: chosen per encoder.", panel="Encoding"
    )
    preset: str | None = option(None, "Speed preset of the encoder.", panel="Encoding")
    force: bool = option(False, "Overwrite an existing output.", panel="Encoding")
    credentials: bool | None = option(
        None,
        "Sign the output: what made it, and from what (on by default).",
        "--credentials/--no-credentials",
        panel="Encoding",
    )
    watermark: bool | None = option(
        None,
        "Put an invisible watermark into the pictures (on by default).",
        "--watermark/--no-watermark",
        panel="Encoding",
    )


@dataclass(frozen=True)
class DrivingOptions:
    """Which part of a driving is used, and how its face is followed."""

    driving_face: str = option(
        "largest", "Which face of the driving: largest, center or an index from the left.", panel="Motion"
    )
    smooth: float = option(0.3, "Smoothing of the motion against jitter: 0 none, 1 strong, at most 10.", panel="Motion")
    on_missing: OnMissing = option(
        "hold", "If no face is found: hold the last motion, skip the frame, or fail.", panel="Motion"
    )
    start: str | None = option(None, "Start time in the driving: seconds or [H:]MM:SS.", **_TIME)
    end: str | None = option(None, "End time in the driving: seconds or [H:]MM:SS.", **_TIME)
    fps: str | None = option(None, "Frame rate, such as 25 or 30000/1001; default: as the driving.", **_RATE)
    head: HeadMotion = option("calm", "A sound as driving: how the head moves while it speaks.", panel="Sound")
    seed: int = option(0, "A sound as driving: another number, other blinks, glances and head motion.", panel="Sound")


@dataclass(frozen=True)
class MotionOptions(DrivingOptions, EngineOptions, LimitOptions):
    """The options of `motion`, besides its two files."""

    # The file stores the motion as observed; `reenact` smooths it when it is used.
    smooth: float = option(0.0, "Smoothing of the motion against jitter: 0 none, 1 strong, at most 10.", panel="Motion")
    force: bool = option(False, "Overwrite an existing output.", panel="Encoding")


@dataclass(frozen=True)
class ReenactOptions(
    EncodingOptions, PictureOptions, FollowOptions, DrivingOptions, ExpressionOptions, PoseOptions, EngineOptions
):
    """The options of `reenact`, besides its three files."""

    relative: bool = option(
        True,
        "Apply the driving's changes since its reference frame, or its pose and expression themselves. "
        "A still DRIVING is absolute.",
        "--relative/--absolute",
        panel="Motion",
    )
    reference_frame: str = option(
        "auto",
        "Driving frame that matches the source at rest: a number, auto for the closest, or picture for that of a call.",
        panel="Motion",
    )
    region: Region = option("all", "Which part of the motion to use.", panel="Motion")
    strength: float = option(1.0, "Strength of the motion: 0 none, 1 as driven, 2 twice as much.", panel="Motion")
    manner: float = option(
        0.0, "How much a person file's own way to move counts: 0 as driven, 1 as the person moves.", panel="Motion"
    )
    body: bool = option(
        True,
        "Follow hair, shoulders and camera too, and refine the face; or move only the mesh of the head (compact).",
        "--body/--head-only",
        panel="Motion",
    )
    mouth: Mouth = option(
        "auto",
        "What fills an opening mouth: the source's own, the driver's, or a portrait's of the bank (compact).",
        panel="Motion",
    )
    wrinkles: float = option(1.0, "How much of the driving's wrinkles shows: 0 none, 1 all (compact).", panel="Motion")
    audio: Audio = option("driving", "Where the sound of the output comes from.", panel="Time")
    compare: bool = option(False, "Show source, driving and result side by side.", "--compare", panel="Picture")


@dataclass(frozen=True)
class SpeakOptions(ReenactOptions):
    """The options of `speak`, besides its three files."""

    # A mouth that was heard does not tremble as one that was seen.
    smooth: float = option(0.0, "Smoothing of the motion against jitter: 0 none, 1 strong, at most 10.", panel="Motion")
    source_video: bool = option(
        False,
        "Keep the head, the eyes and all else of SOURCE, a video, as filmed; change the mouth alone.",
        "--source-video",
        panel="Sound",
    )


@dataclass(frozen=True)
class RotateOptions(EncodingOptions, PictureOptions, FamilyOptions, ExpressionOptions, PoseOptions, EngineOptions):
    """The options of `rotate`, besides its two files."""

    frontalize: bool = option(
        False, "Face the camera; the same as all angles 0 with --absolute-pose.", "--frontalize", panel="Head pose"
    )
    fps: str = option("25", "Frame rate when a sweep is written as a video.", **_RATE)
    loop: Loop = option("forward", "Play a sweep of a picture forward only, or there and back.", panel="Time")
    columns: int = option(0, "Columns when a sweep is written as a contact sheet; 0 chooses.", panel="Picture")


@dataclass(frozen=True)
class DecodeOptions(EncodingOptions, PictureOptions, FollowOptions, PoseOptions, EngineOptions):
    """The options of `decode`, besides its two files."""

    source: str | None = option(
        None, "Picture or video to animate instead; default: the picture in the call.", panel="Picture"
    )
    region: Region = option("all", "Which part of the motion to use.", panel="Motion")
    strength: float = option(1.0, "Strength of the motion: 0 none, 1 as sent, 2 twice as much.", panel="Motion")
    smooth: float = option(0.0, "Smoothing on top of the sender's: 0 none, 1 strong, at most 10.", panel="Motion")
    body: bool = option(
        True,
        "Follow what the call sends of hair, shoulders and camera, and what refines the face; or the head alone.",
        "--body/--head-only",
        panel="Motion",
    )
    start: str | None = option(None, "Start time in the call: seconds or [H:]MM:SS.", **_TIME)
    end: str | None = option(None, "End time in the call: seconds or [H:]MM:SS.", **_TIME)
    sound: bool = option(True, "Keep the sound, or leave it out.", panel="Time")
    live: bool = option(
        False, "Read CALL from standard input (-) and render a frame as each packet arrives.", "--live", panel="Time"
    )
    catch_up: bool = option(
        True,
        "Live: repeat a frame when rendering falls behind, or render every frame.",
        "--catch-up/--every-frame",
        panel="Time",
    )

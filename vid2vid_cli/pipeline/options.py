"""What a user can ask for, said once: the commands and the Python functions take the same frozen dataclasses.

Every field carries its help text; the command line is made from it (cli/options.py).
Angles are in degrees: yaw > 0 turns the face towards the viewer's right, pitch > 0 lifts the chin, roll > 0 tilts
the head clockwise as the viewer sees it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from vid2vid_cli.checkpoints.catalogue import DEFAULT_CHECKPOINT
from vid2vid_cli.geometry.regions import Region
from vid2vid_cli.media.files import MAX_PIXELS

Audio = Literal["driving", "source", "none"]
OnMissing = Literal["hold", "skip", "fail"]
LandmarkJudge = Literal["mesh", "face-alignment"]
DType = Literal["auto", "float32", "float16", "bfloat16", "int8"]
Via = Literal["auto", "hub", "url"]
StoredDType = Literal["float32", "float16"]
Rate = Literal["low", "medium", "high"]
CallAudio = Literal["copy", "opus", "none"]
Detector = Literal["built-in", "face-alignment"]


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

    checkpoint: str = option(
        DEFAULT_CHECKPOINT, "Family name or checkpoint file.", "--checkpoint", "-c", panel="Engine"
    )
    device: str = option("auto", "auto, cpu, cuda, cuda:N or mps.", panel="Engine")
    dtype: DType = option(
        "auto", "Arithmetic of the networks; auto: the quickest here that is as good.", panel="Engine"
    )
    threads: int = option(0, "Threads of the networks; 0 leaves one core to decoder and encoder.", panel="Engine")
    detector: Detector = option("built-in", "What finds faces; face-alignment fetches its own weights.", panel="Engine")


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
class FamilyOptions:
    """What some families of checkpoints can do besides; the others refuse it."""

    stitch: bool | None = option(
        None,
        "Keep the shoulders in place (liveportrait); default: it does.",
        "--stitch/--no-stitch",
        panel="Family",
    )
    eyes: float | None = option(
        None, "How far the eyes are open, height over width: 0 closed, 0.35 usual (liveportrait).", panel="Family"
    )
    lips: float | None = option(
        None, "How far the lips are open, height over width: 0 closed (liveportrait).", panel="Family"
    )


@dataclass(frozen=True)
class FollowOptions(FamilyOptions):
    """What some families can do with the movement of a driving."""

    adapt_scale: bool | None = option(
        None,
        "Scale movement by the size of both faces (facevid2vid, fomm); default: they do.",
        "--adapt-scale/--no-adapt-scale",
        panel="Family",
    )
    retarget_eyes: bool = option(False, "Open the eyes as far as the driving's (liveportrait).", panel="Family")
    retarget_lips: bool = option(False, "Open the lips as far as the driving's (liveportrait).", panel="Family")


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
class ReenactOptions(EncodingOptions, PictureOptions, FollowOptions, DrivingOptions, PoseOptions, EngineOptions):
    """All that `reenact` takes besides its three files."""

    relative: bool = option(
        True,
        "Take movement against a reference frame, or pose and expression as they are. A still DRIVING is absolute.",
        "--relative/--absolute",
        panel="Motion",
    )
    reference_frame: str = option(
        "auto",
        "Driving frame that counts as the source's own: its number, auto for the nearest, picture for a call's.",
        panel="Motion",
    )
    region: Region = option("all", "What moves.", panel="Motion")
    strength: float = option(1.0, "How much it moves: 0 nothing, 1 as driven, 2 twice as much.", panel="Motion")
    body: bool = option(
        True,
        "Let hair, shoulders and camera follow, and the face more finely; or the head's mesh alone (compact).",
        "--body/--head-only",
        panel="Motion",
    )
    audio: Audio = option("driving", "Whose sound the output has.", panel="Time")
    compare: bool = option(False, "Show source, driving and result side by side.", "--compare", panel="Picture")


@dataclass(frozen=True)
class RotateOptions(EncodingOptions, PictureOptions, FamilyOptions, PoseOptions, EngineOptions):
    """All that `rotate` takes besides its two files."""

    frontalize: bool = option(
        False, "Turn the face to the camera; same as all angles 0, absolute.", "--frontalize", panel="Head pose"
    )
    fps: str = option("25", "Frame rate of a video of a sweep.", panel="Time")
    columns: int = option(0, "Columns of a contact sheet of a sweep; 0 chooses.", panel="Picture")


@dataclass(frozen=True)
class EncodeOptions(DrivingOptions, EngineOptions, LimitOptions):
    """All that `encode` takes besides its two files."""

    source: str | None = option(
        None,
        "The picture that is sent: an image, or the number of a frame; default: the first frame with a face.",
        panel="Picture",
    )
    size: int | None = option(None, "Longer side of that picture in pixels; default: its own.", panel="Picture")
    key_quality: int = option(60, "Quality of that picture, 1 to 100.", panel="Picture")
    rate: Rate = option("high", "How finely motion is sent.", panel="Encoding")
    step: float | None = option(
        None, "Instead of --rate: pixels (of a crop of 256) that a smallest step moves the face.", panel="Encoding"
    )
    key_interval: int = option(
        5, "Frames between packets that stand for themselves: what is lost is set right there.", panel="Encoding"
    )
    audio: CallAudio = option("opus", "Sound: encode it as Opus, copy the Opus that is there, none.", panel="Time")
    live: bool = option(
        False, "DRIVING is -, standard input: a packet goes out for every frame that comes in.", "--live", panel="Time"
    )
    force: bool = option(False, "Replace an output that exists.", panel="Encoding")


@dataclass(frozen=True)
class DecodeOptions(EncodingOptions, PictureOptions, FollowOptions, PoseOptions, EngineOptions):
    """All that `decode` takes besides its two files."""

    source: str | None = option(
        None, "Show somebody else: a picture or video; default: the picture that the call carries.", panel="Picture"
    )
    region: Region = option("all", "What moves.", panel="Motion")
    strength: float = option(1.0, "How much it moves: 0 nothing, 1 as sent, 2 twice as much.", panel="Motion")
    smooth: float = option(0.0, "Smoothing besides the sender's own: 0 none, 1 firm.", panel="Motion")
    start: str | None = option(None, "Where in the call to begin: seconds or [H:]MM:SS.", panel="Time")
    end: str | None = option(None, "Where in the call to end: seconds or [H:]MM:SS.", panel="Time")
    sound: bool = option(True, "Keep the sound (default) or leave it out.", panel="Time")
    live: bool = option(
        False, "CALL is -, standard input: a frame is shown for every packet that comes in.", "--live", panel="Time"
    )
    catch_up: bool = option(
        True,
        "Live: show a frame again rather than fall behind where rendering is too slow; or render every frame.",
        "--catch-up/--every-frame",
        panel="Time",
    )


@dataclass(frozen=True)
class FrameOptions:
    """Which frames of a clip are judged."""

    every: int = option(6, "Judge every so-manieth frame of a clip.", panel="Judging")
    frames: int = option(120, "Judge so many frames from the start of a clip; 0: to its end.", panel="Judging")


@dataclass(frozen=True)
class JudgeOptions:
    """How a run judges and what it leaves behind."""

    size: int = option(256, "Side in pixels of the square around the face that is judged.", panel="Judging")
    landmarks: LandmarkJudge = option(
        "mesh", "Whose keypoints: the mesh's 468, or the literature's 68 of face-alignment.", panel="Judging"
    )
    csv: str | None = option(None, "Write all figures to this .csv file.", panel="Output")
    sheet: str | None = option(None, "Write what was judged side by side, as one picture.", panel="Output")
    force: bool = option(False, "Replace outputs that exist.", panel="Output")


@dataclass(frozen=True)
class EvaluateClipsOptions(JudgeOptions, FrameOptions, EngineOptions):
    """All that `evaluate self` and `evaluate cross` take besides their inputs."""

    body: bool = option(
        True,
        "Compare the frames of a driving with its first one, or judge the head's mesh alone (compact).",
        "--body/--head-only",
        panel="Judging",
    )


@dataclass(frozen=True)
class EvaluateTurnsOptions(JudgeOptions, EngineOptions):
    """All that `evaluate rotate` takes besides its input."""

    yaw: str = option("-30:30:15", "Angles to turn to: degrees, or START:STOP:STEP.", panel="Head pose")
    pitch: str = option("-15:15:15", "Angles to lift the chin by: degrees, or START:STOP:STEP.", panel="Head pose")
    roll: str = option("0", "Angles to tilt by: degrees, or START:STOP:STEP.", panel="Head pose")


@dataclass(frozen=True)
class PullOptions:
    """All that `weights pull` takes besides a name."""

    accept_licence: bool = option(
        False, "Accept the licence of weights that are not plainly free for every use.", "--accept-licence"
    )
    trust_unverified: bool = option(
        False, "Take a file of which no sha256 is known, so that nobody can check it.", "--trust-unverified"
    )
    mirror: str | None = option(
        None, "Fetch from MIRROR/NAME/FILE instead; default: VID2VID_MIRROR.", "--mirror", panel="Network"
    )
    via: Via = option(
        "auto",
        "hub: with huggingface_hub, into its cache; url: without it; auto: hub where it is installed.",
        panel="Network",
    )
    force: bool = option(False, "Fetch again what is there and verified.", "--force")


@dataclass(frozen=True)
class ConvertOptions:
    """All that `weights convert` takes besides its two files."""

    dtype: StoredDType = option(
        "float32", "How weights are stored; float16 halves the file, small tensors stay float32."
    )
    force: bool = option(False, "Replace an output that exists.", "--force")

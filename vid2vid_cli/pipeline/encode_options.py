"""The options of `encode`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from vid2vid_cli.pipeline.options import DrivingOptions, EngineOptions, LimitOptions, option

Rate = Literal["low", "medium", "high"]
CallAudio = Literal["copy", "opus", "none"]


@dataclass(frozen=True)
class EncodeOptions(DrivingOptions, EngineOptions, LimitOptions):
    """The options of `encode`, besides its two files."""

    source: str | None = option(
        None,
        "Picture to send: an image, or the number of a frame; default: the first frame with a face.",
        panel="Picture",
    )
    size: int | None = option(None, "Longer side of that picture in pixels; default: unchanged.", panel="Picture")
    key_quality: int = option(60, "Quality of that picture, 1 to 100.", panel="Picture")
    rate: Rate = option("high", "How precisely motion is sent.", panel="Encoding")
    step: float | None = option(
        None, "Replaces --rate: how far the smallest step moves the face, in pixels of a 256 px crop.", panel="Encoding"
    )
    key_interval: int = option(
        5, "Frames between self-contained packets; decoding recovers from a loss at the next one.", panel="Encoding"
    )
    patches: int | None = option(
        None,
        "Bytes a second for small pictures of the mouth and of shut eyes, sent when they are first seen; 0: none; "
        "default: what motion leaves of 53 bytes a frame.",
        panel="Encoding",
        metavar="BYTES/S",
    )
    body: bool = option(
        True,
        "Send how hair, shoulders and camera move too, and what refines the face; or the head alone (compact).",
        "--body/--head-only",
        panel="Motion",
    )
    audio: CallAudio = option("opus", "Sound: encode it as Opus, copy an Opus track as it is, or none.", panel="Time")
    live: bool = option(
        False, "Read DRIVING from standard input (-) and write a packet as each frame arrives.", "--live", panel="Time"
    )
    force: bool = option(False, "Overwrite an existing output.", panel="Encoding")

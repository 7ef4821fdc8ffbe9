"""The material of measurements: a source and a driving of 512x512, real ones if available."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from vid2vid_cli.media.ffmpeg import file_input, run

REPOSITORY = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Material:
    """The files of a measurement. small: a driving of few pixels, for the memory test."""

    source: Path
    driving: Path
    small: Path
    name: str


def find_material() -> Material:
    """Find real media in VID2VID_MEDIA or in shared/media beside the repository, else the bundled examples."""
    media = Path(os.environ.get("VID2VID_MEDIA", REPOSITORY.parent / "shared" / "media"))
    real = Material(
        media / "sources" / "s27_ai_woman.png",
        media / "drivings" / "d03_woman_expressions_audio.mp4",
        media / "drivings" / "d14_actor_left_turn_256.mp4",
        "a real clip of 354 frames, 512x512, 30 frames/s",
    )
    if all(path.is_file() for path in (real.source, real.driving, real.small)):
        return real
    examples = REPOSITORY / "examples"
    clip = examples / "driving.mp4"
    return Material(examples / "portrait.jpg", clip, clip, "the bundled examples, 120 frames, 512x512, 25 frames/s")


def loop_clip(clip: Path, duration_s: float, output: Path) -> Path:
    """Repeat a clip until it lasts `duration_s`, by copying its packets."""
    looped = ["-v", "error", *file_input(clip, "-stream_loop", "-1"), "-t", f"{duration_s:g}"]
    run([*looped, "-map", "0:v:0", "-c", "copy", f"file:{output}"], f"{clip}: cannot be repeated")
    return output

"""The people of the benchmark of persons: two clips each, and pictures chosen from the first one."""

from __future__ import annotations

import csv
import re
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vid2vid_cli.evaluation.material import Clip, TrackedFrames
from vid2vid_cli.evaluation.options import FrameOptions
from vid2vid_cli.evaluation.performers import Portrait
from vid2vid_cli.face.mesh import FaceAnalyzer, face_from_landmarks
from vid2vid_cli.media.ffmpeg import executable
from vid2vid_cli.media.jpeg import decode_jpeg
from vid2vid_cli.media.video import probe_video
from vid2vid_cli.person_file import StoredView
from vid2vid_cli.pipeline.person.gathering import Gathering, Request
from vid2vid_cli.pipeline.person.storing import person_of
from vid2vid_cli.pipeline.progress import Hooks, WarningLog

MOST_VIEWS = 30  # of a whole clip
TURNED_DEG, FRONTAL_DEG = 20, 10  # yaw: what counts as turned to a side, and as facing the camera
BLOCK_S = 0.5  # of a clip that turns: they are seen and held back by turns


@dataclass(frozen=True)
class Pair:
    """Two clips of one person by one camera: the person is made from the first and judged on the second."""

    name: str
    seen: Path
    judged: Path


def find_people(media: Path) -> list[Pair]:
    """List the people of MEDIA/train who have two clips that were cut out of the camera's picture at the same place."""
    with (media / "MANIFEST.csv").open(encoding="utf-8") as file:
        crops = {row["file"]: re.search(r"crop [\d:]+", row["note"]) for row in csv.DictReader(file)}
    people = []
    for seen in sorted((media / "train").glob("*_a.mp4")):
        judged = seen.with_name(seen.name.replace("_a.mp4", "_b.mp4"))
        places = [crops.get(f"train/{path.name}") for path in (seen, judged)]
        if judged.exists() and len({place and place[0] for place in places}) == 1:
            people.append(Pair(seen.stem.removesuffix("_a"), seen, judged))
    return people


def find_turning(media: Path) -> list[Path]:
    """List the clips whose one person faces the camera and turns far to a side, as the manifest has it measured."""
    clips = []
    with (media / "MANIFEST.csv").open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            measured = re.search(r"measured yaw (-?\d+)\.\.(-?\d+)", row["note"])
            if measured is None or not row["file"].startswith(("train/", "drivings/")):
                continue
            low, high = (int(deg) for deg in measured.groups())
            if max(-low, high) >= TURNED_DEG and max(low, -high) <= FRONTAL_DEG:
                clips.append(media / row["file"])
    return sorted(clips)


def write_blocks(clip: Path, seen: Path) -> None:
    """Write every other half second of a clip, from its first one on. The others are held back, see `is_held_back`."""
    every_other = f"select='lt(mod(t+0.001,{2 * BLOCK_S}),{BLOCK_S})',setpts=N/FRAME_RATE/TB"
    command = [executable(), "-v", "error", "-i", str(clip), "-an", "-vf", every_other]
    subprocess.run([*command, "-c:v", "libx264", "-crf", "8", str(seen)], check=True)


def is_held_back(index: int, fps: float) -> bool:
    """Return whether `write_blocks` leaves out a frame of a clip."""
    return (index / fps + 0.001) % (2 * BLOCK_S) >= BLOCK_S


def frames_of(path: Path, seconds: float, every: int, analyzer: FaceAnalyzer) -> TrackedFrames:
    """Return the frames of a clip's first seconds, every n-th one, with the face in them."""
    info = probe_video(path)
    return TrackedFrames(
        Clip(path, info), FrameOptions(every, round(seconds * info.fps)), analyzer, WarningLog(Hooks())
    )


def views_of(clips: Sequence[Path], seconds: float, analyzer: FaceAnalyzer) -> tuple[StoredView, ...]:
    """Return what `personalize` keeps of clips: the main view, then those that add most, best first."""
    gathering = Gathering(analyzer, Request(end_s=seconds))
    gathering.add_all(clips)
    return person_of(gathering, MOST_VIEWS).views


def portrait_of(view: StoredView, subject: Path) -> Portrait:
    """Return a kept view as a portrait."""
    face = face_from_landmarks(view.landmarks_px, view.facts.score)
    return Portrait(decode_jpeg(view.picture), face, (face,), subject)

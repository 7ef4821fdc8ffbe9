"""The people of the benchmark of persons: two clips each, and pictures chosen from the first one."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from pathlib import Path

from vid2vid_cli.evaluation.material import Clip, TrackedFrames
from vid2vid_cli.evaluation.options import FrameOptions
from vid2vid_cli.evaluation.performers import Portrait
from vid2vid_cli.face.mesh import FaceAnalyzer, face_from_landmarks
from vid2vid_cli.media.jpeg import decode_jpeg
from vid2vid_cli.media.video import probe_video
from vid2vid_cli.person_file import StoredView
from vid2vid_cli.pipeline.person.gathering import Gathering, Request
from vid2vid_cli.pipeline.person.storing import person_of
from vid2vid_cli.pipeline.progress import Hooks, WarningLog

MOST_VIEWS = 30  # of a whole clip


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


def frames_of(path: Path, seconds: float, every: int, analyzer: FaceAnalyzer) -> TrackedFrames:
    """Return the frames of a clip's first seconds, every n-th one, with the face in them."""
    info = probe_video(path)
    return TrackedFrames(
        Clip(path, info), FrameOptions(every, round(seconds * info.fps)), analyzer, WarningLog(Hooks())
    )


def views_of(pair: Pair, seconds: float, analyzer: FaceAnalyzer) -> tuple[StoredView, ...]:
    """Return what `personalize` keeps of the first clip: the main view, then those that add most, best first."""
    gathering = Gathering(analyzer, Request(end_s=seconds))
    gathering.add_all([pair.seen])
    return person_of(gathering, MOST_VIEWS).views


def portrait_of(view: StoredView, subject: Path) -> Portrait:
    """Return a kept view as a portrait."""
    face = face_from_landmarks(view.landmarks_px, view.facts.score)
    return Portrait(decode_jpeg(view.picture), face, (face,), subject)

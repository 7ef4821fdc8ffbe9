"""Judge turned heads of people whose one clip turns: pictures from every other half second, the others as truth."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.personal_people import TURNED_DEG, frames_of, is_held_back
from vid2vid_cli.evaluation.judges import Judges
from vid2vid_cli.evaluation.material import TrackedFrame
from vid2vid_cli.evaluation.performers import Performer
from vid2vid_cli.evaluation.self_reenactment import TrueFrame
from vid2vid_cli.face.crop import FaceCrop, crop_frame
from vid2vid_cli.face.mesh import FaceAnalyzer
from vid2vid_cli.media.video import probe_video
from vid2vid_cli.motion import PoseOverride
from vid2vid_cli.person_file import StoredView
from vid2vid_cli.pipeline.person.measuring import FaceReader

SIDE_DEG = 30  # heads are turned so far
HELD_EVERY = 3  # frames of a block that is held back


@dataclass(frozen=True)
class Turning:
    """A person whose one clip turns, by number of pictures. square: in which frames are compared."""

    performers: Mapping[str, Performer]
    square: FaceCrop
    judges: Judges

    def measure(self, sign: int, held_back: Sequence[TrackedFrame]) -> dict[str, Any]:
        """Compare a side with its true frames.

        `turned`: the head turned by SIDE_DEG at rest. `asked`: turned by as much while those frames drive its face, as
        a face at rest is another one to whoever judges identity. `driven`: turned by those frames themselves.
        """
        pose = PoseOverride(yaw=torch.tensor([math.radians(sign * SIDE_DEG)]), absolute=True)
        truths = [TrueFrame.of(frame, self.square, self.judges) for frame in held_back]
        known = [truth.reading.identity for truth in truths if truth.reading.identity is not None]
        facts: dict[str, Any] = {"side": sign, "frames": len(known)}
        facts |= {name: {} for name in ("turned", "asked", "driven", "driven_l1")}
        for count, performer in self.performers.items():
            at_rest = self.judges.read(crop_frame(performer.turn(pose), self.square)).identity
            facts["turned"][count] = _distance(at_rest, np.mean(known, axis=0) if known else None)
            asked, driven = (
                [
                    truth.scores(crop_frame(performer.follow(frame.frame, frame.face, turned_by), self.square))
                    for truth, frame in zip(truths, held_back, strict=True)
                ]
                for turned_by in (pose, None)
            )
            facts["asked"][count] = _mean([scores.get("identity") for scores in asked])
            facts["driven"][count] = _mean([scores.get("identity") for scores in driven])
            facts["driven_l1"][count] = _mean([scores.get("l1") for scores in driven])
        return facts


def turned_frames(clip: Path, seconds: float, analyzer: FaceAnalyzer) -> dict[int, list[TrackedFrame]]:
    """Return the frames of a clip that are held back and turned to either side, by its sign."""
    reader, fps = FaceReader(), float(probe_video(clip).fps)
    sides: dict[int, list[TrackedFrame]] = {-1: [], 1: []}
    for frame in frames_of(clip, seconds, HELD_EVERY, analyzer):
        yaw_deg = math.degrees(reader.read(frame.frame, frame.face).facts.yaw)
        if is_held_back(frame.index, fps) and abs(yaw_deg) >= TURNED_DEG:
            sides[1 if yaw_deg > 0 else -1].append(frame)
    return sides


def turned_views(views: Sequence[StoredView], sign: int) -> int:
    """Return how many views are turned to a side, by its sign."""
    return sum(sign * math.degrees(view.facts.yaw) >= TURNED_DEG for view in views)


def _distance(found: np.ndarray | None, true: np.ndarray | None) -> float | None:
    return None if found is None or true is None else float(np.linalg.norm(found - true))


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None and not math.isnan(value)]
    return float(np.mean(known)) if known else None

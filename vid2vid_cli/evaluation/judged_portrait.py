"""A portrait judged without a true frame: against what was read from it at rest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from vid2vid_cli.arrays import Frame
from vid2vid_cli.errors import NoFaceError
from vid2vid_cli.evaluation.heads import Head, HeadReader, angle_between_deg, distance_pct
from vid2vid_cli.evaluation.material import judged_square, read_portrait
from vid2vid_cli.evaluation.performers import Performer, Portrait
from vid2vid_cli.evaluation.run import EvaluationSetup
from vid2vid_cli.face.crop import crop_frame


@dataclass(frozen=True)
class HeadReading:
    """What is read from a picture: the head, and the vector that tells whose face it is. None without a face."""

    head: Head | None
    identity: NDArray[np.float64] | None


class JudgedPortrait:
    """A portrait at rest: its judged square `picture` (size, size, 3), the `head` in it, and the whole `reading`."""

    def __init__(self, path: Path, setup: EvaluationSetup, reader: HeadReader) -> None:
        """Read a picture. NoFaceError where no face is found, or none in its square."""
        self.name = path.name
        self._setup, self._reader = setup, reader
        self._portrait = read_portrait(path, setup.engine.analyzer, setup.size_px)
        self._square = judged_square(self._portrait.face, self._portrait.frame.shape, setup.size_px)
        self.picture = self.cut(self._portrait.frame)
        self.reading = self.read(self.picture)
        # Moved pictures are read in this same square. A face that is lost at rest would count against the model.
        if self.reading.head is None:
            raise NoFaceError(f"{path}: its face is not found again in a square of {setup.size_px} px; leave it out")
        self.head = self.reading.head

    def cut(self, frame: Frame) -> Frame:
        """Cut the judged square out of a frame."""
        return crop_frame(frame, self._square)

    def read(self, picture: Frame) -> HeadReading:
        """Read the head and the identity from a judged square."""
        embedding = self._setup.judges.embedding
        return HeadReading(self._reader.find(picture), None if embedding is None else embedding(picture))

    def performer(self, reference: Portrait | None = None) -> Performer:
        """Prepare the model to move the portrait. reference: the driving at rest."""
        return Performer(self._setup.engine, self._portrait, reference, follows=self._setup.follows)

    def compare(self, moved: HeadReading, rotation: Tensor) -> dict[str, float | None]:
        """Compare a moved picture with the portrait at rest, and its pose with the expected rotation (3, 3)."""
        # None: could not be measured, and does not count in a mean.
        scores: dict[str, float | None] = dict.fromkeys(("identity", "shape_pct", "pose_deg"))
        scores["no_face_pct"] = 100.0 if moved.head is None else 0.0
        if moved.head is not None:
            scores["shape_pct"] = distance_pct(moved.head.shape, self.head.shape)
            scores["pose_deg"] = angle_between_deg(moved.head.rotation, rotation)
        if moved.identity is not None and self.reading.identity is not None:
            scores["identity"] = float(np.linalg.norm(moved.identity - self.reading.identity))
        return scores

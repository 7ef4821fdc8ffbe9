"""A portrait that is judged where there is no true picture: what was seen in it before it moved."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from vid2vid_cli.errors import NoFaceError
from vid2vid_cli.evaluation.bench import Bench
from vid2vid_cli.evaluation.heads import Head, HeadReader, angle_between_deg, distance_pct
from vid2vid_cli.evaluation.material import judged_square, read_portrait
from vid2vid_cli.evaluation.performers import Performer, Portrait
from vid2vid_cli.face.crop import Frame, crop_frame


@dataclass(frozen=True)
class Seen:
    """What is seen in a picture: the head, and whose face it is; None where no face is seen."""

    head: Head | None
    identity: NDArray[np.float64] | None


class Sitter:
    """A portrait: its judged square `picture` (size, size, 3), its `head` and whose it is, `seen`."""

    def __init__(self, path: Path, bench: Bench, reader: HeadReader) -> None:
        """Read a picture. NoFaceError where no face is found, or none in its square."""
        self.name = path.name
        self._bench, self._reader = bench, reader
        self._portrait = read_portrait(path, bench.engine.analyzer, bench.size_px)
        self._square = judged_square(self._portrait.face, self._portrait.frame.shape, bench.size_px)
        self.picture = self.cut(self._portrait.frame)
        self.seen = self.look(self.picture)
        if self.seen.head is None:
            raise NoFaceError(f"{path}: its face is not found again in a square of {bench.size_px} px; leave it out")
        self.head = self.seen.head

    def cut(self, frame: Frame) -> Frame:
        """Cut the judged square out of a frame."""
        return crop_frame(frame, self._square)

    def look(self, picture: Frame) -> Seen:
        """Look at a judged square."""
        embedding = self._bench.judges.embedding
        return Seen(self._reader.find(picture), None if embedding is None else embedding(picture))

    def performers(self, reference: Portrait | None = None) -> dict[str, Performer]:
        """Let every model look at the portrait, and at what will drive it, at rest."""
        bench = self._bench
        return {
            name: Performer(model, bench.engine, self._portrait, reference, follows=bench.follows)
            for name, model in bench.models.items()
        }

    def compare(self, seen: Seen, rotation: Tensor) -> dict[str, float | None]:
        """Compare a moved picture with the portrait, and its pose with the rotation (3, 3) that it should have."""
        scores: dict[str, float | None] = dict.fromkeys(("identity", "shape_pct", "pose_deg"))
        scores["no_face_pct"] = 100.0 if seen.head is None else 0.0
        if seen.head is not None:
            scores["shape_pct"] = distance_pct(seen.head.shape, self.head.shape)
            scores["pose_deg"] = angle_between_deg(seen.head.rotation, rotation)
        if seen.identity is not None and self.seen.identity is not None:
            scores["identity"] = float(np.linalg.norm(seen.identity - self.seen.identity))
        return scores

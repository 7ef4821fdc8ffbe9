"""Which faces of a source move: the one that is asked for, or all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch

from vid2vid_cli.arrays import Frame
from vid2vid_cli.errors import NoFaceError, UsageError, Vid2VidError
from vid2vid_cli.face.mesh import Box, Face, FaceAnalyzer, FaceTracker, Select, face_from_landmarks, select_face
from vid2vid_cli.pipeline.background import parse_background
from vid2vid_cli.pipeline.memory import Memory
from vid2vid_cli.pipeline.options import PictureOptions
from vid2vid_cli.pipeline.output import check_size
from vid2vid_cli.pipeline.parsing import parse_face, parse_face_box

MOST_CUT = 0.05  # of a face's landmarks: chins and foreheads at the edge are common and harmless
PLAINLY_LARGE = 0.3  # of the shorter side: a face of this size is what the picture is about


class SourceFaces:
    """Finds the faces of one source, and chooses those that move."""

    def __init__(
        self,
        path: Path,
        options: PictureOptions,
        analyzer: FaceAnalyzer,
        memory: Memory | None,
        warn: Callable[[str], None],
    ) -> None:
        """Check the options. path: for messages, and to recall what is known of the source."""
        self._path, self._options, self._analyzer, self._memory, self._warn = path, options, analyzer, memory, warn
        self._select, self._box = check_picture(options), parse_face_box(options.face_box)

    def of_still(self, picture: Frame) -> tuple[list[Face], list[Face]]:
        """Return all faces of a still (H, W, 3), and those that move. NoFaceError or UsageError without any of them."""
        faces = self._recall(picture)
        if not faces:
            raise self.no_face()
        chosen = faces
        if self._select is not None:
            one = select_face(faces, self._select, picture)
            if one is None:
                last = len(faces) - 1
                raise UsageError(f"--face {self._select}: {self._path} has faces 0 to {last}; see vid2vid faces")
            chosen = [one]
        self._warn_of_cuts(chosen, picture)
        return faces, chosen

    def trackers(self, picture: Frame) -> list[FaceTracker]:
        """Return what follows the faces that move through a video, whose first picture is this."""
        analyzer = self._analyzer
        if self._box is not None:
            return [FaceTracker(analyzer, start=self._placed(picture, self._box))]
        if self._select is not None:
            return [FaceTracker(analyzer, self._select)]
        return [FaceTracker(analyzer, start=face) for face in analyzer.faces(picture, thorough=True)]

    def no_face(self) -> Vid2VidError:
        """Return the error for a source that never shows a face, or never the chosen one."""
        if isinstance(self._select, int) and self._select > 0:
            return UsageError(f"--face {self._select}: {self._path} never shows that many; see vid2vid faces")
        return NoFaceError(
            f"{self._path}: no face found; use a picture where a face is larger and less hidden, or say where it is by "
            "--face-box X,Y,WIDTH,HEIGHT"
        )

    def _recall(self, picture: Frame) -> list[Face]:
        """Find the faces of a still, or recall them."""
        memory, options = self._memory, self._options
        if memory is None:
            return self._find(picture)
        background = tuple(parse_background(options.background).colour)
        key = memory.key(self._path, "faces", self._select == "largest", options.face_box, background)
        known = memory.recall_tensors(key, "faces")
        if known is not None and known.keys() == {"landmarks", "scores"}:
            return list(map(face_from_landmarks, known["landmarks"].numpy(), known["scores"].tolist()))
        faces = self._find(picture)
        landmarks = torch.from_numpy(np.array([face.landmarks_px for face in faces], np.float32))
        scores = torch.tensor([face.score for face in faces], dtype=torch.float64)
        memory.keep_tensors(key, "faces", {"landmarks": landmarks, "scores": scores})
        return faces

    def _find(self, picture: Frame) -> list[Face]:
        if self._box is not None:
            return [self._placed(picture, self._box)]
        # The quick search misses small faces only: it is enough if the largest one plainly is what the picture shows.
        if self._select == "largest":
            faces = self._analyzer.faces(picture)
            if any(face.size_px > PLAINLY_LARGE * min(picture.shape[:2]) for face in faces):
                return faces
        return self._analyzer.faces(picture, thorough=True)

    def _placed(self, picture: Frame, box: Box) -> Face:
        """Read the face in a box. UsageError for a box whose middle is not in the picture."""
        left, top, right, bottom = box
        height, width = picture.shape[:2]
        if not (0 <= left + right <= 2 * width and 0 <= top + bottom <= 2 * height):
            shape = f"{self._path}, which is {width} by {height} pixels"
            raise UsageError(f"--face-box {self._options.face_box}: lies outside of {shape}")
        return self._analyzer.face_in(picture, box)

    def _warn_of_cuts(self, faces: Sequence[Face], picture: Frame) -> None:
        """Warn of faces that the picture's edge cuts."""
        width_height = picture.shape[1::-1]
        for face in faces:
            flat = face.landmarks_px[:, :2]
            share = float(((flat < 0) | (flat >= width_height)).any(axis=1).mean())
            if share > MOST_CUT:
                self._warn(
                    f"{self._path}: the picture's edge cuts the face, and {share:.0%} of it is guessed; "
                    "take a picture that shows all of it"
                )


def check_picture(options: PictureOptions) -> Select | None:
    """Check the options for a picture without opening it. Returns which face moves, None for all."""
    parse_background(options.background)
    if parse_face_box(options.face_box) is not None and options.face != "largest":
        raise UsageError(f"--face {options.face}: --face-box names the one face already; leave one of them out")
    check_size(options.size)
    if options.face != "all":
        return parse_face(options.face)
    if not options.paste_back:
        raise UsageError("--face all: needs --paste-back; choose one face for --crop-only")
    return None

"""What is judged: clips and portraits from files and folders, the frames of a clip, the square around a face."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from vid2vid_cli.errors import MediaError, NoFaceError, UsageError, Vid2VidError
from vid2vid_cli.evaluation.options import FrameOptions
from vid2vid_cli.evaluation.performers import Portrait
from vid2vid_cli.face.crop import FaceCrop
from vid2vid_cli.face.mesh import Face, FaceAnalyzer, FaceTracker, select_face
from vid2vid_cli.face.paste import resize_frame
from vid2vid_cli.face.placing import scale_face
from vid2vid_cli.media.image import read_image
from vid2vid_cli.media.video import Frame, ReadOptions, VideoInfo, probe_video, read_video, sniff
from vid2vid_cli.person_mark import SUFFIX
from vid2vid_cli.pipeline.output import fit_size
from vid2vid_cli.pipeline.progress import WarningLog
from vid2vid_cli.process.streaming import prefetch

Kind = TypeVar("Kind")

CROP_SCALE = 1.9  # side of the judged square over the longer side of the face: takes in hair, neck, some background
ENOUGH = 2.0  # pixels of a portrait for each pixel of its judged square, along each axis
CLIPS = (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".gif")
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", SUFFIX)


def judged_square(face: Face, frame_size: tuple[int, ...], size_px: int) -> FaceCrop:
    """Return the one square in which the frames of a clip are compared, around the first frame's face.

    frame_size: (height, width). The square is moved, and shrunk, to lie within the frame if the face still fits:
    otherwise pixels beyond the edge would be judged, which no camera saw.
    """
    height, width = frame_size[:2]
    side = max(min(CROP_SCALE * face.size_px, height, width), face.size_px)
    low = np.minimum(np.maximum(face.center_px - side / 2, 0), np.maximum((width - side, height - side), 0))
    step = side / size_px  # frame px for each px of the square
    return FaceCrop(np.array([[step, 0, low[0]], [0, step, low[1]]]), (size_px, size_px))


@dataclass(frozen=True)
class Clip:
    """A clip with what was probed of it."""

    path: Path
    info: VideoInfo

    def due(self, sampling: FrameOptions) -> int:
        """Return how many frames will be judged, not counting the first, which is the reference."""
        count = min(self.info.frame_count, sampling.frames or self.info.frame_count)
        return max(0, (count - 1) // sampling.every)


@dataclass(frozen=True)
class TrackedFrame:
    """A frame of a clip and the face that is tracked through the clip. index: its number in the clip, from 0."""

    index: int
    frame: Frame
    face: Face


@dataclass
class TrackedFrames:
    """The frames of a clip that are judged. Its first face is tracked through all frames, including those in between.

    faceless: how many were left out so far because they show no face.
    """

    clip: Clip
    sampling: FrameOptions
    analyzer: FaceAnalyzer
    log: WarningLog
    faceless: int = 0

    def __iter__(self) -> Iterator[TrackedFrame]:
        """Yield the first frame with a face, whatever its number, then every n-th frame that has one."""
        # Every frame is tracked, so that a face is not lost between the judged ones.
        tracker, started = FaceTracker(self.analyzer), False
        reading = ReadOptions(warn=self.log.warn)
        # A few frames are decoded ahead, while the models compute.
        with closing(prefetch(read_video(self.clip.path, reading, self.clip.info), 4)) as frames:  # type: ignore[type-var]
            for index, frame in enumerate(frames):
                if self.sampling.frames and index >= self.sampling.frames:
                    return
                face = tracker.update(frame)
                is_due = index % self.sampling.every == 0
                self.faceless += is_due and face is None
                if face is not None and (is_due or not started):
                    started = True
                    yield TrackedFrame(index, frame, face)

    def split(self) -> tuple[Portrait, Iterator[TrackedFrame]]:
        """Return the first frame with a face, and the frames after it. NoFaceError if no frame has one."""
        stream = iter(self)
        first = next(stream, None)
        if first is None:
            raise NoFaceError(f"{self.clip.path}: no face found in the judged frames; leave it out")
        return Portrait(first.frame, first.face, tuple(self.analyzer.faces(first.frame))), stream


@dataclass
class Material:
    """The files of a run, in order. skipped: those that cannot be judged, and why."""

    log: WarningLog
    skipped: dict[Path, str] = field(default_factory=dict)

    def skip(self, path: Path, error: Vid2VidError, *, is_alone: bool) -> None:
        """Leave a file out and warn. If it is the only one, raise its error instead."""
        if is_alone:
            raise error
        # A clip fails anew under each portrait; one warning is enough.
        if path not in self.skipped:
            self.skipped[path] = str(error)
            self.log.warn(f"left out: {error}")

    def clips(self, path: Path) -> list[Clip]:
        """List a clip, or the clips of a folder."""
        found = []
        for file in files_in(path, CLIPS, "clip"):
            try:
                if sniff(file) == "still":
                    raise UsageError(f"{file}: is a picture; evaluate needs a clip here")
                found.append(Clip(file, probe_video(file)))
            except Vid2VidError as error:
                self.skip(file, error, is_alone=file == path)
        return self._require_any(found, path)

    def pictures(self, path: Path) -> list[Path]:
        """List a picture, or the pictures of a folder."""
        found = []
        for file in files_in(path, PICTURES, "picture"):
            try:
                if sniff(file) != "still":
                    raise UsageError(f"{file}: is a clip; evaluate needs a picture here")
                found.append(file)
            except Vid2VidError as error:
                self.skip(file, error, is_alone=file == path)
        return self._require_any(found, path)

    def _require_any(self, found: list[Kind], path: Path) -> list[Kind]:
        if not found:
            raise MediaError(f"{path}: no file in it can be judged; see the warnings")
        return found


def files_in(path: Path, suffixes: tuple[str, ...], kind: str) -> list[Path]:
    """Return the file itself, or the files of a folder with the given suffixes, sorted."""
    if not path.is_dir():
        return [path]
    found = sorted(file for file in path.iterdir() if file.suffix.lower() in suffixes and file.is_file())
    if not found:
        raise MediaError(f"{path}: no {kind} in this folder ({' '.join(suffixes)}); give another")
    return found


def read_portrait(path: Path, analyzer: FaceAnalyzer, size_px: int) -> Portrait:
    """Read a picture and find its largest face. NoFaceError if it has none.

    A picture with far more pixels than a judged square of size_px can show is shrunk, to save time.
    """
    frame = read_image(path)
    faces = analyzer.faces(frame, thorough=True)
    face = select_face(faces, "largest", frame)
    if face is None:
        raise NoFaceError(f"{path}: no face found; use a picture where a face is larger and less hidden")
    wanted = min(1.0, ENOUGH * size_px / (CROP_SCALE * face.size_px))
    if wanted < 1:
        longer = max(frame.shape[:2])
        smaller = resize_frame(frame, fit_size(frame.shape, round(longer * wanted)))
        scale = max(smaller.shape[:2]) / longer
        return Portrait(smaller, scale_face(face, scale), tuple(scale_face(each, scale) for each in faces))
    return Portrait(frame, face, tuple(faces))

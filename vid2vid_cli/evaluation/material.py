"""What is judged: clips and portraits out of files and folders, the frames of a clip, the square of a face."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import numpy as np

from vid2vid_cli.errors import MediaError, NoFaceError, UsageError, Vid2VidError
from vid2vid_cli.evaluation.performers import Portrait
from vid2vid_cli.face.crop import FaceCrop
from vid2vid_cli.face.mesh import Face, FaceAnalyzer, FaceTracker, select_face
from vid2vid_cli.face.paste import resize_frame
from vid2vid_cli.face.placing import scale_face
from vid2vid_cli.media.image import read_image
from vid2vid_cli.media.video import Frame, ReadOptions, VideoInfo, probe_video, read_video, sniff
from vid2vid_cli.pipeline.options import FrameOptions
from vid2vid_cli.pipeline.progress import WarningLog
from vid2vid_cli.pipeline.source import fit_size
from vid2vid_cli.process.streaming import prefetch

Kind = TypeVar("Kind")

CROP_SCALE = 1.9  # side of the judged square over the longer side of the face: hair, neck, some background are in
ENOUGH = 2.0  # pixels of a portrait for each of its judged square, either way
CLIPS = (".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".gif")
PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff")


def judged_square(face: Face, frame_size: tuple[int, ...], size_px: int) -> FaceCrop:
    """Return the one square in which the frames of a clip are compared, around the first frame's face.

    frame_size: (height, width). The square is moved, and made smaller, so as to lie within the frame where that can
    hold the face: pixels beyond the edge would be judged although nobody ever saw them.
    """
    height, width = frame_size[:2]
    side = max(min(CROP_SCALE * face.size_px, height, width), face.size_px)
    low = np.minimum(np.maximum(face.center_px - side / 2, 0), np.maximum((width - side, height - side), 0))
    step = side / size_px
    return FaceCrop(np.array([[step, 0, low[0]], [0, step, low[1]]]), (size_px, size_px))


@dataclass(frozen=True)
class Clip:
    """A clip that is probed already."""

    path: Path
    info: VideoInfo

    def due(self, sampling: FrameOptions) -> int:
        """Return how many frames are to be judged, the first one left out."""
        count = min(self.info.frame_count, sampling.frames or self.info.frame_count)
        return max(0, (count - 1) // sampling.every)


@dataclass(frozen=True)
class Shot:
    """A frame of a clip with the face that is followed through it. index: its number in the clip, from 0."""

    index: int
    frame: Frame
    face: Face


@dataclass
class Shots:
    """The frames of a clip that are judged; its first face is followed through all frames between them.

    faceless: how many were left out so far because they show no face.
    """

    clip: Clip
    sampling: FrameOptions
    analyzer: FaceAnalyzer
    log: WarningLog
    faceless: int = 0

    def __iter__(self) -> Iterator[Shot]:
        """Yield the first frame with a face, whatever its number, then every so-manieth with one."""
        tracker, started = FaceTracker(self.analyzer), False
        reading = ReadOptions(warn=self.log.warn)
        with closing(prefetch(read_video(self.clip.path, reading, self.clip.info), 4)) as frames:  # type: ignore[type-var]
            for index, frame in enumerate(frames):
                if self.sampling.frames and index >= self.sampling.frames:
                    return
                face = tracker.update(frame)
                is_due = index % self.sampling.every == 0
                self.faceless += is_due and face is None
                if face is not None and (is_due or not started):
                    started = True
                    yield Shot(index, frame, face)

    def split(self) -> tuple[Portrait, Iterator[Shot]]:
        """Return the first frame with a face, and the frames after it. NoFaceError where no frame has one."""
        shots = iter(self)
        first = next(shots, None)
        if first is None:
            raise NoFaceError(f"{self.clip.path}: no face found in the frames asked for; leave it out")
        return Portrait(first.frame, first.face, tuple(self.analyzer.faces(first.frame))), shots


@dataclass
class Material:
    """The files that a run judges, in order. skipped: those that cannot be judged, and why."""

    log: WarningLog
    skipped: dict[Path, str] = field(default_factory=dict)

    def skip(self, path: Path, error: Vid2VidError, *, is_alone: bool) -> None:
        """Leave a file out and say so; where nothing else was asked for, its error is the whole run's."""
        if is_alone:
            raise error
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
        return self._some(found, path)

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
        return self._some(found, path)

    def _some(self, found: list[Kind], path: Path) -> list[Kind]:
        if not found:
            raise MediaError(f"{path}: nothing in it can be judged; see the warnings")
        return found


def files_in(path: Path, suffixes: tuple[str, ...], kind: str) -> list[Path]:
    """Return a file itself, or the files of a folder that by their names are of a kind, sorted."""
    if not path.is_dir():
        return [path]
    found = sorted(file for file in path.iterdir() if file.suffix.lower() in suffixes and file.is_file())
    if not found:
        raise MediaError(f"{path}: no {kind} in this folder ({' '.join(suffixes)}); name another")
    return found


def read_portrait(path: Path, analyzer: FaceAnalyzer, size_px: int) -> Portrait:
    """Read a picture and find its largest face. NoFaceError where there is none.

    A picture with far more pixels than a judged square of size_px can show is made smaller, to save time.
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

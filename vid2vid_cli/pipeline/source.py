"""The source: its frames, its faces, and what the model keeps of each."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import cast

import numpy as np
import torch

from vid2vid_cli.arrays import Frame
from vid2vid_cli.errors import NoFaceError, UsageError, Vid2VidError
from vid2vid_cli.face.crop import EVERYWHERE, FaceCrop, crop_around, crop_frame
from vid2vid_cli.face.frames import image_of
from vid2vid_cli.face.mesh import Face, FaceAnalyzer, FaceTracker, Select, face_from_landmarks, select_face
from vid2vid_cli.face.paste import resize_frame
from vid2vid_cli.face.placing import glide_crop, has_left, private_room, scale_face
from vid2vid_cli.media.colour import Colour
from vid2vid_cli.media.image import is_see_through, read_image
from vid2vid_cli.media.video import ReadOptions, frames_to_read, probe_video, read_video, sniff
from vid2vid_cli.models.base import SourceAppearance
from vid2vid_cli.pipeline.appearance import remembered_appearance
from vid2vid_cli.pipeline.background import parse_background
from vid2vid_cli.pipeline.engine import Engine
from vid2vid_cli.pipeline.memory import Memory
from vid2vid_cli.pipeline.options import PictureOptions
from vid2vid_cli.pipeline.output import check_size, fit_size
from vid2vid_cli.pipeline.parsing import parse_face

UNNAMED = "the given picture"  # what messages call a source that is no file
PLAINLY_LARGE = 0.3  # of the shorter side: a face of this size is what the picture is about


@dataclass(frozen=True)
class SourceFace:
    """One face of a source frame: where it is and whose it is. appearance: None while the face is out of sight."""

    crop: FaceCrop
    appearance: SourceAppearance | None


@dataclass(frozen=True)
class SourceFrame:
    """A frame of the source and the faces in it that will move. There are none before the first face is seen."""

    frame: Frame
    faces: Sequence[SourceFace]


class Source:
    """An image, which gives the same frame again and again, or a video, which gives each of its frames once."""

    def __init__(
        self, subject: str | Path | Frame, options: PictureOptions, engine: Engine, warn: Callable[[str], None]
    ) -> None:
        """Probe the file and check the options.

        subject: a file's path, or a picture, uint8 RGB (height, width, 3). warn: takes a line about a damaged clip.
        """
        self._picture = subject if isinstance(subject, np.ndarray) else None
        if self._picture is not None and (self._picture.dtype != np.uint8 or self._picture.shape[2:] != (3,)):
            raise ValueError(f"a picture is uint8 (H, W, 3), not {self._picture.dtype} {self._picture.shape}")
        self.path = Path(UNNAMED) if isinstance(subject, np.ndarray) else Path(subject)
        self.options, self._engine, self._warn = options, engine, warn
        self._select = check_picture(options)
        self._background = parse_background(options.background).colour
        is_video = self._picture is None and sniff(self.path) == "video"
        self.info = probe_video(self.path, options.max_pixels) if is_video else None

    @property
    def is_video(self) -> bool:
        """Whether each frame differs."""
        return self.info is not None

    @property
    def analyzer(self) -> FaceAnalyzer:
        """The networks that find its faces."""
        return self._engine.analyzer

    @cached_property
    def is_see_through(self) -> bool:
        """Whether it is a still with transparent parts. Those of videos are laid on a colour."""
        return self._picture is None and not self.is_video and is_see_through(self.path)

    def frame_count(self, fps: Fraction | None = None) -> int:
        """Return how many frames a video has at a rate; 0 for an image, which never ends."""
        return frames_to_read(self.info, self._reading(fps)) if self.info is not None else 0

    def frames(self, fps: Fraction | None = None) -> Iterator[SourceFrame]:
        """Yield source frames: an image without end; a video at the given rate until it is over."""
        return itertools.repeat(self._still) if self.info is None else self._clip(self._reading(fps))

    def first_appearance(self) -> SourceAppearance:
        """Return the appearance of the first face that is seen. NoFaceError if none is."""
        for frame in self.frames():
            if frame.faces and frame.faces[0].appearance is not None:
                return frame.faces[0].appearance
        raise self.no_face()

    def no_face(self) -> Vid2VidError:
        """Return the error for a source that never shows a face, or never the chosen one."""
        if isinstance(self._select, int) and self._select > 0:
            return UsageError(f"--face {self._select}: {self.path} never shows that many; see vid2vid faces")
        return NoFaceError(f"{self.path}: no face found; use a picture where a face is larger and less hidden")

    def _reading(self, fps: Fraction | None) -> ReadOptions:
        # At its own rate a clip is read frame by frame; a filter of the same rate could still drop or repeat some.
        resampled = None if self.info is None or fps == self.info.fps else fps
        return ReadOptions(fps=resampled, background=self._background, warn=self._warn)

    @cached_property
    def _still(self) -> SourceFrame:
        memory = self._memory
        if memory is None:
            return self._see_still()
        key = self._key(memory, "still")
        seen = memory.shelf.get(key, lambda still: still.frame.shape[0] * still.frame.shape[1], self._see_still)
        return cast("SourceFrame", seen)

    @property
    def _memory(self) -> Memory | None:
        """Give the memory of earlier jobs. It goes by the content of files, so a picture that is no file has none."""
        return None if self._picture is not None else self._engine.memory

    def still_on(self, colour: Colour) -> SourceFrame:
        """Return a transparent still as it looks on another colour, its faces in the same places."""
        picture = read_image(self.path, background=colour, max_pixels=self.options.max_pixels)
        _, placed = self._place(self._read_still())
        frame, _ = self._sized(picture)
        alike = [
            self._appear_like(own, frame, face, crop)
            for own, (face, crop) in zip(self._still.faces, placed, strict=True)
        ]
        return SourceFrame(frame, alike)

    def _read_still(self) -> Frame:
        if self._picture is not None:
            return self._picture
        return read_image(self.path, background=self._background, max_pixels=self.options.max_pixels)

    def _see_still(self) -> SourceFrame:
        frame, placed = self._place(self._read_still())
        return SourceFrame(frame, [self._appear(frame, *where, number) for number, where in enumerate(placed)])

    def _place(self, picture: Frame) -> tuple[Frame, list[tuple[Face, FaceCrop]]]:
        """Return a still in the size of the output, and the faces that move with their crops."""
        # At the picture's own size, so that the numbers of faces do not depend on the size of the output.
        faces = self._look(picture)
        if not faces:
            raise self.no_face()
        chosen = faces
        if self._select is not None:
            one = select_face(faces, self._select, picture)
            if one is None:
                last = len(faces) - 1
                raise UsageError(f"--face {self._select}: {self.path} has faces 0 to {last}; see vid2vid faces")
            chosen = [one]
        frame, scale = self._sized(picture)
        everybody = [scale_face(face, scale) for face in faces]
        sized = [scale_face(face, scale) for face in chosen]
        return frame, [(face, self._crop(frame, face, everybody)) for face in sized]

    def _key(self, memory: Memory, *what: object) -> str:
        """Name what is computed of a still, with the options that it depends on."""
        options = self.options
        return memory.key(self.path, *what, options.face, options.size, options.paste_back, tuple(self._background))

    def _look(self, picture: Frame) -> list[Face]:
        """Find the faces of a still, or recall them."""
        memory = self._memory
        if memory is None:
            return self._find(picture)
        key = memory.key(self.path, "faces", self._select == "largest", tuple(self._background))
        known = memory.recall_tensors(key, "faces")
        if known is not None and known.keys() == {"landmarks", "scores"}:
            return list(map(face_from_landmarks, known["landmarks"].numpy(), known["scores"].tolist()))
        faces = self._find(picture)
        landmarks = torch.from_numpy(np.array([face.landmarks_px for face in faces], np.float32))
        scores = torch.tensor([face.score for face in faces], dtype=torch.float64)
        memory.keep_tensors(key, "faces", {"landmarks": landmarks, "scores": scores})
        return faces

    def _find(self, picture: Frame) -> list[Face]:
        """Find the faces of a still."""
        # The quick search misses small faces only: it is enough if the largest one plainly is what the picture shows.
        if self._select == "largest":
            faces = self._engine.analyzer.faces(picture)
            if any(face.size_px > PLAINLY_LARGE * min(picture.shape[:2]) for face in faces):
                return faces
        return self._engine.analyzer.faces(picture, thorough=True)

    def _clip(self, reading: ReadOptions) -> Iterator[SourceFrame]:
        trackers: list[FaceTracker] = []
        crops: dict[int, FaceCrop] = {}
        for picture in read_video(self.path, reading, self.info):
            trackers = trackers or self._trackers(picture)
            frame, scale = self._sized(picture)
            seen = {k: scale_face(f, scale) for k, t in enumerate(trackers) if (f := t.update(picture)) is not None}
            for k, face in seen.items():
                crops[k] = self._next_crop(crops.get(k), frame, face, list(seen.values()))
            yield SourceFrame(frame, [self._appear(frame, seen.get(k), crop) for k, crop in sorted(crops.items())])

    def _trackers(self, picture: Frame) -> list[FaceTracker]:
        analyzer = self._engine.analyzer
        if self._select is not None:
            return [FaceTracker(analyzer, self._select)]
        return [FaceTracker(analyzer, start=face) for face in analyzer.faces(picture, thorough=True)]

    def _next_crop(self, last: FaceCrop | None, frame: Frame, face: Face, everybody: list[Face]) -> FaceCrop:
        """Return the crop of a face that moves: it stays as long as the face is well inside, or glides after it."""
        if last is None:
            return self._crop(frame, face, everybody)
        # Pasted back, a still crop shows no seam; alone, a crop that follows keeps the head in the middle.
        if not self.options.paste_back:
            return glide_crop(last, self._crop(frame, face, everybody))
        return self._crop(frame, face, everybody) if has_left(face, last) else last

    def _crop(self, frame: Frame, face: Face, everybody: list[Face]) -> FaceCrop:
        spec = self._engine.loaded.model.source_crop
        if self.is_video and not self.options.paste_back:
            return crop_around(face, spec, EVERYWHERE)
        return crop_around(face, spec, private_room(face, everybody, frame.shape[:2]))

    def _appear(self, frame: Frame, face: Face | None, crop: FaceCrop, number: int = 0) -> SourceFace:
        """Compute what the model keeps of a face. number: its place among the faces of a still that move."""
        if face is None:
            return SourceFace(crop, None)
        memory, model = self._memory, self._engine.loaded.model
        image = image_of(crop_frame(frame, crop), self._engine.device)
        landmarks = torch.from_numpy(crop.to_crop(face.landmarks_px)).float()[None]
        if memory is None or self.is_video:
            return SourceFace(crop, model.appearance(image, landmarks))
        key = self._key(memory, "appearance", number)
        return SourceFace(crop, remembered_appearance(memory, key, model, image, landmarks))

    def _appear_like(self, own: SourceFace, frame: Frame, face: Face, crop: FaceCrop) -> SourceFace:
        """Compute what the model keeps of a face on another ground; it moves exactly as `own` does."""
        model = self._engine.loaded.model
        image = image_of(crop_frame(frame, crop), self._engine.device)
        landmarks = torch.from_numpy(crop.to_crop(face.landmarks_px)).float()[None]
        if own.appearance is None:
            return SourceFace(crop, None)
        made = model.appearance(image, landmarks)
        return SourceFace(crop, replace(made, canonical=own.appearance.canonical, motion=own.appearance.motion))

    def _sized(self, picture: Frame) -> tuple[Frame, float]:
        """Return the picture in the size of the output, and its scale."""
        if self.options.size is None or not self.options.paste_back:
            return picture, 1.0
        frame = resize_frame(picture, fit_size(picture.shape[:2], self.options.size))
        return frame, max(frame.shape[:2]) / max(picture.shape[:2])


def check_picture(options: PictureOptions) -> Select | None:
    """Check the options for a picture without opening it. Returns which face moves, None for all."""
    parse_background(options.background)
    check_size(options.size)
    if options.face != "all":
        return parse_face(options.face)
    if not options.paste_back:
        raise UsageError("--face all: needs --paste-back; choose one face for --crop-only")
    return None

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
from torch import Tensor

from vid2vid_cli.arrays import Frame, Points
from vid2vid_cli.errors import Vid2VidError
from vid2vid_cli.face.crop import EVERYWHERE, FaceCrop, crop_around, crop_frame
from vid2vid_cli.face.frames import image_of
from vid2vid_cli.face.mesh import Face, FaceAnalyzer, FaceTracker
from vid2vid_cli.face.paste import resize_frame
from vid2vid_cli.face.placing import glide_crop, has_left, private_room, scale_face
from vid2vid_cli.habits import Habits
from vid2vid_cli.media.colour import BLACK, Colour
from vid2vid_cli.media.image import is_see_through, read_image
from vid2vid_cli.media.video import (
    ReadOptions,
    frames_to_read,
    lay_over,
    probe_video,
    read_video,
    shows_through,
    sniff,
)
from vid2vid_cli.models.base import SourceAppearance
from vid2vid_cli.pipeline.appearance import remembered_appearance, still_appearance
from vid2vid_cli.pipeline.background import parse_background
from vid2vid_cli.pipeline.engine import Engine
from vid2vid_cli.pipeline.memory import Memory
from vid2vid_cli.pipeline.options import PictureOptions
from vid2vid_cli.pipeline.output import fit_size
from vid2vid_cli.pipeline.person.movements import kept_habits, kept_rest
from vid2vid_cli.pipeline.person.source_views import SourceViews
from vid2vid_cli.pipeline.source_faces import SourceFaces

Subject = str | Path | Sequence[str | Path]
"""The path of a source, or those of several files that show the same person."""

UNNAMED = "the given picture"  # what messages call a source that is no file


@dataclass(frozen=True)
class SourceFace:
    """One face of a source frame: where it is and whose it is. appearance: None while the face is out of sight.

    landmarks_px: (470, 3) in px of the frame, of a face that is seen.
    """

    crop: FaceCrop
    appearance: SourceAppearance | None
    landmarks_px: Points | None = None


@dataclass(frozen=True)
class SourceFrame:
    """A frame of the source and the faces in it that will move. There are none before the first face is seen.

    mouth_share: how much of a new mouth shows where all around it stays, in [0, 1]; at 0 the frame stays as it is.
    """

    frame: Frame
    faces: Sequence[SourceFace]
    on_black: SourceFrame | None = None
    """The same on black, if the source's alpha is to be shown: from both it is found again."""
    mouth_share: float = 1.0


class Source:
    """An image, which gives the same frame again and again, or a video, which gives each of its frames once."""

    def __init__(
        self, subject: Subject | Frame, options: PictureOptions, engine: Engine, warn: Callable[[str], None]
    ) -> None:
        """Probe the file and check the options.

        subject: a file's path, those of several that show the same person, the first of which is animated, or a
        picture, uint8 RGB (height, width, 3). warn: takes a line about a damaged clip.
        """
        self._picture = subject if isinstance(subject, np.ndarray) else None
        if self._picture is not None and (self._picture.dtype != np.uint8 or self._picture.shape[2:] != (3,)):
            raise ValueError(f"a picture is uint8 (H, W, 3), not {self._picture.dtype} {self._picture.shape}")
        paths = [Path(UNNAMED)] if isinstance(subject, np.ndarray) else paths_of(subject)
        self.path, self._has_others = paths[0], len(paths) > 1
        self.options, self._engine, self._warn = options, engine, warn
        self._faces = SourceFaces(self.path, options, engine.analyzer, self._memory, warn)
        self._background = parse_background(options.background).colour
        self._shows_alpha = False
        is_video = self._picture is None and sniff(self.path) == "video"
        self.info = probe_video(self.path, options.max_pixels) if is_video else None
        self._views = SourceViews(paths, self.info, engine, options, warn)

    @property
    def is_video(self) -> bool:
        """Whether each frame differs."""
        return self.info is not None

    @property
    def analyzer(self) -> FaceAnalyzer:
        """The networks that find its faces."""
        return self._engine.analyzer

    @property
    def habits(self) -> Habits | None:
        """How its person moves; None where no clip told it."""
        return None if self._picture is not None else kept_habits(self.path)

    @cached_property
    def own_rest(self) -> Tensor | None:
        """The expression (1, K, 3) of its person at rest, of the family that read it; None where no clip told it."""
        return None if self._picture is not None else kept_rest(self.path)

    @cached_property
    def is_see_through(self) -> bool:
        """Whether parts of it are transparent; the first frame of a video tells."""
        if self._picture is not None:
            return False
        return is_see_through(self.path) if self.info is None else shows_through(self.path, self.info)

    def show_alpha(self) -> None:
        """Give every frame on black as well."""
        self._shows_alpha = True

    def frame_count(self, fps: Fraction | None = None) -> int:
        """Return how many frames a video has at a rate; 0 for an image, which never ends."""
        return frames_to_read(self.info, self._reading(fps)) if self.info is not None else 0

    def frames(self, fps: Fraction | None = None, *, has_views: bool = True) -> Iterator[SourceFrame]:
        """Yield source frames: an image without end; a video at the given rate until it is over.

        has_views: of a video, also what its other frames show, which takes longer.
        """
        if self.info is not None:
            return self._clip(self._reading(fps), has_views=has_views)
        on_black = self._still_on(BLACK) if self._shows_alpha else None
        return itertools.repeat(replace(self._still, on_black=on_black))

    def first_appearance(self) -> SourceAppearance:
        """Return the appearance of the first face that is seen. NoFaceError if none is."""
        for frame in self.frames():
            if frame.faces and frame.faces[0].appearance is not None:
                return frame.faces[0].appearance
        raise self.no_face()

    def no_face(self) -> Vid2VidError:
        """Return the error for a source that never shows a face, or never the chosen one."""
        return self._faces.no_face()

    def _reading(self, fps: Fraction | None) -> ReadOptions:
        # At its own rate a clip is read frame by frame; a filter of the same rate could still drop or repeat some.
        resampled = None if self.info is None or fps == self.info.fps else fps
        background = None if self._shows_alpha else self._background
        return ReadOptions(fps=resampled, background=background, warn=self._warn)

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
        """Give the memory of earlier jobs. It goes by the content of one file."""
        return None if self._picture is not None or self._has_others else self._engine.memory

    def _still_on(self, colour: Colour) -> SourceFrame:
        """Return a transparent still as it looks on another colour, its faces in the same places."""
        picture = read_image(self.path, background=colour, max_pixels=self.options.max_pixels)
        _, placed = self._place(self._read_still())
        frame, _ = self._sized(picture)
        alike = [self._appear_like(own, frame, face) for own, (face, _) in zip(self._still.faces, placed, strict=True)]
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
        faces, chosen = self._faces.of_still(picture)
        frame, scale = self._sized(picture)
        everybody = [scale_face(face, scale) for face in faces]
        sized = [scale_face(face, scale) for face in chosen]
        return frame, [(face, self._crop(frame, face, everybody)) for face in sized]

    def _key(self, memory: Memory, *what: object) -> str:
        """Name what is computed of a still, with the options that it depends on."""
        options = self.options
        chosen = options.face, options.face_box, options.size, options.paste_back
        return memory.key(self.path, *what, *chosen, tuple(self._background))

    def _clip(self, reading: ReadOptions, *, has_views: bool) -> Iterator[SourceFrame]:
        follow = self.follower(has_views=has_views)
        for picture in read_video(self.path, reading, self.info):
            yield follow(picture)

    def follower(self, *, has_views: bool = True) -> Callable[..., SourceFrame]:
        """Return a function that finds the faces of pictures (H, W, 3) which follow each other; see `frames`."""
        trackers: list[FaceTracker] = []
        crops: dict[int, FaceCrop] = {}

        def follow(read: Frame, mouth_share: float = 1.0) -> SourceFrame:
            picture = read if read.shape[2] == 3 else lay_over(self._background, read)
            trackers.extend([] if trackers else self._faces.trackers(picture))
            frame, scale = self._sized(picture)
            seen = {k: scale_face(f, scale) for k, t in enumerate(trackers) if (f := t.update(picture)) is not None}
            for k, face in seen.items():
                crops[k] = self._next_crop(crops.get(k), frame, face, list(seen.values()))
            places = sorted(crops.items())
            faces = [self._appear(frame, seen.get(k), crop, has_views=has_views) for k, crop in places]
            on_black = None
            if read.shape[2] == 4:
                black, _ = self._sized(lay_over(BLACK, read))
                alike = (
                    self._appear_like(own, black, seen.get(k)) for own, k in zip(faces, sorted(crops), strict=True)
                )
                on_black = SourceFrame(black, list(alike))
            return SourceFrame(frame, faces, on_black, mouth_share)

        return follow

    def sized(self, picture: Frame) -> Frame:
        """Return a picture in the size of the output."""
        return self._sized(picture)[0]

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

    def _appear(
        self, frame: Frame, face: Face | None, crop: FaceCrop, number: int = 0, *, has_views: bool = True
    ) -> SourceFace:
        """Compute what the model keeps of a face. number: its place among the faces of a still that move."""
        if face is None:
            return SourceFace(crop, None)
        memory, model = self._memory, self._engine.loaded.model
        image = image_of(crop_frame(frame, crop), self._engine.device)
        landmarks = torch.from_numpy(crop.to_crop(face.landmarks_px)).float()[None]
        if self.is_video:
            made = model.appearance(image, landmarks)
        elif memory is None:
            made = still_appearance(model, image, landmarks)
        else:
            made = remembered_appearance(memory, self._key(memory, "appearance", number), model, image, landmarks)
        seen = self._with_views(made, frame, face, crop) if has_views else made
        return SourceFace(crop, seen, face.landmarks_px)

    def _with_views(self, made: SourceAppearance, frame: Frame, face: Face, crop: FaceCrop) -> SourceAppearance:
        """Add what other pictures show, where one face is meant."""
        return made if self.options.face == "all" else self._views.seen_by(made, frame, face, crop)

    def _appear_like(self, own: SourceFace, frame: Frame, face: Face | None) -> SourceFace:
        """Compute what the model keeps of a face on another ground; it moves exactly as `own` does."""
        if own.appearance is None or face is None:
            return own
        model, crop = self._engine.loaded.model, own.crop
        image = image_of(crop_frame(frame, crop), self._engine.device)
        landmarks = torch.from_numpy(crop.to_crop(face.landmarks_px)).float()[None]
        made = self._with_views(still_appearance(model, image, landmarks), frame, face, crop)
        return SourceFace(crop, replace(made, canonical=own.appearance.canonical, motion=own.appearance.motion))

    def _sized(self, picture: Frame) -> tuple[Frame, float]:
        """Return the picture in the size of the output, and its scale."""
        if self.options.size is None or not self.options.paste_back:
            return picture, 1.0
        frame = resize_frame(picture, fit_size(picture.shape[:2], self.options.size))
        return frame, max(frame.shape[:2]) / max(picture.shape[:2])


def paths_of(subject: Subject) -> list[Path]:
    """Return the files that a source consists of, the one that is animated first. ValueError if there are none."""
    paths = [Path(subject)] if isinstance(subject, str | Path) else [Path(each) for each in subject]
    if not paths:
        raise ValueError("a source needs a file")
    return paths

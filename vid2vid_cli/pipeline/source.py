"""The source: its frames, its faces, and what the model keeps of each."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from vid2vid_cli.errors import NoFaceError, UsageError
from vid2vid_cli.face.crop import Box, CropSpec, FaceCrop, Frame, crop_around, crop_frame
from vid2vid_cli.face.mesh import Face, FaceAnalyzer, FaceTracker, select_face
from vid2vid_cli.face.paste import resize_frame
from vid2vid_cli.media.image import read_image
from vid2vid_cli.media.video import ReadOptions, frames_to_read, probe_video, read_video, sniff
from vid2vid_cli.models.base import ReenactmentModel, SourceAppearance
from vid2vid_cli.pipeline.options import PictureOptions
from vid2vid_cli.pipeline.parsing import parse_colour, parse_face


@dataclass(frozen=True)
class SourceFace:
    """One face of a source frame: where it is and who it is; no appearance where it is out of sight just now."""

    crop: FaceCrop
    appearance: SourceAppearance | None


@dataclass(frozen=True)
class SourceFrame:
    """A frame of the source and the faces in it that shall move, none before one is seen."""

    frame: Frame
    faces: Sequence[SourceFace]


class Source:
    """An image, which gives the same frame again and again, or a video, which gives each of its frames once."""

    def __init__(
        self, path: Path, options: PictureOptions, model: ReenactmentModel, analyzer: FaceAnalyzer, device: torch.device
    ) -> None:
        self.path, self._options = path, options
        self._model, self._analyzer, self._device = model, analyzer, device
        self.info = probe_video(path) if sniff(path) == "video" else None
        if options.size is not None and options.size < 16:
            raise UsageError(f"--size {options.size}: write the longer side in pixels, 16 or more")
        if options.face != "all":
            parse_face(options.face)

    @property
    def is_video(self) -> bool:
        """Whether each frame differs."""
        return self.info is not None

    @property
    def frame_count(self) -> int:
        """How many frames a video has; 0 for an image, which has no end."""
        return frames_to_read(self.info) if self.info is not None else 0

    def frames(self, fps: Fraction | None = None) -> Iterator[SourceFrame]:
        """Yield source frames: for ever for an image; for a video each at the given rate, until it ends."""
        if self.info is None:
            return itertools.repeat(self._still)
        return self._clip(ReadOptions(fps=None if fps in (None, self.info.fps) else fps))

    def first_appearance(self) -> SourceAppearance:
        """Return the first face that is seen. NoFaceError when none is."""
        frames = self.frames()
        for frame in frames:
            if frame.faces and frame.faces[0].appearance is not None:
                return frame.faces[0].appearance
        raise NoFaceError(f"{self.path}: no face found in any frame; use a clip where a face is seen")

    @cached_property
    def _still(self) -> SourceFrame:
        frame = self._sized(read_image(self.path, background=parse_colour(self._options.background)))
        faces = self._analyzer.faces(frame, thorough=True)
        if not faces:
            raise NoFaceError(f"{self.path}: no face found; use a picture where a face is larger and less hidden")
        chosen = self._choose(faces, frame)
        return SourceFrame(frame, [self._prepare(frame, face, faces) for face in chosen])

    def _choose(self, faces: list[Face], frame: Frame) -> list[Face]:
        if self._options.face == "all":
            return faces
        face = select_face(faces, parse_face(self._options.face), frame)
        if face is None:
            last = len(faces) - 1
            raise UsageError(f"--face {self._options.face}: {self.path} has faces 0 to {last}; see vid2vid faces")
        return [face]

    def _clip(self, options: ReadOptions) -> Iterator[SourceFrame]:
        trackers: list[FaceTracker] | None = None
        crops: dict[int, FaceCrop] = {}
        for raw in read_video(self.path, options, self.info):
            frame = self._sized(raw)
            if not trackers:
                trackers = self._trackers(frame)
            seen = {k: face for k, tracker in enumerate(trackers) if (face := tracker.update(frame))}
            for k, face in seen.items():
                if k not in crops or _has_left(face, crops[k]):
                    crops[k] = self._crop(frame, face, list(seen.values()))
            yield SourceFrame(frame, [self._appear(frame, seen.get(k), crop) for k, crop in sorted(crops.items())])
        if not crops:
            raise NoFaceError(f"{self.path}: no face found in any frame; see it with vid2vid faces")

    def _trackers(self, frame: Frame) -> list[FaceTracker]:
        if self._options.face != "all":
            return [FaceTracker(self._analyzer, parse_face(self._options.face))]
        return [FaceTracker(self._analyzer, k) for k in range(len(self._analyzer.faces(frame)))]

    def _prepare(self, frame: Frame, face: Face, everybody: list[Face]) -> SourceFace:
        return self._appear(frame, face, self._crop(frame, face, everybody))

    def _crop(self, frame: Frame, face: Face, everybody: list[Face]) -> FaceCrop:
        return crop_around(face, self._model.source_crop, private_room(face, everybody, frame.shape[:2]))

    def _appear(self, frame: Frame, face: Face | None, crop: FaceCrop) -> SourceFace:
        if face is None:
            return SourceFace(crop, None)
        image = image_of(crop_frame(frame, crop), self._device)
        landmarks = torch.from_numpy(crop.to_crop(face.landmarks_px)).float()[None]
        return SourceFace(crop, self._model.appearance(image, landmarks))

    def _sized(self, frame: Frame) -> Frame:
        if self._options.size is None or not self._options.paste_back:
            return frame
        return resize_frame(frame, fit_size(frame.shape[:2], self._options.size))


def image_of(frame: Frame, device: torch.device) -> torch.Tensor:
    """Return a frame (H, W, 3) as an image (1, 3, H, W) in [0, 1]."""
    return torch.from_numpy(np.array(frame)).to(device).permute(2, 0, 1)[None].float() / 255


def fit_size(size: tuple[int, ...], longer_px: int) -> tuple[int, int]:
    """Return a size (height, width) with the same shape and the longer side given."""
    scale = longer_px / max(size[:2])
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def private_room(face: Face, everybody: list[Face], frame_size: tuple[int, ...]) -> Box:
    """Return the part of a frame (left, top, right, bottom) that holds no other face: half way to each neighbour."""
    room = [0.0, 0.0, float(frame_size[1]), float(frame_size[0])]
    for other in everybody:
        away = other.center_px - face.center_px
        if not away.any():
            continue
        axis = int(np.argmax(np.abs(away)))  # 0: beside, 1: above or below
        if away[axis] > 0:
            limit = max((face.box[axis + 2] + other.box[axis]) / 2, face.box[axis + 2])
            room[axis + 2] = min(room[axis + 2], limit)
        else:
            limit = min((face.box[axis] + other.box[axis + 2]) / 2, face.box[axis])
            room[axis] = max(room[axis], limit)
    return room[0], room[1], room[2], room[3]


def _has_left(face: Face, crop: FaceCrop) -> bool:
    """Say whether a face has moved so far from its crop's middle that it needs a new one."""
    low, high = crop.to_crop(np.array([face.box[:2], face.box[2:]]))
    height, width = crop.size
    margin = 0.08 * max(height, width)
    touches = low.min() < margin or high[0] > width - margin or high[1] > height - margin
    was_tight = face.size_px > 0.7 * max(height, width)
    return bool(touches and not was_tight)


def whole_head(spec: CropSpec, face: Face, frame: Frame) -> FaceCrop:
    """Return the crop of a face that has the frame to itself."""
    return crop_around(face, spec, (0.0, 0.0, float(frame.shape[1]), float(frame.shape[0])))

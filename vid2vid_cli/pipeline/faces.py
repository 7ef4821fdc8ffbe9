"""Say which faces are in a picture or a clip, and draw them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from vid2vid_cli.errors import NoFaceError, UsageError
from vid2vid_cli.face.mesh import Face, FaceAnalyzer
from vid2vid_cli.geometry.rotation import pose_from_rotation
from vid2vid_cli.media.files import MAX_PIXELS, check_output
from vid2vid_cli.media.image import read_image, write_image
from vid2vid_cli.media.video import Frame, ReadOptions, VideoInfo, WriteOptions, probe_video, read_video, sniff
from vid2vid_cli.models.base import ReenactmentModel
from vid2vid_cli.models.registry import load_face_analyzer, load_model
from vid2vid_cli.pipeline.face_marks import draw_face
from vid2vid_cli.pipeline.output import is_picture_name, write_frames
from vid2vid_cli.pipeline.progress import Hooks


@dataclass(frozen=True)
class FoundFace:
    """One face. index: its place from the left, from 0. box_px: left, top, right, bottom. score: in [0, 1].

    Head pose in degrees: yaw > 0 is turned to the viewer's right, pitch > 0 has the chin up, roll > 0 is tilted
    clockwise as the viewer sees it.
    """

    index: int
    box_px: tuple[float, float, float, float]
    size_px: float
    yaw_deg: float
    pitch_deg: float
    roll_deg: float
    score: float


@dataclass(frozen=True)
class FacesFound:
    """The faces of a picture, or of one frame of a clip.

    frame: its number from 0; None for a picture. size: (height, width) in px. drawn: the drawing, if one was made.
    """

    source: Path
    frame: int | None
    size: tuple[int, int]
    faces: tuple[FoundFace, ...]
    drawn: Path | None


@dataclass(frozen=True)
class FrameFaces:
    """The faces in a frame with their rotations (N, 3, 3), canonical to camera."""

    index: int
    frame: Frame
    faces: list[Face]
    rotations: torch.Tensor


@dataclass(frozen=True)
class ProbedClip:
    """A clip and the result of probing it, so that it is probed only once. hooks: receive warnings and progress."""

    source: Path
    info: VideoInfo
    hooks: Hooks

    def frames(self) -> Iterator[Frame]:
        """Read all frames from the beginning."""
        return read_video(self.source, ReadOptions(warn=self.hooks.warn), self.info)


def find_faces(
    source: str | Path,
    draw: str | Path | None = None,
    *,
    frame: int | None = None,
    force: bool = False,
    max_pixels: int = MAX_PIXELS,
    hooks: Hooks | None = None,
) -> FacesFound:
    """List the faces of a picture or of one frame of a clip, from left to right.

    frame: number from 0 in a clip; None takes the first with a face. draw: where to write the picture with the
    faces marked; for a clip a video's name draws the whole of it. Raises a subclass of Vid2VidError whose text is
    one line, NoFaceError where there is no face.
    """
    source, hooks = Path(source), hooks or Hooks()
    target = None if draw is None else Path(draw)
    info = probe_video(source, max_pixels) if sniff(source) == "video" else None
    _check(source, target, frame, is_clip=info is not None)
    if target is not None:
        check_output(target, force=force, inputs=[source])
    # Whatever checkpoint will animate a face, its pose is read with the embedded mesh.
    finder = FaceFinder(load_model().model, load_face_analyzer())
    clip = None if info is None else ProbedClip(source, info, hooks)
    seen = _search_still(source, finder, max_pixels) if clip is None else _search_clip(clip, frame, finder)
    if target is not None and is_picture_name(target):
        # A drawing over a real picture is not synthetic media: it gets no mark.
        write_image(target, _draw(seen), force=force, provenance=None)
    elif target is not None and clip is not None:
        _draw_clip(clip, target, finder, force=force)
    height, width = seen.frame.shape[:2]
    return FacesFound(source, None if clip is None else seen.index, (height, width), describe_faces(seen), target)


def _check(source: Path, target: Path | None, frame: int | None, *, is_clip: bool) -> None:
    """Raise UsageError for options that contradict each other."""
    if frame is not None and not is_clip:
        raise UsageError(f"--frame {frame}: {source} is a picture and has no frames; leave --frame out")
    if frame is not None and frame < 0:
        raise UsageError(f"--frame {frame}: frames count from 0")
    if target is None or is_picture_name(target):
        return
    if not is_clip:
        raise UsageError(f"--draw {target}: {source} is a picture; draw it in a .png or .jpg")
    if frame is not None:
        raise UsageError(f"--draw {target}: one frame makes a picture; name a .png, or leave --frame out")


class FaceFinder:
    """Finds the faces in a frame and reads their head pose."""

    def __init__(self, model: ReenactmentModel, analyzer: FaceAnalyzer) -> None:
        self._model, self._analyzer = model, analyzer

    @torch.inference_mode()
    def __call__(self, index: int, frame: Frame, *, thorough: bool) -> FrameFaces:
        """Look at a frame (H, W, 3)."""
        faces = self._analyzer.faces(frame, thorough=thorough)
        if not faces:  # np.stack refuses an empty list
            return FrameFaces(index, frame, [], torch.zeros(0, 3, 3))
        landmarks = torch.from_numpy(np.stack([face.landmarks_px for face in faces])).float()  # (N, 470, 3)
        motion = self._model.motion(None, landmarks, (frame.shape[0], frame.shape[1]))
        return FrameFaces(index, frame, faces, motion.rotation)


def describe_faces(seen: FrameFaces) -> tuple[FoundFace, ...]:
    """Describe the faces of a frame, with numbers rounded to the digits that mean something."""
    angles = zip(*(angle.tolist() for angle in pose_from_rotation(seen.rotations)), strict=True)
    return tuple(_describe(index, *both) for index, both in enumerate(zip(seen.faces, angles, strict=True)))


def _describe(index: int, face: Face, angles: tuple[float, ...]) -> FoundFace:
    left, top, right, bottom = (round(side, 1) for side in face.box)
    yaw, pitch, roll = (round(math.degrees(angle), 1) for angle in angles)
    return FoundFace(index, (left, top, right, bottom), round(face.size_px, 1), yaw, pitch, roll, round(face.score, 3))


def _search_still(source: Path, finder: FaceFinder, max_pixels: int) -> FrameFaces:
    seen = finder(0, read_image(source, max_pixels=max_pixels), thorough=True)
    if not seen.faces:
        raise NoFaceError(f"{source}: no face found; use a picture where a face is larger and less hidden")
    return seen


def _search_clip(clip: ProbedClip, wanted: int | None, finder: FaceFinder) -> FrameFaces:
    """Search the wanted frame, or one frame after the other until there is a face."""
    source, index = clip.source, -1
    for index, frame in enumerate(clip.frames()):
        if wanted is not None and index < wanted:
            continue
        # The quick search tells whether the thorough one, which takes ten times as long, is worth its time.
        if index in (0, wanted) or finder(index, frame, thorough=False).faces:
            seen = finder(index, frame, thorough=True)
            if seen.faces:
                return seen
        if wanted is not None:
            raise NoFaceError(f"{source}: no face found in frame {index}; try another, or leave --frame out")
        clip.hooks.progress(index + 1, clip.info.frame_count)
    if wanted is not None:
        raise UsageError(f"--frame {wanted}: {source} has frames 0 to {index}")
    raise NoFaceError(f"{source}: no face found in any of {index + 1} frames; use a clip where a face is seen")


def _draw(seen: FrameFaces) -> Frame:
    frame = seen.frame
    for index, (face, rotation) in enumerate(zip(seen.faces, seen.rotations.numpy(), strict=True)):
        frame = draw_face(frame, face, rotation, str(index))
    return frame


def _draw_clip(clip: ProbedClip, target: Path, finder: FaceFinder, *, force: bool) -> None:
    """Write the whole clip with all faces drawn, at its own rate, without sound."""
    info = clip.info

    def drawn() -> Iterator[Frame]:
        for index, frame in enumerate(clip.frames()):
            # The thorough search would make a long clip take ten times as long.
            yield _draw(finder(index, frame, thorough=False))

    options = WriteOptions(fps=info.fps, provenance=None, force=force, pixel_aspect=info.pixel_aspect)
    write_frames(target, drawn(), options, info.frame_count, clip.hooks)

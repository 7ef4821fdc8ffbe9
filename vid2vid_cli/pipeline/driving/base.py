"""What every driving offers, and what a kind of driving that is opened from a file offers as well."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import ClassVar

from torch import Tensor

from vid2vid_cli.arrays import Frame, Points
from vid2vid_cli.errors import NoFaceError, Vid2VidError
from vid2vid_cli.media.audio import AudioSource
from vid2vid_cli.media.video import ReadOptions
from vid2vid_cli.models.base import ReenactmentModel
from vid2vid_cli.motion import Motion
from vid2vid_cli.pipeline.driving.motion_reader import ReaderSetup

SURVEYED = 128  # frames that tell a driving's habits


@dataclass(frozen=True)
class ShotStart:
    """What counts from the first frame of another shot on.

    reference: as in `Driving.find_reference`. look_at_rest: as in `Driving.look_at_rest`.
    """

    reference: Reference
    look_at_rest: object | None


@dataclass(frozen=True)
class SeenPatch:
    """A piece of what the camera of a call saw.

    motion: of the frame that it was cut out of. place: its left, top, right and bottom edge in the call's picture, in
    shares of that picture's width and height. file: an image file.
    """

    motion: Motion
    place: tuple[float, float, float, float]
    file: bytes


@dataclass(frozen=True)
class DrivenFrame:
    """One driving frame.

    motion: of this one frame, None before the first face was seen.
    found: whether this very frame shows a face; otherwise `motion` is the last one known.
    picture: the frame itself, None for a driving without pictures.
    look: what the family shows of the frame itself, see models.base.ShowsDriving; None for nothing.
    is_repeat: whether to show the previous output frame again instead of rendering, if there is one.
    arrived_s: when the frame came in, by time.perf_counter; None unless the driving is live.
    starts: what counts from here on, where another shot begins in which motion is relative to another rest.
    landmarks_px: (470, 3), of the face in the picture; None where none was read. patches: what a call has sent since
    the last frame, see `Driving.is_of`. rest: what motion is relative to from here on, where a live driving has learnt
    more of it; None: what counted before.
    """

    motion: Motion | None
    found: bool
    picture: Frame | None
    is_repeat: bool = False
    arrived_s: float | None = None
    look: object | None = None
    starts: ShotStart | None = None
    landmarks_px: Points | None = None
    patches: tuple[SeenPatch, ...] = ()
    rest: Motion | None = None


@dataclass(frozen=True)
class Reference:
    """What counts in a driving as the source's rest.

    motion: of one frame. frame: the driving's frame that its head pose is of; None if that is no frame of it.
    rest_frames: over how many frames its expression was estimated; 0 if it is that of `frame`. has_rest: whether the
    face is ever at rest in them. name: what it is called where no frame shows it.
    """

    motion: Motion
    frame: int | None = None
    rest_frames: int = 0
    has_rest: bool = True
    name: str = "the call's picture"

    def __str__(self) -> str:
        pose = self.name if self.frame is None else f"frame {self.frame}"
        if not self.rest_frames:
            return pose
        hint = "" if self.has_rest else " (a guess, since its lips never close; --reference-frame N may know better)"
        return f"the face at rest over {self.rest_frames} frames{hint}, head of {pose}"


# Compared and hashed by identity: a driving holds open files and what it has read so far.
@dataclass(kw_only=True, eq=False)
class Driving(ABC):
    """A stream of motions. Iterate over `frames`, then `close`.

    path: the file, or a name for messages. fps: exact frames per second. count: frames in all, None if nobody knows.
    is_still: whether there is a single picture, which has no movement of its own to be relative to.
    audio: the sound that belongs to the frames. picture_size: (height, width) of the pictures, None without any.
    """

    path: Path
    fps: Fraction
    count: int | None  # None, never 0: an unknown length must not pass for an empty one
    is_still: bool = False
    audio: AudioSource | None = None
    picture_size: tuple[int, int] | None = None

    @abstractmethod
    def frames(self) -> Iterator[DrivenFrame]:
        """Yield the driving frames in order."""

    @abstractmethod
    def find_reference(self, model: ReenactmentModel, own: Motion, frame: str) -> Reference:
        """Return what counts as the source's own motion.

        own: the source's motion. frame: the number of a frame, from 0; `auto` for the face at rest, in the
        head pose nearest to that of `own`; or `picture` for what the picture shows that a call carries.
        UsageError if this driving cannot tell, NoFaceError if the frame shows no face.
        """

    def survey(self) -> Iterator[Motion]:
        """Yield motions spread over the driving, to see its habits; none where they are not known beforehand."""
        return iter(())

    def look_at_rest(self, reference: Motion) -> object | None:
        """Return what the family shows of the driving near a reference, see models.base.ShowsDriving; None: nothing."""
        return None

    def leave_face(self) -> None:  # noqa: B027  most kinds compare nothing
        """Learn that the source is somebody else, who follows no more of the driving's face than the mesh tells."""

    def is_of(self, picture: Path) -> bool:
        """Say whether a picture is the driving's own, which its patches belong to."""
        return False

    def know_shape(self, shape: Tensor) -> None:  # noqa: B027  most kinds see the face themselves
        """Learn the shape (1, K, 3) of the face that drives, of which its motions are free, before they are read."""

    def no_face(self) -> Vid2VidError:
        """Return the error for a driving that never shows a face, or never the chosen one."""
        return NoFaceError(f"{self.path}: no face found in any frame; see it with vid2vid faces")

    def close(self) -> None:  # noqa: B027  most kinds hold nothing open
        """Release what was opened."""


@dataclass(kw_only=True, eq=False)
class FileDriving(Driving):
    """A kind of driving that is a file: `frames` may be called any number of times, and starts anew each time.

    To add a kind, write a subclass in a file of its own and add it to `opening.KINDS`.
    suffixes: what its files are usually called, in lower case with the dot; used to list a folder.
    suffixes_are_shared: whether many other files are called so too, which are left out of that list.
    """

    suffixes: ClassVar[frozenset[str]]
    suffixes_are_shared: ClassVar[bool] = False

    count: int  # of a file it is always known

    def survey(self) -> Iterator[Motion]:
        """Yield about SURVEYED motions spread over the whole file."""
        step = max(1, self.count // SURVEYED)
        shown = itertools.islice(self.frames(), 0, None, step)
        return (driven.motion for driven in shown if driven.motion is not None and driven.found)

    @classmethod
    @abstractmethod
    def detect(cls, path: Path) -> bool:
        """Say whether a file is of this kind, by its content. The file exists and is not empty."""

    @classmethod
    @abstractmethod
    def open(cls, path: Path, reading: ReadOptions, setup: ReaderSetup) -> FileDriving:
        """Open a file that `detect` accepted. Raises a subclass of Vid2VidError that says what is wrong with it."""

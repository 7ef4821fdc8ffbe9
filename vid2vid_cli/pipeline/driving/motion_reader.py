"""Read the motion of one face out of frames."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vid2vid_cli.arrays import Frame, Points
from vid2vid_cli.face.crop import EVERYWHERE, FaceCrop, crop_around, crop_frame, crop_gray
from vid2vid_cli.face.frames import image_of
from vid2vid_cli.face.mesh import Face, FaceAnalyzer, Select
from vid2vid_cli.face.placing import whole_head
from vid2vid_cli.media.files import MAX_PIXELS
from vid2vid_cli.models.base import ReenactmentModel, ShowsDriving
from vid2vid_cli.models.following import Follower, Follows
from vid2vid_cli.motion import Motion
from vid2vid_cli.pipeline.memory import Memory
from vid2vid_cli.pipeline.options import HeadMotion

KEPT_PX = 768  # longer side of a crop that is kept for a while: more of the skin than is ever compared


@dataclass(frozen=True)
class SpeechSetup:
    """How a sound drives. head, seed: how the head moves, see bearing.py. fps: frames a second; None: as usual."""

    head: HeadMotion = "calm"
    seed: int = 0
    fps: Fraction | None = None


@dataclass(frozen=True)
class ReaderSetup:
    """How driving frames are read: by which model, which face, on which device.

    memory: what earlier jobs have read, None to read everything. needs_pictures: whether the frames themselves are
    shown, and not only their motion is wanted. max_pixels: a larger frame is refused.
    follows: whether movement beside the head counts, see models.base.Follows. shows: whether the model may show parts
    of the driving's pictures, its mouth or, by the share `wrinkles`, its skin's light: see models.base.ShowsDriving.
    speech: how a driving moves that is a sound. keeps_zoom: whether heads grow where the camera of a clip zooms in.
    """

    model: ReenactmentModel
    analyzer: FaceAnalyzer
    select: Select
    device: torch.device
    memory: Memory | None = None
    needs_pictures: bool = True
    max_pixels: int = MAX_PIXELS
    follows: bool = True
    shows: bool = False
    wrinkles: float = 0.0
    speech: SpeechSetup = SpeechSetup()
    keeps_zoom: bool = False

    @property
    def looks(self) -> bool:
        """Whether the model takes anything out of the pictures to show it."""
        return (self.shows or self.wrinkles > 0) and isinstance(self.model, ShowsDriving)


@dataclass(frozen=True)
class FrameReading:
    """What one frame tells of the motion by itself.

    compare: computes the motion's `extra` by comparing the frame with the first one, which is slow; None if the
    motion is whole without it. landmarks_px: (470, 3), of the face; None where they are not known any more.
    """

    motion: Motion
    compare: Callable[[], Tensor] | None = None
    landmarks_px: Points | None = None

    def complete(self) -> Motion:
        """Return the whole motion."""
        return self.motion if self.compare is None else replace(self.motion, extra=self.compare())


class MotionReader:
    """Reads the motion of one face, always in the crop that fits the face in the first frame."""

    def __init__(self, setup: ReaderSetup, frame: Frame, face: Face) -> None:
        """Fix the crop by the first frame. This reads nothing yet: pass the frame to `read` as well."""
        self._setup, self._crop = setup, whole_head(setup.model.driving_crop, face, frame)
        self._follower: Follower | None = None
        self.follows_face = True
        """Whether later readings compare the face itself; see models.base.Follower."""
        # The view has a fixed size and may reach beyond the frame, whose edge is repeated there.
        if setup.follows and isinstance(setup.model, Follows):
            self._view = crop_around(face, setup.model.follow_crop, EVERYWHERE)
            picture, landmarks = crop_gray(frame, self._view), landmarks_in(self._view, face)
            corners = np.array([[0, 0], [frame.shape[1], frame.shape[0]]])
            seen = self._view.to_crop(corners).ravel().astype(np.float32)
            self._follower = setup.model.follow(picture, landmarks, seen)

    def read(self, frame: Frame, face: Face) -> Motion:
        """Return the motion (of one frame)."""
        return self.glance(frame, face).complete()

    @property
    def crop(self) -> FaceCrop:
        """The crop in which all frames are read."""
        return self._crop

    def glance(self, frame: Frame, face: Face) -> FrameReading:
        """Return what the frame tells by itself, and put off the comparison with the first frame."""
        model = self._setup.model
        # A crop without a fixed size belongs to a family that reads landmarks alone.
        needs_picture = model.driving_crop.size is not None
        image = image_of(crop_frame(frame, self._crop), self._setup.device) if needs_picture else None
        motion = model.motion(image, landmarks_in(self._crop, face), self._crop.size)
        if self._follower is None:
            return FrameReading(motion, landmarks_px=face.landmarks_px)
        seen = motion_in(self._view, motion, self._crop), crop_gray(frame, self._view)
        return FrameReading(motion, partial(self._compare, self._follower, *seen), face.landmarks_px)

    def _compare(self, follower: Follower, in_view: Motion, picture: NDArray[np.uint8]) -> Tensor:
        # Asked when a reading is completed: only then is it known who follows.
        return follower.compare(in_view, picture, face=self.follows_face)


def look_at(setup: ReaderSetup, frame: Frame, crop: FaceCrop, motion: Motion) -> object | None:
    """Return what the model shows of a frame whose motion was read in a crop; None where it shows nothing."""
    model = setup.model
    if not setup.looks or not isinstance(model, ShowsDriving):
        return None
    return model.look(frame, crop, motion, mouth=setup.shows, wrinkles=setup.wrinkles)


def cut_out(frame: Frame, crop: FaceCrop) -> tuple[Frame, FaceCrop]:
    """Return what a crop shows of a frame, small enough to keep some, and the same crop within it, for `look_at`."""
    shrink = min(1.0, KEPT_PX / max(crop.size))
    small = crop.resized((max(1, round(crop.size[0] * shrink)), max(1, round(crop.size[1] * shrink))))
    return crop_frame(frame, small), FaceCrop(np.eye(2, 3), small.size)


def motion_in(view: FaceCrop, motion: Motion, crop: FaceCrop) -> Motion:
    """Return a motion that was read in `crop` as it reads in `view`, which is shifted and scaled but not rotated."""
    # Motion is measured in halves of a crop's longer side; `half` and `view_half` are those in px of the frame.
    half, view_half = (max(one.size) / 2 * float(np.linalg.norm(one.affine[:, 0])) for one in (crop, view))
    shift = torch.from_numpy(np.append((crop.center_px - view.center_px) / view_half, 0.0)).to(motion.translation)
    scale = half / view_half
    return replace(motion, scale=motion.scale * scale, translation=motion.translation * scale + shift)


def landmarks_in(crop: FaceCrop, face: Face) -> Tensor:
    """Return a face's landmarks (1, 470, 3) in px of a crop."""
    return torch.from_numpy(crop.to_crop(face.landmarks_px)).float()[None]

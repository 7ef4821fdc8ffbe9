"""Cut faces out of frames: the crop, how a family wants it, and the sampling."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from vid2vid_cli.arrays import Frame
from vid2vid_cli.face.mesh import Face
from vid2vid_cli.face.sampling import sample_linear
from vid2vid_cli.geometry.affine import Matrix, apply_affine, invert_affine

# Mesh points along the jaw from temple to temple, and along the brows: the outline of the usual 68 landmarks.
JAW = (127, 234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361, 323, 454, 356)
BROWS = (70, 63, 105, 66, 107, 336, 296, 334, 293, 300)


@dataclass(frozen=True)
class FaceCrop:
    """The part of a frame that a network sees.

    affine: (2, 3), maps crop px to frame px, both from the left and top edge. size: (height, width) of the crop.
    """

    affine: Matrix
    size: tuple[int, int]

    @property
    def is_native(self) -> bool:
        """Whether crop pixels are frame pixels, so that cutting and pasting lose nothing."""
        linear, offset = self.affine[:, :2], self.affine[:, 2]
        return bool(np.array_equal(linear, np.eye(2)) and np.array_equal(offset, np.round(offset)))

    @property
    def center_px(self) -> NDArray[np.float64]:
        """Return the centre of the crop in frame px, (2,)."""
        return apply_affine(self.affine, np.array([self.size[1] / 2, self.size[0] / 2]))

    def resized(self, size: tuple[int, int]) -> FaceCrop:
        """Return the same part of the frame at another resolution (height, width)."""
        if size == self.size:
            return self
        affine = self.affine.copy()
        affine[:, :2] *= (self.size[1] / size[1], self.size[0] / size[0])
        return FaceCrop(affine, size)

    def to_crop(self, points_px: NDArray[np.floating]) -> NDArray[np.float64]:
        """Map points (..., 2 or 3) from frame px to crop px."""
        return apply_affine(invert_affine(self.affine), points_px)


@dataclass(frozen=True)
class Room:
    """The part of a frame, in frame px, that a native crop must not leave."""

    left_px: float
    top_px: float
    right_px: float
    bottom_px: float

    @classmethod
    def of_frame(cls, size: tuple[int, ...]) -> Room:
        """Return the room of a whole frame. size: (height, width, ...)."""
        return cls(0.0, 0.0, float(size[1]), float(size[0]))


EVERYWHERE = Room(-np.inf, -np.inf, np.inf, np.inf)  # beyond the frame too, where its edge is repeated


@dataclass(frozen=True)
class CropSpec:
    """How a family wants its faces cropped.

    scale: side of the square over the longer side of the box around the landmarks. shift_up: how far the square lies
    above the centre of that box, over its own side. upright: rotate so that the eyes are level. size: side of the
    crop in px; None keeps the frame's own pixels, and then the crop ends where its room ends. below_forehead: take
    the box around jaw and brows only, as the usual 68 landmarks give it.
    """

    scale: float
    shift_up: float = 0.0
    upright: bool = False
    size: int | None = None
    below_forehead: bool = False


def crop_around(face: Face, spec: CropSpec, room: Room) -> FaceCrop:
    """Place the crop of a face. room: only a native crop is limited to it."""
    points = face.landmarks_px[:, :2].astype(np.float64)
    angle = _eye_angle(points) if spec.upright else 0.0
    cosine, sine = np.cos(angle), np.sin(angle)
    turn = np.array([[cosine, -sine], [sine, cosine]])
    if spec.below_forehead:
        points = points[list(JAW + BROWS)]
    level = points @ turn  # (N, 2), in axes turned with the head
    low, high = level.min(0), level.max(0)
    side = float((high - low).max() * spec.scale)
    centre = (low + high) / 2 - (0.0, spec.shift_up * side)
    if spec.size is None:
        return _native_crop(centre, side, room)
    step = side / spec.size
    origin = turn @ (centre - spec.size / 2 * step)
    return FaceCrop(np.concatenate([turn * step, origin[:, None]], 1), (spec.size, spec.size))


def _native_crop(centre: NDArray[np.float64], side: float, room: Room) -> FaceCrop:
    x, y = centre
    left, top = int(max(room.left_px, np.floor(x - side / 2))), int(max(room.top_px, np.floor(y - side / 2)))
    right, bottom = int(min(room.right_px, np.ceil(x + side / 2))), int(min(room.bottom_px, np.ceil(y + side / 2)))
    affine = np.array([[1.0, 0.0, left], [0.0, 1.0, top]])
    return FaceCrop(affine, (max(bottom - top, 1), max(right - left, 1)))


def _eye_angle(points: NDArray[np.float64]) -> float:
    """Return the angle, in radians, of the line through the outer corners of the eyes (mesh points 33 and 263)."""
    across = points[263] - points[33]
    return float(np.arctan2(across[1], across[0]))


def crop_frame(frame: Frame, crop: FaceCrop) -> Frame:
    """Cut a crop out of a frame. Beyond the edge of the frame, the edge is repeated."""
    height, width = crop.size
    if crop.is_native:
        left, top = (int(v) for v in crop.affine[:, 2])
        if left >= 0 and top >= 0 and top + height <= frame.shape[0] and left + width <= frame.shape[1]:
            return np.ascontiguousarray(frame[top : top + height, left : left + width])
    return sample_affine(frame, crop.affine, crop.size)


def crop_gray(frame: Frame, crop: FaceCrop) -> Frame:
    """Cut a crop in gray, (height, width): several times as fast as `crop_frame`, and less finely sampled."""
    gray = np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), np.uint8)
    return sample_linear(gray, crop.affine, crop.size)


def sample_affine(frame: Frame, affine: Matrix, size: tuple[int, int]) -> Frame:
    """Sample a frame through an affine map (target px to frame px), bicubically; outside, the edge is repeated.

    A frame that shrinks is averaged first, so that fine patterns do not alias.
    """
    shrink = int(np.sqrt(abs(np.linalg.det(affine[:, :2]))) + 0.25)
    # Pillow fills what lies outside with black, so pad by as much as the target shows beyond the frame.
    corners = apply_affine(affine, np.array([[0, 0], [size[1], 0], [0, size[0]], [size[1], size[0]]]))
    pad = int(max(0, -corners.min(), (corners - (frame.shape[1], frame.shape[0])).max())) + 2
    padded = cv2.copyMakeBorder(frame, pad, pad, pad, pad, cv2.BORDER_REPLICATE)
    picture = Image.fromarray(padded)
    linear, offset = affine[:, :2], affine[:, 2] + pad
    if shrink > 1:
        picture = picture.reduce(shrink)  # the mean of shrink x shrink px
        linear, offset = linear / shrink, offset / shrink
    data = (*linear[0], offset[0], *linear[1], offset[1])
    turned = picture.transform((size[1], size[0]), Image.Transform.AFFINE, data, Image.Resampling.BICUBIC)
    return np.asarray(turned)

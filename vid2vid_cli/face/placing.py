"""Where the crop of a face lies in a frame: the room it has, and how it follows a face that moves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from vid2vid_cli.arrays import Frame
from vid2vid_cli.face.crop import CropSpec, FaceCrop, Room, crop_around
from vid2vid_cli.face.mesh import Face, face_from_landmarks

GLIDE = 0.15  # of the way to the face, each frame
LEAVING_MARGIN = 0.08  # of the crop's longer side: a face this near to the border is about to leave
TIGHT = 0.7  # of the crop's longer side: a face larger than this touches the border without moving


def whole_head(spec: CropSpec, face: Face, frame: Frame) -> FaceCrop:
    """Return the crop of a face that has the whole frame (H, W, 3) to itself."""
    return crop_around(face, spec, Room.of_frame(frame.shape))


def private_room(face: Face, everybody: Sequence[Face], frame_size: tuple[int, ...]) -> Room:
    """Return the part of a frame that holds no other face: it ends half way to each neighbour.

    frame_size: (height, width, ...). Distances are measured between the boxes of the faces.
    """
    # left, top, right, bottom, so that axis and axis + 2 are the two ends of one axis
    ends = [0.0, 0.0, float(frame_size[1]), float(frame_size[0])]
    for other in everybody:
        away = other.center_px - face.center_px
        if not away.any():  # the face itself
            continue
        axis = int(np.argmax(np.abs(away)))  # 0: beside, 1: above or below
        # Where two boxes overlap, the room still holds all of this face.
        if away[axis] > 0:
            limit = max((face.box[axis + 2] + other.box[axis]) / 2, face.box[axis + 2])
            ends[axis + 2] = min(ends[axis + 2], limit)
        else:
            limit = min((face.box[axis] + other.box[axis + 2]) / 2, face.box[axis])
            ends[axis] = max(ends[axis], limit)
    return Room(*ends)


def scale_face(face: Face, scale: float) -> Face:
    """Return the face as it lies in the same picture resized by `scale`."""
    return face if scale == 1 else face_from_landmarks(face.landmarks_px * np.float32(scale), face.score)


def glide_crop(last: FaceCrop, wanted: FaceCrop) -> FaceCrop:
    """Move a crop slowly towards the wanted one, keeping its size and angle; a native one by whole pixels."""
    step = GLIDE * (wanted.center_px - last.center_px)
    affine = last.affine.copy()
    affine[:, 2] += np.rint(step) if last.is_native else step
    return FaceCrop(affine, last.size)


def has_left(face: Face, crop: FaceCrop) -> bool:
    """Tell whether a face has moved so close to the border of its crop that it needs a new one."""
    low, high = crop.to_crop(np.array([face.box[:2], face.box[2:]]))
    height, width = crop.size
    margin = LEAVING_MARGIN * max(height, width)
    touches = low.min() < margin or high[0] > width - margin or high[1] > height - margin
    # A tight crop may be all that the frame has room for: another one would be as tight.
    is_tight = (high - low).max() > TIGHT * max(height, width)
    return bool(touches and not is_tight)

"""A camera that zooms: its pictures are brought back to the size of the first one, so that the head keeps its own."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator

import numpy as np

from vid2vid_cli.arrays import Frame
from vid2vid_cli.face.camera import CameraTracker, Similarity2D, move_picture
from vid2vid_cli.face.matte import Mask

IGNORED = 0.05  # of the size, as a logarithm: hands that hold a camera make it larger and smaller by that much
NOTICED = 0.015  # from here on every frame is looked at
EVERY = 4  # frames, of which one is looked at before


class ZoomRemover:
    """Brings the frames of one shot to the scale of its first one; where the camera does not zoom, leaves them alone.

    Only the scale is undone, about the middle of the picture: a camera that turns after somebody keeps them in
    view.
    """

    def __init__(self, matte: Callable[[Frame], Mask]) -> None:
        """matte: finds the person in a frame (H, W, 3), behind whom the camera is watched."""
        self._camera = CameraTracker(matte)
        self._count, self._seen, self._zoom = 0, 0.0, 0.0

    def __call__(self, frame: Frame) -> Frame:
        """Return the next frame (H, W, 3) as it would look without the zoom."""
        if self._count % EVERY == 0 or abs(self._zoom) > NOTICED:
            before, self._seen = self._seen, _zoom_of(self._camera(frame))
            self._zoom += self._seen - before if self._camera.is_certain else 0
        self._count += 1
        zoom = math.copysign(max(0.0, abs(self._zoom) - IGNORED), self._zoom)
        return frame if zoom == 0 else move_picture(frame, np.diag([math.exp(-zoom), math.exp(-zoom), 1.0]))


def _zoom_of(moved: Similarity2D) -> float:
    """Return the scale of a movement as a logarithm."""
    return 0.5 * math.log(max(1e-6, float(np.linalg.det(moved[:2, :2]))))


def without_zoom(
    shots: Iterable[tuple[int, Frame]], matte: Callable[[Frame], Mask], warn: Callable[[int], None] = lambda frame: None
) -> Iterator[tuple[int, Frame]]:
    """Yield numbered shots with each shot's zoom undone. warn: is told the number of the first frame that changes."""
    removers: dict[int, ZoomRemover] = {}
    is_told = False
    for index, (shot, picture) in enumerate(shots):
        if shot not in removers:
            removers[shot] = ZoomRemover(matte)
        shown = removers[shot](picture)
        if shown is not picture and not is_told:
            is_told = True
            warn(index)
        yield shot, shown

"""What the mesh's flow misses in a driving clip: the movement of hair, neck, shoulders and camera, and small slips.

The first frame of the driving is warped by its own mesh to each later frame, and optical flow (DIS, Kroeger, Timofte,
Dai, Van Gool, ECCV 2016) finds what remains. Averaged over CELLS x CELLS cells of the square around the head it is part
of the motion, `Motion.extra`: it says how something moves, not what it looks like, so that another portrait's hair and
shoulders can follow it.
"""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from vid2vid_cli.models.compact.mesh_warp import FOLLOWING, Box, MeshWarp, PlacedMesh, Points

CELLS = 24
SIDE = 144  # of the gray pictures that are compared
MOST, MOST_IN_FACE = 0.4, 0.05  # of half the square's side: more is no movement, in the face a hand before it
IN_FACE = 0.98  # of following the head: rings beyond the face follow it less
ALIKE = 2.0  # grey levels: where the warp is off by no more, nothing is gained
GAIN = 5.0  # a fifth of the difference explained is enough to be believed
STRANGE = 45.0  # grey levels: where that much remains, something else is seen than in the first frame
CUT = 34.0  # grey levels of the whole picture: another scene. Within one at most 15 remained, between two 33 and more

Gray = NDArray[np.uint8]


class ResidualFlow:
    """Compares the frames of one driving with its first frame, warped to them by its mesh."""

    def __init__(self, warp: MeshWarp, box: Box, picture: NDArray[np.uint8]) -> None:
        """Remember the first frame.

        warp: its mesh. box: left, top, right, bottom of the square, in the mesh's unit. picture: (SIDE, SIDE, 3), RGB,
        what the square shows.
        """
        self._warp, self._box = warp, box
        self._first = _gray(picture)
        self._flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        y, x = np.mgrid[0:SIDE, 0:SIDE].astype(np.float32)
        self._here = np.stack([x, y], -1)

    def measure(self, mesh: PlacedMesh, picture: NDArray[np.uint8]) -> Points:
        """Return what is to be added to the mesh's displacement towards the first frame.

        mesh: the first frame's, placed as the frame shows it. picture: (SIDE, SIDE, 3), the frame's square. Returns
        (CELLS, CELLS, 2), x and y, in halves of the square's side.
        """
        shown = _gray(picture)
        step = (self._box[2] - self._box[0]) / SIDE
        drawn = mesh.draw(self._box, (SIDE, SIDE), FOLLOWING + 1)
        there = self._here + drawn[..., :2] / step
        warped = _sample(self._first, there)
        flow = self._flow.calc(shown, warped, None)  # type: ignore[call-overload]
        before, after = _difference(shown, warped), _difference(shown, _sample(warped, self._here + flow))
        residual = flow * (2 / SIDE)
        most = np.where(drawn[..., FOLLOWING] > IN_FACE, MOST_IN_FACE, MOST)
        believed = np.clip(GAIN * (before - after) / (before + ALIKE), 0, 1)
        believed *= _fade(after / STRANGE) * _fade(after.mean() / CUT)
        believed *= _fade(np.linalg.norm(residual, axis=-1) / most)
        residual *= cv2.blur(believed, (SIDE // CELLS, SIDE // CELLS))[..., None]
        return np.asarray(cv2.resize(residual, (CELLS, CELLS), interpolation=cv2.INTER_AREA), np.float32)


def _fade(share: Points | np.floating) -> Points:
    """Return 1 up to a half, and down to 0 at 1."""
    return np.asarray(np.clip(2 - 2 * share, 0, 1), np.float32)


def _gray(picture: NDArray[np.uint8]) -> Gray:
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), np.uint8)


def _sample(image: Gray, places_px: Points) -> Gray:
    """Sample a gray picture at places (H, W, 2); its border is repeated outside."""
    x, y = cv2.split(places_px)
    return np.asarray(cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE), np.uint8)


def _difference(one: Gray, other: Gray) -> Points:
    """Return the mean difference around each pixel."""
    away = cv2.absdiff(one, other).astype(np.float32)
    return np.asarray(cv2.boxFilter(away, -1, (SIDE // 8, SIDE // 8)), np.float32)

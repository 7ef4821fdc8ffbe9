"""Eyes as they really are: the mesh network hardly sees an eye close and sees no iris, the iris network does.

The iris network looks at both eyes through crops placed by the mesh. From its contour the lids' height is taken over
(not their place along the eye), the gap between them is calibrated, and the skin around follows. Every constant
was measured: on 121 portraits with open eyes, and on 44 clips for what closing does.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from vid2vid_cli.face.eyenet import EyeNet
from vid2vid_cli.face.frames import images_of
from vid2vid_cli.face.meshnet import LANDMARKS
from vid2vid_cli.face.square import Frame, Points, Square, crop_square

Array = NDArray[np.float64]

# Points of the mesh around the person's right and left eye, in the order of the network's first 16 points: from the
# outer corner (0) along the lower lid to the inner corner (8), then along the upper lid (9 to 15) inwards.
LOOPS = np.array(
    [
        [33, 7, 163, 144, 145, 153, 154, 155, 133, 246, 161, 160, 159, 158, 157, 173],
        [263, 249, 390, 373, 374, 380, 381, 382, 362, 466, 388, 387, 386, 385, 384, 398],
    ]
)
OUTER, INNER, LOWER, UPPER = 0, 8, slice(1, 8), slice(9, 16)
IRIS = 16  # of what the network sees of an eye: what comes after the contour
IRISES = (LANDMARKS, LANDMARKS + 1)  # of the landmarks: those after the mesh
# The two rings of skin around each loop, point by point beside those of the loop, and how far they go with the lids:
# so much of the displacement of the lid's edge do the network's own rings show when eyes close.
RINGS = (
    (
        0.35,
        np.array(
            [
                [130, 25, 110, 24, 23, 22, 26, 112, 243, 247, 30, 29, 27, 28, 56, 190],
                [359, 255, 339, 254, 253, 252, 256, 341, 463, 467, 260, 259, 257, 258, 286, 414],
            ]
        ),
    ),
    (
        0.15,
        np.array(
            [
                [226, 31, 228, 229, 230, 231, 232, 233, 244, 113, 225, 224, 223, 222, 221, 189],
                [446, 261, 448, 449, 450, 451, 452, 453, 464, 342, 445, 444, 443, 442, 441, 413],
            ]
        ),
    ),
)
CROP_MARGIN = 2.3
# How much lower than the mesh's the network's points lie on open eyes, in widths of the eye, in the loop's order.
OFFSET_DOWN = np.array(
    [0.028, 0.039, 0.041, 0.037, 0.023, 0.012, 0.011, 0.016, 0.020, 0.024, 0.023, 0.024, 0.023, 0.020, 0.022, 0.021]
)
OFFSET_CORNERS = np.array([[0.110, 0.028], [-0.021, 0.020]])  # of outer and inner corner: inwards, down
# Gap between the lids over the width of the eye, as the network answers: at most CLOSED on shut eyes (0.01 to 0.14,
# seldom more), at least OPEN on most open ones (0.19 to 0.45).
CLOSED, OPEN = 0.06, 0.26
MESH_SHARE = 0.4  # in the height of the lids of open eyes
SLIDE = 0.5  # how far the points of a shut upper lid go along the eye to their partners on the lower one
SMALLEST_GAP = 0.01  # so that the triangles between the lids keep their side
FAR_FROM_RAD, FAR_TO_RAD = math.radians(30), math.radians(45)
AGREES, DISAGREES = 0.2, 0.35  # mean distance of the corners between both networks, in widths of the eye


@dataclass(frozen=True)
class EyeFrame:
    """The axes of one eye of a mesh.

    center_px: (2,), the middle between its corners, in frame px. axes: (2, 2), unit vectors in the frame as columns:
    from the outer to the inner corner, and down the face. width_px: between the corners.
    """

    center_px: Array
    axes: Array
    width_px: float

    @classmethod
    def of(cls, mesh: Array, eye: int) -> EyeFrame:
        """Lay the axes through the corners of an eye (0 right, 1 left) of a mesh (468, 2) in frame px."""
        return cls.between(mesh[LOOPS[eye, OUTER]], mesh[LOOPS[eye, INNER]], eye)

    @classmethod
    def between(cls, outer: Array, inner: Array, eye: int) -> EyeFrame:
        """Lay the axes through the corners (2,) of an eye."""
        width = max(float(np.linalg.norm(inner - outer)), 1e-6)
        along = (inner - outer) / width
        turn = -1 if eye else 1  # outwards in on the left eye is leftwards: down is then the other normal
        down = np.array([-along[1], along[0]]) * turn
        return cls((outer + inner) / 2, np.stack([along, down], axis=1), width)

    def to_own(self, points: Array) -> Array:
        """Map points (..., 2) from frame px to this eye's axes, in widths of the eye."""
        own: Array = (points - self.center_px) @ self.axes / self.width_px
        return own

    def to_frame(self, own: Array) -> Array:
        """Map points (..., 2) back."""
        points: Array = self.center_px + self.width_px * own @ self.axes.T
        return points


def smooth_step(value: float, low: float, high: float) -> float:
    """Rise from 0 at low to 1 at high without a kink."""
    t = min(max((value - low) / (high - low), 0.0), 1.0)
    return t * t * (3 - 2 * t)


def fit_eyes(net: EyeNet, frame: Frame, meshes: Points) -> Points:
    """Put the lids of meshes (N, 468, 3) in frame px where the eye network sees them, and add the irises.

    Returns (N, 470, 3): of the mesh only x and y of lids change; then the middle of the right and of the left iris.
    """
    seen = see_eyes(net, frame, meshes)
    fitted = np.concatenate([meshes, meshes[:, LOOPS].mean(2)], 1)
    for mesh, target, pair in zip(meshes, fitted, seen, strict=True):
        for eye in (0, 1):
            move_lids(mesh.astype(np.float64), target, pair[eye, :IRIS], eye)
            # Between the corners that the eye network sees: the mesh's are off to one side.
            corners = EyeFrame.between(pair[eye, OUTER], pair[eye, INNER], eye)
            iris = corners.to_own(pair[eye, IRIS])
            target[IRISES[eye], :2] = EyeFrame.of(mesh[:, :2].astype(np.float64), eye).to_frame(iris)
    return fitted


def see_eyes(net: EyeNet, frame: Frame, meshes: Points) -> Array:
    """Ask the network for the eyes of meshes (N, 468, 3): (N, 2, 17, 2) in frame px, contour and middle of the iris."""
    squares = [eye_square(mesh[:, :2].astype(np.float64), eye) for mesh in meshes for eye in (0, 1)]
    crops = [crop_square(frame, square, net.image_size) for square in squares]
    crops[1::2] = [np.ascontiguousarray(crop[:, ::-1]) for crop in crops[1::2]]  # it knows right eyes only
    contours, irises = net(images_of(crops, next(net.parameters()).device))
    answer = torch.cat([contours[:, :IRIS, :2], irises[:, :, :2].mean(1, keepdim=True)], 1)
    points = (answer / net.image_size).cpu().numpy().astype(np.float64)
    points[1::2, :, 0] = 1 - points[1::2, :, 0]
    placed = [square.to_frame(own) for square, own in zip(squares, points, strict=True)]
    return np.stack(placed).reshape(-1, 2, IRIS + 1, 2).astype(np.float64)


def eye_square(mesh: Array, eye: int) -> Square:
    """Give the square that the network wants to see around an eye of a mesh (468, 2): level with both eyes."""
    corners = mesh[LOOPS[eye, [OUTER, INNER]]]
    across = mesh[LOOPS[1, OUTER]] - mesh[LOOPS[0, OUTER]]
    x, y = corners.mean(axis=0)
    side = max(float(np.linalg.norm(corners[1] - corners[0])) * CROP_MARGIN, 2.0)
    return Square(float(x), float(y), side, math.atan2(across[1], across[0]))


def move_lids(mesh: Array, target: Points, contour: Array, eye: int) -> None:
    """Move the lids of one eye of a mesh (468, 3), and the skin around, in target: to the contour (16, 2)."""
    axes = EyeFrame.of(mesh[:, :2], eye)
    seen, known = axes.to_own(contour), axes.to_own(mesh[LOOPS[eye], :2])
    trust = far_side_trust(mesh, eye) * corner_trust(seen, known)
    moved = trust * axes.width_px * lid_displacements(seen, known) @ axes.axes.T
    target[LOOPS[eye], :2] += moved
    for share, ring in RINGS:
        target[ring[eye], :2] += share * moved


def lid_displacements(seen: Array, known: Array) -> Array:
    """Tell how the lids must move from a mesh's loop to a seen contour, all (16, 2) in the eye's axes.

    On open eyes a constant offset makes up for the difference of the networks, and the mesh has its say, since two
    opinions tremble less than one. The more an eye closes, the nearer the upper lid comes to the lower one, and its
    points to their partners there.
    """
    openness = smooth_step(gap(seen), CLOSED, OPEN)
    heights = seen[:, 1] - OFFSET_DOWN
    gaps = np.maximum(heights[LOWER] - heights[UPPER], 0)
    heights[UPPER] = heights[LOWER] - np.maximum(gaps * openness, SMALLEST_GAP)
    moved = np.zeros_like(known)
    moved[:, 1] = (heights - known[:, 1]) * (1 - MESH_SHARE * openness)
    moved[UPPER, 0] = (known[LOWER, 0] - known[UPPER, 0]) * (1 - openness) * SLIDE
    moved[[OUTER, INNER]] = 0  # the corners hold the head's pose
    return moved


def gap(contour: Array) -> float:
    """Measure how far the middle of the lids is apart in a contour (16, 2), in widths of that contour."""
    width = max(float(np.linalg.norm(contour[INNER] - contour[OUTER])), 1e-6)
    return float(np.linalg.norm(contour[3:6] - contour[11:14], axis=1).mean()) / width


def far_side_trust(mesh: Array, eye: int) -> float:
    """Tell how well an eye can be seen, in [0, 1], by the yaw of a mesh (468, 3): the far eye of a profile cannot."""
    right, left = mesh[LOOPS[:, OUTER]]
    yaw = math.atan2(left[2] - right[2], max(float(np.linalg.norm(left[:2] - right[:2])), 1e-6))
    return 1 - smooth_step(yaw if eye else -yaw, FAR_FROM_RAD, FAR_TO_RAD)


def corner_trust(seen: Array, known: Array) -> float:
    """Tell how far two contours (16, 2) in the eye's axes are of the same eye, in [0, 1], by their corners."""
    ends = [OUTER, INNER]
    apart = float(np.linalg.norm(seen[ends] - OFFSET_CORNERS - known[ends], axis=1).mean())
    return 1 - smooth_step(apart, AGREES, DISAGREES)

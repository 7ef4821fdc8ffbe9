"""Correct the lids of a mesh and add the irises, by MediaPipe's iris network.

The mesh network hardly notices a closing eye, and does not place irises. The iris network sees both eyes in crops
placed by the mesh. The height of the lids is taken from its contour, but not their position along the eye. The gap
between the lids is calibrated, and the skin around them follows. All constants were measured: on 121 portraits with
open eyes, and on 44 clips in which eyes close.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from vid2vid_cli.arrays import Frame, Points
from vid2vid_cli.face.eyenet import EyeNet
from vid2vid_cli.face.frames import images_of
from vid2vid_cli.face.meshnet import LANDMARKS
from vid2vid_cli.face.square import Square, crop_square
from vid2vid_cli.geometry.easing import smoothstep_between

Array = NDArray[np.float64]

# Mesh points around the person's right and left eye, in the order of the iris network's first 16 points: from the
# outer corner (0) along the lower lid to the inner corner (8), then along the upper lid (9 to 15), also inwards.
LOOPS = np.array(
    [
        [33, 7, 163, 144, 145, 153, 154, 155, 133, 246, 161, 160, 159, 158, 157, 173],
        [263, 249, 390, 373, 374, 380, 381, 382, 362, 466, 388, 387, 386, 385, 384, 398],
    ]
)
OUTER, INNER, LOWER, UPPER = 0, 8, slice(1, 8), slice(9, 16)
IRIS = 16  # index of the iris centre among the points seen of one eye, after the contour
IRISES = (LANDMARKS, LANDMARKS + 1)  # indices of the iris centres among the landmarks, after the mesh
# The two rings of skin around each loop, point by point beside those of the loop, and the share of the lids'
# displacement that they take on: as much as the mesh network's own rings move when eyes close.
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
CROP_MARGIN = 2.3  # side of the crop over the width of the eye
# How much lower the iris network puts each point of the loop than the mesh does on open eyes, in widths of the eye.
OFFSET_DOWN = np.array(
    [0.028, 0.039, 0.041, 0.037, 0.023, 0.012, 0.011, 0.016, 0.020, 0.024, 0.023, 0.024, 0.023, 0.020, 0.022, 0.021]
)
# The same for the outer and the inner corner: inwards, down.
OFFSET_CORNERS = np.array([[0.110, 0.028], [-0.021, 0.020]])
# Gap between the lids over the width of the eye, as the iris network sees it: an eye is shut up to CLOSED and open from
# OPEN on. Measured: 0.01 to 0.14 on shut eyes, seldom more; 0.19 to 0.45 on most open ones.
CLOSED, OPEN = 0.06, 0.26
MESH_SHARE = 0.4  # weight of the mesh in the height of the lids of open eyes
SLIDE = 0.5  # how far the points of a shut upper lid move along the eye towards their partners on the lower lid
SMALLEST_GAP = 0.01  # keeps the triangles between the lids from turning over
# Yaw between which trust in the far eye fades.
FAR_FROM_RAD, FAR_TO_RAD = math.radians(30), math.radians(45)
AGREES, DISAGREES = 0.2, 0.35  # mean distance between the corners of both networks, in widths of the eye


@dataclass(frozen=True)
class EyeFrame:
    """The axes of one eye of a mesh.

    center_px: (2,), halfway between its corners, in frame px. axes: (2, 2), unit vectors in the frame as columns: from
    the outer to the inner corner, and down the face. width_px: distance of the corners.
    """

    center_px: Array
    axes: Array
    width_px: float

    @classmethod
    def of(cls, mesh: Array, eye: int) -> EyeFrame:
        """Return the axes of an eye (0 right, 1 left) of a mesh (468, 2) in frame px."""
        return cls.between(mesh[LOOPS[eye, OUTER]], mesh[LOOPS[eye, INNER]], eye)

    @classmethod
    def between(cls, outer: Array, inner: Array, eye: int) -> EyeFrame:
        """Return the axes of an eye with the given corners (2,) in frame px."""
        width = max(float(np.linalg.norm(inner - outer)), 1e-6)
        along = (inner - outer) / width
        # `along` points to the right of the frame for the right eye, to the left for the left one. So the normal that
        # points down is on its other side there.
        side = -1 if eye else 1
        down = np.array([-along[1], along[0]]) * side
        return cls((outer + inner) / 2, np.stack([along, down], axis=1), width)

    def to_own(self, points: Array) -> Array:
        """Map points (..., 2) from frame px to the axes of this eye, in widths of the eye."""
        own: Array = (points - self.center_px) @ self.axes / self.width_px
        return own

    def to_frame(self, own: Array) -> Array:
        """Map points (..., 2) from the axes of this eye back to frame px."""
        points: Array = self.center_px + self.width_px * own @ self.axes.T
        return points


def fit_eyes(net: EyeNet, frame: Frame, meshes: Points) -> Points:
    """Move the lids of meshes (N, 468, 3) in frame px to where the iris network sees them, and add the irises.

    Returns (N, 470, 3): the meshes, in which only x and y of lids and of the skin around them have changed, then the
    centres of the right and of the left iris.
    """
    seen = see_eyes(net, frame, meshes)
    # The irises begin at the mean of each loop, which gives them their z.
    fitted = np.concatenate([meshes, meshes[:, LOOPS].mean(2)], 1)
    for mesh, target, pair in zip(meshes, fitted, seen, strict=True):
        for eye in (0, 1):
            move_lids(mesh.astype(np.float64), target, pair[eye, :IRIS], eye)
            # The mesh's corners are off to one side: place the iris between the corners that the iris network sees.
            corners = EyeFrame.between(pair[eye, OUTER], pair[eye, INNER], eye)
            iris = corners.to_own(pair[eye, IRIS])
            target[IRISES[eye], :2] = EyeFrame.of(mesh[:, :2].astype(np.float64), eye).to_frame(iris)
    return fitted


def see_eyes(net: EyeNet, frame: Frame, meshes: Points) -> Array:
    """Run the iris network on both eyes of meshes (N, 468, 3) in frame px.

    Returns (N, 2, 17, 2) in frame px: the contour, then the centre of the iris.
    """
    squares = [eye_square(mesh[:, :2].astype(np.float64), eye) for mesh in meshes for eye in (0, 1)]
    crops = [crop_square(frame, square, net.image_size) for square in squares]
    crops[1::2] = [np.ascontiguousarray(crop[:, ::-1]) for crop in crops[1::2]]  # trained on right eyes only
    contours, irises = net(images_of(crops, next(net.parameters()).device))
    # (2 N, 17, 2): the contour without the brow, then the mean of the five points of the iris
    answer = torch.cat([contours[:, :IRIS, :2], irises[:, :, :2].mean(1, keepdim=True)], 1)
    points = (answer / net.image_size).cpu().numpy().astype(np.float64)
    points[1::2, :, 0] = 1 - points[1::2, :, 0]
    placed = [square.to_frame(own) for square, own in zip(squares, points, strict=True)]
    return np.stack(placed).reshape(-1, 2, IRIS + 1, 2).astype(np.float64)


def eye_square(mesh: Array, eye: int) -> Square:
    """Return the square that the iris network expects around an eye of a mesh (468, 2), level with both eyes."""
    corners = mesh[LOOPS[eye, [OUTER, INNER]]]
    across = mesh[LOOPS[1, OUTER]] - mesh[LOOPS[0, OUTER]]
    x, y = corners.mean(axis=0)
    side = max(float(np.linalg.norm(corners[1] - corners[0])) * CROP_MARGIN, 2.0)
    return Square(float(x), float(y), side, math.atan2(across[1], across[0]))


def move_lids(mesh: Array, target: Points, contour: Array, eye: int) -> None:
    """Move the lids of one eye in `target`, and the skin around them, from a mesh (468, 3) to a contour (16, 2)."""
    axes = EyeFrame.of(mesh[:, :2], eye)
    seen, known = axes.to_own(contour), axes.to_own(mesh[LOOPS[eye], :2])
    trust = far_side_trust(mesh, eye) * corner_trust(seen, known)
    moved = trust * axes.width_px * lid_displacements(seen, known) @ axes.axes.T
    target[LOOPS[eye], :2] += moved
    for share, ring in RINGS:
        target[ring[eye], :2] += share * moved


def lid_displacements(seen: Array, known: Array) -> Array:
    """Return how the lids must move from the loop of a mesh to a seen contour, all (16, 2) in the axes of the eye.

    On open eyes a constant offset makes up for the difference between the networks, and the mesh keeps some weight:
    the mean of two estimates is steadier than one. As an eye closes, the upper lid approaches the lower one, and
    its points approach their partners there.
    """
    openness = smoothstep_between(gap(seen), CLOSED, OPEN)
    heights = seen[:, 1] - OFFSET_DOWN
    gaps = np.maximum(heights[LOWER] - heights[UPPER], 0)
    heights[UPPER] = heights[LOWER] - np.maximum(gaps * openness, SMALLEST_GAP)
    moved = np.zeros_like(known)
    moved[:, 1] = (heights - known[:, 1]) * (1 - MESH_SHARE * openness)
    moved[UPPER, 0] = (known[LOWER, 0] - known[UPPER, 0]) * (1 - openness) * SLIDE
    moved[[OUTER, INNER]] = 0  # the corners hold the head's pose
    return moved


def gap(contour: Array) -> float:
    """Measure the gap between the middles of the lids in a contour (16, 2), in widths of that contour."""
    width = max(float(np.linalg.norm(contour[INNER] - contour[OUTER])), 1e-6)
    return float(np.linalg.norm(contour[3:6] - contour[11:14], axis=1).mean()) / width


def far_side_trust(mesh: Array, eye: int) -> float:
    """Return how visible an eye is, in [0, 1], from the yaw of a mesh (468, 3): the far eye of a profile is hidden."""
    right, left = mesh[LOOPS[:, OUTER]]
    yaw = math.atan2(left[2] - right[2], max(float(np.linalg.norm(left[:2] - right[:2])), 1e-6))
    return 1 - smoothstep_between(yaw if eye else -yaw, FAR_FROM_RAD, FAR_TO_RAD)


def corner_trust(seen: Array, known: Array) -> float:
    """Return how well the corners of two contours (16, 2) in the axes of the eye agree, in [0, 1]."""
    ends = [OUTER, INNER]
    apart = float(np.linalg.norm(seen[ends] - OFFSET_CORNERS - known[ends], axis=1).mean())
    return 1 - smoothstep_between(apart, AGREES, DISAGREES)

"""Movements of a face as geometry, for a scripted motion: where each point of the mesh goes when a muscle pulls.

Offsets are in eye distances of the canonical frame: x right in the picture, y down, z away from the camera.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from vid2vid_cli.geometry.easing import smoothstep
from vid2vid_cli.models.compact.mesh.topology import FaceTopology

Array = NDArray[np.float64]

# Where the lower jaw turns, in the canonical frame (y down, z away): in front of the ears.
JAW_HINGE_YZ = (-0.05, -0.25)
SEAM_SINKS = 0.03  # of closed eyes, in eye distances
# Where the eyebrows begin beside the nose, in the canonical frame (x of the right one's mirror, y).
BROW_HEAD_XY = (0.16, -0.44)


def smooth(x: Array) -> Array:
    """Return a smooth step in double precision, in which all curves are made."""
    return smoothstep(x, np.float64)


class FaceShapes:
    """Movements of the face at full strength: offsets (468, 3) of the mesh in the canonical frame, in eye distances."""

    def __init__(self, topology: FaceTopology) -> None:
        self._face = topology.canonical.numpy().astype(np.float64)
        lips = self._face[topology.inner_lips]
        half = len(lips) // 2
        self._upper_lip, self._lower_lip = lips[: half + 1], np.concatenate([lips[half:], lips[:1]])[::-1]
        self._eye_loops = topology.eyes
        mouth = (self._upper_lip + self._lower_lip) / 2
        self._mouth = mouth.mean(0)
        self._mouth_half = float(np.ptp(mouth[:, 0]) / 2)
        self._mouth_line = np.interp(self._face[:, 0], mouth[:, 0], mouth[:, 1])

    def jaw(self, angle_deg: float = 10.5) -> Array:
        """Open the mouth: what lies below the line of the lips turns down about the hinge of the jaw."""
        x, y, z = self._face.T
        beside = np.maximum(0, np.abs(x) - self._mouth_half)
        across = np.minimum(1, np.abs(x) / self._mouth_half)
        # Sharp between the lips, softer at their corners, which stay together, and ever softer over the cheeks.
        weight = smooth((y - self._mouth_line) / (0.07 + 0.28 * across**2 + 1.6 * beside) + 0.5)
        angle = np.radians(angle_deg)
        down, away = y - JAW_HINGE_YZ[0], z - JAW_HINGE_YZ[1]
        turned = np.stack(
            [
                np.zeros_like(x),
                np.cos(angle) * down - np.sin(angle) * away - down,
                np.sin(angle) * down + np.cos(angle) * away - away,
            ],
            1,
        )
        offsets = weight[:, None] * turned
        offsets[:, 1] -= 0.025 * self._near(self._upper_lip, 0.10) * (1 - weight)
        return np.asarray(offsets)

    def pucker(self) -> Array:
        """Push the lips forward and their corners together."""
        near = self._near(np.concatenate([self._upper_lip, self._lower_lip]), 0.28)
        return np.stack([-0.30 * near * self._face[:, 0], 0 * near, -0.06 * near], 1)

    def smile(self) -> Array:
        """Show the teeth: the corners of the mouth go outwards, up and back, the upper lip rises, the cheeks follow."""
        corners = self._hill(self._distance(self._upper_lip[[0, -1]]), 0.17)
        side = np.tanh(self._face[:, 0] / 0.15)
        middle = np.maximum(0, 1 - np.square(self._face[:, 0] / self._mouth_half))  # the lips meet at their corners
        upper = middle * self._hill(self._distance(self._upper_lip[2:-2]), 0.09) * self._above_mouth()
        lower = np.sqrt(middle) * self._hill(self._distance(self._lower_lip[2:-2]), 0.09) * (1 - self._above_mouth())
        cheeks = self._hill(np.hypot(np.abs(self._face[:, 0]) - 0.48, self._face[:, 1] - 0.05), 0.16)
        rise = 0.11 * corners + 0.06 * upper - 0.025 * lower + 0.04 * cheeks
        return np.stack([0.085 * corners * side, -rise, 0.07 * corners - 0.02 * cheeks], 1)

    def shut(self, face: Array, eye: int) -> Array:
        """Lay an upper lid of a face (468, 3) on its lower one; the skin above follows. eye: 0 or 1."""
        offsets = np.zeros_like(face)
        x, y = face[:, 0], face[:, 1]
        loop = self._eye_loops[eye]
        one, other = face[loop[:9]], face[np.append(loop[8:], loop[0])]
        upper, lower = sorted((chain[np.argsort(chain[:, 0])] for chain in (one, other)), key=lambda c: c[:, 1].mean())
        lid = np.interp(x, upper[:, 0], upper[:, 1])
        opening = np.interp(x, lower[:, 0], lower[:, 1]) - lid
        above = smooth(1 - (lid - y) / 0.16)
        reached = (x > upper[0, 0]) & (x < upper[-1, 0]) & (y < lid + 0.3 * opening)
        offsets[:, 1] += np.where(reached, opening * above, 0)
        # The seam sinks a little below where the lower lid was, which hides the white of the eye.
        share = np.interp(face[loop, 0], [upper[0, 0], upper[:, 0].mean(), upper[-1, 0]], [0, 1, 0])
        offsets[loop, 1] += SEAM_SINKS * smooth(2 * share)
        return offsets

    def blink(self, face: Array) -> Array:
        """Shut both eyes of a face (468, 3)."""
        return self.shut(face, 0) + self.shut(face, 1)

    def brows(self) -> Array:
        """Raise the eyebrows and wrinkle the forehead a little."""
        height = -self._face[:, 1]
        eye = -float(self._face[self._eye_loops, 1].min(1).mean())
        rise = smooth((height - eye - 0.02) / 0.14) * (1 - smooth((height - eye - 0.20) / 0.28))
        return np.stack([0 * rise, -0.075 * rise, 0 * rise], 1)

    def frown(self) -> Array:
        """Draw the heads of the eyebrows down and together."""
        x, y = self._face[:, 0], self._face[:, 1]
        heads = self._hill(np.hypot(np.abs(x) - BROW_HEAD_XY[0], 0.8 * (y - BROW_HEAD_XY[1])), 0.13)
        return np.stack([-0.055 * heads * np.tanh(x / 0.08), 0.085 * heads, 0 * heads], 1)

    def _above_mouth(self) -> Array:
        """Return 1 for points above the line of the lips, 0 below it: (468,)."""
        return smooth((self._mouth_line - self._face[:, 1]) / 0.06 + 0.5)

    @staticmethod
    def _hill(distance: Array, width: float) -> Array:
        return np.asarray(np.exp(-np.square(distance) / (2 * width**2)))

    def _distance(self, anchors: Array) -> Array:
        return np.asarray(np.linalg.norm(self._face[:, None, :2] - anchors[None, :, :2], axis=-1).min(1))

    def _near(self, anchors: Array, reach: float) -> Array:
        return 1 - smooth(self._distance(anchors) / reach)

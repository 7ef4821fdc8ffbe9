"""Gaze: read from where the irises lie between the corners of the eyes, and shown by drawing them elsewhere.

A gaze is (x, y, 0): how far the irises lie right of and below the middles of their eyes in the picture, in eye widths.
Both eyes share one gaze. The gaze is the last of the compact family's keypoints.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vid2vid_cli.arrays import Points
from vid2vid_cli.face.eyes import IRISES, LOOPS, LOWER, UPPER, EyeFrame
from vid2vid_cli.geometry.easing import smoothstep_between
from vid2vid_cli.models.compact.eye_layer import LID_PLACES, EyeTarget, MovedEye, draw_eye, read_eye
from vid2vid_cli.models.compact.iris_size import iris_radius, lids_of
from vid2vid_cli.models.compact.layer import Layer

Array = NDArray[np.float64]

SHUT, SEEN = 0.06, 0.16  # gap over width of an eye: below SHUT no iris is seen, from SEEN on one is
FURTHEST = 0.22  # eye widths: a larger change of gaze is an error
LASHES_SEEN = 0.2, 0.5  # opening over that in the source: from lashes alone to none between the lids, as in eyelids.py


def read_gaze(landmarks: Tensor) -> Tensor:
    """Return the gazes (B, 3) of landmarks (B, 470, 3) in any unit; zeros if they have no irises (B, 468, 3).

    The gaze of shut eyes is 0.
    """
    faces = landmarks.detach().cpu().double().numpy()
    if faces.shape[1] <= IRISES[1]:
        return landmarks.new_zeros(len(landmarks), 3)
    return torch.from_numpy(np.array([_gaze_of(face) for face in faces], np.float32)).to(landmarks)


def _gaze_of(face: Array) -> tuple[float, float, float]:
    total, weights = np.zeros(2), 1e-6
    for eye in (0, 1):
        frame = EyeFrame.of(face[:, :2], eye)
        seen = smoothstep_between(_gap(face, eye), SHUT, SEEN)
        # The eye nearer to the camera is wider and is seen better.
        weight = (0.01 + seen) * frame.width_px**2
        total += weight * seen * _mirrored(frame.to_own(face[IRISES[eye], :2]), eye)
        weights += weight
    x, y = np.clip(total / weights, -0.5, 0.5)
    return float(x), float(y), 0.0


def _gap(face: Array, eye: int) -> float:
    """Return how far an eye of a mesh (468 or 470, 2 or 3) is open, over its width."""
    gaps = np.linalg.norm(face[LOOPS[eye, LOWER], :2] - face[LOOPS[eye, UPPER], :2], axis=1)
    return float(gaps.max()) / EyeFrame.of(face[:, :2], eye).width_px


def place_irises(mesh: Points, gaze: Points) -> Points:
    """Return the irises (2, 3) of a mesh (468, 3) with a gaze (3,): the inverse of `read_gaze`."""
    irises: Points = mesh[LOOPS].mean(1)
    for eye in (0, 1):
        frame = EyeFrame.of(mesh[:, :2].astype(np.float64), eye)
        irises[eye, :2] = frame.to_frame(_mirrored(gaze[:2].astype(np.float64), eye))
    return irises


def _mirrored(own: Array, eye: int) -> Array:
    """Convert between an eye's own axes, inwards and down, and right and down in the picture."""
    return own * (-1, 1) if eye else own


class Irises:
    """The irises of one source."""

    def __init__(self, points: Points, gaze: Points, image: Tensor) -> None:
        """Measure the eyes.

        points: (468 or 470, 3), the source's landmarks, in halves of its longer side. gaze: (3,), its own. image:
        (1, 3, H, W), the source in [0, 1].
        """
        mesh = points[:, :2].astype(np.float64)
        self._frames = [EyeFrame.of(mesh, eye) for eye in (0, 1)]
        loops = [frame.to_own(mesh[loop]) for frame, loop in zip(self._frames, LOOPS, strict=True)]
        self._lids = [[np.interp(LID_PLACES, *lid.T) for lid in lids_of(loop)] for loop in loops]
        self._own = [_mirrored(gaze[:2].astype(np.float64), eye) for eye in (0, 1)]
        if len(mesh) > IRISES[1]:
            self._own = [frame.to_own(mesh[iris]) for frame, iris in zip(self._frames, IRISES, strict=True)]
        self._radius = iris_radius(image, mesh, self._own)
        picture = np.ascontiguousarray(image[0].permute(1, 2, 0).cpu().numpy())
        self._drawn = [read_eye(picture, eye) for eye in self._eyes((1.0, 1.0), np.zeros(2))]
        self._gaps = [_gap(mesh, eye) for eye in (0, 1)]
        self._trust = [smoothstep_between(gap, SHUT, SEEN) for gap in self._gaps]

    def draw(self, target: EyeTarget, keypoints: Points, by: Points) -> Iterator[Layer]:
        """Yield the eyes of a target that look elsewhere than the source's.

        keypoints: (468, 3), the target's, in halves of its longer side. by: (2 or 3,), how the gaze differs from the
        source's.
        """
        for index, eye in enumerate(self._moved(keypoints, by)):
            layer = draw_eye(self._drawn[index], eye, target, index)
            if layer is not None:
                yield layer

    def _moved(self, keypoints: Points, by: Points) -> list[MovedEye]:
        """Return both eyes and how their irises move; nothing if they do not."""
        size = float(np.linalg.norm(by[:2]))
        if size < 1e-4:
            return []
        change = by[:2].astype(np.float64) * min(1.0, FURTHEST / size)
        shares = []
        for eye in (0, 1):
            # What is left of an eye that is nearly shut shows its lashes.
            opening = _gap(keypoints.astype(np.float64), eye) / max(self._gaps[eye], 1e-6)
            shares.append(self._trust[eye] * smoothstep_between(opening, *LASHES_SEEN))
        return self._eyes(shares, change)

    def _eyes(self, shares: Sequence[float], change: Array) -> list[MovedEye]:
        """Return both eyes, whose irises move by these shares of a change (2,), right and down."""
        return [
            MovedEye(
                center=frame.center_px,
                axes=frame.axes,
                width=frame.width_px,
                upper=self._lids[eye][0],
                lower=self._lids[eye][1],
                iris=self._own[eye],
                radius=self._radius,
                change=shares[eye] * _mirrored(change, eye),
            )
            for eye, frame in enumerate(self._frames)
        ]

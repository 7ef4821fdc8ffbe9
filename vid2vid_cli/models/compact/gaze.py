"""Gaze: read from where the irises lie between the corners of the eyes, and shown by sliding them there.

A gaze is (x, y, 0): how far the irises lie right of and below the middles of their eyes in the picture, in eye widths.
Both eyes share one gaze. The gaze is the last of the compact family's keypoints.
"""

from __future__ import annotations

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vid2vid_cli.arrays import Points
from vid2vid_cli.face.eyes import INNER, IRISES, LOOPS, LOWER, OUTER, UPPER, EyeFrame
from vid2vid_cli.geometry.easing import smoothstep_between
from vid2vid_cli.models.compact.iris_loops import LID_PLACES, MovedEye, move_pixels, move_samples
from vid2vid_cli.models.compact.iris_size import iris_radius, lids_of
from vid2vid_cli.models.compact.mesh.box import Box

Array = NDArray[np.float64]

SHUT, SEEN = 0.06, 0.16  # gap over width of an eye: below SHUT no iris is seen, from SEEN on one is
FURTHEST = 0.22  # eye widths: a larger change of gaze is an error
LASHES_SEEN = 0.2, 0.5  # opening over that in the source: from lashes alone to none between the lids, as in eyelids.py
RIM = np.concatenate([LOOPS[:, OUTER : INNER + 1], LOOPS[:, UPPER][:, ::-1]], 1)
"""The openings as polygons, (2, 16)."""


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
        self._gaps = [_gap(mesh, eye) for eye in (0, 1)]
        self._trust = [smoothstep_between(gap, SHUT, SEEN) for gap in self._gaps]

    def move(self, displacement: Points, box: Box, keypoints: Points, by: Points) -> NDArray[np.uint8] | None:
        """Move the irises in the openings of a target's eyes.

        displacement: (h, w, 2), of a part of the target, in the mesh's unit; changed in place. box: that part.
        keypoints: (468, 3), the target's. by: (2 or 3,), how the gaze differs from the source's.
        Returns (h, w), 255 where what the source hides is shown, which takes several samples of a pixel to be smooth;
        None if it is nowhere.
        """
        height, width = displacement.shape[:2]
        step, made_up = (box.high - box.low) / (width, height), None
        for index, eye in enumerate(self._moved(keypoints, by)):
            pixels = _pixels_inside((keypoints[RIM[index], :2] - box.low) / step - 0.5, (height, width))
            hidden = move_pixels(displacement, pixels, np.stack([box.low + step / 2, step]), eye)
            if hidden.any():
                made_up = np.zeros((height, width), np.uint8) if made_up is None else made_up
                made_up[pixels[1][hidden], pixels[0][hidden]] = 255
        return made_up

    def move_samples(self, values: Points, places: Points, keypoints: Points, by: Points) -> None:
        """Move the irises at the samples of some pixels.

        values: (S, E, 3 or more), displacements, and 1 where a sample lies in the opening of an eye; changed in place.
        places: (E, 2), of the pixels, in the mesh's unit. keypoints, by: as above.
        """
        middles = keypoints[LOOPS, :2].mean(1)
        for index, eye in enumerate(self._moved(keypoints, by)):
            move_samples(values, places, middles if index == 0 else middles[::-1].copy(), eye)

    def _moved(self, keypoints: Points, by: Points) -> list[MovedEye]:
        """Return both eyes and how their irises move; nothing if they do not."""
        size = float(np.linalg.norm(by[:2]))
        if size < 1e-4:
            return []
        change = by[:2].astype(np.float64) * min(1.0, FURTHEST / size)
        eyes = []
        for eye, frame in enumerate(self._frames):
            # What is left of an eye that is nearly shut shows its lashes.
            opening = _gap(keypoints.astype(np.float64), eye) / max(self._gaps[eye], 1e-6)
            share = self._trust[eye] * smoothstep_between(opening, *LASHES_SEEN)
            upper, lower = self._lids[eye]
            eyes.append(
                MovedEye(
                    center=frame.center_px,
                    axes=frame.axes,
                    width=frame.width_px,
                    upper=upper,
                    lower=lower,
                    iris=self._own[eye],
                    radius=self._radius,
                    change=share * _mirrored(change, eye),
                )
            )
        return eyes


def _pixels_inside(rim: NDArray[np.floating], size: tuple[int, int]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return x and y of the pixels of a map within a polygon (P, 2) in its px."""
    low = np.maximum(np.floor(rim.min(0)).astype(int), 0)
    high = np.minimum(np.ceil(rim.max(0)).astype(int) + 1, (size[1], size[0]))
    if (high <= low).any():
        return np.zeros(0, np.intp), np.zeros(0, np.intp)
    mask = np.zeros((high[1] - low[1], high[0] - low[0]), np.uint8)
    cv2.fillPoly(mask, [np.rint((rim - low) * 16).astype(np.int32)], 1, shift=4)
    y, x = np.nonzero(mask)
    return x + low[0], y + low[1]

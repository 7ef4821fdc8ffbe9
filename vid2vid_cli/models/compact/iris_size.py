"""How large the irises of a source are: on a photograph a fifth of an eye's width, on a cartoon anything."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from vid2vid_cli.face.eyes import INNER, LOOPS, LOWER, OUTER, UPPER, EyeFrame

Array = NDArray[np.float64]

USUAL, SPREAD = 0.21, 0.1  # eye widths: the radius, and how much an edge at another one must be clearer to be taken
LEAST_RISE = 0.03  # of brightness in [0, 1]: a weaker edge is none
RADII = np.arange(0.11, 0.36, 0.01)  # eye widths
APART = 2  # steps between a radius and those whose arcs are compared, on either side
LEAST_SEEN = 0.25  # share of an arc
INSIDE = 0.02  # eye widths: nothing nearer to a lid is looked at
_ANGLES = np.deg2rad(np.stack([np.linspace(-40, 40, 33), np.linspace(140, 220, 33)]))  # lids hide the rest of an iris


def lids_of(loop: Array) -> tuple[Array, Array]:
    """Return the upper and the lower lid of an eye from its outer to its inner corner, (9, 2) each. loop: (16, 2)."""
    upper, lower = (np.concatenate([loop[[OUTER]], loop[part], loop[[INNER]]]) for part in (UPPER, LOWER))
    return upper, lower


def iris_radius(image: Tensor, mesh: Array, middles: Sequence[Array]) -> float:
    """Return the radius of a source's irises in eye widths, the same for both; the usual one where no edge is seen.

    It is where the mean brightness along arcs around the irises rises most (Daugman, High Confidence Visual Recognition
    of Persons, 1993, its integrodifferential operator). image: (1, 3, H, W) in [0, 1]. mesh: (468 or more, 2), in
    halves of its longer side. middles: of the two irises, (2,) each, in the axes of their eyes.
    """
    brightness = np.ascontiguousarray(image[0].mean(0).cpu().numpy(), np.float32)
    means = np.concatenate([_arc_means(brightness, mesh, eye, middle) for eye, middle in enumerate(middles)])
    rises = means[:, 2 * APART :] - means[:, : -2 * APART]
    known = np.isfinite(rises)
    rise = np.where(known, rises, 0).sum(0) / np.maximum(known.sum(0), 1)
    radii = RADII[APART:-APART]
    best = int(np.argmax(rise * np.exp(-(((radii - USUAL) / SPREAD) ** 2) / 2)))
    return float(radii[best]) if rise[best] > LEAST_RISE else USUAL


def _arc_means(brightness: NDArray[np.float32], mesh: Array, eye: int, middle: Array) -> Array:
    """Return the mean brightness along arcs on both sides of an iris, (2, RADII), NaN where too little is seen."""
    frame = EyeFrame.of(mesh, eye)
    arcs = middle + RADII[:, None, None] * np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], -1)[:, None]  # (2, R, 33, 2)
    upper, lower = (np.interp(arcs[..., 0], *lid.T) for lid in lids_of(frame.to_own(mesh[LOOPS[eye]])))
    seen = (arcs[..., 1] > upper + INSIDE) & (arcs[..., 1] < lower - INSIDE)
    height, width = brightness.shape
    x_px, y_px = np.moveaxis(frame.to_frame(arcs) * max(height, width) / 2 + (width / 2 - 0.5, height / 2 - 0.5), -1, 0)
    x_flat, y_flat = (places.reshape(-1, places.shape[-1]).astype(np.float32) for places in (x_px, y_px))
    found = np.asarray(cv2.remap(brightness, x_flat, y_flat, cv2.INTER_LINEAR)).reshape(seen.shape)
    count = seen.sum(-1)
    return np.where(count > LEAST_SEEN * seen.shape[-1], (found * seen).sum(-1) / np.maximum(count, 1), np.nan)

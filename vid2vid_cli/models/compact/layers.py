"""A source's picture as layers: the person with their matte, before a background that is filled where they stand.

The person's colours are premultiplied (Porter, Duff, "Compositing Digital Images", 1984) and carry all that the
background does not explain, so that a person who does not move gives back the source's own pixels, whatever is wrong
with the matte.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from torch import Tensor

from vid2vid_cli.arrays import Map, Points
from vid2vid_cli.models.compact.mesh.square_map import cap_heights

LEAST = 0.02  # of the matte: where it is less, nothing of the person is
MARGIN = 0.03  # of the longer side: how far around the person the background is filled
FILLED_SIDE = 384  # px: longer side of the picture in which the background is filled; what is filled is smooth
FULL_WEIGHT = 0.05  # of the known pixels around: with this many, a coarser scale is not needed


@dataclass(frozen=True)
class Layers:
    """person: (1, 4, above + H, W), premultiplied RGB and the matte. background: (1, 3, H, W). Both in [0, 1].

    above: how many rows of the person lie above the picture, where its top cuts the head off.
    """

    person: Tensor
    background: Tensor
    above: int = 0

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the picture."""
        return self.background.shape[2], self.background.shape[3]

    def compose(self, person: Tensor) -> Tensor:
        """Return a moved person (1, 4, H, W) before the background: (1, 3, H, W)."""
        return torch.addcmul(person[:, :3], 1 - person[:, 3:], self.background).clamp_(0, 1)


def split_layers(image: Tensor, matte: Map) -> Layers:
    """Split a source (1, 3, H, W) by its matte (H, W)."""
    height, width = matte.shape
    shrink = min(1.0, FILLED_SIDE / max(height, width))
    size = max(1, round(width * shrink)), max(1, round(height * shrink))
    picture = np.ascontiguousarray(image[0].permute(1, 2, 0).cpu().numpy())
    small, there = (_resize(values, size, cv2.INTER_AREA) for values in (picture, matte))
    reach = max(1, round(MARGIN * max(size)))
    around = cv2.dilate(there, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1)))
    known = np.asarray(around < LEAST, np.float32)
    # From 1 where the filling shows to 0 where the picture does, over the outer half of what is filled.
    filling = np.clip(2 - 2 * cv2.GaussianBlur(known, (0, 0), max(reach / 3, 0.5)), 0, 1) * (1 - known)
    filled, share = (_resize(values, (width, height), cv2.INTER_LINEAR) for values in (fill(small, known), filling))
    background = picture + share[..., None] * (filled - picture)
    moving = picture - (1 - matte[..., None]) * background
    person, above = _cap(np.concatenate([moving, matte[..., None]], -1))
    return Layers(_as_image(person, image), _as_image(background, image), above)


def _cap(person: Points) -> tuple[Points, int]:
    """Close a head that the picture's top cuts off, mirrored, in a round cap. Returns the rows above the picture, too.

    person: (H, W, 4), premultiplied.
    """
    heights = cap_heights(person[0, :, 3])
    above = min(int(np.ceil(heights.max())) + 1 if heights.any() else 0, len(person))
    distance = np.arange(above, 0, -1, dtype=np.float32)[:, None]
    inside = np.clip(heights[None] - distance + 1, 0, 1)
    return np.concatenate([person[:above][::-1] * inside[..., None], person]), above


def _resize(values: Points, size: tuple[int, int], how: int) -> Points:
    """Resize a map to a width and height."""
    return np.asarray(cv2.resize(values, size, interpolation=how), np.float32)


def fill(picture: Points, known: Map) -> Points:
    """Fill a picture (H, W, C) from its known pixels (H, W), 1 or 0, inwards from their edge.

    Pull and push over a pyramid (Gortler, Grzeszczuk, Szeliski, Cohen, "The Lumigraph", 1996).
    """
    weights = [known[..., None]]
    colours = [picture * known[..., None]]
    while min(colours[-1].shape[:2]) > 2:
        colours.append(_halve(colours[-1]))
        weights.append(_halve(weights[-1])[..., None])
    result = colours[-1] / np.maximum(weights[-1], 1e-6)
    for colour, weight in zip(colours[-2::-1], weights[-2::-1], strict=True):
        coarse = cv2.pyrUp(result, dstsize=(colour.shape[1], colour.shape[0]))
        share = np.minimum(weight / FULL_WEIGHT, 1)
        result = coarse + share * (colour / np.maximum(weight, 1e-6) - coarse)
    return np.asarray(result, np.float32)


def _halve(values: Points) -> Points:
    return np.asarray(cv2.pyrDown(values), np.float32)


def _as_image(picture: Points, like: Tensor) -> Tensor:
    """Return a picture (H, W, C) as (1, C, H, W)."""
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(picture, -1, 0))).to(like)[None]

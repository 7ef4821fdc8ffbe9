"""Fill the background where a person stands, inwards from its edge."""

from __future__ import annotations

import cv2
import numpy as np

from vid2vid_cli.arrays import Map, Points

LEAST = 0.02  # of the matte: where it is less, nothing of the person is
MARGIN = 0.03  # of the longer side: how far around the person the background is filled
FILLED_SIDE = 384  # px: longer side of the picture in which the background is filled; what is filled is smooth
SURE = 0.97  # of the matte: where it is more, nothing of the background is seen
# Of what differs from the filling: how much of it, over how many px around, is not on the way to the person's colours
# where it belongs to the background.
FOREIGN, AROUND = 0.4, 1.0
FULL_WEIGHT = 0.05  # of the known pixels around: with this many, a coarser scale is not needed


def fill_background(picture: Points, matte: Map) -> Points:
    """Return a picture (H, W, 3) without the person. matte: (H, W) in [0, 1]."""
    return fill_unknown(picture, shown_background(picture, matte))


def shown_background(picture: Points, matte: Map) -> Map:
    """Return where a picture (H, W, 3) shows the background, 1 or 0, in fewer pixels (h, w). matte: (H, W).

    Wisps of hair reach beyond the matte, so what lies around the person counts as background only where it differs from
    the background farther away in other ways than hair would: a lamp or a leaf, the texture of a wall, the line around
    a picture. Otherwise those would move with the head.
    """
    known = far_background(matte)
    height, width = known.shape
    small, there = (_resize(values, (width, height), cv2.INTER_AREA) for values in (picture, matte))
    behind, person = fill(small, known), fill(small, np.asarray(there > SURE, np.float32))
    differs, way = small - behind, person - behind
    along = np.maximum(_dot(differs, way), 0) ** 2 / np.maximum(_dot(way, way), 1e-6)
    hair, both = (cv2.GaussianBlur(values, (0, 0), AROUND) for values in (along, _dot(differs, differs)))
    is_foreign = both - hair > FOREIGN * both
    beside = cv2.dilate(there, np.ones((3, 3))) < LEAST
    return np.asarray((known > 0) | (is_foreign & beside), np.float32)


def far_background(matte: Map) -> Map:
    """Return where the background is so far from the person that nothing of them is, as shown_background does."""
    size = _small(matte.shape)
    there = _resize(matte, size, cv2.INTER_AREA)
    reach = _reach(size)
    around = cv2.dilate(there, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1)))
    return np.asarray(around < LEAST, np.float32)


def fill_unknown(picture: Points, known: Map) -> Points:
    """Return a picture (H, W, C), filled where it is not known. known: see shown_background."""
    height, width = picture.shape[:2]
    size = _small((height, width))
    small = _resize(picture, size, cv2.INTER_AREA)
    # From 1 where the filling shows to 0 where the picture does, over the outer half of what is filled.
    filling = np.clip(2 - 2 * cv2.GaussianBlur(known, (0, 0), max(_reach(size) / 3, 0.5)), 0, 1) * (1 - known)
    filled, share = (_resize(values, (width, height), cv2.INTER_LINEAR) for values in (fill(small, known), filling))
    return np.asarray(picture + share[..., None] * (filled - picture), np.float32)


def _small(shape: tuple[int, ...]) -> tuple[int, int]:
    """Return the width and height in which a picture is filled."""
    height, width = shape
    shrink = min(1.0, FILLED_SIDE / max(height, width))
    return max(1, round(width * shrink)), max(1, round(height * shrink))


def _reach(size: tuple[int, int]) -> int:
    return max(1, round(MARGIN * max(size)))


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


def _dot(one: Points, other: Points) -> Map:
    """Return the product of the colours of two pictures (H, W, C): (H, W)."""
    return np.asarray(np.einsum("hwc,hwc->hw", one, other))


def _resize(values: Points, size: tuple[int, int], how: int) -> Points:
    """Resize a map to a width and height."""
    return np.asarray(cv2.resize(values, size, interpolation=how), np.float32)


def _halve(values: Points) -> Points:
    return np.asarray(cv2.pyrDown(values), np.float32)

"""Put a person before another background: blur the old one, clean edges of its colours, lay over a new one."""

from __future__ import annotations

from typing import TypeVar

import cv2
import numba
import numpy as np
from numpy.typing import NDArray

from vid2vid_cli.arrays import Frame
from vid2vid_cli.face.matte import Mask
from vid2vid_cli.face.paste import resize_frame

Number = TypeVar("Number", np.uint8, np.float32)

BLUR = 0.03  # standard deviation of a blurred background, of the longer side
BLUR_SIDE_PX, SPREAD_SIDE_PX = 128, 192  # longer sides at which is computed what is smooth anyway
AROUND = 0.02  # of the longer side: what lies so near to the person may have its colours
SPREAD = 0.012  # standard deviation with which colours spread over an edge, of the longer side
FAR = 8  # times as far they spread where nothing is nearer
SURE = 0.95
HAIR = 0.012  # of the longer side: how far inside of the mask the background shows through hair
UNEVEN, EVEN = 0.9, 0.98  # of the variation of its colour: how much of a screen is the same hue
NOISE = 4 / 255
WITHOUT_GREY = np.eye(3, dtype=np.float32) - np.float32(1 / 3)
GREY = 25  # of 255: a background with less colour in it tints nobody
STEADY = 0.6  # the share of the last mask where both agree
AGREEMENT = 0.3  # masks that differ by more show a movement


class SteadyMasks:
    """Takes the flicker out of the masks of a clip: each is averaged with the last one where both nearly agree.

    Where they disagree, something has moved, and the newer one is right.
    """

    def __init__(self) -> None:
        self._last: Mask | None = None

    def __call__(self, mask: Mask) -> Mask:
        """Return the mask (H, W) of the next frame, steadied."""
        if self._last is not None and self._last.shape == mask.shape:
            mask = _steadied(mask, self._last)
        self._last = mask
        return mask


@numba.njit(cache=True, nogil=True)
def _steadied(mask: Mask, last: Mask) -> Mask:
    """Return a mask (H, W), averaged with the last one where both nearly agree."""
    mixed = np.empty_like(mask)
    for y in range(mask.shape[0]):
        for x in range(mask.shape[1]):
            change = last[y, x] - mask[y, x]
            agree = max(np.float32(1) - abs(change) / np.float32(AGREEMENT), np.float32(0))
            mixed[y, x] = mask[y, x] + np.float32(STEADY) * agree * change
    return mixed


def blur_background(frame: Frame, mask: Mask) -> Frame:
    """Blur what is not the person. frame: (H, W, 3); mask: (H, W)."""
    small, person = _shrink(frame, BLUR_SIDE_PX), _shrink(mask, BLUR_SIDE_PX)
    # Weighted by what is background: a plain blur would spread the person's colours around it.
    weights = 1 - cv2.dilate(person, _square(AROUND * max(small.shape[:2])))
    blurred = _spread(small.astype(np.float32), np.asarray(weights, np.float32), BLUR * max(small.shape[:2]))
    return blend(frame, _enlarge(blurred, frame), mask)


def foreground_colours(frame: Frame, mask: Mask) -> Frame:
    """Return a frame (H, W, 3) whose edge pixels have the person's colours alone. mask: (H, W).

    Colours of sure person and of sure background are spread over the edge; what a pixel differs from their mixture is
    put on the person (Forte, Approximate Fast Foreground Colour Estimation, 2021, eq. 6). Background gets the colour of
    the nearest person.
    """
    small, person = _shrink(frame, SPREAD_SIDE_PX).astype(np.float32), _shrink(mask, SPREAD_SIDE_PX)
    side = max(small.shape[:2])
    back = _spread(small, np.asarray(person < 1 - SURE, np.float32), SPREAD * side)
    inside = np.asarray(cv2.erode(np.asarray(person > SURE, np.float32), _square(1)), np.float32)
    screen = _screen(small[person < 1 - SURE], small[inside > 0])
    # A high power: next to hair that is tinted a little, only what is hardly tinted counts.
    fore = _spread(small, inside * (1 - screen * _tint(small, back)) ** 8, SPREAD * side)
    near, far = _enlarge(fore, frame), _enlarge(back, frame)
    # A pixel's width inside of the mask: its border is not more exact than that. Hair lets light through further in.
    deep = cv2.erode(inside, _square(HAIR * side))
    is_edge = cv2.resize(np.asarray(deep, np.float32), frame.shape[1::-1], interpolation=cv2.INTER_LINEAR) < 1
    cleaned = np.asarray(cv2.copyTo(near, np.asarray(is_edge, np.uint8), frame.copy()), np.uint8)
    edge = np.flatnonzero(is_edge & (mask > 0))
    seen, near, far = (picture.reshape(-1, 3)[edge] for picture in (frame, near, far))
    cleaned.reshape(-1, 3)[edge] = _unmix(seen, near, far, mask.reshape(-1)[edge], screen)
    return cleaned


def _unmix(seen: Frame, near: Frame, far: Frame, mask: Mask, screen: float) -> Frame:
    """Take the colours of the background out of mixed ones. All (N, 3); mask: (N,). screen: see `_screen`."""
    colours, fore, back = (values.astype(np.float32) for values in (seen, near, far))
    share = np.minimum(mask, 1 - screen * np.maximum(_tint(colours, back) - _tint(fore, back), 0))[:, None]
    unmixed = fore + share * (colours - share * fore - (1 - share) * back)
    return np.asarray(np.clip(unmixed + 0.5, 0, 255), np.uint8)


def _screen(back: NDArray[np.float32], person: NDArray[np.float32]) -> float:
    """Say whether a background (N, 3) is a screen of one hue, and that not the person's (M, 3): 0 no, 1 surely."""
    if not len(back) or not len(person):
        return 0.0
    hues, own = _hues(back[::4]), _hues(person[::4]).mean(axis=0)  # a fourth tells as much
    hue = hues.mean(axis=0)
    evenness = np.square(hue).sum() / max(np.square(hues).sum(axis=1).mean(), 1)
    likeness = (hue * own).sum() / max(np.linalg.norm(hue) * np.linalg.norm(own), 1)
    return float(np.clip((evenness - UNEVEN) / (EVEN - UNEVEN), 0, 1) * np.clip(1 - 2 * likeness, 0, 1))


def _hues(colours: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return colours (..., 3) without their grey."""
    return np.asarray(colours @ WITHOUT_GREY, np.float32)


def _tint(colours: NDArray[np.float32], back: NDArray[np.float32]) -> NDArray[np.float32]:
    """Say how much colours (..., 3) are tinted by others, as by a green screen: (...) in [0, 1]; greys tint nothing."""
    hue, tint = _hues(colours), _hues(back)
    strength = np.einsum("...c,...c->...", tint, tint)
    share = np.clip(np.einsum("...c,...c->...", hue, tint) / np.maximum(strength, 1), 0, 1)
    return np.asarray(share * strength / (strength + GREY**2), np.float32)


def blend(front: Frame, back: Frame, mask: Mask) -> Frame:
    """Lay frames (H, W, 3) over each other. mask: (H, W), 1 where the front shows."""
    mixed = np.empty_like(front)
    _mix(front, back, mask, mixed)
    return mixed


@numba.njit(cache=True, nogil=True)
def _mix(front: Frame, back: Frame, mask: Mask, mixed: Frame) -> None:
    """Mix frames (H, W, 3) by a mask (H, W): most pixels are all of one of them."""
    for y in range(mask.shape[0]):
        for x in range(mask.shape[1]):
            share = mask[y, x]
            if share >= 1:
                for k in range(3):
                    mixed[y, x, k] = front[y, x, k]
            elif share <= 0:
                for k in range(3):
                    mixed[y, x, k] = back[y, x, k]
            else:
                for k in range(3):
                    under = np.float32(back[y, x, k])
                    mixed[y, x, k] = np.uint8(under + share * (np.float32(front[y, x, k]) - under) + np.float32(0.5))


def with_alpha(frame: Frame, mask: Mask) -> NDArray[np.uint8]:
    """Return a frame (H, W, 3) with its mask as a fourth channel: (H, W, 4), the alpha straight."""
    return np.dstack([frame, np.rint(mask * 255).astype(np.uint8)])


def lay_on(picture: NDArray[np.uint8], ground: Frame) -> Frame:
    """Lay a picture (H, W, 4) over a ground (H, W, 3)."""
    alpha = picture[..., 3].astype(np.float32) / 255
    return blend(np.ascontiguousarray(picture[..., :3]), ground, np.asarray(alpha, np.float32))


def alpha_between(on_white: Frame, on_black: Frame) -> NDArray[np.uint8]:
    """Return the picture (H, W, 4) that looks like these two frames (H, W, 3) on white and on black.

    Smith and Blinn, Blue Screen Matting, SIGGRAPH 1996, theorem 4.
    """
    shows_through = on_white.astype(np.float32).mean(axis=2) - on_black.astype(np.float32).mean(axis=2)
    alpha = np.clip(1 - shows_through / 255, 0, 1)
    # Two renderings of one place may differ by a few steps of colour, opaque or not.
    alpha = np.where(alpha > 1 - NOISE, 1, np.where(alpha < NOISE, 0, alpha))
    colours = np.minimum(on_black / np.maximum(alpha, 1 / 255)[..., None], 255)
    return with_alpha(np.rint(colours).astype(np.uint8), alpha.astype(np.float32))


def cover(frame: Frame, size: tuple[int, int]) -> Frame:
    """Return a frame that fills a size (height, width): resized, and cut off evenly where it is too long."""
    scale = max(size[0] / frame.shape[0], size[1] / frame.shape[1])
    height, width = (max(wanted, round(side * scale)) for wanted, side in zip(size, frame.shape, strict=False))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    resized = np.asarray(cv2.resize(frame, (width, height), interpolation=how), np.uint8)
    top, left = (height - size[0]) // 2, (width - size[1]) // 2
    return np.ascontiguousarray(resized[top : top + size[0], left : left + size[1]])


def contain(frame: Frame, size: tuple[int, int]) -> Frame:
    """Return a frame that fits into a size (height, width), resized, with black bars where it has another shape."""
    if frame.shape[:2] == size:
        return frame
    scale = min(size[0] / frame.shape[0], size[1] / frame.shape[1])
    height, width = (min(most, max(1, round(side * scale))) for most, side in zip(size, frame.shape, strict=False))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    resized = np.asarray(cv2.resize(frame, (width, height), interpolation=how), np.uint8)
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    contained = np.zeros((*size, 3), np.uint8)
    contained[top : top + height, left : left + width] = resized
    return contained


def _square(reach_px: float) -> NDArray[np.uint8]:
    """Return a square that reaches so far from its middle."""
    return np.ones((2 * round(reach_px) + 1,) * 2, np.uint8)


def _shrink(picture: NDArray[Number], side_px: int) -> NDArray[Number]:
    """Return a picture (H, W) or (H, W, 3) whose longer side is at most `side_px`."""
    scale = min(1.0, side_px / max(picture.shape[:2]))
    size = max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale))
    if scale < 0.5 and picture.shape[0] % 2 == 0 and picture.shape[1] % 2 == 0:
        # Pairs of whole pixels first: other shares of pixels take ten times as long.
        half = picture.shape[1] // 2, picture.shape[0] // 2
        picture = np.asarray(cv2.resize(picture, half, interpolation=cv2.INTER_AREA), picture.dtype)
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), picture.dtype)


def _enlarge(picture: NDArray[np.float32], frame: Frame) -> Frame:
    """Return colours (h, w, 3) from 0 to 255 in the size of a frame."""
    rounded = np.asarray(np.clip(picture + 0.5, 0, 255), np.uint8)
    return np.asarray(cv2.resize(rounded, frame.shape[1::-1], interpolation=cv2.INTER_LINEAR), np.uint8)


def _spread(colours: NDArray[np.float32], weights: NDArray[np.float32], sigma: float) -> NDArray[np.float32]:
    """Average colours (H, W, 3) around every pixel, by weights (H, W). Far from any weight, from further away."""
    weighed = np.dstack([colours * weights[..., None], weights])
    near = cv2.GaussianBlur(weighed, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE)
    far = cv2.blur(near, (2 * round(FAR * sigma) + 1,) * 2, borderType=cv2.BORDER_REPLICATE)
    total = np.array(cv2.mean(weighed), np.float32)
    # Each wider average counts only where the narrower ones have found nothing.
    mixed = near + 1e-2 * far + 1e-4 * total
    return np.asarray(mixed[..., :3] / np.maximum(mixed[..., 3:], 1e-9), np.float32)


def side_by_side(*pictures: Frame | None) -> Frame:
    """Return pictures next to each other, brought to the height of the last; None is left out.

    If the last one has alpha, the others get one.
    """
    there = [picture for picture in pictures if picture is not None]
    height, channels = there[-1].shape[0], there[-1].shape[2]
    there = [picture if picture.shape[2] == channels else opaque(picture) for picture in there]
    scaled = [resize_frame(p, (height, max(1, round(p.shape[1] * height / p.shape[0])))) for p in there]
    return np.concatenate(scaled, axis=1)


def opaque(frame: Frame) -> Frame:
    """Return a frame (H, W, 3) with an alpha that hides all behind it: (H, W, 4)."""
    return np.dstack([frame, np.full(frame.shape[:2], 255, np.uint8)])

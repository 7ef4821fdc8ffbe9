"""How a face is lit and how sharp its picture is, and how a mouth of another picture is matched to it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from vid2vid_cli.arrays import Frame, Points

LIGHT_SHARE = 0.6  # exponent of the ratio of both skins: chosen by eye on light and dark faces
COLOUR_SHARE = 0.4  # of the light's colour less shows in a mouth than of its brightness
PALE_SHARE = 0.6  # a face with less than this share of the other skin's saturation is stone, or a grey picture
MOST_COLOUR = 1.4  # ratio of both saturations of which the root colours a pale mouth
WITHOUT_RED = np.array([0.1, 0.5, 0.4], np.float32)  # a grey in which tongue and gums are darker than teeth
BRIGHTEST = 1.35  # teeth, over how brightly the face is lit: not as if by a flash of their own
KNEE = 0.65  # of that limit: what is brighter is held back
LEAST_RED = 0.97  # over green, of a mouth in white light: teeth and tongue are not blue
LEAST_BLUE, MOST_BLUE = 0.88, 1.0  # over green: nor are they gold or purple
FOREIGN = 0.15  # logarithm of the gain at which another face's mouth is wholly limited so
USUAL_SATURATION = 0.35  # of skin, in a usual photograph
YELLOWEST = 0.68  # blue over green, of skin in white light: of 30 portraits and paintings, one has less
# Points on cheeks and nose where the skin's colour is read.
SKIN_POINTS = (50, 280, 101, 330, 205, 425, 117, 346, 5)
EDGES = 0.04  # share of a face's pixels: its strongest edges, where sharpness is measured
SHARPEST_PX, SOFTEST_PX = 0.5, 6.0
LEAST_SEEN = np.float32(1 / 255)  # of full light: a black face, or one in red light, shows no less of a colour
LEAST_BLUR_PX = 0.25  # less is not seen
SHARPEN, MOST_SHARPENED = 0.5, 0.8  # what a blur takes away is given back, for each time that it is too large


@dataclass(frozen=True)
class SkinTone:
    """How a source's face is lit, and how sharp it is.

    brightness: in [0, 1]. saturation: over that of a usual photograph. tint: (3,), the colour of the light, mean 1.
    skin: (3,), the colour of the skin itself, in [0, 1]. blur_px: standard deviation of its edges' blur, in its px.
    """

    brightness: float
    saturation: float
    tint: Points
    skin: Points
    blur_px: float


def read_skin_tone(picture: Frame, points_px: Points) -> SkinTone:
    """Read the skin tone of a source. picture: (H, W, 3). points_px: (468, 2 or 3) in its px."""
    colour = skin_colour(picture, points_px) / np.float32(255)
    brightness = float(colour.mean())
    # A dark face has light teeth: only its light darkens them. Hence a brightness nearer to the middle.
    lit = 0.65 * brightness + 0.35 * 0.62
    # Skin is warm by itself; about a third of its colour comes from the light.
    seen = np.maximum(colour, LEAST_SEEN)
    tint = (seen / max(brightness, 1e-3)) ** 0.35
    # Skin alone is never as yellow as below old varnish or a candle: all of what is beyond that is the light's.
    tint[2] *= min(1.0, float(seen[2] / seen[1]) / YELLOWEST)
    share = min(1.0, saturation(colour) / USUAL_SATURATION)
    return SkinTone(lit, share, np.asarray(tint / tint.mean(), np.float32), colour, edge_blur(picture, points_px))


def skin_colour(picture: NDArray[Any], points_px: NDArray[Any]) -> Points:
    """Return the colour (3,) of a face's skin, in the unit of a picture (H, W, 3). points_px: (468, 2 or 3)."""
    x, y = points_px[list(SKIN_POINTS), :2].astype(int).T
    height, width = picture.shape[:2]
    colours = picture[np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)]
    return np.asarray(np.median(colours, axis=0), np.float32)


def saturation(colour: NDArray[Any]) -> float:
    """Return how far the parts of a colour (3,) differ, over their mean."""
    return float((colour.max() - colour.min()) / max(float(colour.mean()), 1e-3))


def edge_blur(picture: NDArray[Any], points_px: Points) -> float:
    """Return the standard deviation (px) of the blur at a face's strongest edges.

    By how much a known blur weakens them (Zhuo and Sim, "Defocus map estimation from a single image", Pattern
    Recognition 2011, equation 5). picture: (H, W, 3). points_px: (468, 2 or 3).
    """
    height, width = picture.shape[:2]
    low = np.clip(points_px[:, :2].min(0).astype(int), 0, (width - 8, height - 8))
    high = np.clip(points_px[:, :2].max(0).astype(int), low + 8, (width, height))
    face = np.asarray(picture[low[1] : high[1], low[0] : high[0]], np.float32).mean(-1)
    steep = _gradient(cv2.GaussianBlur(face, (0, 0), 0.5))
    blurred = _gradient(cv2.GaussianBlur(face, (0, 0), np.sqrt(0.5**2 + 1)))
    at_edges = steep >= np.quantile(steep, 1 - EDGES)
    ratio = float(np.median(steep[at_edges] / np.maximum(blurred[at_edges], 1e-6)))
    blur = np.sqrt(max(1 / max(ratio**2 - 1, 1e-3) - 0.5**2, 0))
    return float(np.clip(blur, SHARPEST_PX, SOFTEST_PX))


def _gradient(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.asarray(np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)), np.float32)


def match_tone(colours: Points, skin: NDArray[Any], tone: SkinTone) -> Points:
    """Return colours (..., 3) in [0, 1] of a mouth beside skin (3,), as they would look on a source."""
    # A part of the difference is the light, which the mouth shares; the rest is the skin itself, which it does not.
    gain = np.clip(tone.skin / np.maximum(skin, 0.02), 0.4, 2.5) ** LIGHT_SHARE
    gain = (1 - COLOUR_SHARE) * gain.mean() + COLOUR_SHARE * gain
    foreign = float(np.abs(np.log(gain)).max())  # nothing of one's own is changed
    lit = colours * gain.astype(np.float32)
    ratio, pale = saturation_ratio(skin, tone), paleness(skin, tone)
    if pale > 0:  # stone has neither red gums nor a red tongue
        grey = (lit * WITHOUT_RED).sum(-1, keepdims=True) * (tone.skin / max(float(tone.skin.mean()), 1e-3))
        lit = grey + (1 - pale) * (lit - grey)
    elif ratio > 1:
        grey = lit.mean(-1, keepdims=True)
        lit = grey + min(ratio, MOST_COLOUR) ** 0.5 * (lit - grey)
    lit = np.asarray(np.clip(lit, 0, 1), np.float32)
    return np.asarray(lit + min(1.0, foreign / FOREIGN) * (as_a_mouth(lit, tone) - lit), np.float32)


def saturation_ratio(skin: NDArray[Any], tone: SkinTone) -> float:
    """Return the saturation of a source's skin over that of skin (3,) in another picture."""
    return saturation(tone.skin) / max(saturation(skin), 0.1)


def paleness(skin: NDArray[Any], tone: SkinTone) -> float:
    """Return how surely a source is stone or a grey picture, 0 to 1, by its skin and that (3,) of another picture."""
    return max(0.0, 1 - saturation_ratio(skin, tone) / PALE_SHARE)


def as_a_mouth(colours: Points, tone: SkinTone) -> Points:
    """Return colours (..., 3) in [0, 1] as a mouth can have them under a source's light: no glare, no gold, no blue.

    A driving's own light and its camera's colours, matched by the skin alone, go beyond that on another face.
    """
    red, green, blue = np.moveaxis(colours, -1, 0)
    neutral = green * tone.tint[2] / tone.tint[1]
    blue = np.clip(blue, LEAST_BLUE * neutral, MOST_BLUE * neutral)
    red = np.maximum(red, green * tone.tint[0] / tone.tint[1] * LEAST_RED)
    warm = np.stack([red, green, blue], -1)
    warm *= colours.mean(-1, keepdims=True) / np.maximum(warm.mean(-1, keepdims=True), 1e-3)
    brightness, limit = warm.mean(-1, keepdims=True), BRIGHTEST * tone.brightness
    knee = KNEE * limit
    held = limit - (limit - knee) * np.exp(-np.maximum(brightness - knee, 0) / (limit - knee))
    return np.asarray(warm * np.where(brightness > knee, held / np.maximum(brightness, 1e-3), 1), np.float32)


def match_blur(picture: NDArray[np.uint8], own_blur_px: float, wanted_px: float) -> NDArray[np.uint8]:
    """Return a picture (H, W, 3) as sharp as the source, as far as that can be. Both blurs are in its own px."""
    missing = wanted_px**2 - own_blur_px**2
    if missing > LEAST_BLUR_PX**2:
        return np.asarray(cv2.GaussianBlur(picture, (0, 0), float(np.sqrt(missing))), np.uint8)
    amount = min(SHARPEN * (own_blur_px / wanted_px - 1), MOST_SHARPENED)
    if amount < 0.1:
        return picture
    return np.asarray(cv2.addWeighted(picture, 1 + amount, cv2.GaussianBlur(picture, (0, 0), own_blur_px), -amount, 0))

"""Pictures of one person in the frame of the source's crop: whether they show one room, and what they show of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from torch import Tensor

from vid2vid_cli.arrays import Frame, Map, Points
from vid2vid_cli.face.background_texture import add_texture
from vid2vid_cli.face.filling import far_background, fill_unknown, shown_background
from vid2vid_cli.geometry.affine import Matrix
from vid2vid_cli.geometry.easing import smoothstep
from vid2vid_cli.models.compact.mesh.box import Border
from vid2vid_cli.models.compact.mixed_pixels import FAR

KNOWN_BACKGROUND = 0.02  # of the matte: where it is less, a picture shows the background
# What two pictures of one place have in common: of light, mean difference of the background and of the body; the
# least share of the picture that must be compared.
SAME_PLACE, SAME_CLOTHES, LEAST_COMPARED = 0.06, 0.1, 0.01
DARK, MOST_GAIN = 0.02, 1.25  # added light, so that black tells little; how much brighter a picture is made at most
ALL = 0.99  # of a pixel: it is known
EDGE = 3.0  # px of the small picture in which the background is filled: over how much one passes into another
FLOW_SIDE, SURE_PX = 192, 0.75  # px: of pictures whose bodies are compared; how exactly flow must lead back
CHIN = 152  # a point of the mesh
BODY = 0.9  # of the matte: what is the person for sure


@dataclass(frozen=True)
class PlacedPicture:
    """A picture in the source's crop: (H, W, 3) in [0, 1], matte (H, W), mesh (1, 468, 3), what it shows, see box."""

    pixels: Points
    matte: Map
    keypoints: Tensor
    box: Points


def body_offset(first: PlacedPicture, other: PlacedPicture) -> Points | None:
    """Return how far the body lies from where the first picture shows it: (2,), in halves of the longer side.

    The median of optical flow (DIS, Kroeger, Timofte, Dai, Van Gool, ECCV 2016) below both chins. None where they show
    too little of it.
    """
    if other is first:
        return np.zeros(2, np.float32)
    height, width = first.matte.shape
    shrink = FLOW_SIDE / max(height, width)
    size = max(16, round(width * shrink)), max(16, round(height * shrink))
    chin = max(float(_in_px(each)[CHIN, 1]) for each in (first, other)) * size[1] / height
    body = cv2.resize(np.minimum(first.matte, other.matte) * _covered(other), size, interpolation=cv2.INTER_AREA) > BODY
    body[: max(0, round(chin))] = False
    if body.mean() < LEAST_COMPARED:
        return None
    grays = [_gray(each.pixels, size) for each in (first, other)]
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    there, back = (search.calc(*pair, None) for pair in (grays, grays[::-1]))  # type: ignore[call-overload]
    x, y = np.meshgrid(np.arange(size[0], dtype=np.float32), np.arange(size[1], dtype=np.float32))
    returned = cv2.remap(back, x + there[..., 0], y + there[..., 1], cv2.INTER_LINEAR)
    sure = body & (np.linalg.norm(there + returned, axis=-1) < SURE_PX)
    if sure.mean() < LEAST_COMPARED:
        return None
    return np.asarray(np.median(there[sure], 0) * (2 / max(size)), np.float32)


def _gray(picture: Points, size: tuple[int, int]) -> Frame:
    """Return a picture (H, W, 3) in gray and in a size (width, height)."""
    small = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor((small * 255).astype(np.uint8), cv2.COLOR_RGB2GRAY), np.uint8)


def in_light_of(first: PlacedPicture, picture: PlacedPicture) -> PlacedPicture:
    """Return a picture as bright, in each colour, as the first one is where both show the background."""
    empty = (_covered(picture) > 0) & (np.maximum(first.matte, picture.matte) < KNOWN_BACKGROUND)
    if empty.mean() < LEAST_COMPARED:
        return picture
    gain = np.median(first.pixels[empty] + DARK, 0) / np.median(picture.pixels[empty] + DARK, 0)
    gain = np.clip(gain, 1 / MOST_GAIN, MOST_GAIN).astype(np.float32)
    return replace(picture, pixels=np.clip(picture.pixels * gain, 0, 1))


def near_person(matte: Map, reach_px: float) -> Map:
    """Return how near a person is: 1 on them and around, 0 from a reach on."""
    size = 2 * max(1, round(reach_px / 2)) + 1
    around = cv2.dilate(matte, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))
    return np.asarray(
        smoothstep(2 * np.asarray(cv2.GaussianBlur(around, (0, 0), reach_px / 4), np.float32)), np.float32
    )


def are_alike(one: PlacedPicture, other: PlacedPicture) -> bool:
    """Say whether two pictures show the same place, and a person in the same clothes."""
    shown = _covered(other) > 0
    empty = shown & (np.maximum(one.matte, other.matte) < KNOWN_BACKGROUND)
    body = shown & (np.minimum(one.matte, other.matte) > BODY)
    body[: round(max(float(_in_px(each)[:, 1].max()) for each in (one, other)))] = False
    if empty.mean() < LEAST_COMPARED:
        return False
    place = float(np.abs(cv2.blur(one.pixels, (5, 5)) - cv2.blur(other.pixels, (5, 5)))[empty].mean())
    if body.mean() < LEAST_COMPARED:
        return place < SAME_PLACE
    clothes = float(np.abs(one.pixels[body].mean(0) - other.pixels[body].mean(0)).mean())
    return place < SAME_PLACE and clothes < SAME_CLOTHES


def common_background(pictures: Sequence[PlacedPicture]) -> Points:
    """Return the background (H, W, 3): the first picture's, and where the person hides it, what others show of it."""
    height, width = pictures[0].matte.shape
    known = pictures[0].pixels.copy()
    seen = shown_background(known, pictures[0].matte)
    for picture in pictures[1:]:
        shown = shown_background(picture.pixels, picture.matte)
        shown *= cv2.resize(_covered(picture), (shown.shape[1], shown.shape[0]), interpolation=cv2.INTER_NEAREST)
        # Where both are known the first stays, but for a soft edge.
        share = np.clip(2 * cv2.GaussianBlur(shown, (0, 0), EDGE) - 1, 0, 1)
        share *= np.clip(2 - 2 * cv2.GaussianBlur(seen, (0, 0), EDGE), 0, 1)
        known += cv2.resize(share, (width, height))[..., None] * (picture.pixels - known)
        seen = np.maximum(seen, share > ALL)
    return add_texture(fill_unknown(known, seen), seen)


def foreign_beside(picture: PlacedPicture) -> Map:
    """Return where what a picture shows right beside the person is not of them (H, W), see shown_background."""
    foreign = shown_background(picture.pixels, picture.matte) - far_background(picture.matte)
    return np.asarray(cv2.resize(foreign, picture.matte.shape[::-1]), np.float32)


def _covered(picture: PlacedPicture) -> Map:
    """Return 1 where a picture shows anything, 0 elsewhere: (H, W)."""
    height, width = picture.matte.shape
    covered = np.zeros((height, width), np.float32)
    left, top, right, bottom = np.clip(np.round(picture.box), 0, (width, height, width, height)).astype(int)
    covered[top : bottom + 1, left : right + 1] = 1
    return covered


def moved_into(values: Points, place: Matrix, size: tuple[int, int]) -> Points:
    """Bring a picture (h, w) or (h, w, C) into another of a size (height, width); its edge is repeated beyond it."""
    middle = place.copy()
    middle[:, 2] += middle[:, :2] @ np.array([0.5, 0.5]) - 0.5  # from edges to the middles of pixels
    flags = cv2.INTER_AREA if abs(np.linalg.det(place[:, :2])) < 0.5 else cv2.INTER_LINEAR
    moved = cv2.warpAffine(values, middle, (size[1], size[0]), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(moved, np.float32)


def open_edges(box: Points, border: Border, size: tuple[int, int]) -> Points:
    """Return a box (4,) within a crop of a size (height, width), which ends nowhere where the frame ends with both.

    border: of the square that the crop would be in a larger frame. Where it ends before the frame does, what lies
    beyond is the source's.
    """
    height, width = size
    half = max(size) / 2
    low, high = (np.asarray(corner) * half + (width / 2, height / 2) for corner in (border.low, border.high))
    last = np.array([width - 1, height - 1])
    ends = np.concatenate([(box[:2] <= 1) & (low < -1), (box[2:] >= last - 1) & (high > last + 2)])
    within = np.concatenate([np.maximum(box[:2], 0), np.minimum(box[2:], last)])
    return np.asarray(np.where(ends, (-FAR, -FAR, FAR, FAR), within), np.float32)


def _in_px(picture: PlacedPicture) -> Points:
    size = picture.matte.shape
    points = picture.keypoints[0].numpy()
    return np.asarray(points[:, :2] * (max(size) / 2) + (size[1] / 2, size[0] / 2), np.float32)

"""A source's picture as layers: the person with their matte, before a background that is filled where they stand.

The person's colours are premultiplied (Porter, Duff, "Compositing Digital Images", 1984) and carry all that the
background does not explain, so that a person who does not move gives back the source's own pixels, whatever is wrong
with the matte.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from vid2vid_cli.arrays import Map, Points
from vid2vid_cli.face.background_texture import add_texture
from vid2vid_cli.face.filling import fill_background, shown_background
from vid2vid_cli.geometry.easing import smoothstep
from vid2vid_cli.models.compact.head_top import HeadTop
from vid2vid_cli.models.compact.mesh.square_map import cap_heights
from vid2vid_cli.models.compact.mixed_pixels import EVERYWHERE, PersonPicture, PersonPixels, lay_before

CAP_SHOWS = 0.35  # of its height: how much of the picture below it a cap over a cut-off head shows
# Of the width: how much is added on both sides; and how much of the picture that shows, of its own width.
BESIDE, BESIDE_SHOWS = 0.08, 0.5


@dataclass(frozen=True)
class Layers:
    """person: (1, 4, above + H, W + 2 beside), premultiplied RGB and the matte. background: (1, 3, H, W). In [0, 1].

    above, beside: how many rows of the person lie above the picture, where its top cuts the head off, and how many
    columns on either side, where that cuts the shoulders off. top: what closes the head there; None if nothing does.
    """

    person: Tensor
    background: Tensor
    above: int = 0
    beside: int = 0
    top: HeadTop | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Height and width of the picture."""
        return self.background.shape[2], self.background.shape[3]

    @property
    def in_picture(self) -> Tensor:
        """The person as far as the picture shows them: (1, 4, H, W)."""
        return self.person[..., self.above :, self.beside : self.beside + self.size[1]]

    @property
    def pixels(self) -> Points:
        """A copy of the person as (above + H, W + 2 beside, 4)."""
        return np.array(np.moveaxis(self.person[0].cpu().numpy(), 0, -1), order="C")

    def textured(self) -> Layers:
        """Return the same layers with texture on what of the background is filled."""
        person = np.ascontiguousarray(np.moveaxis(self.in_picture[0].cpu().numpy(), 0, -1))
        filled, matte = np.moveaxis(self.background[0].cpu().numpy(), 0, -1), person[..., 3]
        picture = person[..., :3] + (1 - person[..., 3:]) * filled
        textured = add_texture(np.ascontiguousarray(filled), shown_background(picture, matte))
        return lay_over(picture, matte, textured, self.background, self.top)

    @cached_property
    def pictures(self) -> PersonPixels:
        """The person as what a mesh takes pixels from."""
        return PersonPixels.of([PersonPicture(self.pixels, self.above, self.beside, EVERYWHERE, 1.0)])

    def compose(self, person: Points) -> Tensor:
        """Return a moved person (H, W, 4) before the background: (1, 3, H, W)."""
        return torch.from_numpy(lay_before(person, self.background[0].cpu().numpy()))[None]


def split_layers(image: Tensor, matte: Map, top: HeadTop | None = None) -> Layers:
    """Split a source (1, 3, H, W) by its matte (H, W). top: what closes a head that is cut off."""
    picture = np.ascontiguousarray(image[0].permute(1, 2, 0).cpu().numpy())
    return lay_over(picture, matte, fill_background(picture, matte), image, top)


def lay_over(picture: Points, matte: Map, background: Points, like: Tensor, top: HeadTop | None = None) -> Layers:
    """Split a picture (H, W, 3) by its matte (H, W) before a background (H, W, 3).

    like: for device and type. top: what closes a head that is cut off.
    """
    moving = picture - (1 - matte[..., None]) * background
    person, above = _cap(np.concatenate([moving, matte[..., None]], -1), top)
    beside = max(1, round(BESIDE * matte.shape[1]))
    return Layers(_as_image(_widen(person, beside), like), _as_image(background, like), above, beside, top)


def _cap(person: Points, top: HeadTop | None) -> tuple[Points, int]:
    """Close a person whom the picture's top cuts off in a round cap. Returns the rows above the picture, too.

    person: (H, W, 4), premultiplied. The cap shows the hair right below, mirrored and drawn out: further down there may
    be a forehead. Where nothing is cut off, an empty row keeps what lies at the top from being repeated above it. The
    first row is always that at the top: half a pixel of it is seen.
    """
    head = None if top is None else top.over(person[..., 3])
    heights = cap_heights(person[0, :, 3], None if head is None else head[-1])
    above = min(max(int(np.ceil(heights.max())) + 2, 0 if head is None else len(head)), len(person))
    distance = np.arange(above, 0, -1, dtype=np.float32)[:, None]
    inside = np.clip(np.maximum(heights, 1)[None] - distance + 1, 0, 1)
    rows = ((distance[:, 0] - 1) * CAP_SHOWS).astype(int)
    caps = person[rows] * inside[..., None]
    if top is not None and head is not None:
        caps[-len(head) :] = top.draw(person, head[-above:], caps[-len(head) :])
    return np.concatenate([caps, person]), above


def _widen(person: Points, beside: int) -> Points:
    """Add columns on both sides of a person (H, W, 4): what a side cuts off goes on there, mirrored and drawn out."""
    columns = (np.arange(beside) * BESIDE_SHOWS).astype(int)
    goes_on = smoothstep(2 * person[:, [0, -1], 3:] - 0.5)
    left, right = person[:, columns[::-1]] * goes_on[:, :1], person[:, -1 - columns] * goes_on[:, 1:]
    left[:, -1:], right[:, :1] = person[:, :1], person[:, -1:]  # half a pixel of them is seen
    return np.concatenate([left, person, right], 1)


def _as_image(picture: Points, like: Tensor) -> Tensor:
    """Return a picture (H, W, C) as (1, C, H, W)."""
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(picture, -1, 0))).to(like)[None]

"""Where the learned parts meet the mesh: what they see of source and target, and where their output goes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from vid2vid_cli.geometry.grid import PixelSquare, cut_square, identity_grid, resize_map
from vid2vid_cli.geometry.keypoints import Similarity
from vid2vid_cli.models.compact.learned.networks import (
    FLOW_SIDE,
    GUIDE_SIDE,
    PATCH_SIDE,
    SOURCE_SIDE,
    Correction,
    LearnedParts,
    View,
    paint_over,
    sample,
)
from vid2vid_cli.models.compact.mesh.box import Box
from vid2vid_cli.models.compact.mesh.warp import PlacedMesh

PATCH_SHARE = 0.6  # side of the painter's patch over that of the source's square, while the head keeps its size
MAP_SIDE = 128  # px: longer side of the map through which the correction is upsampled to the picture


@dataclass(frozen=True)
class Patch:
    """A square part of a crop: its middle and half its side, in halves of the crop's longer side."""

    x: float
    y: float
    half: float

    @property
    def box(self) -> Box:
        """The part as a box."""
        return Box.around(self.x, self.y, self.half)


@dataclass(frozen=True)
class HeadSquare:
    """The square of a source that the learned parts see, in halves of the crop's longer side.

    middle: x, y. half: half its side. head: (1, 1, 3), the middle of the face on the canonical head. back: depth at
    which the face ends behind the head's pivot, on the canonical head.
    """

    middle: tuple[float, float]
    half: float
    head: Tensor
    back: float

    @property
    def box(self) -> Box:
        """The square as a box."""
        return Box.around(*self.middle, self.half)

    def patch(self, own: Similarity, target: Similarity) -> Patch:
        """Return the painter's patch around a target's head; poses of batch 1."""
        x, y, _ = target.apply(self.head)[0, 0].tolist()
        return Patch(x, y, PATCH_SHARE * self.half * float(target.scale) / float(own.scale))

    def place(self, patch: Patch) -> tuple[float, float, float]:
        """Return a patch's middle (x, y) and half side in units of the square, with its middle at 0."""
        x, y = self.middle
        return (patch.x - x) / self.half, (patch.y - y) / self.half, patch.half / self.half


def draw_guide(mesh: PlacedMesh, box: Box, side: int, square: HeadSquare) -> Tensor:
    """Draw the mesh's channels over a box for the networks: (1, CHANNELS, side, side), displacements in squares."""
    values = mesh.draw(box, (side, side))
    # The first four channels are displacements, in halves of the crop's longer side until here.
    values[..., :4] /= square.half
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(values, -1, 0)))[None]


def encode_source(parts: LearnedParts, image: Tensor, square: HeadSquare) -> Tensor:
    """Return the encoder's features of a source (1, 3, H, W)."""
    part = _pixel_square(Patch(*square.middle, square.half), image)
    features: Tensor = parts.encoder(cut_square(image, part, SOURCE_SIDE))
    return features


@dataclass(frozen=True)
class EncodedSource:
    """What the learned parts know of a source. features: (1, C, 64, 64), of the encoder, over the square."""

    features: Tensor
    square: HeadSquare


@dataclass(frozen=True)
class Target:
    """What the networks need of a target: its mesh, and the poses of the source's own head and of the target's.

    missed: (1, 2, h, w), what the mesh's displacement misses of the driving, in halves of the square.
    """

    mesh: PlacedMesh
    own: Similarity
    head: Similarity
    missed: Tensor


def correct_flow(parts: LearnedParts, source: EncodedSource, target: Target) -> Correction:
    """Return the correction of a target's flow, over the source's square."""
    features, square = source.features, source.square
    guide = draw_guide(target.mesh, square.box, FLOW_SIDE, square).to(features.device)
    rigid = rigid_flow(target.own, target.head, square).to(features.device)
    correction: Correction = parts.flow_net(guide, rigid, features, target.missed.to(features.device))
    return correction


def rigid_flow(own: Similarity, head: Similarity, square: HeadSquare) -> Tensor:
    """Return the displacement over the square if all of it moved as the plane at the back of the face does.

    own, head: poses of the source's own head and of the target's, of batch 1. Returns (1, 2, 64, 64), in halves of
    the square.
    """
    grid = identity_grid((FLOW_SIDE, FLOW_SIDE))[0] * square.half + torch.tensor(square.middle)
    linear, offset = _plane(head, square.back)
    own_linear, own_offset = _plane(own, square.back)
    there = (grid - offset) @ torch.linalg.inv(linear).T @ own_linear.T + own_offset
    # Seen nearly edge on, the plane would send pixels anywhere.
    displacement: Tensor = ((there - grid) / square.half).clamp(-2, 2)
    return displacement.permute(2, 0, 1)[None]


def _plane(pose: Similarity, depth: float) -> tuple[Tensor, Tensor]:
    """Return the affine map (2, 2), (2,) from x and y of the canonical plane at a depth to the picture."""
    turned = pose.scale[0] * pose.rotation[0]
    return turned[:2, :2], turned[:2, 2] * depth + pose.translation[0, :2]


def spread_residual(correction: Correction, square: HeadSquare, like: Tensor) -> Tensor:
    """Return what to add to a displacement (1, h, w, 2) of the whole crop, in halves of its longer side."""
    height, width = like.shape[1:3]
    shrink = min(1.0, MAP_SIDE / max(height, width))
    size = max(1, round(height * shrink)), max(1, round(width * shrink))
    longer = max(height, width)
    y = torch.linspace(1 / size[0] - 1, 1 - 1 / size[0], size[0], device=like.device) * height / longer
    x = torch.linspace(1 / size[1] - 1, 1 - 1 / size[1], size[1], device=like.device) * width / longer
    x, y = (x - square.middle[0]) / square.half, (y - square.middle[1]) / square.half
    grid = torch.stack([x.expand(*size), y[:, None].expand(*size)], -1)[None]
    return resize_map(sample(correction.residual, grid).permute(0, 2, 3, 1) * square.half, like)


def residual_at(correction: Correction, square: HeadSquare, places: Tensor) -> Tensor:
    """Return the same at some places (P, 2) of the crop alone: (P, 2)."""
    grid = (places - places.new_tensor(square.middle)) / square.half
    return sample(correction.residual, grid[None, None])[0, :, 0].T * square.half


def paint_target(
    parts: LearnedParts, warped: Tensor, target: Target, source: EncodedSource, correction: Correction
) -> None:
    """Paint the head in a warped image (1, 3, H, W) in place."""
    height, width = warped.shape[-2:]
    square = source.square
    part = _pixel_square(square.patch(target.own, target.head), warped)
    longer, side = max(height, width) / 2, part.side
    # What counts is the patch after rounding to pixels.
    rounded = Patch(
        (part.left + (side - width) / 2) / longer, (part.top + (side - height) / 2) / longer, side / 2 / longer
    )
    guide = draw_guide(target.mesh, rounded.box, GUIDE_SIDE, square).to(warped.device)
    place = torch.tensor([square.place(rounded)], device=warped.device)
    patch = cut_square(warped, part, PATCH_SIDE)
    painting = parts.paint(patch, guide, place, source.features, correction)
    (columns, shown_columns), (rows, shown_rows) = _shown(part.left, side, width), _shown(part.top, side, height)
    paint_over(warped[..., rows, columns], patch, painting, View(side, shown_rows, shown_columns))


def _shown(begin: int, length: int, whole: int) -> tuple[slice, slice]:
    """Clip a range to [0, whole): return what is left, in coordinates of the whole and of the range."""
    first = min(max(begin, 0), whole)
    last = max(min(begin + length, whole), first)
    return slice(first, last), slice(first - begin, last - begin)


def _pixel_square(patch: Patch, image: Tensor) -> PixelSquare:
    """Return a patch in px of an image (B, C, H, W), rounded."""
    height, width = image.shape[-2:]
    longer = max(height, width) / 2
    left, top = (patch.x - patch.half) * longer + width / 2, (patch.y - patch.half) * longer + height / 2
    # A head so small that nothing would be left of its patch still gets some pixels.
    return PixelSquare(round(left), round(top), max(8, round(2 * patch.half * longer)))

"""What the networks make of a batch, rendered as the model does at run time."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from vid2vid_cli.models.compact.learned.networks import (
    PATCH_SIDE,
    SOURCE_SIDE,
    Correction,
    LearnedParts,
    Painting,
    apply_painting,
    patch_grid,
    sample,
)


@dataclass(frozen=True)
class Rendered:
    """What the networks make of a batch: the whole (B, 3, 128, 128) and patches, without and with each network."""

    still: Tensor
    coarse: Tensor
    unmoved: Tensor
    warped: Tensor
    painted: Tensor
    correction: Correction
    painting: Painting


def render_batch(parts: LearnedParts, batch: dict[str, Tensor]) -> Rendered:
    """Render all targets of a batch (see dataset.SampleMaker.make_batch) as the model does at run time."""
    source, which = batch["source"], batch["which"]
    small = functional.interpolate(source, (SOURCE_SIDE, SOURCE_SIDE), mode="bilinear", antialias=True)
    # Each source is encoded once, though it has several targets; any of them knows its square.
    square = batch["square"][batch["first"]][:, None, None]
    grid = square[..., :2] + square[..., 2:] * patch_grid(_whole(source), SOURCE_SIDE)
    features = parts.encoder(sample(small, grid))[which]
    source = source[which]
    correction = parts.flow_net(batch["guide"], batch["rigid"], features, batch["missed"])
    square = batch["square"][:, None, None]
    coarse_place = patch_grid(_whole(source), batch["coarse_flow"].shape[-1])
    coarse = _bring(source, batch["coarse_flow"], correction, coarse_place, square)
    place = patch_grid(batch["place"], PATCH_SIDE)
    with torch.no_grad():
        still = _bring(source, batch["coarse_flow"], None, coarse_place, square)
    overlay, keep = batch["patch_overlay"][:, :3], batch["patch_overlay"][:, 3:]
    warped = _bring(source, batch["patch_flow"], correction, place, square) * keep + overlay
    with torch.no_grad():
        unmoved = _bring(source, batch["patch_flow"], None, place, square) * keep + overlay
    painting = parts.paint(warped, batch["patch_guide"], batch["place"], features, correction)
    return Rendered(still, coarse, unmoved, warped, apply_painting(warped, warped, painting), correction, painting)


def _whole(like: Tensor) -> Tensor:
    """Return the place of the whole square, for each of a batch: (B, 3)."""
    return torch.tensor([[0.0, 0.0, 1.0]], device=like.device).expand(len(like), 3)


def _bring(source: Tensor, flow: Tensor, correction: Correction | None, place: Tensor, square: Tensor) -> Tensor:
    """Warp sources (B, 3, 320, 320) to places (B, H, W, 2) of their squares."""
    displacement = flow if correction is None else flow + sample(correction.residual, place)
    there = place + displacement.permute(0, 2, 3, 1)
    return sample(source, square[..., :2] + square[..., 2:] * there)

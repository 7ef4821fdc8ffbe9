"""The networks of the first-order motion model, as its public vox-256 checkpoint has them."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from vid2vid_cli.geometry.grid import corner_grid
from vid2vid_cli.geometry.keypoints import expected_points, gaussian_maps
from vid2vid_cli.models.layers.blocks import (
    DownBlock,
    Hourglass,
    NormedConv,
    ResidualBlock,
    Shrink,
    UpBlock,
    chain,
    conv_like,
    sample,
)
from vid2vid_cli.models.loading import Part

TEMPERATURE = 0.1  # of the softmax over a map, as the checkpoint was trained
KEYPOINT_VARIANCE = 0.01  # of the Gaussian around a keypoint, in [-1, 1] of the crop


class LocalMotion(NamedTuple):
    """Keypoints (B, K, 2), in [-1, 1] of the crop, and the affine map around each: jacobians (B, K, 2, 2)."""

    keypoints: Tensor
    jacobians: Tensor


class KeypointDetector(nn.Module):
    """Finds keypoints and the affine maps around them."""

    def __init__(self, part: Part) -> None:
        super().__init__()
        self.down = Shrink(part / "down")
        self.predictor = Hourglass(part / "predictor")
        self.kp = conv_like(part, "kp", padding=0)
        self.jacobian = conv_like(part, "jacobian", padding=0)

    def forward(self, image: Tensor) -> LocalMotion:
        """Find them in images (B, 3, H, W) in [0, 1]."""
        features = self.predictor(self.down(image))
        logits = self.kp(features)
        chances = (logits.flatten(2) / TEMPERATURE).softmax(-1).reshape(logits.shape)
        # (B, 4 K, H, W) to (B, K, 4, H, W), then the mean of each over its keypoint's map: (B, K, 4)
        maps = self.jacobian(features).reshape(*logits.shape[:2], 4, *logits.shape[2:])
        jacobians = (chances[:, :, None] * maps).sum((3, 4))
        return LocalMotion(expected_points(chances), jacobians.reshape(*jacobians.shape[:2], 2, 2))


class PreparedSource(NamedTuple):
    """What of a source does not change from frame to frame.

    features: (1, C, H/4, W/4). small: (1, 3, H/4, W/4), the image shrunk. keypoints, jacobians: its own motion.
    maps: (1, K, H/4, W/4), the Gaussians of its keypoints.
    """

    features: Tensor
    small: Tensor
    keypoints: Tensor
    jacobians: Tensor
    maps: Tensor


class FirstOrderFlow(NamedTuple):
    """Where each pixel of a target takes its features from.

    masks: (B, K + 1, H, W), the background first, sum 1. deformation: (B, H, W, 2), x and y to sample at.
    occlusion: (B, 1, H, W), 1 where the source shows what the target needs.
    """

    masks: Tensor
    deformation: Tensor
    occlusion: Tensor


class DenseMotionNet(nn.Module):
    """Combines the local motions into a flow of the whole map (paper, section 3.2)."""

    def __init__(self, part: Part) -> None:
        super().__init__()
        self.down = Shrink(part / "down")
        self.hourglass = Hourglass(part / "hourglass")
        self.mask = conv_like(part, "mask")
        self.occlusion = conv_like(part, "occlusion")

    def prepare(self, image: Tensor, motion: LocalMotion) -> tuple[Tensor, Tensor]:
        """Return the shrunk image and the Gaussians of its keypoints."""
        small = self.down(image.to(self.down.get_buffer("weight").dtype))
        return small, gaussian_maps(motion.keypoints, small.shape[2:], KEYPOINT_VARIANCE)

    def forward(self, source: PreparedSource, target: LocalMotion) -> FirstOrderFlow:
        """Estimate the flow to a target of B frames."""
        grids = self._local_grids(source, target)
        context = self.hourglass(self._look(source, target, grids))
        masks = self.mask(context).float().softmax(1)
        occlusion = torch.sigmoid(self.occlusion(context).float())
        return FirstOrderFlow(masks, torch.einsum("bkhw,bkhwc->bhwc", masks, grids), occlusion)

    def _local_grids(self, source: PreparedSource, target: LocalMotion) -> Tensor:
        """Return where the background and the surroundings of each keypoint come from: (B, K + 1, H, W, 2), eq. 4."""
        still = corner_grid(source.small.shape[2:], target.keypoints.device)
        away = still[None, None] - target.keypoints[:, :, None, None]
        change = source.jacobians @ torch.linalg.inv(target.jacobians)
        moved = torch.einsum("bkij,bkhwj->bkhwi", change, away) + source.keypoints[:, :, None, None]
        # The background, which keeps still, comes first.
        return torch.cat([still.expand(len(moved), 1, *still.shape), moved], 1)

    def _look(self, source: PreparedSource, target: LocalMotion, grids: Tensor) -> Tensor:
        """Return each keypoint's change of its Gaussian and the image moved by it: (B, 4 (K + 1), H, W)."""
        change = gaussian_maps(target.keypoints, source.small.shape[2:], KEYPOINT_VARIANCE) - source.maps
        change = torch.cat([torch.zeros_like(change[:, :1]), change], 1)[:, :, None]
        # (B, K + 1, H, W, 2) to (B * (K + 1), H, W, 2): all are sampled at once.
        flat = grids.flatten(0, 1)
        moved = sample(source.small.expand(len(flat), *source.small.shape[1:]), flat)
        moved = moved.reshape(*grids.shape[:2], *moved.shape[1:])
        return torch.cat([change.to(moved.dtype), moved], 2).flatten(1, 2)


class FirstOrderGenerator(nn.Module):
    """Encodes a source once, then draws it with any keypoints."""

    def __init__(self, part: Part) -> None:
        super().__init__()
        self.first = NormedConv(part / "first")
        self.down_blocks = chain(DownBlock, part / "down_blocks")
        self.dense_motion_network = DenseMotionNet(part / "dense_motion_network")
        self.bottleneck = chain(ResidualBlock, part / "bottleneck")
        self.up_blocks = chain(UpBlock, part / "up_blocks")
        self.final = conv_like(part, "final")

    def prepare(self, image: Tensor, motion: LocalMotion) -> PreparedSource:
        """Compute once what a source needs. image: (1, 3, H, W) in [0, 1]. motion: its own."""
        features = self.down_blocks(self.first(image.to(self.final.weight.dtype)))
        small, maps = self.dense_motion_network.prepare(image, motion)
        return PreparedSource(features, small, motion.keypoints, motion.jacobians, maps)

    def warp(self, source: PreparedSource, motion: FirstOrderFlow) -> Tensor:
        """Warp the features by a flow and fade out what the source does not show: (B, C, H/4, W/4)."""
        features = source.features.expand(len(motion.deformation), *source.features.shape[1:])
        warped = sample(features, motion.deformation)
        return warped * motion.occlusion.to(warped.dtype)

    def decode(self, maps: Tensor) -> Tensor:
        """Decode maps (B, C, H/4, W/4) to images (B, 3, H, W) in [0, 1]."""
        return torch.sigmoid(self.final(self.up_blocks(self.bottleneck(maps))).float())

    def forward(self, source: PreparedSource, target: LocalMotion) -> Tensor:
        """Draw a source with the motion of B frames. Returns images (B, 3, H, W) in [0, 1]."""
        return self.decode(self.warp(source, self.dense_motion_network(source, target)))

"""The feature volume of a source and its warping by keypoints in three dimensions.

The networks that face-vid2vid (Wang, Mallya, Liu, CVPR 2021, arXiv 2011.15126) calls F, M and w, as the public
checkpoints of two families have them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from vid2vid_cli.geometry.grid import corner_grid
from vid2vid_cli.geometry.keypoints import gaussian_maps
from vid2vid_cli.models.layers.blocks import (
    DownBlock,
    Hourglass,
    NormedConv,
    ResidualBlock,
    chain,
    conv_like,
    norm_like,
    sample,
)
from vid2vid_cli.models.loading import Part

KEYPOINT_VARIANCE = 0.01
THIRD_SLOPE = 0.01


class VolumeEncoder(nn.Module):
    """F: lifts an image to a volume of features."""

    NAMES = ("first", "down_blocks", "second", "resblocks_3d")

    def __init__(self, part: Part) -> None:
        super().__init__()
        self.first = NormedConv(part / "first")
        self.down_blocks = chain(DownBlock, part / "down_blocks")
        self.second = conv_like(part, "second")
        self.resblocks_3d = chain(ResidualBlock, part / "resblocks_3d")
        residual = part / "resblocks_3d"
        self.channels = (residual / residual.children()[0]).shape("conv1.weight")[0]

    def forward(self, image: Tensor) -> Tensor:
        """Map images (B, 3, H, W) in [0, 1] to volumes (B, C, D, H/4, W/4)."""
        x = self.second(self.down_blocks(self.first(image.to(self.second.weight.dtype))))
        # (B, C * D, H, W) to (B, C, D, H, W); channels are numbered channel * depth_count + depth
        volume = x.reshape(len(x), self.channels, -1, *x.shape[2:])
        features: Tensor = self.resblocks_3d(volume)
        return features


class PreparedVolume(NamedTuple):
    """What of a source does not change from frame to frame.

    features: (1, C, D, H, W). compressed: (1, c, D, H, W). keypoints: (1, K, 3). maps: (1, K, D, H, W), its Gaussians.
    """

    features: Tensor
    compressed: Tensor
    keypoints: Tensor
    maps: Tensor


class DenseMotion(NamedTuple):
    """Where each voxel of a target takes its features from.

    masks: (B, K + 1, D, H, W), the background first, sum 1. deformation: (B, D, H, W, 3), x, y and z to sample at.
    occlusion: (B, 1, H, W), 1 where the source shows what the target needs.
    """

    masks: Tensor
    deformation: Tensor
    occlusion: Tensor


class FlattenedConv(nn.Conv2d):
    """A convolution of maps, for volumes whose depth is folded into channels: channel * depth_count + depth."""

    def __init__(self, part: Part, name: str) -> None:
        out, into, *kernel = part.shape(f"{name}.weight")
        super().__init__(into, out, (kernel[0], kernel[1]), padding=kernel[0] // 2)

    def forward(self, volume: Tensor) -> Tensor:
        """Map volumes (B, C, D, H, W) to maps (B, C', H, W)."""
        return super().forward(volume.flatten(1, 2))


class DenseMotion3D(nn.Module):
    """M: estimates the flow of the volume from the keypoints of source and target (paper, section 3.2)."""

    NORM_AFTER: ClassVar[Mapping[str, str]] = {"compress": "norm"}

    def __init__(self, part: Part, smallest_mask: float = 0.0) -> None:
        """smallest_mask: smaller masks are left out of the flow."""
        super().__init__()
        self.hourglass = Hourglass(part / "hourglass")
        self.mask: nn.Module = conv_like(part, "mask")
        self.compress = conv_like(part, "compress")
        self.norm = norm_like(part, "norm", 3)
        self.occlusion: nn.Module = FlattenedConv(part, "occlusion")
        self.smallest_mask = smallest_mask

    def prepare(self, features: Tensor, keypoints: Tensor) -> PreparedVolume:
        """Compute once what a source needs. features: (1, C, D, H, W). keypoints: (1, K, 3)."""
        compressed = torch.relu(self.norm(self.compress(features)))
        maps = gaussian_maps(keypoints, features.shape[2:], KEYPOINT_VARIANCE)
        return PreparedVolume(features, compressed, keypoints, maps)

    def forward(self, source: PreparedVolume, keypoints: Tensor) -> DenseMotion:
        """Estimate the flow to keypoints (B, K, 3)."""
        # From the target to the source, since it is the target's voxels that are sampled.
        shifts = with_background(source.keypoints - keypoints)
        context = self.hourglass(self._look(source, keypoints, shifts))
        masks = self.mask(context).float().softmax(1)
        occlusion = torch.sigmoid(self.occlusion(context).float())
        return DenseMotion(masks, self._deform(masks, shifts), occlusion)

    def _look(self, source: PreparedVolume, keypoints: Tensor, shifts: Tensor) -> Tensor:
        """Return each keypoint's change of its Gaussian and the features moved by it: (B, 5 (K + 1), D, H, W)."""
        batch, size = len(keypoints), source.features.shape[2:]
        change = gaussian_maps(keypoints, size, KEYPOINT_VARIANCE) - source.maps
        change = torch.cat([torch.zeros_like(change[:, :1]), change], 1)[:, :, None]
        # (B, K + 1, 3) to one shift for each of B * (K + 1) volumes
        grid = corner_grid(size, keypoints.device) + shifts.flatten(0, 1)[:, None, None, None]
        moved = sample(source.compressed.expand(len(grid), *source.compressed.shape[1:]), grid)
        moved = moved.reshape(batch, -1, *moved.shape[1:])
        return torch.cat([change.to(moved.dtype), moved], 2).flatten(1, 2)

    def _deform(self, masks: Tensor, shifts: Tensor) -> Tensor:
        """Weigh the motions of all keypoints: sum over k of mask_k (grid + shift_k)."""
        kept = masks
        if self.smallest_mask:
            kept = torch.where(masks < self.smallest_mask, 0.0, masks)
        # The grid is the same for all keypoints, so that only the shifts are summed one by one.
        still = kept.sum(1)[..., None] * corner_grid(masks.shape[2:], masks.device)
        return still + torch.einsum("bkdhw,bkc->bdhwc", kept, shifts)


def with_background(shifts: Tensor) -> Tensor:
    """Put the background, which does not move, before the keypoints: (B, K, 3) to (B, K + 1, 3)."""
    return torch.cat([torch.zeros_like(shifts[:, :1]), shifts], 1)


class VolumeWarper(nn.Module):
    """M and w: warps a source's volume and flattens it to the maps that a generator decodes."""

    NAMES = ("dense_motion_network", "third", "fourth")

    def __init__(self, part: Part, smallest_mask: float = 0.0) -> None:
        super().__init__()
        self.dense_motion_network = DenseMotion3D(part / "dense_motion_network", smallest_mask)
        self.third = NormedConv(part / "third", THIRD_SLOPE)
        self.fourth = conv_like(part, "fourth")

    def prepare(self, features: Tensor, keypoints: Tensor) -> PreparedVolume:
        """Compute once what a source needs."""
        return self.dense_motion_network.prepare(features, keypoints)

    def forward(self, source: PreparedVolume, keypoints: Tensor) -> Tensor:
        """Warp a source to keypoints (B, K, 3). Returns maps (B, C', H, W)."""
        return self.warp(source, self.dense_motion_network(source, keypoints))

    def warp(self, source: PreparedVolume, motion: DenseMotion) -> Tensor:
        """Warp a source by a known motion. Returns maps (B, C', H, W), faded out where the source shows nothing."""
        features = source.features.expand(len(motion.deformation), *source.features.shape[1:])
        warped = sample(features, motion.deformation).flatten(1, 2)  # channel * depth_count + depth
        # Flattened, depth is a part of the channels again.
        maps = self.fourth(self.third(warped))
        faded: Tensor = maps * motion.occlusion.to(maps.dtype)
        return faded

"""The attention mesh's own operations: cut a region out of a feature map where landmarks say, and map points back.

Names of the operations in the published network: Landmarks2TransformMatrix, TransformTensorBilinear and
TransformLandmarks. An affine map is (B, 2, 3): [linear | offset], from px of a region's crop to px of the feature map,
both counted from the left and top edge.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

CROP_SIZE = 16  # px of a region's crop of the feature map
MARGIN = 1.5  # side of the crop over the box of the region's points


def region_affine(points: Tensor, right: Tensor, left: Tensor) -> Tensor:
    """Return the map from the crop around a region to the feature map: (B, 2, 3).

    points: (B, P, 2), the region's landmarks in px of the feature map. right, left: (B, 2), the corners that shall lie
    level in the crop, the viewer's left one first. The box of the points, turned level, fills 1 / MARGIN of the crop in
    either direction: width and height are scaled apart.
    """
    across = left - right
    angle = torch.atan2(across[:, 1], across[:, 0])
    cos, sin = torch.cos(angle), torch.sin(angle)
    axes = torch.stack([torch.stack([cos, -sin], 1), torch.stack([sin, cos], 1)], 1)  # columns: along the corners, down
    own = points @ axes  # (B, P, 2), along those axes
    low, high = own.amin(1), own.amax(1)
    linear = axes * ((high - low) * (MARGIN / CROP_SIZE))[:, None]
    middle = axes @ ((low + high) / 2)[..., None]
    offset = middle - linear.sum(2, keepdim=True) * (CROP_SIZE / 2)
    return torch.cat([linear, offset], 2)


def crop_features(features: Tensor, affine: Tensor) -> Tensor:
    """Sample a feature map (B, C, H, W) bilinearly at a region's crop: (B, C, 16, 16).

    affine: (B, 2, 3). A place beyond the centres of the map's outermost pixels gives 0.
    """
    height, width = features.shape[-2:]
    centre = torch.arange(CROP_SIZE, dtype=affine.dtype, device=affine.device) + 0.5
    y, x = torch.meshgrid(centre, centre, indexing="ij")
    # (B, 16, 16, 2), in px between centres: 0 is the centre of the first pixel
    places = map_points(affine, torch.stack([x, y], -1).reshape(1, -1, 2)) - 0.5
    places = places.reshape(-1, CROP_SIZE, CROP_SIZE, 2)
    furthest = places.new_tensor([width - 1, height - 1])
    inside = ((places >= 0) & (places <= furthest)).all(-1)
    sampled = functional.grid_sample(features, places * (2 / furthest) - 1, "bilinear", "border", align_corners=True)
    return sampled * inside[:, None]


def map_points(affine: Tensor, points: Tensor) -> Tensor:
    """Map points (B or 1, P, 2) through affine maps (B, 2, 3)."""
    mapped: Tensor = points @ affine[:, :, :2].transpose(1, 2) + affine[:, None, :, 2]
    return mapped

"""MediaPipe's attention mesh as a torch module: from the crop of a face to 478 points, lips and eyes refined.

Written from the published network and arXiv 2006.10962. The mesh says where lips and eyes are. Each of these regions is
cut out of an early feature map, before detail is lost, and a small network of its own places its points again.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from vid2vid_cli.face.attention_regions import crop_features, map_points, region_affine
from vid2vid_cli.face.blazeface import BlazeBlock, SameConv
from vid2vid_cli.face.eyes import BROWS_AND_CHEEKS, LOOPS, RINGS
from vid2vid_cli.face.landmarks import LANDMARKS, LIP_CONTOURS

IRIS_POINTS = 5  # the centre, then the edge: right, top, left, bottom as the viewer sees it
POINTS = LANDMARKS + 2 * IRIS_POINTS
# Indices of the iris centres among the network's points, the person's right one first.
IRIS_CENTRES = (LANDMARKS, LANDMARKS + IRIS_POINTS)
# For each region, the landmarks that it refines, in the network's order.
REGIONS = (LIP_CONTOURS.reshape(-1), *np.concatenate([LOOPS, *RINGS, BROWS_AND_CHEEKS], axis=1))
# Landmarks at the two ends of each region that lie level in its crop.
ENDS = ((61, 291), (33, 133), (362, 263))
MAP_PX = 4.0  # px of the input over one px of the feature map that regions are cut from
TRUNK_OF_HEAD = (0, 1, 1, 2, 2)  # which region's features each head of `Regions` takes
CROP_PX = 4.0  # the regions' networks count in quarters of a px of their crop


class Pointwise(nn.Module):
    """A 1x1 convolution and its activation."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels_in, channels_out, 1)
        self.activation = nn.PReLU(channels_out)

    def forward(self, x: Tensor) -> Tensor:
        """Map features (B, C, H, W) to (B, C', H, W)."""
        y: Tensor = self.activation(self.convolution(x))
        return y


class Regions(nn.Module):
    """Place the points of lips and eyes once more, each region by networks of its own."""

    def __init__(self) -> None:
        super().__init__()
        # Lips, the person's right eye, left eye.
        self.trunks = nn.ModuleList(region_trunk() for _ in REGIONS)
        # Lips, right eye, right iris, left eye, left iris.
        self.heads = nn.ModuleList(
            region_head(2 * count)
            for count in (len(REGIONS[0]), len(REGIONS[1]), IRIS_POINTS, len(REGIONS[2]), IRIS_POINTS)
        )

    def forward(self, mesh: Tensor, maps: Tensor) -> Tensor:
        """Return the mesh (B, 468, 3) with lips and eyes refined in x and y, and ten points of irises: (B, 478, 3).

        maps: (B, 32, 48, 48), the stem's. The mesh is in px of the input.
        """
        affines = region_affines(mesh)
        regions = [trunk(crop_features(maps, affine)) for trunk, affine in zip(self.trunks, affines, strict=True)]
        placed = []
        for head, region in zip(self.heads, TRUNK_OF_HEAD, strict=True):
            own = head(regions[region]).reshape(len(mesh), -1, 2)
            placed.append(MAP_PX * map_points(affines[region], own / CROP_PX))
        return assemble(mesh, placed)


class AttentionMesh(nn.Module):
    """Place 478 points on the face that fills a square crop, and tell whether there is one."""

    image_size = 192

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            SameConv(3, 16, 3, stride=2),
            nn.PReLU(16),
            *stage(16, 16, stride=1, blocks=2),
            BlazeBlock(16, 32, stride=2, slopes=True),
        )
        self.trunk = nn.Sequential(
            *stage(32, 32, stride=1, blocks=2),
            *stage(32, 64),
            *stage(64, 128),
            *stage(128, 128),
            *stage(128, 128),
            *narrowing(),
        )
        # The convolution at the end spans what is left of the maps, 3x3: it is a fully connected layer.
        self.place = nn.Conv2d(32, 3 * LANDMARKS, 3)
        self.presence = nn.Conv2d(32, 1, 3)
        self.regions = Regions()

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Find the mesh in crops of faces.

        image: (B, 3, 192, 192), RGB in [0, 1], the face upright and about two thirds of the crop.
        Returns points (B, 478, 3): the mesh's 468, then five of the person's right iris and five of the left one,
        each centre first; in px of the crop (0 is the left or top edge), x right, y down, z away from the camera with 0
        near the head's middle. And presence logits (B,): above 0 a face is likely.
        """
        maps = self.stem(image)  # (B, 32, 48, 48)
        seen = self.trunk(maps)  # (B, 32, 3, 3)
        mesh = self.place(seen).reshape(-1, LANDMARKS, 3)
        points: Tensor = self.regions(mesh, maps)
        return points, self.presence(seen).reshape(-1)


def region_affines(mesh: Tensor) -> list[Tensor]:
    """Return where the mesh (B, 468, 3) in px of the input puts each region: (B, 2, 3), crop to feature map."""
    flat = mesh[..., :2] / MAP_PX
    return [
        region_affine(flat[:, points], flat[:, right], flat[:, left])
        for points, (right, left) in zip(REGIONS, ENDS, strict=True)
    ]


def assemble(mesh: Tensor, placed: list[Tensor]) -> Tensor:
    """Put the regions' points into the mesh (B, 468, 3), and the irises behind it: (B, 478, 3).

    placed: what the five heads found, (B, P, 2) each, in px of the input.
    """
    refined = mesh.clone()
    for points, head in zip(REGIONS, (0, 1, 3), strict=True):
        refined[:, points, :2] = placed[head]
    # The network knows no depth of an iris: it is taken from around the eye.
    depths = mesh[:, LOOPS, 2].mean(2)  # (B, 2)
    irises = [
        torch.cat([placed[head], depths[:, eye, None, None].expand(-1, IRIS_POINTS, 1)], 2)
        for eye, head in enumerate((2, 4))
    ]
    return torch.cat([refined, *irises], 1)


def stage(channels_in: int, channels_out: int, stride: int = 2, blocks: int = 3) -> list[BlazeBlock]:
    """Build the blocks of one resolution; the first of them changes it."""
    first = BlazeBlock(channels_in, channels_out, stride, slopes=True)
    return [first, *(BlazeBlock(channels_out, channels_out, slopes=True) for _ in range(blocks - 1))]


def narrowing() -> list[nn.Module]:
    """Build what brings 128 channels down to 32 before a fully connected layer."""
    return [Pointwise(128, 32), BlazeBlock(32, 32, slopes=True)]


def region_trunk() -> nn.Sequential:
    """Build the layers of one region from its crop at 16x16 to features (B, 128, 4, 4)."""
    return nn.Sequential(*stage(32, 32, stride=1, blocks=2), *stage(32, 64), BlazeBlock(64, 128, stride=2, slopes=True))


def region_head(values: int) -> nn.Sequential:
    """Build the layers that turn a region's features (B, 128, 4, 4) into values (B, values, 1, 1)."""
    return nn.Sequential(*stage(128, 128, stride=1, blocks=2), *stage(128, 128), *narrowing(), nn.Conv2d(32, values, 2))

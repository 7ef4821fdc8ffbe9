"""The fast twin of a whole attention mesh on the CPU. Its three regions run beside each other."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vid2vid_cli.face.attention_mesh import (
    CROP_PX,
    ENDS,
    IRIS_POINTS,
    MAP_PX,
    POINTS,
    REGIONS,
    TRUNK_OF_HEAD,
    AttentionMesh,
    Pointwise,
    Regions,
)
from vid2vid_cli.face.attention_regions import CROP_SIZE, MARGIN
from vid2vid_cli.face.blazeface import BlazeBlock
from vid2vid_cli.face.eyes import LOOPS
from vid2vid_cli.face.fast_blocks import FastBlazeBlock, FastFullyConnected, FastPointwise, Maps
from vid2vid_cli.face.landmarks import LANDMARKS

Numbers = NDArray[np.int64]


class PointLists(NamedTuple):
    """Lists of points of different lengths, for numba. points: one behind the other. begin: where each begins."""

    points: Numbers
    begin: Numbers


def join(lists: Sequence[Numbers]) -> PointLists:
    """Join lists of points."""
    return PointLists(np.concatenate(lists), np.cumsum([0, *map(len, lists)]))


IRISES = np.arange(LANDMARKS, POINTS).reshape(2, IRIS_POINTS)
AROUND = join(REGIONS)  # what each region is cut around
PLACED = join((REGIONS[0], REGIONS[1], IRISES[0], REGIONS[2], IRISES[1]))  # what each head places
LEVEL = np.array(ENDS)
REGION_OF_HEAD = np.array(TRUNK_OF_HEAD)


def use_fast_layers(mesh: AttentionMesh) -> None:
    """Replace the layers of a mesh on the CPU with their fast twins. It cannot be trained afterwards."""
    # Analyzers may share a mesh: the second one finds it done.
    if isinstance(mesh.regions, FastRegions):
        return
    mesh.requires_grad_(False)
    twins = {
        "stem": fast_layers([mesh.stem]),
        "trunk": fast_layers([mesh.trunk]),
        "place": FastFullyConnected(mesh.place),
        "presence": FastFullyConnected(mesh.presence),
        "regions": FastRegions(mesh.regions),
    }
    for name, twin in twins.items():
        setattr(mesh, name, twin)


def fast_layers(networks: Iterable[nn.Module]) -> nn.Sequential:
    """Return a network that runs equally built sequences of layers beside each other."""
    return nn.Sequential(*(fast_layer(*layers) for layers in zip(*(n.children() for n in networks), strict=True)))


def fast_layer(*layers: nn.Module) -> nn.Module:
    """Return the fast twin of equally built layers; of a layer that has none, the layer itself."""
    if isinstance(layers[0], BlazeBlock):
        return FastBlazeBlock(*(layer for layer in layers if isinstance(layer, BlazeBlock)))
    if isinstance(layers[0], Pointwise):
        return FastPointwise(*(layer for layer in layers if isinstance(layer, Pointwise)))
    if len(layers) > 1:
        return FastFullyConnected(*(layer for layer in layers if isinstance(layer, nn.Conv2d)))
    return layers[0]


class FastRegions(nn.Module):
    """The networks of the three regions, run beside each other with fixed weights."""

    def __init__(self, regions: Regions) -> None:
        super().__init__()
        self._trunks, self._heads = fast_layers(regions.trunks), fast_layers(regions.heads)

    def forward(self, mesh: Tensor, maps: Tensor) -> Tensor:
        """Do what `Regions` does: mesh (B, 468, 3) and maps (B, 32, 48, 48) give points (B, 478, 3)."""
        count, channels = maps.shape[:2]
        affines = np.empty((len(REGIONS), count, 2, 3), np.float32)
        crops = torch.empty(len(REGIONS), count, CROP_SIZE, CROP_SIZE, channels)
        known = mesh.contiguous().numpy()
        _find_regions(known, AROUND, LEVEL, affines)
        _cut_regions(maps.permute(0, 2, 3, 1).contiguous().numpy(), affines, crops.numpy())
        seen = self._trunks(crops.flatten(0, 1).permute(0, 3, 1, 2)).permute(0, 2, 3, 1)  # (3 * B, 4, 4, 128)
        shared = seen.reshape(len(REGIONS), -1)[REGION_OF_HEAD].reshape(-1, *seen.shape[1:])  # (5 * B, 4, 4, 128)
        answers = self._heads(shared.permute(0, 3, 1, 2)).reshape(len(REGION_OF_HEAD), count, -1, 2)
        points = torch.empty(count, POINTS, 3)
        _place_points(known, affines[REGION_OF_HEAD], answers.numpy(), PLACED, points.numpy())
        return points


@numba.njit(cache=True, nogil=True)
def _find_regions(mesh: Maps, around: PointLists, level: Numbers, affines: Maps) -> None:
    """Find the maps (R, B, 2, 3) from the regions' crops to the feature map, as `region_affine` does."""
    for region in range(affines.shape[0]):
        points = around.points[around.begin[region] : around.begin[region + 1]]
        right, left = level[region]
        for n in range(affines.shape[1]):
            across_x, across_y = mesh[n, left, 0] - mesh[n, right, 0], mesh[n, left, 1] - mesh[n, right, 1]
            angle = np.arctan2(across_y, across_x)
            cos, sin = np.cos(angle), np.sin(angle)
            low_x, low_y, high_x, high_y = np.inf, np.inf, -np.inf, -np.inf
            for point in points:
                x, y = mesh[n, point, 0] / MAP_PX, mesh[n, point, 1] / MAP_PX
                along, down = x * cos + y * sin, y * cos - x * sin
                low_x, high_x = min(low_x, along), max(high_x, along)
                low_y, high_y = min(low_y, down), max(high_y, down)
            width, height = (high_x - low_x) * MARGIN / CROP_SIZE, (high_y - low_y) * MARGIN / CROP_SIZE
            middle_x, middle_y = (low_x + high_x) / 2, (low_y + high_y) / 2
            half = CROP_SIZE / 2
            affine = affines[region, n]
            affine[0, 0], affine[0, 1] = cos * width, -sin * height
            affine[1, 0], affine[1, 1] = sin * width, cos * height
            affine[0, 2] = cos * middle_x - sin * middle_y - half * (affine[0, 0] + affine[0, 1])
            affine[1, 2] = sin * middle_x + cos * middle_y - half * (affine[1, 0] + affine[1, 1])


# Not all of fastmath: it would let the compiler forget that a place may be no number.
@numba.njit(cache=True, nogil=True, fastmath={"contract", "reassoc"})
def _cut_regions(maps: Maps, affines: Maps, crops: Maps) -> None:
    """Sample feature maps (B, H, W, C) into crops (R, B, 16, 16, C), as `crop_features` does."""
    _, height, width, channels = maps.shape
    for region in range(crops.shape[0]):
        for n in range(crops.shape[1]):
            affine = affines[region, n]
            for v in range(crops.shape[2]):
                for u in range(crops.shape[3]):
                    x = affine[0, 0] * (u + 0.5) + affine[0, 1] * (v + 0.5) + affine[0, 2] - 0.5
                    y = affine[1, 0] * (u + 0.5) + affine[1, 1] * (v + 0.5) + affine[1, 2] - 0.5
                    out = crops[region, n, v, u]
                    # Written so that a place that is no number counts as outside.
                    if not (x >= 0 and y >= 0 and x <= width - 1 and y <= height - 1):
                        out[:] = 0
                        continue
                    left, top = min(int(x), width - 2), min(int(y), height - 2)
                    right_share, lower_share = np.float32(x - left), np.float32(y - top)
                    a, b = maps[n, top, left], maps[n, top, left + 1]
                    c, d = maps[n, top + 1, left], maps[n, top + 1, left + 1]
                    for k in range(channels):
                        upper = a[k] + right_share * (b[k] - a[k])
                        lower = c[k] + right_share * (d[k] - c[k])
                        out[k] = upper + lower_share * (lower - upper)


@numba.njit(cache=True, nogil=True)
def _place_points(mesh: Maps, affines: Maps, answers: Maps, placed: PointLists, points: Maps) -> None:
    """Put the heads' answers (5, B, P, 2) into the mesh, as `assemble` does: points (B, 478, 3).

    affines: (5, B, 2, 3), those of the heads' regions.
    """
    points[:, :LANDMARKS] = mesh
    for n in range(len(points)):
        for head in range(len(answers)):
            affine, answer = affines[head, n], answers[head, n]
            for i, point in enumerate(placed.points[placed.begin[head] : placed.begin[head + 1]]):
                x, y = answer[i, 0] / CROP_PX, answer[i, 1] / CROP_PX
                points[n, point, 0] = MAP_PX * (affine[0, 0] * x + affine[0, 1] * y + affine[0, 2])
                points[n, point, 1] = MAP_PX * (affine[1, 0] * x + affine[1, 1] * y + affine[1, 2])
        for eye in range(2):
            depth = 0.0
            for point in LOOPS[eye]:
                depth += mesh[n, point, 2]
            first = LANDMARKS + eye * IRIS_POINTS
            points[n, first : first + IRIS_POINTS, 2] = depth / LOOPS.shape[1]

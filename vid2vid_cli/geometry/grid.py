"""Sampling grids in [-1, 1].

Unless stated otherwise, -1 and 1 are the outer edges of the border pixels (align_corners=False).
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import torch
from torch import Tensor
from torch.nn import functional


def identity_grid(size: tuple[int, int], device: torch.device | str = "cpu") -> Tensor:
    """Return the grid that samples every pixel at its own position: (1, height, width, 2), x and y."""
    height, width = size
    x, y = _pixel_line(width, device), _pixel_line(height, device)
    return torch.stack([x.expand(height, width), y[:, None].expand(height, width)], -1)[None]


def _pixel_line(length: int, device: torch.device | str) -> Tensor:
    """Return the positions of the pixels along a side: (length,)."""
    return (torch.arange(length, device=device, dtype=torch.float32) * 2 + 1) / length - 1


def warp_image(image: Tensor, displacement: Tensor, *, above: int = 0, beside: int = 0) -> Tensor:
    """Sample an image where each target pixel points to; the border is repeated outside.

    image: (B, C, above + H, W + 2 beside), a picture with some rows above it and columns on both sides. displacement:
    (B, h, w, 2), in [-1, 1] units of the picture's own width and height, from the target pixel to its source; a smaller
    one is upsampled linearly. Returns (B, C, H, W).
    """
    height, width = image.shape[2] - above, image.shape[3] - 2 * beside
    lines = _pixel_line(width, image.device), _pixel_line(height, image.device)
    scale, shift = _into_margins((height, width), above, beside)
    x, y = (line * factor + offset for line, factor, offset in zip(lines, scale, shift, strict=True))
    # The identity grid is added line by line: making all of it would take longer than the rest. So would axes of 2.
    moved = resize_map(displacement, (height, width)).flatten(2)
    row = torch.stack([x, torch.zeros_like(x)], -1).flatten()
    grid = torch.addcmul(row, moved, moved.new_tensor(scale).repeat(width)).reshape(-1, height, width, 2)
    grid[..., 1] += y[:, None]
    return functional.grid_sample(image, grid, mode="bilinear", padding_mode="border", align_corners=False)


def into_margins(places: Tensor, size: tuple[int, int], above: int, beside: int) -> Tensor:
    """Bring places (B, H, W, 2) in a picture to places in one with more rows above and columns beside it.

    size: (height, width) of the picture.
    """
    scale, shift = _into_margins(size, above, beside)
    return places * places.new_tensor(scale) + places.new_tensor(shift)


def _into_margins(size: tuple[int, int], above: int, beside: int) -> tuple[tuple[float, float], tuple[float, float]]:
    """Return what places in [-1, 1] are multiplied by, and what is added to them: x and y each."""
    height, width = size
    return (width / (width + 2 * beside), height / (height + above)), (0.0, above / (height + above))


def resize_map(values: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize a map (B, h, w, C) linearly to a height and width: (B, height, width, C)."""
    height, width = size
    if values.shape[1:3] == (height, width):
        return values
    if _suits_opencv(values):
        return _resize_with_opencv(values, (height, width))
    return resize_planes(values.permute(0, 3, 1, 2), (height, width)).permute(0, 2, 3, 1)


def resize_planes(planes: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize planes (B, C, h, w) linearly to (B, C, height, width), without averaging where they shrink."""
    if planes.shape[-2:] == size:
        return planes
    if _suits_opencv(planes):
        return _resize_with_opencv(planes.flatten(0, 1), size).reshape(*planes.shape[:2], *size)
    # Strided planes take torch four times as long.
    return functional.interpolate(planes.contiguous(), size, mode="bilinear", align_corners=False)


def _suits_opencv(values: Tensor) -> bool:
    return values.device.type == "cpu" and values.dtype == torch.float32 and not values.requires_grad


def _resize_with_opencv(pictures: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize each of N pictures (N, h, w) or (N, h, w, C): OpenCV takes a fifth of torch's time."""
    resized = torch.empty(len(pictures), *size, *pictures.shape[3:])
    for picture, result in zip(pictures.contiguous().numpy(), resized.numpy(), strict=True):
        cv2.resize(picture, (size[1], size[0]), dst=result, interpolation=cv2.INTER_LINEAR)
    return resized


def corner_grid(size: Sequence[int], device: torch.device | str = "cpu") -> Tensor:
    """Return the positions of a map's cells where -1 and 1 are the CENTRES of the first and the last cell.

    size: (height, width) or (depth, height, width). Returns (*size, 2 or 3): x, y and z. The networks of the
    first-order motion model and of face-vid2vid place their keypoints like this, yet sample with the outer edges at -1
    and 1. Both conventions are needed, and this grid shrinks what it samples by half a cell at the border.
    """
    axes = [corner_axis(length, device) for length in size]
    # meshgrid gives rows first, a grid has x first.
    return torch.stack(torch.meshgrid(*axes, indexing="ij")[::-1], -1)


def corner_axis(length: int, device: torch.device | str = "cpu") -> Tensor:
    """Return the positions (length,) of cells along one axis of `corner_grid`."""
    return torch.arange(length, device=device, dtype=torch.float32) * (2 / (length - 1)) - 1

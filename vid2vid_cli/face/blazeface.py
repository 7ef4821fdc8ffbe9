"""BlazeFace, MediaPipe's two face detectors, as torch modules: one for near faces, one for far ones.

Written from the published networks and arXiv 1907.05047. Both give one candidate per anchor: a score,
a box and six keypoints (the person's right eye, left eye, nose tip, mouth centre, right ear, left ear).
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn import functional

KEYPOINTS = 6
VALUES = 4 + 2 * KEYPOINTS  # box, then x and y of each keypoint


class SameConv(nn.Conv2d):
    """Convolve with TensorFlow's "SAME" padding, which is asymmetric for stride 2: (0, 1) for 3x3, (1, 2) for 5x5."""

    def __init__(self, channels_in: int, channels_out: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        padding = kernel // 2 if stride == 1 else 0
        super().__init__(channels_in, channels_out, kernel, stride, padding, groups=groups)
        # TensorFlow puts the odd pixel of padding on the right and at the bottom; torch pads both sides alike.
        total = kernel - stride
        self.asymmetric_padding = (total // 2, total - total // 2) * 2

    def forward(self, x: Tensor) -> Tensor:
        """Convolve (B, C, H, W)."""
        if self.stride[0] > 1:
            x = functional.pad(x, self.asymmetric_padding)
        return super().forward(x)


class BlazeBlock(nn.Module):
    """Add a depthwise and a pointwise convolution to a shortcut, pooled and padded with zero channels."""

    def __init__(self, channels_in: int, channels_out: int, stride: int = 1, slopes: bool = False) -> None:
        super().__init__()
        self.stride = stride
        self.channels_grown = channels_out - channels_in
        self.depthwise = SameConv(channels_in, channels_in, 3, stride, groups=channels_in)
        self.pointwise = nn.Conv2d(channels_in, channels_out, 1)
        self.activation: nn.Module = nn.PReLU(channels_out) if slopes else nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Map features (B, C, H, W) to (B, C', H / stride, W / stride)."""
        y: Tensor = self.activation(self.residual(x) + self.shortcut(x))
        return y

    def residual(self, x: Tensor) -> Tensor:
        """Compute what is added to the shortcut."""
        y: Tensor = self.pointwise(self.depthwise(x))
        return y

    def shortcut(self, x: Tensor) -> Tensor:
        """Bring the input to the shape of the output."""
        if self.stride == 2:
            x = functional.max_pool2d(x, 2)
        return functional.pad(x, (0, 0, 0, 0, 0, self.channels_grown)) if self.channels_grown else x


class DoubleBlazeBlock(BlazeBlock):
    """A blaze block with a bottleneck: two depthwise separable convolutions before the sum."""

    def __init__(self, channels_in: int, bottleneck: int, channels_out: int, stride: int = 1) -> None:
        super().__init__(channels_in, bottleneck, stride)
        self.channels_grown = channels_out - channels_in
        self.depthwise2 = SameConv(bottleneck, bottleneck, 3, groups=bottleneck)
        self.pointwise2 = nn.Conv2d(bottleneck, channels_out, 1)

    def residual(self, x: Tensor) -> Tensor:
        """Compute what is added to the shortcut."""
        y: Tensor = self.pointwise2(self.depthwise2(functional.relu(super().residual(x))))
        return y


class BlazeDetector(nn.Module, ABC):
    """What both detectors share: anchors, and decoding raw outputs relative to them."""

    image_size: int
    anchors: Tensor

    @abstractmethod
    def raw(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Return logits (B, A) and regressors (B, A, 16) in px of the input, relative to the centres of the anchors."""

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Score every anchor of images and place its box.

        image: (B, 3, size, size), RGB in [0, 1].
        Returns scores (B, A) in [0, 1] and faces (B, A, 16): left, top, right, bottom, then x, y of six
        keypoints, all as fractions of the image, x right, y down.
        """
        logits, regressors = self.raw(image)
        # (B, A, 8, 2): the centre and the size of the box, then the keypoints
        points = regressors.reshape(*regressors.shape[:2], VALUES // 2, 2) / self.image_size
        half_size = points[:, :, 1] / 2
        centre = points[:, :, 0] + self.anchors
        keypoints = points[:, :, 2:] + self.anchors[:, None]
        box = torch.cat([centre - half_size, centre + half_size], dim=2)
        return torch.sigmoid(logits), torch.cat([box, keypoints.flatten(2)], dim=2)


class ShortRangeDetector(BlazeDetector):
    """Find faces within about two metres of the camera in images of 128x128; 896 anchors."""

    image_size = 128

    def __init__(self) -> None:
        super().__init__()
        self.stem = SameConv(3, 24, 5, stride=2)
        self.blocks16 = nn.Sequential(
            BlazeBlock(24, 24),
            BlazeBlock(24, 28),
            BlazeBlock(28, 32, stride=2),
            BlazeBlock(32, 36),
            BlazeBlock(36, 42),
            BlazeBlock(42, 48, stride=2),
            *(BlazeBlock(width, width + 8) for width in range(48, 88, 8)),
        )
        self.blocks8 = nn.Sequential(BlazeBlock(88, 96, stride=2), *(BlazeBlock(96, 96) for _ in range(4)))
        self.classify16 = nn.Conv2d(88, 2, 1)
        self.classify8 = nn.Conv2d(96, 6, 1)
        self.regress16 = nn.Conv2d(88, 2 * VALUES, 1)
        self.regress8 = nn.Conv2d(96, 6 * VALUES, 1)
        anchors = torch.cat([cell_centres(16, repeats=2), cell_centres(8, repeats=6)])
        self.register_buffer("anchors", anchors, persistent=False)

    def raw(self, image: Tensor) -> tuple[Tensor, Tensor]:  # noqa: D102
        fine = self.blocks16(functional.relu(self.stem(image * 2 - 1)))  # trained on [-1, 1]
        coarse = self.blocks8(fine)
        # 16x16 cells with 2 anchors each, then 8x8 cells with 6
        logits = [per_anchor(self.classify16(fine), 1), per_anchor(self.classify8(coarse), 1)]
        regressors = [per_anchor(self.regress16(fine), VALUES), per_anchor(self.regress8(coarse), VALUES)]
        return torch.cat(logits, dim=1).squeeze(2), torch.cat(regressors, dim=1)


class UpwardMerge(nn.Module):
    """Upsample a coarse level, add it to a finer one and refine the sum: one step of a feature pyramid."""

    def __init__(self, coarse: int, fine: int, merged: int, blocks: int) -> None:
        super().__init__()
        self.from_coarse = nn.Conv2d(coarse, merged, 1)
        self.from_fine = nn.Conv2d(fine, merged, 1)
        self.blocks = nn.Sequential(*(DoubleBlazeBlock(merged, merged // 2, merged) for _ in range(blocks)))

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        """Merge features (B, coarse, H, W) and (B, fine, 2 H, 2 W)."""
        upsampled = functional.interpolate(
            functional.relu(self.from_coarse(coarse)), scale_factor=2.0, mode="bilinear", align_corners=False
        )
        merged: Tensor = self.blocks(functional.relu(self.from_fine(fine)) + upsampled)
        return merged


class FullRangeDetector(BlazeDetector):
    """Find faces within about five metres of the camera in images of 192x192; 2304 anchors."""

    image_size = 192

    def __init__(self) -> None:
        super().__init__()
        self.stem = SameConv(3, 32, 3, stride=2)
        self.blocks48 = nn.Sequential(
            DoubleBlazeBlock(32, 8, 32),
            DoubleBlazeBlock(32, 8, 32),
            DoubleBlazeBlock(32, 12, 48, stride=2),
            DoubleBlazeBlock(48, 12, 48),
            DoubleBlazeBlock(48, 16, 64),
        )
        self.blocks24 = nn.Sequential(
            DoubleBlazeBlock(64, 24, 96, stride=2),
            DoubleBlazeBlock(96, 32, 128),
            DoubleBlazeBlock(128, 32, 128),
        )
        self.blocks12 = nn.Sequential(
            DoubleBlazeBlock(128, 36, 144, stride=2),
            DoubleBlazeBlock(144, 48, 192),
            DoubleBlazeBlock(192, 64, 256),
        )
        self.blocks6 = nn.Sequential(
            DoubleBlazeBlock(256, 96, 384, stride=2), *(DoubleBlazeBlock(384, 96, 384) for _ in range(3))
        )
        self.merge12 = UpwardMerge(384, 256, 96, blocks=2)
        self.merge24 = UpwardMerge(96, 128, 64, blocks=2)
        self.merge48 = UpwardMerge(64, 64, 48, blocks=1)
        self.classify = nn.Conv2d(48, 1, 1)
        self.regress = nn.Conv2d(48, VALUES, 1)
        self.register_buffer("anchors", cell_centres(48), persistent=False)

    def raw(self, image: Tensor) -> tuple[Tensor, Tensor]:  # noqa: D102
        level48 = self.blocks48(functional.relu(self.stem(image * 2 - 1)))
        level24 = self.blocks24(level48)
        level12 = self.blocks12(level24)
        # Upsampled step by step, coarse levels know what a face is, fine ones where it is.
        merged = self.merge12(self.blocks6(level12), level12)
        merged = self.merge48(self.merge24(merged, level24), level48)
        return per_anchor(self.classify(merged), 1).squeeze(2), per_anchor(self.regress(merged), VALUES)


def per_anchor(maps: Tensor, values: int) -> Tensor:
    """Reshape maps (B, anchors per cell * values, H, W) to (B, A, values), cells in reading order."""
    return maps.permute(0, 2, 3, 1).reshape(maps.shape[0], -1, values)


def cell_centres(cells: int, repeats: int = 1) -> Tensor:
    """Return the centres (cells * cells * repeats, 2) of a grid, x and y in [0, 1], in reading order."""
    steps = (torch.arange(cells, dtype=torch.float32) + 0.5) / cells
    y, x = torch.meshgrid(steps, steps, indexing="ij")
    # All anchors of a cell follow one another, as in `per_anchor`.
    return torch.stack([x, y], dim=-1).reshape(-1, 2).repeat_interleave(repeats, dim=0)


def box_overlaps(box: Tensor, boxes: Tensor) -> Tensor:
    """Return the intersection over union (N,) of one box (4,) with boxes (N, 4): left, top, right, bottom."""
    shared = (torch.minimum(box[2:], boxes[:, 2:]) - torch.maximum(box[:2], boxes[:, :2])).clamp(min=0).prod(dim=1)
    areas = (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(dim=1)
    own = (box[2:] - box[:2]).clamp(min=0).prod()
    return shared / (own + areas - shared).clamp(min=1e-12)


def merge_candidates(
    scores: Tensor, faces: Tensor, min_score: float, max_overlap: float = 0.3
) -> list[tuple[float, Tensor]]:
    """Merge overlapping candidates of one image into their mean, weighted by score (weighted NMS).

    scores: (A,) in [0, 1]; faces: (A, 16), the box first. Returns (best score, merged face), best first.
    """
    chosen = scores >= min_score
    scores, faces = scores[chosen], faces[chosen]
    order = scores.argsort(descending=True)
    scores, faces = scores[order], faces[order]
    merged: list[tuple[float, Tensor]] = []
    while len(scores):
        same = box_overlaps(faces[0, :4], faces[:, :4]) > max_overlap
        same[0] = True  # a box of zero area overlaps nothing, not even itself: the loop would never end
        weights = scores[same, None]
        merged.append((float(scores[0]), (faces[same] * weights).sum(dim=0) / weights.sum()))
        scores, faces = scores[~same], faces[~same]
    return merged

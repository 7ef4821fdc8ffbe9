"""Small networks that correct keypoints: stitching to the shoulders, and opening eyes and lips by a ratio."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vid2vid_cli.models.layers.blocks import linear_like
from vid2vid_cli.models.loading import Part

# Points of MediaPipe's mesh of 468: the upper and lower lid, then the corners, of the eye on the viewer's left and of
# the other one; the middles of the inner lips, then the corners of the mouth.
OPENINGS = ((159, 145, 33, 133), (386, 374, 362, 263), (13, 14, 61, 291))


class Perceptron(nn.Module):
    """Linear layers with ReLU between them."""

    def __init__(self, part: Part) -> None:
        super().__init__()
        self.mlp = nn.Sequential()
        indices = (part / "mlp").children()
        # Only layers with weights are in the file; the gaps in their numbers are activations.
        for index in range(int(indices[-1]) + 1):
            layer = linear_like(part / "mlp", str(index)) if str(index) in indices else nn.ReLU()
            self.mlp.add_module(str(index), layer)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C) to (B, C')."""
        y: Tensor = self.mlp(x)
        return y


class Retargeting(nn.Module):
    """The three networks of the stitching and retargeting file."""

    NAMES = ("retarget_shoulder", "retarget_mouth", "retarget_eye")

    def __init__(self, part: Part) -> None:
        super().__init__()
        self.retarget_shoulder = Perceptron(part / "retarget_shoulder")
        self.retarget_mouth = Perceptron(part / "retarget_mouth")
        self.retarget_eye = Perceptron(part / "retarget_eye")

    def stitch_delta(self, source: Tensor, driven: Tensor) -> Tensor:
        """Return offsets of all keypoints, then tx and ty: (B, 3 K + 2). source, driven: (B, K, 3)."""
        delta: Tensor = self.retarget_shoulder(torch.cat([source.flatten(1), driven.flatten(1)], 1))
        return delta

    def stitch(self, source: Tensor, driven: Tensor) -> Tensor:
        """Correct keypoints (B, K, 3) so that the shoulders stay where the source has them. source: (1 or B, K, 3)."""
        delta = self.stitch_delta(source.expand_as(driven), driven)
        offsets, shift = delta[:, :-2].reshape(driven.shape), delta[:, -2:]
        return driven + offsets + torch.nn.functional.pad(shift, (0, 1))[:, None]

    def eyes(self, source: Tensor, ratios: Tensor) -> Tensor:
        """Return offsets (B, K, 3) that open the eyes. ratios: (B, 3), the source's left and right, then the target."""
        return self._retarget(self.retarget_eye, source, ratios)

    def lips(self, source: Tensor, ratios: Tensor) -> Tensor:
        """Return offsets (B, K, 3) that open the lips. ratios: (B, 2), the source's, then the target."""
        return self._retarget(self.retarget_mouth, source, ratios)

    def _retarget(self, network: nn.Module, source: Tensor, ratios: Tensor) -> Tensor:
        source = source.expand(len(ratios), *source.shape[1:])
        offsets: Tensor = network(torch.cat([source.flatten(1), ratios], 1))
        return offsets.reshape(source.shape)


def openings(landmarks: Tensor, quadruples: tuple[tuple[int, int, int, int], ...] = OPENINGS) -> Tensor:
    """Measure how far eyes and lips are open: height over width.

    landmarks: (B, N, 2 or more), any unit. quadruples: for each, the points above, below and at the corners.
    Returns (B, 3): the eye on the viewer's left, the other one, the lips; 0 is closed.
    """
    points = landmarks[..., :2]
    ratios = [
        (points[:, above] - points[:, below]).norm(dim=-1) / ((points[:, one] - points[:, other]).norm(dim=-1) + 1e-6)
        for above, below, one, other in quadruples
    ]
    return torch.stack(ratios, -1)

"""L of face-vid2vid: canonical keypoints, which hold a person's shape without head pose and expression."""

from __future__ import annotations

from torch import Tensor, nn

from vid2vid_cli.geometry.keypoints import expected_points
from vid2vid_cli.models.layers.blocks import DownBlock, Shrink, UpBlock, chain, conv_like
from vid2vid_cli.models.loading import Part

TEMPERATURE = 0.1  # of the softmax over a map, as the checkpoints were trained


class VolumePredictor(nn.Module):
    """An hourglass without shortcuts: down in two dimensions, up in three."""

    def __init__(self, part: Part) -> None:
        super().__init__()
        self.down_blocks = chain(DownBlock, part / "down_blocks")
        self.conv = conv_like(part, "conv")
        self.up_blocks = chain(UpBlock, part / "up_blocks")
        self.channels = part.shape("up_blocks.up0.conv.weight")[1]

    def forward(self, image: Tensor) -> Tensor:
        """Map images (B, 3, H, W) to volumes (B, C, D, H, W)."""
        x = self.conv(self.down_blocks(image))
        # (B, C * D, H, W) to (B, C, D, H, W): from here on depth is a dimension.
        volume: Tensor = self.up_blocks(x.reshape(len(x), self.channels, -1, *x.shape[2:]))
        return volume


class CanonicalKeypoints(nn.Module):
    """Finds the canonical keypoints of a face."""

    def __init__(self, part: Part) -> None:
        super().__init__()
        self.down = Shrink(part / "down")
        self.predictor = VolumePredictor(part / "predictor")
        self.kp = conv_like(part, "kp")

    def forward(self, image: Tensor) -> Tensor:
        """Find keypoints (B, K, 3), in [-1, 1] of the crop, in images (B, 3, H, W) in [0, 1]."""
        logits = self.kp(self.predictor(self.down(image)))
        chances = (logits.flatten(2) / TEMPERATURE).softmax(-1)
        return expected_points(chances.reshape(logits.shape))

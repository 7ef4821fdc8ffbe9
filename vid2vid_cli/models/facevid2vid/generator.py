"""The generators of the public checkpoints, in two variants: from a source and keypoints to an image."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vid2vid_cli.models.layers.blocks import ResidualBlock, UpBlock, chain, conv_like
from vid2vid_cli.models.layers.spade import SpadeDecoder
from vid2vid_cli.models.layers.volume import PreparedVolume, VolumeEncoder, VolumeWarper
from vid2vid_cli.models.loading import Part, load_module, refuse_unknown


class PlainDecoder(nn.Module):
    """Decode warped maps with residual blocks and two upsampling ones: the "original" generator."""

    NAMES = ("resblocks_2d", "up_blocks", "final")

    def __init__(self, part: Part) -> None:
        super().__init__()
        self.resblocks_2d = chain(ResidualBlock, part / "resblocks_2d")
        self.up_blocks = chain(UpBlock, part / "up_blocks")
        self.final = conv_like(part, "final")

    def forward(self, maps: Tensor) -> Tensor:
        """Decode maps (B, C, H, W) to images (B, 3, 4 H, 4 W) in [0, 1]."""
        # The last sigmoid is in float32, whatever the maps are in.
        return torch.sigmoid(self.final(self.up_blocks(self.resblocks_2d(maps))).float())


class VolumeGenerator(nn.Module):
    """Encode a source once, then draw it with any keypoints."""

    def __init__(self, part: Part, smallest_mask: float = 0.0) -> None:
        """Load the tensors under `generator.`; only the SPADE variant has a part called `decoder`."""
        super().__init__()
        is_spade = "decoder.fc.weight" in part
        # Encoder and warper have no prefix of their own in these files: each takes the names that it knows.
        rest = ("decoder",) if is_spade else PlainDecoder.NAMES
        refuse_unknown(part, (*VolumeEncoder.NAMES, *VolumeWarper.NAMES, *rest))
        self.encoder = load_module(VolumeEncoder, part.only(VolumeEncoder.NAMES))
        self.warper = load_module(lambda p: VolumeWarper(p, smallest_mask), part.only(VolumeWarper.NAMES))
        self.decoder: nn.Module = (
            load_module(SpadeDecoder, part / "decoder") if is_spade else load_module(PlainDecoder, part.only(rest))
        )

    def prepare(self, image: Tensor, keypoints: Tensor) -> PreparedVolume:
        """Compute once what a source needs. image: (1, 3, H, W) in [0, 1]. keypoints: (1, K, 3), its own."""
        return self.warper.prepare(self.encoder(image), keypoints)

    def forward(self, source: PreparedVolume, keypoints: Tensor) -> Tensor:
        """Draw a source with keypoints (B, K, 3). Returns images (B, 3, H, W) in [0, 1]."""
        image: Tensor = self.decoder(self.warper(source, keypoints))
        return image

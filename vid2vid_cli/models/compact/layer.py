"""What is laid over a warped picture: the inside of a mouth, a shut lid."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from vid2vid_cli.arrays import Points


@dataclass(frozen=True)
class Layer:
    """A part of a face, to be laid over a picture: colour (h, w, 3) in [0, 1], weight (h, w, 1), left and top in px."""

    left: int
    top: int
    colour: Points
    weight: Points

    def faded(self, share: float) -> Layer:
        """Return the layer of which only a share, from 0 to 1, is shown."""
        return replace(self, weight=self.weight * np.float32(share))

    def blend(self, image: Tensor) -> None:
        """Blend it into an image (3, H, W), in place."""
        height, width = self.weight.shape[:2]
        patch = image[:, self.top : self.top + height, self.left : self.left + width]
        colour, weight = (
            torch.from_numpy(np.ascontiguousarray(np.moveaxis(layer, -1, 0))).to(image)
            for layer in (self.colour, self.weight)
        )
        patch += weight * (colour - patch)

"""MediaPipe's iris network as a torch module: from the crop of one eye to its contour, brow and iris.

Written from the published network and arXiv 2006.11341.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from vid2vid_cli.face.blazeface import SameConv

CONTOUR_POINTS = 71  # 16 around the lids, the others on the brow
IRIS_POINTS = 5


class BottleneckBlock(nn.Module):
    """Add a bottleneck branch to a shortcut, which is pooled and padded with zero channels to the same shape.

    Stride 2 is taken in the first convolution, whose kernel is then 2x2.
    """

    def __init__(self, channels_in: int, bottleneck: int, channels_out: int, stride: int = 1) -> None:
        super().__init__()
        self.stride = stride
        self.channels_grown = channels_out - channels_in
        self.narrow = nn.Conv2d(channels_in, bottleneck, stride, stride)
        self.narrow_activation = nn.PReLU(bottleneck)
        self.depthwise = SameConv(bottleneck, bottleneck, 3, groups=bottleneck)
        self.widen = nn.Conv2d(bottleneck, channels_out, 1)
        self.activation = nn.PReLU(channels_out)

    def forward(self, x: Tensor) -> Tensor:
        """Map features (B, C, H, W) to (B, C', H / stride, W / stride)."""
        branch = self.widen(self.depthwise(self.narrow_activation(self.narrow(x))))
        if self.stride == 2:
            x = functional.max_pool2d(x, 2)
        # Padded last: the new channels come after those of the input.
        if self.channels_grown:
            x = functional.pad(x, (0, 0, 0, 0, 0, self.channels_grown))
        y: Tensor = self.activation(branch + x)
        return y


class EyeNet(nn.Module):
    """Place the contour of an eye, its brow and its iris in a square crop around the eye."""

    image_size = 64

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            SameConv(3, 64, 3, stride=2),
            nn.PReLU(64),
            *(BottleneckBlock(64, 32, 64) for _ in range(4)),
            BottleneckBlock(64, 64, 128, stride=2),
            *(BottleneckBlock(128, 64, 128) for _ in range(4)),
            BottleneckBlock(128, 64, 128, stride=2),
        )
        self.contour = head(3 * CONTOUR_POINTS)
        self.iris = head(3 * IRIS_POINTS)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Find the eye in crops.

        image: (B, 3, 64, 64), RGB in [0, 1], one eye, level, its corners about 1 / 2.3 of the crop apart.
        Returns the contour with the brow (B, 71, 3) and the iris (B, 5, 3), both in px of the crop from its left
        and top edge, x right, y down, z, which is not used here.
        """
        features = self.trunk(image)
        contour: Tensor = self.contour(features)
        iris: Tensor = self.iris(features)
        return contour.reshape(-1, CONTOUR_POINTS, 3), iris.reshape(-1, IRIS_POINTS, 3)


def head(values: int) -> nn.Sequential:
    """Build the layers that turn features at 8x8 into values (B, values, 1, 1)."""
    return nn.Sequential(
        BottleneckBlock(128, 64, 128),
        BottleneckBlock(128, 64, 128),
        BottleneckBlock(128, 64, 128, stride=2),
        BottleneckBlock(128, 64, 128),
        BottleneckBlock(128, 64, 128),
        BottleneckBlock(128, 64, 128, stride=2),
        BottleneckBlock(128, 64, 128),
        BottleneckBlock(128, 64, 128),
        nn.Conv2d(128, values, 2),  # the two strides have left 2x2
    )

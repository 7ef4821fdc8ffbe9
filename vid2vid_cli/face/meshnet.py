"""MediaPipe's face mesh network as a torch module: from the crop of a face to 468 points in 3D.

Written from the published network and arXiv 1907.06724.
"""

from __future__ import annotations

from torch import Tensor, nn

from vid2vid_cli.face.blazeface import BlazeBlock, SameConv

LANDMARKS = 468
# Indices of the landmarks on the lips, once around each contour from the person's right corner along the lower lip.
OUTER_LIPS = (61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185)
INNER_LIPS = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191)
LIPS = (*OUTER_LIPS, *INNER_LIPS)


class MeshNet(nn.Module):
    """Place 468 points on the face that fills a square crop, and tell whether there is one."""

    image_size = 192

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            SameConv(3, 16, 3, stride=2),
            nn.PReLU(16),
            *stage(16, 16, stride=1, blocks=2),
            *stage(16, 32),
            *stage(32, 64),
            *stage(64, 128),
            *stage(128, 128),
        )
        self.deepen = nn.Sequential(*stage(128, 128, blocks=2))
        # The convolution at the end of a head spans what is left of the maps, 3x3: it is a fully connected layer.
        self.presence = head(stride=2, values=1)
        self.place = head(stride=1, values=3 * LANDMARKS)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """Find the mesh in crops of faces.

        image: (B, 3, 192, 192), RGB in [0, 1], the face upright and about two thirds of the crop.
        Returns landmarks (B, 468, 3) in px of the crop (0 is the left or top edge), x right, y down, z away
        from the camera with 0 near the head's middle, and presence logits (B,): above 0 a face is likely.
        """
        features = self.trunk(image)
        landmarks: Tensor = self.place(self.deepen(features))
        logits: Tensor = self.presence(features)
        return landmarks.reshape(-1, LANDMARKS, 3), logits.reshape(-1)


def stage(channels_in: int, channels_out: int, stride: int = 2, blocks: int = 3) -> list[BlazeBlock]:
    """Build the blocks of one resolution; the first of them changes it."""
    first = BlazeBlock(channels_in, channels_out, stride, slopes=True)
    return [first, *(BlazeBlock(channels_out, channels_out, slopes=True) for _ in range(blocks - 1))]


def head(stride: int, values: int) -> nn.Sequential:
    """Build the layers that turn features at 3x3 (6x6 with stride 2) into values (B, values, 1, 1)."""
    return nn.Sequential(
        BlazeBlock(128, 128, stride, slopes=True),
        nn.Conv2d(128, 32, 1),
        nn.PReLU(32),
        BlazeBlock(32, 32, slopes=True),
        nn.Conv2d(32, values, 3),
    )

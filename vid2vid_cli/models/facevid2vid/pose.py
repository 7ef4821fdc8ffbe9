"""H and D of face-vid2vid: head pose, translation and expression of a face, as the public checkpoints output them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from vid2vid_cli.models.layers.blocks import chain, conv_like, linear_like, mean_bin, norm_like
from vid2vid_cli.models.loading import Part

BIN_DEG, FIRST_BIN_DEG = 3.0, -99.0
PI = 3.14  # the networks were trained with this value


class RawPose(NamedTuple):
    """The output of an estimator: logits of 66 bins of 3 degrees for each angle (B, 66), t (B, 3), exp (B, 3 K)."""

    yaw: Tensor
    pitch: Tensor
    roll: Tensor
    t: Tensor
    exp: Tensor

    @property
    def degrees(self) -> Tensor:
        """Yaw, pitch and roll: (B, 3)."""
        return BIN_DEG * torch.stack([mean_bin(logits) for logits in self[:3]], 1) + FIRST_BIN_DEG


def rotation_from_degrees(degrees: Tensor) -> Tensor:
    """Return Rx(pitch) Ry(yaw) Rz(roll), for column vectors: (B, 3) yaw, pitch, roll to (B, 3, 3).

    x right, y down, z away: the face of positive yaw looks to the viewer's left, of positive pitch down.
    """
    yaw, pitch, roll = (degrees / 180 * PI).unbind(1)
    return _turn(pitch, 1, 2) @ _turn(yaw, 2, 0) @ _turn(roll, 0, 1)


def _turn(angle: Tensor, first: int, second: int) -> Tensor:
    """Return the rotation from one axis towards another by an angle: (B,) radians to (B, 3, 3)."""
    matrix = torch.eye(3, dtype=angle.dtype, device=angle.device).repeat(len(angle), 1, 1)
    cosine, sine = torch.cos(angle), torch.sin(angle)
    matrix[:, first, first] = matrix[:, second, second] = cosine
    matrix[:, first, second], matrix[:, second, first] = -sine, sine
    return matrix


class Bottleneck(nn.Module):
    """Three convolutions with a shortcut; where the shortcut is projected, the second one halves the size."""

    NORM_AFTER: ClassVar[Mapping[str, str]] = {
        "conv1": "norm1",
        "conv2": "norm2",
        "conv3": "norm3",
        "skip": "norm4",
    }

    def __init__(self, part: Part) -> None:
        super().__init__()
        stride = 2 if "skip.weight" in part else 1
        self.conv1, self.norm1 = conv_like(part, "conv1"), norm_like(part, "norm1", 2)
        self.conv2, self.norm2 = conv_like(part, "conv2", stride=stride), norm_like(part, "norm2", 2)
        self.conv3, self.norm3 = conv_like(part, "conv3"), norm_like(part, "norm3", 2)
        self.skip = conv_like(part, "skip", stride=stride) if stride == 2 else None
        self.norm4 = norm_like(part, "norm4", 2) if stride == 2 else None

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to the same channels."""
        y = functional.relu(self.norm1(self.conv1(x)))
        y = functional.relu(self.norm2(self.conv2(y)))
        y = self.norm3(self.conv3(y))
        return functional.relu(y + (x if self.skip is None or self.norm4 is None else self.norm4(self.skip(x))))


class PoseEstimator(nn.Module):
    """Read head pose, translation and expression from a face: a residual network with five heads."""

    NORM_AFTER: ClassVar[Mapping[str, str]] = {f"conv{number}": f"norm{number}" for number in range(1, 6)}

    STAGES = (
        ("2", "block1"),
        ("3", "block2", "block3"),
        ("4", "block4", "block5"),
        ("5", "block6", "block7"),
    )

    def __init__(self, part: Part) -> None:
        super().__init__()
        for number in range(1, 6):
            stride = 2 if number == 1 else 1
            self.add_module(f"conv{number}", conv_like(part, f"conv{number}", stride=stride))
            self.add_module(f"norm{number}", norm_like(part, f"norm{number}", 2))
        for number in range(1, 8):
            block = part / f"block{number}"
            # The checkpoint numbers the parts of a chain of blocks, but not those of a block on its own.
            is_single = "conv1.weight" in block
            self.add_module(f"block{number}", Bottleneck(block) if is_single else chain(Bottleneck, block))
        self.fc_yaw, self.fc_pitch, self.fc_roll = (
            linear_like(part, name) for name in ("fc_yaw", "fc_pitch", "fc_roll")
        )
        self.fc_t, self.fc_exp = linear_like(part, "fc_t"), linear_like(part, "fc_exp")

    def forward(self, image: Tensor) -> RawPose:
        """Read images (B, 3, H, W) in [0, 1]."""
        x = functional.max_pool2d(self._normed("1", image), 3, 2, 1)
        for number, *blocks in self.STAGES:
            x = self._normed(number, x)
            for block in blocks:
                x = self.get_submodule(block)(x)
        x = x.mean((2, 3))  # (B, C)
        # The released networks were trained with the heads of yaw and roll swapped.
        return RawPose(self.fc_roll(x), self.fc_pitch(x), self.fc_yaw(x), self.fc_t(x), self.fc_exp(x))

    def _normed(self, number: str, x: Tensor) -> Tensor:
        convolved = self.get_submodule(f"conv{number}")(x)
        return functional.relu(self.get_submodule(f"norm{number}")(convolved))

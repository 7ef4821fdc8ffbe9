"""What SadTalker does differently with the networks of face-vid2vid (Zhang et al., CVPR 2023, arXiv 2211.12194).

Its motion comes from coefficients of a 3D face model, not from pictures, through a network of its own.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from vid2vid_cli.models.facevid2vid.pose import RawPose
from vid2vid_cli.models.layers.blocks import conv_like, linear_like
from vid2vid_cli.models.loading import Part

SMALLEST_MASK = 1e-3  # SadTalker leaves smaller masks out of the flow
SLOPE = 0.1
DILATION = 3


class CoefficientMapper(nn.Module):
    """Turn a window of face-model coefficients into head pose, translation and expression of its middle frame."""

    ENCODERS = ("encoder0", "encoder1", "encoder2")

    def __init__(self, part: Part) -> None:
        super().__init__()
        self.first = nn.Sequential(conv_like(part / "first", "0", padding=0))
        for name in self.ENCODERS:
            conv = conv_like(part / name, "1", padding=0)
            conv.dilation = (DILATION,)  # which the shape of a weight does not show
            self.add_module(name, nn.Sequential(nn.LeakyReLU(SLOPE), conv))
        self.fc_yaw, self.fc_pitch, self.fc_roll = (
            linear_like(part, name) for name in ("fc_yaw", "fc_pitch", "fc_roll")
        )
        self.fc_t, self.fc_exp = linear_like(part, "fc_t"), linear_like(part, "fc_exp")

    def forward(self, coefficients: Tensor) -> RawPose:
        """Map coefficients (B, 70, 27 frames)."""
        x = self.first(coefficients)
        for name in self.ENCODERS:
            # Without padding each layer shortens the window by a dilation at both ends; so must the shortcut.
            x = self.get_submodule(name)(x) + x[..., DILATION:-DILATION]
        x = functional.adaptive_avg_pool1d(x, 1)[..., 0]
        return RawPose(self.fc_yaw(x), self.fc_pitch(x), self.fc_roll(x), self.fc_t(x), self.fc_exp(x))


def vertical_only(translation: Tensor) -> Tensor:
    """Return translations (B, 3) with x and z taken out: SadTalker moves heads up and down only."""
    return translation * translation.new_tensor([0.0, 1.0, 0.0])

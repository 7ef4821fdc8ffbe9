"""The compact family's learned parts: a correction of the analytic flow, and a painter of what no flow can bring.

Both are optional in a checkpoint (prefixes `flow_net.` and `painter.`); their sizes are read off the tensors.
Fresh ones change nothing, so training starts from the warp alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

FLOW_SIDE = 64  # the map on which the correction works
PAINT_SIDE = 256
MAX_CORRECTION = 0.15  # of the crop's side


class Correction(NamedTuple):
    """residual: (B, h, w, 2), added to the displacement. visibility: (B, 1, h, w), 0 where the flow brings nothing."""

    residual: Tensor
    visibility: Tensor


class HourglassNet(nn.Module):
    """A small encoder-decoder with skips at half and quarter size; its last layer begins at zero."""

    def __init__(self, channels_in: int, channels_out: int, width: int) -> None:
        super().__init__()
        self.enter = nn.Conv2d(channels_in, width, 3, padding=1)
        self.down1 = nn.Conv2d(width, 2 * width, 3, stride=2, padding=1)
        self.down2 = nn.Conv2d(2 * width, 4 * width, 3, stride=2, padding=1)
        self.middle = nn.Conv2d(4 * width, 4 * width, 3, padding=1)
        self.up1 = nn.Conv2d(6 * width, 2 * width, 3, padding=1)
        self.up2 = nn.Conv2d(3 * width, width, 3, padding=1)
        self.leave = nn.Conv2d(width, channels_out, 3, padding=1)
        for parameter in self.leave.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels_in, H, W) to (B, channels_out, H, W)."""
        kind = x.dtype
        whole = functional.relu(self.enter(x.to(self.enter.weight.dtype)))
        half = functional.relu(self.down1(whole))
        quarter = functional.relu(self.down2(half))
        quarter = quarter + functional.relu(self.middle(quarter))
        half = functional.relu(self.up1(torch.cat([_enlarge(quarter, half), half], 1)))
        whole = functional.relu(self.up2(torch.cat([_enlarge(half, whole), whole], 1)))
        out: Tensor = self.leave(whole).to(kind)
        return out


class FlowNet(nn.Module):
    """Corrects the analytic flow: it knows hair, neck and shoulders, which the mesh does not."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.net = HourglassNet(2 + 3, 2 + 1, width)

    def forward(self, displacement: Tensor, warped: Tensor) -> Correction:
        """Correct a displacement (B, h, w, 2), in [-1, 1] units of the crop, seeing the warped image (B, 3, H, W)."""
        size = (FLOW_SIDE, FLOW_SIDE)
        flow = functional.interpolate(displacement.permute(0, 3, 1, 2), size, mode="bilinear", align_corners=False)
        picture = functional.interpolate(warped, size, mode="area")
        out = self.net(torch.cat([flow, picture], 1))
        residual = 2 * MAX_CORRECTION * torch.tanh(out[:, :2]).permute(0, 2, 3, 1)
        return Correction(residual, torch.sigmoid(out[:, 2:] + 4.0))


class Painter(nn.Module):
    """Paints over a warped image where the flow brought nothing: teeth, eyelids, the far cheek."""

    def __init__(self, width: int = 24) -> None:
        super().__init__()
        self.net = HourglassNet(3 + 1, 3 + 1, width)

    def forward(self, warped: Tensor, visibility: Tensor) -> Tensor:
        """Return warped (B, 3, H, W) with the painted parts blended in, at its own size; visibility: (B, 1, h, w)."""
        size = (PAINT_SIDE, PAINT_SIDE)
        small = functional.interpolate(warped, size, mode="bilinear", align_corners=False, antialias=True)
        seen = functional.interpolate(visibility, size, mode="bilinear", align_corners=False)
        out = self.net(torch.cat([small, seen], 1))
        change = torch.sigmoid(out[:, 3:]) * torch.tanh(out[:, :3])
        # Only the change is enlarged, so that the source's own pixels stay as sharp as they are.
        change = functional.interpolate(change, warped.shape[-2:], mode="bilinear", align_corners=False)
        return (warped + change).clamp(0, 1)


class LearnedParts(NamedTuple):
    """The networks that a checkpoint holds; None where it has none."""

    flow: FlowNet | None
    painter: Painter | None

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> LearnedParts:
        """Build the networks that are there, strictly. RuntimeError names tensors that do not fit."""
        flow = _load(FlowNet, state, "flow_net.")
        painter = _load(Painter, state, "painter.")
        return cls(flow if isinstance(flow, FlowNet) else None, painter if isinstance(painter, Painter) else None)


def _load(kind: type[FlowNet] | type[Painter], state: Mapping[str, Tensor], prefix: str) -> FlowNet | Painter | None:
    part = {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
    if not part:
        return None
    network = kind(width=part["net.enter.weight"].shape[0])
    network.load_state_dict(part)
    return network.eval()


def _enlarge(x: Tensor, like: Tensor) -> Tensor:
    return functional.interpolate(x, like.shape[-2:], mode="nearest")

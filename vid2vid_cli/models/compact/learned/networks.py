"""The compact family's learned parts: a correction of the analytic flow, and a painter of what no flow can bring.

All are optional in a checkpoint (LEARNED_PREFIXES); their sizes are read from the tensors. Fresh ones change nothing:
training starts from the warp alone. Positions are in [-1, 1] of the source's square, x right, y down
(align_corners=False). The painter works on a patch of the square that moves with the target's head.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from vid2vid_cli.geometry.easing import smoothstep_tensor
from vid2vid_cli.geometry.grid import identity_grid, resize_planes
from vid2vid_cli.models.compact.mesh.warp import CHANNELS, FOLLOWING

LEARNED_PREFIXES = ("encoder.", "flow_net.", "painter.")

SOURCE_SIDE = 256  # px: the source's square, as the encoder sees it
FLOW_SIDE = 64  # px: the maps on which the flow is corrected
PATCH_SIDE = 192  # px: what the painter paints
GUIDE_SIDE = PATCH_SIDE // 2  # px: the mesh's guide that the painter sees
CONTEXT_SIDE = PATCH_SIDE // 4  # px: the maps on which the painter computes
MOST_RESIDUAL = 0.3  # of half the square's side
OUTPUT_SCALE = 0.1  # of the networks, so that one training step changes little of a picture
HINTS = 8  # channels that the flow network passes to the painter
LEAST = 1 / (1 + math.exp(3.0))  # sigmoid(-3), where repainting starts from
STILL_EDGE = 0.15  # of the square's side: where the correction fades out
AROUND = 0.96  # of following the head: what follows it less lies around the face
EDGE = 0.08  # of the patch's side: where the painting fades out


class Correction(NamedTuple):
    """residual: (B, 2, h, w), added to the displacement (x, y). hints: (B, HINTS, h, w), for the painter."""

    residual: Tensor
    hints: Tensor


class Painting(NamedTuple):
    """change: (B, 3, h, w), added to the patch. repaint: (B, 1, h, w), the share of fine detail that is replaced."""

    change: Tensor
    repaint: Tensor


class Widths(NamedTuple):
    """Channels of an hourglass at whole, half and quarter size."""

    whole: int
    half: int
    quarter: int


FLOW_WIDTHS, PAINTER_WIDTHS = Widths(32, 48, 64), Widths(32, 64, 128)


class CompactResidualBlock(nn.Module):
    """Two convolutions and a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(width, width, 3, padding=1)
        self.second = nn.Conv2d(width, width, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, width, H, W) to the same shape."""
        return functional.relu(x + self.second(functional.relu(self.first(x))))


class CompactHourglass(nn.Module):
    """An encoder-decoder with skips at whole and half size."""

    def __init__(self, channels_in: int, channels_out: int, widths: Widths) -> None:
        super().__init__()
        whole, half, quarter = widths
        self.enter = nn.Conv2d(channels_in, whole, 3, padding=1)
        self.at_whole = CompactResidualBlock(whole)
        self.down1 = nn.Conv2d(whole, half, 3, stride=2, padding=1)
        self.at_half = CompactResidualBlock(half)
        self.down2 = nn.Conv2d(half, quarter, 3, stride=2, padding=1)
        self.at_quarter = CompactResidualBlock(quarter)
        self.up1 = nn.Conv2d(quarter + half, half, 3, padding=1)
        self.up2 = nn.Conv2d(half + whole, whole, 3, padding=1)
        self.leave = nn.Conv2d(whole, channels_out, 3, padding=1)

    @staticmethod
    def widths_in(state: Mapping[str, Tensor], prefix: str) -> Widths:
        """Read the widths from the tensors."""
        return Widths(*(state[f"{prefix}{name}.weight"].shape[0] for name in ("enter", "down1", "down2")))

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, channels_in, H, W) to (B, channels_out, H, W); H and W are multiples of 4. Returns float32."""
        whole = self.at_whole(functional.relu(self.enter(x.to(self.enter.weight.dtype))))
        half = self.at_half(functional.relu(self.down1(whole)))
        quarter = self.at_quarter(functional.relu(self.down2(half)))
        half = functional.relu(self.up1(torch.cat([_double(quarter), half], 1)))
        whole = functional.relu(self.up2(torch.cat([_double(half), whole], 1)))
        out: Tensor = self.leave(whole).float()
        return out


class SourceEncoder(nn.Module):
    """Describes the source's square, once: what is hair, neck, shoulder or background, and what it looks like."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.enter = nn.Conv2d(3 * 4, width, 3, padding=1)
        self.down = nn.Conv2d(width, width, 3, stride=2, padding=1)
        self.deepen = nn.Sequential(*(CompactResidualBlock(width) for _ in range(3)))

    def forward(self, image: Tensor) -> Tensor:
        """Map an image (B, 3, 256, 256) in [0, 1] to features (B, width, 64, 64), float32."""
        # (B, 3, 256, 256) to (B, 12, 128, 128): half the size without losing a pixel.
        x = functional.pixel_unshuffle(image * 2 - 1, 2).to(self.enter.weight.dtype)
        features: Tensor = self.deepen(functional.relu(self.down(functional.relu(self.enter(x)))))
        return features.float()


class FlowNet(nn.Module):
    """Corrects the analytic flow where the mesh knows nothing: hair, neck and shoulders.

    As in the dense motion of face-vid2vid there are candidates: standing still, or moving with the rigid head, may each
    replace a share of the analytic flow. A free residual is added.
    """

    def __init__(self, features: int = 32, widths: Widths = FLOW_WIDTHS) -> None:
        super().__init__()
        self.net = CompactHourglass(CHANNELS + 2 + 2 * features, 4 + HINTS, widths)

    def forward(self, guide: Tensor, rigid: Tensor, features: Tensor, missed: Tensor) -> Correction:
        """Correct the displacement that the guide begins with.

        guide: (B, CHANNELS, 64, 64), see mesh/warp.py. rigid: (B, 2, 64, 64), the displacement if all were one rigid
        head. features: (B, C, 64, 64), of the encoder. missed: (B, 2, h, w), what the driving shows and the guide's
        displacement misses (first_frame.py), part of the correction; 0 where nothing is known.
        """
        here = identity_grid((FLOW_SIDE, FLOW_SIDE), guide.device)
        # What lies outside of the square stays where it is, and so must the square's border.
        window = _window(FLOW_SIDE, STILL_EDGE, guide.device)
        # The driving's face may lie where hair is on the source's head, and the other way round: the source's face
        # moves as its mesh says, and with nothing else.
        around = 1 - smoothstep_tensor((guide[:, FOLLOWING : FOLLOWING + 1] - AROUND) / (1 - AROUND))
        missed = window * around * _upsample(missed, View(FLOW_SIDE))
        flow = guide[:, :2] + missed
        guide = torch.cat([flow, guide[:, 2:]], 1)
        there = here + flow.permute(0, 2, 3, 1)
        out = OUTPUT_SCALE * self.net(torch.cat([guide, rigid, features, sample(features, there)], 1))
        still, stiff = out[:, :1], out[:, 1:2]
        residual = MOST_RESIDUAL * torch.tanh(out[:, 2:4]) - still * flow + stiff * (rigid - flow)
        return Correction(missed + window * residual, out[:, 4:] / OUTPUT_SCALE)


class Painter(nn.Module):
    """Paints where the flow brings nothing or the wrong thing: teeth, lids, the far cheek."""

    def __init__(self, features: int = 32, widths: Widths = PAINTER_WIDTHS) -> None:
        super().__init__()
        self.net = CompactHourglass(3 * 16 + 4 * CHANNELS + features + HINTS, 16 * 4, widths)

    def forward(self, patch: Tensor, guide: Tensor, context: Tensor) -> Painting:
        """Paint a patch (B, 3, 192, 192) in [0, 1]. guide: (B, CHANNELS, 96, 96). context: (B, C, 48, 48)."""
        seen = [functional.pixel_unshuffle(patch * 2 - 1, 4), functional.pixel_unshuffle(guide, 2), context]
        out = functional.pixel_shuffle(self.net(torch.cat(seen, 1)), 4)
        window = _window(PATCH_SIDE, EDGE, patch.device)
        # Starts at 0 and may fall a little below, which sharpens fine detail.
        repaint = (torch.sigmoid(OUTPUT_SCALE * 5 * out[:, 3:] - 3.0) - LEAST) / (1 - LEAST)
        return Painting(OUTPUT_SCALE * window * out[:, :3], window * repaint)


class LearnedParts(nn.Module):
    """The networks of a checkpoint, and how they work together."""

    def __init__(self, encoder: SourceEncoder, flow: FlowNet, painter: Painter) -> None:
        super().__init__()
        self.encoder, self.flow_net, self.painter = encoder, flow, painter

    @classmethod
    def fresh(cls) -> LearnedParts:
        """Make untrained networks of the usual size, initialised to keep the strength of signals (He 2015)."""
        parts = cls(SourceEncoder(), FlowNet(), Painter())
        for module in parts.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        for module in parts.modules():
            # Residual blocks start as the identity, and hourglasses with 0: the warp alone.
            if isinstance(module, CompactResidualBlock):
                nn.init.zeros_(module.second.weight)
            if isinstance(module, CompactHourglass):
                nn.init.zeros_(module.leave.weight)
        return parts

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> LearnedParts | None:
        """Build the networks; None if there are none. RuntimeError names tensors that do not fit."""
        part = {name: value.float() for name, value in state.items() if name.startswith(LEARNED_PREFIXES)}
        if not part:
            return None
        width = part["encoder.enter.weight"].shape[0]
        flow = FlowNet(width, CompactHourglass.widths_in(part, "flow_net.net."))
        painter = Painter(width, CompactHourglass.widths_in(part, "painter.net."))
        parts = cls(SourceEncoder(width), flow, painter)
        parts.load_state_dict(part)
        return parts.eval()

    def paint(self, patch: Tensor, guide: Tensor, place: Tensor, features: Tensor, correction: Correction) -> Painting:
        """Paint the patch of a warped image (B, 3, 192, 192).

        guide: (B, CHANNELS, 96, 96), of the patch. place: (B, 3), middle (x, y) and half side of the patch in the
        source's square. features: of the encoder. correction: of the whole square.
        """
        here = patch_grid(place, CONTEXT_SIDE)
        displacement = functional.avg_pool2d(guide[:, :2], 2) + sample(correction.residual, here)
        context = [sample(features, here + displacement.permute(0, 2, 3, 1)), sample(correction.hints, here)]
        painting: Painting = self.painter(patch, guide, torch.cat(context, 1))
        return painting


class View(NamedTuple):
    """The part of a patch that a picture shows: of side_px, `rows` and `columns`. The rest lies outside of it."""

    side_px: int
    rows: slice = slice(None)
    columns: slice = slice(None)


def apply_painting(picture: Tensor, patch: Tensor, painting: Painting, view: View | None = None) -> Tensor:
    """Apply a painting to the part of a picture that the patch shows.

    picture: (B, 3, H, W), of any size. patch: (B, 3, 192, 192), the same part, or more than the picture shows, as
    `view` says. The painter's change is upsampled; the picture keeps its own fine detail where it is not repainted.
    Returns (B, 3, H, W) in [0, 1].
    """
    return torch.cat(list(_painted_colours(picture, patch, painting, view or View(picture.shape[-1]))), 1)


def paint_over(picture: Tensor, patch: Tensor, painting: Painting, view: View) -> None:
    """Apply a painting to a picture as `apply_painting` does, in place."""
    for k, painted in enumerate(_painted_colours(picture, patch, painting, view)):
        picture[:, k : k + 1] = painted


def _painted_colours(picture: Tensor, patch: Tensor, painting: Painting, view: View) -> Iterator[Tensor]:
    """Yield red, green and blue of the painted picture, (B, 1, H, W) each."""
    # One channel at a time: its upsampled maps stay in the processor's cache.
    repaints = painting.repaint.requires_grad or bool(painting.repaint.any())
    repaint = _upsample(painting.repaint, view) if repaints else None
    coarse = functional.avg_pool2d(patch, 2) if repaints else patch
    for k in range(picture.shape[1]):
        colour, smooth, change = (image[:, k : k + 1] for image in (picture, coarse, painting.change))
        kept = colour if repaint is None else torch.lerp(colour, _upsample(smooth, view), repaint)
        yield (kept + _upsample(change, view)).clamp_(0, 1)


def patch_grid(place: Tensor, side: int) -> Tensor:
    """Return where the pixels of a patch lie in the source's square: (B, side, side, 2). place: (B, 3), see `paint`."""
    grid = identity_grid((side, side), place.device)
    return place[:, None, None, :2] + place[:, None, None, 2:] * grid


def sample(values: Tensor, grid: Tensor) -> Tensor:
    """Sample maps (B, C, h, w) at places (B, H, W, 2); the border is repeated outside."""
    return functional.grid_sample(values, grid, mode="bilinear", padding_mode="border", align_corners=False)


def _upsample(values: Tensor, view: View) -> Tensor:
    """Upsample maps of a patch (B, C, h, h) to its side in px, and return the part that is shown."""
    return resize_planes(values, (view.side_px, view.side_px))[..., view.rows, view.columns]


def _window(side: int, edge: float, device: torch.device) -> Tensor:
    """Return 1 inside a square, falling to 0 at its edges over `edge` of its side: (side, side)."""
    place = (torch.arange(side, device=device) + 0.5) / side
    ramp = smoothstep_tensor((torch.minimum(place, 1 - place) - 0.5 / side) / edge)
    return torch.minimum(ramp[:, None], ramp)


def _double(x: Tensor) -> Tensor:
    return functional.interpolate(x, scale_factor=2.0, mode="nearest")

"""The losses of training: colour, edges, what networks see of faces and pictures, and steadiness in time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from training.perceptual import PerceptualLoss
from training.rendered import Rendered
from vid2vid_cli.face.attention_mesh import AttentionMesh
from vid2vid_cli.face.mesh import load_prefixed

FACE_SHARE = 1.5 / 1.8  # the mesh network expects a square of 1.5 faces, the patch has 1.8
WEIGHTS = {
    "still": 0.0,  # only logged, to compare with: the warp without networks
    "coarse": 1.0,
    "shapes": 2.0,
    "patch": 2.0,
    "unmoved": 0.0,  # the same for the patch
    "warped": 0.5,
    "pyramid": 1.0,
    "edges": 1.0,
    "features": 0.10,
    "points": 0.03,
    "perceptual": 0.10,
    "steady": 0.5,
    "rough": 0.02,
    "discriminator": 0.01,
}
FEATURE_LAYERS = (1, 3, 6, 9, 12)  # of stem and trunk, at 96, 96, 48, 24 and 12 px


def weighted_l1(one: Tensor, other: Tensor, weight: Tensor) -> Tensor:
    """Return the mean absolute difference under weights. one, other: (B, C, H, W). weight: (B, 1, H, W)."""
    return (weight * (one - other).abs()).sum() / (weight.sum() * one.shape[1]).clamp_min(1)


def gradient_l1(one: Tensor, other: Tensor, weight: Tensor) -> Tensor:
    """Return the difference of the horizontal and vertical gradients."""
    x = weighted_l1(one.diff(dim=-1), other.diff(dim=-1), weight[..., 1:])
    y = weighted_l1(one.diff(dim=-2), other.diff(dim=-2), weight[..., 1:, :])
    return x + y


def pyramid_l1(one: Tensor, other: Tensor, weight: Tensor, levels: int = 3) -> Tensor:
    """Return the mean difference over images shrunk by 2, 4 and so on."""
    total = one.new_zeros(())
    for _ in range(levels):
        one, other, weight = (functional.avg_pool2d(x, 2) for x in (one, other, weight))
        total = total + weighted_l1(one, other, weight)
    return total / levels


def roughness(field: Tensor) -> Tensor:
    """Return how much a field (B, C, H, W) changes from place to place."""
    return field.diff(dim=-1).abs().mean() + field.diff(dim=-2).abs().mean()


class FaceLoss(nn.Module):
    """Compares two faces as the face mesh network sees them: by its features, and by where it puts the points."""

    def __init__(self, state: dict[str, Tensor]) -> None:
        super().__init__()
        self.net = AttentionMesh()
        load_prefixed(self.net, state, "mesh.")
        self.net.requires_grad_(False).eval().to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, one: Tensor, other: Tensor) -> tuple[Tensor, Tensor]:
        """Compare patches (B, 3, 192, 192) with the truth, `other`. Returns the distances of features and of points."""
        with torch.no_grad():
            wanted, true_points = self._see(other)
        seen, points = self._see(one)
        # Relative to their own size, so that deep and shallow layers count alike.
        features = [(a - b).abs().mean() / b.abs().mean().clamp_min(1e-3) for a, b in zip(seen, wanted, strict=True)]
        # A face that the network misses altogether must not outweigh all others.
        off = (points - true_points)[..., :2].abs().clamp_max(8.0)
        return torch.stack(features).mean(), off.mean()

    def _see(self, patch: Tensor) -> tuple[list[Tensor], Tensor]:
        side = round(patch.shape[-1] * FACE_SHARE)
        begin = (patch.shape[-1] - side) // 2
        face = patch[..., begin : begin + side, begin : begin + side]
        x = functional.interpolate(face, (192, 192), mode="bilinear", align_corners=False)
        seen = []
        for layer in (*self.net.stem, *self.net.trunk):
            x = layer(x)
            seen.append(x)
        # Places need more digits than bfloat16 has.
        with torch.autocast(patch.device.type, enabled=False):
            mesh = self.net.place(x.float()).reshape(len(patch), -1, 3)
            points = self.net.regions(mesh, seen[len(self.net.stem) - 1].float())
        return [seen[index].float() for index in FEATURE_LAYERS], points


class Answer(NamedTuple):
    """Painted patches (B, 3, H, W), the truth, and how much each pixel counts (B, 1, H, W)."""

    painted: Tensor
    target: Tensor
    weight: Tensor


class Losses(nn.Module):
    """Computes all losses of a batch."""

    def __init__(self, state: dict[str, Tensor], perceptual: Mapping[str, NDArray[np.generic]]) -> None:
        """state: the checkpoint's tensors. perceptual: those of perceptual.py."""
        super().__init__()
        self.face = FaceLoss(state)
        self.perceptual = PerceptualLoss(perceptual)

    def forward(self, made: Rendered, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return each loss by name."""
        target, weight = batch["patch_target"], batch["patch_weight"]
        visible = (weight > 0).float()
        # A part of a patch outside of its frame has no truth: it must neither cost nor help.
        answer = torch.where(visible > 0, made.painted, target)
        coarse = batch["coarse_target"], batch["coarse_weight"]
        # Each network sees one half of the batch: together they take a third of the time.
        features, points = self.face(answer[::2], target[::2])
        return {
            "still": weighted_l1(made.still, *coarse),
            "coarse": weighted_l1(made.coarse, *coarse),
            "shapes": pyramid_l1(made.coarse, *coarse),
            "unmoved": weighted_l1(made.unmoved, target, weight),
            "warped": weighted_l1(made.warped, target, weight),
            "patch": weighted_l1(made.painted, target, weight),
            "pyramid": pyramid_l1(answer, target, weight),
            "edges": gradient_l1(answer, target, weight),
            "features": features,
            "points": points,
            "perceptual": self.perceptual(answer[1::2], target[1::2], weight[1::2]),
            "steady": self._unsteadiness(Answer(answer, target, weight), batch["follows"]),
            "rough": roughness(made.correction.residual) * 64,
        }

    @staticmethod
    def _unsteadiness(answer: Answer, follows: Tensor) -> Tensor:
        """Compare the change from one moment to the next. follows: (F,), the targets that come after one."""
        change, wanted = (x[follows] - x[follows - 1] for x in (answer.painted, answer.target))
        return weighted_l1(change, wanted, answer.weight[follows])


def weigh(losses: Mapping[str, Tensor]) -> Tensor:
    """Return the weighted sum of losses."""
    return torch.stack([WEIGHTS[name] * loss for name, loss in losses.items()]).sum()


class PatchDiscriminator(nn.Module):
    """Tells real mouths and eyes from painted ones, patch by patch (hinge loss, spectral norm)."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for channels_in, channels_out in ((3, width), (width, 2 * width), (2 * width, 4 * width)):
            conv = nn.Conv2d(channels_in, channels_out, 4, stride=2, padding=1)
            layers += [nn.utils.parametrizations.spectral_norm(conv), nn.LeakyReLU(0.2)]
        last = nn.Conv2d(4 * width, 1, 3, padding=1)
        self.net = nn.Sequential(*layers, nn.utils.parametrizations.spectral_norm(last))

    def forward(self, image: Tensor) -> Tensor:
        """Return logits (B, 1, H / 8, W / 8) of images (B, 3, H, W) in [0, 1]; above 0 means real."""
        logits: Tensor = self.net(image * 2 - 1)
        return logits.float()

"""Untrained checkpoints of few channels in the public layouts: every name as in the real files, every size small."""

from __future__ import annotations

import itertools
import math

import torch
from torch import Tensor

KEYPOINTS, DEPTH, VOLUME, COMPRESSED = 4, 2, 4, 2
LIVEPORTRAIT_KEYPOINTS = 13  # enough to have some of the eyes' and the mouth's


class Tensors(dict[str, Tensor]):
    """Tensors by name, made of layers with random weights."""

    def __init__(self, seed: int = 0) -> None:
        super().__init__()
        self.random = torch.Generator().manual_seed(seed)

    def draw(self, *shape: int, scale: float = 1.0) -> Tensor:
        return torch.randn(*shape, generator=self.random) * scale

    def layer(self, name: str, out: int, into: int, *kernel: int, gain: float = 1.4) -> None:
        """Add a convolution, or a linear layer where there is no kernel."""
        fan_in = into * math.prod(kernel)
        self[f"{name}.weight"] = self.draw(out, into, *kernel, scale=gain / math.sqrt(fan_in))
        self[f"{name}.bias"] = self.draw(out, scale=0.1)

    def norm(self, name: str, channels: int) -> None:
        self[f"{name}.weight"], self[f"{name}.bias"] = (
            1 + self.draw(channels, scale=0.1),
            self.draw(channels, scale=0.1),
        )
        self[f"{name}.running_mean"], self[f"{name}.running_var"] = self.draw(channels, scale=0.1), torch.ones(channels)
        self[f"{name}.num_batches_tracked"] = torch.tensor(7)

    def normed(self, name: str, out: int, into: int, *kernel: int) -> None:
        self.layer(f"{name}.conv", out, into, *kernel)
        self.norm(f"{name}.norm", out)

    def residual(self, name: str, channels: int, *kernel: int) -> None:
        for number in (1, 2):
            self.layer(f"{name}.conv{number}", channels, channels, *kernel)
            self.norm(f"{name}.norm{number}", channels)

    def hourglass(self, name: str, into: int, dims: int, *, has_last: bool) -> int:
        """Add an hourglass of two levels; returns its channels out."""
        kernel = (3,) * dims
        self.normed(f"{name}.encoder.down_blocks.0", 6, into, *kernel)
        self.normed(f"{name}.encoder.down_blocks.1", 8, 6, *kernel)
        self.normed(f"{name}.decoder.up_blocks.0", 6, 8, *kernel)
        self.normed(f"{name}.decoder.up_blocks.1", 5, 12, *kernel)
        if has_last:
            self.normed(f"{name}.decoder", 5 + into, 5 + into, *kernel)
        return 5 + into

    def spectral(self, name: str, out: int, into: int, kernel: int, *, bias: bool = True) -> None:
        """Add a convolution under spectral norm, with vectors that are those of its largest singular value."""
        weight = self.draw(out, into, kernel, kernel)
        u, _, vh = torch.linalg.svd(weight.flatten(1))
        self[f"{name}.weight_orig"] = weight
        self[f"{name}.weight_u"], self[f"{name}.weight_v"] = u[:, 0].clone(), vh[0].clone()
        if bias:
            self[f"{name}.bias"] = self.draw(out, scale=0.1)

    def spade(self, name: str, channels: int, condition: int) -> None:
        self.layer(f"{name}.mlp_shared.0", 5, condition, 3, 3)
        self.layer(f"{name}.mlp_gamma", channels, 5, 3, 3, gain=0.5)
        self.layer(f"{name}.mlp_beta", channels, 5, 3, 3, gain=0.5)

    def spade_block(self, name: str, out: int, into: int, condition: int) -> None:
        self.spectral(f"{name}.conv_0", out, into, 3)
        self.spectral(f"{name}.conv_1", out, out, 3)
        self.spade(f"{name}.norm_0", into, condition)
        self.spade(f"{name}.norm_1", out, condition)
        if out != into:
            self.spectral(f"{name}.conv_s", out, into, 1, bias=False)
            self.spade(f"{name}.norm_s", into, condition)


def add_encoder(tensors: Tensors, prefix: str, first_kernel: int) -> None:
    tensors.normed(f"{prefix}first", 6, 3, first_kernel, first_kernel)
    tensors.normed(f"{prefix}down_blocks.0", 7, 6, 3, 3)
    tensors.normed(f"{prefix}down_blocks.1", 8, 7, 3, 3)
    tensors.layer(f"{prefix}second", VOLUME * DEPTH, 8, 1, 1)
    for index in range(2):
        tensors.residual(f"{prefix}resblocks_3d.3dr{index}", VOLUME, 3, 3, 3)


def add_warper(tensors: Tensors, prefix: str, keypoints: int) -> None:
    dense = f"{prefix}dense_motion_network"
    out = tensors.hourglass(f"{dense}.hourglass", (keypoints + 1) * (COMPRESSED + 1), 3, has_last=True)
    tensors.layer(f"{dense}.mask", keypoints + 1, out, 3, 3, 3)
    tensors.layer(f"{dense}.compress", COMPRESSED, VOLUME, 1, 1, 1)
    tensors.norm(f"{dense}.norm", COMPRESSED)
    tensors.layer(f"{dense}.occlusion", 1, out * DEPTH, 7, 7)
    tensors.normed(f"{prefix}third", 8, VOLUME * DEPTH, 3, 3)
    tensors.layer(f"{prefix}fourth", 8, 8, 1, 1)


def add_spade_decoder(tensors: Tensors, prefix: str, image_head: str, image_channels: int) -> None:
    tensors.layer(f"{prefix}fc", 12, 8, 3, 3)
    for index in range(2):
        tensors.spade_block(f"{prefix}G_middle_{index}", 12, 12, 8)
    tensors.spade_block(f"{prefix}up_0", 8, 12, 8)
    tensors.spade_block(f"{prefix}up_1", 6, 8, 8)
    tensors.layer(f"{prefix}{image_head}", image_channels, 6, 3, 3)


def add_plain_decoder(tensors: Tensors, prefix: str) -> None:
    tensors.residual(f"{prefix}resblocks_2d.2dr0", 8, 3, 3)
    tensors.normed(f"{prefix}up_blocks.0", 7, 8, 3, 3)
    tensors.normed(f"{prefix}up_blocks.1", 6, 7, 3, 3)
    tensors.layer(f"{prefix}final", 3, 6, 7, 7)


def add_gaussian(tensors: Tensors, name: str) -> None:
    line = torch.exp(-torch.arange(-6, 7).square() / (2 * 1.5**2))
    plane = line[:, None] * line
    tensors[f"{name}.weight"] = (plane / plane.sum()).expand(3, 1, 13, 13).contiguous()


def add_canonical_keypoints(tensors: Tensors, prefix: str) -> None:
    add_gaussian(tensors, f"{prefix}down")
    tensors.normed(f"{prefix}predictor.down_blocks.down0", 6, 3, 3, 3)
    tensors.normed(f"{prefix}predictor.down_blocks.down1", 8, 6, 3, 3)
    tensors.layer(f"{prefix}predictor.conv", 8 * DEPTH, 8, 1, 1)
    tensors.normed(f"{prefix}predictor.up_blocks.up0", 6, 8, 3, 3, 3)
    tensors.normed(f"{prefix}predictor.up_blocks.up1", 5, 6, 3, 3, 3)
    tensors.layer(f"{prefix}kp", KEYPOINTS, 5, 3, 3, 3)


def add_bottleneck(tensors: Tensors, name: str, channels: int, *, has_skip: bool = False) -> None:
    narrow = channels // 2
    for number, out, into, kernel in ((1, narrow, channels, 1), (2, narrow, narrow, 3), (3, channels, narrow, 1)):
        tensors.layer(f"{name}.conv{number}", out, into, kernel, kernel)
        tensors.norm(f"{name}.norm{number}", out)
    if has_skip:
        tensors.layer(f"{name}.skip", channels, channels, 1, 1)
        tensors.norm(f"{name}.norm4", channels)


def add_estimator(tensors: Tensors, prefix: str) -> None:
    for number, (out, into, kernel) in enumerate(((4, 3, 7), (4, 4, 1), (6, 4, 1), (8, 6, 1), (10, 8, 1)), 1):
        tensors.layer(f"{prefix}conv{number}", out, into, kernel, kernel)
        tensors.norm(f"{prefix}norm{number}", out)
    for number, channels in ((1, 4), (3, 6), (5, 8), (7, 10)):
        for index in range(2):
            add_bottleneck(tensors, f"{prefix}block{number}.b{number}_{index}", channels)
        if number > 1:
            add_bottleneck(tensors, f"{prefix}block{number - 1}", channels, has_skip=True)
    for head, out in (("yaw", 66), ("pitch", 66), ("roll", 66), ("t", 3), ("exp", 3 * KEYPOINTS)):
        tensors.layer(f"{prefix}fc_{head}", out, 10, gain=0.2)


def facevid2vid(*, is_spade: bool = True) -> Tensors:
    """Return a checkpoint in the layout of the public vox-256 files, flat."""
    tensors = Tensors()
    add_canonical_keypoints(tensors, "kp_detector.")
    add_estimator(tensors, "he_estimator.")
    add_encoder(tensors, "generator.", 3 if is_spade else 7)
    add_warper(tensors, "generator.", KEYPOINTS)
    if is_spade:
        add_spade_decoder(tensors, "generator.decoder.", "conv_img", 3)
    else:
        add_plain_decoder(tensors, "generator.")
    return tensors


def sadtalker() -> Tensors:
    """Return a checkpoint in the layout of SadTalker's safetensors, which has no estimator."""
    tensors = Tensors()
    for name, tensor in facevid2vid().items():
        if not name.startswith("he_estimator."):
            tensors[name.replace("kp_detector.", "kp_extractor.")] = tensor
    tensors.layer("audio2exp.mapping1", 4, 6)
    return tensors


def add_convnext(tensors: Tensors, prefix: str, keypoints: int) -> None:
    widths = (4, 6, 8, 10)
    for level, width in enumerate(widths):
        before = 3 if level == 0 else widths[level - 1]
        conv, norm, kernel = (0, 1, 4) if level == 0 else (1, 0, 2)
        tensors.layer(f"{prefix}downsample_layers.{level}.{conv}", width, before, kernel, kernel)
        add_layer_norm(tensors, f"{prefix}downsample_layers.{level}.{norm}", width if level == 0 else before)
        block = f"{prefix}stages.{level}.0."
        tensors.layer(f"{block}dwconv", width, 1, 7, 7)
        add_layer_norm(tensors, f"{block}norm", width)
        tensors.layer(f"{block}pwconv1", 4 * width, width)
        for name in ("gamma", "beta"):
            tensors[f"{block}grn.{name}"] = tensors.draw(1, 1, 1, 4 * width, scale=0.3)
        tensors.layer(f"{block}pwconv2", width, 4 * width)
    add_layer_norm(tensors, f"{prefix}norm", widths[-1])
    heads = (("kp", 3 * keypoints), ("scale", 1), ("pitch", 66), ("yaw", 66), ("roll", 66), ("t", 3))
    for head, out in (*heads, ("exp", 3 * keypoints)):
        tensors.layer(f"{prefix}fc_{head}", out, widths[-1], gain=0.2)
    tensors[f"{prefix}fc_scale.bias"] += 1


def add_layer_norm(tensors: Tensors, name: str, channels: int) -> None:
    tensors[f"{name}.weight"], tensors[f"{name}.bias"] = 1 + tensors.draw(channels, scale=0.1), torch.zeros(channels)


def liveportrait() -> Tensors:
    """Return a checkpoint in the layout of LivePortrait's five files, each under the name of its role."""
    tensors, points = Tensors(), LIVEPORTRAIT_KEYPOINTS
    add_encoder(tensors, "appearance_feature_extractor.", 3)
    add_convnext(tensors, "motion_extractor.detector.", points)
    add_warper(tensors, "warping_module.", points)
    add_spade_decoder(tensors, "spade_generator.", "conv_img.0", 12)
    for name, into, out in (("shoulder", 6 * points, 3 * points + 2), ("mouth", 3 * points + 2, 3 * points)):
        add_perceptron(tensors, name, (into, 8, out))
    add_perceptron(tensors, "eye", (3 * points + 3, 8, 6, 3 * points))
    return tensors


def add_perceptron(tensors: Tensors, name: str, widths: tuple[int, ...]) -> None:
    for index, (into, out) in enumerate(itertools.pairwise(widths)):
        tensors.layer(f"stitching_retargeting_module.retarget_{name}.mlp.{2 * index}", out, into, gain=1.0)


def fomm() -> Tensors:
    """Return a checkpoint in the layout of the first-order motion model's vox-256 file, flat."""
    tensors = Tensors()
    add_gaussian(tensors, "kp_detector.down")
    out = tensors.hourglass("kp_detector.predictor", 3, 2, has_last=False)
    tensors.layer("kp_detector.kp", KEYPOINTS, out, 7, 7)
    tensors.layer("kp_detector.jacobian", 4 * KEYPOINTS, out, 7, 7, gain=0.2)
    tensors["kp_detector.jacobian.bias"] += torch.eye(2).flatten().repeat(KEYPOINTS)
    dense = "generator.dense_motion_network"
    add_gaussian(tensors, f"{dense}.down")
    out = tensors.hourglass(f"{dense}.hourglass", 4 * (KEYPOINTS + 1), 2, has_last=False)
    tensors.layer(f"{dense}.mask", KEYPOINTS + 1, out, 7, 7)
    tensors.layer(f"{dense}.occlusion", 1, out, 7, 7)
    tensors.normed("generator.first", 6, 3, 7, 7)
    tensors.normed("generator.down_blocks.0", 7, 6, 3, 3)
    tensors.normed("generator.down_blocks.1", 8, 7, 3, 3)
    for index in range(2):
        tensors.residual(f"generator.bottleneck.r{index}", 8, 3, 3)
    tensors.normed("generator.up_blocks.0", 7, 8, 3, 3)
    tensors.normed("generator.up_blocks.1", 6, 7, 3, 3)
    tensors.layer("generator.final", 3, 6, 7, 7)
    return tensors


CHECKPOINTS = {
    "facevid2vid": facevid2vid,
    "facevid2vid original": lambda: facevid2vid(is_spade=False),
    "liveportrait": liveportrait,
    "fomm": fomm,
}

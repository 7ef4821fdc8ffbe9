"""The names of the tensors in each published checkpoint: to recognise a checkpoint, and to see what it lacks.

The names are those of the public files, abbreviated: `{0..5}` and `{a,b}` stand for one of these each, as in a shell.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import cached_property

ROLES = (
    "appearance_feature_extractor",
    "motion_extractor",
    "warping_module",
    "spade_generator",
    "stitching_retargeting_module",
)
"""The five files of a liveportrait checkpoint. The names of their tensors begin with these."""

# Parameters of a batch norm, and of a layer with a bias.
BN = "{weight,bias,running_mean,running_var,num_batches_tracked}"
WB = "{weight,bias}"
# The parts that several published networks share, named after the classes of the original repositories.
HOURGLASS = (
    f"hourglass.{{encoder.down_blocks,decoder.up_blocks}}.{{0..4}}.conv.{WB}",
    f"hourglass.{{encoder.down_blocks,decoder.up_blocks}}.{{0..4}}.norm.{BN}",
)
DENSE_MOTION = (
    *HOURGLASS,
    f"{{hourglass.decoder.conv,mask,compress,occlusion}}.{WB}",
    f"{{hourglass.decoder.norm,norm}}.{BN}",
)
ENDS_OF_UNET = (
    f"first.conv.{WB}",
    f"first.norm.{BN}",
    f"down_blocks.{{0,1}}.conv.{WB}",
    f"down_blocks.{{0,1}}.norm.{BN}",
)
UP_BLOCKS = (f"up_blocks.{{0,1}}.conv.{WB}", f"up_blocks.{{0,1}}.norm.{BN}", f"final.{WB}")
VOLUME = (
    *ENDS_OF_UNET,
    f"second.{WB}",
    f"resblocks_3d.3dr{{0..5}}.conv{{1,2}}.{WB}",
    f"resblocks_3d.3dr{{0..5}}.norm{{1,2}}.{BN}",
)
WARPED = (f"third.conv.{WB}", f"third.norm.{BN}", f"fourth.{WB}")
# Spectral norm stores weight_orig with its vectors weight_u and weight_v in the place of weight.
SPADE = (
    f"fc.{WB}",
    "{G_middle_{0..5},up_{0,1}}.conv_{0,1}.{bias,weight_orig,weight_u,weight_v}",
    "up_{0,1}.conv_s.{weight_orig,weight_u,weight_v}",
    f"{{G_middle_{{0..5}}.norm_{{0,1}},up_{{0,1}}.norm_{{0,1,s}}}}.{{mlp_shared.0,mlp_gamma,mlp_beta}}.{WB}",
)
KEYPOINTS = (
    f"predictor.{{down_blocks.down,up_blocks.up}}{{0..4}}.conv.{WB}",
    f"predictor.{{down_blocks.down,up_blocks.up}}{{0..4}}.norm.{BN}",
    f"{{predictor.conv,kp}}.{WB}",
    "down.weight",
)
ESTIMATOR = (
    f"conv{{1..5}}.{WB}",
    f"norm{{1..5}}.{BN}",
    f"{{block1.b1_{{0..2}},block3.b3_{{0..2}},block5.b5_{{0..4}},block7.b7_{{0,1}}}}.conv{{1..3}}.{WB}",
    f"{{block1.b1_{{0..2}},block3.b3_{{0..2}},block5.b5_{{0..4}},block7.b7_{{0,1}}}}.norm{{1..3}}.{BN}",
    f"block{{2,4,6}}.{{conv1,conv2,conv3,skip}}.{WB}",
    f"block{{2,4,6}}.norm{{1..4}}.{BN}",
    f"fc_{{roll,pitch,yaw,t,exp}}.{WB}",
)
# ConvNeXt V2 tiny: 3, 3, 9 and 3 blocks in its four stages.
CONVNEXT = (
    f"detector.downsample_layers.{{0..3}}.{{0,1}}.{WB}",
    *(
        f"detector.stages.{stage}.{{0..{count - 1}}}.{rest}"
        for stage, count in enumerate((3, 3, 9, 3))
        for rest in (f"{{dwconv,norm,pwconv1,pwconv2}}.{WB}", "grn.{gamma,beta}")
    ),
    f"detector.{{norm,fc_kp,fc_scale,fc_pitch,fc_yaw,fc_roll,fc_t,fc_exp}}.{WB}",
)
FOMM_GENERATOR = (
    *(f"dense_motion_network.{name}" for name in HOURGLASS),
    f"dense_motion_network.{{mask,occlusion}}.{WB}",
    "dense_motion_network.down.weight",
    *ENDS_OF_UNET,
    *UP_BLOCKS,
    f"bottleneck.r{{0..5}}.conv{{1,2}}.{WB}",
    f"bottleneck.r{{0..5}}.norm{{1,2}}.{BN}",
)
# [10:] cuts off "hourglass.", which is called "predictor." here.
FOMM_KEYPOINTS = (*(f"predictor.{name[10:]}" for name in HOURGLASS), f"{{kp,jacobian}}.{WB}", "down.weight")
STITCHING = (
    f"retarget_{{shoulder,mouth}}.mlp.{{0,2,4,6}}.{WB}",
    f"retarget_eye.mlp.{{0,2,4,6,8,10}}.{WB}",
)


def _under(root: str, *patterns: str) -> tuple[str, ...]:
    return tuple(f"{root}.{pattern}" for pattern in patterns)


GENERATOR = _under("generator", *VOLUME, *WARPED, *(f"dense_motion_network.{name}" for name in DENSE_MOTION))
SPADE_GENERATOR = (*GENERATOR, *_under("generator.decoder", *SPADE, f"conv_img.{WB}"))
ORIGINAL_GENERATOR = (
    *GENERATOR,
    *_under("generator", *UP_BLOCKS),
    f"generator.resblocks_2d.2dr{{0..5}}.conv{{1,2}}.{WB}",
    f"generator.resblocks_2d.2dr{{0..5}}.norm{{1,2}}.{BN}",
)


@dataclass(frozen=True)
class Layout:
    """The tensors of one variant of a family.

    marks: names that together occur in no other variant. lacks: a name that it does not have. patterns: all names.
    refused: why no model can be made from it, if it is known but not supported.
    """

    family: str
    variant: str
    marks: tuple[str, ...]
    patterns: tuple[str, ...]
    lacks: str = ""
    refused: str = ""

    @cached_property
    def names(self) -> frozenset[str]:
        """All names of its tensors."""
        return frozenset(name for pattern in self.patterns for name in expand(pattern))

    @cached_property
    def roots(self) -> frozenset[str]:
        """The beginnings of its names, up to the first dot."""
        return frozenset(name.split(".")[0] for name in self.names)

    def matches(self, names: Collection[str]) -> bool:
        """Say whether the names are those of this variant, complete or not."""
        return all(mark in names for mark in self.marks) and self.lacks not in names


_VOLUME_MARKS = ("generator.third.conv.weight", "kp_detector.kp.weight")
_SPADE_MARK = "generator.decoder.fc.weight"

# The first that matches counts: the older Beta before the newer files, SadTalker with an estimator before without.
LAYOUTS = (
    Layout(
        "facevid2vid",
        "older Beta",
        _VOLUME_MARKS,
        (),
        lacks="kp_detector.down.weight",
        refused="an older Beta checkpoint, whose head-pose axes differ; use the newer vox-256 file",
    ),
    Layout(
        "facevid2vid",
        "vox-256, SPADE generator",
        (*_VOLUME_MARKS, _SPADE_MARK),
        (*SPADE_GENERATOR, *_under("kp_detector", *KEYPOINTS), *_under("he_estimator", *ESTIMATOR)),
    ),
    Layout(
        "facevid2vid",
        "vox-256, original generator",
        (*_VOLUME_MARKS, "generator.final.weight"),
        (*ORIGINAL_GENERATOR, *_under("kp_detector", *KEYPOINTS), *_under("he_estimator", *ESTIMATOR)),
    ),
    Layout(
        "facevid2vid",
        "SadTalker with a facevid2vid estimator",
        ("kp_extractor.kp.weight", _SPADE_MARK, "he_estimator.fc_yaw.weight"),
        (*SPADE_GENERATOR, *_under("kp_extractor", *KEYPOINTS), *_under("he_estimator", *ESTIMATOR)),
    ),
    Layout(
        "facevid2vid",
        "SadTalker: renders, but cannot read motion",
        ("kp_extractor.kp.weight", _SPADE_MARK),
        (*SPADE_GENERATOR, *_under("kp_extractor", *KEYPOINTS)),
    ),
    Layout(
        "liveportrait",
        "human",
        ("motion_extractor.detector.fc_kp.weight", "spade_generator.fc.weight"),
        (
            *_under(ROLES[0], *VOLUME),
            *_under(ROLES[1], *CONVNEXT),
            *_under(ROLES[2], *WARPED, *(f"dense_motion_network.{name}" for name in DENSE_MOTION)),
            *_under(ROLES[3], *SPADE, f"conv_img.0.{WB}"),
            *_under(ROLES[4], *STITCHING),
        ),
    ),
    Layout(
        "fomm",
        "vox-256",
        ("kp_detector.jacobian.weight", "generator.bottleneck.r0.conv1.weight"),
        (*_under("generator", *FOMM_GENERATOR), *_under("kp_detector", *FOMM_KEYPOINTS)),
    ),
)


def recognise(names: Collection[str]) -> Layout | None:
    """Return the published layout to which names of tensors belong, or None."""
    return next((layout for layout in LAYOUTS if layout.matches(names)), None)


def expand(pattern: str) -> list[str]:
    """Expand a pattern into names: `a{0..2}.{x,y}` gives a0.x, a0.y, a1.x and so on. Braces may nest."""
    innermost = re.search(r"\{([^{}]*)\}", pattern)
    if innermost is None:
        return [pattern]
    numbers = re.fullmatch(r"(\d+)\.\.(\d+)", innermost[1])
    choices = map(str, range(int(numbers[1]), int(numbers[2]) + 1)) if numbers else innermost[1].split(",")
    chosen = (pattern[: innermost.start()] + choice + pattern[innermost.end() :] for choice in choices)
    return list(
        dict.fromkeys(name for one in chosen for name in expand(one))
    )  # an outer brace yields its other choices again


def recognise_role(names: Collection[str]) -> str | None:
    """Return which one of liveportrait's five files has these names, or None."""
    (liveportrait,) = (layout for layout in LAYOUTS if layout.family == "liveportrait")
    # Alone, a file's own names do not begin with its role.
    known = {role: {name for name in liveportrait.names if name.startswith(f"{role}.")} for role in ROLES}
    return next((role for role in ROLES if known[role] <= {f"{role}.{name}" for name in names}), None)


def why_no_family(names: Collection[str], families: Collection[str]) -> str:
    """Say why no family accepts tensors of these names, to end a line about their file."""
    role = recognise_role(names)
    if role is not None:
        return f"only the {role} of liveportrait; name the folder that holds all five files"
    layout = recognise(names)
    if layout is not None and layout.refused:
        return layout.refused
    return f"a checkpoint of no known family ({', '.join(families)})"

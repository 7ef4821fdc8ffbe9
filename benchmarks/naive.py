"""The families computed as their papers are written: every layer, for every frame, in float32.

The layers are those of vid2vid_cli before anything is folded, merged or rearranged. Spectral norms are computed
again at every call, as PyTorch does. The source is prepared again for every frame, as the published code does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from torch import Tensor, nn

from vid2vid_cli.models.base import ReenactmentModel, SourceAppearance
from vid2vid_cli.models.facevid2vid.model import FaceVid2VidModel
from vid2vid_cli.models.fomm.model import FommModel
from vid2vid_cli.models.fomm.networks import LocalMotion
from vid2vid_cli.models.layers.spade import SpadeDecoder
from vid2vid_cli.models.liveportrait.model import LivePortraitModel
from vid2vid_cli.models.loading import Part

FAMILIES: dict[str, Callable[..., ReenactmentModel]] = {
    "facevid2vid": FaceVid2VidModel,
    "liveportrait": LivePortraitModel,
    "fomm": FommModel,
}


def leave_plain(network: nn.Module) -> None:
    """Rewrite nothing."""


def build_plain(family: str, state: Mapping[str, Tensor]) -> ReenactmentModel:
    """Build a model with its plain layers."""
    model = FAMILIES[family](state, leave_plain)
    if isinstance(model, FaceVid2VidModel) and isinstance(model.generator.decoder, SpadeDecoder):
        unfold_spectral_norms(model.generator.decoder, Part(state) / "generator" / "decoder")
    elif isinstance(model, LivePortraitModel):
        unfold_spectral_norms(model.decoder, Part(state) / "spade_generator")
    return model


def unfold_spectral_norms(decoder: SpadeDecoder, part: Part) -> None:
    """Restore PyTorch's spectral norm, with the vectors of a checkpoint, on the convolutions that had one."""
    for stem in [name.removesuffix(".weight_orig") for name in part.tensors if name.endswith(".weight_orig")]:
        # Published files hold weight_orig, u and v; loading them gives the same weight that was folded.
        conv = nn.utils.spectral_norm(decoder.get_submodule(stem)).eval()
        conv.load_state_dict((part / stem).tensors)
        conv.requires_grad_(requires_grad=False)


def prepare_again(model: ReenactmentModel, source: SourceAppearance, image: Tensor) -> SourceAppearance:
    """Repeat the part of preparing the source that the published code repeats for every frame.

    facevid2vid and fomm encode the source; liveportrait keeps its features and compresses them. All draw the
    maps of its keypoints. image: (1, 3, H, W) in [0, 1], the source.
    """
    own = source.features["keypoints"]
    if isinstance(model, FaceVid2VidModel):
        return replace(source, features=model.generator.prepare(image, own)._asdict())
    if isinstance(model, LivePortraitModel):
        return replace(source, features=model.warper.prepare(source.features["features"], own)._asdict())
    if isinstance(model, FommModel):
        motion = LocalMotion(own, source.features["jacobians"])
        return replace(source, features=model.generator.prepare(image, motion)._asdict())
    # compact has no paper of its own to compare with.
    raise ValueError(f"{model.name} has no naive path")

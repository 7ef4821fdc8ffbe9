"""The appearance of a still source: computed once, and shared by all processes that work on it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

from torch import Tensor

from vid2vid_cli.models.base import ReenactmentModel, SourceAppearance, TexturesBackground
from vid2vid_cli.motion import Motion
from vid2vid_cli.pipeline.memory import Memory

FEATURE, MOTION = "feature.", "motion."


def still_appearance(model: ReenactmentModel, image: Tensor, landmarks: Tensor) -> SourceAppearance:
    """Return what a model keeps of a still picture (1, 3, H, W): all that it does not do for every frame of a film.

    landmarks: (1, 470, 3) in px of the picture.
    """
    made = model.appearance(image, landmarks)
    return model.with_texture(made) if isinstance(model, TexturesBackground) else made


def remembered_appearance(
    memory: Memory, key: str, model: ReenactmentModel, image: Tensor, landmarks: Tensor
) -> SourceAppearance:
    """Return what `still_appearance` gives for an image (1, 3, H, W) and landmarks (1, 470, 3) in crop px.

    If several processes share the memory, only one of them computes what consists of tensors.
    """
    known = memory.recall_tensors(key, "appearance") if memory.is_shared else None
    if known is not None:
        with contextlib.suppress(KeyError):  # an incomplete file is ignored, and rewritten below
            return _restore(known, image)
    made = still_appearance(model, image, landmarks)
    memory.computed.append("source")
    if memory.is_shared and type(made) is SourceAppearance:
        memory.keep_tensors(key, "appearance", _pack(made))
    return made


def _pack(made: SourceAppearance) -> dict[str, Tensor]:
    """Name the tensors to keep."""
    features = {FEATURE + name: tensor for name, tensor in made.features.items()}
    motion = {f"{MOTION}{place}": tensor for place, tensor in enumerate(made.motion.tensors())}
    return {**features, **motion, "canonical": made.canonical}


def _restore(known: Mapping[str, Tensor], image: Tensor) -> SourceAppearance:
    features = {name.removeprefix(FEATURE): t.to(image.device) for name, t in known.items() if name.startswith(FEATURE)}
    motion = [known[f"{MOTION}{place}"] for place in range(sum(name.startswith(MOTION) for name in known))]
    return SourceAppearance(features, known["canonical"], Motion(*motion))

"""The appearance of a still source: computed once, and shared by all processes that work on it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

from torch import Tensor

from vid2vid_cli.models.base import ReenactmentModel, Restorable, SourceAppearance
from vid2vid_cli.motion import Motion
from vid2vid_cli.pipeline.memory import Memory

FEATURE, MOTION = "feature.", "motion."


def remembered_appearance(
    memory: Memory, key: str, model: ReenactmentModel, image: Tensor, landmarks: Tensor
) -> SourceAppearance:
    """Return what `model.appearance` gives for an image (1, 3, H, W) and landmarks (1, 470, 3) in crop px.

    If several processes share the memory, only one of them computes it.
    """
    known = memory.recall_tensors(key, "appearance") if memory.is_shared else None
    if known is not None:
        with contextlib.suppress(KeyError):  # an incomplete file is ignored, and rewritten below
            return _restore(known, model, image, landmarks)
    made = model.appearance(image, landmarks)
    memory.computed.append("source")
    if memory.is_shared:
        memory.keep_tensors(key, "appearance", _pack(made, model))
    return made


def _pack(made: SourceAppearance, model: ReenactmentModel) -> dict[str, Tensor]:
    """Name the tensors to keep."""
    if isinstance(model, Restorable):
        return {FEATURE + name: made.features[name] for name in model.costly_features & made.features.keys()}
    features = {FEATURE + name: tensor for name, tensor in made.features.items()}
    motion = {f"{MOTION}{place}": tensor for place, tensor in enumerate(made.motion.tensors())}
    return {**features, **motion, "canonical": made.canonical}


def _restore(
    known: Mapping[str, Tensor], model: ReenactmentModel, image: Tensor, landmarks: Tensor
) -> SourceAppearance:
    features = {name.removeprefix(FEATURE): t.to(image.device) for name, t in known.items() if name.startswith(FEATURE)}
    if isinstance(model, Restorable):
        return model.restored(features, image, landmarks)
    motion = [known[f"{MOTION}{place}"] for place in range(sum(name.startswith(MOTION) for name in known))]
    return SourceAppearance(features, known["canonical"], Motion(*motion))

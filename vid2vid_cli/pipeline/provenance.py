"""State where an output of a command comes from: its inputs, its checkpoint, its options."""

from __future__ import annotations

from pathlib import Path

from vid2vid_cli.media.provenance import Ingredient, Provenance
from vid2vid_cli.models.registry import LoadedModel


def provenance_of(model: LoadedModel, options: object, **inputs: str | Path | None) -> Provenance:
    """Describe an output made by `model` with an options dataclass.

    inputs: a path for each role, as in source="face.png"; None for a role that is not filled.
    """
    ingredients = tuple(Ingredient(role, Path(path)) for role, path in inputs.items() if path is not None)
    return Provenance(inputs=ingredients, checkpoint=model.sha256, settings=vars(options))

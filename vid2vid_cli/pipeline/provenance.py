"""State where an output of a command comes from: its inputs, its checkpoint, its options."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from vid2vid_cli.media.credentials.signing import is_ready
from vid2vid_cli.media.probe import sniff
from vid2vid_cli.media.provenance import Ingredient, Listener, Provenance
from vid2vid_cli.models.registry import LoadedModel


def provenance_of(
    model: LoadedModel, options: object, log: Listener | None = None, /, **inputs: str | Path | Sequence[Path] | None
) -> Provenance:
    """Describe an output made by `model` with an options dataclass, and see to the key that signs it, before the work.

    log: is told what users should know of its signing. inputs: a path, or several, for each role, as in
    source="face.png"; None for a role that is not filled. CredentialsError if the output is to be signed with a key
    that cannot be used.
    """
    ingredients = tuple(Ingredient(role, path) for role, given in inputs.items() for path in _paths(given))
    source = next((each for each in ingredients if each.role == "source"), None)
    provenance = Provenance(
        inputs=ingredients,
        checkpoint=model.sha256,
        settings=vars(options),
        command=getattr(options, "command", type(options).__name__.removesuffix("Options").lower()),
        edited_role="source" if source is not None and sniff(source.path) == "video" else None,
        credentials=getattr(options, "credentials", False),
        watermark=getattr(options, "watermark", False),
    )
    provenance = provenance if log is None else replace(provenance, log=log)
    return provenance if is_ready(provenance) else replace(provenance, credentials=False)


def _paths(given: str | Path | Sequence[Path] | None) -> list[Path]:
    if given is None:
        return []
    return [Path(given)] if isinstance(given, str | Path) else list(given)

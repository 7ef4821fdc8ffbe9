"""What a signed output says of itself: the actions, inputs and assertions of its manifest."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from typing import Any

from vid2vid_cli.media.provenance import Provenance
from vid2vid_cli.media.watermark.code import bits_of
from vid2vid_cli.version import __version__

CLAIM_NAME = "vid2vid"
MADE = "org.vid2vid.generation"
FILE_TYPE = "file_type"  # in our own assertion
SOFT_BINDING = "c2pa.soft-binding"
ACTIONS = "c2pa.actions.v2"
COMPOSITE = "http://cv.iptc.org/newscodes/digitalsourcetype/compositeWithTrainedAlgorithmicMedia"
A_FILE = "(a file)"
# What says where the user's files are, or how the work was done rather than what came out.
_LEFT_OUT = frozenset({"checkpoint", "force", "credentials", "watermark", "threads", "device", "max_pixels"})
_RATIO, _SUFFIX = re.compile(r"\d+/\d+"), re.compile(r"\.[A-Za-z][A-Za-z0-9]{1,10}$")


def manifest(provenance: Provenance, mime: str, file_type: str = "") -> dict[str, Any]:
    """Return the manifest that c2pa signs. Inputs stand in it by their hashes and roles, never by their names.

    file_type: the box that names the kind of an MP4, as hex digits, which C2PA does not cover.
    """
    assertions = [{"label": ACTIONS, "data": {"actions": _actions(provenance), "allActionsIncluded": True}}]
    if provenance.pattern is not None:
        value = base64.b64encode(bits_of(provenance.number)).decode()
        binding = {"alg": provenance.pattern, "blocks": [{"scope": {}, "value": value}], "pad": ""}
        assertions.append({"label": SOFT_BINDING, "data": binding})
    made = _generation(provenance) | ({FILE_TYPE: file_type} if file_type else {})
    assertions.append({"label": MADE, "data": made})
    return {
        "claim_generator_info": [{"name": CLAIM_NAME, "version": __version__}],
        "format": mime,
        "ingredients": _ingredients(provenance),
        "assertions": assertions,
    }


def _ingredients(provenance: Provenance) -> list[dict[str, Any]]:
    parent = provenance.edited_role
    return [
        {
            "title": each.role,
            "format": "application/octet-stream",
            "instance_id": f"sha256:{each.sha256}",
            "relationship": "parentOf" if each.role == parent else "inputTo",
            "label": each.role,
        }
        for each in provenance.inputs
        if each.sha256 is not None
    ]


def _actions(provenance: Provenance) -> list[dict[str, Any]]:
    known = [each.role for each in provenance.inputs if each.sha256 is not None]
    parent = provenance.edited_role
    agent = {"softwareAgent": {"name": CLAIM_NAME, "version": __version__}, "digitalSourceType": COMPOSITE}
    used = {"parameters": {"ingredientIds": [role for role in known if role != parent]}}
    what = used if used["parameters"]["ingredientIds"] else {}
    if parent in known:
        actions = [{"action": "c2pa.opened", "parameters": {"ingredientIds": [parent]}}]
        actions.append({"action": "c2pa.edited", **agent, **what})
    else:
        actions = [{"action": "c2pa.created", **agent, **what}]
    return actions + ([{"action": "c2pa.watermarked.bound"}] if provenance.pattern is not None else [])


def _generation(provenance: Provenance) -> dict[str, Any]:
    """Return our own assertion: command, options without paths, checkpoint, and words that were changed in speech."""
    facts: dict[str, Any] = {"version": __version__, "options": public_settings(provenance.settings)}
    if provenance.command:
        facts["command"] = provenance.command
    if provenance.checkpoint is not None:
        facts["checkpoint_sha256"] = provenance.checkpoint
    if provenance.edited_words:
        facts["edited_words"] = list(provenance.edited_words)
    return facts


def public_settings(settings: Mapping[str, object]) -> dict[str, object]:
    """Return the options that may be known: plain values, no paths, nothing that was not set."""
    return {
        name: _public(value) for name, value in sorted(settings.items()) if name not in _LEFT_OUT and value is not None
    }


def _public(value: object) -> object:
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, list | tuple):
        return [_public(each) for each in value]
    text = str(value)
    return A_FILE if _may_be_path(text) else text


def _may_be_path(text: str) -> bool:
    is_ratio = _RATIO.fullmatch(text) is not None  # a frame rate
    return not is_ratio and ("/" in text or "\\" in text or _SUFFIX.search(text) is not None)

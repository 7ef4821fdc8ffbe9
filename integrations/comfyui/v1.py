"""The nodes in ComfyUI's first schema: classes with INPUT_TYPES, and two mappings."""

from __future__ import annotations

from typing import Any

from .descriptions import CATEGORY, NODES, Input, Node


def _input_of(described: Input) -> tuple[Any, dict[str, Any]]:
    settings: dict[str, Any] = {"tooltip": described.tooltip}
    if described.default is not None:
        settings["default"] = described.default
    if described.kind == "FLOAT":
        settings |= {"min": described.low, "max": described.high, "step": described.step}
    return (list(described.choices) if described.kind == "COMBO" else described.kind), settings


def _class_of(node: Node) -> type:
    inputs = {"required": {each.name: _input_of(each) for each in node.inputs}}

    def run(self: object, **given: Any) -> tuple[Any]:
        return (node.run(**given),)

    attributes = {
        "INPUT_TYPES": classmethod(lambda cls: inputs),
        "RETURN_TYPES": (node.output.kind,),
        "RETURN_NAMES": (node.output.name,),
        "FUNCTION": "run",
        "CATEGORY": CATEGORY,
        "DESCRIPTION": node.description,
        "run": run,
    }
    return type(node.identifier, (), attributes)


NODE_CLASS_MAPPINGS = {node.identifier: _class_of(node) for node in NODES}
NODE_DISPLAY_NAME_MAPPINGS = {node.identifier: node.title for node in NODES}

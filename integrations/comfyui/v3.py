"""The nodes in ComfyUI's V3 schema: an extension that lists classes, which describe themselves."""

from __future__ import annotations

from typing import Any

from comfy_api.latest import ComfyExtension, io

from .descriptions import CATEGORY, NODES, PERSON, Input, Node

_KINDS = {
    "IMAGE": io.Image,
    "MASK": io.Mask,
    "FLOAT": io.Float,
    "STRING": io.String,
    "COMBO": io.Combo,
    PERSON: io.Custom(PERSON),
}


def _input_of(described: Input) -> Any:
    settings: dict[str, Any] = {"tooltip": described.tooltip}
    if described.default is not None:
        settings["default"] = described.default
    if described.kind == "FLOAT":
        settings |= {"min": described.low, "max": described.high, "step": described.step}
    if described.kind == "COMBO":
        settings["options"] = list(described.choices)
    return _KINDS[described.kind].Input(described.name, **settings)


def _class_of(node: Node) -> type:
    def define_schema(cls: type, /) -> Any:
        return io.Schema(
            node_id=node.identifier,
            display_name=node.title,
            category=CATEGORY,
            description=node.description,
            inputs=[_input_of(each) for each in node.inputs],
            outputs=[_KINDS[node.output.kind].Output(display_name=node.output.name)],
        )

    def execute(cls: type, /, **given: Any) -> Any:
        return io.NodeOutput(node.run(**given))

    methods = {"define_schema": classmethod(define_schema), "execute": classmethod(execute)}
    return type(node.identifier, (io.ComfyNode,), methods)


class Vid2VidExtension(ComfyExtension):  # type: ignore[misc]
    """The pack."""

    async def get_node_list(self) -> list[type]:
        """Return the classes of all nodes."""
        return [_class_of(node) for node in NODES]


async def comfy_entrypoint() -> ComfyExtension:
    """Return the pack to ComfyUI."""
    return Vid2VidExtension()

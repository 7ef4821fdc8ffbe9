"""vid2vid in ComfyUI: nodes that load a person, reenact, rotate and cut out.

ComfyUI imports this folder when it starts. vid2vid and torch are imported when a node first runs.
"""

from __future__ import annotations

try:  # newer versions have the V3 schema; where both are offered, they would take the older one
    from .v3 import comfy_entrypoint

    __all__ = ["comfy_entrypoint"]
except ImportError:
    from .v1 import NODE_CLASS_MAPPINGS, NODE_DISPLAY_NAME_MAPPINGS

    __all__ = ["NODE_CLASS_MAPPINGS", "NODE_DISPLAY_NAME_MAPPINGS"]

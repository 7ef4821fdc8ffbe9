"""Make a portrait move: one-shot reenactment and free view after face-vid2vid (arXiv 2011.15126)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from vid2vid_cli.process.numba_cache import choose_folder
from vid2vid_cli.version import __version__

__all__ = [
    "Motion",
    "__version__",
    "dub",
    "load_model",
    "open_scene",
    "personalize",
    "reenact",
    "rotate",
    "say",
    "speak",
]

if TYPE_CHECKING:
    from vid2vid_cli.dubbing.dub import dub
    from vid2vid_cli.models.registry import load_model
    from vid2vid_cli.motion import Motion
    from vid2vid_cli.pipeline.open_scene import open_scene
    from vid2vid_cli.pipeline.person.personalize import personalize
    from vid2vid_cli.pipeline.reenact import reenact
    from vid2vid_cli.pipeline.rotate import rotate
    from vid2vid_cli.pipeline.say import say
    from vid2vid_cli.pipeline.speak import speak

choose_folder()  # before any module imports numba

_HOMES = {
    "dub": "vid2vid_cli.dubbing.dub",
    "load_model": "vid2vid_cli.models.registry",
    "open_scene": "vid2vid_cli.pipeline.open_scene",
    "personalize": "vid2vid_cli.pipeline.person.personalize",
    "reenact": "vid2vid_cli.pipeline.reenact",
    "rotate": "vid2vid_cli.pipeline.rotate",
    "say": "vid2vid_cli.pipeline.say",
    "speak": "vid2vid_cli.pipeline.speak",
    "Motion": "vid2vid_cli.motion",
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first used, so that `import vid2vid_cli` stays free of torch."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)

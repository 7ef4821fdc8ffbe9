"""Whether there is a screen that windows can be opened on."""

from __future__ import annotations

import os
import sys

VARIABLES = ("WAYLAND_DISPLAY", "DISPLAY", "SDL_VIDEODRIVER")


def display_name() -> str | None:
    """Return what the environment says of the display, or None if it names none. Nothing is connected to."""
    if not sys.platform.startswith("linux"):
        return "of the desktop"
    return next((name for name in map(os.environ.get, VARIABLES) if name), None)

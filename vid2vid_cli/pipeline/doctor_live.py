"""What `vid2vid live` finds on this machine: cameras, virtual cameras, a window. None of them is needed by the rest."""

from __future__ import annotations

import os
from importlib import import_module, metadata
from pathlib import Path

from vid2vid_cli.process.display import VARIABLES, display_name

WINDOW_EXTRA = "pip install 'vid2vid[live]'"


def cameras() -> str:
    """Count the cameras and name them."""
    from vid2vid_cli.media.cameras import list_cameras  # here and below: a broken package must fail its own check

    found = [f"{each.name} ({each.title})" for each in list_cameras()]
    return f"{len(found)}: {', '.join(found)}" if found else "none; vid2vid live also takes files and addresses"


def virtual_camera(devices: Path = Path("/dev")) -> str:
    """Name the virtual cameras that are free, or say how to get one. devices: where Linux has them."""
    from vid2vid_cli.errors import MediaError
    from vid2vid_cli.media.virtual_camera import v4l2
    from vid2vid_cli.media.virtual_camera.camera import check_virtual_camera

    try:
        check_virtual_camera(None, devices)
    except MediaError as error:
        return str(error).replace("no virtual camera", "none")
    free = [f"{each.name} ({each.path})" for each in v4l2.video_devices(devices) if each.is_output]
    return ", ".join(free) or f"through pyvirtualcam {metadata.version('pyvirtualcam')}"


def window() -> str:
    """Say whether windows can be opened: pygame-ce and a display. Raises what pygame-ce raises if it is broken."""
    try:
        version = metadata.version("pygame-ce")
    except metadata.PackageNotFoundError:
        return f"none: pygame-ce is not installed ({WINDOW_EXTRA}); {_display()}"
    os.environ.setdefault("PYGAME_HIDE_SUPPORT_PROMPT", "1")
    import_module("pygame")
    return f"pygame-ce {version}; {_display()}"


def _display() -> str:
    name = display_name()
    return f"no display (none of {', '.join(VARIABLES)} is set)" if name is None else f"display {name}"

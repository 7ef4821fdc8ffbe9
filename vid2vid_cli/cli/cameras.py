"""The command `vid2vid cameras`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from vid2vid_cli.cli.console import Reporter, Verbosity
from vid2vid_cli.cli.failure import guarded
from vid2vid_cli.cli.options import takes_options
from vid2vid_cli.errors import one_line

if TYPE_CHECKING:
    from vid2vid_cli.media.cameras import CameraFound

SHOWN = 6  # modes of a camera in the list


@takes_options
@guarded
def cameras(*, verbosity: Verbosity) -> None:
    """List the cameras of this machine with their sizes and rates, for vid2vid live --camera."""
    with Reporter(verbosity) as reporter:
        from vid2vid_cli.media.cameras import list_cameras

        found = list_cameras()
    lines = [one_line(describe(camera)) for camera in found] or [
        "no camera found; a file, an address (rtsp, http) or the screen can stand for one: see vid2vid live --help"
    ]
    reporter.print_result("\n".join(lines), {"cameras": [asdict(camera) for camera in found]})


def describe(camera: CameraFound) -> str:
    """Describe a camera in one line."""
    modes = [f"{m.width}x{m.height}" + ("" if m.fps is None else f" at {m.fps:.4g}") for m in camera.modes]
    more = ", ..." if len(modes) > SHOWN else ""
    title = "" if camera.title == camera.name else f"{camera.title}: "
    return f"{camera.name}: {title}{', '.join(modes[:SHOWN]) or 'sizes unknown'}{more}"

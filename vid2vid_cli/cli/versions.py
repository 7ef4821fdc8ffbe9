"""What `vid2vid --version` prints."""

from __future__ import annotations

from importlib import metadata

from vid2vid_cli.errors import Vid2VidError
from vid2vid_cli.version import __version__


def versions() -> str:
    """Return a line each for vid2vid, torch, which is not loaded for it, and ffmpeg."""
    return f"vid2vid {__version__}\ntorch {_torch()}\nffmpeg {_ffmpeg()}"


def _torch() -> str:
    try:
        return metadata.version("torch")
    except metadata.PackageNotFoundError:
        return "is missing"


def _ffmpeg() -> str:
    from vid2vid_cli.media import ffmpeg

    try:
        return f"{'.'.join(map(str, ffmpeg.version()))} ({ffmpeg.executable()})"
    except Vid2VidError as error:
        return f"does not run: {error}"

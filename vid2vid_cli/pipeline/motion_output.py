"""Write a motion as an output: whole or not at all, and never over another file by accident."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError

from vid2vid_cli.errors import MotionFileError
from vid2vid_cli.face.live_link import Take, encode_take
from vid2vid_cli.media.provenance import MARKED, Provenance
from vid2vid_cli.media.publishing import published
from vid2vid_cli.motion_file import MotionFile, encode_motion


def save_motion(path: Path, content: MotionFile, provenance: Provenance = MARKED, *, force: bool = False) -> None:
    """Write a motion file (safetensors). It appears when it is whole. force: see `publishing.publish`."""
    try:
        _save(path, encode_motion(content), provenance, force=force)
    except SafetensorError as error:
        raise _not_written(path, str(error)) from error


def save_take(path: Path, take: Take, *, force: bool = False) -> None:
    """Write a take of Live Link Face (CSV). It appears when it is whole."""
    _save(path, encode_take(take), None, force=force)


def _save(path: Path, data: bytes, provenance: Provenance | None, *, force: bool) -> None:
    with published(path, provenance, force=force) as temporary:
        try:
            temporary.write_bytes(data)
        except OSError as error:
            raise _not_written(path, str(error.strerror)) from error


def _not_written(path: Path, reason: str) -> MotionFileError:
    return MotionFileError(f"{path}: cannot be written: {reason}; choose another folder with -o")

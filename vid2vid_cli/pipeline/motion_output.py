"""Write a motion file as an output: whole or not at all, and never over another file by accident."""

from __future__ import annotations

from pathlib import Path

from safetensors import SafetensorError

from vid2vid_cli.errors import MotionFileError, OutputExistsError
from vid2vid_cli.media.provenance import MARKED, Provenance
from vid2vid_cli.media.publishing import published
from vid2vid_cli.motion_file import MotionFile, encode_motion


def save_motion(path: Path, content: MotionFile, provenance: Provenance = MARKED, *, force: bool = False) -> None:
    """Write a motion file (safetensors). It appears when it is whole."""
    if path.exists() and not force:
        raise OutputExistsError(f"{path}: exists already; choose another name or add --force")
    with published(path, provenance) as temporary:
        try:
            temporary.write_bytes(encode_motion(content))
        except (OSError, SafetensorError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise MotionFileError(f"{path}: cannot be written: {reason}; choose another folder with -o") from error

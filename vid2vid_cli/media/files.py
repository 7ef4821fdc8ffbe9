"""Check the files that go in and come out, and give an output its name only when it is whole."""

from __future__ import annotations

import contextlib
import secrets
import shutil
from pathlib import Path

from vid2vid_cli.errors import MediaError, OutputExistsError

TEMPORARY_PREFIX = ".vid2vid-"


def require_file(path: Path) -> None:
    """Raise MediaError if `path` is missing, a folder, empty or unreadable."""
    if path.is_dir():
        raise MediaError(f"{path}: is a folder; name a file in it")
    if not path.exists():
        raise MediaError(f"{path}: no such file")
    try:
        with path.open("rb") as opened:
            is_empty = not opened.read(1)
    except OSError as error:
        raise MediaError(f"{path}: cannot be read: {error.strerror}") from error
    if is_empty:
        raise MediaError(f"{path}: is empty (0 bytes); fetch or make it again")


def check_output(path: Path, *, force: bool) -> None:
    """Raise unless `path` may be written: its folder is there, and it is new or may be replaced."""
    folder = path.parent
    if not folder.is_dir():
        raise MediaError(f"{path}: the folder {folder} does not exist; make it first")
    if path.is_dir():
        raise MediaError(f"{path}: is a folder; name a file")
    if path.exists() and not force:
        raise OutputExistsError(f"{path}: exists already; give another name or --force")


def temporary_beside(path: Path) -> Path:
    """Name a file that is not there yet, in the same folder (so that a rename is atomic)."""
    return path.with_name(f"{TEMPORARY_PREFIX}{secrets.token_hex(6)}{path.suffix}")


def publish(temporary: Path, path: Path) -> None:
    """Rename a whole output to its own name, at once."""
    try:
        temporary.replace(path)
    except OSError as error:
        raise MediaError(f"{path}: cannot be written: {error.strerror}") from error


def discard(temporary: Path) -> None:
    """Remove a temporary file or folder, if it is there."""
    with contextlib.suppress(OSError):
        if temporary.is_dir():
            shutil.rmtree(temporary)
        else:
            temporary.unlink()

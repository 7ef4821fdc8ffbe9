"""Check files before any work: that inputs can be read, and that outputs may be written and replace nothing."""

from __future__ import annotations

import hashlib
import os
import re
import stat
import tempfile
from collections.abc import Sequence
from pathlib import Path

from vid2vid_cli.errors import MediaError, OutputExistsError
from vid2vid_cli.hashing import add_file
from vid2vid_cli.near_names import hint_at, nearest_file
from vid2vid_cli.person_mark import SUFFIX
from vid2vid_cli.process.scratch import Scratch, sweep

FILE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".webp", ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".gif", ".safetensors", SUFFIX}
)
"""Suffixes that mean one file, even if a folder of that name exists."""

MAX_PIXELS = 100_000_000
"""Pictures with more pixels are refused before they are decoded: one frame would take 300 MB."""

_MAX_SHOWN = 400
# Two letters at least before the colon: one is a drive of Windows.
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
_FRAME_NAME = re.compile(r"frame_\d{6,}\.png")


def require_file(path: Path) -> None:
    """Raise MediaError if `path` is missing, not a regular file, empty, or unreadable."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise MediaError(f"{path}: is a folder; name a file in it")
        if not stat.S_ISREG(mode):  # before it is opened: that would wait for the writer of a pipe
            raise MediaError(f"{path}: is a pipe or a device, which cannot be read twice; save it to a file")
        with path.open("rb") as opened:
            is_empty = not opened.read(1)
    except FileNotFoundError as error:
        raise MediaError(f"{shown(path)}: {_why_missing(path)}") from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise MediaError(f"{shown(path)}: cannot be read: {reason}; check the name and its permissions") from error
    if is_empty:
        raise MediaError(f"{path}: is empty (0 bytes); download or make it again")


def _why_missing(path: Path) -> str:
    if str(path) == "-":
        return "standard input is not read here; save it to a file and name that"
    if _URL.match(str(path)):
        return "is a web address, and vid2vid reads files; download it first"
    if path.is_symlink():
        return "is a link to a file that is gone; fix the link"
    alike = nearest_file(path)
    return f"no such file; {hint_at(None if alike is None else shown(alike), 'check the name')}"


def shown(path: str | Path) -> str:
    """Return a path for a message; of a very long one, the beginning and the end."""
    text = str(path)
    return text if len(text) <= _MAX_SHOWN else f"{text[:60]}...{text[-40:]}"


def names_folder(path: str | Path) -> bool:
    """Say whether an output of this name is a folder of frames: no suffix, a slash at the end, or a folder already."""
    ends_in_slash = str(path).endswith(("/", "\\"))
    path = Path(path)
    is_folder = os.path.isdir(path)  # noqa: PTH112  Path.is_dir raises for a name that is too long
    return ends_in_slash or not path.suffix or (is_folder and path.suffix.lower() not in FILE_SUFFIXES)


def check_output(path: str | Path, *, force: bool, inputs: Sequence[Path] = (), is_file: bool = False) -> None:
    """Raise unless a file, or a folder of frames, may be written to `path`. Call it before any work.

    Only `force` allows anything to be replaced: in a folder only what `replaced_frames` lists, and never one of
    `inputs`. is_file: the output is one file whatever its name; otherwise `names_folder` decides.
    """
    is_folder, path = not is_file and names_folder(path), Path(path)
    try:
        _check_parent(path.parent, path)
        _check_inputs(path, inputs)
        if path.is_dir():
            _check_folder(path, is_wanted=is_folder, force=force)
        elif path.exists():
            _check_file(path, is_folder_wanted=is_folder, force=force)
    except OSError as error:  # a name that is too long, or a folder that may not be entered
        raise MediaError(f"{shown(path)}: cannot be written: {error.strerror}; choose another name") from error


def _check_parent(folder: Path, path: Path) -> None:
    """Raise unless the folder can be written to, or be made when there is something to write: see `Scratch.open`."""
    there = next(above for above in (folder, *folder.parents) if os.path.lexists(above) or above == above.parent)
    if not there.is_dir():
        raise MediaError(f"{path}: {there} is not a folder; choose another name")
    _try_to_write(there, path)
    sweep(there)


def _try_to_write(folder: Path, path: Path) -> None:
    """Make a file without a name: access rights alone do not reveal a disk that is mounted read-only."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise MediaError(
            f"{path}: nothing can be written to {folder}: {error.strerror}; choose another folder"
        ) from error


def _check_inputs(path: Path, inputs: Sequence[Path]) -> None:
    if not path.exists():
        return
    replaced = replaced_frames(path) if path.is_dir() else [path]
    for given in inputs:
        # By the files themselves, not their names: a link to an input is that input.
        if given.exists() and any(given.samefile(old) for old in [path, *replaced]):
            raise MediaError(f"{path}: would replace its own input {given}; choose another name")


def _check_folder(path: Path, *, is_wanted: bool, force: bool) -> None:
    if not is_wanted:
        raise MediaError(f"{path}: is a folder; name a file")
    if any(path.iterdir()) and not force:
        raise OutputExistsError(f"{path}: is not empty; choose another folder or add --force")
    _try_to_write(path, path)


def _check_file(path: Path, *, is_folder_wanted: bool, force: bool) -> None:
    if not path.is_file():  # a device, which the finished file would replace
        raise MediaError(f"{path}: is not a regular file; choose another name")
    if is_folder_wanted:
        raise MediaError(f"{path}: is a file, and frames need a folder; choose another name")
    if not force:
        raise OutputExistsError(f"{path}: exists already; choose another name or add --force")


def replaced_frames(folder: Path) -> list[Path]:
    """List the frames of an earlier run in a folder: the only files there that a new run may replace."""
    return [path for path in folder.iterdir() if _FRAME_NAME.fullmatch(path.name)]


def check_pixels(path: Path, size: tuple[int, int], max_pixels: int) -> None:
    """Raise MediaError for a picture whose size (height, width) would take too much memory."""
    height, width = size
    if width * height > max_pixels:
        limit = f"more than the {max_pixels} pixels that --max-pixels allows; make it smaller, or raise the limit"
        raise MediaError(f"{path}: is {width} by {height}, {limit}")


def open_scratch(path: Path) -> Scratch:
    """Make a hidden folder beside an output for what is not whole yet. The caller closes it."""
    try:
        return Scratch(path).open()
    except OSError as error:
        raise MediaError(f"{path}: cannot be created: {error.strerror}") from error


def hash_output(path: Path) -> str:
    """Return the sha256 of a file, or of the names and contents of all files in a folder, as hex digits."""
    digest = hashlib.sha256()
    for file in sorted(path.iterdir()) if path.is_dir() else [path]:
        if file is not path:
            digest.update(os.fsencode(file.name) + b"\0")
        add_file(digest, file)
    return digest.hexdigest()

"""Check the files that go in and come out, and give an output its name only when it is whole."""

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
from vid2vid_cli.process.scratch import Scratch, sweep

FILE_SUFFIXES = frozenset(
    {".png", ".jpg", ".jpeg", ".webp", ".mp4", ".m4v", ".mov", ".mkv", ".webm", ".gif", ".safetensors"}
)
"""What a name ends in that means one file, even where a folder has it already."""

MAX_PIXELS = 100_000_000
"""A picture with more pixels is refused before it is decoded: its frame would fill 300 MB."""

_LONGEST_SHOWN = 400
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
_FRAME_NAME = re.compile(r"frame_\d{6,}\.png")


def require_file(path: Path) -> None:
    """Raise MediaError if `path` is missing, no plain file, empty or unreadable."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise MediaError(f"{path}: is a folder; name a file in it")
        if not stat.S_ISREG(mode):  # before it is opened: a pipe would wait for its writer
            raise MediaError(f"{path}: is a pipe or a device, which cannot be read twice; save it to a file")
        with path.open("rb") as opened:
            is_empty = not opened.read(1)
    except FileNotFoundError as error:
        raise MediaError(f"{shown(path)}: {_why_missing(path)}") from error
    except (OSError, ValueError) as error:
        words = error.strerror if isinstance(error, OSError) else str(error)
        raise MediaError(f"{shown(path)}: cannot be read: {words}; check the name and its permissions") from error
    if is_empty:
        raise MediaError(f"{path}: is empty (0 bytes); fetch or make it again")


def _why_missing(path: Path) -> str:
    if str(path) == "-":
        return "standard input is not read; save it to a file and name that"
    if _ADDRESS.match(str(path)):
        return "is an address, and vid2vid reads files; download it first"
    return "is a link to a file that is gone; mend the link" if path.is_symlink() else "no such file; check the name"


def shown(path: str | Path) -> str:
    """Return a path as a message names it: of a very long one the beginning and the end."""
    text = str(path)
    return text if len(text) <= _LONGEST_SHOWN else f"{text[:60]}...{text[-40:]}"


def names_folder(path: str | Path) -> bool:
    """Tell whether an output of this name is a folder of frames: no suffix, a slash at the end, or a folder now."""
    is_said = str(path).endswith(("/", "\\"))
    path = Path(path)
    is_there = os.path.isdir(path)  # noqa: PTH112  Path.is_dir raises for a name that is too long
    return is_said or not path.suffix or (is_there and path.suffix.lower() not in FILE_SUFFIXES)


def check_output(path: str | Path, *, force: bool, inputs: Sequence[Path] = (), is_file: bool = False) -> None:
    """Raise unless a file, or a folder of frames, may be written to `path`; to be called before any work.

    Nothing but `force` lets anything be replaced, of a folder only what `replaced_frames` lists; even then none
    of `inputs`. is_file: the output is one file whatever its name, else `names_folder` tells.
    """
    is_folder, path = not is_file and names_folder(path), Path(path)
    try:
        _check_parent(path.parent, path)
        _check_inputs(path, inputs)
        if path.is_dir():
            _check_folder(path, is_wanted=is_folder, force=force)
        elif path.exists():
            _check_file(path, is_folder_wanted=is_folder, force=force)
    except OSError as error:  # a name too long, or a folder that may not be entered
        raise MediaError(f"{shown(path)}: cannot be written: {error.strerror}; give another name") from error


def _check_parent(folder: Path, path: Path) -> None:
    if not folder.is_dir():
        raise MediaError(f"{path}: the folder {folder} does not exist; make it first")
    _try_to_write(folder, path)
    sweep(folder)


def _try_to_write(folder: Path, path: Path) -> None:
    """Make a file without a name: access rights alone do not tell of a disk mounted for reading only."""
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise MediaError(
            f"{path}: nothing can be written in {folder}: {error.strerror}; choose another folder"
        ) from error


def _check_inputs(path: Path, inputs: Sequence[Path]) -> None:
    if not path.exists():
        return
    replaced = replaced_frames(path) if path.is_dir() else [path]
    for given in inputs:
        if given.exists() and any(given.samefile(old) for old in [path, *replaced]):
            raise MediaError(f"{path}: would replace its own input {given}; give another name")


def _check_folder(path: Path, *, is_wanted: bool, force: bool) -> None:
    if not is_wanted:
        raise MediaError(f"{path}: is a folder; name a file")
    if any(path.iterdir()) and not force:
        raise OutputExistsError(f"{path}: is not empty; give another folder or --force")
    _try_to_write(path, path)


def _check_file(path: Path, *, is_folder_wanted: bool, force: bool) -> None:
    if not path.is_file():  # a device, which the finished file would take the place of
        raise MediaError(f"{path}: is no plain file; give another name")
    if is_folder_wanted:
        raise MediaError(f"{path}: is a file, and frames need a folder; give another name")
    if not force:
        raise OutputExistsError(f"{path}: exists already; give another name or --force")


def replaced_frames(folder: Path) -> list[Path]:
    """List the frames of an earlier run in a folder: all that a new one may replace there."""
    return [path for path in folder.iterdir() if _FRAME_NAME.fullmatch(path.name)]


def check_pixels(path: Path, size: tuple[int, int], max_pixels: int) -> None:
    """Raise MediaError for a picture of a size (height, width) that would take too much memory."""
    height, width = size
    if width * height > max_pixels:
        limit = f"more than the {max_pixels} pixels that --max-pixels allows; make it smaller or the limit larger"
        raise MediaError(f"{path}: is {width} by {height}, {limit}")


def open_scratch(path: Path) -> Scratch:
    """Make a hidden folder beside an output for what is not whole yet; to be closed."""
    try:
        return Scratch(path).open()
    except OSError as error:
        raise MediaError(f"{path}: cannot be made: {error.strerror}") from error


def hash_output(path: Path) -> str:
    """Return the sha256 of a file, or of all files of a folder and their names, as hex digits."""
    digest = hashlib.sha256()
    for file in sorted(path.iterdir()) if path.is_dir() else [path]:
        if file is not path:
            digest.update(os.fsencode(file.name) + b"\0")
        add_file(digest, file)
    return digest.hexdigest()

"""Find, read and check weight files; the only place of the models' floor that knows paths."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from vid2vid_cli.errors import WeightsError

EMBEDDED = "compact.safetensors"


@dataclass(frozen=True)
class LoadedFile:
    """A weight file in memory: tensors by name, its metadata, where it lies and its sha256."""

    path: Path
    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str]
    sha256: str


def bundled_file(folder: str, name: str) -> Path:
    """Find a file that travels with the package: inside it (a wheel), or beside it (a checkout).

    folder: weights or examples. WeightsError when it is nowhere, which means a broken installation.
    """
    package = Path(str(resources.files("vid2vid_cli")))
    for home in (package, package.parent):
        path = home / folder / name
        if path.is_file():
            return path
    raise WeightsError(f"{package / folder / name}: missing from the installation; install vid2vid again")


def find_checkpoint(name: str) -> Path:
    """Return the file that a checkpoint's name or path means."""
    if name == "compact":
        return bundled_file("weights", EMBEDDED)
    path = Path(name).expanduser()
    if path.is_file():
        return path
    if os.sep in name or path.suffix:
        raise WeightsError(f"{name}: no such checkpoint file; give its path, or leave -c out for the embedded one")
    raise WeightsError(f"{name}: not a checkpoint that vid2vid knows (compact) and no such file")


def read_checkpoint(path: Path) -> LoadedFile:
    """Read a safetensors file whole. WeightsError says what it is when it is something else."""
    try:
        sha256 = hash_file(path)
        with safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return LoadedFile(path, tensors, file.metadata() or {}, sha256)
    except OSError as error:
        raise WeightsError(
            f"{path}: cannot be read ({error.strerror or error}); check the path and its permissions"
        ) from error
    except SafetensorError as error:
        raise WeightsError(f"{path}: not a readable checkpoint: {_what_it_is(path)}; fetch the file again") from error


def _what_it_is(path: Path) -> str:
    """Say what a file that is no safetensors seems to be, from its first bytes."""
    with path.open("rb") as file:
        head = file.read(256)
    if not head:
        return "the file is empty"
    if head.startswith(b"version https://git-lfs"):
        return "a Git LFS pointer, not the weights themselves"
    if head.lstrip()[:1] == b"<":
        return "an HTML or XML page, not weights"
    if head.startswith((b"PK\x03\x04", b"\x80")):
        return "a pickle, which vid2vid does not open for safety"
    return "damaged or not in safetensors format"


def hash_file(path: Path) -> str:
    """Return the sha256 of a file as hex digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


@lru_cache(maxsize=1)
def embedded_checkpoint() -> LoadedFile:
    """Return the embedded checkpoint, read once: it holds the face networks that every family needs."""
    return read_checkpoint(bundled_file("weights", EMBEDDED))

"""What is known of published checkpoints and of their files on this machine: list, verify, find."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from vid2vid_cli.checkpoints import catalogue
from vid2vid_cli.checkpoints.cache import (
    EMBEDDED,
    LocalFile,
    bundled_file,
    find_pulled,
    look_for,
    own_file,
    recorded_sha256,
    verify_files,
    weights_folder,
    why_changed,
)
from vid2vid_cli.checkpoints.catalogue import Checkpoint
from vid2vid_cli.errors import UsageError
from vid2vid_cli.hashing import hash_file
from vid2vid_cli.near_names import hint_at, nearest_name
from vid2vid_cli.pipeline.progress import Hooks


@dataclass(frozen=True)
class WeightsStatus:
    """A published checkpoint, and what this machine has of it.

    state: verified, unverified, own file, changed, incomplete or missing. bytes: None if unknown.
    path: the file, or the folder of several; None if there is none. problem: what is wrong and how to fix it.
    """

    checkpoint: Checkpoint
    state: str
    bytes: int | None
    path: Path | None
    problem: str = ""

    @property
    def is_wrong(self) -> bool:
        """Whether there are files that cannot be used as they are."""
        return self.state in ("changed", "incomplete")


def checkpoint_named(name: str) -> Checkpoint:
    """Return a checkpoint of the catalogue. UsageError lists the known names."""
    checkpoint = catalogue.named(name)
    if checkpoint is None:
        known = [each.name for each in catalogue.CATALOGUE]
        cure = hint_at(nearest_name(name, known), f"known are {', '.join(known)}")
        raise UsageError(f"{name}: no such weights; {cure}")
    return checkpoint


def list_weights() -> list[WeightsStatus]:
    """Return the status of each published checkpoint. Only the embedded one is read."""
    return [_embedded(each) if each.is_embedded else _status_of(each, look_for(each)) for each in catalogue.CATALOGUE]


def verify_weights(name: str | None = None, hooks: Hooks | None = None) -> list[WeightsStatus]:
    """Read all local files, or those of one checkpoint, and compare sizes and sha256. WeightsError if it is missing."""
    hooks = hooks or Hooks()
    checkpoints = [checkpoint_named(name)] if name else list(catalogue.CATALOGUE)
    statuses = []
    for count, each in enumerate(checkpoints):
        hooks.progress(count, len(checkpoints))
        statuses.append(_embedded(each) if each.is_embedded else _status_of(each, list(verify_files(each))))
    if name and statuses[0].state == "missing":
        find_pulled(checkpoints[0])  # raises, and says how to get it
    return statuses


def weights_path(name: str | None = None) -> Path:
    """Return the file or folder of a checkpoint; without a name, the folder of everything pulled."""
    if name is None:
        return weights_folder()
    checkpoint = checkpoint_named(name)
    return bundled_file("weights", EMBEDDED) if checkpoint.is_embedded else find_pulled(checkpoint)


def _embedded(checkpoint: Checkpoint) -> WeightsStatus:
    path = bundled_file("weights", EMBEDDED)
    is_right = hash_file(path) == recorded_sha256(bundled_file("weights", "SHA256SUMS"), EMBEDDED)
    problem = "" if is_right else f"{path}: its sha256 is not the recorded one; install vid2vid again"
    return WeightsStatus(checkpoint, "verified" if is_right else "changed", path.stat().st_size, path, problem)


def _status_of(checkpoint: Checkpoint, found: list[LocalFile]) -> WeightsStatus:
    # A file that the user put there by hand goes before what was pulled, and is checked by nobody.
    own = own_file(checkpoint.name)
    if own is not None:
        return WeightsStatus(checkpoint, "own file", own.stat().st_size, own)
    # One file stands for itself, several for the folder that they share.
    paths = [each.path for each in found if each.path is not None]
    here = paths[0] if len(found) == 1 and paths else _folder_of(paths)
    return WeightsStatus(checkpoint, _state(found), checkpoint.bytes or _size(paths), here, _problem(checkpoint, found))


def _state(found: list[LocalFile]) -> str:
    # The worst state of a file is that of the whole; some present and some missing is a state of its own.
    states = {each.state for each in found}
    if "changed" in states:
        return "changed"
    if "missing" in states:
        return "missing" if states == {"missing"} else "incomplete"
    return "unverified" if "unverified" in states else "verified"


def _problem(checkpoint: Checkpoint, found: list[LocalFile]) -> str:
    cure = f"vid2vid weights pull {checkpoint.name} fixes it"
    for each in found:
        if each.state == "changed":
            return f"{each.path}: {why_changed(each)}; {cure}"
    if _state(found) == "incomplete":
        missing = next(each.file.path for each in found if each.state == "missing")
        return f"{checkpoint.name}: {missing} is missing; {cure}"
    return ""


def _folder_of(paths: list[Path]) -> Path | None:
    return Path(os.path.commonpath([path.parent for path in paths])) if paths else None


def _size(paths: Iterable[Path]) -> int | None:
    return sum(path.stat().st_size for path in paths) or None

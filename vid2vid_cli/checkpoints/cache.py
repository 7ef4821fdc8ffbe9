"""Where weights are stored that were pulled or put there by hand, and what is known of their hashes."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Literal

from vid2vid_cli.checkpoints.catalogue import Checkpoint, CheckpointFile
from vid2vid_cli.errors import WeightsError
from vid2vid_cli.hashing import hash_file

# The file inside the package, which needs no download.
EMBEDDED = "compact.safetensors"
# The one beside it, for sound.
EMBEDDED_SPEECH = "speech.safetensors"
EMBEDDED_LIKENESS = "likeness.safetensors"
# And a basis of what moves beside a head, for calls.
EMBEDDED_SURROUNDINGS = "surroundings.safetensors"
SUFFIXES = (".safetensors", ".pth.tar", ".pth", ".pt")
RECORDS = "pulled.json"
State = Literal["verified", "unverified", "changed", "missing"]


def bundled_file(folder: str, name: str) -> Path:
    """Find a file that comes with the package: inside it (in a wheel), or beside it (in a checkout).

    folder: weights or examples. WeightsError if it is in neither place, which means a broken installation.
    """
    package = Path(str(resources.files("vid2vid_cli")))
    for parent in (package, package.parent):
        path = parent / folder / name
        if path.is_file():
            return path
    raise WeightsError(f"{package / folder / name}: missing from the installation; install vid2vid again")


def home() -> Path:
    """Return vid2vid's own cache: VID2VID_HOME, else vid2vid in XDG_CACHE_HOME, else ~/.cache/vid2vid."""
    # The XDG specification says to ignore a relative path.
    caches = Path(os.environ.get("XDG_CACHE_HOME", ""))
    try:
        if os.environ.get("VID2VID_HOME"):
            return Path(os.environ["VID2VID_HOME"]).expanduser().absolute()
        return (caches if caches.is_absolute() else Path.home() / ".cache") / "vid2vid"
    except RuntimeError as error:  # a container runs with the number of a user that nobody knows
        raise WeightsError("this user has no home; set VID2VID_HOME to a folder for downloaded weights") from error


def weights_folder() -> Path:
    """Return the folder of weights in the cache. It may not exist yet."""
    return home() / "weights"


def place_of(checkpoint: Checkpoint, file: CheckpointFile) -> Path:
    """Return where a file of a checkpoint is stored if it does not come through the hub's client."""
    return weights_folder() / checkpoint.name / PurePosixPath(file.path)


def own_file(name: str) -> Path | None:
    """Return the file that the user has put into the cache under a checkpoint's name, such as fomm.pth, if any."""
    places = (weights_folder() / f"{name}{suffix}" for suffix in SUFFIXES)
    return next((place for place in places if place.is_file()), None)


@dataclass(frozen=True)
class VerifiedRecord:
    """A file had this sha256 when it had this size and modification time. Comparing those spares hashing it again."""

    path: str
    bytes: int
    mtime_ns: int
    sha256: str

    def holds(self) -> bool:
        """Say whether the file still exists and is untouched."""
        try:
            found = os.stat(self.path)  # noqa: PTH116  the path is a string here
        except OSError:
            return False
        return (found.st_size, found.st_mtime_ns) == (self.bytes, self.mtime_ns)


def verified_record(path: Path) -> VerifiedRecord:
    """Hash a file and return what was found. WeightsError if it cannot be read."""
    try:
        found = path.stat()  # before hashing: a change meanwhile must not go unnoticed
        return VerifiedRecord(str(path), found.st_size, found.st_mtime_ns, hash_file(path))
    except OSError as error:
        raise WeightsError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error


def read_records() -> dict[str, VerifiedRecord]:
    """Return what is known of files, by checkpoint/path. A damaged list, or no home for one, counts as empty."""
    try:
        rows = json.loads((weights_folder() / RECORDS).read_text(encoding="utf-8"))
        return {str(key): VerifiedRecord(**row) for key, row in rows.items()}
    except (OSError, ValueError, TypeError, AttributeError, WeightsError):
        return {}


def keep_record(checkpoint: Checkpoint, file: CheckpointFile, record: VerifiedRecord) -> None:
    """Add to what is known of files, atomically. OSError if that cannot be written."""
    records = {**read_records(), _key(checkpoint, file): record}
    folder = weights_folder()
    folder.mkdir(parents=True, exist_ok=True)
    # Renamed into place, so that another process never reads half of it.
    temporary = folder / f".vid2vid-{secrets.token_hex(6)}.json"
    try:
        temporary.write_text(json.dumps({key: asdict(row) for key, row in records.items()}, indent=1), "utf-8")
        temporary.replace(folder / RECORDS)
    finally:
        temporary.unlink(missing_ok=True)


def known_sha256(path: Path) -> str | None:
    """Return the sha256 of a file that was hashed before and has not been touched since, else None."""
    return next((r.sha256 for r in read_records().values() if r.path == str(path) and r.holds()), None)


@dataclass(frozen=True)
class LocalFile:
    """A file of a checkpoint on this machine. path: None if it is missing. sha256: None if it is unknown."""

    file: CheckpointFile
    path: Path | None
    state: State
    sha256: str | None = None


def look_for(checkpoint: Checkpoint) -> list[LocalFile]:
    """Find each file of a checkpoint without reading any of them."""
    return [_look_for(checkpoint, file) for file in checkpoint.files]


def verify_files(checkpoint: Checkpoint) -> Iterator[LocalFile]:
    """Read each file of a checkpoint that exists, and compare its size and sha256. Remember those that are right."""
    for found in look_for(checkpoint):
        yield found if found.path is None else check_file(checkpoint, found.file, found.path)


def check_file(checkpoint: Checkpoint, file: CheckpointFile, path: Path) -> LocalFile:
    """Read a file and compare it with the catalogue; if that has no sha256, with what was pulled before."""
    known = read_records().get(_key(checkpoint, file))
    found = verified_record(path)
    # The record of another path says nothing of this one.
    expected = file.sha256 or (known.sha256 if known and known.path == str(path) else None)
    if file.bytes not in (None, found.bytes) or expected not in (None, found.sha256):
        return LocalFile(file, path, "changed", found.sha256)
    if expected is None:
        return LocalFile(file, path, "unverified", found.sha256)
    with contextlib.suppress(OSError):  # a read-only cache
        keep_record(checkpoint, file, found)
    return LocalFile(file, path, "verified", found.sha256)


def find_pulled(checkpoint: Checkpoint) -> Path:
    """Return the checked file or folder of a checkpoint in the catalogue. WeightsError says how to get it."""
    own = own_file(checkpoint.name)
    if own is not None:
        return own
    found = [
        f if f.path is None or f.state == "verified" else check_file(checkpoint, f.file, f.path)
        for f in look_for(checkpoint)
    ]
    for each in found:
        if each.state == "missing":
            raise WeightsError(how_to_get(checkpoint, each.file))
        if each.state == "changed":
            raise WeightsError(f"{each.path}: {why_changed(each)}; vid2vid weights pull {checkpoint.name} fixes it")
    paths = [each.path for each in found if each.path is not None]
    return paths[0] if len(paths) == 1 else Path(os.path.commonpath(paths))


def how_to_get(checkpoint: Checkpoint, missing: CheckpointFile) -> str:
    """Say in one line how to get a checkpoint onto this machine."""
    name = checkpoint.name
    what = "its weights are" if len(checkpoint.files) == 1 else f"{missing.path} is"
    return (
        f"{name}: {what} not on this machine; get them with vid2vid weights pull {name}, or put a file of your own at "
        f"{weights_folder() / name}.safetensors (or .pth, .pth.tar, .pt)"
    )


def why_changed(found: LocalFile) -> str:
    """Say how a file differs from the published one."""
    size = found.path.stat().st_size if found.path else 0
    if found.file.bytes not in (None, size):
        return f"has {size} bytes where the published file has {found.file.bytes}"
    return (
        f"is not the published file: its sha256 is {found.sha256}, not {found.file.sha256 or 'that of what was pulled'}"
    )


def _look_for(checkpoint: Checkpoint, file: CheckpointFile) -> LocalFile:
    record = read_records().get(_key(checkpoint, file))
    if record is not None and record.holds() and file.sha256 in (None, record.sha256):
        return LocalFile(file, Path(record.path), "verified", record.sha256)
    # A pulled file may lie in the hub's own cache; one put there by hand lies in ours.
    places = [Path(record.path)] if record is not None else []
    path = next((place for place in [*places, place_of(checkpoint, file)] if place.is_file()), None)
    if path is None:
        return LocalFile(file, None, "missing")
    return LocalFile(file, path, "unverified" if file.bytes in (None, path.stat().st_size) else "changed")


def _key(checkpoint: Checkpoint, file: CheckpointFile) -> str:
    return f"{checkpoint.name}/{file.path}"


def recorded_sha256(sums: Path, name: str) -> str:
    """Return the sha256 that a file in the format of sha256sum records for a name. WeightsError if it has none."""
    for line in sums.read_text(encoding="utf-8").splitlines():
        sha256, _, file = line.partition(" ")
        if file.strip(" *") == name:
            return sha256
    raise WeightsError(f"{sums}: records no sha256 for {name}")

"""Give an output its name once it is whole and sealed.

Every output file passes through here; what goes to standard output does not.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from vid2vid_cli.errors import MediaError, OutputExistsError
from vid2vid_cli.media.credentials.signing import ContentCredentials, sidecar_of
from vid2vid_cli.media.files import open_scratch, replaced_frames
from vid2vid_cli.media.mark import MetadataMark
from vid2vid_cli.media.provenance import Provenance, Seal
from vid2vid_cli.process.shutdown import signals_delayed

SEALS: tuple[Seal, ...] = (MetadataMark(), ContentCredentials())
"""What every output with a provenance gets, in this order. A new seal is one file and one entry here."""


def tags_of(provenance: Provenance | None) -> dict[str, str]:
    """Collect the tags that the seals want in a file (see `Seal.metadata`); none without a provenance."""
    tags: dict[str, str] = {}  # in the order of the seals: encoders write them in this order
    if provenance is not None:
        for each in SEALS:
            tags.update(each.metadata(provenance))
    return tags


def publish(temporary: Path, path: Path, provenance: Provenance | None, *, force: bool) -> None:
    """Seal a whole file or folder of frames and rename it to its own name, at once.

    provenance: None for an output that is not synthetic, such as a table, or that was sealed before. force: whether
    it may replace what has that name. The name was free when the work began, but somebody may have taken it since:
    without `force` the work is then kept under a name beside it, and OutputExistsError says so.
    """
    if force:
        _seal(temporary, provenance)
        with signals_delayed():
            _replace(temporary, path)
            _move_sidecar(temporary, path)
        return
    name = keep(temporary, path, provenance)
    if name != path:
        raise OutputExistsError(f"{path}: exists already since the work began; the result is {name}; see --force")


def publish_frames(frames: Path, path: Path, provenance: Provenance | None, *, force: bool) -> None:
    """Publish a folder of frames; move them into `path` if that exists, in place of an earlier run's frames.

    force: see `publish`.
    """
    if not path.is_dir() or (not force and any(path.iterdir())):
        publish(frames, path, provenance, force=False)
        return
    # All are sealed before the first old frame goes: a seal that fails leaves the folder as it was.
    _seal(frames, provenance)
    made = sorted(frames.iterdir())
    stale = {old.name for old in replaced_frames(path)} - {frame.name for frame in made}
    # An interrupt in the middle would leave frames of two runs. Nothing is removed before all new ones are there.
    with signals_delayed():
        for frame in made:
            _replace(frame, path / frame.name)
        for name in stale:
            (path / name).unlink()


def keep(temporary: Path, path: Path, provenance: Provenance | None) -> Path:
    """Seal and publish a file under the first free name: `path`, or one like `film-2.mp4` beside it. Return that."""
    _seal(temporary, provenance)
    names = (path.with_name(f"{path.stem}-{number}{path.suffix}") for number in itertools.count(2))
    with signals_delayed():
        taken = next(name for name in itertools.chain([path], names) if _take_name(temporary, name))
        _move_sidecar(temporary, taken)
    return taken


@contextmanager
def published(path: Path, provenance: Provenance | None, *, force: bool) -> Iterator[Path]:
    """Yield a temporary path with the same suffix, to be written in the block. Publish that if the block succeeds.

    force: see `publish`.
    """
    with closing(open_scratch(path)) as scratch:
        temporary = scratch.file(f"output{path.suffix}")
        yield temporary  # an error in the block is raised here, and closes the scratch folder
        publish(temporary, path, provenance, force=force)


def _seal(made: Path, provenance: Provenance | None) -> None:
    if provenance is None:
        return
    for file in sorted(made.iterdir()) if made.is_dir() else [made]:
        for each in SEALS:
            each.seal(file, provenance)


def _replace(temporary: Path, path: Path) -> None:
    # Both lie on the same disk, since a scratch folder is made beside its output, so this is atomic.
    try:
        temporary.replace(path)
    except OSError as error:
        raise MediaError(f"{path}: cannot be written: {error.strerror}") from error


def _move_sidecar(temporary: Path, path: Path) -> None:
    """Name the credentials beside a file after it; those of a file that was replaced would call the new one forged."""
    sidecar = sidecar_of(temporary)
    if sidecar.is_file():
        _replace(sidecar, sidecar_of(path))
    elif not path.is_dir():
        sidecar_of(path).unlink(missing_ok=True)


def _take_name(temporary: Path, path: Path) -> bool:
    """Rename a file or folder unless something has that name, and say whether it worked; no other can come between."""
    try:
        if temporary.is_dir():
            temporary.rename(path)  # which replaces nothing but an empty folder
            return True
        os.link(temporary, path)  # a rename would replace; a link never does
        temporary.unlink()
    except FileExistsError:
        return False
    except OSError as error:
        if os.path.lexists(path):
            return False
        if temporary.is_dir():
            raise MediaError(f"{path}: cannot be written: {error.strerror}") from error
        return _claim_name(temporary, path)
    return True


def _claim_name(temporary: Path, path: Path) -> bool:
    """Do the same where a file system has no hard links: an empty file takes the name first."""
    try:
        path.open("xb").close()
    except FileExistsError:
        return False
    except OSError as error:
        raise MediaError(f"{path}: cannot be written: {error.strerror}") from error
    _replace(temporary, path)
    return True

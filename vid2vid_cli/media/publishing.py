"""Give an output its name once it is whole and sealed.

Every output file passes through here; what goes to standard output does not.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from vid2vid_cli.errors import MediaError
from vid2vid_cli.media.files import open_scratch, replaced_frames
from vid2vid_cli.media.mark import MetadataMark
from vid2vid_cli.media.provenance import Provenance, Seal

SEALS: tuple[Seal, ...] = (MetadataMark(),)
"""What every output with a provenance gets, in this order. A new seal is one file and one entry here."""


def tags_of(provenance: Provenance | None) -> dict[str, str]:
    """Collect the tags that the seals want in a file (see `Seal.metadata`); none without a provenance."""
    tags: dict[str, str] = {}  # in the order of the seals: encoders write them in this order
    if provenance is not None:
        for each in SEALS:
            tags.update(each.metadata(provenance))
    return tags


def publish(temporary: Path, path: Path, provenance: Provenance | None) -> None:
    """Seal a whole file or folder of frames and rename it to its own name, at once.

    provenance: None for an output that is not synthetic, such as a table, or that was sealed before.
    """
    _seal(temporary, provenance)
    _rename(temporary, path)


def publish_frames(frames: Path, path: Path, provenance: Provenance | None) -> None:
    """Publish a folder of frames; move them into `path` if that exists, in place of an earlier run's frames."""
    if not path.exists():
        publish(frames, path, provenance)
        return
    # All are sealed before the first old frame goes: a seal that fails leaves the folder as it was.
    _seal(frames, provenance)
    for stale in replaced_frames(path):
        stale.unlink()
    for frame in sorted(frames.iterdir()):
        _rename(frame, path / frame.name)


@contextmanager
def published(path: Path, provenance: Provenance | None) -> Iterator[Path]:
    """Yield a temporary path with the same suffix, to be written in the block. Publish that if the block succeeds."""
    with closing(open_scratch(path)) as scratch:
        temporary = scratch.file(f"output{path.suffix}")
        yield temporary  # an error in the block is raised here, and closes the scratch folder
        publish(temporary, path, provenance)


def _seal(made: Path, provenance: Provenance | None) -> None:
    if provenance is None:
        return
    for file in sorted(made.iterdir()) if made.is_dir() else [made]:
        for each in SEALS:
            each.seal(file, provenance)


def _rename(temporary: Path, path: Path) -> None:
    # Both lie on the same disk, since a scratch folder is made beside its output, so this is atomic.
    try:
        temporary.replace(path)
    except OSError as error:
        raise MediaError(f"{path}: cannot be written: {error.strerror}") from error

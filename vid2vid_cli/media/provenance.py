"""What an output says of itself: that it is synthetic, and what it was made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Protocol

from vid2vid_cli.hashing import hash_file
from vid2vid_cli.version import __version__

MARK_PREFIX = "synthetic media"
"""How every mark begins, which sets it apart from any other comment."""
SYNTHETIC_MARK = f"{MARK_PREFIX} made with vid2vid {__version__}"


@dataclass(frozen=True)
class Ingredient:
    """One input of an output. role: source, driving, checkpoint or the like. path: a file."""

    role: str
    path: Path

    # Read when a seal asks for it, and once: nobody should pay for hashing a long clip that no seal mentions.
    @cached_property
    def sha256(self) -> str | None:
        """The sha256 of the file as hex digits; None for a stream, which cannot be read again."""
        return hash_file(self.path) if self.path.is_file() else None


@dataclass(frozen=True)
class Provenance:
    """Where an output comes from.

    mark: the line that calls it synthetic. checkpoint: sha256 of the weights, None where none were used.
    settings: the options that it was made with, by name.
    """

    mark: str = SYNTHETIC_MARK
    inputs: tuple[Ingredient, ...] = ()
    checkpoint: str | None = None
    settings: Mapping[str, object] = field(default_factory=dict)


MARKED = Provenance()
"""Synthetic, and nothing else is known of it."""


class Seal(Protocol):
    """A way to make an output say where it comes from: a metadata mark, signed credentials, a watermark."""

    # Tags go in while a file is encoded: to add them later would mean writing all of it again.
    def metadata(self, provenance: Provenance) -> Mapping[str, str]:
        """Return tags that encoders write into a file while it is made, by ffmpeg's names for them.

        Videos take all tags. PNG, GIF and Y4M take `comment` only, WebP `description` only, JPEG both.
        """
        ...

    def seal(self, file: Path, provenance: Provenance) -> None:
        """Change a whole file in place, before it gets its final name. An error leaves no output.

        Pictures and videos come here, but also motion files, calls, converted weights, and each frame of a folder. The
        suffix of `file` is that of the output.
        """
        ...

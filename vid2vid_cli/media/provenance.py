"""What an output says of itself: that it is synthetic, and what it was made of."""

from __future__ import annotations

import hashlib
import json
import logging
import os
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


class Listener(Protocol):
    """Is told in one line what users should know of the sealing."""

    def warn(self, text: str) -> None:
        """Take a warning."""
        ...

    def lose(self, text: str) -> None:
        """Take what is missing in the output."""
        ...


class _LogListener:
    """Writes to Python's log, where nobody else listens."""

    def warn(self, text: str) -> None:
        logging.getLogger(__name__).warning(text)

    lose = warn


@dataclass(frozen=True)
class Provenance:
    """Where an output comes from.

    mark: the line that calls it synthetic. checkpoint: sha256 of the weights, None where none were used.
    settings: the options that it was made with, by name. command: the one that made it. edited_role: of the input that
    the output is an edited version of; None for an output that is new. edited_words: of speech, that were changed.
    credentials, watermark: whether it gets them; None: yes, unless VID2VID_CREDENTIALS or VID2VID_WATERMARK is 0.
    pattern: of the watermark that its frames carry; None if they carry none.
    """

    mark: str = SYNTHETIC_MARK
    inputs: tuple[Ingredient, ...] = ()
    checkpoint: str | None = None
    settings: Mapping[str, object] = field(default_factory=dict)
    command: str = ""
    edited_role: str | None = None
    edited_words: tuple[str, ...] = ()
    credentials: bool | None = None
    watermark: bool | None = None
    pattern: str | None = None
    log: Listener = field(default=_LogListener(), compare=False, repr=False)

    @property
    def wants_credentials(self) -> bool:
        """Whether the output is to be signed."""
        return _is_wanted(self.credentials, "VID2VID_CREDENTIALS")

    @property
    def wants_watermark(self) -> bool:
        """Whether frames are to carry a watermark."""
        return _is_wanted(self.watermark, "VID2VID_WATERMARK")

    @cached_property
    def number(self) -> int:
        """The 48 bits that stand for this origin in a watermark: the same origin has the same number."""
        inputs = [(each.role, each.sha256) for each in self.inputs]
        settings = {name: str(value) for name, value in self.settings.items()}
        facts = json.dumps([self.mark, self.command, inputs, self.checkpoint, settings], sort_keys=True)
        return int.from_bytes(hashlib.sha256(facts.encode()).digest()[:6], "big")


def _is_wanted(asked: bool | None, variable: str) -> bool:
    return os.environ.get(variable, "1") != "0" if asked is None else asked


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

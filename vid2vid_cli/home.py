"""Paths below a home that not everybody has."""

from __future__ import annotations

import os
from pathlib import Path


def under_home(path: str | Path) -> Path:
    """Return a path with the home of `~` or `~name` written out, or as it is if there is none.

    Path.expanduser raises RuntimeError then: in a container with the number of a user whom nobody knows.
    """
    return Path(os.path.expanduser(path))  # noqa: PTH111

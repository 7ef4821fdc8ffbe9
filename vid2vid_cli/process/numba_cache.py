"""Where numba keeps what it has compiled, if its own places cannot be written, and what happens if that is damaged."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vid2vid_cli.home import under_home

VARIABLE = "NUMBA_CACHE_DIR"
_PACKAGE = Path(__file__).resolve().parents[1]


def choose_folder() -> None:
    """Name a folder for numba in the environment if it would find none. Call this before it is imported.

    By itself it writes beside the modules, or into the user's cache, and refuses to work if it may do neither: in a
    container whose installation is read-only and whose user has no home.
    """
    if os.environ.get(VARIABLE) or is_writable(_PACKAGE) or is_writable(_users_cache(os.environ)):
        return
    folder = _own_temporary_folder()
    if folder is not None:
        os.environ[VARIABLE] = str(folder)


def _users_cache(environment: Mapping[str, str]) -> Path:
    return under_home(environment.get("XDG_CACHE_HOME") or "~/.cache")


def is_writable(folder: Path) -> bool:
    """Say whether a folder, or the nearest one above it that is there, can be written to."""
    there = next((each for each in (folder, *folder.parents) if each.is_dir()), None)
    return folder.is_absolute() and there is not None and os.access(there, os.W_OK | os.X_OK)


def _own_temporary_folder() -> Path | None:
    """Make or find a folder that nobody else can write to: what lies in it is executed."""
    user = os.getuid() if hasattr(os, "getuid") else 0
    folder = Path(tempfile.gettempdir()) / f"vid2vid-numba-{user}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
    except OSError:
        return None
    is_own = stat.S_ISDIR(status.st_mode) and status.st_uid == user and not status.st_mode & 0o022
    return folder if is_own or os.name == "nt" else Path(tempfile.mkdtemp(prefix="vid2vid-numba-"))


def survive_damage() -> None:
    """Let numba compile a function again whose cache is damaged, as a full disk leaves it; else it fails for ever."""
    from numba.core.caching import IndexDataCacheFile

    caches: Any = IndexDataCacheFile
    usual = caches.load
    if getattr(usual, "survives_damage", False):
        return

    def load(file: Any, key: object) -> object:
        try:
            return usual(file, key)
        except Exception:  # noqa: BLE001  unpickling raises whatever it likes
            file.flush()  # with an empty index; what is compiled now is entered into it
            return None

    load.survives_damage = True  # type: ignore[attr-defined]
    caches.load = load

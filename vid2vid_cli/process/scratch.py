"""Hidden folders beside outputs for whatever is unfinished. What a killed run left is removed by the next one."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import time
from pathlib import Path
from typing import IO

from vid2vid_cli.process.shutdown import Cleaner, CleanupStage, register_cleaner

try:
    import fcntl
except ImportError:  # Windows: a running owner cannot be told from a dead one, so nothing is swept
    fcntl = None  # type: ignore[assignment]

PREFIX = ".vid2vid-"
LOCK = "lock"
UNLOCKED_GRACE_S = 60.0
"""A folder without a lock may have been made just now. After this long its owner must be dead."""
# A killed child needs a moment to die, and may still make a file meanwhile.
REMOVALS = 5
BETWEEN_REMOVALS_S = 0.02

_open: set[Scratch] = set()
_swept: set[Path] = set()
_abandoned: set[Path] = set()
"""Scratch folders whose owner was found dead. A child of it may still fill them, after their lock is gone."""


class Scratch:
    """A folder beside an output that exists from `open` to `close`. What is renamed out of it appears at once, whole.

    The system frees its lock when the process ends, however that happens: so `sweep` knows what nobody owns any more.
    """

    def __init__(self, beside: Path) -> None:
        """Choose an unused name in the folder of `beside`: on the same disk, where a rename is atomic."""
        self.folder = beside.with_name(f"{PREFIX}{secrets.token_hex(6)}")
        self._made: list[Path] = []  # folders above it, the innermost first
        self._lock: IO[bytes] | None = None

    def open(self) -> Scratch:
        """Make the folder, with those above it as far as they are missing. OSError if that fails."""
        _open.add(self)  # before it exists: an interrupt may come at any moment
        try:
            self._made = [above for above in self.folder.parents if not above.exists()]
            self.folder.mkdir(mode=0o700, parents=True)  # what is unfinished is nobody else's business
            self._lock = (self.folder / LOCK).open("wb")
        except OSError:
            self.close()
            raise
        if fcntl is not None:
            with contextlib.suppress(OSError):  # a file system without locks: `sweep` never takes it
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return self

    def close(self) -> None:
        """Remove the folder with whatever is still in it, and those made for it that hold nothing."""
        self.remove()
        if self._lock is not None:
            self._lock.close()
        _open.discard(self)

    def remove(self) -> None:
        """Remove what `close` removes without freeing anything; from any thread, without a lock."""
        shutil.rmtree(self.folder, ignore_errors=True)
        self._remove_made()

    def _remove_made(self) -> None:
        for above in self._made:
            with contextlib.suppress(OSError):  # an output has been published there
                above.rmdir()

    def __enter__(self) -> Scratch:
        return self.open()

    def __exit__(self, *_: object) -> None:
        self.close()

    def file(self, name: str) -> Path:
        """Return the path of a file in the folder."""
        return self.folder / name


def close_all() -> None:
    """Remove whatever is still open: the last thing that an interrupted command does."""
    for scratch in list(_open):
        scratch.close()


def remove_all() -> None:
    """Remove the folders of whatever is still open, without freeing anything; from any thread, without a lock."""
    for _ in range(REMOVALS):
        left = [scratch for scratch in list(_open) if scratch.folder.exists()]
        if not left:
            return
        for scratch in left:
            scratch.remove()
        time.sleep(BETWEEN_REMOVALS_S)


def sweep(folder: Path, *, again: bool = False) -> bool:
    """Remove what killed runs left in a folder; once per process, unless `again` is set.

    Says whether none is left there: no process lives that owns one, and no dead one's child still fills one.
    """
    if fcntl is None or (folder.absolute() in _swept and not again):
        return True
    _swept.add(folder.absolute())
    is_clear = True
    with contextlib.suppress(OSError):  # tidying up is no reason to fail
        with os.scandir(folder) as entries:
            left = [Path(e) for e in entries if e.name.startswith(PREFIX) and e.is_dir(follow_symlinks=False)]
        for path in left:
            if path in _abandoned or _is_abandoned(path):
                _abandoned.add(path)
                shutil.rmtree(path, ignore_errors=True)
            is_clear = is_clear and not path.exists()
    return is_clear


def _is_abandoned(scratch: Path) -> bool:
    """Say whether the process that made a scratch folder is gone."""
    try:
        with (scratch / LOCK).open("r+b") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # fails while its owner lives
            return True
    except FileNotFoundError:
        return time.time() - scratch.stat().st_mtime > UNLOCKED_GRACE_S
    except OSError:
        return False


register_cleaner(CleanupStage.FILES, Cleaner(close_all, remove_all))

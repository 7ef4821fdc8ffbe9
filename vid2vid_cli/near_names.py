"""What was meant by a name that is written wrong: the file or the word that looks most like it."""

from __future__ import annotations

import difflib
import itertools
import os
from collections.abc import Iterable
from pathlib import Path

_MOST_NAMES = 10_000  # of a folder, searched for the one that was meant
_CLOSE = 0.7  # of difflib: 1 is the same


def nearest_name(given: str, names: Iterable[str]) -> str | None:
    """Return the name that is written most like a text, without regard to case; None if none is."""
    known = {name.casefold(): name for name in names}
    found = difflib.get_close_matches(given.casefold(), known, 1, _CLOSE)
    return known[found[0]] if found else None


def nearest_file(path: Path) -> Path | None:
    """Return the path that is there and looks most like one that is not, as far as one name in it is wrong."""
    there = next((above for above in path.parents if above.is_dir()), None)
    if there is None:
        return None
    missing = path.relative_to(there).parts
    try:
        with os.scandir(there) as entries:
            names = [entry.name for entry in itertools.islice(entries, _MOST_NAMES)]
    except OSError:
        return None
    likeness = {name: _likeness(missing[0], name) for name in names}
    close = sorted(name for name in names if likeness[name] >= (_CLOSE, 0))
    close.sort(key=likeness.__getitem__, reverse=True)
    found = (there.joinpath(name, *missing[1:]) for name in close)
    return next((each for each in found if each.is_file()), None)


def _likeness(given: str, name: str) -> tuple[float, float]:
    """Compare two names, 0 to 1: without regard to case, where what comes before the suffix counts; and as they are."""
    stems = Path(given.casefold()).stem, Path(name.casefold()).stem
    whole = difflib.SequenceMatcher(None, given, name).ratio()
    return min(difflib.SequenceMatcher(None, *stems).ratio(), whole + 0.3), whole


def hint_at(meant: object | None, otherwise: str) -> str:
    """Return what to say after a name that means nothing. meant: what looks like it, None for nothing."""
    return otherwise if meant is None else f"did you mean {meant}?"

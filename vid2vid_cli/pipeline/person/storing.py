"""Choose what is kept of a person, and write it so that nobody else can read it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from vid2vid_cli.errors import PersonFileError, UsageError
from vid2vid_cli.media.jpeg import decode_jpeg, encode_jpeg
from vid2vid_cli.media.publishing import published
from vid2vid_cli.person_file import PersonFile, StoredView, encode_person
from vid2vid_cli.pipeline.person.candidates import Candidate, spread_out
from vid2vid_cli.pipeline.person.gathering import Gathering
from vid2vid_cli.pipeline.person.identity import fit_identity

LEAST_GAIN = 0.7  # in units of looks: a view that adds less is not kept
QUALITIES = (92, 86, 78, 68)  # of the JPEGs, until the file is small enough


def choose_views(gathering: Gathering, most: int) -> list[Candidate]:
    """Return the main view, then those that add most to it. gathering: has a person."""
    person = gathering.person
    if person is None or person.candidates.main is None:
        raise ValueError("nobody was gathered")
    main, others = person.candidates.main, list(person.candidates.found.values())
    chosen = spread_out(others, most - 1, [main.facts], LEAST_GAIN)
    return [main, *(others[number] for number in chosen)]


def person_of(gathering: Gathering, most: int, statistics: Mapping[str, NDArray[Any]] | None = None) -> PersonFile:
    """Return what is kept of a gathered person. statistics: of their habits."""
    chosen = choose_views(gathering, most)
    # All candidates count for the shape, not only those whose pictures are kept.
    found = gathering.person.candidates.found.values() if gathering.person is not None else ()
    identity = fit_identity(gathering.reader.model, [chosen[0].reading, *(each.reading for each in found)])
    views = tuple(each.stored for each in chosen)
    return PersonFile(views, 0, identity, gathering.seen, statistics or {})


def fit_into(person: PersonFile, most_bytes: int) -> bytes:
    """Return a person file that is small enough: with worse pictures first, then with fewer."""
    for quality in QUALITIES:
        smaller = person if quality == QUALITIES[0] else _recoded(person, quality)
        content = encode_person(smaller)
        if len(content) <= most_bytes:
            return content
    while len(smaller.views) > 1:  # those that were chosen last add least
        smaller = replace(smaller, views=smaller.views[:-1])
        content = encode_person(smaller)
        if len(content) <= most_bytes:
            return content
    raise UsageError(f"--max-size: the main view alone takes {len(content) / 1e6:.2f} MB; allow more")


def _recoded(person: PersonFile, quality: int) -> PersonFile:
    views = [
        StoredView(encode_jpeg(decode_jpeg(view.picture), quality), view.landmarks_px, view.facts, view.place)
        for view in person.views
    ]
    return replace(person, views=tuple(views))


def write_person(path: Path, content: bytes, *, force: bool) -> None:
    """Write a person file that only its owner can read. It appears when it is whole."""
    with published(path, None, force=force) as temporary:
        try:
            with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(content)
        except OSError as error:
            raise PersonFileError(f"{path}: cannot be written: {error.strerror}") from error

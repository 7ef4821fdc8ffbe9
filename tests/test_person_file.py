"""Person files: what is kept comes back, damage is told in a line, and nothing in a file is believed."""

from __future__ import annotations

import json
import os
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load, save

from tests.support.people import made_up_facts, made_up_person
from tests.test_codec_fuzz import mutate
from vid2vid_cli.errors import OutputExistsError, PersonFileError, UsageError
from vid2vid_cli.media.image import read_image
from vid2vid_cli.media.jpeg import LARGEST_PX, decode_jpeg, encode_jpeg, view_picture
from vid2vid_cli.media.probe import sniff
from vid2vid_cli.motion_file import is_motion_file
from vid2vid_cli.person_file import PersonFile, decode_person, encode_person, load_person
from vid2vid_cli.person_mark import MARK, is_person_file
from vid2vid_cli.pipeline.person.storing import fit_into, write_person
from vid2vid_cli.pipeline.person.summary import describe_person

MUTATIONS = int(os.environ.get("VID2VID_PERSON_MUTATIONS", "4000"))


def with_header(content: bytes, **changes: Any) -> bytes:
    """Return a person file whose own entries of the header are changed; None takes one away."""
    length = int.from_bytes(content[:8], "little")
    about = json.loads(json.loads(content[8 : 8 + length])["__metadata__"][MARK]) | changes
    kept = {key: value for key, value in about.items() if value is not None}
    return save(load(content), metadata={MARK: json.dumps(kept)})


def with_tensors(content: bytes, **changes: np.ndarray) -> bytes:
    """Return a person file in which some arrays are others; dots in their names are written `_`."""
    length = int.from_bytes(content[:8], "little")
    metadata = json.loads(content[8 : 8 + length])["__metadata__"]
    return save(load(content) | {name.replace("_", "."): array for name, array in changes.items()}, metadata=metadata)


def test_what_is_kept_comes_back() -> None:
    person = made_up_person()
    again = decode_person(encode_person(person))
    assert (again.main, again.seen) == (person.main, person.seen)
    assert np.array_equal(again.identity, person.identity)
    for own, kept in zip(person.views, again.views, strict=True):
        assert own.picture == kept.picture
        assert np.array_equal(own.landmarks_px, kept.landmarks_px)
        assert kept.facts.yaw == pytest.approx(own.facts.yaw)
        assert kept.facts.lids == pytest.approx(0.33)
    assert {name: table.dtype for name, table in again.statistics.items()} == {
        "percentiles": np.float32,
        "names": np.uint8,
    }
    assert encode_person(again) == encode_person(person), "the same person gives the same bytes"


def test_order_of_many_views_stays() -> None:
    person = made_up_person(*(made_up_facts(yaw=number / 100) for number in range(40)))
    yaws = [view.facts.yaw for view in decode_person(encode_person(person)).views]
    assert np.allclose(yaws, np.arange(40) / 100)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"main": 2}, "no main view"),
        ({"main": True}, "no main view"),
        ({"main": None}, "no main view"),
        ({"facts": ["yaw"]}, "what it measured is not named"),
        ({"seen": {"pictures": -1}}, "counts out of range"),
        ({"seen": {"picture": 1}}, "what it was made from is not named"),
        ({"seen": 3}, "what it was made from is not named"),
    ],
)
def test_a_header_is_not_believed(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(PersonFileError, match=said):
        decode_person(with_header(encode_person(made_up_person()), **changes))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"identity": np.zeros((3, 3), np.float32)}, "identity missing or of the wrong shape"),
        ({"identity": np.full((468, 3), np.nan, np.float32)}, "identity with numbers that are not finite"),
        ({"landmarks": np.full((2, 470, 3), 1e9, np.float32)}, "far outside of its picture"),
        ({"landmarks": np.zeros((1, 470, 3), np.float32)}, "landmarks missing or of the wrong shape"),
        ({"facts": np.zeros((2, 14), np.float64)}, "facts missing or of the wrong shape"),
        ({"picture_01": np.zeros((3, 3), np.uint8)}, "no row of bytes"),
        ({"habit_huge": np.zeros(2 << 20, np.uint8)}, "too many habits"),
        ({"habit_odd": np.array([np.inf], np.float32)}, "not finite"),
        ({"habit_odd": np.zeros(3, np.int64)}, "of the wrong type"),
        ({f"picture_{number}": np.zeros(3, np.uint8) for number in range(100, 170)}, "72 views"),
    ],
)
def test_numbers_are_not_believed(changes: dict[str, np.ndarray], said: str) -> None:
    with pytest.raises(PersonFileError, match=said):
        decode_person(with_tensors(encode_person(made_up_person()), **changes))


@pytest.mark.parametrize(
    ("version", "said"),
    [(2, "person schema 2.*update vid2vid"), (0, "make it again"), ("x", "no number"), (10**99, "no number")],
)
def test_another_schema_is_told(version: object, said: str, tmp_path: Path) -> None:
    path = tmp_path / "me.person"
    path.write_bytes(with_header(encode_person(made_up_person()), schema=version))
    assert is_person_file(path)
    for read in (load_person, read_image):
        with pytest.raises(PersonFileError, match=rf"me\.person: .*{said}") as told:
            read(path)
        assert "\n" not in str(told.value)


def test_a_picture_that_is_none_is_told(tmp_path: Path) -> None:
    path = tmp_path / "me.person"
    huge = encode_jpeg(np.zeros((8, LARGEST_PX + 8, 3), np.uint8), 50)
    for picture in (b"", b"\xff\xd8\xff", huge):
        person = made_up_person()
        path.write_bytes(encode_person(replace(person, views=(replace(person.views[0], picture=picture),))))
        for read in (read_image, describe_person):
            with pytest.raises(PersonFileError, match=r"me\.person: damaged person file"):
                read(path)


def test_it_is_a_picture_and_no_motion(tmp_path: Path) -> None:
    path = tmp_path / "whatever.name"
    person = made_up_person()
    path.write_bytes(encode_person(person))
    assert is_person_file(path)
    assert not is_motion_file(path)
    assert sniff(path) == "still"
    assert np.array_equal(read_image(path), decode_jpeg(person.views[0].picture))
    for other in (save({"a": np.zeros(3)}), b"", b"\0" * 9, b"\xff" * 8 + b"{"):
        path.write_bytes(other)
        assert not is_person_file(path)


def test_only_its_owner_reads_it(own_folder: Path) -> None:
    path = own_folder / "me.person"
    content = encode_person(made_up_person())
    write_person(path, content, force=False)
    assert path.read_bytes() == content
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(OutputExistsError):
        write_person(path, content, force=False)
    write_person(path, content + b"", force=True)
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_fits_into_its_size() -> None:
    person = made_up_person(*(made_up_facts(yaw=number / 10) for number in range(6)), size=(160, 160))
    whole = encode_person(person)
    assert fit_into(person, len(whole)) == whole
    less = decode_person(fit_into(person, len(whole) - 1))
    assert len(less.views) == 6, "worse pictures come before fewer"
    few = fit_into(person, 60_000)
    assert len(few) <= 60_000
    kept = decode_person(few)
    assert [view.facts.yaw for view in kept.views] == [view.facts.yaw for view in less.views[: len(kept.views)]]
    with pytest.raises(UsageError, match="--max-size: the main view alone takes"):
        fit_into(person, 1000)


def read_everything(content: bytes) -> PersonFile | None:
    """Read a file and all of its pictures; None where it is refused."""
    try:
        person = decode_person(content)
        for number in range(len(person.views)):
            view_picture(person, number)
    except PersonFileError as error:
        assert "\n" not in str(error)
        return None
    return person


def test_damaged_files_are_refused_or_sound() -> None:
    """VID2VID_PERSON_MUTATIONS=100000 tries as many."""
    rng = np.random.default_rng(18)
    content = encode_person(made_up_person(size=(24, 24)))
    header = 8 + int.from_bytes(content[:8], "little")
    read = refused = 0
    for number in range(MUTATIONS):
        # Half of them in the header: most bytes of the rest are numbers, of which any will do.
        head = mutate(content[:header], rng) if number % 2 else content[:header]
        person = read_everything(head + (content[header:] if number % 2 else mutate(content[header:], rng)))
        read, refused = read + (person is not None), refused + (person is None)
        if person is not None:
            assert 0 <= person.main < len(person.views)
            assert all(np.isfinite(view.landmarks_px).all() for view in person.views)
            assert np.isfinite(person.identity).all()
    assert read > MUTATIONS / 50
    assert refused > MUTATIONS / 4

"""Person files: some views of one person with what was measured of them, in safetensors format, without pickle.

A file that arrives from elsewhere is not trusted: all sizes are bounded, all numbers are finite, and a picture's header
is looked at before it is decoded (see pipeline.person.pictures).
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vid2vid_cli.arrays import Points
from vid2vid_cli.errors import PersonFileError
from vid2vid_cli.geometry.affine import Matrix
from vid2vid_cli.person_mark import MARK, MAX_HEADER_BYTES

SCHEMA_VERSION = 1
LANDMARKS = 470  # of the mesh with both irises, see face.mesh.Face
POINTS = 468  # of an identity
MAX_BYTES = 256 << 20
MAX_VIEWS = 64
MAX_STATISTICS, MAX_NUMBERS = 32, 1 << 20
LARGEST_PX = 16384.0  # how far a landmark may lie from the corner of its picture
FACTS = (
    *("yaw", "pitch", "roll", "mouth_height", "mouth_width", "smile", "right_lid", "left_lid"),
    *("sharpness", "brightness", "light_from_right", "light_from_above", "size_px", "score"),
)
"""What is known of each view, in this order; see `Facts`."""
PLACE = ("left", "top", "step", "height", "width")
"""Where each view was cut out of its frame, in this order; see `FramePlace`. Files of older versions do not tell it."""


@dataclass(frozen=True)
class Facts:
    """What was measured of the face in one view.

    yaw, pitch, roll: of the head, radians, see geometry.rotation. mouth_height: of the gap between the lips, and
    mouth_width, between its corners, and smile, how far the corners lie above the base of the nose, which is negative:
    in distances of the eyes, on the head seen from the front. right_lid, left_lid: height of the eye's opening
    over its width. sharpness: how fine the detail is, larger is finer, 0 nothing; comparable among views of one person.
    brightness: of the skin, in [0, 1]. light_from_right, light_from_above: logarithm of how much brighter the picture's
    right half of the face, and its upper half, is. size_px: of the face in the frame that the view was cut from. score:
    the mesh network's, in [0, 1].
    """

    yaw: float
    pitch: float
    roll: float
    mouth_height: float
    mouth_width: float
    smile: float
    right_lid: float
    left_lid: float
    sharpness: float
    brightness: float
    light_from_right: float
    light_from_above: float
    size_px: float
    score: float

    @property
    def lids(self) -> float:
        """Return the mean opening of both eyes."""
        return (self.right_lid + self.left_lid) / 2


@dataclass(frozen=True)
class FramePlace:
    """Where a picture was cut out of a frame. left, top: in px of the frame. step: its px for each of the picture's.

    height, width: of the frame, in px.
    """

    left: float
    top: float
    step: float
    height: float
    width: float

    @property
    def affine(self) -> Matrix:
        """Maps px of the picture to px of the frame: (2, 3)."""
        return np.array([[self.step, 0, self.left], [0, self.step, self.top]], np.float64)


@dataclass(frozen=True)
class StoredView:
    """One view. picture: a JPEG. landmarks_px: (470, 3), in px of the picture, see face.mesh.Face.

    place: of the picture in its frame; None where it is not known.
    """

    picture: bytes
    landmarks_px: Points
    facts: Facts
    place: FramePlace | None = None


@dataclass(frozen=True)
class Seen:
    """What a person was made from. frames: of clips that were looked at. used: pictures and frames that showed them."""

    pictures: int = 0
    clips: int = 0
    frames: int = 0
    used: int = 0


@dataclass(frozen=True)
class PersonFile:
    """A person.

    main: the index of the view that stands for the person where one picture is needed; its picture is whole, the
    others are cut around the head. identity: (468, 3), the shape of the face at rest, on the canonical head.
    statistics: tables of the person's habits by name, float32 or uint8; empty where nothing is known.
    """

    views: tuple[StoredView, ...]
    main: int
    identity: Points
    seen: Seen = field(default_factory=Seen)
    statistics: Mapping[str, NDArray[Any]] = field(default_factory=dict)


def encode_person(person: PersonFile) -> bytes:
    """Return the bytes of a person file."""
    from safetensors.numpy import save

    tensors: dict[str, NDArray[Any]] = {
        f"picture.{number:02}": np.frombuffer(view.picture, np.uint8) for number, view in enumerate(person.views)
    }
    tensors["landmarks"] = np.stack([view.landmarks_px for view in person.views]).astype(np.float32)
    facts = [[getattr(view.facts, name) for name in FACTS] for view in person.views]
    tensors["facts"] = np.array(facts, np.float32)
    if any(view.place is not None for view in person.views):
        tensors["places"] = np.array([_row(view.place) for view in person.views], np.float32)
    tensors["identity"] = np.ascontiguousarray(person.identity, np.float32)
    tensors |= {f"habit.{name}": np.ascontiguousarray(table) for name, table in person.statistics.items()}
    about = {"schema": SCHEMA_VERSION, "main": person.main, "facts": list(FACTS), "seen": vars(person.seen)}
    # One entry: several would stand in any order, and the same person would not give the same bytes.
    return bytes(save(tensors, metadata={MARK: json.dumps(about)}))


def _row(place: FramePlace | None) -> list[float]:
    """Return a place as a row of a table; zeros where it is not known."""
    return [0.0] * len(PLACE) if place is None else [getattr(place, name) for name in PLACE]


def load_person(path: Path) -> PersonFile:
    """Read a person file. PersonFileError names what is wrong with it; the pictures are not decoded here."""
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise PersonFileError(f"{path}: has {size} bytes, more than any person file; make it again")
        content = path.read_bytes()
    except OSError as error:
        raise PersonFileError(
            f"{path}: cannot be read: {error.strerror}; check the name and its permissions"
        ) from error
    try:
        return decode_person(content)
    except PersonFileError as error:
        raise PersonFileError(f"{path}: {error}") from error


def decode_person(content: bytes) -> PersonFile:
    """Read the bytes of a person file. PersonFileError, which does not name a file, says what is wrong with them."""
    from safetensors import SafetensorError
    from safetensors.numpy import load

    about = _read_about(content)
    try:
        tensors = load(content)
    # Shapes that overflow, types that numpy does not have, and whatever else a header may claim.
    except (SafetensorError, ValueError, KeyError, TypeError, OverflowError, MemoryError) as error:
        raise _damaged(f"not safetensors: {error}") from error
    views = _read_views(tensors)
    main = about.get("main")
    if type(main) is not int or not 0 <= main < len(views):
        raise _damaged("no main view")
    identity = _table(tensors, "identity", (POINTS, 3))
    return PersonFile(views, main, identity, _read_seen(about.get("seen")), _read_statistics(tensors))


def _read_about(content: bytes) -> dict[str, Any]:
    """Read the header's own entries, once the schema is known."""
    length = int.from_bytes(content[:8], "little")
    if length > MAX_HEADER_BYTES:
        raise _damaged("its header is too long")
    try:
        about = json.loads(json.loads(content[8 : 8 + length])["__metadata__"][MARK])
        version = about["schema"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _damaged("its header cannot be read") from error
    if type(version) is not int or not 0 <= version < 1 << 30 or not isinstance(about, dict):
        raise _damaged("its schema has no number")
    if version != SCHEMA_VERSION:
        cure = "update vid2vid" if version > SCHEMA_VERSION else "make it again with vid2vid personalize"
        raise PersonFileError(f"person schema {version}, and this version reads {SCHEMA_VERSION}; {cure}")
    if about.get("facts") != list(FACTS):
        raise _damaged("what it measured is not named")
    return about


def _read_views(tensors: Mapping[str, NDArray[Any]]) -> tuple[StoredView, ...]:
    names = sorted(name for name in tensors if name.startswith("picture."))
    count = len(names)
    if not 0 < count <= MAX_VIEWS:
        raise _damaged(f"{count} views")
    landmarks = _table(tensors, "landmarks", (count, LANDMARKS, 3))
    facts = _table(tensors, "facts", (count, len(FACTS)))
    places = _table(tensors, "places", (count, len(PLACE))) if "places" in tensors else np.zeros((count, len(PLACE)))
    if np.abs(landmarks).max() > LARGEST_PX:
        raise _damaged("a face far outside of its picture")
    if np.abs(places).max() > LARGEST_PX:
        raise _damaged("a picture far outside of its frame")
    if any(tensors[name].dtype != np.uint8 or tensors[name].ndim != 1 for name in names):
        raise _damaged("a picture that is no row of bytes")
    return tuple(
        StoredView(
            tensors[name].tobytes(), landmarks[number], Facts(*map(float, facts[number])), _place(places[number])
        )
        for number, name in enumerate(names)
    )


def _place(row: Points) -> FramePlace | None:
    """Read a row of the table of places."""
    place = FramePlace(*map(float, row))
    return place if min(place.step, place.height, place.width) > 0 else None


def _table(tensors: Mapping[str, NDArray[Any]], name: str, shape: tuple[int, ...]) -> Points:
    """Return an array of finite float32 numbers of this shape."""
    table = tensors.get(name)
    if table is None or table.shape != shape or table.dtype != np.float32:
        raise _damaged(f"{name} missing or of the wrong shape")
    if not np.isfinite(table).all():
        raise _damaged(f"{name} with numbers that are not finite")
    return np.asarray(table, np.float32)


def _read_seen(plain: object) -> Seen:
    try:
        seen = Seen(**plain)  # type: ignore[arg-type]
    except TypeError as error:
        raise _damaged("what it was made from is not named") from error
    if not all(type(count) is int and 0 <= count < 1 << 40 for count in vars(seen).values()):
        raise _damaged("counts out of range")
    return seen


def _read_statistics(tensors: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    found = {name.removeprefix("habit."): table for name, table in tensors.items() if name.startswith("habit.")}
    if len(found) > MAX_STATISTICS or sum(math.prod(table.shape) for table in found.values()) > MAX_NUMBERS:
        raise _damaged("too many habits")
    for name, table in found.items():
        if table.dtype == np.float32:
            if not np.isfinite(table).all():
                raise _damaged(f"habit {name} with numbers that are not finite")
        elif table.dtype != np.uint8:
            raise _damaged(f"habit {name} of the wrong type")
    return found


def _damaged(problem: str) -> PersonFileError:
    return PersonFileError(f"damaged person file ({problem}); make it again with vid2vid personalize")

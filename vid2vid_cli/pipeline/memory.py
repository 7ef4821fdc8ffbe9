"""What is remembered from job to job: the faces and appearance of a source, the motion of a driving.

All is found again by the content of the files, the checkpoint, and the options that matter. Motions and faces lie in a
folder, for all workers and later runs. A source stays in the memory of one process; what networks computed of its
appearance goes into the folder too where several processes share it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Literal

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from vid2vid_cli.media.files import hash_output
from vid2vid_cli.motion import Motion
from vid2vid_cli.process.scratch import Scratch
from vid2vid_cli.version import __version__

SCHEMA = 1
HEADER_BYTES = 8192
MOST_APPEARANCES = 8
MOST_APPEARANCE_PX = 50_000_000
MOST_APPEARANCE_BYTES = 1 << 30
"""Of a folder: the longest unused make room. A source that comes again after so many is computed again."""

Kind = Literal["faces", "appearance"]


@dataclass
class Shelf:
    """The sources that one process holds, the longest unused dropped first, by number and by pixels."""

    kept: OrderedDict[str, tuple[Any, int]] = field(default_factory=OrderedDict)

    def get(self, key: str, size_px: Callable[[Any], int], make: Callable[[], Any]) -> Any:
        """Return what is kept for a key, or make and keep it."""
        if key in self.kept:
            self.kept.move_to_end(key)
            return self.kept[key][0]
        thing = make()
        self.kept[key] = thing, size_px(thing)
        while len(self.kept) > 1 and (
            len(self.kept) > MOST_APPEARANCES or sum(px for _, px in self.kept.values()) > MOST_APPEARANCE_PX
        ):
            self.kept.popitem(last=False)
        return thing


@dataclass(frozen=True)
class Memory:
    """Where things are remembered, and for which engine.

    folder: for all but the sources of this process. is_shared: whether other processes work with it at the same time.
    engine: what the answers depend on besides the files (see `for_engine`). computed: what was not remembered, "source"
    or "driving", since the list was last emptied.
    """

    folder: Path
    is_shared: bool = False
    engine: tuple[str, ...] = ()
    shelf: Shelf = field(default_factory=Shelf)
    hashes: dict[tuple[Any, ...], str] = field(default_factory=dict)
    computed: list[str] = field(default_factory=list)

    def for_engine(self, *identity: str) -> Memory:
        """Return the same memory for an engine: checkpoints' sha256, device, arithmetic."""
        return replace(self, engine=identity)

    def key(self, path: Path, *parts: object) -> str:
        """Name what is computed of a file's content with some options."""
        facts = [SCHEMA, __version__, self.engine, self._hash(path), [str(part) for part in parts]]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    def _hash(self, path: Path) -> str:
        status = path.stat()
        seen = (str(path.absolute()), status.st_size, status.st_mtime_ns, status.st_ino)
        if seen not in self.hashes:
            self.hashes[seen] = hash_output(path)
        return self.hashes[seen]

    def recall_motion(self, key: str) -> Recording | None:
        """Return a recorded motion; None where there is none, or none that can be read."""
        try:
            return Recording(self._path(key, "motion"))
        except (OSError, SafetensorError, KeyError, ValueError):
            return None

    def record_motion(self, key: str) -> MotionRecorder:
        """Begin to record a motion, to be used as a context manager."""
        return MotionRecorder(self._path(key, "motion"))

    def recall_tensors(self, key: str, kind: Kind) -> dict[str, Tensor] | None:
        """Return tensors by name; None where there are none, or none that can be read."""
        path = self._path(key, kind)
        try:
            tensors = dict(load_file(path))
        except (OSError, SafetensorError):
            return None
        with contextlib.suppress(OSError):  # a folder that may only be read
            os.utime(path)
        return tensors

    def keep_tensors(self, key: str, kind: Kind, tensors: Mapping[str, Tensor]) -> None:
        """Keep tensors by name. A disk that takes no more is no failure of the job."""
        path = self._path(key, kind)
        with contextlib.suppress(OSError, SafetensorError):
            self.folder.mkdir(parents=True, exist_ok=True)
            with Scratch(path) as scratch:
                plain = {name: tensor.cpu().contiguous().clone() for name, tensor in tensors.items()}
                save_file(plain, scratch.file(kind))
                scratch.file(kind).replace(path)
            if kind == "appearance":
                self._make_room()

    def _path(self, key: str, kind: str) -> Path:
        return self.folder / f"{key}.{kind}.safetensors"

    def _make_room(self) -> None:
        """Remove the appearances that were not used for the longest time, as far as there are too many."""
        kept = sorted((path.stat().st_mtime, path.stat().st_size, path) for path in self.folder.glob("*.appearance.*"))
        too_many = sum(size for _, size, _ in kept) - MOST_APPEARANCE_BYTES
        for _, size, path in kept[:-1]:
            if too_many <= 0:
                return
            path.unlink(missing_ok=True)
            too_many -= size


class Recording:
    """A recorded motion, read frame by frame, however long it is."""

    def __init__(self, path: Path) -> None:
        """Open a file. OSError, SafetensorError, KeyError or ValueError where it is not one of ours, or damaged."""
        self._path = path
        with safe_open(path, "np") as file:
            about = json.loads((file.metadata() or {})["vid2vid_recording"])
            rows = file.get_slice("frames").get_shape()
        self._shapes: list[list[int]] = about["shapes"]
        self.warnings: list[str] = about["warnings"]
        self.count: int = rows[0]
        if rows[1] != 1 + sum(int(np.prod(shape)) for shape in self._shapes):
            raise ValueError(f"{path}: rows of the wrong length")

    def __iter__(self) -> Iterator[tuple[Motion | None, bool]]:
        """Yield the motion of each frame, None before the first face, and whether its face was found."""
        has_begun = False
        with safe_open(self._path, "np") as file:
            rows = file.get_slice("frames")
            for index in range(self.count):
                row = rows[index : index + 1][0]
                has_begun = has_begun or bool(row[0])
                yield (self._motion(row[1:]) if has_begun else None), bool(row[0])

    def _motion(self, row: np.ndarray[Any, Any]) -> Motion:
        fields, begin = [], 0
        for shape in self._shapes:
            end = begin + int(np.prod(shape))
            fields.append(torch.from_numpy(row[begin:end].reshape(1, *shape).copy()))
            begin = end
        return Motion(*fields)


class MotionRecorder:
    """Writes a recording row by row: one tensor `frames` (N, 1 + numbers of a motion), found first.

    The header of a safetensors file stands before its data and says how many there are; its room is kept free and
    filled in at the end, so that nothing is held in memory. Unless `finish` is called nothing is kept.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._shapes: list[list[int]] | None = None
        self._scratch: Scratch | None = None
        self._file: IO[bytes] | None = None
        self._rows = 0
        self.warnings: list[str] = []

    def __enter__(self) -> MotionRecorder:
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._scratch = Scratch(self._path).open()
            self._file = self._scratch.file("motion").open("wb")
            self._file.seek(HEADER_BYTES)
        return self

    def append(self, motion: Motion | None, *, found: bool) -> None:
        """Add a frame; leading ones without a motion are filled in when the first motion is known."""
        if motion is not None and self._shapes is None:
            self._shapes = [list(tensor.shape[1:]) for tensor in motion.tensors()]
            self._write(np.zeros(self._rows * self._row_length(), np.float32))
        self._rows += 1
        if motion is not None:
            numbers = [tensor.detach().cpu().float().flatten().numpy() for tensor in motion.tensors()]
            self._write(np.concatenate([np.array([found], np.float32), *numbers]))

    def finish(self) -> None:
        """Keep what was recorded. A motion in which nothing was ever seen is not kept."""
        if self._file is None or self._scratch is None or self._shapes is None:
            return
        size = self._row_length() * self._rows * 4
        about = json.dumps({"shapes": self._shapes, "warnings": self.warnings})
        header = json.dumps(
            {
                "__metadata__": {"vid2vid_recording": about},
                "frames": {"dtype": "F32", "shape": [self._rows, self._row_length()], "data_offsets": [0, size]},
            }
        ).encode()
        if len(header) > HEADER_BYTES - 8:
            return
        with contextlib.suppress(OSError):
            self._file.seek(0)
            self._file.write((HEADER_BYTES - 8).to_bytes(8, "little") + header.ljust(HEADER_BYTES - 8))
            self._file.close()
            self._scratch.file("motion").replace(self._path)

    def _row_length(self) -> int:
        return 1 + sum(int(np.prod(shape)) for shape in self._shapes or [])

    def _write(self, numbers: np.ndarray[Any, Any]) -> None:
        if self._file is None:
            return
        try:
            self._file.write(numbers.astype("<f4").tobytes())
        except OSError:  # the disk is full: the job goes on without being remembered
            self._file.close()
            self._file = None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
        if self._scratch is not None:
            self._scratch.close()

"""What is remembered from job to job: the faces and the appearance of a source, and the motion of a driving.

Everything is found by the content of the files, the checkpoint, and the options that matter. Motions and faces are kept
in a folder, for all workers and for later runs. A source is kept in the memory of one process. If several processes
share the folder, what networks computed of a source's appearance is kept there as well.
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

from vid2vid_cli.face.crop import FaceCrop
from vid2vid_cli.media.files import hash_output
from vid2vid_cli.motion import Motion
from vid2vid_cli.process.scratch import Scratch
from vid2vid_cli.version import __version__

SCHEMA = 8  # part of every key: raise it when the files change, and older ones are no longer found
HEADER_BYTES = 8192  # room for the header of a recorded motion, see MotionRecorder
MOST_APPEARANCES = 8
MOST_APPEARANCE_PX = 50_000_000  # of all pictures that one process keeps
MOST_APPEARANCE_BYTES = 1 << 30  # of all appearances in a folder; the least recently used are removed

Kind = Literal["faces", "appearance"]


@dataclass
class Shelf:
    """The sources that one process keeps, limited in number and in pixels. The least recently used is dropped first.

    kept: from the least recently used to the last used, each with its number of pixels.
    """

    kept: OrderedDict[str, tuple[Any, int]] = field(default_factory=OrderedDict)

    def get(self, key: str, size_px: Callable[[Any], int], make: Callable[[], Any]) -> Any:
        """Return what is kept for a key; make and keep it if there is nothing. size_px: counts its pixels."""
        if key in self.kept:
            self.kept.move_to_end(key)
            return self.kept[key][0]
        thing = make()
        self.kept[key] = thing, size_px(thing)
        # The newest stays however large it is: the job needs it.
        while len(self.kept) > 1 and (
            len(self.kept) > MOST_APPEARANCES or sum(px for _, px in self.kept.values()) > MOST_APPEARANCE_PX
        ):
            self.kept.popitem(last=False)
        return thing


@dataclass(frozen=True)
class Memory:
    """Where things are remembered, and for which engine.

    folder: for everything but the sources that this process keeps on its shelf. is_shared: whether other processes use
    the folder at the same time. engine: what results depend on besides the files, see `for_engine`.
    hashes: sha256 of files by path, size and time. computed: what was not remembered, "source" or "driving", since the
    list was last cleared.
    """

    folder: Path
    is_shared: bool = False
    engine: tuple[str, ...] = ()
    shelf: Shelf = field(default_factory=Shelf)
    hashes: dict[tuple[Any, ...], str] = field(default_factory=dict)
    computed: list[str] = field(default_factory=list)

    def for_engine(self, *identity: str) -> Memory:
        """Return the same memory for an engine. identity: sha256 of its checkpoints, device, arithmetic."""
        return replace(self, engine=identity)

    def key(self, path: Path, *parts: object) -> str:
        """Return the key of what is computed from a file's content with some options (`parts`)."""
        facts = [SCHEMA, __version__, self.engine, self._hash(path), [str(part) for part in parts]]
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    def _hash(self, path: Path) -> str:
        status = path.stat()
        # Hashing a long video takes seconds. A file of the same size, time and inode has not changed.
        seen = (str(path.absolute()), status.st_size, status.st_mtime_ns, status.st_ino)
        if seen not in self.hashes:
            self.hashes[seen] = hash_output(path)
        return self.hashes[seen]

    def recall_motion(self, key: str) -> Recording | None:
        """Return a recorded motion; None if there is none that can be read."""
        try:
            return Recording(self._path(key, "motion"))
        except (OSError, SafetensorError, KeyError, ValueError):
            return None

    def record_motion(self, key: str) -> MotionRecorder:
        """Return a recorder for a motion. Use it as a context manager."""
        return MotionRecorder(self._path(key, "motion"))

    def recall_tensors(self, key: str, kind: Kind) -> dict[str, Tensor] | None:
        """Return tensors by name; None if there are none that can be read."""
        path = self._path(key, kind)
        try:
            tensors = dict(load_file(path))
        except (OSError, SafetensorError):
            return None
        with contextlib.suppress(OSError):  # the folder may be read-only
            os.utime(path)  # its time says when it was last used, see _make_room
        return tensors

    def keep_tensors(self, key: str, kind: Kind, tensors: Mapping[str, Tensor]) -> None:
        """Keep tensors by name. A full disk does not make the job fail."""
        path = self._path(key, kind)
        with contextlib.suppress(OSError, SafetensorError):
            self.folder.mkdir(parents=True, exist_ok=True)
            with Scratch(path) as scratch:
                # Cloned: safetensors refuses tensors that share memory.
                plain = {name: tensor.cpu().contiguous().clone() for name, tensor in tensors.items()}
                save_file(plain, scratch.file(kind))
                scratch.file(kind).replace(path)
            if kind == "appearance":
                self._make_room()

    def _path(self, key: str, kind: str) -> Path:
        return self.folder / f"{key}.{kind}.safetensors"

    def _make_room(self) -> None:
        """Remove the least recently used appearances until the rest fits into the limit."""
        kept = sorted((path.stat().st_mtime, path.stat().st_size, path) for path in self.folder.glob("*.appearance.*"))
        too_many = sum(size for _, size, _ in kept) - MOST_APPEARANCE_BYTES
        for _, size, path in kept[:-1]:  # the newest was just written
            if too_many <= 0:
                return
            path.unlink(missing_ok=True)
            too_many -= size


class Recording:
    """A recorded motion, read frame by frame, however long it is."""

    def __init__(self, path: Path) -> None:
        """Open a file. OSError, SafetensorError, KeyError or ValueError if it is damaged or not a recording."""
        self._path = path
        with safe_open(path, "np") as file:
            about = json.loads((file.metadata() or {})["vid2vid_recording"])
            rows = file.get_slice("frames").get_shape()
        self._shapes: list[list[int]] = about["shapes"]
        self.warnings: list[str] = about["warnings"]
        crop = about["crop"]
        self.crop = None if crop is None else FaceCrop(np.array(crop["affine"]), (crop["size"][0], crop["size"][1]))
        """The crop in which the motion was read."""
        self.count: int = rows[0]
        if rows[1] != 1 + sum(int(np.prod(shape)) for shape in self._shapes):
            raise ValueError(f"{path}: rows of the wrong length")

    def __iter__(self) -> Iterator[tuple[Motion | None, bool]]:
        """Yield the motion of each frame, None before the first face, and whether the frame shows the face."""
        # Rows before the first face are zeros, which `append` filled in.
        has_begun = False
        with safe_open(self._path, "np") as file:
            rows = file.get_slice("frames")
            for index in range(self.count):
                row = rows[index : index + 1][0]
                has_begun = has_begun or bool(row[0])
                yield (self._motion(row[1:]) if has_begun else None), bool(row[0])

    def _motion(self, row: np.ndarray[Any, Any]) -> Motion:
        """Split a row into the tensors of a motion (of one frame)."""
        fields, begin = [], 0
        for shape in self._shapes:
            end = begin + int(np.prod(shape))
            fields.append(torch.from_numpy(row[begin:end].reshape(1, *shape).copy()))
            begin = end
        return Motion(*fields)


class MotionRecorder:
    """Writes a recording row by row, as one tensor `frames` (N, 1 + numbers of a motion). `found` comes first in a row.

    The header of a safetensors file stands before its data and says how many rows there are. Room for it is left free
    and filled in at the end, so that no clip has to be held in memory. Unless `finish` is called, nothing is kept.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._shapes: list[list[int]] | None = None
        self._scratch: Scratch | None = None
        self._file: IO[bytes] | None = None
        self._rows = 0
        self.warnings: list[str] = []

    def __enter__(self) -> MotionRecorder:
        with contextlib.suppress(OSError):  # without a file, everything else does nothing
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._scratch = Scratch(self._path).open()
            self._file = self._scratch.file("motion").open("wb")
            self._file.seek(HEADER_BYTES)
        return self

    def append(self, motion: Motion | None, *, found: bool) -> None:
        """Add a frame. Those before the first motion are written once its shape is known."""
        if motion is not None and self._shapes is None:
            self._shapes = [list(tensor.shape[1:]) for tensor in motion.tensors()]
            self._write(np.zeros(self._rows * self._row_length(), np.float32))
        self._rows += 1
        if motion is not None:
            numbers = [tensor.detach().cpu().float().flatten().numpy() for tensor in motion.tensors()]
            self._write(np.concatenate([np.array([found], np.float32), *numbers]))

    def finish(self, crop: FaceCrop | None = None) -> None:
        """Keep what was recorded, unless no face was ever seen. crop: in which the motion was read."""
        if self._file is None or self._scratch is None or self._shapes is None:
            return
        size = self._row_length() * self._rows * 4
        read_in = None if crop is None else {"affine": crop.affine.tolist(), "size": list(crop.size)}
        about = json.dumps({"shapes": self._shapes, "warnings": self.warnings, "crop": read_in})
        header = json.dumps(
            {
                "__metadata__": {"vid2vid_recording": about},
                "frames": {"dtype": "F32", "shape": [self._rows, self._row_length()], "data_offsets": [0, size]},
            }
        ).encode()
        if len(header) > HEADER_BYTES - 8:  # too many warnings: the clip is watched again next time
            return
        with contextlib.suppress(OSError):
            self._file.seek(0)
            # The length of the header in 8 bytes, then the header, padded with spaces.
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
        except OSError:  # the disk is full: the job goes on, and is not remembered
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

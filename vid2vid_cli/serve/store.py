"""The files that clients have sent: where they lie, what they hold, and how many bytes they take together."""

from __future__ import annotations

import contextlib
import re
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from vid2vid_cli.serve.options import Limits
from vid2vid_cli.serve.refusals import RefusedError, not_found

MOST_NAME = 100
MOVING = ("video", "sound", "motion", "picture")
SHOWN = ("picture", "video", "person")


def new_id() -> str:
    """Return an id that nobody can guess."""
    return secrets.token_hex(8)


def shown_name(given: str) -> str:
    """Return a client's name for a file as a label, without folders. It never becomes part of a path."""
    last = re.split(r"[/\\]", given)[-1]
    name = "".join(letter for letter in last if letter.isprintable()).strip()
    return name[-MOST_NAME:] or "file"


@dataclass(frozen=True)
class StoredFile:
    """A file of a client. path: where it lies. name: only a label. facts: what it holds, as the API says it."""

    id: str
    path: Path
    name: str
    size_bytes: int
    facts: dict[str, Any]

    @property
    def kind(self) -> str:
        """Return picture, video, sound, motion or person."""
        return str(self.facts["kind"])

    @property
    def picture(self) -> Path:
        """Where a small JPEG of it lies, if it has one."""
        return self.path.with_suffix(".jpg")

    def to_json(self) -> dict[str, Any]:
        """Return it as the API shows it."""
        return {"id": self.id, "name": self.name, "bytes": self.size_bytes, **self.facts}

    def remove(self) -> None:
        """Remove it from the disk."""
        for path in (self.path, self.picture):
            path.unlink(missing_ok=True)


@dataclass
class Upload:
    """A file that is arriving. size_bytes: so far."""

    id: str
    path: Path
    name: str
    store: FileStore
    size_bytes: int = 0
    is_kept: bool = False
    _file: IO[bytes] | None = None

    def check_room(self, count: int) -> None:
        """Raise RefusedError if so many more bytes are too many."""
        limits = self.store.limits
        if self.size_bytes + count > limits.upload_bytes:
            raise RefusedError(
                f"{self.name}: is larger than {limits.upload_bytes // 1_000_000} MB; send a smaller one, or start the "
                "server with a larger --max-upload",
                413,
            )
        if self.store.total_bytes + count > limits.total_bytes:
            raise RefusedError("the server holds as much as it may; delete files that are no longer needed", 413)

    def write(self, data: bytes) -> None:
        """Append bytes."""
        if self._file is None:
            self._file = self.path.open("xb")
        self._file.write(data)
        self.size_bytes += len(data)

    def close(self) -> None:
        """Close the file: all of it has arrived."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def keep(self, facts: dict[str, Any]) -> StoredFile:
        """Make it a file of the store."""
        self.is_kept = True
        stored = StoredFile(self.id, self.path, self.name, self.size_bytes, facts)
        self.store.files[self.id] = stored
        return stored

    def drop(self) -> None:
        """Remove what has arrived."""
        self.close()
        self.path.unlink(missing_ok=True)
        self.path.with_suffix(".jpg").unlink(missing_ok=True)


@dataclass
class Uploads:
    """The uploads of one request."""

    store: FileStore
    begun: list[Upload] = field(default_factory=list)

    def begin(self, name: str) -> Upload:
        """Make room for a file. name: as the client calls it."""
        store = self.store
        if len(store.files) + len(store.arriving) >= store.limits.files:
            raise RefusedError(f"the server holds {store.limits.files} files; delete some", 429)
        number = new_id()
        upload = Upload(number, store.folder / number, shown_name(name), store)
        self.begun.append(upload)
        store.arriving.append(upload)
        return upload


class FileStore:
    """All files, by id. folder: private to this server. in_use: counts the jobs and live pictures that need a file."""

    def __init__(self, folder: Path, limits: Limits) -> None:
        folder.mkdir(mode=0o700)
        self.folder, self.limits = folder, limits
        self.files: dict[str, StoredFile] = {}
        self.arriving: list[Upload] = []
        self._requests = 0
        self._users: dict[str, int] = {}
        self._deleted: dict[str, StoredFile] = {}

    @property
    def total_bytes(self) -> int:
        """Return how much all files take, those on their way and those that are still in use included."""
        kept = sum(each.size_bytes for each in (*self.files.values(), *self._deleted.values()))
        return kept + sum(each.size_bytes for each in self.arriving if not each.is_kept)

    @contextmanager
    def receiving(self) -> Iterator[Uploads]:
        """Take the uploads of one request; those that are not kept are gone after it."""
        if self._requests >= self.limits.uploads:
            raise RefusedError("too many uploads at the same time; try again when one is done", 429)
        uploads = Uploads(self)
        self._requests += 1
        try:
            yield uploads
        finally:
            self._requests -= 1
            for upload in uploads.begun:
                self.arriving.remove(upload)
                if not upload.is_kept:
                    upload.drop()

    def get(self, number: object, roles: tuple[str, ...] = (), role: str = "") -> StoredFile:
        """Return a file by its id. RefusedError if there is none, or if it is of no kind that its role needs."""
        stored = self.files.get(number) if isinstance(number, str) else None
        if stored is None:
            raise not_found(f"file as {role}" if role else "file")
        if roles and stored.kind not in roles:
            raise RefusedError(f"{stored.name}: is a {stored.kind}, and cannot be the {role}", 422)
        return stored

    def delete(self, number: str) -> None:
        """Forget a file. It stays on the disk while a job or a live picture needs it."""
        stored = self.get(number)
        del self.files[number]
        if self._users.get(number):
            self._deleted[number] = stored
        else:
            stored.remove()

    def discard(self, number: str) -> None:
        """Forget a file if it is still there."""
        if number in self.files:
            self.delete(number)

    def use(self, stored: StoredFile) -> contextlib.ExitStack:
        """Keep a file on the disk until the result is closed."""
        self._users[stored.id] = self._users.get(stored.id, 0) + 1
        stack = contextlib.ExitStack()
        stack.callback(self._let_go, stored.id)
        return stack

    def _let_go(self, number: str) -> None:
        self._users[number] -= 1
        if not self._users[number]:
            del self._users[number]
            gone = self._deleted.pop(number, None)
            if gone is not None:
                gone.remove()

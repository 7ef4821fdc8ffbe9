"""Fetch one file over HTTP: go on where it stopped, check size and sha256, and only then give it its name."""

from __future__ import annotations

import errno
import http.client
import os
import re
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from types import ModuleType

from vid2vid_cli.checkpoints.file_format import HEAD_BYTES, describe_head, weights_format
from vid2vid_cli.errors import WeightsError
from vid2vid_cli.hashing import hash_file
from vid2vid_cli.version import __version__

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # Windows: two at once are not noticed, but never go past the sha256
    fcntl = None

CHUNK_BYTES = 1 << 20
PART = ".part"
PASSING = (408, 425, 429, 500, 502, 503, 504)
"""Answers that may be another one a moment later."""
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

Progress = Callable[[int, int | None], None]


@dataclass(frozen=True)
class Wanted:
    """A file to fetch. target: its name when it is whole. bytes, sha256: as published, None where not known."""

    url: str
    target: Path
    bytes: int | None
    sha256: str | None


@dataclass(frozen=True)
class Patience:
    """How often a broken connection is tried again without any progress, after which pause, and how long silence is
    borne, in seconds.
    """

    attempts: int = 5
    pause_s: float = 1.0
    silence_s: float = 30.0


class BrokenError(Exception):
    """A connection that broke or a server that is busy; another try may do."""


def download(wanted: Wanted, progress: Progress, patience: Patience | None = None) -> None:
    """Fetch a file to its target, replacing what is there. What has come is kept as target.part until it is whole.

    WeightsError says in a line why it cannot be had; a part that may be gone on with is left then.
    """
    patience = patience or Patience()
    part = wanted.target.with_name(wanted.target.name + PART)
    with _opened(part) as file:
        _fetch(file, wanted, progress, patience)
        os.fsync(file.fileno())
        problem = _what_is_wrong(part, wanted)
    if problem is not None:
        part.unlink(missing_ok=True)
        raise WeightsError(f"{wanted.url}: {problem}; what came was thrown away")
    part.replace(wanted.target)


@contextmanager
def _opened(part: Path) -> Iterator[FileIO]:
    """Open a part for reading and writing, for one process alone; leave none behind that is empty."""
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        file = FileIO(os.open(part, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666), "r+")
    except OSError as error:
        raise WeightsError(
            f"{part}: cannot be written: {error.strerror}; set VID2VID_HOME to another folder"
        ) from error
    with file:
        _lock(file, part)
        try:
            yield file
        finally:
            if part.exists() and not part.stat().st_size:
                part.unlink(missing_ok=True)


def _lock(file: FileIO, part: Path) -> None:
    if fcntl is None:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise WeightsError(f"{part}: is being fetched by another vid2vid already; wait for it") from error
    except OSError:  # a file system without locks
        return


def _fetch(file: FileIO, wanted: Wanted, progress: Progress, patience: Patience) -> None:
    """Fetch what is missing of a file, again and again while that gets further."""
    tries, reached = 0, file.seek(0, os.SEEK_END)
    while True:
        try:
            return _fetch_rest(file, wanted, progress, patience.silence_s)
        except BrokenError as error:
            tries = 1 if file.tell() > reached else tries + 1
            reached = file.tell()
            if tries >= patience.attempts:
                kept = f"; {reached} bytes are kept, and running it again goes on from there" if reached else ""
                raise WeightsError(f"{wanted.url}: {error}, after {tries} tries{kept}") from error
            time.sleep(patience.pause_s * 2 ** (tries - 1))


def _fetch_rest(file: FileIO, wanted: Wanted, progress: Progress, silence_s: float) -> None:
    have = file.seek(0, os.SEEK_END)
    if wanted.bytes is not None and have > wanted.bytes:
        file.truncate(have := file.seek(0))
    if wanted.bytes is not None and have == wanted.bytes:
        return
    headers = {"User-Agent": f"vid2vid/{__version__}", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    with _answer(urllib.request.Request(wanted.url, headers=headers), file, silence_s) as answer:  # noqa: S310
        start = _where_it_starts(answer, have)
        file.truncate(file.seek(start))
        total = _total_of(answer, start)
        _check_before(answer, total, wanted, start)
        for chunk in _chunks(answer):
            _write(file, chunk, wanted)
            progress(file.tell(), wanted.bytes or total)
    if total is not None and file.tell() < total:
        raise BrokenError(f"the connection broke at {file.tell()} of {total} bytes")


@contextmanager
def _answer(request: urllib.request.Request, file: FileIO, silence_s: float) -> Iterator[http.client.HTTPResponse]:
    """Ask a server. BrokenError where another try may do, WeightsError where not."""
    try:
        with urllib.request.urlopen(request, timeout=silence_s) as answer:  # noqa: S310  only http and https come here
            yield answer
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and file.tell():
            file.truncate(file.seek(0))
            raise BrokenError("the server knows no such part of the file") from error
        words = f"the server answers {error.code} {error.reason}"
        if error.code in PASSING:
            raise BrokenError(words) from error
        raise WeightsError(f"{request.full_url}: {words}; the file is not there, or not for everybody") from error
    except (OSError, http.client.HTTPException) as error:  # what writing raises is told before it comes here
        reason = getattr(error, "reason", None) or error
        raise BrokenError(f"no connection ({str(reason) or type(error).__name__})") from error


def _where_it_starts(answer: http.client.HTTPResponse, have: int) -> int:
    """Return at which byte an answer begins: a server without ranges sends the whole file again."""
    if answer.status != http.HTTPStatus.PARTIAL_CONTENT:
        return 0
    begun = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
    if begun is None or int(begun[1]) > have:
        raise WeightsError(f"{answer.url}: the server sends another part of the file than was asked for")
    return int(begun[1])


def _total_of(answer: http.client.HTTPResponse, start: int) -> int | None:
    length = answer.headers.get("Content-Length", "")
    return start + int(length) if length.isascii() and length.isdecimal() else None


def _check_before(answer: http.client.HTTPResponse, total: int | None, wanted: Wanted, start: int) -> None:
    """Refuse a file of another size before it is fetched, and say so when the disk is too small for it."""
    if total is not None and wanted.bytes not in (None, total):
        head = b"" if start else answer.read(HEAD_BYTES)
        raise WeightsError(f"{wanted.url}: {_wrong_size(total, wanted, head)}")
    size = wanted.bytes or total
    free = shutil.disk_usage(wanted.target.parent).free
    if size is not None and free < size - start:
        raise _no_room(wanted, f"{(size - start) / 1e6:.1f} MB are needed and {free / 1e6:.1f} MB are free")


def _chunks(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    while chunk := answer.read1(CHUNK_BYTES):  # what has come, without waiting for more
        yield chunk


def _write(file: FileIO, chunk: bytes, wanted: Wanted) -> None:
    rest = memoryview(chunk)
    try:
        while rest:
            rest = rest[file.write(rest) :]
    except OSError as error:
        if error.errno in FULL:
            raise _no_room(wanted, error.strerror) from error
        raise WeightsError(f"{wanted.target}: cannot be written: {error.strerror}") from error


def _no_room(wanted: Wanted, words: str | None) -> WeightsError:
    return WeightsError(
        f"{wanted.target}: no room on the disk ({words}); free some, or set VID2VID_HOME to a folder on another disk, "
        "and run it again"
    )


def _what_is_wrong(part: Path, wanted: Wanted) -> str | None:
    """Say what is wrong with a file that has come, if anything is."""
    size = part.stat().st_size
    with part.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if wanted.bytes not in (None, size):
        return _wrong_size(size, wanted, head)
    if weights_format(head) is None:
        return f"what the server sends is no weights: {describe_head(head)}"
    sha256 = hash_file(part) if wanted.sha256 else None
    if sha256 != wanted.sha256:
        return f"the sha256 of what the server sends is {sha256}, but {wanted.sha256} is published"
    return None


def _wrong_size(size: int, wanted: Wanted, head: bytes) -> str:
    """Say that a size is wrong, and what else was sent."""
    what = "" if weights_format(head) is not None or not head else f": {describe_head(head)}"
    return f"the server sends {size} bytes where {wanted.bytes} are published{what}"

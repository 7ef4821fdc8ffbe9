"""Download one file over HTTP: resume, check size and sha256, and only then give it its name."""

from __future__ import annotations

import errno
import http.client
import os
import re
import shutil
import socket
import time
import urllib.error
import urllib.parse
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
except ImportError:  # Windows: two downloads at once go unnoticed, but their result fails the sha256
    fcntl = None

CHUNK_BYTES = 1 << 20
PART = ".part"
TRANSIENT = (408, 425, 429, 500, 502, 503, 504)
"""HTTP statuses that are often temporary: another attempt may succeed."""
# No space, no quota, a limit on the size of files.
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

# Called with the bytes downloaded so far, and the total if it is known.
Progress = Callable[[int, int | None], None]


@dataclass(frozen=True)
class DownloadRequest:
    """A file to download. target: its path once it is whole. bytes, sha256: as published, None if unknown."""

    url: str
    target: Path
    bytes: int | None
    sha256: str | None


@dataclass(frozen=True)
class RetryPolicy:
    """When to give up. attempts: how many may fail in a row without any progress. pause_s: before the second attempt,
    doubled before each further one. silence_s: how long a server may send nothing.
    """

    attempts: int = 5
    pause_s: float = 1.0
    silence_s: float = 30.0


class NoNetworkError(WeightsError):
    """This machine is not connected: other sources and further attempts are no use."""


class TransferError(Exception):
    """The connection broke, or the server is busy. Another attempt may work."""


def download(wanted: DownloadRequest, progress: Progress, retry: RetryPolicy | None = None) -> None:
    """Download a file to its target, replacing what is there. Until it is whole it is kept as target.part.

    WeightsError says in one line why that failed. A part that can be resumed is left then.
    """
    retry = retry or RetryPolicy()
    part = wanted.target.with_name(wanted.target.name + PART)
    with _opened(part) as file:
        _fetch(file, wanted, progress, retry)
        os.fsync(file.fileno())  # a power cut must not leave the name with half the bytes
        problem = _find_problem(part, wanted)
    if problem is not None:
        part.unlink(missing_ok=True)
        raise WeightsError(f"{wanted.url}: {problem}; the download was discarded")
    part.replace(wanted.target)


@contextmanager
def _opened(part: Path) -> Iterator[FileIO]:
    """Open a part for reading and writing, in this process only. Leave no empty one behind."""
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


def require_network(url: str) -> None:
    """Raise NoNetworkError if the host of an address has no address itself: nothing else will work, however often.

    Behind a proxy, hosts are looked up there.
    """
    host = urllib.parse.urlsplit(url).hostname
    if urllib.request.getproxies() or host is None:
        return
    try:
        socket.getaddrinfo(host, None)
    except OSError as error:
        raise NoNetworkError(_no_network(url, error)) from error


def _no_network(url: str, error: OSError) -> str:
    cure = "connect this machine, or bring the file from another: vid2vid weights path says where to"
    return f"{url}: no network ({error.strerror or error}); {cure}"


def _fetch(file: FileIO, wanted: DownloadRequest, progress: Progress, retry: RetryPolicy) -> None:
    """Download the rest of a file, retrying as long as that makes progress."""
    tries, reached = 0, file.seek(0, os.SEEK_END)
    while True:
        try:
            return _fetch_rest(file, wanted, progress, retry.silence_s)
        except TransferError as error:
            if not file.tell():  # with a part of it there, the line has only broken, and may come back
                require_network(wanted.url)
            # Progress starts the count again: a slow line that keeps breaking still gets there.
            tries = 1 if file.tell() > reached else tries + 1
            reached = file.tell()
            if tries >= retry.attempts:
                kept = f"; {reached} bytes are kept, and running it again resumes there" if reached else ""
                raise WeightsError(f"{wanted.url}: {error}, after {tries} tries{kept}") from error
            time.sleep(retry.pause_s * 2 ** (tries - 1))


def _fetch_rest(file: FileIO, wanted: DownloadRequest, progress: Progress, silence_s: float) -> None:
    have = file.seek(0, os.SEEK_END)
    if wanted.bytes is not None and have > wanted.bytes:
        file.truncate(have := file.seek(0))  # the part of another version of the file
    if wanted.bytes is not None and have == wanted.bytes:
        return
    # identity: with compression the numbers of bytes would be those of something else.
    headers = {"User-Agent": f"vid2vid/{__version__}", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    with _ask(urllib.request.Request(wanted.url, headers=headers), file, silence_s) as answer:  # noqa: S310
        start = _where_it_starts(answer, have)
        file.truncate(file.seek(start))
        total = _total_of(answer, start)
        _check_before(answer, total, wanted, start)
        for chunk in _chunks(answer):
            _write(file, chunk, wanted)
            progress(file.tell(), wanted.bytes or total)
    if total is not None and file.tell() < total:
        raise TransferError(f"the connection broke at {file.tell()} of {total} bytes")


@contextmanager
def _ask(request: urllib.request.Request, file: FileIO, silence_s: float) -> Iterator[http.client.HTTPResponse]:
    """Send a request. TransferError if another attempt may work, WeightsError if not."""
    try:
        with urllib.request.urlopen(request, timeout=silence_s) as answer:  # noqa: S310  only http and https come here
            yield answer
    except urllib.error.HTTPError as error:
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and file.tell():
            file.truncate(file.seek(0))
            raise TransferError("the server has no such part of the file") from error
        reason = f"the server answers {error.code} {error.reason}"
        if error.code in TRANSIENT:
            raise TransferError(reason) from error
        raise WeightsError(f"{request.full_url}: {reason}; the file does not exist, or is not public") from error
    except (OSError, http.client.HTTPException) as error:  # errors of writing have become WeightsError before
        cause = getattr(error, "reason", None) or error
        raise TransferError(f"no connection ({str(cause) or type(error).__name__})") from error


def _where_it_starts(answer: http.client.HTTPResponse, have: int) -> int:
    """Return the first byte of an answer. A server without ranges sends the whole file again."""
    if answer.status != http.HTTPStatus.PARTIAL_CONTENT:
        return 0
    begun = re.match(r"bytes (\d+)-", answer.headers.get("Content-Range", ""))
    if begun is None or int(begun[1]) > have:
        raise WeightsError(f"{answer.url}: the server sends a different part of the file than requested")
    return int(begun[1])


def _total_of(answer: http.client.HTTPResponse, start: int) -> int | None:
    length = answer.headers.get("Content-Length", "")
    return start + int(length) if length.isascii() and length.isdecimal() else None


def _check_before(answer: http.client.HTTPResponse, total: int | None, wanted: DownloadRequest, start: int) -> None:
    """Refuse a file of the wrong size before it is downloaded, and one for which the disk has no room."""
    if total is not None and wanted.bytes not in (None, total):
        head = b"" if start else answer.read(HEAD_BYTES)
        raise WeightsError(f"{wanted.url}: {_wrong_size(total, wanted, head)}")
    size = wanted.bytes or total
    free = shutil.disk_usage(wanted.target.parent).free
    if size is not None and free < size - start:
        raise _disk_full(wanted, f"{(size - start) / 1e6:.1f} MB are needed and {free / 1e6:.1f} MB are free")


def _chunks(answer: http.client.HTTPResponse) -> Iterator[bytes]:
    while chunk := answer.read1(CHUNK_BYTES):  # whatever has arrived, without waiting for more
        yield chunk


def _write(file: FileIO, chunk: bytes, wanted: DownloadRequest) -> None:
    rest = memoryview(chunk)
    try:
        while rest:
            rest = rest[file.write(rest) :]
    except OSError as error:
        if error.errno in DISK_FULL:
            raise _disk_full(wanted, error.strerror) from error
        raise WeightsError(f"{wanted.target}: cannot be written: {error.strerror}") from error


def _disk_full(wanted: DownloadRequest, reason: str | None) -> WeightsError:
    return WeightsError(
        f"{wanted.target}: no room on the disk ({reason}); free some, or set VID2VID_HOME to a folder on another disk, "
        "and run it again"
    )


def _find_problem(part: Path, wanted: DownloadRequest) -> str | None:
    """Say what is wrong with a downloaded file, or return None."""
    size = part.stat().st_size
    with part.open("rb") as file:
        head = file.read(HEAD_BYTES)
    if wanted.bytes not in (None, size):
        return _wrong_size(size, wanted, head)
    if weights_format(head) is None:
        return f"the server sends something other than weights: {describe_head(head)}"
    sha256 = hash_file(part) if wanted.sha256 else None
    if sha256 != wanted.sha256:
        return f"the sha256 of what the server sends is {sha256}, but {wanted.sha256} is published"
    return None


def _wrong_size(size: int, wanted: DownloadRequest, head: bytes) -> str:
    """Say that the size is wrong, and what was sent instead."""
    # Often it is the page of a portal or an error in JSON, which says more than the size.
    what = "" if weights_format(head) is not None or not head else f": {describe_head(head)}"
    return f"the server sends {size} bytes where {wanted.bytes} are published{what}"

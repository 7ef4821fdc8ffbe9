"""Read a multipart form as it arrives: files go to a folder, bounded in size and time, and half a form leaves none."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio.to_thread
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect, Request

from vid2vid_cli.serve.options import Limits
from vid2vid_cli.serve.refusals import RefusedError
from vid2vid_cli.serve.store import FileStore, Upload, Uploads

MOST_PARTS, MOST_NAME = 8, 200
KEPT_BYTES = 1 << 20  # of a file, before they are written
FIRST_S = 60.0  # before a slow upload counts as too slow


@dataclass
class Form:
    """What a form holds. fields: short values by name. files: uploads by name."""

    fields: dict[str, bytes] = field(default_factory=dict)
    files: dict[str, Upload] = field(default_factory=dict)


@dataclass
class _Part:
    """A part that is being read. upload: None for a field. body: what has arrived and is not yet written."""

    name: str
    upload: Upload | None
    body: bytearray = field(default_factory=bytearray)
    is_whole: bool = False


@asynccontextmanager
async def read_form(request: Request, store: FileStore, limits: Limits) -> AsyncIterator[Form]:
    """Read the form of a request. Uploads that the block does not keep are gone after it, whatever happens."""
    kind, parameters = parse_options_header(request.headers.get("content-type"))
    boundary = parameters.get(b"boundary", b"")
    if kind != b"multipart/form-data" or not boundary:
        raise RefusedError("send a form: multipart/form-data with its boundary", 415)
    with store.receiving() as uploads:
        reader = _FormReader(boundary, uploads, limits)
        await _feed(reader, request, limits)
        yield reader.form


async def _feed(reader: _FormReader, request: Request, limits: Limits) -> None:
    """Pass on what arrives, as long as it arrives quickly enough."""
    began, received = time.monotonic(), 0
    parts = request.stream()
    while True:
        try:
            data = await asyncio.wait_for(anext(parts), limits.part_s)
        except StopAsyncIteration:
            break
        except asyncio.TimeoutError as error:
            raise RefusedError(f"nothing arrived for {limits.part_s:g} s; send it again", 408) from error
        except ClientDisconnect as error:
            raise RefusedError("the upload broke off", 400) from error
        received += len(data)
        if time.monotonic() - began > FIRST_S + received / limits.least_bytes_per_s:
            raise RefusedError("the upload is too slow; use a better connection", 408)
        await reader.take(data)
    reader.finish()


class _FormReader:
    """Sorts the bytes of a form into its parts."""

    def __init__(self, boundary: bytes, uploads: Uploads, limits: Limits) -> None:
        self.form = Form()
        self._uploads, self._limits = uploads, limits
        self._parts: list[_Part] = []
        self._header: list[bytearray] = [bytearray(), bytearray()]
        self._disposition: dict[bytes, bytes] = {}
        self._is_whole = False
        callbacks: Any = {
            "on_part_begin": self._begin_part,
            "on_header_field": lambda data, start, end: self._header[0].extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._header[1].extend(data[start:end]),
            "on_header_end": self._end_header,
            "on_headers_finished": self._open_part,
            "on_part_data": lambda data, start, end: self._parts[-1].body.extend(data[start:end]),
            "on_part_end": self._end_part,
            "on_end": self._end,
        }
        try:
            self._parser = MultipartParser(boundary, callbacks)
        except FormParserError as error:
            raise RefusedError(f"the form cannot be read: {error}", 400) from error

    async def take(self, data: bytes) -> None:
        """Take the next bytes, and write the parts that are files as far as they have come."""
        try:
            self._parser.write(data)
        except FormParserError as error:
            raise RefusedError(f"the form cannot be read: {error}", 400) from error
        for part in self._parts:
            await self._settle(part)
        self._parts = [part for part in self._parts if not part.is_whole]

    def finish(self) -> None:
        """Raise RefusedError unless the form has come to its end."""
        if not self._is_whole:
            raise RefusedError("the form ends in the middle; send it again", 400)

    async def _settle(self, part: _Part) -> None:
        if part.upload is None:
            if len(part.body) > self._limits.field_bytes:
                raise RefusedError(f"the field {part.name} is longer than {self._limits.field_bytes} bytes", 413)
            self.form.fields[part.name] = bytes(part.body)
            return
        if len(part.body) > KEPT_BYTES or part.is_whole:
            body, part.body = bytes(part.body), bytearray()
            part.upload.check_room(len(body))
            await anyio.to_thread.run_sync(part.upload.write, body)
        if part.is_whole:
            part.upload.close()

    def _begin_part(self) -> None:
        self._header, self._disposition = [bytearray(), bytearray()], {}

    def _end_header(self) -> None:
        name, value = (bytes(part) for part in self._header)
        self._header = [bytearray(), bytearray()]
        if name.lower() == b"content-disposition":
            _, self._disposition = parse_options_header(value)

    def _open_part(self) -> None:
        name = self._disposition.get(b"name", b"").decode("utf-8", "replace")[:MOST_NAME]
        filename = self._disposition.get(b"filename")
        taken = len(self.form.fields) + len(self.form.files)
        if not name or name in self.form.fields or name in self.form.files or taken >= MOST_PARTS:
            raise RefusedError("each part of a form needs a name of its own, and there may be 8", 400)
        if filename is None:
            self.form.fields[name] = b""
            self._parts.append(_Part(name, None))
            return
        upload = self._uploads.begin(filename.decode("utf-8", "replace"))
        self.form.files[name] = upload
        self._parts.append(_Part(name, upload))

    def _end_part(self) -> None:
        self._parts[-1].is_whole = True

    def _end(self) -> None:
        self._is_whole = True

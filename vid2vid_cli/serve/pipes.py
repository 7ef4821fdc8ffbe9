"""Messages between the server and the processes that it starts: JSON or bytes, each with its length in front."""

from __future__ import annotations

import asyncio
import contextlib
import json
import struct
import tempfile
from collections.abc import Mapping
from typing import IO, Any

from vid2vid_cli.errors import Vid2VidError
from vid2vid_cli.process.python_child import environment_for, python_command

Message = Mapping[str, Any] | bytes
_HEAD = struct.Struct(">BI")  # whether it is bytes, and how many
_JSON, _BYTES = 0, 1
PIPE_BYTES = 1 << 20
"""How much of what a process sends is kept in memory before it has to wait."""


def pack(message: Message) -> bytes:
    """Return a message as it goes through a pipe."""
    is_bytes = isinstance(message, bytes)
    body = message if isinstance(message, bytes) else json.dumps(message).encode()
    return _HEAD.pack(_BYTES if is_bytes else _JSON, len(body)) + body


def unpack(kind: int, body: bytes) -> Message:
    """Return a message from its parts."""
    plain: Mapping[str, Any] = {} if kind == _BYTES else json.loads(body)
    return body if kind == _BYTES else plain


def read_message(file: IO[bytes]) -> Message | None:
    """Wait for the next message; None once the other side is gone. For the process that was started."""
    head = file.read(_HEAD.size)
    if len(head) < _HEAD.size:
        return None
    kind, length = _HEAD.unpack(head)
    body = file.read(length)
    return unpack(kind, body) if len(body) == length else None


class ChildProcess:
    """A process of a module of this package that takes messages and sends some. It must end when its input does."""

    def __init__(self, process: asyncio.subprocess.Process, log: IO[bytes]) -> None:
        self._process, self._log = process, log

    @classmethod
    async def start(cls, module: str, *arguments: str, threads: int = 1) -> ChildProcess:
        """Start one, in a session of its own, so that Ctrl-C does not reach it. threads: of each of its libraries."""
        log = tempfile.TemporaryFile()  # noqa: SIM115  closed with the process
        process = await asyncio.create_subprocess_exec(
            *python_command(module, *arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=log,
            limit=PIPE_BYTES,
            start_new_session=True,
            env=environment_for(threads),
        )
        return cls(process, log)

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.returncode is None

    async def send(self, message: Message) -> None:
        """Send a message, and wait while the process has not taken the ones before it. Lost if it has ended."""
        if self._process.stdin is None:
            raise ValueError("a child without an input")
        with contextlib.suppress(ConnectionError):
            self._process.stdin.write(pack(message))
            await self._process.stdin.drain()

    async def receive(self) -> Message | None:
        """Wait for the next message; None once it has ended."""
        if self._process.stdout is None:
            raise ValueError("a child without an output")
        try:
            kind, length = _HEAD.unpack(await self._process.stdout.readexactly(_HEAD.size))
            return unpack(kind, await self._process.stdout.readexactly(length))
        except (asyncio.IncompleteReadError, ConnectionError):
            return None

    def last_words(self) -> str:
        """Return the last line that it wrote before it ended."""
        self._log.seek(0)
        lines = self._log.read().decode("utf-8", "replace").strip().splitlines()
        return lines[-1] if lines else "it may have run out of memory"

    async def end(self) -> None:
        """End it at once, whatever it does: it keeps nothing."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._log.close()


class BrokenOffError(Vid2VidError):
    """A process ended in the middle of what it was asked for."""

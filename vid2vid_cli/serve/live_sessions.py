"""The processes that render live pictures: one for each that is shown, so that none of them slows the others down."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from vid2vid_cli.serve.options import Limits, ServeOptions
from vid2vid_cli.serve.pipes import ChildProcess
from vid2vid_cli.serve.refusals import RefusedError

MOST_IN_FLIGHT = 2
"""How many pictures of a camera a client may have on their way."""
END_S = 3.0


class LiveSessions:
    """Lends processes to live pictures. One that is free is kept warm."""

    def __init__(self, options: ServeOptions, limits: Limits) -> None:
        self._options, self._limits = options, limits
        self._running: set[ChildProcess] = set()
        self._spare: ChildProcess | None = None
        self._open = 0

    async def warm_up(self) -> None:
        """Start a process for the first live picture, unless there is one."""
        if self._spare is None and not self._running:
            self._spare = await self._start()

    async def _start(self) -> ChildProcess:
        options = self._options
        words = (options.checkpoint, options.device, options.dtype, options.detector)
        child = await ChildProcess.start("vid2vid_cli.serve.live_worker", *words)
        self._running.add(child)
        return child

    @asynccontextmanager
    async def lend(self) -> AsyncIterator[Callable[[], Awaitable[ChildProcess]]]:
        """Keep a place for the block, and give what gets its process. RefusedError if all places are taken.

        Who asks for no process, as whoever leaves without a word, costs none.
        """
        if self._open >= self._limits.sockets:
            raise RefusedError(f"there are {self._limits.sockets} live pictures already; close one", 429)
        self._open += 1
        child: ChildProcess | None = None

        async def process() -> ChildProcess:
            nonlocal child
            child = await self._take_spare() or await self._start()
            return child

        try:
            yield process
        finally:
            self._open -= 1
            if child is not None:
                await asyncio.shield(self._take_back(child))

    async def _take_spare(self) -> ChildProcess | None:
        child, self._spare = self._spare, None
        if child is not None and not child.is_running:
            self._running.discard(child)
            await child.end()
            return None
        return child

    async def _take_back(self, child: ChildProcess) -> None:
        """Keep a process warm if no other is and if it still listens; otherwise end it."""
        is_free = False
        if self._spare is None:
            with contextlib.suppress(asyncio.TimeoutError):
                is_free = await asyncio.wait_for(_is_freed(child), END_S)
        if is_free and self._spare is None:
            self._spare = child
            return
        self._running.discard(child)
        await child.end()

    async def close(self) -> None:
        """End all processes."""
        children, self._running, self._spare = list(self._running), set(), None
        await asyncio.gather(*(child.end() for child in children))


async def _is_freed(child: ChildProcess) -> bool:
    await child.send({"type": "end"})
    while (message := await child.receive()) is not None:
        if not isinstance(message, bytes) and message["type"] == "ended":
            return True
    return False

"""Ask the process of looker.py, which is started when the server is, and again if it has died."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vid2vid_cli.errors import Vid2VidError
from vid2vid_cli.serve.options import Limits
from vid2vid_cli.serve.pipes import ChildProcess
from vid2vid_cli.serve.refusals import UNPROCESSABLE, RefusedError

LONGEST_S = 120.0
"""How long a look may take, on a busy machine and with a long video, before its process is ended."""


class Looker:
    """Looks at files and options, one after the other."""

    def __init__(self, checkpoint: str, limits: Limits) -> None:
        self._checkpoint, self._limits = checkpoint, limits
        self._child: ChildProcess | None = None
        self._turn = asyncio.Lock()
        self._family: Mapping[str, Any] | None = None

    async def warm_up(self) -> None:
        """Start the process and let it load what the first look would wait for."""
        await self._ask("ready")

    async def family(self) -> Mapping[str, Any]:
        """Return what the checkpoint can do; see `Looks.family`."""
        if self._family is None:
            self._family = await self._ask("family")
        return self._family

    async def describe(self, path: Path) -> dict[str, Any]:
        """Return what a file holds; see `Looks.describe`."""
        limits = self._limits
        return dict(await self._ask("describe", path=str(path), pixels=limits.pixels, duration_s=limits.duration_s))

    async def check(self, command: str, options: Mapping[str, Any], output: str, **known: Any) -> None:
        """Raise RefusedError for options that make no sense; see `Looks.check`."""
        await self._ask("check", command=command, options=options, output=output, **known)

    async def _ask(self, what: str, **given: Any) -> Any:
        async with self._turn:
            if self._child is None or not self._child.is_running:
                await self.close()
                self._child = await ChildProcess.start("vid2vid_cli.serve.looker", self._checkpoint)
            try:
                answer = await asyncio.wait_for(self._exchange(self._child, what, given), LONGEST_S)
            except BaseException as error:  # a client that went away too: the answer must not reach the next one
                await self.close()
                if isinstance(error, asyncio.TimeoutError):
                    raise RefusedError(
                        f"nothing was found out in {LONGEST_S:g} s; try a smaller file", 422, 1
                    ) from error
                raise
        if "error" in answer:
            raise RefusedError(answer["error"], UNPROCESSABLE, answer["code"])
        return answer.get("result")

    async def _exchange(self, child: ChildProcess, what: str, given: Mapping[str, Any]) -> Mapping[str, Any]:
        await child.send({"do": what, "with": given})
        answer = await child.receive()
        if not isinstance(answer, Mapping):
            words = child.last_words()
            await self.close()
            raise Vid2VidError(f"the process that looks at files has ended: {words}")
        return answer

    async def close(self) -> None:
        """End the process."""
        child, self._child = self._child, None
        if child is not None:
            await child.end()

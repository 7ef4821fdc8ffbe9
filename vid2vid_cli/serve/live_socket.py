"""The WebSocket of a live picture: what the client sends goes to a process, and its pictures go back."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from vid2vid_cli.errors import UsageError, Vid2VidError, describe_failure, one_line
from vid2vid_cli.serve.clients_json import parse_json
from vid2vid_cli.serve.options import Limits
from vid2vid_cli.serve.pipes import ChildProcess
from vid2vid_cli.serve.refusals import RefusedError
from vid2vid_cli.serve.service import Service
from vid2vid_cli.serve.store import FileStore

FIRST_S = 30.0
"""How long a client may take to say what it wants."""
TYPES = ("controls", "reference", "stop_camera")
USUAL_PX, LARGEST_PX = 512, 1280
"""The longer side of a live picture: where none is asked for, and at most."""
TRY_LATER, GOING_AWAY, REFUSED = 1013, 1001, 1008


async def live(socket: WebSocket) -> None:
    """Show a live picture until the client has seen enough."""
    service: Service = socket.app.state.service
    await socket.accept()
    try:
        async with service.live.lend() as process:
            with ExitStack() as in_use:
                order = await _first_order(socket, service, in_use)
                child = await process()
                await child.send(order)
                await _run(socket, child, service, in_use)
    except WebSocketDisconnect:
        return
    except asyncio.TimeoutError:  # the client takes nothing any more
        return
    except (Vid2VidError, OSError) as error:
        code = TRY_LATER if isinstance(error, RefusedError) and error.status == 429 else REFUSED
        await _close(socket, describe_failure(error)[0], code)


async def _close(socket: WebSocket, line: str, code: int) -> None:
    """Say why, then close."""
    try:
        await socket.send_json({"type": "error", "error": one_line(line)})
        await socket.close(code)
    except (WebSocketDisconnect, RuntimeError, asyncio.TimeoutError):  # it has gone already
        return


async def _first_order(socket: WebSocket, service: Service, in_use: ExitStack) -> dict[str, Any]:
    try:
        order = _parse(await asyncio.wait_for(_receive(socket), FIRST_S))
    except asyncio.TimeoutError as error:
        raise RefusedError("live: the first message did not come", 408) from error
    if order is None or order["type"] != "start":
        raise UsageError('live: begin with a message such as {"type": "start", "source": "ID of a file"}')
    stored = service.store.get(order.get("source"), ("picture", "person"), "source")
    size, face = order.get("size"), order.get("face", "largest")
    if size is not None and (isinstance(size, bool) or not isinstance(size, int) or not 16 <= size <= LARGEST_PX):
        raise UsageError(f"live: size: write the longer side in pixels, 16 to {LARGEST_PX}")
    in_use.enter_context(service.store.use(stored))
    sides = [side for side in (stored.facts["width"], stored.facts["height"]) if side] or [USUAL_PX]
    return {
        "type": "start",
        "source": str(stored.path),
        "face": str(face)[:40],
        "size": size or min(USUAL_PX, *sides, max(sides)),
        "max_pixels": service.limits.pixels,
    }


async def _run(socket: WebSocket, child: ChildProcess, service: Service, in_use: ExitStack) -> None:
    """Pass messages on both ways until one side ends; the other way ends with it."""
    names = {str(stored.path): stored.name for stored in service.store.files.values()}
    up = asyncio.ensure_future(_pass_up(socket, child, service.store, service.limits, in_use))
    down = asyncio.ensure_future(_pass_down(socket, child, names))
    try:
        done, _ = await asyncio.wait((up, down), return_when=asyncio.FIRST_COMPLETED)
        for each in done:
            each.result()
    finally:
        for each in (up, down):
            each.cancel()
        await asyncio.gather(up, down, return_exceptions=True)


async def _pass_up(socket: WebSocket, child: ChildProcess, store: FileStore, limits: Limits, in_use: ExitStack) -> None:
    while True:
        message = await _receive(socket)
        if isinstance(message, bytes):
            await child.send(message)
            continue
        try:
            order = _parse(message)
            if order is None or order["type"] not in TYPES:
                raise UsageError(f"live: send pictures, or messages of the types {', '.join(TYPES)}")
            await child.send(_with_files(order, store, in_use))
        except Vid2VidError as error:
            await socket.send_json({"type": "warning", "warning": one_line(str(error))})


def _with_files(order: dict[str, Any], store: FileStore, in_use: ExitStack) -> dict[str, Any]:
    """Return an order with a file in place of its id, which stays on the disk as long as the live picture needs it."""
    number = order.get("background")
    stored = store.files.get(number) if isinstance(number, str) else None
    rest = {name: value for name, value in order.items() if name not in ("background", "background_path")}
    if stored is None:
        return rest | ({"background": number} if number is not None else {})
    in_use.enter_context(store.use(stored))
    return rest | {"background_path": str(stored.path)}


async def _pass_down(socket: WebSocket, child: ChildProcess, names: Mapping[str, str]) -> None:
    while (message := await child.receive()) is not None:
        if isinstance(message, bytes):
            await socket.send_bytes(message)
            continue
        if message["type"] in ("loaded", "ended"):
            continue
        plain = dict(message)
        for kind in {"warning", "error"} & plain.keys():
            for path, name in names.items():
                plain[kind] = plain[kind].replace(path, name)
        if plain["type"] == "error":
            raise RefusedError(plain["error"], 422)
        await socket.send_json(plain)
    raise Vid2VidError(f"the process that renders has ended: {child.last_words()}")


async def _receive(socket: WebSocket) -> str | bytes:
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", GOING_AWAY))
    return message["bytes"] if message.get("bytes") is not None else str(message.get("text"))


def _parse(message: str | bytes) -> dict[str, Any] | None:
    """Return a text message as an object with a type; None for anything else."""
    if isinstance(message, bytes):
        return None
    try:
        plain = parse_json(message)
    except ValueError:
        return None
    return plain if isinstance(plain, dict) and isinstance(plain.get("type"), str) else None

"""Listen, and end in time: what uvicorn leaves to whoever uses it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import socket
import ssl
from collections.abc import Callable
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from vid2vid_cli.batch.jobs import checkpoint_parts
from vid2vid_cli.errors import UsageError, Vid2VidError, WeightsError
from vid2vid_cli.serve.app import make_app
from vid2vid_cli.serve.guard import Door
from vid2vid_cli.serve.options import Limits, ServeOptions
from vid2vid_cli.serve.service import Folders, private_folder

GRACE_S = 0.3
"""How long answers that are on their way may take when the server ends."""


class PatientProtocol(H11Protocol):
    """HTTP, but no client may keep a connection open without asking for anything, and there are only so many."""

    limits: Limits
    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Take a connection, or close it at once if there are too many."""
        super().connection_made(transport)
        if len(self.connections) > self.limits.connections:
            transport.abort()
        else:
            self._wait_for_head()

    def data_received(self, data: bytes) -> None:
        """Take bytes, and count the time until they are a whole head of a request."""
        super().data_received(data)
        if self.cycle is None or self.cycle.response_complete:
            self._wait_for_head()
        else:
            self._stop_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget a connection."""
        self._stop_waiting()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self, event: Any) -> None:
        """Hand the connection over to the WebSocket's protocol."""
        self._stop_waiting()
        super().handle_websocket_upgrade(event)

    def _wait_for_head(self) -> None:
        if self._waiting is None:
            self._waiting = self.loop.call_later(self.limits.head_s, self._give_up)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _give_up(self) -> None:
        self._waiting = None
        # A WebSocket has taken the connection over, or an answer is on its way.
        if self.transport.get_protocol() is self and (self.cycle is None or self.cycle.response_complete):
            self.transport.close()


def serve(options: ServeOptions, announce: Callable[[Door], None]) -> None:
    """Serve until a signal comes. announce: called with the address when it can be asked.

    Raises UsageError if nothing can listen there or if the certificate cannot be used, and WeightsError if there is no
    such checkpoint.
    """
    options.check_files()
    if not checkpoint_parts(options.checkpoint):  # else each client would be told, and nobody at the start
        raise WeightsError(
            f"-c {options.checkpoint}: no such checkpoint on this machine; give its path, or see vid2vid weights list"
        )
    with contextlib.closing(_listen(options)) as listening, private_folder() as scratch:
        port = listening.getsockname()[1]
        door = Door(options, port, options.token or secrets.token_urlsafe(24))
        failures: list[Vid2VidError] = []
        folders = Folders.under(scratch.folder, options.keep)
        app = make_app(door, folders, lambda: announce(door), failures.append)
        logging.getLogger("uvicorn").setLevel(logging.CRITICAL)
        try:
            uvicorn.Server(_config(app, options)).run(sockets=[listening])
        except SystemExit:
            if failures:
                raise failures[0] from None
            raise


def _listen(options: ServeOptions) -> socket.socket:
    """Open the socket, so that a mistake is told in one line and before anything else is begun."""
    try:
        family, kind, _, _, address = socket.getaddrinfo(options.host, options.port, type=socket.SOCK_STREAM)[0]
        # With the protocol named, asyncio sends each message at once; else the second of two waits 40 ms for an answer.
        listening = socket.socket(family, kind, socket.IPPROTO_TCP)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.listen()  # the address may be asked as soon as it is printed
    except OSError as error:
        raise UsageError(
            f"--host {options.host} --port {options.port}: cannot listen there: {error.strerror}; "
            "choose another --port, or 0 for a free one"
        ) from error
    return listening


def _config(app: Any, options: ServeOptions) -> uvicorn.Config:
    limits = Limits.of(options)
    protocol: Any = type("LimitedProtocol", (PatientProtocol,), {"limits": limits})
    config = uvicorn.Config(
        app,
        http=protocol,
        ws="websockets-sansio",
        ws_max_size=limits.message_bytes,
        ws_per_message_deflate=False,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=GRACE_S,  # type: ignore[arg-type]  # seconds of any kind do
        ssl_certfile=options.certificate,
        ssl_keyfile=options.key,
    )
    try:
        config.load()
    except (ssl.SSLError, OSError) as error:
        raise UsageError(
            f"--certificate {options.certificate} --key {options.key}: cannot be used: {error}; "
            "give a certificate and its unencrypted key, both PEM"
        ) from error
    return config

"""Let in only who has the token, from this server's own pages, and send strict headers with everything."""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
import socket
from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from vid2vid_cli.serve.options import ServeOptions
from vid2vid_cli.serve.refusals import error_response

LOCAL_NAMES = ("localhost", "127.0.0.1", "[::1]")
COOKIE = "vid2vid_token"
HOW_TO_OPEN = (
    "This is vid2vid serve. Open it by the address that it printed when it started, which ends in ?token=...\n"
    "Programs send the header  Authorization: Bearer TOKEN\n"
)
_POLICY = (
    "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; connect-src 'self' {sockets}; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "camera=(self), microphone=(self)",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


@dataclass(frozen=True)
class Door:
    """Who may come in. port: that the server listens on, which the system may have chosen."""

    options: ServeOptions
    port: int
    token: str

    @property
    def scheme(self) -> str:
        """Return http or https."""
        return "https" if self.options.is_encrypted else "http"

    @property
    def address(self) -> str:
        """The address to open, token included."""
        host = self.options.host
        if host in ("0.0.0.0", "::"):  # noqa: S104  compared, not bound: no browser opens these
            host = socket.gethostname()
        shown = f"[{host}]" if ":" in host else host
        return f"{self.scheme}://{shown}:{self.port}/?token={self.token}"

    @property
    def cookie(self) -> str:
        """The cookie's name: browsers do not tell ports apart, so that two servers would take each other's."""
        return f"{COOKIE}_{self.port}"

    def knows_host(self, host: str) -> bool:
        """Say whether a Host header names this server. A name that somebody else's DNS points here does not."""
        name, _, port = host.rpartition(":")
        if port != str(self.port):
            name, default = host, {"http": 80, "https": 443}[self.scheme]
            if self.port != default:
                return False
        name, bound = name.lower(), self.options.host.lower()
        if self.options.is_private:
            return name in LOCAL_NAMES or name.strip("[]") == bound
        return name.strip("[]") in (bound, "localhost", socket.gethostname().lower()) or _is_address(name)

    def knows_origin(self, origin: str, host: str) -> bool:
        """Say whether an Origin header names the page that this server gave under that host."""
        parts = urlsplit(origin)
        return (parts.scheme, parts.netloc.lower()) == (self.scheme, host.lower())

    def has_key(self, scope: Scope, headers: Headers) -> bool:
        """Say whether a request carries the token: in its cookie, its Authorization, or a WebSocket's query."""
        kind, _, bearer = headers.get("authorization", "").partition(" ")
        given = [bearer] if kind.lower() == "bearer" else []
        try:
            cookie = SimpleCookie(headers.get("cookie", "")).get(self.cookie)
        except CookieError:
            cookie = None
        given += [cookie.value] if cookie is not None else []
        if scope["type"] == "websocket":
            given += query_tokens(scope)
        return any(map(self.is_token, given))

    def is_token(self, given: str) -> bool:
        """Compare in constant time."""
        return secrets.compare_digest(given.strip().encode("utf-8", "replace"), self.token.encode())


def query_tokens(scope: Scope) -> list[str]:
    """Return what the query of a request says about the token."""
    try:
        return parse_qs(scope["query_string"].decode("ascii", "replace"), max_num_fields=20).get("token", [])
    except ValueError:
        return []


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True


class Guard:
    """The outermost layer of the application. send_s: how long a client may take to take a piece of an answer."""

    def __init__(self, app: ASGIApp, door: Door, send_s: float) -> None:
        self._app, self._door, self._send_s = app, door, send_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or answer it."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope, Headers(scope=scope))
        if scope["type"] == "websocket" and refusal is not None:
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return

        async def send_strictly(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._add_headers(message, scope)
            await asyncio.wait_for(send(message), self._send_s)

        await (refusal or self._app)(scope, receive, send_strictly)

    def _refusal(self, scope: Scope, headers: Headers) -> Response | None:
        """Return the answer to who may not come in as they are, None to all others."""
        door, hosts = self._door, headers.getlist("host")
        if len(hosts) != 1 or not door.knows_host(hosts[0]):
            return error_response("this server is not called that; open the address that it printed", 403, 2)
        origins = headers.getlist("origin")
        if len(origins) > 1 or (origins and not door.knows_origin(origins[0], hosts[0])):
            return error_response("another page asked for this; only this server's own may", 403, 2)
        if scope["type"] == "http" and scope["path"] == "/":
            given = query_tokens(scope)
            if given and door.is_token(given[0]):
                return self._welcome()
        if not door.has_key(scope, headers):
            if scope["path"].startswith("/api"):
                return error_response("the token is missing or wrong; see where vid2vid serve was started", 401, 2)
            return PlainTextResponse(HOW_TO_OPEN, 401)
        return None

    def _welcome(self) -> Response:
        """Keep the token in a cookie, and take it out of the address, where others could read it."""
        response = RedirectResponse("/", 303)
        response.set_cookie(
            self._door.cookie,
            self._door.token,
            path="/",
            httponly=True,
            samesite="strict",
            secure=self._door.options.is_encrypted,
        )
        return response

    def _add_headers(self, message: Message, scope: Scope) -> None:
        headers, host = MutableHeaders(scope=message), Headers(scope=scope).get("host", "")
        own = host if self._door.knows_host(host) else "127.0.0.1"
        sockets = f"{'wss' if self._door.options.is_encrypted else 'ws'}://{own}"
        headers["Content-Security-Policy"] = _POLICY.format(sockets=sockets)
        for name, value in _HEADERS.items():
            headers[name] = value
        headers["Cache-Control"] = "no-store" if scope["path"].startswith("/api") else "no-cache"

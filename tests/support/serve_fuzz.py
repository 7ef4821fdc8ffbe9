"""Ask a server thousands of things that make no sense, the same ones for the same seed."""

from __future__ import annotations

import contextlib
import json
import random
import socket
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
from websockets.exceptions import ConnectionClosed, InvalidHandshake
from websockets.sync.client import ClientConnection

from tests.support.servers import RunningServer
from vid2vid_cli.batch.jobs import KINDS
from vid2vid_cli.serve.endpoints import ENDPOINTS
from vid2vid_cli.serve.job_requests import describe_options

METHODS = ("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE", "BREW")
VALUES: tuple[Any, ...] = (
    *(
        None,
        True,
        False,
        0,
        -1,
        1,
        0.5,
        1e308,
        -1e308,
        2**63,
        10**40,
        "",
        "a",
        "\0",
        "\ud800",
        "é顔",
        "1:2:3",
        "-9:9:0",
    ),
    *(
        "nan",
        "inf",
        "../../etc/passwd",
        "/dev/zero",
        "~root",
        "%s%n",
        "$(id)",
        "jawOpen=1",
        "jawOpen=" * 50,
        "x" * 5000,
    ),
    *([], {}, [[]], {"a": {"b": []}}, "keep", "blur", "red", "transparent", "largest", "all", "0", "camera", "libx264"),
)
ANSWER_S = 120.0


@dataclass
class Fuzzer:
    """Sends nonsense.

    seed: of what is sent. source: a file that is there. seen: how often each status came back. broken: answers of
    statuses from 500, with what was sent.
    """

    server: RunningServer
    seed: int
    source: str
    seen: Counter[object] = field(default_factory=Counter)
    broken: list[object] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self.options = {command: [each["name"] for each in describe_options(command)] for command in KINDS}

    def run(self, count: int) -> None:
        """Send so many requests and messages."""
        kinds: list[Callable[[], object]] = [self.request, self.form, self.job, self.raw]
        for number in range(count):
            if number % 50 == 0:
                self.messages(min(25, count - number))
            self.seen[self.random.choice(kinds)()] += 1

    # --- requests ---

    def request(self) -> int:
        """Ask for some address in some way."""
        r = self.random
        path = r.choice(ENDPOINTS).path.replace("{id}", r.choice((self.source, "0" * 16, self.tame(20), "..")))
        headers = {r.choice(("Range", "Accept", "Cookie", "If-None-Match", "Content-Type", "Origin")): self.tame(30)}
        body = r.randbytes(r.choice((0, 10, 1000))) if r.random() < 0.5 else b""
        method = r.choice(("GET", *METHODS))
        if method == "DELETE" and self.source in path:
            method = "GET"
        return self.ask(method, path + r.choice(("", "/", "?", "?download=1", "?" + self.tame(9))), headers, body)

    def form(self) -> int:
        """Send a form that was damaged on its way."""
        r = self.random
        name = r.choice(("file", "source", "driving", "job", self.junk(5)))
        body = (
            (
                f'--b\r\nContent-Disposition: form-data; name="{name}"; filename="{self.junk(8)}"\r\n'
                "Content-Type: image/png\r\n\r\n"
            ).encode("utf-8", "replace")
            + r.randbytes(r.choice((0, 1, 500)))
            + b"\r\n--b--\r\n"
        )
        damaged = bytearray(body)
        for _ in range(r.choice((0, 1, 5))):
            damaged[r.randrange(len(damaged))] = r.randrange(256)
        cut = bytes(damaged[: r.choice((len(damaged), r.randrange(len(damaged) + 1)))])
        kind = r.choice(("multipart/form-data; boundary=b", "multipart/form-data", self.tame(20)))
        return self.ask("POST", r.choice(("/api/files", "/api/jobs")), {"Content-Type": kind}, cut)

    def job(self) -> int:
        """Ask for a job with values of all kinds."""
        r = self.random
        command = r.choice((*KINDS, "batch"))
        names = r.sample(self.options.get(command, ["yaw", "pitch"]), 2)
        asked = {
            "command": command,
            "source": r.choice((self.source, self.value())),
            "options": {**{name: self.value() for name in names}, "size": 64, self.junk(4): self.value()},
            r.choice(("driving", "format", "output", self.junk(3))): r.choice((self.source, self.value())),
        }
        files = {"job": (None, json.dumps(asked).encode())}
        answer = self.server.client.post("/api/jobs", files=files)
        self.note(answer, asked)
        if answer.status_code == 201:  # now and then it does make sense
            self.server.client.delete(f"/api/jobs/{answer.json()['id']}")
            self.server.client.delete(f"/api/jobs/{answer.json()['id']}")
        return answer.status_code

    def raw(self) -> str:
        """Send bytes that are no request."""
        r = self.random
        head = f"{r.choice(METHODS)} /{self.junk(6)} HTTP/1.{r.choice('0129')}\r\nHost: {self.server.host}\r\n"
        lengths = f"Content-Length: {r.choice((5, -1, 10**20, 'x'))}\r\nTransfer-Encoding: {r.choice(('chunked', 'x'))}"
        sent = r.choice((head + self.junk(30), head + lengths + "\r\n\r\n", self.junk(200))).encode("utf-8", "replace")
        with socket.create_connection(("127.0.0.1", self.server.port), ANSWER_S) as raw:
            raw.sendall(sent)
            raw.shutdown(socket.SHUT_WR)
            answer = b""
            with contextlib.suppress(ConnectionResetError):
                answer = raw.recv(4096)
        return answer[9:12].decode("ascii", "replace")

    def ask(self, method: str, path: str, headers: dict[str, str], body: bytes) -> int:
        """Ask, and read as much of the answer as an endless one allows."""
        headers = {name: value.encode("ascii", "replace").decode() for name, value in headers.items()}
        try:
            with self.server.client.stream(method, path, headers=headers, content=body) as answer:
                self.note(answer, method, path, headers, body)
                return answer.status_code
        except (httpx.LocalProtocolError, httpx.InvalidURL):
            return 0  # the client itself refuses to send such a thing
        except httpx.RemoteProtocolError:
            return -1  # closed without a word, which is the right of a server

    def note(self, answer: httpx.Response, *sent: object) -> None:
        """Keep an answer of a server that is broken."""
        if answer.status_code >= 500:
            self.broken.append((sent, answer.read()))

    # --- messages ---

    def messages(self, count: int) -> None:
        """Send messages to a live picture until it closes."""
        with contextlib.suppress(ConnectionClosed, InvalidHandshake), self.server.socket() as live:
            live.send(json.dumps({"type": "start", "source": self.source, "size": 64}))
            for _ in range(count):
                live.send(self.message())
                self.seen["message"] += 1
                self._drain(live)
            live.send(self.random.choice(('{"type": "start"}', "[]", b"")))

    def message(self) -> str | bytes:
        """Return some message."""
        r = self.random
        names = ("yaw", "strength", "expressions", "gaze", "background", "mirror", "is_paused", "source", self.junk(4))
        return r.choice(
            (
                r.randbytes(r.choice((0, 3, 2000))),
                self.junk(40),
                json.dumps({"type": r.choice(("controls", "reference", "stop_camera", "start", self.junk(4)))}),
                json.dumps({"type": "controls", r.choice(names): self.value(), r.choice(names): self.value()}),
            )
        )

    def _drain(self, live: ClientConnection) -> None:
        with contextlib.suppress(TimeoutError):
            while True:
                live.recv(0)

    def value(self) -> Any:
        """Return some value."""
        return self.random.choice(VALUES)

    def tame(self, length: int) -> str:
        """Return some characters that a client library agrees to send in an address or a header."""
        return "".join(self.random.choice("abc/.%;='~0-,*") for _ in range(length))

    def junk(self, length: int) -> str:
        """Return some characters."""
        return "".join(self.random.choice("abc/.%\\\"';=\r\n\0\x7f é\u202e{}[]0") for _ in range(length))

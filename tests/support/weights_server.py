"""A real HTTP server on this machine that gives files, and gives them badly where it is told to."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class Given:
    """A file and how it is given.

    breaks: how many bytes come before the connection breaks, one number for each of the first requests. has_ranges:
    whether a part may be asked for. status: an error to answer with, once for each in the list. wait: set by the test
    when the rest may come, after the first half.
    """

    content: bytes
    breaks: list[int] = field(default_factory=list)
    has_ranges: bool = True
    status: list[int] = field(default_factory=list)
    wait: threading.Event | None = None
    has_length: bool = True


class Server:
    """What is given by path, and what was asked for: (method, path, Range)."""

    def __init__(self) -> None:
        self.files: dict[str, Given] = {}
        self.asked: list[tuple[str, str, str | None]] = []
        self.url = ""
        self.half_sent = threading.Event()

    def ranges(self) -> list[str | None]:
        return [span for method, _, span in self.asked if method == "GET"]


class Handler(BaseHTTPRequestHandler):
    """Answers with what its server is to give."""

    protocol_version = "HTTP/1.1"
    server: Giver

    def log_message(self, *_: object) -> None:
        return

    def do_HEAD(self) -> None:
        self.answer(has_body=False)

    def do_GET(self) -> None:
        self.answer(has_body=True)

    def answer(self, *, has_body: bool) -> None:
        script, asked_range = self.server.script, self.headers.get("Range")
        script.asked.append((self.command, self.path, asked_range))
        given = script.files.get(self.path)
        if given is None or (given.status and has_body):
            self.refuse(404 if given is None else given.status.pop(0))
            return
        found = re.fullmatch(r"bytes=(\d+)-", asked_range or "") if given.has_ranges else None
        start = int(found[1]) if found else 0
        if start >= len(given.content) and start:
            self.refuse(416)
            return
        body = given.content[start:]
        self.send_response(206 if found else 200)
        if found:
            self.send_header("Content-Range", f"bytes {start}-{len(given.content) - 1}/{len(given.content)}")
        self.send_rest_of_head(given, len(body))
        if has_body:
            self.send_body(given, body)

    def send_rest_of_head(self, given: Given, length: int) -> None:
        if given.has_length:
            self.send_header("Content-Length", str(length))
        else:
            self.send_header("Connection", "close")
        self.send_header("ETag", f'"{hashlib.sha256(given.content).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)  # the hub's word for the revision
        self.end_headers()

    def send_body(self, given: Given, body: bytes) -> None:
        if given.breaks:
            self.wfile.write(body[: given.breaks.pop(0)])
            self.close_connection = True
            return
        half = len(body) // 2
        self.wfile.write(body[:half])
        self.wfile.flush()
        if given.wait is not None:
            self.server.script.half_sent.set()
            given.wait.wait(60)
        try:
            self.wfile.write(body[half:])
        except ConnectionError:  # the other side went away
            self.close_connection = True

    def refuse(self, status: int) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        if status == 404:
            self.send_header("X-Error-Code", "EntryNotFound")  # how the hub says it
        self.end_headers()


class Giver(ThreadingHTTPServer):
    """The server itself. script: what it gives, and what it was asked for."""

    daemon_threads = True

    def __init__(self, script: Server) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.script = script
        script.url = f"http://127.0.0.1:{self.server_address[1]}"


@contextmanager
def serving() -> Iterator[Server]:
    script = Server()
    with Giver(script) as http:
        thread = threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        yield script
        http.shutdown()
        thread.join()

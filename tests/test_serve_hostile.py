"""What clients send that mean no good: nonsense, too much, and never an end. Nothing breaks, stays or grows."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from websockets.exceptions import InvalidHandshake

from tests.support.serve_fuzz import Fuzzer
from tests.support.servers import RunningServer, serving, wait_until

MIB = 1024


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with serving(tmp_path_factory.mktemp("hostile") / "tmp", "--sockets", "2") as running:
        yield running


def open_files(server: RunningServer) -> int:
    return len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))


def check_unhurt(server: RunningServer, source: str, fuzzer: Fuzzer) -> None:
    statuses = [status for status in fuzzer.seen if status not in ("message", "")]
    assert fuzzer.broken == [] and not [status for status in statuses if str(status).startswith("5")]
    assert {400, 404, 422} <= set(statuses)  # it did reach something
    assert {path.name.split(".")[0] for path in server.files_left()} == {source}
    jobs = server.client.get("/api/jobs").json()["jobs"]
    assert jobs == [] and not list((server.private / "results").iterdir())
    assert server.client.get("/api/info").status_code == 200


def test_nonsense_breaks_nothing_and_leaves_nothing(server: RunningServer, material: Path) -> None:
    source = str(server.send(material / "s" / "anna.png")["id"])
    first = Fuzzer(server, 1, source)
    first.run(100)  # until then it loads what it needs
    check_unhurt(server, source, first)
    memory, files = server.memory_kib(), open_files(server)
    second = Fuzzer(server, 2, source)
    second.run(300)
    check_unhurt(server, source, second)
    assert server.memory_kib() < memory + 8 * MIB
    wait_until(lambda: open_files(server) <= files + 3)


def test_five_hundred_sockets_are_too_many_and_do_no_harm(server: RunningServer) -> None:
    before, memory = open_files(server), server.memory_kib()
    silent = []
    for _ in range(500):
        with contextlib.suppress(OSError):
            silent.append(socket.create_connection(("127.0.0.1", server.port), 10))
    wait_until(lambda: open_files(server) < before + 220)
    for each in silent:
        each.close()
    wait_until(lambda: open_files(server) <= before + 3)
    refused = 0
    for _ in range(500):  # and five hundred that come in the right way, and leave without a word
        try:
            with server.socket() as live:
                refused += live.recv(timeout=0.001) != ""
        except (TimeoutError, InvalidHandshake, OSError):
            continue
    assert server.client.get("/api/jobs").status_code == 200
    assert server.memory_kib() < memory + 16 * MIB
    wait_until(lambda: open_files(server) <= before + 8)

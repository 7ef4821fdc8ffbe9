"""The server ends as commands do: in time, with nothing left behind; and its description is true."""

from __future__ import annotations

import re
import signal
import time
from pathlib import Path

import pytest
from starlette.routing import Mount, Route, WebSocketRoute

from tests.support.clips import ffmpeg
from tests.support.processes import all_end_promptly
from tests.support.servers import serving, wait_until
from vid2vid_cli.serve.app import PAGE, routes
from vid2vid_cli.serve.endpoints import LIVE_PATH, OPENAPI_PATH
from vid2vid_cli.serve.job_book import JobRecord
from vid2vid_cli.serve.openapi import describe_api


def processes_of(folder: Path) -> list[str]:
    """The commands of all processes that have this folder as TMPDIR (Linux)."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            is_zombie = ") Z " in (entry / "stat").read_text()
            if f"TMPDIR={folder}\0" in (entry / "environ").read_text(errors="replace") and not is_zombie:
                found.append((entry / "cmdline").read_text())
        except OSError:
            continue
    return found


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_all_of_it(number: signal.Signals, material: Path, tmp_path: Path) -> None:
    clip = tmp_path / "long.mp4"
    ffmpeg("-stream_loop", "300", "-i", material / "d" / "nod.mp4", "-c", "copy", clip)

    def attempt() -> float:
        with serving(tmp_path / "tmp") as server:
            face, driving = (server.send(path)["id"] for path in (material / "s" / "anna.png", clip))
            job = server.ask_for("reenact", face, driving, options={"size": 64, "body": False}).json()["id"]
            wait_until(lambda: server.client.get(f"/api/jobs/{job}").json()["done"] > 2, 200)
            with server.socket() as live, server.client.stream("GET", f"/api/jobs/{job}/events"):
                live.send(f'{{"type": "start", "source": "{face}"}}')
                live.recv(200)
                began = time.monotonic()
                server.process.send_signal(number)
                code = server.process.wait(60)
                took_s = time.monotonic() - began
            assert code == 128 + number
            assert not list((tmp_path / "tmp").iterdir())
            assert "Traceback" not in (server.process.stderr.read() if server.process.stderr else "")
        wait_until(lambda: not processes_of(tmp_path / "tmp"))
        return took_s

    all_end_promptly(attempt)


def test_what_a_killed_server_left_goes_with_the_next(material: Path, tmp_path: Path) -> None:
    with serving(tmp_path / "tmp") as server:
        server.send(material / "s" / "anna.png")
        left = server.private
        server.process.kill()
        server.process.wait(30)
    assert left.exists()
    wait_until(lambda: not processes_of(tmp_path / "tmp"))  # its children end with it
    with serving(tmp_path / "tmp") as server:
        assert not left.exists() and server.private != left


# --- the description of the API ---


def test_the_description_is_that_of_the_routes() -> None:
    described = {(path, method.upper()) for path, methods in describe_api()["paths"].items() for method in methods}
    real = set()
    for route in routes():
        if isinstance(route, Route) and route.path.startswith("/api") and route.path != OPENAPI_PATH:
            real |= {(route.path, method) for method in route.methods or () if method != "HEAD"}
        else:
            assert isinstance(route, Mount | WebSocketRoute) or route.path in ("/", OPENAPI_PATH)  # type: ignore[attr-defined]
    assert described == real and len(real) >= 12
    assert LIVE_PATH in describe_api()["info"]["description"]


def test_the_description_is_complete(tmp_path: Path) -> None:
    document = describe_api()
    assert document["openapi"].startswith("3.1")
    text = repr(document)
    for name in re.findall(r"#/components/schemas/(\w+)", text):
        assert name in document["components"]["schemas"]
    for path, methods in document["paths"].items():
        for operation in methods.values():
            named = {each["name"] for each in operation["parameters"] if each["in"] == "path"}
            assert (
                named == set(re.findall(r"{(\w+)}", path)) and operation["summary"] and "4XX" in operation["responses"]
            )
    ids = [operation["operationId"] for methods in document["paths"].values() for operation in methods.values()]
    assert len(set(ids)) == len(ids)


def test_the_page_is_in_the_package_and_names_nobody_else() -> None:
    assert (PAGE / "index.html").is_file() and JobRecord.__doc__
    for path in PAGE.rglob("*"):
        if path.suffix in (".html", ".js", ".css"):
            text = path.read_text(encoding="utf-8")
            assert not re.findall(r"(?:src|href|import|url\()\s*[=(]?\s*[\"']https?://", text), path

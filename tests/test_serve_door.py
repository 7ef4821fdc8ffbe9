"""Who may ask the server, and what goes with every answer."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.support.processes import start
from tests.support.servers import RunningServer, serving
from vid2vid_cli.cli.app import main
from vid2vid_cli.errors import UsageError
from vid2vid_cli.serve.endpoints import ENDPOINTS
from vid2vid_cli.serve.guard import Door
from vid2vid_cli.serve.options import ServeOptions

JOB = "0123456789abcdef"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with serving(tmp_path_factory.mktemp("door") / "tmp") as running:
        yield running


def asked(server: RunningServer, path: str, method: str = "GET", **headers: str) -> httpx.Response:
    """Ask without the token, unless the headers have it."""
    plain = {name.replace("_", "-"): value for name, value in headers.items()}
    with httpx.Client(base_url=f"http://{server.host}", verify=False) as client:  # which spares loading certificates
        return client.request(method, path, headers=plain)


def test_the_printed_address_opens_the_page_and_leaves_no_token_behind(server: RunningServer) -> None:
    assert server.address == f"http://127.0.0.1:{server.port}/?token={server.token}" and len(server.token) >= 32
    with httpx.Client(follow_redirects=True) as browser:
        page = browser.get(server.address)
        assert page.status_code == 200 and "vid2vid" in page.text and page.url.query == b"" and page.url.path == "/"
        assert browser.get(f"http://{server.host}/api/jobs").json() == {"jobs": []}  # by the cookie
        (cookie,) = page.history[0].headers.get_list("set-cookie")
    assert "HttpOnly" in cookie and "samesite=strict" in cookie.lower() and "Path=/" in cookie


@pytest.mark.parametrize("path", ["/", "/static/index.html", *sorted({each.path for each in ENDPOINTS}), "/nothing"])
def test_without_the_token_there_is_nothing(server: RunningServer, path: str) -> None:
    path = path.replace("{id}", JOB)
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic x"}, {"Authorization": "Bearer"}):
        answer = asked(server, path, **headers)
        assert answer.status_code == 401 and server.token not in answer.text
    assert asked(server, f"{path}?token={server.token}x").status_code == 401
    assert (
        asked(server, path, Cookie=f"vid2vid_token_{server.port}=wrong; vid2vid_token={server.token}").status_code
        == 401
    )
    if path != "/":  # the token in an address stays in logs and histories: only the first page takes it
        assert asked(server, f"{path}?token={server.token}").status_code == 401


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1:1", "127.0.0.1.evil.example:{port}", ""]
)
def test_another_name_of_this_address_is_refused(server: RunningServer, host: str) -> None:
    name = host.format(port=server.port)
    assert asked(server, "/api/jobs", Host=name, **server.key).status_code == 403
    with pytest.raises(InvalidStatus) as refused, server.socket(Host=name):
        pass
    assert refused.value.response.status_code in (400, 403)


def test_this_machine_has_three_names(server: RunningServer) -> None:
    for name in ("127.0.0.1", "localhost", "[::1]"):
        assert asked(server, "/api/jobs", Host=f"{name}:{server.port}", **server.key).status_code == 200


@pytest.mark.parametrize(
    "origin", ["http://evil.example", "null", "https://127.0.0.1:{port}", "http://127.0.0.1", "http://localhost:{port}"]
)
def test_other_pages_are_refused(server: RunningServer, origin: str) -> None:
    name = origin.format(port=server.port)
    for method, path in (("GET", "/api/jobs"), ("POST", "/api/files"), ("DELETE", f"/api/jobs/{JOB}")):
        assert asked(server, path, method, Origin=name, **server.key).status_code == 403
    with pytest.raises(InvalidStatus), server.socket(Origin=name):
        pass


def test_a_socket_needs_the_token_too(server: RunningServer) -> None:
    address = f"ws://{server.host}/api/live"
    for query, headers in (("", {}), ("?token=wrong", {}), ("", {"Cookie": f"vid2vid_token_{server.port}=wrong"})):
        with pytest.raises(InvalidStatus) as refused, connect(address + query, additional_headers=headers):
            pass
        assert refused.value.response.status_code == 403
    cookie = {"Cookie": f"a=b; vid2vid_token_{server.port}={server.token}"}
    for query, headers in ((f"?token={server.token}", {}), ("", cookie)):
        with connect(address + query, additional_headers=headers) as socket:
            socket.send("{}")
            assert "begin with a message such as" in str(socket.recv())


def test_its_own_page_is_let_in(server: RunningServer) -> None:
    own = f"http://{server.host}"
    assert asked(server, "/api/jobs", Origin=own, **server.key).status_code == 200
    with server.socket(Origin=own):
        pass


@pytest.mark.parametrize("path", ["/", "/api/jobs", "/api/nothing", "/static/index.html", "/static/missing.js"])
def test_strict_headers_go_with_everything(server: RunningServer, path: str) -> None:
    for answer in (server.client.get(path), asked(server, path)):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'self'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
        assert f"connect-src 'self' ws://{server.host}" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert answer.headers["permissions-policy"] == "camera=(self), microphone=(self)"
        assert ("no-store" in answer.headers["cache-control"]) == path.startswith("/api")
        assert "server" not in answer.headers


@pytest.mark.parametrize(
    "path",
    [
        *("/static/../app.py", "/static/%2e%2e/app.py", "/static/..%2fapp.py", "/static//etc/passwd", "/../etc/passwd"),
        *("/static/%00", "/api/files/..%2f..%2fetc%2fpasswd", "/api/files/%2e%2e", f"/api/jobs/..%2f{JOB}/result"),
        *("/api/files/" + "a" * 3000, "/static/" + "b/" * 400, "/api/jobs/%F0%9F%92%A9"),
    ],
)
def test_tricks_with_paths_find_nothing(server: RunningServer, path: str) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as raw:  # a client library would tidy the path
        raw.sendall(
            f"GET {path} HTTP/1.1\r\nHost: {server.host}\r\nAuthorization: Bearer {server.token}\r\n"
            "Connection: close\r\n\r\n".encode()
        )
        answer = b"".join(iter(lambda: raw.recv(65536), b""))
    assert answer.split()[1] in (b"404", b"400"), answer[:200]
    assert b"root:" not in answer and b"import" not in answer


def test_errors_are_one_line_with_an_exit_code(server: RunningServer) -> None:
    for path, method, status in (
        ("/api/nothing", "GET", 404),
        ("/api/info", "POST", 405),
        (f"/api/jobs/{JOB}", "GET", 404),
    ):
        answer = server.client.request(method, path)
        body = answer.json()
        assert answer.status_code == status and set(body) == {"error", "code"} and body["code"] == 2
        assert "\n" not in body["error"] and len(body["error"]) > 10


# --- what the command line refuses ---


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--host", "0.0.0.0"], "choose a secret with --token"),
        (["--host", "192.168.1.5"], "--token"),
        (["--token", "short"], "at least 16"),
        (["--certificate", "c.pem"], "--key"),
        (["--certificate", "c.pem", "--key", "k.pem"], "no such file"),
        (["--port", "70000"], "--port 70000"),
        (["--sockets", "0"], "--sockets 0"),
    ],
)
def test_what_would_open_it_to_others_is_refused(
    words: list[str], said: str, capsys: pytest.CaptureFixture[str], own_folder: Path
) -> None:
    assert main(["serve", "--port", "0", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line and "unexpected" not in line


def test_a_port_that_is_taken_is_told_in_a_line(capsys: pytest.CaptureFixture[str], own_folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert main(["serve", "--port", port]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"--port {port}" in line and "choose another" in line


def test_a_checkpoint_that_is_not_there_is_told_at_once(capsys: pytest.CaptureFixture[str], own_folder: Path) -> None:
    assert main(["serve", "--port", "0", "-c", "missing.safetensors"]) == 4
    (line,) = capsys.readouterr().err.splitlines()
    assert "-c missing.safetensors: no such checkpoint" in line


def test_open_to_others_it_knows_its_addresses_and_no_names() -> None:
    door = Door(ServeOptions(host="0.0.0.0", token="x" * 20), 8188, "x" * 20)
    assert door.knows_host("192.168.1.5:8188") and door.knows_host("[fe80::1]:8188")
    assert door.knows_host(f"{socket.gethostname()}:8188")
    assert not door.knows_host("evil.example:8188") and not door.knows_host("192.168.1.5:8189")
    with pytest.raises(UsageError):
        ServeOptions(host="::")


def test_it_says_that_cameras_need_https(tmp_path: Path) -> None:
    words = ("serve", "--port", "0", "--host", "0.0.0.0", "--token", "a-secret-of-my-own")
    process = start(*words, TMPDIR=str(tmp_path))
    assert process.stdout is not None and process.stdout.readline().endswith("/?token=a-secret-of-my-own\n")
    process.terminate()
    _, err = process.communicate(timeout=120)
    assert "HTTPS" in err and "--certificate" in err


def test_it_speaks_https(tmp_path: Path) -> None:
    from tests.support.certificates import write_certificate

    files = write_certificate(tmp_path)
    with serving(tmp_path / "tmp", "--certificate", files[0], "--key", files[1]) as running:
        assert running.address.startswith("https://")
        answer = running.client.get("/api/jobs")
        assert answer.status_code == 200 and f"wss://{running.host}" in answer.headers["content-security-policy"]
        with httpx.Client(verify=False) as browser:
            assert "Secure" in browser.get(running.address).headers["set-cookie"]


def test_a_missing_extra_is_asked_for_in_a_line(tmp_path: Path) -> None:
    hide = "import sys; sys.modules['starlette.applications'] = None; sys.modules['uvicorn'] = None\n"
    code = f"{hide}from vid2vid_cli.cli.app import main; sys.exit(main(['serve', '--port', '0']))"
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, cwd=tmp_path)
    (line,) = done.stderr.splitlines()
    assert done.returncode == 2 and "pip install 'vid2vid[serve]'" in line

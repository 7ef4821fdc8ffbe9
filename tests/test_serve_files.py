"""Files come in, are looked at, and go; half of one leaves nothing."""

from __future__ import annotations

import contextlib
import io
import re
import socket
import stat
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.support.clips import ffmpeg, make_clip
from tests.support.processes import slowness
from tests.support.servers import RunningServer, serving, wait_until


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    words = ("--max-upload", "2", "--max-duration", "3", "--max-pixels", "1000000")
    with serving(tmp_path_factory.mktemp("files") / "tmp", *words) as running:
        yield running


@pytest.fixture(autouse=True)
def nothing_is_left(server: RunningServer) -> Iterator[None]:
    yield
    known = {each.name for each in server.files_left()}
    for name in {name.split(".")[0] for name in known}:
        server.client.delete(f"/api/files/{name}")
    assert not server.files_left(), "a file that no id leads to"


def refusal(answer: httpx.Response, status: int) -> str:
    assert answer.status_code == status, answer.text
    line: str = answer.json()["error"]
    assert "\n" not in line and "unexpected" not in line and ".vid2vid-" not in line and "/tmp" not in line
    return line


def sent(server: RunningServer, name: str, content: bytes) -> httpx.Response:
    return server.client.post("/api/files", files={"file": (name, content)})


def test_a_picture_is_described_with_its_faces_from_the_left(
    server: RunningServer, material: Path, media_dir: Path
) -> None:
    anna, bob = (Image.open(material / "s" / f"{name}.png") for name in ("anna", "bob"))
    pair = Image.new("RGB", (anna.width + bob.width, max(anna.height, bob.height)))
    pair.paste(anna, (0, 0))
    pair.paste(bob, (anna.width, 0))
    file = io.BytesIO()
    pair.save(file, "PNG")
    answer = sent(server, "pair.png", file.getvalue())
    described = answer.json()
    assert answer.status_code == 201
    assert re.fullmatch(r"[0-9a-f]{16}", described["id"]) and described["name"] == "pair.png"
    assert (described["kind"], described["width"], described["height"]) == ("picture", *pair.size)
    assert described["duration_s"] is None and described["bytes"] == len(file.getvalue())
    faces = described["faces"]
    assert [face["index"] for face in faces] == [0, 1] and faces[0]["x"] < anna.width < faces[1]["x"]
    assert all(40 < face["width"] < anna.width and 40 < face["height"] < anna.height for face in faces)
    assert server.client.get(f"/api/files/{described['id']}").json() == described
    picture = server.client.get(f"/api/files/{described['id']}/picture")
    assert picture.headers["content-type"] == "image/jpeg"
    shown = np.asarray(Image.open(io.BytesIO(picture.content)), np.float32)
    assert np.abs(shown - np.asarray(pair, np.float32)).mean() < 6


def test_a_landscape_has_no_faces_and_is_no_error(server: RunningServer, material: Path) -> None:
    assert server.send(material / "s" / "hill.png")["faces"] == []


def test_a_video_and_a_sound_are_told_by_what_they_hold(server: RunningServer, material: Path, tmp_path: Path) -> None:
    video = server.send(material / "d" / "talk.mp4", "a picture.png")
    assert video["kind"] == "video" and 0.2 < video["duration_s"] < 1 and len(video["faces"]) == 1
    assert server.client.get(f"/api/files/{video['id']}/picture").status_code == 200
    wav = tmp_path / "beep.wav"
    ffmpeg("-f", "lavfi", "-i", "sine=440:d=0.5", wav)
    sound = server.send(wav, "beep.mp4")
    assert (sound["kind"], sound["duration_s"], sound["width"]) == ("sound", 0.5, None)
    assert "picture" in refusal(server.client.get(f"/api/files/{sound['id']}/picture"), 404)
    film = server.client.get(f"/api/files/{video['id']}/content", headers={"Range": "bytes=4-"})
    assert (film.status_code, film.headers["content-type"]) == (206, "video/mp4")
    assert film.content == (material / "d" / "talk.mp4").read_bytes()[4:]
    assert "video" in refusal(server.client.get(f"/api/files/{sound['id']}/content"), 404)


@pytest.mark.parametrize(
    "name",
    [
        "../../etc/passwd",
        "..\\..\\boot.ini",
        "/etc/passwd",
        "a" * 3000 + ".png",
        "\u202egnp.exe",
        "-rf",
        ".",
        "..",
        "  ",
        "nul",
    ],
)
def test_no_name_becomes_a_path(server: RunningServer, material: Path, name: str) -> None:
    described = server.send(material / "s" / "hill.png", name)
    shown = described["name"]
    assert "/" not in shown and "\\" not in shown and 0 < len(shown) <= 100 and shown.isprintable()
    assert {path.name.split(".")[0] for path in server.files_left()} == {described["id"]}
    assert not list(server.temporary.parent.glob("*passwd*"))


def test_the_folder_is_private(server: RunningServer) -> None:
    for folder in (server.private, server.private / "files", server.private / "results"):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    "content", [b"", b"no picture at all", b"\x89PNG\r\n\x1a\n" + b"\0" * 50, b"GIF89a", b"\xff\xd8\xff"]
)
def test_what_cannot_be_read_is_refused_in_its_own_name(server: RunningServer, content: bytes) -> None:
    assert refusal(sent(server, "holiday.png", content), 422).startswith("holiday.png: ")


def test_what_is_too_large_is_refused(server: RunningServer, tmp_path: Path) -> None:
    assert "2 MB" in refusal(sent(server, "big.png", b"\0" * 2_100_000), 413)
    Image.new("L", (1100, 1000)).save(tmp_path / "wide.png")
    assert "pixels" in refusal(sent(server, "wide.png", (tmp_path / "wide.png").read_bytes()), 422)
    clip = make_clip(tmp_path / "long.mp4", 100)  # four seconds
    assert "--max-duration" in refusal(sent(server, "long.mp4", clip.read_bytes()), 422)


def test_forms_that_are_none_are_refused(server: RunningServer) -> None:
    client = server.client
    assert "form" in refusal(client.post("/api/files", json={"file": "x"}), 415)
    assert "field file" in refusal(client.post("/api/files", files={"other": ("a", b"x")}), 422)
    assert "field file" in refusal(client.post("/api/files", files={"file": (None, b"x")}), 422)
    twice = [("file", ("a", b"x")), ("file", ("b", b"x"))]
    assert "name of its own" in refusal(client.post("/api/files", files=twice), 400)
    many = [(f"f{k}", ("a", b"x")) for k in range(20)]
    assert "8" in refusal(client.post("/api/files", files=many), 400)
    headers = {"Content-Type": "multipart/form-data; boundary=" + "b" * 500}
    refusal(client.post("/api/files", content=b"x" * 100, headers=headers), 400)
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    for body in (b"", b"--b\r\n", b"--b\r\nContent-Disposition: form-data; name=file; filename=a\r\n\r\nhalf"):
        refusal(client.post("/api/files", content=body, headers=headers), 400)


def test_a_field_that_is_too_long_is_refused(server: RunningServer) -> None:
    assert "longer" in refusal(server.client.post("/api/jobs", files={"job": (None, b"[" * 200_000)}), 413)


def request_of(server: RunningServer, length: int) -> bytes:
    return (
        f"POST /api/files HTTP/1.1\r\nHost: {server.host}\r\nAuthorization: Bearer {server.token}\r\n"
        f"Content-Type: multipart/form-data; boundary=b\r\nContent-Length: {length}\r\n\r\n"
        '--b\r\nContent-Disposition: form-data; name="file"; filename="half.png"\r\n\r\n'
    ).encode()


def test_half_an_upload_leaves_nothing(server: RunningServer) -> None:
    with socket.create_connection(("127.0.0.1", server.port)) as raw:
        raw.sendall(request_of(server, 1_900_000) + b"\1" * 1_500_000)
        wait_until(server.files_left)  # so that there is something to remove
    wait_until(lambda: not server.files_left())


def test_who_is_silent_is_cut_off(server: RunningServer) -> None:
    began, memory = time.monotonic(), server.memory_kib()
    silent, head, body, reader = (socket.create_connection(("127.0.0.1", server.port), 60) for _ in range(4))
    with silent, head, body, reader:
        head.sendall(b"GET / HTTP/1.1\r\nHost: ")
        body.sendall(request_of(server, 1_900_000) + b"\1" * 1_200_000)
        ask = f"GET /api/openapi.json HTTP/1.1\r\nHost: {server.host}\r\nAuthorization: Bearer {server.token}\r\n\r\n"
        reader.sendall(ask.encode() * 1500)  # and takes no answer: more than the system keeps on its way
        assert silent.recv(100) == b"" and head.recv(100) == b""
        assert b"408" in body.recv(1000).split(b"\r\n")[0]
        assert 5 < time.monotonic() - began < 40 * slowness()
        time.sleep(6)  # it began to be waited for a little later
        taken = 0
        with contextlib.suppress(ConnectionResetError):
            while part := reader.recv(1 << 20):
                taken += len(part)
        assert 0 < taken < 10_000_000 and server.memory_kib() < memory + 16_384
    wait_until(lambda: not server.files_left())


def test_a_deleted_file_is_gone(server: RunningServer, material: Path) -> None:
    number = server.send(material / "s" / "hill.png")["id"]
    assert server.client.delete(f"/api/files/{number}").status_code == 204
    assert not server.files_left()
    for path in (f"/api/files/{number}", f"/api/files/{number}/picture"):
        refusal(server.client.get(path), 404)
    refusal(server.client.delete(f"/api/files/{number}"), 404)

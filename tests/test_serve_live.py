"""Live pictures through the WebSocket: what a client sees for what it sends, and that nobody starves."""

from __future__ import annotations

import io
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from tests.support.clips import Frame, ffmpeg
from tests.support.servers import RunningServer, serving
from vid2vid_cli.media.video import read_video
from vid2vid_cli.pipeline.options import RotateOptions
from vid2vid_cli.pipeline.rotate import rotate

WAIT_S = 120


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with serving(tmp_path_factory.mktemp("live") / "tmp", "--sockets", "2") as running:
        yield running


@pytest.fixture(autouse=True)
def freed() -> Iterator[None]:
    """Give the process of a live picture a moment to be free again: the next one would start another, for seconds."""
    yield
    time.sleep(0.2)


@pytest.fixture(scope="module")
def portrait(server: RunningServer, material: Path) -> str:
    return str(server.send(material / "s" / "anna.png")["id"])


@pytest.fixture(scope="module")
def camera(media_dir: Path) -> list[bytes]:
    """The pictures of a camera, as a browser sends them."""
    clip = read_video(media_dir / "drivings" / "d14_actor_left_turn_256.mp4")
    frames = [frame for number, frame in enumerate(clip) if number < 60]
    return [jpeg_of(frame) for frame in frames]


def jpeg_of(frame: Frame) -> bytes:
    file = io.BytesIO()
    Image.fromarray(frame).save(file, "JPEG", quality=90)
    return file.getvalue()


def decoded(message: str | bytes) -> Frame:
    assert isinstance(message, bytes)
    picture = Image.open(io.BytesIO(message))
    assert picture.format == "JPEG"
    return np.asarray(picture)


def told(socket: ClientConnection) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(socket.recv(WAIT_S))
    return plain


def begin(socket: ClientConnection, source: str, **more: Any) -> Frame:
    socket.send(json.dumps({"type": "start", "source": source, **more}))
    ready = told(socket)
    still = decoded(socket.recv(WAIT_S))
    assert ready == {"type": "ready", "width": still.shape[1], "height": still.shape[0]}
    return still


def rendered(socket: ClientConnection, number: int | None = None) -> tuple[dict[str, Any], Frame]:
    """Receive a picture. number: the answer to this picture of the camera; on a slow machine others come before it."""
    while True:
        facts = told(socket)
        assert facts["type"] == "frame", facts
        picture = decoded(socket.recv(WAIT_S))
        if number in (None, facts["number"]):
            return facts, picture
        assert facts["number"] == -1, facts


def order(socket: ClientConnection, kind: str, **values: Any) -> None:
    socket.send(json.dumps({"type": kind, **values}))


def difference(one: Frame, other: Frame) -> float:
    return float(np.abs(one.astype(np.float32) - other.astype(np.float32)).mean())


def closing_words(socket: ClientConnection) -> tuple[str, int]:
    last = told(socket)
    with pytest.raises(ConnectionClosed) as closed:
        socket.recv(WAIT_S)
    assert last["type"] == "error" and "\n" not in last["error"] and closed.value.rcvd is not None
    return last["error"], closed.value.rcvd.code


def test_sliders_turn_the_still_as_rotate_does(
    server: RunningServer, portrait: str, material: Path, tmp_path: Path
) -> None:
    source = material / "s" / "anna.png"
    with server.socket() as socket:
        still = begin(socket, portrait)
        assert difference(still, np.asarray(Image.open(source))) < 5
        for asked in ({"yaw": 15}, {"yaw": 0, "pitch": -8}, {"pitch": 0, "expressions": {"jawOpen": 0.6}}):
            order(socket, "controls", **asked)
            facts, picture = rendered(socket)
            assert facts["number"] == -1 and facts["server_ms"] > 0
            words = {name: str(value) for name, value in asked.items() if name != "expressions" and value}
            words |= {"expression": "jawOpen=0.6"} if "expressions" in asked else {}
            target = tmp_path / f"{len(words)}{next(iter(words))}.png"
            rotate(source, target, RotateOptions(threads=1, **words))
            assert difference(picture, np.asarray(Image.open(target))) < 4 < difference(picture, still) + 3
            bottom = picture[-14:-4, 4:40].astype(int).mean()  # the word that says what the picture is
            assert bottom < np.asarray(Image.open(target))[-14:-4, 4:40].astype(int).mean() - 5


def test_a_picture_does_not_wait_for_an_answer_to_what_is_said_before_it(server: RunningServer, portrait: str) -> None:
    waited_s = []
    with server.socket() as socket:
        begin(socket, portrait)
        for yaw in range(12):
            socket.send(json.dumps({"type": "controls", "yaw": yaw}))
            told(socket)
            began_s = time.perf_counter()
            socket.recv(WAIT_S)
            waited_s.append(time.perf_counter() - began_s)
    # A small message that is kept back until the one before it is acknowledged waits 40 ms, each time but the first.
    assert min(waited_s[4:]) < 0.02


def test_a_camera_drives_the_portrait_and_the_newest_picture_counts(
    server: RunningServer, portrait: str, camera: list[bytes]
) -> None:
    with server.socket() as socket:
        still = begin(socket, portrait, size=160)
        assert max(still.shape[:2]) == 160
        numbers, moved = [], []
        for picture in camera[:30]:
            socket.send(picture)
            facts, frame = rendered(socket)
            numbers.append(facts["number"])
            moved.append(difference(frame, still))
            assert facts["faces"] == 1 and not facts["is_held"]
        assert numbers == list(range(30)) and facts["dropped"] == 0 and facts["fps"] > 0
        assert moved[-1] > moved[0] + 2  # he turns his head to the left
        for picture in camera:  # far too many at once
            socket.send(picture)
        last = 30
        while last < 29 + len(camera):
            facts, frame = rendered(socket)
            assert facts["number"] >= last
            last = facts["number"]
        assert facts["dropped"] > 20
        order(socket, "stop_camera")
        facts, frame = rendered(socket)
        assert facts["number"] == -1 and difference(frame, still) < 1


def test_a_face_that_goes_is_held_and_a_reference_is_neutral(
    server: RunningServer, portrait: str, camera: list[bytes]
) -> None:
    with server.socket() as socket:
        still = begin(socket, portrait, size=160)
        order(socket, "controls", smooth=0.0)
        for number, picture in enumerate((camera[0], *camera[40:44])):
            socket.send(picture)
            _, turned = rendered(socket, number)
        order(socket, "reference")
        socket.send(camera[44])
        _, neutral = rendered(socket, 5)
        assert difference(neutral, still) < difference(turned, still) / 3  # however far his head is turned
        socket.send(jpeg_of(np.full((256, 256, 3), 90, np.uint8)))
        facts, held = rendered(socket, 6)
        assert facts["is_held"] and difference(held, neutral) < 3


def test_frozen_and_paused(server: RunningServer, portrait: str, camera: list[bytes]) -> None:
    with server.socket() as socket:
        begin(socket, portrait, size=96)
        socket.send(camera[0])
        _, first = rendered(socket, 0)
        order(socket, "controls", is_frozen=True)
        socket.send(camera[50])
        _, frozen = rendered(socket, 1)
        assert difference(first, frozen) == 0
        order(socket, "controls", is_frozen=False, is_paused=True)
        socket.send(camera[50])
        for _ in range(2):  # what is ordered after the picture is answered; the picture itself never
            order(socket, "controls", yaw=200)
            while (answer := told(socket))["type"] == "frame":
                assert answer["number"] == -1
                socket.recv(WAIT_S)
            assert answer["type"] == "warning"


NONSENSE: list[tuple[Any, str]] = [
    ({"type": "controls", "yaw": 200}, "--yaw 200"),
    ({"type": "controls", "yaw": "far"}, "yaw: far makes no sense"),
    ({"type": "controls", "yaw": True}, "yaw"),
    ({"type": "controls", "background": "/etc/passwd"}, "background"),
    ({"type": "controls", "background_path": "/etc/passwd", "mirror": 3}, "mirror"),
    ({"type": "controls", "expressions": {"jawOpne": 1}}, "did you mean jawOpen"),
    ({"type": "controls", "expressions": [1]}, "expressions"),
    ({"type": "dance"}, "of the types"),
    ([], "of the types"),
    ("not json", "of the types"),
    (b"not jpeg", "no whole JPEG"),
]


def test_what_makes_no_sense_is_said_and_it_goes_on(server: RunningServer, portrait: str) -> None:
    with server.socket() as socket:
        begin(socket, portrait, size=64)
        for number, (message, said) in enumerate(NONSENSE):
            socket.send(message if isinstance(message, (str, bytes)) else json.dumps(message))
            answer = told(socket)
            assert answer["type"] == "warning" and said in answer["warning"], message
            assert ".vid2vid-" not in answer["warning"], message
            order(socket, "controls", yaw=number + 1)
            assert rendered(socket)[0]["number"] == -1, message


@pytest.mark.parametrize(
    ("first", "said"),
    [
        ("[]", "begin with a message"),
        (b"\xff\xd8\xff", "begin with a message"),
        ('{"type": "controls"}', "begin with a message"),
        ('{"type": "start"}', "no such file"),
        ('{"type": "start", "source": "../../etc/passwd"}', "no such file"),
        ('{"type": "start", "source": "ID", "size": 100000}', "16 to 1280"),
        ('{"type": "start", "source": "ID", "face": "7"}', "--face 7: anna.png has faces 0 to 0"),
        ('{"type": "start", "source": "ID", "face": "nose"}', "--face nose"),
    ],
)
def test_what_cannot_begin_is_said_and_closed(server: RunningServer, portrait: str, first: Any, said: str) -> None:
    with server.socket() as socket:
        socket.send(first.replace("ID", portrait) if isinstance(first, str) else first)
        line, _ = closing_words(socket)
        assert said in line


def test_sockets_are_bounded_and_each_is_free_again(server: RunningServer, portrait: str) -> None:
    for _ in range(2):
        with server.socket() as one, server.socket() as two:
            begin(one, portrait, size=64)
            begin(two, portrait, size=64)
            with server.socket() as three:
                line, code = closing_words(three)
                assert "2 live pictures already" in line and code == 1013


def test_a_second_window_and_a_job_beside_it_do_not_starve(
    server: RunningServer, portrait: str, camera: list[bytes], material: Path, tmp_path: Path
) -> None:
    ffmpeg("-stream_loop", "100", "-i", material / "d" / "nod.mp4", "-c", "copy", tmp_path / "long.mp4")
    clip = server.send(tmp_path / "long.mp4")["id"]
    counts, stop = [0, 0], threading.Event()

    def watch(number: int) -> None:
        with server.socket() as socket:
            begin(socket, portrait, size=96)
            for picture in camera * 100:
                socket.send(picture)
                rendered(socket)
                counts[number] += 1
                if stop.is_set():
                    return

    windows = [threading.Thread(target=watch, args=(number,)) for number in (0, 1)]
    for window in windows:
        window.start()
    job = server.ask_for("reenact", portrait, clip, options={"size": 96, "body": False}).json()["id"]
    while min(counts) < 3 or server.client.get(f"/api/jobs/{job}").json()["done"] < 3:
        time.sleep(0.1)
    began, done = list(counts), server.client.get(f"/api/jobs/{job}").json()["done"]
    time.sleep(6)
    shown = [now - before for now, before in zip(counts, began, strict=True)]
    made = server.client.get(f"/api/jobs/{job}").json()["done"] - done
    stop.set()
    for window in windows:
        window.join(60)
    server.client.delete(f"/api/jobs/{job}")
    # Each of two windows gets about half of what both get, and the job goes on beside them.
    assert min(shown) > sum(shown) / 3 and made > sum(shown) / 12 > 1

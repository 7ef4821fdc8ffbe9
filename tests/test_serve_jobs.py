"""Jobs of the server: what they make, what is told of them meanwhile, how they are cancelled, and what is refused."""

from __future__ import annotations

import io
import json
import shlex
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.support.batches import FRAMES
from tests.support.clips import Frame, ffmpeg
from tests.support.processes import slowness
from tests.support.servers import RunningServer, serving, wait_until
from vid2vid_cli.media.video import read_video
from vid2vid_cli.pipeline.options import ReenactOptions, RotateOptions
from vid2vid_cli.pipeline.reenact import reenact
from vid2vid_cli.pipeline.rotate import rotate
from vid2vid_cli.serve.endpoints import OPENAPI_PATH
from vid2vid_cli.serve.openapi import describe_api

SMALL = {"size": 96, "body": False}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with serving(tmp_path_factory.mktemp("jobs") / "tmp") as running:
        yield running


@pytest.fixture(scope="module")
def portrait(server: RunningServer, material: Path) -> str:
    return str(server.send(material / "s" / "anna.png")["id"])


@pytest.fixture(scope="module")
def nod(server: RunningServer, material: Path) -> str:
    return str(server.send(material / "d" / "nod.mp4")["id"])


@pytest.fixture(scope="module")
def ids(portrait: str, nod: str) -> dict[str, Any]:
    """The source, and the driving of each command."""
    return {"source": portrait, "rotate": None, "reenact": nod, "speak": nod}


@pytest.fixture(scope="module")
def long(server: RunningServer, material: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A clip that takes minutes."""
    path = tmp_path_factory.mktemp("long") / "long.mp4"
    ffmpeg("-stream_loop", "300", "-i", material / "d" / "nod.mp4", "-c", "copy", path)
    return str(server.send(path)["id"])


def begun(answer: httpx.Response) -> dict[str, Any]:
    assert answer.status_code == 201, answer.text
    job: dict[str, Any] = answer.json()
    return job


def frames_of(server: RunningServer, job: dict[str, Any], folder: Path) -> list[Frame]:
    answer = server.client.get(f"/api/jobs/{job['id']}/result")
    assert answer.status_code == 200 and answer.headers["content-type"] == job["result"]["media_type"]
    assert len(answer.content) == job["result"]["bytes"]
    path = folder / job["result"]["name"]
    path.write_bytes(answer.content)
    return list(read_video(path)) if job["format"] == "mp4" else [np.asarray(Image.open(path))]


def difference(one: Frame, other: Frame) -> float:
    return float(np.abs(one.astype(np.float32) - other.astype(np.float32)).mean())


def test_a_reenactment_is_that_of_the_command_line(
    server: RunningServer, portrait: str, nod: str, material: Path, tmp_path: Path
) -> None:
    job = begun(server.ask_for("reenact", portrait, nod, options={**SMALL, "yaw": -10}))
    assert job["state"] in ("waiting", "running") and job["result"] is None and job["error"] is None
    assert shlex.split(job["command_line"]) == [
        *("vid2vid", "reenact", "anna.png", "nod.mp4", "--size", "96", "--head-only", "--yaw=-10")
    ]
    news = list(server.news(job["id"]))
    states = [data["state"] for kind, data in news if kind == "job"]
    assert states[-1] == "done" and states == sorted(states, key=["waiting", "running", "done"].index)
    assert any(kind == "preview" for kind, _ in news)
    last = server.client.get(f"/api/jobs/{job['id']}").json()
    assert (last["done"], last["total"], last["result"]["name"]) == (FRAMES, FRAMES, "anna--nod.mp4")
    expected = tmp_path / "expected.mp4"
    options = ReenactOptions(size=96, body=False, yaw="-10", threads=1)
    reenact(material / "s" / "anna.png", material / "d" / "nod.mp4", expected, options)
    ours, theirs = frames_of(server, last, tmp_path), list(read_video(expected))
    assert len(ours) == len(theirs) == FRAMES and max(map(difference, ours, theirs)) < 1
    assert difference(ours[0], np.asarray(Image.open(material / "s" / "anna.png").resize(ours[0].shape[1::-1]))) > 4
    preview = server.client.get(f"/api/jobs/{job['id']}/preview")
    shown = np.asarray(Image.open(io.BytesIO(preview.content)))
    assert preview.headers["content-type"] == "image/jpeg" and min(difference(shown, each) for each in ours) < 6


def test_a_rotation_is_a_picture(server: RunningServer, portrait: str, material: Path, tmp_path: Path) -> None:
    job = server.finished(begun(server.ask_for("rotate", portrait, options={"yaw": "20", "size": 96}))["id"])
    assert (job["state"], job["format"], job["driving"]) == ("done", "png", None)
    (ours,) = frames_of(server, job, tmp_path)
    rotate(material / "s" / "anna.png", tmp_path / "r.png", RotateOptions(yaw="20", size=96, threads=1))
    assert difference(ours, np.asarray(Image.open(tmp_path / "r.png"))) < 0.5


def test_files_may_come_with_the_job_and_a_sound_is_spoken(
    server: RunningServer, material: Path, tmp_path: Path
) -> None:
    wav = tmp_path / "talk.wav"
    ffmpeg("-i", material / "d" / "talk.mp4", "-vn", wav)
    files = {
        "job": (None, json.dumps({"command": "speak", "options": {"size": 96}})),
        "source": ("bob.png", (material / "s" / "bob.png").read_bytes()),
        "driving": ("talk.wav", wav.read_bytes()),
    }
    job = server.finished(begun(server.client.post("/api/jobs", files=files))["id"])
    assert (job["state"], job["result"]["name"]) == ("done", "bob--talk.mp4")
    assert len(frames_of(server, job, tmp_path)) == job["total"] > 3
    kinds = [server.client.get(f"/api/files/{job[role]}").json()["kind"] for role in ("source", "driving")]
    assert kinds == ["picture", "sound"]


def test_a_picture_may_be_the_background(server: RunningServer, portrait: str, tmp_path: Path) -> None:
    Image.new("RGB", (64, 64), (0, 200, 0)).save(tmp_path / "green.png")
    green = server.send(tmp_path / "green.png")["id"]
    asked = {"yaw": 5, "size": 96, "background": green}
    job = server.finished(begun(server.ask_for("rotate", portrait, options=asked))["id"])
    (picture,) = frames_of(server, job, tmp_path)
    red, green_level, blue = picture[2, 2]
    assert job["state"] == "done" and green_level > 150 and max(red, blue) < 80
    assert "green.png" in job["command_line"] and green not in job["command_line"]


def test_the_result_comes_in_ranges_and_as_an_attachment(server: RunningServer, portrait: str) -> None:
    job = server.finished(begun(server.ask_for("rotate", portrait, options={"yaw": 10, "size": 64}))["id"])
    address = f"/api/jobs/{job['id']}/result"
    whole = server.client.get(address)
    assert whole.headers["content-disposition"].startswith("inline")
    part = server.client.get(address, headers={"Range": "bytes=10-19"})
    assert part.status_code == 206 and part.content == whole.content[10:20]
    assert server.client.get(address, headers={"Range": "bytes=999999999-"}).status_code == 416
    attached = server.client.get(address, params={"download": 1}).headers["content-disposition"]
    assert attached == 'attachment; filename="anna--rotated.png"'


@pytest.mark.parametrize("state", ["running", "waiting"])
def test_a_job_is_cancelled_within_a_second(server: RunningServer, portrait: str, long: str, state: str) -> None:
    first = begun(server.ask_for("reenact", portrait, long, options=SMALL))["id"]
    job = first if state == "running" else begun(server.ask_for("reenact", portrait, long, options=SMALL))["id"]
    wait_until(lambda: server.client.get(f"/api/jobs/{first}").json()["done"] > 2)
    assert server.client.get(f"/api/jobs/{job}").json()["state"] == state
    workers = server.workers()
    began = time.monotonic()
    assert server.client.delete(f"/api/jobs/{job}").json()["state"] == "cancelled"
    assert time.monotonic() - began < 1.0 * slowness()
    assert server.client.get(f"/api/jobs/{job}/result").status_code == 409
    if job != first:
        server.client.delete(f"/api/jobs/{first}")
    assert not [path for path in (server.private / "results").iterdir() if first in path.name or job in path.name]
    # The worker goes on with the next one, unless a busy machine kept it from letting go in time.
    assert len(workers) == 1 and (server.workers() == workers or slowness() > 1.5)
    after = server.finished(begun(server.ask_for("rotate", portrait, options={"yaw": 3, "size": 64}))["id"])
    assert after["state"] == "done"


def test_a_worker_that_does_not_let_go_is_ended(server: RunningServer, portrait: str, long: str) -> None:
    # Until its first frame a job asks nobody: its source is looked at, or torch is still loading.
    job = begun(server.ask_for("reenact", portrait, long, options={"size": 97}))["id"]
    wait_until(lambda: server.client.get(f"/api/jobs/{job}").json()["state"] == "running")
    began = time.monotonic()
    assert server.client.delete(f"/api/jobs/{job}").json()["state"] == "cancelled"
    assert time.monotonic() - began < 1.5 * slowness()
    after = server.finished(begun(server.ask_for("rotate", portrait, options={"yaw": 4, "size": 64}))["id"])
    assert after["state"] == "done"


def test_a_failure_is_the_line_of_the_command_line(server: RunningServer, material: Path, nod: str) -> None:
    hill = server.send(material / "s" / "hill.png", "my hill.png")["id"]
    job = server.finished(begun(server.ask_for("reenact", hill, nod, options=SMALL))["id"])
    assert (job["state"], job["code"], job["result"]) == ("failed", 3, None)
    assert job["error"].startswith("my hill.png: no face found")
    assert server.client.get(f"/api/jobs/{job['id']}/result").status_code == 409
    assert server.client.delete(f"/api/jobs/{job['id']}").status_code == 200
    assert server.client.get(f"/api/jobs/{job['id']}").status_code == 404


def test_a_file_that_a_job_needs_stays_until_it_has_ended(server: RunningServer, material: Path, long: str) -> None:
    face = server.send(material / "s" / "bob.png")["id"]
    job = begun(server.ask_for("reenact", face, long, options=SMALL))["id"]
    assert server.client.delete(f"/api/files/{face}").status_code == 204
    assert server.client.get(f"/api/files/{face}").status_code == 404
    assert (server.private / "files" / face).exists()
    server.client.delete(f"/api/jobs/{job}")
    wait_until(lambda: not (server.private / "files" / face).exists())


@pytest.mark.parametrize(
    ("command", "options", "said"),
    [
        ("rotate", {}, "say where to turn"),
        ("rotate", {"yaw": "\ud800"}, "is not JSON"),  # half a character, which no answer could repeat
        ("rotate", {"yaw": "much"}, "--yaw much: not an angle"),
        ("rotate", {"yaw": 5, "region": "eyes"}, "rotate has no such option"),
        ("rotate", {"yaw": 5, "expression": "jawOpne=1"}, "did you mean jawOpen"),
        ("reenact", {"strength": 7}, "--strength 7: write a number from 0 to 3"),
        ("reenact", {"nonsense": 1}, "nonsense"),
        ("reenact", {"strength": "very"}, "write a number"),
        ("reenact", {"strength": [1]}, "write a number or text"),
        ("reenact", {"region": "nose"}, "write one of"),
        ("reenact", {"body": "maybe"}, "true or false"),
        ("reenact", {"size": 100000}, "at most"),
        ("reenact", {"stitch": True}, "compact does not support it"),
        ("reenact", {"background": "/etc/passwd"}, "a file's id"),
        ("reenact", {"background": "../../secret.png"}, "a file's id"),
        ("reenact", {"codec": "libx264", "background": "transparent"}, "transparent"),
        ("reenact", {"codec": "no-such-codec"}, "no-such-codec"),
        ("reenact", {"checkpoint": "/etc/passwd"}, "leave it out"),
        ("reenact", {"force": True}, "leave it out"),
        ("reenact", {"device": "cuda:7"}, "leave it out"),
        ("speak", {"head": "wild"}, "write one of"),
    ],
)
def test_options_are_checked_as_on_the_command_line(
    server: RunningServer, ids: dict[str, Any], command: str, options: dict[str, Any], said: str
) -> None:
    answer = server.ask_for(command, ids["source"], ids[command], options=options)
    assert answer.status_code == 422 and said in answer.json()["error"], answer.text
    assert "\n" not in answer.json()["error"] and ".vid2vid-" not in answer.json()["error"]


@pytest.mark.parametrize(
    "asked",
    [
        *(
            b"",
            b"[]",
            b"null",
            b"{",
            b"[" * 60_000,
            b'{"command": "batch"}',
            b'{"command": ["rotate"]}',
            b'{"command": 1}',
        ),
        *(b'{"command": "rotate"}', b'{"command": "rotate", "source": "../x"}', b'{"command": "rotate", "source": {}}'),
        b'{"command": "rotate", "output": "/tmp/x"}',
    ],
)
def test_what_is_no_job_is_refused(server: RunningServer, asked: bytes) -> None:
    answer = server.client.post("/api/jobs", files={"job": (None, asked)})
    assert answer.status_code in (404, 422) and set(answer.json()) == {"error", "code"}


def test_files_of_a_refused_job_are_gone(server: RunningServer, material: Path) -> None:
    before = set(server.files_left())
    picture = ("bob.png", (material / "s" / "bob.png").read_bytes())
    for asked, name in (({"command": "rotate", "options": {"yaw": "x"}}, "source"), ({"command": "rotate"}, "other")):
        files = {"job": (None, json.dumps(asked)), "source": picture, name: picture}
        assert server.client.post("/api/jobs", files=files).status_code == 422
    assert set(server.files_left()) == before


def test_roles_and_formats_are_checked(server: RunningServer, portrait: str, nod: str) -> None:
    for answer in (
        server.ask_for("speak", portrait, portrait),
        server.ask_for("rotate", portrait, nod, options={"yaw": 5}),
        server.ask_for("rotate", portrait, options={"yaw": 5}, format="exe"),
        server.ask_for("rotate", portrait, options=[]),
        server.ask_for("reenact", portrait, nod, format="png"),
    ):
        assert answer.status_code == 422, answer.text


def test_jobs_are_listed_newest_first(server: RunningServer, portrait: str) -> None:
    job = begun(server.ask_for("rotate", portrait, options={"yaw": 2, "size": 64}))["id"]
    server.finished(job)
    jobs = server.client.get("/api/jobs").json()["jobs"]
    assert jobs[0]["id"] == job and [each["created"] for each in jobs] == sorted(
        (each["created"] for each in jobs), reverse=True
    )


def test_answers_are_as_described(server: RunningServer, material: Path) -> None:
    schemas = describe_api()["components"]["schemas"]
    assert server.client.get(OPENAPI_PATH).json() == describe_api()
    face = server.send(material / "s" / "anna.png")
    job = server.finished(server.ask_for("rotate", face["id"], options={"yaw": 5, "size": 64}).json()["id"])
    info = server.client.get("/api/info").json()
    error = server.client.get("/api/jobs/none").json()
    for answer, name in ((face, "File"), (job, "Job"), (info, "Info"), (error, "Error")):
        check(answer, schemas[name], name)
    assert info["family"] == "compact" and info["has_gaze"] and len(info["expressions"]) == 53
    assert info["commands"]["rotate"]["options"][0]["flag"].startswith("--")
    assert "checkpoint" not in {each["name"] for each in info["commands"]["reenact"]["options"]}


def check(value: object, schema: dict[str, object], where: str) -> None:
    """Check a value against the part of JSON Schema that the description uses."""
    kinds = {"string": str, "integer": int, "number": (int, float), "boolean": bool, "array": list, "object": dict}
    if "anyOf" in schema:
        options = schema["anyOf"]
        assert isinstance(options, list)
        if value is not None:
            check(value, options[0], where)
        return
    kind = str(schema["type"])
    assert isinstance(value, kinds[kind]) and (kind == "boolean") == isinstance(value, bool), (where, value)  # type: ignore[arg-type]
    if "enum" in schema:
        assert value in schema["enum"], (where, value)  # type: ignore[operator]
    if isinstance(value, dict) and "properties" in schema:
        properties = schema["properties"]
        assert isinstance(properties, dict) and set(value) == set(properties), (where, set(value) ^ set(properties))
        for name, part in properties.items():
            check(value[name], part, f"{where}.{name}")
    if isinstance(value, list) and isinstance(schema.get("items"), dict):
        for each in value:
            if "$ref" not in schema["items"]:  # type: ignore[operator]
                check(each, schema["items"], where)  # type: ignore[arg-type]


def test_results_are_kept_where_the_user_wants_them(tmp_path: Path, material: Path) -> None:
    with serving(tmp_path / "tmp", "--keep", tmp_path / "kept") as running:
        face = running.send(material / "s" / "anna.png")["id"]
        job = running.finished(begun(running.ask_for("rotate", face, options={"yaw": 9, "size": 64}))["id"])
        content = running.client.get(f"/api/jobs/{job['id']}/result").content
    assert not list((tmp_path / "tmp").iterdir())
    (kept,) = (tmp_path / "kept").iterdir()
    assert kept.read_bytes() == content and kept.name.startswith("rotate-") and kept.suffix == ".png"

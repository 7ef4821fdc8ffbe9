"""`vid2vid serve` on this machine: the first page, a slider, live pictures, a second window and a job beside them.

python -m benchmarks.serve    measure for some seconds each, and put it into benchmarks/serve.json
"""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from PIL import Image
from websockets.sync.client import ClientConnection, connect

from benchmarks.machine import describe_machine, say
from benchmarks.material import Material, find_material
from benchmarks.processes import busy_s, children_of
from vid2vid_cli.media.video import read_video

OUTPUT = Path(__file__).with_name("serve.json")
SIDE, IN_FLIGHT, WARM_UP, QUALITY = 512, 2, 30, 85
PATIENT_S = 300.0
MUST = {"first_page_s": 1.0, "slider_frames": 2.0, "live_fps": 20.0, "live_delay_ms": 120.0, "least_share": 1 / 3}


@dataclass(frozen=True)
class Server:
    """A running server. key: the header that opens it. process: its own, without those that it has started."""

    process: subprocess.Popen[str]
    port: int
    key: dict[str, str]
    client: httpx.Client

    def send(self, path: Path) -> str:
        """Send a file; return its id."""
        answer = self.client.post("/api/files", files={"file": (path.name, path.read_bytes())})
        answer.raise_for_status()
        return str(answer.json()["id"])

    @contextmanager
    def window(self, source: str) -> Iterator[ClientConnection]:
        """Open a live picture, past its first still."""
        with connect(f"ws://127.0.0.1:{self.port}/api/live", additional_headers=self.key) as socket:
            socket.send(json.dumps({"type": "start", "source": source, "size": SIDE}))
            for _ in range(2):
                socket.recv(PATIENT_S)
            yield socket

    def busy_s(self) -> dict[str, float]:
        """Return the seconds of processor time of the server, and of all that render live."""
        children = children_of(self.process.pid)
        live = sum(busy_s(child) for child in children if "live_worker" in _command(child))
        return {"server": busy_s(self.process.pid) - sum(map(busy_s, children)), "live": live}


def _command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text()


@contextmanager
def running_server() -> Iterator[tuple[Server, dict[str, float]]]:
    """Start a server. Yields it with how long it and its first page took."""
    began_s = time.perf_counter()
    words = [sys.executable, "-m", "vid2vid_cli", "serve", "--port", "0", "--json"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    assert process.stdout is not None
    facts = json.loads(process.stdout.readline())
    start_s = time.perf_counter() - began_s
    key = {"Authorization": f"Bearer {facts['token']}"}
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{facts['port']}", headers=key, timeout=PATIENT_S) as client:
            asked_s = time.perf_counter()
            client.get("/").raise_for_status()
            page_s = time.perf_counter() - asked_s
            yield Server(process, facts["port"], key, client), {"start_s": start_s, "first_page_s": page_s}
    finally:
        process.terminate()
        process.wait(30)


@dataclass
class Window:
    """A page whose camera drives a portrait, with two pictures on their way. shown: when each picture was there."""

    delays_ms: list[float] = field(default_factory=list)
    server_ms: list[float] = field(default_factory=list)
    shown_s: list[float] = field(default_factory=list)

    def play(self, socket: ClientConnection, camera: list[bytes], stop: threading.Event) -> None:
        """Send pictures until told to stop."""
        sent: dict[int, float] = {}
        count, answered = 0, 0
        while not stop.is_set():
            while count - answered < IN_FLIGHT:
                sent[count] = time.perf_counter()
                socket.send(camera[count % len(camera)])
                count += 1
            facts = json.loads(socket.recv(PATIENT_S))
            if facts["type"] != "frame":
                continue
            socket.recv(PATIENT_S)
            answered = facts["number"] + 1
            self.shown_s.append(time.perf_counter())
            self.delays_ms.append(1000 * (self.shown_s[-1] - sent[facts["number"]]))
            self.server_ms.append(facts["server_ms"])

    def fps(self, since_s: float, until_s: float) -> float:
        """Return how many pictures a second were shown in a span."""
        return sum(since_s <= shown <= until_s for shown in self.shown_s) / (until_s - since_s)


@contextmanager
def playing(server: Server, source: str, camera: list[bytes]) -> Iterator[Window]:
    """Play a window in a thread while the block runs, from its first pictures on."""
    window, stop = Window(), threading.Event()
    with server.window(source) as socket:
        thread = threading.Thread(target=window.play, args=(socket, camera, stop))
        thread.start()
        while len(window.shown_s) < WARM_UP:
            time.sleep(0.05)
        try:
            yield window
        finally:
            stop.set()
            thread.join()


def camera_of(clip: Path) -> list[bytes]:
    """Return the pictures of a clip as a browser sends them."""
    pictures = []
    for _, frame in zip(range(200), read_video(clip), strict=False):
        file = io.BytesIO()
        Image.fromarray(frame).resize((SIDE, SIDE)).save(file, "JPEG", quality=QUALITY)
        pictures.append(file.getvalue())
    return pictures


def measure_slider(server: Server, source: str) -> dict[str, float]:
    """Return how long a picture takes after a slider was moved."""
    took_ms = []
    with server.window(source) as socket:
        for step in range(40):
            began_s = time.perf_counter()
            socket.send(json.dumps({"type": "controls", "yaw": step - 20}))
            socket.recv(PATIENT_S), socket.recv(PATIENT_S)
            took_ms.append(1000 * (time.perf_counter() - began_s))
    return {"slider_ms": statistics.median(took_ms[10:])}


def measure_live(server: Server, source: str, camera: list[bytes], seconds: float) -> dict[str, float]:
    """Return rate, delay and processor time of one window."""
    with playing(server, source, camera) as window:
        before, began_s, count = server.busy_s(), time.perf_counter(), len(window.shown_s)
        time.sleep(seconds)
        after, ended_s = server.busy_s(), time.perf_counter()
    shown = sum(began_s <= each <= ended_s for each in window.shown_s)
    return {
        "live_fps": window.fps(began_s, ended_s),
        "live_delay_ms": statistics.median(window.delays_ms[count : count + shown]),
        "live_frame_ms": statistics.median(window.server_ms[count : count + shown]),
        "live_cpu_ms": 1000 * (after["live"] - before["live"]) / shown,
        "server_cpu_ms": 1000 * (after["server"] - before["server"]) / shown,
    }


def measure_company(server: Server, source: str, clip: str, camera: list[bytes], seconds: float) -> dict[str, float]:
    """Return the rates of two windows at the same time, then of one window and a job, and of the job by itself."""
    with playing(server, source, camera) as one, playing(server, source, camera) as two:
        began_s = time.perf_counter()
        time.sleep(seconds)
        ended_s = time.perf_counter()
    windows = [each.fps(began_s, ended_s) for each in (one, two)]
    job_alone = job_rate(server, source, clip, seconds)
    with playing(server, source, camera) as window:
        began_s = time.perf_counter()
        job_beside = job_rate(server, source, clip, seconds)
        beside = window.fps(began_s, time.perf_counter())
    return {
        "two_windows_fps": min(windows),
        "live_beside_job_fps": beside,
        "job_fps": job_alone,
        "job_beside_live_fps": job_beside,
    }


def job_rate(server: Server, source: str, clip: str, seconds: float) -> float:
    """Return how many frames a second a job makes."""
    asked: dict[str, Any] = {"command": "reenact", "source": source, "driving": clip, "options": {"body": False}}
    answer = server.client.post("/api/jobs", files={"job": (None, json.dumps(asked))})
    answer.raise_for_status()
    address = f"/api/jobs/{answer.json()['id']}"

    def done() -> int:
        return int(server.client.get(address).json()["done"])

    while done() < WARM_UP:
        time.sleep(0.1)
    began_s, before = time.perf_counter(), done()
    time.sleep(seconds)
    rate = (done() - before) / (time.perf_counter() - began_s)
    server.client.delete(address)
    return rate


def measure(material: Material, seconds: float) -> dict[str, float]:
    """Measure everything."""
    camera = camera_of(material.driving)
    with running_server() as (server, start):
        figures = dict(start)
        say("a slider")
        source, clip = server.send(material.source), server.send(material.driving)
        figures |= measure_slider(server, source)
        say("live pictures")
        figures |= measure_live(server, source, camera, seconds)
        say("a second window, and a job")
        figures |= measure_company(server, source, clip, camera, seconds)
    figures["slider_frames"] = figures["slider_ms"] / figures["live_frame_ms"]
    shares = [figures[name] / figures["live_fps"] for name in ("two_windows_fps", "live_beside_job_fps")]
    figures["least_share"] = min(*shares, figures["job_beside_live_fps"] / figures["job_fps"])
    return figures


def main() -> int:
    """Measure, print and keep it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=8.0, help="of each part")
    asked = parser.parse_args()
    material = find_material()
    figures = measure(material, asked.seconds)
    for name, value in figures.items():
        must = f"   must {MUST[name]:.3g}" if name in MUST else ""
        print(f"{name:22}{value:10.3f}{must}")
    result = {"machine": describe_machine(), "load": os.getloadavg()[0], "material": material.name, **figures}
    OUTPUT.write_text(json.dumps(result, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

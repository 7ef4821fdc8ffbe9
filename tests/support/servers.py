"""Start `vid2vid serve` as a process, and ask it as a client would."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from websockets.sync.client import ClientConnection, connect

from tests.support.processes import start

PATIENT_S = 300.0  # ten processes may share a core


@dataclass
class RunningServer:
    """A server. temporary: the folder that it takes for temporary files, empty before."""

    process: subprocess.Popen[str]
    address: str
    port: int
    token: str
    temporary: Path
    client: httpx.Client

    @property
    def host(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def key(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    @property
    def private(self) -> Path:
        """The one folder that the server has made for itself."""
        (folder,) = self.temporary.glob(".vid2vid-*")
        return folder

    def files_left(self) -> list[Path]:
        """What of clients lies on the disk."""
        return [path for path in (self.private / "files").iterdir() if path.is_file()]

    def socket(self, **headers: str) -> ClientConnection:
        """Open the WebSocket of live pictures."""
        return connect(f"ws://{self.host}/api/live", additional_headers={**self.key, **headers}, open_timeout=PATIENT_S)

    def send(self, path: Path, name: str | None = None) -> dict[str, Any]:
        """Send a file; return what the server says of it."""
        answer = self.client.post("/api/files", files={"file": (name or path.name, path.read_bytes())})
        assert answer.status_code == 201, answer.text
        described: dict[str, Any] = answer.json()
        return described

    def ask_for(self, command: str, source: str, driving: str | None = None, **rest: Any) -> httpx.Response:
        """Ask for a job."""
        asked = {"command": command, "source": source, "driving": driving, **rest}
        return self.client.post("/api/jobs", files={"job": (None, json.dumps(asked))})

    def news(self, job: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield the events of a job until the server ends them."""
        with self.client.stream("GET", f"/api/jobs/{job}/events") as stream:
            assert stream.headers["content-type"].startswith("text/event-stream")
            kind = ""
            for line in stream.iter_lines():
                if line.startswith("event: "):
                    kind = line.removeprefix("event: ")
                elif line.startswith("data: "):
                    yield kind, json.loads(line.removeprefix("data: "))

    def finished(self, job: str) -> dict[str, Any]:
        """Wait until a job has ended; return it."""
        last: dict[str, Any] = {}
        for kind, data in self.news(job):
            last = data if kind == "job" else last
        return last

    def workers(self) -> set[int]:
        """The processes that do its jobs (Linux)."""
        found = set()
        for task in Path(f"/proc/{self.process.pid}/task").iterdir():
            found |= set(map(int, (task / "children").read_text().split()))
        return {pid for pid in found if "batch.worker" in Path(f"/proc/{pid}/cmdline").read_text()}

    def memory_kib(self) -> int:
        """The resident memory of the server itself (Linux)."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))


@contextmanager
def serving(temporary: Path, *words: str | Path) -> Iterator[RunningServer]:
    """Run a server on a free port for the block."""
    temporary.mkdir(exist_ok=True)
    process = start("serve", "--port", "0", "--json", *words, TMPDIR=str(temporary), OMP_NUM_THREADS="1")
    assert process.stdout is not None
    line = process.stdout.readline()
    if not line:
        raise AssertionError(process.communicate())
    facts = json.loads(line)
    scheme = facts["address"].split(":")[0]
    client = httpx.Client(
        base_url=f"{scheme}://127.0.0.1:{facts['port']}",
        headers={"Authorization": f"Bearer {facts['token']}"},
        timeout=PATIENT_S,
        verify=False,
    )
    try:
        with client:
            yield RunningServer(process, facts["address"], facts["port"], facts["token"], temporary, client)
    finally:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(30)
        process.kill()
        process.communicate()


def wait_until(is_so: Any, within_s: float = PATIENT_S) -> None:
    """Wait until something is so."""
    deadline_s = time.monotonic() + within_s
    while not is_so():
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


def cpu_s(pid: int) -> float:
    """The processor's time that a process has taken (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

"""Run every command under strace and list the sockets that it opens: `make sockets`; Linux with strace.

What does not say that it uses the network must open no socket that could reach one. A new command without an entry here
is an error, so that none is forgotten.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import typer.main

from tests.support.processes import MODULE

REPOSITORY = Path(__file__).resolve().parents[1]
EXAMPLES = REPOSITORY / "examples"
CALLS = "socket,connect,bind,sendto,sendmsg"
_NETWORK = re.compile(r"socket\((AF_(?!UNIX|LOCAL)\w+)")
PATIENCE_S = 300
RAY = "it looks for a cluster of Ray, which --cluster names"
SAID = "good morning to you"


@dataclass(frozen=True)
class Run:
    """One way to run a command. words: behind `vid2vid`. says: why it may use the network; "" if it may not.

    ends: what its output says when it has done enough, and is to be interrupted; "" for a command that ends by itself.
    code: how it ends.
    """

    words: list[str]
    says: str = ""
    ends: str = ""
    code: int = 0

    @property
    def name(self) -> str:
        """The command without its options and files."""
        begins = [word for word in self.words if not word.startswith("-")]
        groups = {"weights": 2, "credentials": 2, "evaluate": 2}
        return " ".join(begins[: groups.get(begins[0], 1)]) if begins else "--version"


def runs(address: str) -> list[Run]:
    """List how the commands are run, in this order, in one folder. address: of a server on this machine."""
    face, clip, speech, small = str(EXAMPLES / "portrait.jpg"), "clip.mp4", "speech.wav", ["--size", "128"]
    weights = str(REPOSITORY / "weights" / "compact.safetensors")
    camera, short = f"{address}/camera.ts", ["--duration", "1"]
    return [
        Run(["--version"]),
        Run(["doctor"]),
        Run(["reenact", face, clip, "-o", "a.mp4", *small]),
        Run(["reenact", face, clip, "-o", "frames", *small]),
        Run(["reenact", face, face, "-o", "b.png", *small]),
        Run(["rotate", face, "--yaw", "10", "-o", "c.webm", *small, "--background", "transparent"]),
        Run(["speak", face, speech, "-o", "d.mp4", *small]),
        Run(["say", face, "hello", "-o", "e.mp4", *small]),
        Run(["dub", clip, speech, "-o", "f.mp4"]),
        Run(["dub", clip, "--text", SAID, "--replace", "morning=evening", "-o", "k.mp4"]),
        Run(["transcript", speech, "--text", SAID, "-o", "said.json"]),
        Run(["motion", clip, "-o", "m.safetensors"]),
        Run(["encode", clip, "-o", "call.v2v"]),
        Run(["decode", "call.v2v", "-o", "g.mp4", *small]),
        Run(["info", "call.v2v"]),
        Run(["faces", face]),
        Run(["controls"]),
        Run(["controls", face, "-o", "sheet.png"]),
        Run(["personalize", face, clip, "-o", "me.person"]),
        Run(["batch", face, clip, "-o", "many", *small]),
        Run(["batch", face, clip, "-o", "far", *small, "--cluster", "auto"], RAY, code=2),
        Run(["live", face, "--camera", clip, "-o", "h.mp4", *small, *short]),
        Run(["live", face, "--camera", camera, "-o", "i.mp4", *small, *short], "a camera at an address"),
        Run(["cameras"]),
        Run(["serve", "--port", "0"], "a server", ends="http", code=130),
        Run(["verify", "a.mp4", "frames"], code=6),
        Run(["evaluate", "self", clip]),
        Run(["evaluate", "cross", face, clip]),
        Run(["evaluate", "rotate", face, "--yaw", "10"]),
        Run(["weights", "list"]),
        Run(["weights", "pull", "fomm", "--mirror", address], "it downloads", code=4),
        Run(["weights", "verify"]),
        Run(["weights", "info", weights]),
        Run(["weights", "convert", "public.pth", "-o", "w.safetensors"]),
        Run(["weights", "path"]),
        Run(["credentials", "show"]),
        Run(["credentials", "new"]),
        Run(["credentials", "use", "key.pem", "key.pem"]),
        Run(
            ["reenact", face, clip, "-o", "j.mp4", *small, "-c", "liveportrait"], code=4
        ),  # it is not downloaded by the way
    ]


def commands() -> set[str]:
    """Name all commands of the command line."""
    from vid2vid_cli.cli.app import app

    return set(_names(typer.main.get_command(app), ()))


def _names(command: object, above: tuple[str, ...]) -> Iterator[str]:
    below = getattr(command, "commands", None)
    if below is None:
        yield " ".join(above)
        return
    for name, each in below.items():
        yield from _names(each, (*above, name))


def sockets_in(trace: str) -> list[str]:
    """List the sockets in a trace that could reach a network, with where they were connected or bound to."""
    return [line.strip() for line in trace.splitlines() if _NETWORK.search(line) or "sa_family=AF_INET" in line]


def traced(run: Run, folder: Path, number: int) -> tuple[int, list[str], str]:
    """Run a command under strace. Return its exit code, its sockets, and what it wrote."""
    log = folder / f"{number}.trace"
    strace = ["strace", "-f", "-qq", "-e", f"trace={CALLS}", "-e", "signal=none", "-o", str(log)]
    command = [*strace, *MODULE, *run.words]
    # A key of its own, and nothing of what the user has downloaded.
    own = {"VID2VID_CONFIG": str(folder / "config"), "VID2VID_HOME": str(folder / "home"), "OMP_NUM_THREADS": "1"}
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), **own}
    child = subprocess.Popen(
        command,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    timer = threading.Timer(PATIENCE_S, os.killpg, (child.pid, signal.SIGKILL))  # all that it has started too
    timer.start()
    told = ""
    assert child.stdout is not None
    for line in child.stdout:
        told += line
        if run.ends and run.ends in line:
            os.kill(_child_of(child.pid), signal.SIGINT)
    code = child.wait()
    timer.cancel()
    return code, sockets_in(log.read_text(encoding="utf-8", errors="replace")), told


def _child_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/task/{pid}/children").read_text().split()[0])


def prepare(folder: Path) -> None:
    """Make speech, a short clip with it, weights as they are published, and a key in a folder."""
    from tests.support.checkpoints import save_public
    from tests.support.clips import ffmpeg
    from vid2vid_cli.media.credentials.making import new_signing_key

    speech = folder / "speech.wav"
    subprocess.run(["flite", "-t", SAID, "-o", str(speech)], check=True)
    shrink = ["-map", "0:v", "-map", "1:a", "-vf", "scale=192:192", "-shortest"]
    ffmpeg("-i", EXAMPLES / "driving.mp4", "-i", speech, *shrink, folder / "clip.mp4")
    # Which needs no seeking, and is longer than the second that ffmpeg drops while it finds out what a stream holds.
    ffmpeg("-stream_loop", "4", "-i", folder / "clip.mp4", "-an", folder / "camera.ts")
    save_public(folder / "public.pth", "vox-256, SPADE")
    (folder / "key.pem").write_bytes(new_signing_key())


def main() -> int:
    """Run all; exit code 1 if a command opens a socket that it does not speak of, or has no entry here."""
    absent = [program for program in ("strace", "flite") if shutil.which(program) is None]
    if absent:
        sys.stdout.write(f"not installed: {', '.join(absent)}\n")
        return 1
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        prepare(folder)
        server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(folder)))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        planned = runs(f"http://127.0.0.1:{server.server_address[1]}")
        missing = commands() - {run.name for run in planned}
        faults = [f"{name}: no entry in tests/trace_sockets.py" for name in sorted(missing)]
        chosen = sys.argv[1:]
        for number, run in enumerate(planned):
            if not chosen or run.name in chosen:
                code, sockets, told = traced(run, folder, number)
                faults += report(run, code, sockets, told)
    sys.stdout.write("\n".join(["", *faults, f"{len(faults)} faults\n"]))
    return 1 if faults else 0


def report(run: Run, code: int, sockets: list[str], told: str) -> list[str]:
    """Print a line about a command; return what is wrong with it."""
    said = f"; it says so: {run.says}" if run.says else ""
    sys.stdout.write(f"{len(sockets):>4} sockets, exit code {code}: {' '.join(run.words)[:90]}{said}\n")
    sys.stdout.flush()
    faults = [] if run.says else [f"{run.name}: {line}" for line in sockets]
    if code != run.code:
        last = told.strip().splitlines()[-1:] or ["it said nothing"]
        faults.append(f"{run.name}: exit code {code}, not {run.code}: {last[0]}")
    return faults


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Say nothing."""


if __name__ == "__main__":
    raise SystemExit(main())

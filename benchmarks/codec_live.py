"""A live call on two cores: a sender and a receiver, each a process on a core of its own, and a pipe between them.

python -m benchmarks.codec --live      measure, and put it into benchmarks/codec.json
python -m benchmarks.codec_live        the receiver's process: a call on standard input, what it saw as JSON at the end

The sender is `vid2vid encode - --live`, ffmpeg and all. The receiver reads each packet as it comes and renders its
frame as `vid2vid decode` does; nothing is encoded again, as if it were shown on a screen.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

import torch

from benchmarks.machine import describe_machine
from benchmarks.material import Material
from benchmarks.processes import busy_s
from vid2vid_cli.codec.header import read_header
from vid2vid_cli.codec.packets import Damage, Kind, Packet, read_packets
from vid2vid_cli.codec.stream import Receiver, StreamReader, Tally
from vid2vid_cli.errors import CallFileError
from vid2vid_cli.media.ffmpeg import file_input, run
from vid2vid_cli.pipeline.call.recording import space_of
from vid2vid_cli.pipeline.engine import Engine, start_engine
from vid2vid_cli.pipeline.finish import Finisher
from vid2vid_cli.pipeline.finite import frame_of
from vid2vid_cli.pipeline.options import DecodeOptions
from vid2vid_cli.pipeline.source import Source

SIDE = 512
PACE_FPS = 25.0
"""What both ends shall keep up with."""
WARM_UP = 15  # frames that are not counted: kernels are compiled, memory is fetched
SENDER = [sys.executable, "-m", "vid2vid_cli", "encode", "-", "--live", "-o", "-", "--threads", "1", "--quiet"]
RECEIVER = [sys.executable, "-m", "benchmarks.codec_live"]
BEGINNING = frozenset({Kind.PICTURE, Kind.REFERENCE, Kind.SOUND})


@dataclass(frozen=True)
class LiveCall:
    """A call as it went. cores: of sender and receiver, None where the system does not say.

    sender_fps, receiver_fps: packets and pictures a second where frames come as fast as they are taken. sender_ms,
    receiver_ms: processor time a frame, ffmpeg's with the sender's; it hardly minds what else the machine does.
    delay_ms, longest_ms: from a frame's coming in to its being shown, the median and the longest, where frames come at
    PACE_FPS. late_share: of the frames, those that are shown later than two frames after the usual delay.
    """

    frames: int
    cores: tuple[int, int] | None
    sender_fps: float
    receiver_fps: float
    sender_ms: float
    receiver_ms: float
    delay_ms: float
    longest_ms: float
    late_share: float


def measure_live(material: Material, count: int) -> dict[str, Any]:
    """Call twice with `count` frames: as fast as may be, then at PACE_FPS."""
    with tempfile.TemporaryDirectory() as name:
        head, frames = cut_frames(material.driving, count, Path(name))
        fast, paced = call(head, frames, None), call(head, frames, PACE_FPS)
    delays = [shown - fed for fed, shown in zip(paced.fed_s, paced.shown_s, strict=True)][WARM_UP:]
    usual = statistics.median(delays)
    late = sum(delay > usual + 2 / PACE_FPS for delay in delays)
    result = asdict(
        LiveCall(
            frames=len(frames),
            cores=choose_cores(),
            sender_fps=rate(fast.sent_s),
            receiver_fps=rate(fast.shown_s),
            sender_ms=1000 / rate(fast.sender_busy_s),
            receiver_ms=1000 / rate(fast.receiver_busy_s),
            delay_ms=1000 * usual,
            longest_ms=1000 * max(delays),
            late_share=late / len(delays),
        )
    )
    return {"machine": describe_machine(), **result}


def rate(times_s: list[float]) -> float:
    """Return events a second, those of the warm-up left out."""
    counted = times_s[WARM_UP:]
    return (len(counted) - 1) / (counted[-1] - counted[0])


def cut_frames(clip: Path, count: int, folder: Path) -> tuple[bytes, list[bytes]]:
    """Return the header and the first frames of a clip as Y4M, 512x512."""
    output = folder / "frames.y4m"
    scale = ["-vf", f"scale={SIDE}:{SIDE}", "-pix_fmt", "yuv420p"]
    run(["-v", "error", *file_input(clip), "-frames:v", str(count), *scale, f"file:{output}"], str(clip))
    head, rest = output.read_bytes().split(b"\n", 1)
    size = len(b"FRAME\n") + SIDE * SIDE * 3 // 2
    return head + b"\n", [rest[at : at + size] for at in range(0, len(rest), size)]


def choose_cores() -> tuple[int, int] | None:
    """Return a core for the sender and one for the receiver; the same where there is only one."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    cores = sorted(os.sched_getaffinity(0))
    return cores[0], cores[-1]


@dataclass
class Times:
    """When each frame came in, its packet went out and its picture was there, by time.monotonic; seconds.

    sender_busy_s, receiver_busy_s: how much processor time either end had taken by then.
    """

    fed_s: list[float] = field(default_factory=list)
    sent_s: list[float] = field(default_factory=list)
    sender_busy_s: list[float] = field(default_factory=list)
    shown_s: list[float] = field(default_factory=list)
    receiver_busy_s: list[float] = field(default_factory=list)


def call(head: bytes, frames: list[bytes], fps: float | None) -> Times:
    """Call once and say when what happened.

    fps: at which frames come in; None: as fast as the sender takes them.
    """
    cores = choose_cores() or (None, None)
    receiver = start_on(cores[1], RECEIVER)
    receiver_ready(receiver)
    sender = start_on(cores[0], SENDER)
    times = Times()
    feeding = threading.Thread(target=feed, args=(sender, head, frames, fps, times))
    feeding.start()
    pass_on(sender, receiver, times)
    feeding.join()
    times.shown_s, times.receiver_busy_s = json.loads(pipe(receiver.stdout).read())
    if receiver.wait() != 0 or not len(times.sent_s) == len(times.shown_s) == len(frames):
        raise RuntimeError(f"of {len(frames)} frames {len(times.sent_s)} were sent and {len(times.shown_s)} shown")
    return times


def start_on(core: int | None, command: list[str]) -> subprocess.Popen[bytes]:
    """Start a process with one thread on one core, where the system can; its children stay there too."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    own = os.sched_getaffinity(0) if core is not None else set[int]()
    try:
        if core is not None:
            os.sched_setaffinity(0, {core})  # what is started now inherits it
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
    finally:
        if core is not None:
            os.sched_setaffinity(0, own)


def receiver_ready(receiver: subprocess.Popen[bytes]) -> None:
    """Wait until a receiver has loaded its model, as somebody who waits for a call has."""
    line = pipe(receiver.stdout).readline()
    if line != b"ready\n":
        raise RuntimeError("the receiver did not start")


def pipe(stream: IO[bytes] | None) -> IO[bytes]:
    """Return a process' stream, which was asked for."""
    if stream is None:
        raise ValueError("a process without a pipe")
    return stream


def feed(sender: subprocess.Popen[bytes], head: bytes, frames: list[bytes], fps: float | None, times: Times) -> None:
    """Hand frames to a sender, each at its time, and note when. The time begins when the first one is taken."""
    camera, began = pipe(sender.stdin), 0.0
    camera.write(head)
    for index, frame in enumerate(frames):
        if fps is not None and index > 1:
            time.sleep(max(0.0, began + index / fps - time.monotonic()))
        times.fed_s.append(time.monotonic())
        camera.write(frame)
        camera.flush()
        if index == 1:  # by now the sender has started: two frames do not fit into a pipe
            began = time.monotonic() - index / (fps or 1)
    camera.close()


def pass_on(sender: subprocess.Popen[bytes], receiver: subprocess.Popen[bytes], times: Times) -> None:
    """Carry what a sender says to a receiver, as a network would, and note when each frame's packet passed."""
    said, line = CallPieces(), pipe(receiver.stdin)
    while part := os.read(pipe(sender.stdout).fileno(), 1 << 16):
        now = time.monotonic()
        line.write(part)
        line.flush()
        frames = [packet for packet in said.take(part) if packet.kind in (Kind.KEY, Kind.DELTA, Kind.HOLD)]
        times.sent_s += [now] * len(frames)
        times.sender_busy_s += [busy_s(sender.pid)] * len(frames)
    line.close()
    if sender.wait() != 0:
        raise RuntimeError("the sender failed")


class CallPieces:
    """Makes packets of the bytes of a call as they come, on a line that loses nothing."""

    def __init__(self) -> None:
        self._rest = b""
        self.head = b""

    def take(self, part: bytes) -> Iterator[Packet]:
        """Yield the packets that are whole now."""
        self._rest += part
        if not self.head:
            try:
                _, end = read_header(self._rest)
            except CallFileError:
                return
            self.head, self._rest = self._rest[:end], self._rest[end:]
        whole = 0
        for met, end in read_packets(self._rest, 0, int.from_bytes(self.head[-4:], "little")):
            if isinstance(met, Damage):
                break
            whole = end
            yield met
        self._rest = self._rest[whole:]


class Screen:
    """Renders the frames of a call, one after the other."""

    def __init__(self, engine: Engine, beginning: bytes, folder: Path) -> None:
        """beginning: the header and the packets before the first frame."""
        self._model, reader = engine.loaded.model, StreamReader(beginning)
        header = reader.header
        self._space = space_of(self._model, header.keypoints, header.extra_shape)
        picture, reference = reader.picture(), reader.reference()
        if picture is None or reference is None:
            raise ValueError("a call that does not begin with its picture")
        self._reference = self._space.motion(reference[None])
        path, options = folder / "picture", DecodeOptions()
        path.write_bytes(picture)
        self._source = next(Source(path, options, engine, print).frames())
        self._path, self._finish = path, Finisher(path, options)
        self._receiver = Receiver(header, Tally())

    def show(self, packet: Packet) -> int:
        """Render the frames that a packet tells of; return how many."""
        shown = 0
        (face,) = self._source.faces
        if face.appearance is None:
            raise ValueError("no face in the picture")
        for moment in self._receiver.take(packet):
            motion = self._reference if moment.numbers is None else self._space.motion(moment.numbers[None])
            keypoints = self._model.drive(face.appearance, motion, self._reference, None)
            image = self._model.render(face.appearance, keypoints)
            self._finish(self._source, [frame_of(image, self._path)])
            shown += 1
        return shown


def receive() -> tuple[list[float], list[float]]:
    """Receive the call on standard input to its end.

    Returns when each frame was there, by time.monotonic, and this process' processor time then.
    """
    engine, pieces, early, screen = start_engine(DecodeOptions(threads=1), None), CallPieces(), b"", None
    print("ready", flush=True)
    shown_s, own_s = list[float](), list[float]()
    with tempfile.TemporaryDirectory() as name, torch.inference_mode():
        while part := os.read(sys.stdin.fileno(), 1 << 16):
            for packet in pieces.take(part):
                if packet.kind in BEGINNING:
                    early += packet.write(int.from_bytes(pieces.head[-4:], "little"))
                    continue
                screen = screen or Screen(engine, pieces.head + early, Path(name))
                shown = screen.show(packet)
                shown_s += [time.monotonic()] * shown
                own_s += [time.process_time()] * shown
    return shown_s, own_s


if __name__ == "__main__":
    print(json.dumps(receive()))

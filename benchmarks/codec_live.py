"""A live call on two cores: a sender and a receiver, each a process on a core of its own, and a pipe between them.

python -m benchmarks.codec --live      measure, and put it into benchmarks/codec.json

The sender is `vid2vid encode - --live`, ffmpeg and all, the receiver `vid2vid decode - --live -o -`, whose raw video
is read here in the place of a player.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from benchmarks.machine import describe_machine
from benchmarks.material import Material
from benchmarks.processes import busy_s
from vid2vid_cli.codec.incoming import IncomingStream
from vid2vid_cli.codec.packets import FRAMES
from vid2vid_cli.codec.stream import Tally
from vid2vid_cli.media.ffmpeg import file_input, run

SIDE = 512
PACE_FPS = 25.0
"""The rate that both ends should keep up with."""
WARM_UP = 15  # frames that are not counted: loops are compiled and memory is allocated
SENDER = [sys.executable, "-m", "vid2vid_cli", "encode", "-", "--live", "-o", "-", "--threads", "1", "--quiet"]
RECEIVER = [sys.executable, "-m", "vid2vid_cli", "decode", "-", "--live", "-o", "-", "--threads", "1", "--quiet"]
ALL_FRAMES = ["--every-frame"]  # where frames come as fast as possible, none is repeated or dropped
FRAME_BYTES = len(b"FRAME\n") + SIDE * SIDE * 3 // 2


@dataclass(frozen=True)
class LiveCall:
    """The figures of a call. cores: of sender and receiver, None if the system does not tell.

    sender_fps, receiver_fps: packets and pictures per second when frames come as fast as they are taken. sender_ms,
    receiver_ms: processor time per frame, the sender's with its ffmpeg; hardly affected by other load. delay_ms,
    longest_ms: from a frame's arrival to its display, median and maximum, when frames come at PACE_FPS. late_share:
    fraction of frames shown more than two frames later than the median delay. repeated_share: fraction of frames for
    which the previous one was shown again because rendering was too slow.
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
    repeated_share: float


def measure_live(material: Material, count: int) -> dict[str, Any]:
    """Make two calls with `count` frames: as fast as possible, then at PACE_FPS."""
    with tempfile.TemporaryDirectory() as name:
        head, frames = cut_frames(material.driving, count, Path(name))
        fast, paced = call(head, frames, None), call(head, frames, PACE_FPS)
    # Both runs are needed: at full speed frames queue up, so that delays say nothing.
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
            repeated_share=sum(paced.is_repeat[WARM_UP:]) / len(delays),
        )
    )
    return {"machine": describe_machine(), **result}


def rate(times_s: list[float]) -> float:
    """Return events per second, without the warm-up."""
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
    """Return a core for the sender and one for the receiver: the same one if there is only one."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    cores = sorted(os.sched_getaffinity(0))
    return cores[0], cores[-1]


@dataclass
class Times:
    """When each frame came in, its packet left and its picture was shown: seconds of time.monotonic.

    sender_busy_s, receiver_busy_s: the processor time that each end had used by then.
    """

    fed_s: list[float] = field(default_factory=list)
    sent_s: list[float] = field(default_factory=list)
    sender_busy_s: list[float] = field(default_factory=list)
    shown_s: list[float] = field(default_factory=list)
    receiver_busy_s: list[float] = field(default_factory=list)
    is_repeat: list[bool] = field(default_factory=list)
    """For each picture, whether it equals the previous one to the last bit."""
    is_seen: threading.Event = field(default_factory=threading.Event)
    """Set when the first picture is there: both ends have started."""


def call(head: bytes, frames: list[bytes], fps: float | None) -> Times:
    """Make one call, and return when everything happened.

    fps: rate at which frames come in. None: as fast as the sender takes them, and the receiver renders every one.
    """
    cores = choose_cores() or (None, None)
    receiver = start_on(cores[1], [*RECEIVER, *(ALL_FRAMES if fps is None else [])])
    sender = start_on(cores[0], SENDER)
    times = Times()
    threads = [
        threading.Thread(target=feed, args=(sender, head, frames, fps, times)),
        threading.Thread(target=watch, args=(receiver, times)),
    ]
    for thread in threads:
        thread.start()
    pass_on(sender, receiver, times)
    for thread in threads:
        thread.join()
    if receiver.wait() != 0 or not len(times.sent_s) == len(times.shown_s) == len(frames):
        raise RuntimeError(f"of {len(frames)} frames {len(times.sent_s)} were sent and {len(times.shown_s)} shown")
    return times


def start_on(core: int | None, command: list[str]) -> subprocess.Popen[bytes]:
    """Start a process with one thread on one core, if the system can; its children stay there too."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    own = os.sched_getaffinity(0) if core is not None else set[int]()
    try:
        if core is not None:
            os.sched_setaffinity(0, {core})  # what is started now inherits it
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
    finally:
        if core is not None:
            os.sched_setaffinity(0, own)


def pipe(stream: IO[bytes] | None) -> IO[bytes]:
    """Return a pipe of a process that was started with one."""
    if stream is None:
        raise ValueError("a process without a pipe")
    return stream


def feed(sender: subprocess.Popen[bytes], head: bytes, frames: list[bytes], fps: float | None, times: Times) -> None:
    """Feed frames to a sender, each at its time, and record when. The clock starts when the first one is shown."""
    camera, began = pipe(sender.stdin), 0.0
    camera.write(head)
    for index, frame in enumerate(frames):
        if fps is not None and index:
            time.sleep(max(0.0, began + index / fps - time.monotonic()))
        times.fed_s.append(time.monotonic())
        camera.write(frame)
        camera.flush()
        if not index:
            times.is_seen.wait()
            began = time.monotonic()
    camera.close()


def watch(receiver: subprocess.Popen[bytes], times: Times) -> None:
    """Read the pictures of a receiver, as a player would, and record when each was there."""
    film = pipe(receiver.stdout)
    film.readline()  # the header
    before = b""
    while len(picture := film.read(FRAME_BYTES)) == FRAME_BYTES:
        times.shown_s.append(time.monotonic())
        times.receiver_busy_s.append(busy_s(receiver.pid))
        times.is_repeat.append(picture == before)
        times.is_seen.set()
        before = picture
    times.is_seen.set()  # also if nothing came: the feeding thread must not wait for ever


def pass_on(sender: subprocess.Popen[bytes], receiver: subprocess.Popen[bytes], times: Times) -> None:
    """Carry packets from sender to receiver, as a network would, and record when each frame's packet passed."""
    packets, line = IncomingStream(Tally()), pipe(receiver.stdin)
    while part := os.read(pipe(sender.stdout).fileno(), 1 << 16):
        now = time.monotonic()
        line.write(part)
        line.flush()
        frames = [packet for packet in packets.take(part) if packet.kind in FRAMES]
        times.sent_s += [now] * len(frames)
        times.sender_busy_s += [busy_s(sender.pid)] * len(frames)
    line.close()
    if sender.wait() != 0:
        raise RuntimeError("the sender failed")

"""A live portrait on two cores: processor time, rate and delay of a picture, and what happens if rendering is slow.

python -m benchmarks.live                    measure for some seconds each, and put it into benchmarks/live.json
python -m benchmarks.live --slow-minutes 10  as long as the promise says
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.machine import describe_machine, say
from benchmarks.material import find_material
from benchmarks.processes import busy_s
from vid2vid_cli.arrays import Frame
from vid2vid_cli.live.camera import open_capture
from vid2vid_cli.live.loop import LiveLoop, LoopSettings, even_size
from vid2vid_cli.live.messages import Messages
from vid2vid_cli.live.outputs import LiveStatus
from vid2vid_cli.media.capture import CaptureRequest, capture_arguments, inputs_of
from vid2vid_cli.media.ffmpeg import Child
from vid2vid_cli.media.pipe import PipedVideo, piped_video
from vid2vid_cli.pipeline.engine import start_engine
from vid2vid_cli.pipeline.live_label import with_label
from vid2vid_cli.pipeline.live_portrait import LivePortrait
from vid2vid_cli.pipeline.live_reader import LiveReading
from vid2vid_cli.pipeline.options import EngineOptions, PictureOptions

SIDE = 512
WARM_UP = 30  # pictures that are not counted: loops are compiled, memory is allocated, the rest is learnt
SLOWED = 3
OUTPUT = Path(__file__).with_name("live.json")
MUST = {"cpu_ms": 32.0, "fps": 25.0, "delay_ms": 80.0, "delay_95_ms": 150.0, "peak_mb": 750.0, "drift": 0.02}


@dataclass
class Screen:
    """An output that shows nothing, and notes when each picture was there."""

    needs_main_thread = False
    idle_s: float | None = None
    delays_ms: list[float] = field(default_factory=list)
    times_s: list[float] = field(default_factory=list)

    def write(self, frame: Frame, status: LiveStatus) -> None:
        """Note a picture."""
        if status.camera is not None:
            self.delays_ms.append(1000 * (time.perf_counter() - status.arrived_s))
            self.times_s.append(time.perf_counter())

    def close(self) -> None:
        """Do nothing."""


class SlowPortrait:
    """A portrait that takes several times as long to render, as on a machine that is busy with something else."""

    def __init__(self, portrait: LivePortrait, factor: float) -> None:
        self._portrait, self._factor = portrait, factor
        self.rendered_s: list[float] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._portrait, name)

    def render(self, reading: LiveReading) -> Frame:
        """Render, and wait."""
        began_s = time.perf_counter()
        frame = self._portrait.render(reading)
        time.sleep((self._factor - 1) * (time.perf_counter() - began_s))
        self.rendered_s.append(time.perf_counter() - began_s)
        return frame


def camera_request(clip: Path) -> CaptureRequest:
    """Return a clip as camera, without end, 512x512."""
    return CaptureRequest("file", str(clip), (SIDE, SIDE), None, loops=True)


def open_portrait(source: Path) -> LivePortrait:
    """Load the networks and open a portrait, as the command does."""
    portrait = LivePortrait(start_engine(EngineOptions(threads=1), None), [source], PictureOptions(size=SIDE), print)
    portrait.warm_up()
    return portrait


def frames_in_turn(request: CaptureRequest) -> PipedVideo:
    """Open a clip whose pictures come as fast as they are taken, none of them dropped."""
    given = inputs_of(request)[0]
    at = given.index("-re")
    given[at : given.index("-stream_loop")] = []
    return piped_video(Child(capture_arguments(request, given), "clip", has_stdout=True), "clip", SIDE * SIDE * 4)


def measure_cpu(portrait: LivePortrait, request: CaptureRequest, count: int) -> dict[str, float]:
    """Return ms of processor time of a picture, from the camera's decoder to what would go out, and its parts."""
    parts: dict[str, list[float]] = {"read_ms": [], "render_ms": [], "label_ms": []}
    began = 0.0
    with frames_in_turn(request) as video:
        for index, picture in enumerate(limited(video.frames(), count + WARM_UP)):
            if index == WARM_UP:
                began = busy_s(os.getpid())
            times = [time.thread_time()]
            reading = portrait.read(picture, index / 30)
            times.append(time.thread_time())
            frame = portrait.render(reading)
            times.append(time.thread_time())
            with_label(frame)
            times.append(time.thread_time())
            if index >= WARM_UP:
                for name, start, end in zip(parts, times, times[1:], strict=False):
                    parts[name].append(1000 * (end - start))
        cpu_ms = 1000 * (busy_s(os.getpid()) - began) / count
    return {"cpu_ms": cpu_ms, **{name: statistics.median(values) for name, values in parts.items()}}


def limited(frames: Iterator[Frame], count: int) -> Iterator[Frame]:
    """Yield so many frames."""
    for _, frame in zip(range(count), frames, strict=False):
        yield frame


def measure_loop(portrait: Any, request: CaptureRequest, duration_s: float) -> tuple[Screen, LiveLoop, list[float]]:
    """Run the loop in real time. Returns what was shown, the loop, and the memory in MB, once a second."""
    settings = LoopSettings(even_size(portrait.still()), duration_s=duration_s, name="clip")
    loop, screen, memory_mb = LiveLoop(portrait, settings, Messages(say)), Screen(), list[float]()
    loop.add_output(screen, "screen")
    is_over = threading.Event()

    def watch() -> None:
        while not is_over.wait(1.0):
            memory_mb.append(resident_mb())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        loop.run(partial(open_capture, request, SIDE * SIDE * 4))
    finally:
        is_over.set()
        watcher.join()
    return screen, loop, memory_mb


def describe_loop(screen: Screen, loop: LiveLoop) -> dict[str, float]:
    """Return the rate and the delays of what was shown."""
    delays, times = screen.delays_ms[WARM_UP:], screen.times_s[WARM_UP:]
    return {
        "fps": (len(times) - 1) / (times[-1] - times[0]),
        "delay_ms": statistics.median(delays),
        "delay_95_ms": statistics.quantiles(delays, n=20)[-1],
        "longest_ms": max(delays),
        "dropped_share": loop.dropped / max(1, loop.counts.seen),
    }


def measure_slowed(portrait: LivePortrait, request: CaptureRequest, minutes: float) -> dict[str, float]:
    """Return delays and memory while rendering takes three times as long."""
    slow = SlowPortrait(portrait, SLOWED)
    screen, loop, memory_mb = measure_loop(slow, request, 60 * minutes)
    figures = describe_loop(screen, loop)
    frame_ms = 1000 * statistics.median(slow.rendered_s)
    half = len(memory_mb) // 2
    early, late = statistics.median(memory_mb[2:half]), statistics.median(memory_mb[half:])
    return {
        **{f"slowed_{name}": value for name, value in figures.items()},
        "slowed_frame_ms": frame_ms,
        "slowed_delay_frames": figures["delay_ms"] / frame_ms,
        "drift": late / early - 1,
        "peak_mb": max(memory_mb),
        "minutes": minutes,
    }


def resident_mb() -> float:
    """Return the memory of this process in MB, without its ffmpeg."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1.024e-3 for line in lines if line.startswith("VmRSS"))


def main() -> int:
    """Measure, print and keep it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0, help="of the loop at full speed")
    parser.add_argument("--slow-minutes", type=float, default=0.5, help="of the loop with a slow renderer")
    parser.add_argument("--frames", type=int, default=200, help="whose processor time is measured")
    asked = parser.parse_args()
    material = find_material()
    request = camera_request(material.driving)
    portrait = open_portrait(material.source)
    portrait.controls = replace(portrait.controls, smooth=0.3)
    say("processor time")
    figures = measure_cpu(portrait, request, asked.frames)
    say("rate and delay")
    figures |= describe_loop(*measure_loop(portrait, request, asked.seconds)[:2])
    say("a renderer slowed to a third")
    figures |= measure_slowed(portrait, request, asked.slow_minutes)
    for name, value in figures.items():
        must = f"   must {MUST[name]:g}" if name in MUST else ""
        print(f"{name:22}{value:10.3f}{must}")
    # Rates and delays mean something on a machine that does nothing else; processor time does on a busy one as well.
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    result = {"machine": describe_machine(), "load": load, "material": material.name, **figures}
    OUTPUT.write_text(json.dumps(result, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

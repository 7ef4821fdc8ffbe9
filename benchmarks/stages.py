"""Measure the time per frame of each stage: the real functions on real frames, one stage at a time.

Decoding and encoding run alone from start to end. The stages between run one after the other in one thread, while
nothing else computes. In the command they overlap, so the stages add up to more than the time of a frame.
"""

from __future__ import annotations

import functools
import itertools
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from fractions import Fraction
from pathlib import Path
from typing import Any

import torch

from benchmarks.material import Material
from vid2vid_cli.arrays import Frame
from vid2vid_cli.face.frames import frame_of
from vid2vid_cli.face.mesh import FaceTracker
from vid2vid_cli.face.paste import paste_face
from vid2vid_cli.media.video import ReadOptions, WriteOptions, open_writer, probe_video, read_video
from vid2vid_cli.models.compact import rendering
from vid2vid_cli.models.compact.mesh import warp as mesh_warp
from vid2vid_cli.pipeline.driving.motion_reader import MotionReader, ReaderSetup
from vid2vid_cli.pipeline.engine import start_engine
from vid2vid_cli.pipeline.options import ReenactOptions
from vid2vid_cli.pipeline.source import Source

WITHIN_RENDER = ("place", "move", "lids", "mouth")
STAGES = ("decode", "track", "motion", "drive", *WITHIN_RENDER, "render, the rest", "paste", "encode")
WARM_UP = 5


class Stopwatch:
    """Sum up seconds by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._running: list[str] = []

    @contextmanager
    def time(self, stage: str) -> Iterator[None]:
        """Add the time of a `with` block to a stage."""
        began = time.perf_counter()
        self._running.append(stage)  # the innermost stage is last
        yield
        self._running.pop()
        self.seconds[stage] += time.perf_counter() - began

    @contextmanager
    def watch(self, owner: Any, name: str, stage: str) -> Iterator[None]:
        """Add the time of a function to a stage, during the `with` block and only when rendering itself calls it."""
        real: Callable[..., Any] = getattr(owner, name)

        @functools.wraps(real)
        def timed(*arguments: Any, **named: Any) -> Any:
            with self.time(stage) if self._running == ["render"] else nullcontext():
                return real(*arguments, **named)

        setattr(owner, name, timed)
        try:
            yield
        finally:
            setattr(owner, name, real)


def measure_stages(material: Material, count: int, folder: Path) -> dict[str, float]:
    """Return the milliseconds per frame of each stage in STAGES, measured on `count` frames."""
    frames, decode_ms = _decode(material.driving, count + WARM_UP)
    watch = Stopwatch()
    rendered = _render(material, frames, watch)
    stages_ms = {stage: 1000 * seconds / count for stage, seconds in watch.seconds.items()}
    # Functions within rendering are timed on their own; what is left of rendering is a stage too.
    inner = sum(stages_ms[stage] for stage in WITHIN_RENDER)
    stages_ms["render, the rest"] = stages_ms.pop("render") - inner
    stages_ms |= {"decode": decode_ms, "encode": _encode(rendered, folder)}
    return {stage: stages_ms[stage] for stage in STAGES}


def _decode(clip: Path, count: int) -> tuple[list[Frame], float]:
    """Read frames. Returns them and the milliseconds per frame, without the start of ffmpeg."""
    frames = iter(read_video(clip, ReadOptions(), probe_video(clip)))
    kept = [next(frames)]
    began = time.perf_counter()
    kept += itertools.islice(frames, count - 1)
    return kept, 1000 * (time.perf_counter() - began) / (len(kept) - 1)


def _render(material: Material, frames: list[Frame], watch: Stopwatch) -> list[Frame]:
    """Run the stages between decoding and encoding. The first WARM_UP frames are not counted."""
    options = ReenactOptions(size=512)
    engine = start_engine(options, None)
    network = engine.loaded.model
    look = ReaderSetup(network, engine.analyzer, "largest", engine.device)
    source = Source(material.source, options, engine, print)
    still, who = next(source.frames()), source.first_appearance()
    tracker, reader, reference = FaceTracker(engine.analyzer), None, None
    rendered = []
    with (
        torch.inference_mode(),
        watch.watch(mesh_warp.MeshWarp, "place", "place"),
        watch.watch(rendering, "_before_background", "move"),
        watch.watch(rendering, "_shut_lids", "lids"),
        watch.watch(rendering, "_inside_of_mouth", "mouth"),
    ):
        for index, picture in enumerate(frames):
            # Loops have been compiled and buffers allocated by now.
            if index == WARM_UP:
                watch.seconds.clear()
            with watch.time("track"):
                found = tracker.update(picture)
            if found is None:
                raise ValueError(f"{material.driving}: frame {index} has no face; measure with another clip")
            reader = reader or MotionReader(look, picture, found)
            with watch.time("motion"):
                motion = reader.read(picture, found)
            reference = reference or motion
            with watch.time("drive"):
                driven = network.drive(who, motion, reference, None)
            with watch.time("render"):
                image = network.render(who, driven)
            with watch.time("paste"):
                picture_out = frame_of(image)
                rendered.append(paste_face(still.frame, picture_out, still.faces[0].crop))
    return rendered


def _encode(frames: list[Frame], folder: Path) -> float:
    """Write frames as the command does. Returns the milliseconds per frame, with start and end of ffmpeg."""
    path = folder / "encoded.mp4"
    options = WriteOptions(fps=Fraction(30), force=True)
    began = time.perf_counter()
    with open_writer(path, (frames[0].shape[0], frames[0].shape[1]), options) as writer:
        for frame in frames:
            writer.write(frame)
    return 1000 * (time.perf_counter() - began) / len(frames)

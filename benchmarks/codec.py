"""Measure what the call codec spends and what that buys, beside video codecs and simpler ways to send the same motion.

make bench-codec                       measure, write benchmarks/codec.json and docs/images/codec.png, print the table
python -m benchmarks.codec --quick     two clips, few frames; writes nothing
python -m benchmarks.codec --live      a live call only, sender and receiver on a core each; keeps all other figures
python -m benchmarks.codec --later     what is seen after five seconds only, beside reenact; keeps all other figures
python -m benchmarks.codec --docs      put the table of codec.json into docs/calls.md

Clips are squares of 512x512 around the head. Pictures are compared with what the camera saw at the clips' own rates;
what motion costs is told at 30 frames/s too, to which `encode --fps 30` brings the clips of other rates.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections import deque
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.codec_later import LaterSetup, measure_later
from benchmarks.codec_live import measure_live
from benchmarks.codec_loss import measure_loss
from benchmarks.codec_material import Clip, Judge, Scores, choose_judge, cut_square, find_clips
from benchmarks.codec_plot import draw_plot
from benchmarks.codec_rivals import SETTINGS, encode_video, field_bytes, float16_bytes, zstd_bytes
from benchmarks.codec_table import format_tables, later_table, live_table
from benchmarks.material import REPOSITORY, find_material
from benchmarks.report import Report
from vid2vid_cli.call.decode import decode_call
from vid2vid_cli.call.encode import encode_call
from vid2vid_cli.call.info import describe_call
from vid2vid_cli.codec.quantizer import STEP_UNIT
from vid2vid_cli.codec.stream import StreamWriter
from vid2vid_cli.media.image import read_image
from vid2vid_cli.media.video import Frame
from vid2vid_cli.models.registry import LoadedModel, load_face_analyzer, load_model
from vid2vid_cli.pipeline.driving.call_file import CallRecording
from vid2vid_cli.pipeline.encode_options import EncodeOptions
from vid2vid_cli.pipeline.options import DecodeOptions, ReenactOptions
from vid2vid_cli.pipeline.reenact import reenact

REPORT = Report(Path(__file__).with_name("codec.json"), "calls.md", "codec", format_tables)
PLOT = REPOSITORY / "docs" / "images" / "codec.png"
EXACT = "unquantised"
COMMON_FPS = 30  # the frame rate at which clips are compared
HEAD_ALONE: dict[str, Any] = {"patches": 0, "body": False}  # what goes beside it is measured by --later
RATES: dict[str, dict[str, Any]] = {
    EXACT: {"step": 0.001},  # a thousandth of a pixel
    "high": {"rate": "high"},
    "medium": {"rate": "medium"},
    "low": {"rate": "low"},
}


@dataclass(frozen=True)
class Effort:
    """How much is measured: clips, frames of each, every n-th judged, clips for video codecs, a call's frames.

    later, later_videos: clips of which the sixth second is judged, and those for H.264.
    """

    clips: int = 100
    frames: int = 60
    every: int = 10
    videos: int = 3
    live_frames: int = 200
    later: int = 100
    later_videos: int = 4


QUICK = Effort(clips=2, frames=48, videos=1, live_frames=60, later=1, later_videos=1)


@dataclass(frozen=True)
class CodecSetup:
    """What every measurement needs."""

    model: LoadedModel
    judge: Judge
    effort: Effort
    folder: Path


def measure(media: Path, effort: Effort, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure everything."""
    analyzer = load_face_analyzer()
    with tempfile.TemporaryDirectory() as name:
        setup = CodecSetup(load_model(), Judge(choose_judge(analyzer)), effort, Path(name))
        rows, curves, speed = [], list[dict[str, Any]](), dict[str, float]()
        for path in find_clips(media)[: effort.clips]:
            clip = cut_square(path, effort.frames, analyzer, setup.folder)
            if clip is None:
                say(f"{path.name}: no face in its first frame; left out")
                continue
            rows.append(measure_clip(clip, setup))
            say(f"{clip.name}: " + ", ".join(f"{k} {v['bytes']:.1f} B" for k, v in rows[-1]["rates"].items()))
            if len(curves) < effort.videos:
                curves.append({"clip": clip.name, "points": measure_videos(clip, setup)})
                say(f"{clip.name}: video codecs")
            setup.judge.forget()
            speed = speed or measure_speed(clip, setup)
        if not rows:
            raise ValueError("no clip with a face")
        loss = measure_loss(find_material().driving, setup.model, setup.folder)
    later = later_of(media, effort, say)
    say("a live call")
    live = measure_live(find_material(), effort.live_frames)
    about = {"judge": setup.judge.landmarks.name, "frames": effort.frames, "every": effort.every}
    return {**about, "speed_ms": speed, "live": live, "later": later, "clips": rows, "videos": curves, "loss": loss}


def later_of(media: Path, effort: Effort, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """Measure what is seen after five seconds."""
    with tempfile.TemporaryDirectory() as name:
        judge = Judge(choose_judge(load_face_analyzer()))
        return measure_later(media, LaterSetup(load_model(), judge, effort.later_videos, Path(name)), effort.later, say)


def measure_clip(clip: Clip, setup: CodecSetup) -> dict[str, Any]:
    """Measure one clip: bytes and scores at every rate, and the bytes of other ways to send its motion."""
    camera = clip.frames[:: setup.effort.every]
    rates: dict[str, dict[str, float]] = {}
    shown_exactly: list[Frame] = []
    for name, rate in RATES.items():
        # Sound would be the same at every rate, so it is left out.
        call = setup.folder / f"{clip.name}-{name}.v2v"
        options = EncodeOptions(audio="none", key_quality=80, force=True, **HEAD_ALONE, **rate)
        encode_call(clip.path, call, options, model=setup.model)
        shown = render(call, clip, setup)
        shown_exactly = shown_exactly or shown
        info = describe_call(call)
        rates[name] = {
            "bytes": info.bytes_a_frame,
            "bytes_at_30": info.bytes_a_frame if is_common(clip.fps) else common_bytes(clip, options, setup),
            "picture": info.sizes["picture"],
            **asdict(setup.judge.score(shown, camera)),
            "akd_from_exact_px": setup.judge.distance_px(shown, shown_exactly),
        }
    return {"clip": clip.name, "fps": float(clip.fps), "rates": rates, "other": measure_other(clip, setup)}


def is_common(fps: Fraction) -> bool:
    """Tell whether a frame rate is the common one, or close enough, as 29.97."""
    return abs(fps - COMMON_FPS) < Fraction(1, 10)


def common_bytes(clip: Clip, options: EncodeOptions, setup: CodecSetup) -> float:
    """Return the bytes of motion per frame of the clip at 30 frames/s."""
    call = setup.folder / "common.v2v"
    encode_call(clip.path, call, replace(options, fps=str(COMMON_FPS)), model=setup.model)
    return describe_call(call).bytes_a_frame


def measure_speed(clip: Clip, setup: CodecSetup) -> dict[str, float]:
    """Return this process's processor time in ms per frame: encoding, decoding, and the codec's share of both."""
    call, film = setup.folder / "speed.v2v", setup.folder / "speed.mp4"
    options = EncodeOptions(audio="none", force=True, threads=1, **HEAD_ALONE)
    encode_s = busy_s(lambda: encode_call(clip.path, call, options, model=setup.model))
    decode_s = busy_s(lambda: decode_call(call, film, DecodeOptions(force=True, threads=1), model=setup.model))
    with closing(CallRecording(call)) as recording:
        numbers = [moment.numbers for moment in recording.reader.frames() if moment.numbers is not None]
        read_s = busy_s(lambda: list(recording.reader.frames()))
        writer = StreamWriter(lambda data: None, recording.header, options.key_interval)
        write_s = busy_s(lambda: deque(map(writer.frame, numbers), maxlen=0))
    parts = {"encode": encode_s, "decode": decode_s, "codec": read_s + write_s}
    return {name: 1000 * seconds / len(clip.frames) for name, seconds in parts.items()}


def busy_s(work: Callable[[], object]) -> float:
    """Return the processor time, in seconds, that some work takes in this process."""
    began = time.process_time()
    work()
    return time.process_time() - began


def render(call: Path, clip: Clip, setup: CodecSetup) -> list[Frame]:
    """Return what a receiver sees at the judged frames."""
    with closing(CallRecording(call)) as recording:
        picture, folder = recording.save_picture(), call.with_suffix("")
        # Rendering at a fraction of the frame rate renders exactly the judged frames.
        fps = str(clip.fps / setup.effort.every)
        options = ReenactOptions(fps=fps, smooth=0.0, reference_frame="picture", audio="none", force=True)
        reenact(picture, call, folder, options, model=setup.model)
    # Resampling may add a last frame that the camera has no partner for.
    wanted = -(-len(clip.frames) // setup.effort.every)
    return [read_image(path) for path in sorted(folder.glob("*.png"))][:wanted]


def measure_other(clip: Clip, setup: CodecSetup) -> dict[str, float]:
    """Return the bytes per frame of other ways to send the motion of the rate `high`."""
    with closing(CallRecording(setup.folder / f"{clip.name}-high.v2v")) as recording:
        space = recording.require_model(setup.model.model)
        numbers = np.array([moment.numbers for moment in recording.reader.frames() if moment.numbers is not None])
        # (T, D), what the codec quantises too, so that only the coding of it differs
        integers = np.rint(numbers * STEP_UNIT / recording.header.scales.steps).astype(np.int64)
        rotations = space.motion(numbers).rotation.double().numpy()
    return {
        "float16": float16_bytes(space),
        **zstd_bytes(integers),
        "GFVC recipe": field_bytes(numbers, rotations),
    }


def measure_videos(clip: Clip, setup: CodecSetup) -> list[dict[str, Any]]:
    """Return scores and bytes per frame of video codecs. Their first frame is listed apart, like our key picture."""
    camera, points = clip.frames[:: setup.effort.every], []
    for setting in SETTINGS:
        sizes, seen = encode_video(clip, setting, setup.folder)
        scores: Scores = setup.judge.score(seen[:: setup.effort.every], camera)
        rest = sum(sizes[1:]) / max(1, len(sizes) - 1)
        points.append({**asdict(setting), "bytes": rest, "picture": sizes[0], **asdict(scores)})
    return points


def main() -> None:
    """Run the command."""
    parser = REPORT.parser(__doc__)
    parser.add_argument("--quick", action="store_true", help="measure less and write nothing")
    parser.add_argument("--live", action="store_true", help="measure a live call only, and keep all other figures")
    parser.add_argument("--later", action="store_true", help="measure what is seen after 5 s only, and keep the rest")
    parser.add_argument(
        "--media", type=Path, default=os.environ.get("VID2VID_MEDIA"), help="folder of drivings/ and train/"
    )
    given = parser.parse_args()
    if given.docs:
        REPORT.update_docs()
        return
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "0")) or torch.get_num_threads())
    media, effort = given.media or REPOSITORY.parent / "shared" / "media", QUICK if given.quick else Effort()
    if given.later:
        results = {**REPORT.read(), "later": later_of(media, effort, lambda text: print(text, flush=True))}
    elif given.live:
        results = {**REPORT.read(), "live": measure_live(find_material(), effort.live_frames)}
    else:
        results = measure(media, effort, lambda text: print(text, flush=True))
    if not given.quick:
        REPORT.keep(results)
        draw_plot(results, PLOT)
    print(live_table(results) if given.live else later_table(results) if given.later else format_tables(results))


if __name__ == "__main__":
    main()

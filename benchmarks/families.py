"""Measure the families of published checkpoints: their papers' computation done naively against ours, layer by layer.

python -m benchmarks.families            measure, write benchmarks/families.json, print a table
python -m benchmarks.families --docs     put the table of families.json into docs/speed.md

The weights are filled from a seed: the pictures are noise, the work is real. All that is compared runs in turn in one
process, on the same weights, with the same threads. A frame is all that one costs after the first: motion is read off
a driving picture, keypoints are driven, the picture is drawn.
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.checkpoints import fill_checkpoint, read_pictures
from benchmarks.families_table import format_families
from benchmarks.machine import describe_machine, say
from benchmarks.material import REPOSITORY
from benchmarks.naive import FAMILIES, build_plain, prepare_again
from benchmarks.processes import peak_memory
from benchmarks.report import Report
from vid2vid_cli.models.base import ReenactmentModel
from vid2vid_cli.models.fast.rewrites import REWRITES, make_fast
from vid2vid_cli.models.registry import load_model

REPORT = Report(Path(__file__).with_name("families.json"), "speed.md", "families", format_families)
NAIVE, ONCE, HALF = "naive", "source once", "bfloat16"
STEPS = (  # make_fast's rewrites
    "norms folded",
    "upsampled after the convolution",
    "SPADE's convolutions merged",
    "SPADE's upsampled conditions by position",
    "7x7x7 and 7x7 heads rewritten",
    "channels last",
)
DrawFrame = Callable[[], Tensor]


@dataclass(frozen=True)
class Effort:
    """How often each frame is drawn, how much of a clip the memory test renders, and which clock counts."""

    repeats: int = 4
    clip_s: str = "0.08"
    clock: Callable[[], float] = time.perf_counter


def measure(families: tuple[str, ...], effort: Effort) -> dict[str, Any]:
    """Measure everything on this machine."""
    say("the peak of matrix products")
    peaks = {
        name: measure_peak(dtype, effort) for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16))
    }
    return {
        "machine": describe_machine(),
        "threads": torch.get_num_threads(),
        "clock": ", by processor time on a busy machine" if effort.clock is time.process_time else "",
        "peak_gflops": peaks,
        "families": {family: measure_family(family, effort) for family in families},
    }


def measure_family(family: str, effort: Effort) -> dict[str, Any]:
    """Measure a family: naively, after each step, and in bfloat16; loading and memory of the last two."""
    say(f"{family}: building it in {len(STEPS) + 3} ways")
    state = fill_checkpoint(family)
    drawn = interleave(all_ways(family, state), effort)
    ways = {
        way: {
            "frame_s": statistics.median(one.times_s),
            "frame_s_of_each_run": one.times_s,
            "speed": median_ratio(drawn[NAIVE].times_s, one.times_s),
            "gflop": one.gflop,
            "difference": difference(one.image, drawn[NAIVE].image),
        }
        for way, one in drawn.items()
    }
    return {"ways": ways, **measure_process(family, state, effort)}


def all_ways(family: str, state: Mapping[str, Tensor]) -> dict[str, DrawFrame]:
    """Return the ways to draw a frame: naively, with one step more each time, and finally in bfloat16."""
    build = FAMILIES[family]
    # The rewrites accumulate: each way has all those of the ways before it.
    ways = {NAIVE: frame_of(build_plain(family, state), is_naive=True), ONCE: frame_of(build_plain(family, state))}
    for step, rewrites in zip(STEPS, accumulate((rewrite,) for rewrite in REWRITES), strict=True):
        ways[step] = frame_of(build(state, partial(make_fast, rewrites=rewrites)))
    return ways | {HALF: frame_of(halved(build(state)))}


def halved(model: ReenactmentModel) -> ReenactmentModel:
    """Convert a model to bfloat16, in place."""
    model.to(torch.device("cpu"), torch.bfloat16)
    return model


def frame_of(model: ReenactmentModel, *, is_naive: bool = False) -> DrawFrame:
    """Return a function that draws one frame of a source whose appearance is known."""
    image, driving = read_pictures()
    points = torch.zeros(1, 468, 3)  # only retargeting of eyes and lips would look at them
    source, start = model.appearance(image, points), model.motion(driving[:1], points, (256, 256))

    def frame() -> Tensor:
        motion = model.motion(driving[2:3], points, (256, 256))
        driven = model.drive(source, motion, start, None)
        return model.render(prepare_again(model, source, image) if is_naive else source, driven)

    return frame


@dataclass(frozen=True)
class Drawn:
    """A frame that was drawn several times: the seconds of each, 1e9 operations, and the picture."""

    times_s: list[float]
    gflop: float
    image: Tensor


def interleave(frames: Mapping[str, DrawFrame], effort: Effort) -> dict[str, Drawn]:
    """Draw frames in turn: once to count operations (a multiply-add counts as two), then `effort.repeats` times."""
    drawn = {}
    for name, frame in frames.items():
        with FlopCounterMode(display=False) as counter:
            image = frame()
        drawn[name] = Drawn([], counter.get_total_flops() / 1e9, image)
    # In turn, so that other load on the machine slows all of them alike.
    for turn in range(effort.repeats):
        say(f"turn {turn + 1} of {effort.repeats}")
        for name, frame in frames.items():
            began = effort.clock()
            frame()
            drawn[name].times_s.append(effort.clock() - began)
    return drawn


def median_ratio(slow: list[float], fast: list[float]) -> float:
    """Return how many times as fast the second one is: the median over the turns."""
    return statistics.median(one / other for one, other in zip(slow, fast, strict=True))


def difference(found: Tensor, wanted: Tensor) -> dict[str, float]:
    """Return the largest and the mean difference of pictures in [0, 1]."""
    error = (found - wanted).abs()
    return {"largest": float(error.max()), "mean": float(error.mean())}


def measure_peak(dtype: torch.dtype, effort: Effort) -> float:
    """Measure the peak of the machine in matrix products, in 1e9 operations per second.

    Computes the same product also as a 1x1 convolution, for which PyTorch uses another library.
    """
    count, size = 16, 1024
    x, y = torch.randn(count * size, size, dtype=dtype), torch.randn(size, size, dtype=dtype)
    maps = x.reshape(count, 32, 32, size).permute(0, 3, 1, 2)
    products: dict[str, DrawFrame] = {
        "matrix": lambda: x @ y,
        "convolution": lambda: torch.nn.functional.conv2d(maps, y[:, :, None, None]),
    }
    return max(one.gflop / statistics.median(one.times_s) for one in interleave(products, effort).values())


def measure_process(family: str, state: Mapping[str, Tensor], effort: Effort) -> dict[str, Any]:
    """Measure the time to load the checkpoint from a file, and the peak memory of the command in both precisions."""
    examples = REPOSITORY / "examples"
    with tempfile.TemporaryDirectory() as name:
        path, output = Path(name) / "checkpoint.safetensors", Path(name) / "out.mp4"
        save_file({key: tensor.contiguous() for key, tensor in state.items()}, path)
        say(f"{family}, loading")
        began = effort.clock()
        load_model(str(path))  # hashing the file is part of it
        load_s = effort.clock() - began
        memory = {}
        for dtype in ("float32", "bfloat16"):
            say(f"{family}, memory, {dtype}")
            arguments = ("-c", str(path), "--dtype", dtype, "--end", effort.clip_s, "-o", str(output), "--force")
            driving = examples / "driving.mp4"
            memory[dtype] = peak_memory(str(examples / "portrait.jpg"), str(driving), *arguments).python_mb
    return {"load_s": load_s, "file_mb": sum(t.nbytes for t in state.values()) / 1e6, "memory_mb": memory}


def main() -> None:
    """Run the command."""
    parser = REPORT.parser(__doc__)
    parser.add_argument("--repeats", type=int, default=Effort.repeats, help="how often each way draws its frame")
    parser.add_argument("--family", choices=FAMILIES, action="append", help="this one only; may be given again")
    parser.add_argument("--threads", type=int, default=0, help="processor threads; 0 leaves it to PyTorch")
    parser.add_argument(
        "--processor-time",
        action="store_true",
        help="count processor time, on a machine that has other work; use it with --threads 1",
    )
    options = parser.parse_args()
    if options.docs:
        REPORT.update_docs()
        return
    if options.threads:
        torch.set_num_threads(options.threads)
    effort = Effort(options.repeats, clock=time.process_time if options.processor_time else time.perf_counter)
    with torch.inference_mode():
        results = measure(tuple(options.family or FAMILIES), effort)
    REPORT.keep(results)
    print(format_families(results))


if __name__ == "__main__":
    main()

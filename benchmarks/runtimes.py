"""Measure other ways to run the families' generators: torch.compile, ONNX Runtime and OpenVINO, against our own.

python -m benchmarks.runtimes            measure, write benchmarks/runtimes.json, print a table
python -m benchmarks.runtimes --docs     put the table of runtimes.json into docs/speed.md

Needs the extra `onnx` and the golden vectors, from which weights are filled. All ways of one part run in turn in one
process, on the same weights and inputs. Each runtime is given our layers, and also the layers as they are written with
only their norms folded: a graph that it may optimise better by itself. What it cannot run is recorded as well.
"""

from __future__ import annotations

import argparse
import copy
import importlib
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.checkpoints import fill_checkpoint, read_pictures
from benchmarks.families import Effort, difference, median_ratio
from benchmarks.machine import describe_machine, say
from benchmarks.material import REPOSITORY
from benchmarks.naive import FAMILIES
from benchmarks.runtimes_table import format_runtimes, list_faults, ours
from benchmarks.table import update_page
from vid2vid_cli.models.facevid2vid.model import FaceVid2VidModel
from vid2vid_cli.models.fast.batch_norm import fold_norms
from vid2vid_cli.models.fast.rewrites import make_fast
from vid2vid_cli.models.layers.volume import PreparedVolume, VolumeWarper
from vid2vid_cli.models.liveportrait.model import LivePortraitModel
from vid2vid_cli.models.precision import moved

RESULTS = Path(__file__).with_name("runtimes.json")
PAGE, MARK = REPOSITORY / "docs" / "speed.md", "runtimes"
OPSET = 20  # the first whose GridSample takes volumes
LAYERS = {"our layers": make_fast, "plain layers": fold_norms}
PARTS = ("decoder", "warping")
WAYS = ("PyTorch", "torch.compile", "ONNX Runtime", "OpenVINO")
PACKAGES = ("onnx", "onnxscript", "onnxruntime", "openvino")
Run = Callable[[], Tensor]


class Warping(nn.Module):
    """The dense motion and the warp of a source, with only tensors as arguments, as exporters need them."""

    def __init__(self, warper: VolumeWarper) -> None:
        super().__init__()
        self.warper = warper

    def forward(self, features: Tensor, compressed: Tensor, own: Tensor, maps: Tensor, keypoints: Tensor) -> Tensor:
        """Warp the fields of a `PreparedVolume` to keypoints (1, K, 3). Returns maps (1, C, H, W)."""
        warped: Tensor = self.warper(PreparedVolume(features, compressed, own, maps), keypoints)
        return warped


@dataclass
class Way:
    """A way to run a part: seconds of each turn, seconds to prepare it, and its answer; or why it fails."""

    run: Run | None = None
    times_s: list[float] = field(default_factory=list)
    ready_s: float = 0.0
    answer: Tensor | None = None
    fault: str = ""


def measure(family: str, part: str, ways_wanted: Collection[str], effort: Effort) -> dict[str, Any]:
    """Measure the ways to run a part of a family's generator. Our own path is always among them."""
    state = fill_checkpoint(family)
    with tempfile.TemporaryDirectory() as folder:
        ways: dict[str, Way] = {}
        for layers, rewrite in LAYERS.items():
            network, inputs = _part(FAMILIES[family](state, rewrite), part)
            for name, prepare in _preparations(network, inputs, Path(folder) / layers).items():
                way = f"{name}, {layers}"
                if name.split(",")[0] in ways_wanted or way in (ours("float32"), ours("bfloat16")):
                    say(f"{family}, {part}: {way}")
                    ways[way] = _make_ready(prepare)
        _take_turns(f"{family}, {part}", ways, effort)
    return {name: _figures(way, ways[ours("float32")], ways[ours(name.split(", ")[1])]) for name, way in ways.items()}


def _take_turns(title: str, ways: Mapping[str, Way], effort: Effort) -> None:
    """Run all ways in turn, so that other load on the machine slows all of them alike."""
    for turn in range(effort.repeats):
        say(f"{title}: turn {turn + 1} of {effort.repeats}")
        for way in ways.values():
            if way.run is not None:
                began = effort.clock()
                way.run()
                way.times_s.append(effort.clock() - began)


def _figures(way: Way, exact: Way, rival: Way) -> dict[str, Any]:
    """Return the figures of a way. exact: the way with the right answer. rival: ours in the same precision."""
    if way.answer is None or exact.answer is None:
        return {"fault": way.fault}
    return {
        "s": statistics.median(way.times_s),
        "s_of_each_turn": way.times_s,
        "speed": median_ratio(rival.times_s, way.times_s),
        "ready_s": way.ready_s,
        "difference": difference(way.answer, exact.answer),
    }


def _make_ready(prepare: Callable[[], Run]) -> Way:
    """Prepare a way and run it once, which compiles it. A failure is recorded, not raised."""
    began = time.perf_counter()
    try:
        run = prepare()
        answer = run().float()
    except Exception as error:  # noqa: BLE001  other packages raise anything
        text = str(error).strip() or type(error).__name__
        return Way(fault=text[:2000])
    return Way(run, ready_s=time.perf_counter() - began, answer=answer)


def _part(model: Any, part: str) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """Return a part of a model's generator and its inputs for one driving frame."""
    points, (image, driving) = torch.zeros(1, 468, 3), read_pictures()
    source, motion = model.appearance(image, points), model.motion(driving, points, (256, 256))
    keypoints = model.drive(source, motion[2], motion[0], None).points
    prepared = PreparedVolume(**source.features)
    decoder: nn.Module
    if isinstance(model, LivePortraitModel):
        warper, decoder = model.warper, model.decoder
    elif isinstance(model, FaceVid2VidModel):
        warper, decoder = model.generator.warper, model.generator.decoder
    else:
        raise ValueError(f"{model.name} warps no volume")
    if part == "decoder":
        return decoder, (warper(prepared, keypoints),)
    return Warping(warper), (*prepared, keypoints)


def _preparations(network: nn.Module, inputs: tuple[Tensor, ...], folder: Path) -> Mapping[str, Callable[[], Run]]:
    """Return the functions that prepare each way to run a network."""
    folder.mkdir()
    # `moved` copies: both precisions run in turn.
    half = moved(network, torch.device("cpu"), torch.bfloat16)
    count = 2 if isinstance(network, Warping) else 1  # keypoints and their maps stay in float32
    halved = (*(one.bfloat16() for one in inputs[:count]), *inputs[count:])
    path = folder / "network.onnx"
    return {
        "PyTorch, float32": lambda: lambda: network(*inputs),
        "PyTorch, bfloat16": lambda: lambda: half(*halved),
        "torch.compile, float32": lambda: _compiled(network, inputs),
        "torch.compile, bfloat16": lambda: _compiled(half, halved),
        "ONNX Runtime, float32": lambda: _onnxruntime(_exported(network, inputs, path), inputs),
        "OpenVINO, float32": lambda: _openvino(_exported(network, inputs, path), inputs, "f32"),
        "OpenVINO, bfloat16": lambda: _openvino(_exported(network, inputs, path), inputs, "bf16"),
    }


def _compiled(network: nn.Module, inputs: tuple[Tensor, ...]) -> Run:
    compiled = torch.compile(copy.copy(network), options={"freezing": True})
    return lambda: compiled(*inputs)


def _exported(network: nn.Module, inputs: tuple[Tensor, ...], path: Path) -> Path:
    """Write a network as ONNX, once."""
    if not path.exists():
        torch.onnx.export(network, inputs, path, opset_version=OPSET, dynamo=True, verbose=False)
    return path


def _onnxruntime(path: Path, inputs: tuple[Tensor, ...]) -> Run:
    onnxruntime: Any = importlib.import_module("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3  # errors only
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    given = {one.name: tensor.numpy() for one, tensor in zip(session.get_inputs(), inputs, strict=True)}
    return lambda: torch.from_numpy(session.run(None, given)[0])


def _openvino(path: Path, inputs: tuple[Tensor, ...], precision: str) -> Run:
    openvino: Any = importlib.import_module("openvino")
    hints = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": torch.get_num_threads()}
    compiled = openvino.compile_model(path, "CPU", {**hints, "NUM_STREAMS": 1})
    given = [tensor.numpy() for tensor in inputs]
    return lambda: torch.from_numpy(compiled(given)[0])


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5, help="how often each way runs")
    parser.add_argument("--docs", action="store_true", help="measure nothing; put the last results into docs/speed.md")
    parser.add_argument("--family", choices=("facevid2vid", "liveportrait"), action="append", help="this one only")
    parser.add_argument("--part", choices=PARTS, action="append", help="this one only")
    parser.add_argument("--way", choices=WAYS, action="append", help="this one only, beside our own path")
    parser.add_argument("--threads", type=int, default=1, help="processor threads of every way")
    parser.add_argument("--processor-time", action="store_true", help="count processor time, on a busy machine")
    options = parser.parse_args()
    if options.docs:
        update_page(PAGE, format_runtimes(json.loads(RESULTS.read_text(encoding="utf-8"))), MARK)
        return
    torch.set_num_threads(options.threads)
    effort = Effort(options.repeats, clock=time.process_time if options.processor_time else time.perf_counter)
    results: dict[str, Any] = {
        "machine": describe_machine(),
        "threads": options.threads,
        "clock": ", by processor time on a busy machine" if options.processor_time else "",
        "packages": {name: version(name) for name in PACKAGES},
        "parts": {},
    }
    with torch.no_grad():  # neither compile nor export takes tensors of inference mode
        for family in options.family or ("facevid2vid", "liveportrait"):
            for part in options.part or PARTS:
                results["parts"][f"{family}, {part}"] = measure(family, part, options.way or WAYS, effort)
                RESULTS.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")
    print(format_runtimes(results))
    print(list_faults(results), file=sys.stderr)


if __name__ == "__main__":
    main()

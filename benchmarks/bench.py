"""Measure how fast `vid2vid reenact` is and how much memory it takes.

make bench                            measure, write benchmarks/results.json, print a table
python -m benchmarks.bench --quick    a shorter look; writes nothing
python -m benchmarks.bench --docs     put the table of results.json into docs/speed.md
"""

from __future__ import annotations

import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.machine import describe_machine, say
from benchmarks.material import Material, find_material, loop_clip
from benchmarks.processes import first_frame_s, peak_memory, run_command
from benchmarks.report import Report
from benchmarks.stages import measure_stages
from benchmarks.table import format_table
from vid2vid_cli.models.registry import load_model
from vid2vid_cli.pipeline.options import ReenactOptions
from vid2vid_cli.pipeline.reenact import reenact

REPORT = Report(Path(__file__).with_name("results.json"), "speed.md", "benchmark", format_table)


@dataclass(frozen=True)
class Effort:
    """How much to measure: repetitions, frames for the stages, seconds of the long clip, end of the clip."""

    runs: int = 5
    starts: int = 3
    frames: int = 150
    long_s: float = 600.0
    end: str | None = None


QUICK = Effort(runs=1, starts=1, frames=30, long_s=60.0, end="2")
SHORT_S = 10.0


def measure(material: Material, effort: Effort) -> dict[str, Any]:
    """Measure everything on this machine."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        say("stages")
        stages_ms = measure_stages(material, effort.frames, folder)
        say("speed")
        speed = measure_speed(material, effort, folder)
        say(f"memory, clips of {SHORT_S:g} s and {effort.long_s:g} s")
        memory = measure_memory(material, effort, folder)
    return {
        "machine": describe_machine(),
        "material": material.name,
        "stages_ms": stages_ms,
        "speed": speed,
        "memory": memory,
    }


def measure_speed(material: Material, effort: Effort, folder: Path) -> dict[str, Any]:
    """Measure frames per second in a warm process and as a command, and the delay of the first frame."""
    files = (str(material.source), str(material.driving))
    target = folder / "speed.mp4"
    options = ReenactOptions(size=512, force=True, end=effort.end)
    loaded = load_model()
    # The first run compiles loops and fills caches: it is left out.
    warm = [reenact(*files, target, options, model=loaded).frames_per_second for _ in range(effort.runs + 1)][1:]
    arguments = [*files, "--size", "512", "--force", *(("--end", effort.end) if effort.end else ())]
    command = []
    for _ in range(effort.starts):
        seconds, summary = run_command(*arguments, "-o", str(target))
        command.append(summary["frames"] / seconds)
    first_s = [first_frame_s(*arguments) for _ in range(effort.starts)]
    # Medians, since one run may be disturbed by other load.
    return {
        "warm_fps": statistics.median(warm),
        "warm_fps_of_each_run": warm,
        "command_fps": statistics.median(command),
        "first_frame_s": statistics.median(first_s),
    }


def measure_memory(material: Material, effort: Effort, folder: Path) -> dict[str, float]:
    """Measure the peak memory of a short and of a long clip. Small pictures keep it quick."""
    # Streaming keeps memory the same for any length: both peaks should agree.
    peaks = []
    for seconds in (SHORT_S, effort.long_s):
        clip = loop_clip(material.small, seconds, folder / f"loop{seconds:g}.mp4")
        target = str(folder / "memory.mp4")
        peaks.append(peak_memory(str(material.source), str(clip), "--size", "256", "-o", target, "--force"))
    short, long = peaks
    return {
        "short_s": SHORT_S,
        "long_s": effort.long_s,
        "short_mb": short.python_mb,
        "long_mb": long.python_mb,
        "ffmpeg_mb": max(short.ffmpeg_mb, long.ffmpeg_mb),
    }


def main() -> None:
    """Run the command."""
    parser = REPORT.parser(__doc__)
    parser.add_argument("--quick", action="store_true", help="measure less and write nothing")
    options = parser.parse_args()
    if options.docs:
        REPORT.update_docs()
        return
    results = measure(find_material(), QUICK if options.quick else Effort())
    if not options.quick:
        REPORT.keep(results)
    print(format_table(results))


if __name__ == "__main__":
    main()

"""Measure `vid2vid batch` against a shell loop over the same jobs, and how its cost grows with the list.

python -m benchmarks.batch            measure, write benchmarks/batch.json, print a table
python -m benchmarks.batch --quick    fewer jobs; writes nothing
python -m benchmarks.batch --docs     put the table of batch.json into docs/speed.md
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks.machine import describe_machine, say
from benchmarks.material import REPOSITORY, find_material
from benchmarks.processes import largest_peak_mb
from benchmarks.report import Report
from vid2vid_cli.media.ffmpeg import file_input, run

COMMAND = [sys.executable, "-m", "vid2vid_cli"]
OPTIONS = ["--size", "128", "--quiet"]
FRAMES = 8
LOOPED, GROWTH = 10, (10, 100, 1000)  # jobs of the shell loop, and of each batch


@dataclass(frozen=True)
class Run:
    """One run over a list of jobs. own_s: sum of the seconds within jobs. peak_mb: of the largest process."""

    jobs: int
    workers: int
    seconds: float
    own_s: float
    peak_mb: float

    @property
    def jobs_per_hour(self) -> float:
        """Return the throughput."""
        return self.jobs / self.seconds * 3600


def make_material(folder: Path, sources: int, drivings: int) -> None:
    """Write portraits and clips of FRAMES frames, no two with the same content."""
    real = find_material()
    for side in ("s", "d"):
        (folder / side).mkdir(parents=True)
    portrait = Image.open(real.source).convert("RGB").resize((256, 256))
    for k in range(sources):
        # One pixel is enough for another sha256, so that nothing is remembered from one job to the next.
        portrait.putpixel((0, 0), (k % 256, k // 256, 0))
        portrait.save(folder / "s" / f"s{k:03}.png")
    clip = folder / "clip.mp4"
    size = ["-frames:v", str(FRAMES), "-vf", "scale=256:256", "-an"]
    run(["-v", "error", *file_input(real.small), *size, f"file:{clip}"], f"{real.small}: cannot be cut")
    for k in range(drivings):
        # Bytes after the end of an MP4 are ignored when it is decoded, but change its sha256.
        (folder / "d" / f"d{k:03}.mp4").write_bytes(clip.read_bytes() + k.to_bytes(16, "big"))


def loop(folder: Path) -> float:
    """Run `vid2vid reenact` in a shell loop over all pairs. Returns the seconds."""
    command, options = shlex.join([*COMMAND, "reenact"]), shlex.join(OPTIONS)
    script = (
        f'for s in s/*; do for d in d/*; do {command} "$s" "$d" {options}'
        ' -o "loop/$(basename "$s" .png)--$(basename "$d")" || exit 1; done; done'
    )
    (folder / "loop").mkdir()
    began = time.perf_counter()
    subprocess.run(["sh", "-c", script], cwd=folder, check=True, env=_environment())
    return time.perf_counter() - began


def batch(folder: Path, workers: int) -> Run:
    """Run `vid2vid batch` over all pairs."""
    out = f"out{workers}"
    arguments = ["batch", "s", "d", "-o", out, "--jobs", str(workers), *OPTIONS]
    began = time.perf_counter()
    child = subprocess.Popen([*COMMAND, *arguments], cwd=folder, env=_environment())
    peak_mb = largest_peak_mb(child)
    seconds = time.perf_counter() - began
    if child.returncode != 0:
        raise RuntimeError(f"the batch failed with exit code {child.returncode}")
    # What a job took of its own is in the report; the rest of the time is overhead.
    rows = [json.loads(line) for line in (folder / out / "report.jsonl").read_text().splitlines()]
    return Run(len(rows), workers, seconds, sum(row["seconds"] for row in rows), peak_mb)


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(REPOSITORY)}


def measure(looped: int, growth: tuple[int, ...]) -> dict[str, Any]:
    """Measure everything on this machine."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        say(f"a shell loop of {looped} jobs, and the batch with 1 and 2 workers")
        make_material(folder / "loop", 2, looped // 2)
        loop_s = loop(folder / "loop")
        runs = [batch(folder / "loop", workers) for workers in (1, 2)]
        grown = []
        for jobs in growth:
            say(f"a batch of {jobs} jobs")
            sources = 10 if jobs > 10 else 2
            make_material(folder / str(jobs), sources, jobs // sources)
            grown.append(batch(folder / str(jobs), 2))
    return {
        "machine": describe_machine(),
        "load": os.getloadavg()[0],
        "loop": {"jobs": looped, "seconds": loop_s},
        "batch": [asdict(one) for one in runs],
        "growth": [asdict(one) for one in grown],
    }


def format_batch(results: dict[str, Any]) -> str:
    """Return the results as Markdown."""
    machine, loop_s, jobs = results["machine"], results["loop"]["seconds"], results["loop"]["jobs"]
    runs, growth = ([Run(**one) for one in results[name]] for name in ("batch", "growth"))
    rows = [
        f"| `vid2vid batch --jobs {one.workers}` | {one.jobs_per_hour:.0f} | {loop_s / one.seconds:.1f} times |"
        for one in runs
    ]
    grown = [
        f"| {one.jobs} | {one.seconds / one.jobs:.2f} s | {_around(one):.2f} s | {one.peak_mb:.0f} MB |"
        for one in growth
    ]
    return "\n".join(
        [
            f"Measured in one run on a busy machine (load {results['load']:.0f}), with {machine['cores']} cores "
            f"({machine['processor']}) for all workers together: the ratios count, not the seconds. Each job has "
            f"{FRAMES} frames of 128x128.",
            "",
            f"| {jobs} jobs | jobs per hour | speed-up |",
            "|---|---|---|",
            f"| `vid2vid reenact` in a shell loop | {jobs / loop_s * 3600:.0f} | 1 |",
            *rows,
            "",
            "| jobs, two workers | time per job | overhead per job | largest process |",
            "|---|---|---|---|",
            *grown,
        ]
    )


def _around(one: Run) -> float:
    """Return the worker's seconds per job that are overhead: starting, handing over, the report."""
    return max(0.0, one.workers * one.seconds - one.own_s) / one.jobs


REPORT = Report(Path(__file__).with_name("batch.json"), "speed.md", "batch", format_batch)


def main() -> None:
    """Run the command."""
    parser = REPORT.parser(__doc__)
    parser.add_argument("--quick", action="store_true", help="measure less and write nothing")
    options = parser.parse_args()
    if options.docs:
        REPORT.update_docs()
        return
    results = measure(4, (10,)) if options.quick else measure(LOOPED, GROWTH)
    if not options.quick:
        REPORT.keep(results)
    print(format_batch(results))


if __name__ == "__main__":
    main()

"""Train the compact family's networks, from the embedded checkpoint's, on a pack, for some minutes by the clock.

    python -m training.quick pack.safetensors -o compact_new.safetensors --minutes 10
    python -m training.quick pack.safetensors -o compact_new.safetensors --minutes 20 --resume

It trains on a CUDA device if there is one, otherwise the same on the processor, slower. Every minute and at the end it
renews the checkpoint and, in a folder beside it (compact_new.run), `last.pt`, which is everything needed to resume,
`log.csv`, `curves.png` and `samples.png`. The checkpoint gets the moving average of the weights.
"""

from __future__ import annotations

import argparse
import csv
import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter, time_ns

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional
from torch.utils.data import DataLoader

from training.dataset import Samples
from training.export import export
from training.losses import WEIGHTS
from training.packed import Pack
from training.plot import draw_curves
from training.pool import Batch, Pool
from training.rendered import render_batch
from training.trainer import FRESH_RATE, TRAINED_RATE, Judges, Schedule, Trainer
from vid2vid_cli.checkpoints.reading import embedded_checkpoint
from vid2vid_cli.models.compact.learned.networks import PATCH_SIDE, LearnedParts
from vid2vid_cli.models.device import choose_device

# Not trained on: on them the networks of a checkpoint are measured first, and losses are compared before and after.
CALIBRATION_BATCHES = 12
SAVE_EVERY_S, LOG_EVERY_S = 60.0, 15.0


@dataclass(frozen=True)
class Feeding:
    """Processes that make batches, batches that are kept at hand, and batches that are joined for one step."""

    workers: int
    pool: int
    joined: int

    @classmethod
    def suited_to(cls, device: torch.device) -> Feeding:
        """Return what keeps a device busy."""
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        if device.type == "cpu":
            return cls(max(1, cores // 2), 24, 1)
        return cls(max(1, cores - 1), 256, 4)  # 12 GB on the device


@dataclass
class Run:
    """One run: what trains, where its files go, and the clock.

    clock: seconds of training so far, those of a resumed run among them.
    """

    trainer: Trainer
    output: Path
    joined: int
    clock: Callable[[], float]
    shown: Batch
    sums: dict[str, Tensor] = field(default_factory=dict)
    counted: int = 0

    @property
    def folder(self) -> Path:
        """The folder beside the checkpoint."""
        return run_folder(self.output)

    def train(self, pool: Pool) -> None:
        """Train until the planned time is over."""
        trainer = self.trainer
        trainer.seconds = saved_at = logged_at = self.clock()
        while trainer.progress < 1:
            self._count(trainer.train_on(pool.draw(self.joined)))
            trainer.seconds = self.clock()
            if trainer.seconds - logged_at > LOG_EVERY_S:
                self._log()
                logged_at = trainer.seconds
            if trainer.seconds - saved_at > SAVE_EVERY_S:
                self.save()
                saved_at = trainer.seconds
        if self.counted:
            self._log()
        self.save()

    def save(self) -> None:
        """Write the checkpoint and the files of the run."""
        self.trainer.save(self.folder / "last.pt")
        export(self.trainer, self.output, self.joined)
        log = self.folder / "log.csv"
        if log.exists():
            draw_curves(log, self.folder / "curves.png")
        write_samples(self.folder / "samples.png", self.trainer.average, self.shown)

    def _count(self, losses: dict[str, Tensor]) -> None:
        self.sums = {name: self.sums.get(name, 0.0) + loss for name, loss in losses.items()}
        self.counted += 1

    def _log(self) -> None:
        """Append a line of mean losses to the log, and print it."""
        path = self.folder / "log.csv"
        is_new = not path.exists()
        means = {name: round(float(total) / self.counted, 5) for name, total in self.sums.items()}
        row = {"step": self.trainer.step, "seconds": round(self.trainer.seconds), **means}
        with path.open("a", newline="") as file:
            writer = csv.DictWriter(file, ["step", "seconds", *WEIGHTS], restval="")
            if is_new:
                writer.writeheader()
            writer.writerow(row)
        print(" ".join(f"{name} {value}" for name, value in row.items()), flush=True)
        self.sums, self.counted = {}, 0


def run_folder(output: Path) -> Path:
    """Return the folder of a run beside its checkpoint."""
    return output.with_suffix(".run")


def write_samples(path: Path, parts: LearnedParts, batch: Batch) -> None:
    """Write a sheet of samples: source, warped, painted, target, change, how much is repainted."""
    with torch.inference_mode():
        made = render_batch(parts, batch)
    small = functional.interpolate(batch["source"], (PATCH_SIDE, PATCH_SIDE), mode="bilinear", antialias=True)
    repaint = made.painting.repaint.expand(-1, 3, -1, -1)
    change = made.painting.change * 2 + 0.5
    shown = (small[batch["which"]], made.warped, made.painted, batch["patch_target"], change, repaint)
    rows = [torch.cat([column[k] for column in shown], 2) for k in range(0, len(made.warped), 2)]
    sheet = torch.cat(rows, 1).clamp(0, 1).permute(1, 2, 0).float().cpu().numpy()
    Image.fromarray((sheet * 255).round().astype(np.uint8)).save(path)


def mean_losses(trainer: Trainer, batches: Iterable[Batch]) -> dict[str, float]:
    """Return the mean losses of the averaged networks."""
    found = [trainer.measure(batch) for batch in batches]
    return {name: float(torch.stack([losses[name] for losses in found]).mean()) for name in found[0]}


def start_loader(pack: Path, state: dict[str, Tensor], workers: int, seed: int) -> DataLoader[Batch]:
    """Return what makes batches without end, in processes of their own."""
    samples = Samples(pack, state, seed)
    pins = torch.cuda.is_available()
    return DataLoader(samples, None, num_workers=workers, prefetch_factor=2, in_order=False, pin_memory=pins)


def main() -> None:
    """Run from the command line."""
    began = perf_counter()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pack", type=Path, help="what training.pack wrote")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the checkpoint to write, or to renew")
    parser.add_argument("--minutes", type=float, default=10.0, help="planned time, the start included")
    parser.add_argument("--resume", action="store_true", help="resume the run of this checkpoint")
    parser.add_argument("--fresh", action="store_true", help="start with new networks, not with the checkpoint's")
    parser.add_argument(
        "--rate", type=float, help=f"the highest learning rate: {TRAINED_RATE}, with --fresh {FRESH_RATE}"
    )
    parser.add_argument("--keep-detail", action="store_true", help="keep the painter from replacing fine detail")
    parser.add_argument("--device", default="auto", help="auto, cpu or cuda")
    parser.add_argument("--workers", type=int, help="processes that make samples")
    parser.add_argument("--threads", type=int, default=1, help="that train on the processor")
    options = parser.parse_args()
    last = run_folder(options.output) / "last.pt"
    if last.exists() != options.resume:
        parser.error(f"{last}: " + ("nothing to resume" if options.resume else "a run is here; --resume continues it"))
    last.parent.mkdir(parents=True, exist_ok=True)
    torch.set_flush_denormal(True)  # before the threads begin; denormal gradients take a hundred times as long
    torch.set_num_threads(options.threads)
    torch.backends.cudnn.benchmark = True
    torch.manual_seed(1)
    device = choose_device(options.device)
    feeding = Feeding.suited_to(device)
    state = dict(embedded_checkpoint().tensors)
    rate = options.rate or (FRESH_RATE if options.fresh else TRAINED_RATE)
    schedule = Schedule(options.minutes * 60, rate, options.keep_detail)
    # The processes that make samples start first, before anything runs on the device.
    loader = start_loader(options.pack, state, options.workers or feeding.workers, seed=time_ns() % 2**32)
    pool = Pool(loader, feeding.pool, device)
    measured = pool.take(CALIBRATION_BATCHES)
    trainer = Trainer(schedule, Judges(state, Pack.load(options.pack).perceptual), device)
    if options.resume:
        trainer.load(last)
    trained = LearnedParts.from_state(state)
    if trained is not None and not options.resume and not options.fresh:
        trainer.begin_with(trained, measured)
    before, passed = mean_losses(trainer, measured), trainer.seconds
    clock = lambda: passed + perf_counter() - began  # noqa: E731
    Run(trainer, options.output, feeding.joined, clock, measured[0]).train(pool)
    after = mean_losses(trainer, measured)
    for name, loss in before.items():
        print(f"{name:12} {loss:.4f} before, {after[name]:.4f} after")
    print(f"{options.output}: {trainer.step} steps in {trainer.seconds / 60:.1f} minutes on {device}")


if __name__ == "__main__":
    main()

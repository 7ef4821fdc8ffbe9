"""Train the compact family's networks on what training.prepare cut out.

    python -m training.train --cache CACHE --run RUN --hours 1.5
    python -m training.train --cache CACHE --run RUN --hours 1.5 --resume

RUN gets `last.pt` (everything needed to resume), `log.csv`, `curves.png` and `samples.png`. The result is the moving
average of the weights; `training.export` puts it into the checkpoint.
"""

from __future__ import annotations

import argparse
import copy
import csv
import math
import random
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader

from training.dataset import CLIPS, STILLS, TARGETS, Samples
from training.losses import FaceLoss, PatchDiscriminator, gradient_l1, pyramid_l1, roughness, weighted_l1
from training.normalize import add_norms, normalize_as
from training.plot import draw_curves
from training.prune_channels import prune_channels
from vid2vid_cli.checkpoints.reading import embedded_checkpoint
from vid2vid_cli.models.compact.learned.networks import (
    PATCH_SIDE,
    SOURCE_SIDE,
    Correction,
    LearnedParts,
    Painting,
    apply_painting,
    patch_grid,
    sample,
)
from vid2vid_cli.models.device import gains_by_bfloat16

TARGETS_IN_BATCH = CLIPS * TARGETS + STILLS
BEST_RATE, LAST_RATE, WARM_STEPS = 6e-4, 1e-5, 200
POOL = 24  # batches kept at hand
CALIBRATION_BATCHES = 12  # on which a checkpoint's networks are measured before training goes on
AVERAGE_OVER = 400  # steps of the moving average
DISCRIMINATOR_FROM = 0.55  # of the planned time: a discriminator only sees blur before
WEIGHTS = {
    "still": 0.0,  # only logged, to compare with: the warp without networks
    "coarse": 1.0,
    "shapes": 2.0,
    "patch": 2.0,
    "unmoved": 0.0,  # the same for the patch
    "warped": 0.5,
    "pyramid": 1.0,
    "edges": 1.0,
    "features": 0.10,
    "points": 0.03,
    "steady": 0.5,
    "rough": 0.02,
    "discriminator": 0.01,
}


@dataclass(frozen=True)
class Rendered:
    """What the networks make of a batch: the whole (B, 3, 128, 128) and patches, without and with each network."""

    still: Tensor
    coarse: Tensor
    unmoved: Tensor
    warped: Tensor
    painted: Tensor
    correction: Correction
    painting: Painting


def render_batch(parts: LearnedParts, batch: dict[str, Tensor]) -> Rendered:
    """Render all targets of a batch as the model does at run time."""
    source, which = batch["source"], batch["which"]
    small = functional.interpolate(source, (SOURCE_SIDE, SOURCE_SIDE), mode="bilinear", antialias=True)
    # Each source is encoded once, though it has several targets; any of them knows its square.
    first = torch.stack([(which == index).nonzero()[0, 0] for index in range(len(source))])
    square = batch["square"][first][:, None, None]
    grid = square[..., :2] + square[..., 2:] * patch_grid(_whole(len(source)), SOURCE_SIDE)
    features = parts.encoder(sample(small, grid))[which]
    source = source[which]
    correction = parts.flow_net(batch["guide"], batch["rigid"], features, batch["missed"])
    square = batch["square"][:, None, None]
    coarse_place = patch_grid(_whole(len(source)), batch["coarse_flow"].shape[-1])
    coarse = _bring(source, batch["coarse_flow"], correction, coarse_place, square)
    place = patch_grid(batch["place"], PATCH_SIDE)
    with torch.no_grad():
        still = _bring(source, batch["coarse_flow"], None, coarse_place, square)
    overlay, keep = batch["patch_overlay"][:, :3], batch["patch_overlay"][:, 3:]
    warped = _bring(source, batch["patch_flow"], correction, place, square) * keep + overlay
    with torch.no_grad():
        unmoved = _bring(source, batch["patch_flow"], None, place, square) * keep + overlay
    painting = parts.paint(warped, batch["patch_guide"], batch["place"], features, correction)
    return Rendered(still, coarse, unmoved, warped, apply_painting(warped, warped, painting), correction, painting)


def _whole(count: int) -> Tensor:
    return torch.tensor([[0.0, 0.0, 1.0]]).expand(count, 3)


def _bring(source: Tensor, flow: Tensor, correction: Correction | None, place: Tensor, square: Tensor) -> Tensor:
    """Warp sources (B, 3, 320, 320) to places (B, H, W, 2) of their squares."""
    displacement = flow if correction is None else flow + sample(correction.residual, place)
    there = place + displacement.permute(0, 2, 3, 1)
    return sample(source, square[..., :2] + square[..., 2:] * there)


class Schedule(NamedTuple):
    """How long to train, the highest learning rate, and whether the painter is to replace no fine detail."""

    hours: float
    rate: float
    keeps_detail: bool


@dataclass(frozen=True)
class Answer:
    """Painted patches (B, 3, H, W), the truth, and how much each pixel counts (B, 1, H, W)."""

    painted: Tensor
    target: Tensor
    weight: Tensor


class Losses:
    """Computes all losses of a batch."""

    def __init__(self, state: dict[str, Tensor]) -> None:
        self._face = FaceLoss(state)

    def __call__(self, made: Rendered, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return each loss by name."""
        target, weight = batch["patch_target"], batch["patch_weight"]
        visible = (weight > 0).float()
        # A part of a patch outside of its frame has no truth: it must neither cost nor help.
        answer = torch.where(visible > 0, made.painted, target)
        coarse = batch["coarse_target"], batch["coarse_weight"]
        features, points = self._face(answer[::2], target[::2])  # half of them: this loss takes a third of the time
        return {
            "still": weighted_l1(made.still, *coarse),
            "coarse": weighted_l1(made.coarse, *coarse),
            "shapes": pyramid_l1(made.coarse, *coarse),
            "unmoved": weighted_l1(made.unmoved, target, weight),
            "warped": weighted_l1(made.warped, target, weight),
            "patch": weighted_l1(made.painted, target, weight),
            "pyramid": pyramid_l1(answer, target, weight),
            "edges": gradient_l1(answer, target, weight),
            "features": features,
            "points": points,
            "steady": self._unsteadiness(Answer(answer, target, weight), batch["follows"]),
            "rough": roughness(made.correction.residual) * 64,
        }

    @staticmethod
    def _unsteadiness(answer: Answer, follows: Tensor) -> Tensor:
        """Compare the change from one moment to the next."""
        last = follows.nonzero()[:, 0]
        change, wanted = (x[last] - x[last - 1] for x in (answer.painted, answer.target))
        return weighted_l1(change, wanted, answer.weight[last])


def discriminated_parts(image: Tensor) -> Tensor:
    """Return the middle of patches, where eyes and mouth are: (B, 3, 96, 96)."""
    begin = PATCH_SIDE // 4
    return image[..., begin : begin + PATCH_SIDE // 2, begin : begin + PATCH_SIDE // 2]


def forget_repainting(parts: LearnedParts) -> None:
    """Set the channels of the painter's last layer to 0 that say how much fine detail is replaced."""
    leave = parts.painter.net.leave
    with torch.no_grad():
        for parameter in leave.parameters():
            parameter[3 * 16 :] = 0


class Trainer:
    """Networks, optimisers and the moving average of the weights; can be saved and resumed."""

    def __init__(self, run: Path, schedule: Schedule, state: dict[str, Tensor]) -> None:
        self.run, self._schedule = run, schedule
        self.parts = LearnedParts.fresh()
        add_norms(self.parts)
        self.parts.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.discriminator = PatchDiscriminator()
        self.average = copy.deepcopy(self.parts).requires_grad_(False).eval()
        self.optimizer = torch.optim.AdamW(self.parts.parameters(), BEST_RATE, betas=(0.9, 0.999), weight_decay=1e-4)
        self.discriminator_optimizer = torch.optim.AdamW(self.discriminator.parameters(), 2e-4, betas=(0.5, 0.99))
        self.losses = Losses(state)
        self.step, self.seconds = 0, 0.0

    @property
    def progress(self) -> float:
        """The share of the planned time that has passed."""
        return min(1.0, self.seconds / 3600 / self._schedule.hours)

    def begin_with(self, trained: LearnedParts, batches: Sequence[dict[str, Tensor]]) -> None:
        """Start from the networks of a checkpoint, pruned where they are wider than these.

        batches: on which their activations are measured.
        """

        def let_run(parts: LearnedParts) -> None:
            with torch.inference_mode():
                for batch in batches:
                    render_batch(parts, batch)

        plain = LearnedParts.fresh()
        prune_channels(trained, plain, lambda: let_run(trained))
        normalize_as(self.parts, plain, lambda: let_run(plain))
        self.average.load_state_dict(self.parts.state_dict())

    def save(self) -> None:
        """Write last.pt, whole or not at all."""
        kept = {name: getattr(self, name).state_dict() for name in self._stateful()}
        kept |= {"step": self.step, "seconds": self.seconds}
        partial = self.run / "last.partial"
        torch.save(kept, partial)
        # A run that is killed while it saves keeps the file before.
        partial.replace(self.run / "last.pt")

    def load(self, path: Path) -> None:
        """Resume a run."""
        kept = torch.load(path, weights_only=True)
        for name in self._stateful():
            getattr(self, name).load_state_dict(kept[name])
        self.step, self.seconds = kept["step"], kept["seconds"]

    @staticmethod
    def _stateful() -> tuple[str, ...]:
        return "parts", "average", "discriminator", "optimizer", "discriminator_optimizer"

    def train_on(self, batch: dict[str, Tensor]) -> dict[str, float]:
        """Take one training step. Returns the losses by name."""
        rate = LAST_RATE + (self._schedule.rate - LAST_RATE) * (1 + math.cos(math.pi * self.progress)) / 2
        for group in self.optimizer.param_groups:
            group["lr"] = rate * min(1.0, (self.step + 1) / WARM_STEPS)
        with torch.autocast("cpu", torch.bfloat16, enabled=gains_by_bfloat16()):
            made = render_batch(self.parts, batch)
            losses = self.losses(made, batch)
            if self.progress > DISCRIMINATOR_FROM:
                losses |= self._discriminate(made.painted, batch["patch_target"])
        total = sum((WEIGHTS[name] * loss for name, loss in losses.items()), torch.zeros(()))
        self.optimizer.zero_grad(set_to_none=True)
        total.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.parts.parameters(), 1.0)
        self.optimizer.step()
        if self._schedule.keeps_detail:
            forget_repainting(self.parts)
        self._average()
        self.step += 1
        return {name: float(loss.detach()) for name, loss in losses.items()}

    def _discriminate(self, painted: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Train the discriminator (hinge loss), and return the painter's loss against it."""
        fake, real = discriminated_parts(painted), discriminated_parts(target)
        loss = (
            functional.relu(1 + self.discriminator(fake.detach())).mean()
            + functional.relu(1 - self.discriminator(real)).mean()
        )
        self.discriminator_optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.discriminator_optimizer.step()
        # The painter learns from the gradient through the discriminator, which itself keeps still here.
        self.discriminator.requires_grad_(False)
        loss = -self.discriminator(fake).mean()
        self.discriminator.requires_grad_(True)
        return {"discriminator": loss}

    def _average(self) -> None:
        share = max(1 / (self.step + 1), 1 / AVERAGE_OVER)
        with torch.no_grad():
            for kept, new in zip(self.average.parameters(), self.parts.parameters(), strict=True):
                kept.lerp_(new, share)
            # Statistics of the normalisations are moving averages already.
            for statistic, now in zip(self.average.buffers(), self.parts.buffers(), strict=True):
                statistic.copy_(now)


def write_samples(path: Path, parts: LearnedParts, batch: dict[str, Tensor]) -> None:
    """Write a sheet of samples: source, warped, painted, target, change, how much is repainted."""
    with torch.inference_mode():
        made = render_batch(parts, batch)
    small = functional.interpolate(batch["source"], (PATCH_SIDE, PATCH_SIDE), mode="bilinear", antialias=True)
    repaint = made.painting.repaint.expand(-1, 3, -1, -1)
    change = made.painting.change * 2 + 0.5
    shown = (small[batch["which"]], made.warped, made.painted, batch["patch_target"], change, repaint)
    rows = [torch.cat([column[k] for column in shown], 2) for k in range(0, len(made.warped), 2)]
    sheet = torch.cat(rows, 1).clamp(0, 1).permute(1, 2, 0).float().numpy()
    Image.fromarray((sheet * 255).round().astype(np.uint8)).save(path)


class Pool:
    """Keeps the latest batches at hand, so that training never waits for the processes that make them.

    These in turn wait while they are a whole pool ahead, and leave the processor to others.
    """

    def __init__(self, loader: DataLoader[dict[str, Tensor]]) -> None:
        self._wanted = threading.Semaphore(POOL)
        self._batches: deque[dict[str, Tensor]] = deque([next(iter(loader))], maxlen=POOL)
        threading.Thread(target=self._fill, args=(loader,), daemon=True).start()

    def _fill(self, loader: DataLoader[dict[str, Tensor]]) -> None:
        for batch in loader:
            self._wanted.acquire()
            self._batches.append(batch)

    def draw(self) -> dict[str, Tensor]:
        """Return one of the batches."""
        self._wanted.release()
        return self._batches[random.randrange(len(self._batches))]


def train(trainer: Trainer, pool: Pool, log_every: int, save_every_s: float) -> None:
    """Train until the planned time is over."""
    log = trainer.run / "log.csv"
    sums: dict[str, float] = {}
    counted, saved_at, last = 0, trainer.seconds, time.perf_counter()
    shown = pool.draw()
    while trainer.progress < 1:
        losses = trainer.train_on(pool.draw())
        now = time.perf_counter()
        trainer.seconds, last = trainer.seconds + now - last, now
        sums = {name: sums.get(name, 0.0) + loss for name, loss in losses.items()}
        counted += 1
        if trainer.step % log_every == 0:
            write_log(log, trainer, {name: total / counted for name, total in sums.items()})
            sums, counted = {}, 0
        if trainer.seconds - saved_at > save_every_s or trainer.progress >= 1:
            saved_at = trainer.seconds
            trainer.save()
            if log.exists():
                draw_curves(log, trainer.run / "curves.png")
            write_samples(trainer.run / "samples.png", trainer.average, shown)


def write_log(path: Path, trainer: Trainer, losses: dict[str, float]) -> None:
    """Append a line of mean losses to a log, and print it."""
    is_new = not path.exists()
    names = ["step", "seconds", *WEIGHTS]
    row = {"step": trainer.step, "seconds": round(trainer.seconds)} | {k: round(v, 5) for k, v in losses.items()}
    with path.open("a", newline="") as file:
        writer = csv.DictWriter(file, names, restval="")
        if is_new:
            writer.writeheader()
        writer.writerow(row)
    print(" ".join(f"{name} {value}" for name, value in row.items()), flush=True)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cache", type=Path, required=True, help="folder that training.prepare made")
    parser.add_argument("--run", type=Path, required=True, help="folder for the run's files")
    parser.add_argument("--hours", type=float, default=2.0, help="planned time, over which the learning rate falls")
    parser.add_argument("--resume", action="store_true", help="resume the run in this folder")
    parser.add_argument("--fresh", action="store_true", help="start with new networks, not with the checkpoint's")
    parser.add_argument("--rate", type=float, default=BEST_RATE, help="the highest learning rate")
    parser.add_argument("--keep-detail", action="store_true", help="keep the painter from replacing fine detail")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--workers", type=int, default=1, help="processes that make samples")
    options = parser.parse_args()
    options.run.mkdir(parents=True, exist_ok=True)
    torch.set_flush_denormal(True)  # before the threads begin; denormal gradients take a hundred times as long
    torch.set_num_threads(options.threads)
    torch.manual_seed(1)
    state = dict(embedded_checkpoint().tensors)
    trainer = Trainer(options.run, Schedule(options.hours, options.rate, options.keep_detail), state)
    if options.resume:
        trainer.load(options.run / "last.pt")
    samples = Samples(options.cache, state, seed=trainer.step)
    loader = DataLoader(samples, None, num_workers=options.workers, prefetch_factor=2, in_order=False)
    pool = Pool(loader)
    trained = LearnedParts.from_state(state)
    if trained is not None and not options.resume and not options.fresh:
        trainer.begin_with(trained, [pool.draw() for _ in range(CALIBRATION_BATCHES)])
    train(trainer, pool, log_every=25, save_every_s=180)


if __name__ == "__main__":
    main()

"""Takes training steps: networks, optimisers and the moving average of the weights, which can be saved and resumed."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from training.losses import Losses, PatchDiscriminator, weigh
from training.normalize import add_norms, normalize_as
from training.prune_channels import prune_channels
from training.rendered import render_batch
from vid2vid_cli.models.compact.learned.networks import PATCH_SIDE, LearnedParts
from vid2vid_cli.models.device import gains_by_bfloat16

# Highest learning rates: of new networks, and of trained ones, which a high one sets back for thousands of steps.
FRESH_RATE, TRAINED_RATE, LAST_RATE = 6e-4, 2e-4, 1e-5
WARM_STEPS = 50  # over which the rate rises
AVERAGE_OVER = 400  # steps of the moving average
DISCRIMINATOR_FROM = 0.55  # of the planned time: a discriminator only sees blur before


class Schedule(NamedTuple):
    """How long to train, the highest learning rate, and whether the painter is to replace no fine detail."""

    seconds: float
    rate: float = TRAINED_RATE
    keeps_detail: bool = False


class Judges(NamedTuple):
    """What the losses are made of: the checkpoint's tensors, and those of perceptual.py."""

    state: dict[str, Tensor]
    perceptual: Mapping[str, NDArray[np.generic]]


class Trainer:
    """Trains the networks on a device. seconds: how long it has trained, set by the caller."""

    def __init__(self, schedule: Schedule, judges: Judges, device: torch.device) -> None:
        self.schedule, self.device = schedule, device
        self.parts = LearnedParts.fresh()
        add_norms(self.parts)
        self.parts.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.discriminator = PatchDiscriminator().to(device)
        self.average = copy.deepcopy(self.parts).requires_grad_(False).eval()
        self.optimizer = torch.optim.AdamW(
            self.parts.parameters(), schedule.rate, betas=(0.9, 0.999), weight_decay=1e-4
        )
        self.discriminator_optimizer = torch.optim.AdamW(self.discriminator.parameters(), 2e-4, betas=(0.5, 0.99))
        self.losses = Losses(*judges).to(device)
        self.step, self.seconds = 0, 0.0

    @property
    def progress(self) -> float:
        """The share of the planned time that has passed."""
        return min(1.0, self.seconds / self.schedule.seconds)

    def begin_with(self, trained: LearnedParts, batches: Sequence[dict[str, Tensor]]) -> None:
        """Start from the networks of a checkpoint, pruned where they are wider than these.

        batches: on which their activations are measured.
        """
        trained.to(self.device)

        def let_run(parts: LearnedParts) -> None:
            with torch.inference_mode():
                for batch in batches:
                    render_batch(parts, batch)

        plain = LearnedParts.fresh().to(self.device)
        prune_channels(trained, plain, lambda: let_run(trained))
        normalize_as(self.parts, plain, lambda: let_run(plain))
        self.average.load_state_dict(self.parts.state_dict())

    def save(self, path: Path) -> None:
        """Write everything needed to resume, whole or not at all."""
        kept = {name: getattr(self, name).state_dict() for name in self._stateful()}
        kept |= {"step": self.step, "seconds": self.seconds}
        partial = path.with_suffix(".partial")
        torch.save(kept, partial)
        # A run that is killed while it saves keeps the file before.
        partial.replace(path)

    def load(self, path: Path) -> None:
        """Resume a run."""
        kept = torch.load(path, map_location="cpu", weights_only=True)
        for name in self._stateful():
            getattr(self, name).load_state_dict(kept[name])
        self.step, self.seconds = kept["step"], kept["seconds"]

    @staticmethod
    def _stateful() -> tuple[str, ...]:
        return "parts", "average", "discriminator", "optimizer", "discriminator_optimizer"

    def train_on(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Take one training step. Returns the losses by name, still on the device: to read them is to wait for it."""
        rate = LAST_RATE + (self.schedule.rate - LAST_RATE) * (1 + math.cos(math.pi * self.progress)) / 2
        for group in self.optimizer.param_groups:
            group["lr"] = rate * min(1.0, (self.step + 1) / WARM_STEPS)
        with self._autocast():
            made = render_batch(self.parts, batch)
            losses = self.losses(made, batch)
            if self.progress > DISCRIMINATOR_FROM:
                losses |= self._discriminate(made.painted, batch["patch_target"])
        self.optimizer.zero_grad(set_to_none=True)
        weigh(losses).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.parts.parameters(), 1.0)
        self.optimizer.step()
        if self.schedule.keeps_detail:
            forget_repainting(self.parts)
        self._average()
        self.step += 1
        return {name: loss.detach() for name, loss in losses.items()}

    def measure(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Return the losses of the averaged networks."""
        with torch.inference_mode(), self._autocast():
            losses: dict[str, Tensor] = self.losses(render_batch(self.average, batch), batch)
        return losses

    def _autocast(self) -> torch.autocast:
        gains = self.device.type != "cpu" or gains_by_bfloat16()
        return torch.autocast(self.device.type, torch.bfloat16, enabled=gains)

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

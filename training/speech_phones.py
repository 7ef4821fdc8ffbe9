"""Train the linear map that tells groups of phones, above all pauses and shut lips, from what the encoder hears."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional

from training.speech_variants import Lesson
from vid2vid_cli.speech.reader import GROUPS, PhoneReader

STEPS, SEQUENCES, LENGTH, RATE, DECAY, DROPOUT = 400, 32, 100, 2e-3, 0.3, 0.2


def train_phones(lessons: Sequence[Lesson], seed: int = 0) -> PhoneReader:
    """Train a reader of phones. The labels of lessons are numbers of GROUPS (T, 1); below 0 or NaN: nobody knows."""
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    features = torch.cat([lesson.features for lesson in lessons])
    labels = torch.cat([lesson.labels[:, 0] for lesson in lessons]).nan_to_num(-1).long().clamp_min(-1)
    network = PhoneReader()
    optimiser = torch.optim.AdamW(network.parameters(), RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS)
    for _ in range(STEPS):
        start = torch.from_numpy(random.integers(0, len(features) - LENGTH, SEQUENCES))
        rows = start[:, None] + torch.arange(LENGTH)
        heard = functional.dropout1d(features[rows].float().transpose(1, 2), DROPOUT).transpose(1, 2)
        odds = network(heard)
        loss = functional.cross_entropy(odds.reshape(-1, len(GROUPS)), labels[rows].reshape(-1), ignore_index=-1)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    return network.eval()

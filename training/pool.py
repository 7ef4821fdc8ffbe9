"""Keeps batches at hand, on the device that trains, while other processes make new ones."""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

Batch = dict[str, Tensor]
# What the numbers of a batch count, for those that count something: joined batches go on counting.
COUNTED = {"which": "source", "first": "which", "follows": "which"}


class Pool:
    """Keeps the latest batches at hand, so that training never waits for the processes that make them.

    These in turn wait while they are a whole pool ahead, and leave the processor to others.
    """

    def __init__(self, batches: Iterable[Batch], size: int, device: torch.device) -> None:
        """Begin to take batches, without end. size: how many are kept."""
        self._device, self._wanted, self._arrived = device, threading.Semaphore(size), threading.Condition()
        self._batches: deque[Batch] = deque(maxlen=size)
        self._failure: BaseException | None = None
        threading.Thread(target=self._fill, args=(batches,), daemon=True).start()

    def _fill(self, batches: Iterable[Batch]) -> None:
        try:
            for batch in batches:
                self._wanted.acquire()
                there = {name: tensor.to(self._device, non_blocking=True) for name, tensor in batch.items()}
                with self._arrived:
                    self._batches.append(there)
                    self._arrived.notify_all()
        except Exception as error:  # noqa: BLE001  it is raised where batches are drawn
            with self._arrived:
                self._failure = error
                self._arrived.notify_all()

    def take(self, count: int) -> list[Batch]:
        """Wait for as many batches, no more than the pool keeps, and take them out of it."""
        with self._arrived:
            self._wait_for(count)
            return [self._batches.popleft() for _ in range(count)]

    def draw(self, count: int) -> Batch:
        """Return some of the batches, joined; they stay in the pool."""
        with self._arrived:
            self._wait_for(1)
            drawn = random.choices(self._batches, k=count)
        self._wanted.release(count)
        return join(drawn)

    def _wait_for(self, count: int) -> None:
        self._arrived.wait_for(lambda: len(self._batches) >= count or self._failure is not None)
        if self._failure is not None:
            raise RuntimeError("no more samples are made") from self._failure


def join(batches: Sequence[Batch]) -> Batch:
    """Return one batch of several."""
    if len(batches) == 1:
        return batches[0]
    joined = {}
    for name in batches[0]:
        parts = [batch[name] for batch in batches]
        if name in COUNTED:
            before = 0
            for index, batch in enumerate(batches):
                parts[index] = parts[index] + before
                before += len(batch[COUNTED[name]])
        joined[name] = torch.cat(parts)
    return joined

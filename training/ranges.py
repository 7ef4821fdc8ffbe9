"""Measure the ranges of activations in the networks, and put them into the checkpoint for `--dtype int8`.

    python -m training.ranges ../shared/media/train -o weights/compact.safetensors

Each clip drives its own first frame, as in `vid2vid evaluate self`. Renews SHA256SUMS beside the checkpoint.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from training.checkpoint_file import renew_sum, update_checkpoint
from vid2vid_cli.errors import WeightsError
from vid2vid_cli.evaluation.material import Material, TrackedFrames
from vid2vid_cli.evaluation.performers import Performer
from vid2vid_cli.models.compact.learned.networks import LearnedParts
from vid2vid_cli.models.compact.learned.quantized import MAPS, RANGES
from vid2vid_cli.models.compact.model import CompactModel
from vid2vid_cli.pipeline.engine import Engine, start_engine
from vid2vid_cli.pipeline.options import EngineOptions, FrameOptions
from vid2vid_cli.pipeline.progress import Hooks, WarningLog


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path, help="a clip, or a folder of clips")
    parser.add_argument("--every", type=int, default=15)
    parser.add_argument("-o", "--output", type=Path, required=True, help="the checkpoint")
    given = parser.parse_args()
    engine = start_engine(EngineOptions(checkpoint=str(given.output), dtype="float32"), None)
    log = WarningLog(Hooks(warn=print))
    model = engine.loaded.model
    parts = model.networks if isinstance(model, CompactModel) else None
    if parts is None:
        raise WeightsError(f"{given.output}: has no networks")
    # The hooks see every frame that is rendered within the block.
    with watch(parts) as largest:
        for clip in Material(log).clips(given.clips):
            frames = drive(engine, TrackedFrames(clip, FrameOptions(given.every, 0), engine.analyzer, log))
            print(f"{clip.path.name}: {frames} frames", flush=True)
    # By network, in the order of MAPS, which is what `quantize` expects.
    tensors = {RANGES[network]: values for network, values in largest.items()}
    update_checkpoint(given.output, tensors, {})
    renew_sum(given.output)
    print({name: [round(value, 2) for value in values.tolist()] for name, values in tensors.items()})


def drive(engine: Engine, frames: TrackedFrames) -> int:
    """Drive the first frame of a clip with the rest of it. Returns how many frames were rendered."""
    source, stream = frames.split()
    performer, count = Performer(engine.loaded.model, engine, source), 0
    with closing(stream):  # type: ignore[type-var]
        for tracked in stream:
            performer.follow(tracked.frame, tracked.face)
            count += 1
    return count


@contextmanager
def watch(parts: LearnedParts) -> Iterator[dict[str, Tensor]]:
    """Yield the largest number in each of quantized.MAPS, by network, as it grows while the `with` block runs."""
    largest = {network: torch.zeros(len(MAPS)) for network in RANGES}
    with ExitStack() as hooks:
        for network, values in largest.items():
            for index, name in enumerate(MAPS):
                hook = _LargestValue(values, index)
                hooks.enter_context(parts.get_submodule(f"{network}.net.{name}").register_forward_hook(hook))
        yield largest


class _LargestValue:
    """Keeps the largest number of a layer's output."""

    def __init__(self, values: Tensor, index: int) -> None:
        self._values, self._index = values, index

    def __call__(self, _layer: nn.Module, _given: object, made: Tensor) -> None:
        # Starting from 0, since the ReLU after the layer cuts off what lies below.
        self._values[self._index] = torch.maximum(self._values[self._index], made.max())


if __name__ == "__main__":
    main()

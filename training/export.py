"""Puts trained networks into a checkpoint."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

from training import dataset
from training.checkpoint_file import renew_sum, update_checkpoint
from training.losses import WEIGHTS
from training.normalize import fold_norms
from training.trainer import Trainer
from vid2vid_cli.checkpoints.reading import EMBEDDED, bundled_file
from vid2vid_cli.models.compact.learned.networks import LEARNED_PREFIXES
from vid2vid_cli.models.compact.learned.quantized import RANGES


def export(trainer: Trainer, output: Path, batches_a_step: int) -> None:
    """Store the moving average of the weights in half precision, and a record of the training in the metadata.

    output: a checkpoint, whose other tensors are kept; a copy of the embedded one where there is none yet. Renews
    SHA256SUMS beside it.
    """
    record: dict[str, Any] = {
        "steps": trainer.step,
        "hours": round(trainer.seconds / 3600, 2),
        "targets_a_step": batches_a_step * dataset.TARGETS_IN_BATCH,
        "clip_sources_a_step": batches_a_step * dataset.CLIPS,
        "portraits_a_step": batches_a_step * dataset.STILLS,
        "losses": WEIGHTS,
    }
    if trainer.schedule.keeps_detail:
        record["keeps_detail"] = True
    if not output.exists():
        output.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(bundled_file("weights", EMBEDDED), output)
    networks = {name: tensor.half().cpu() for name, tensor in fold_norms(trainer.average).state_dict().items()}
    # The ranges of activations belong to the old weights; training.ranges measures them again.
    replaced = (*LEARNED_PREFIXES, *RANGES.values())
    update_checkpoint(output, networks, {"training": json.dumps(record)}, replaces=replaced)
    renew_sum(output)

"""Put trained networks into the checkpoint.

    python -m training.export --run RUN -o weights/compact.safetensors

Stores the moving average of a run's weights in half precision and a record of the training in the file's metadata, and
renews SHA256SUMS beside it. Other tensors of the file are kept.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import torch

from training import dataset
from training.checkpoint_file import renew_sum, update_checkpoint
from training.normalize import add_norms, fold_norms
from training.train import TARGETS_IN_BATCH, WEIGHTS, forget_repainting
from vid2vid_cli.models.compact.learned.networks import LEARNED_PREFIXES, LearnedParts
from vid2vid_cli.models.compact.learned.quantized import RANGES


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="folder of training.train")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the checkpoint")
    parser.add_argument(
        "--keep-detail",
        action="store_true",
        help="keep the painter from replacing fine detail",
    )
    options = parser.parse_args()
    kept = torch.load(options.run / "last.pt", weights_only=True)
    record: dict[str, Any] = {
        "steps": kept["step"],
        "hours": round(kept["seconds"] / 3600, 2),
        "targets_a_step": TARGETS_IN_BATCH,
        "clip_sources_a_step": dataset.CLIPS,
        "portraits_a_step": dataset.STILLS,
        "losses": WEIGHTS,
    }
    # The run was saved with its normalisations, so they must be there to load it.
    parts = LearnedParts.fresh()
    add_norms(parts)
    parts.load_state_dict(kept["average"])
    if options.keep_detail:
        forget_repainting(parts)
        record["keeps_detail"] = True
    networks = {name: tensor.half() for name, tensor in fold_norms(parts).state_dict().items()}
    # The ranges of activations belong to the old weights; training.ranges measures them again.
    replaced = (*LEARNED_PREFIXES, *RANGES.values())
    update_checkpoint(options.output, networks, {"training": json.dumps(record)}, replaces=replaced)
    renew_sum(options.output)
    print(record, f"{options.output.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()

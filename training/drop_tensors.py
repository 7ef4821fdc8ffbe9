"""Leave tensors out of a checkpoint, by the prefixes of their names, and keep everything else in it as it is.

    python -m training.drop_tensors weights/compact.safetensors encoder. flow_net. painter. ranges.

Renews SHA256SUMS beside the checkpoint.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from training.checkpoint_file import read_existing, renew_sum, update_checkpoint


def drop_tensors(checkpoint: Path, prefixes: tuple[str, ...]) -> list[str]:
    """Rewrite a checkpoint without the tensors whose names begin with a prefix. Returns the names of those."""
    dropped = [name for name in read_existing(checkpoint)[0] if name.startswith(prefixes)]
    update_checkpoint(checkpoint, {}, {}, replaces=prefixes)
    renew_sum(checkpoint)
    return dropped


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", type=Path, help="the file, which is rewritten")
    parser.add_argument("prefixes", nargs="+", help="of the names to leave out")
    given = parser.parse_args()
    if not given.checkpoint.is_file():
        parser.error(f"{given.checkpoint}: no such file")
    dropped = drop_tensors(given.checkpoint, tuple(given.prefixes))
    print(f"{given.checkpoint}: {len(dropped)} tensors left out, {given.checkpoint.stat().st_size} bytes remain")


if __name__ == "__main__":
    main()

"""What a shell completes beside commands, options and their choices. Where nothing is proposed, it completes files."""

from __future__ import annotations

from pathlib import Path

from vid2vid_cli.checkpoints.cache import SUFFIXES
from vid2vid_cli.checkpoints.catalogue import CATALOGUE


def complete_checkpoint(incomplete: str) -> list[str]:
    """Propose names of checkpoints, and files of weights here; of neither, the shell proposes its files."""
    names = [checkpoint.name for checkpoint in CATALOGUE if checkpoint.name.startswith(incomplete)]
    files = [path.name for path in Path().iterdir() if path.name.endswith(SUFFIXES)] if names else []
    return names + sorted(name for name in files if name.startswith(incomplete))


OF_OPTIONS = {"checkpoint": complete_checkpoint}
"""By the name of an option's field."""

"""How often a test tries something at random: a few times in each run, many times in `make fuzz`."""

from __future__ import annotations

import os


def fuzz_count(usual: int, thorough: int) -> int:
    """Return how many random cases to try. `make fuzz` sets VID2VID_FUZZ=1 and gets the larger number."""
    return thorough if os.environ.get("VID2VID_FUZZ") == "1" else usual

"""Give the process the three standard streams if it was started without some, as by a daemon or pythonw."""

from __future__ import annotations

import os
import sys

_STREAMS = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))


def open_missing_streams() -> None:
    """Open nothing in the place of each missing stream.

    Its number must be taken too: else the next file that is opened gets it, and what a library prints ends up there.
    """
    for number, (name, mode) in enumerate(_STREAMS):
        try:
            os.fstat(number)
            descriptor = number
        except OSError:
            descriptor = os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is this one
        if getattr(sys, name) is None:
            stream = open(descriptor, mode, encoding="utf-8", errors="backslashreplace", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)

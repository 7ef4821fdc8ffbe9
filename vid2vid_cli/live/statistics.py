"""What is kept of a live portrait's pictures: their delays, and on request a line of JSON for each."""

from __future__ import annotations

import json
import statistics
import time
from collections import deque
from pathlib import Path
from typing import IO

from vid2vid_cli.errors import MediaError
from vid2vid_cli.live.outputs import LiveStatus

KEPT = 10_000  # pictures: some minutes


class Statistics:
    """Takes the status of each new picture."""

    def __init__(self, path: Path | None = None) -> None:
        """path: of a new file for the lines, made with the first one; None for none."""
        self._delays_ms: deque[float] = deque(maxlen=KEPT)
        self._began_s = time.perf_counter()
        self._path = path
        self._file: IO[str] | None = None

    def take(self, status: LiveStatus) -> None:
        """Note a picture that is ready."""
        self._delays_ms.append(status.delay_ms)
        if self._path is None:
            return
        line = {
            "time_s": round(time.perf_counter() - self._began_s, 4),
            "delay_ms": round(status.delay_ms, 2),
            "fps": round(status.fps, 2),
            "dropped": status.dropped,
            "faces": status.faces,
            "is_held": status.is_held,
            "source": status.controls.source,
        }
        self._file = self._file or _open(self._path)
        self._file.write(json.dumps(line) + "\n")

    def delays_ms(self) -> tuple[float, float]:
        """Return the median of the last delays, and what 95 of 100 are below; zeros if there are too few."""
        if len(self._delays_ms) < 2:
            return 0.0, 0.0
        return statistics.median(self._delays_ms), statistics.quantiles(self._delays_ms, n=20)[-1]

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


def _open(path: Path) -> IO[str]:
    """Open a file for lines, each of which can be read at once, in a folder that is made with it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        return path.open("w", encoding="utf-8", buffering=1)
    except OSError as error:
        raise MediaError(f"{path}: cannot be written: {error.strerror}") from error

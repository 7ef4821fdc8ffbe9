"""Ask `vid2vid serve` thousands of things that make no sense: `make fuzz`. Needs a portrait: examples/portrait.jpg."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from tests.support.serve_fuzz import Fuzzer
from tests.support.servers import serving

PORTRAIT = Path(__file__).resolve().parents[1] / "examples" / "portrait.jpg"
ROUNDS = 10


def main() -> int:
    """Fuzz in rounds, and print what came back and how much memory the server had after each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder) / "tmp", "--sockets", "2") as server:
        source = str(server.send(PORTRAIT)["id"])
        for number in range(ROUNDS):
            fuzzer = Fuzzer(server, given.seed + number, source)
            fuzzer.run(given.count // ROUNDS)
            left = {path.name.split(".")[0] for path in server.files_left()} - {source}
            seen = sorted(((str(status), count) for status, count in fuzzer.seen.items()))
            sys.stdout.write(f"seed {given.seed + number}: {server.memory_kib() // 1024} MiB, {seen}\n")
            if left or any(status.startswith("5") for status, _ in seen):
                sys.stdout.write(f"failed: files left {sorted(left)}, {fuzzer.broken}\n")
                return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""What `vid2vid verify` says of outputs of all kinds, as they are and after what files go through.

python -m benchmarks.provenance --media MEDIA                         200 outputs, into benchmarks/provenance.json
python -m benchmarks.provenance --media MEDIA --count 20 --json a.json   fewer, of all kinds too
"""

from __future__ import annotations

import argparse
import json
import os
import random
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
from PIL import Image

from benchmarks.machine import describe_machine, say
from benchmarks.provenance_outputs import Output, find_inputs, make_outputs
from vid2vid_cli.hashing import hash_file
from vid2vid_cli.media.credentials.signing import BESIDE, sidecar_of
from vid2vid_cli.media.ffmpeg import file_input, run
from vid2vid_cli.media.image import read_image
from vid2vid_cli.media.video import read_video
from vid2vid_cli.pipeline.verify import Verdict, verify

OUTPUT = Path(__file__).with_name("provenance.json")
ALL = 200
FILMS = {".mp4", ".m4v", ".mov", ".mkv", ".webm"}
MOVING = {*FILMS, ".gif"}
SMALL_PX, TINY_PX = 400, 200  # of the shorter side
WATERMARKS = 2  # frames of a folder whose watermark is looked for; all of them have credentials of their own


@dataclass
class Tally:
    """How often each check was passed, by its name and the group of the output; and which outputs failed."""

    passed: Counter[tuple[str, str]] = field(default_factory=Counter)
    tried: Counter[tuple[str, str]] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)

    def add(self, check: str, group: str, name: str, *, is_right: bool) -> None:
        """Count one result."""
        self.tried[check, group] += 1
        self.passed[check, group] += is_right
        if not is_right:
            self.failed.append(f"{check}: {name} ({group})")

    def rows(self) -> list[dict[str, Any]]:
        """Return the counts, check by check."""
        return [
            {"check": check, "group": group, "right": self.passed[check, group], "of": of}
            for (check, group), of in sorted(self.tried.items())
        ]


def files_in(output: Output) -> list[Path]:
    """Return the file, or the frames of a folder."""
    return sorted(output.path.iterdir()) if output.path.is_dir() else [output.path]


def group_of(file: Path) -> str:
    """Name the group by the shorter side."""
    is_still = file.suffix.lower() in {".png", ".jpg", ".jpeg", ".webp"}
    frame = read_image(file) if is_still else next(iter(read_video(file)))
    side = min(frame.shape[:2])
    return "tiny" if side < TINY_PX else "small" if side < SMALL_PX else "large"


def is_right(verdict: Verdict, output: Output) -> bool:
    """Say whether all is right that is said of an untouched output, but for the watermark."""
    where = "beside" if output.path.suffix in BESIDE else "inside"
    stated = {each["id"] for each in verdict.ingredients}
    inputs = {f"sha256:{hash_file(path)}" for path in output.inputs}
    credentials = verdict.credentials
    found = (verdict.standing, credentials.is_own, credentials.where, verdict.made.get("command"))
    is_named = inputs < stated if output.command == "decode" else inputs == stated  # a call brings a picture too
    return found == ("self-asserted", True, where, output.command) and is_named


def check_untouched(output: Output, group: str, tally: Tally) -> str | None:
    """Verify an output as it was made. Return what its watermark should say."""
    files = files_in(output)
    verdicts = [verify(file, looks_for_watermark=number < WATERMARKS) for number, file in enumerate(files)]
    tally.add("right answer", "all", output.path.name, is_right=all(is_right(each, output) for each in verdicts))
    bits = verdicts[0].stated_bits
    is_read = bits is not None and all(each.bits == bits for each in verdicts[:WATERMARKS])
    tally.add("watermark: untouched", group, output.path.name, is_right=is_read)
    return bits


def check_flipped(output: Output, tally: Tally, chance: random.Random) -> None:
    """Change one byte anywhere in the file, or in one of the frames of a folder."""
    file = chance.choice(files_in(output))
    content = bytearray(file.read_bytes())
    place = chance.randrange(len(content))
    content[place] ^= 1 << chance.randrange(8)
    changed = file.with_name(f"changed-{file.name}")
    changed.write_bytes(content)
    if sidecar_of(file).is_file():
        sidecar_of(changed).write_bytes(sidecar_of(file).read_bytes())
    found = verify(changed, looks_for_watermark=False)
    changed.unlink()
    sidecar_of(changed).unlink(missing_ok=True)
    name = f"{output.path.name}, byte {place} of {len(content)}"
    tally.add("one flipped byte: tampered", "all", name, is_right=found.standing == "tampered")


def changes_of(file: Path) -> Iterator[tuple[str, str, Callable[[Path], None]]]:
    """Yield what a file may go through: its name, the suffix of what comes out, and what makes that."""
    if file.suffix in FILMS:
        yield "streams copied", file.suffix, lambda target: _ffmpeg(file, ["-c", "copy"], target)
    if file.suffix in MOVING:
        for name, filters, crf in (
            ("H.264, crf 28", "null", 28),
            ("H.264, crf 23", "null", 23),
            ("halved, H.264, crf 18", "scale=trunc(iw/4)*2:trunc(ih/4)*2", 18),
            ("cropped by 10 %, H.264, crf 18", "crop=trunc(iw*.45)*2:trunc(ih*.45)*2", 18),
        ):
            even = "crop=trunc(iw/2)*2:trunc(ih/2)*2:0:0,format=yuv420p"
            words = ["-vf", f"{filters},{even}", "-c:v", "libx264", "-crf", str(crf), "-threads", "1", "-an"]
            yield name, ".mp4", lambda target, words=words: _ffmpeg(file, words, target)  # type: ignore[misc]
    elif file.suffix != ".webp" or not getattr(Image.open(file), "is_animated", False):
        yield "JPEG, quality 75", ".jpg", lambda target: _jpeg(file, target)


def _ffmpeg(file: Path, words: list[str], target: Path) -> None:
    run(["-v", "error", *file_input(file), *words, f"file:{target}"], f"{file}: cannot be encoded")


def _jpeg(file: Path, target: Path) -> None:
    cv2.imwrite(str(target), read_image(file)[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 75])


def check_changes(output: Output, group: str, bits: str | None, tally: Tally) -> None:
    """Verify what is left of an output after each change: no credentials, but the watermark."""
    file = files_in(output)[0]
    for name, suffix, change in changes_of(file):
        target = file.with_name(f"again-{file.stem}{suffix}")
        change(target)
        found = verify(target)
        target.unlink()
        tally.add("no credentials any more", "all", f"{output.path.name}, {name}", is_right=found.standing == "none")
        tally.add(f"watermark: {name}", group, output.path.name, is_right=bits is not None and found.bits == bits)


def measure(media: Path, count: int, folder: Path) -> Iterator[dict[str, Any]]:
    """Make the outputs and check them, one after the other. Yields what is known after every tenth."""
    inputs, tally, kinds = find_inputs(media, folder), Tally(), Counter[str]()
    (folder / "out").mkdir()
    chance = random.Random(7)
    for number, output in enumerate(make_outputs(inputs, folder / "out", count), 1):
        kinds[f"{output.command} {output.path.suffix or 'folder'}"] += 1
        group = group_of(files_in(output)[0])
        bits = check_untouched(output, group, tally)
        check_flipped(output, tally, chance)
        check_changes(output, group, bits, tally)
        if number % 10 == 0 or number == count:
            say(f"{number} of {count} outputs, {len(tally.failed)} checks failed")
            yield {
                "outputs": number,
                "kinds": dict(sorted(kinds.items())),
                "rows": tally.rows(),
                "failed": tally.failed,
            }


def main() -> None:
    """Measure, show, and keep what was measured of all outputs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--media", type=Path, required=True, help="a folder with sources/ and drivings/")
    parser.add_argument("--count", type=int, default=ALL, help="outputs to make")
    parser.add_argument("--json", type=Path, default=OUTPUT, help="where it is written down")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        os.environ["VID2VID_CONFIG"] = f"{scratch}/config"  # not the user's own key
        for results in measure(given.media, given.count, Path(scratch)):
            text = json.dumps({"machine": describe_machine(), **results}, indent=2)
            given.json.write_text(f"{text}\n", encoding="utf-8")
    for row in results["rows"]:
        print(f"{row['check']:<42}{row['group']:<7}{row['right']:>4} of {row['of']}")
    print("\n".join(results["failed"]))


if __name__ == "__main__":
    main()

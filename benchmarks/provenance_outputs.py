"""Make outputs of all kinds that carry credentials and a watermark: every command, format and size."""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from vid2vid_cli.cli.app import main
from vid2vid_cli.media.ffmpeg import file_input, run

FRAMES = 16
# Where no face is found, or dozens are, an output would say nothing of its kind.
LEFT_OUT = ("s18", "s20", "s21", "s22", "s23", "s25", "s30")
FILMS = (".mp4", ".mov", ".mkv", ".webm", ".m4v", ".mp4")
LONGER_PX = (640, 512, 320, 256, 448, 384, 288, 576)  # in turn
TRANSPARENT = ("t.webm", "t.mov", "t.png", "t2.webm")


@dataclass(frozen=True)
class Output:
    """An output. command: that made it. path: the file or folder of frames. inputs: what credentials should name."""

    command: str
    path: Path
    inputs: tuple[Path, ...]


@dataclass(frozen=True)
class Inputs:
    """What outputs are made of: portraits, short clips, calls that carry some of these, and a sound."""

    portraits: list[Path]
    clips: list[Path]
    calls: list[Path]
    sound: Path


def find_inputs(media: Path, folder: Path) -> Inputs:
    """Take portraits and the first frames of clips from the media."""
    portraits = [path for path in sorted((media / "sources").iterdir()) if path.name[:3] not in LEFT_OUT]
    clips = []
    for path in sorted((media / "drivings").iterdir()):
        clips.append(folder / path.name)
        cut = ["-frames:v", str(FRAMES), "-an", "-c:v", "libx264", "-crf", "14", "-pix_fmt", "yuv420p"]
        shrink = ["-vf", "scale='min(640,iw)':-2"]
        run(["-v", "error", *file_input(path), *shrink, *cut, f"file:{clips[-1]}"], f"{path}: cannot be cut")
    sound = folder / "speech.wav"
    spoken = media / "drivings" / "d09_man_talking_15fps_audio.mp4"
    run(["-v", "error", *file_input(spoken), "-t", "0.7", "-vn", f"file:{sound}"], f"{spoken}: has no sound")
    calls = [clip.with_suffix(".v2v") for clip in clips[:5]]
    for clip, call in zip(clips, calls, strict=False):
        _run(["encode", str(clip)], call)
    return Inputs(portraits, clips, calls, sound)


def make_outputs(inputs: Inputs, folder: Path, count: int) -> Iterator[Output]:
    """Make that many outputs, of each kind in turn, in an order that is always the same."""
    planned = list(_planned(inputs, folder))
    random.Random(1).shuffle(planned)
    for words, output in planned[:count]:
        _run(words, output.path)
        yield output


def _run(words: list[str], output: Path) -> None:
    threads = [] if words[0] == "controls" else ["--threads", "1"]
    code = main([*words, "-o", str(output), "--quiet", *threads])
    if code:
        raise RuntimeError(f"vid2vid {' '.join(words)}: exit code {code}")


def _planned(inputs: Inputs, folder: Path) -> Iterator[tuple[list[str], Output]]:
    sizes = itertools.cycle(LONGER_PX)
    for number, (words, name, used) in enumerate(itertools.chain(_pictures(inputs), _films(inputs))):
        size = ["--size", str(next(sizes))] if words[0] != "controls" else []
        yield [*words, *size], Output(words[0], folder / f"{number:03}-{name}", used)


def _pictures(inputs: Inputs) -> Iterator[tuple[list[str], str, tuple[Path, ...]]]:
    suffixes = itertools.cycle((".png", ".jpg", ".webp", ".jpeg"))
    for number, portrait in enumerate(inputs.portraits * 3):
        yield ["rotate", str(portrait), "--yaw", str(number % 25 - 12)], f"turned{next(suffixes)}", (portrait,)
    for portrait, other in zip(inputs.portraits[:12], inputs.portraits[3:15], strict=True):
        yield ["reenact", str(portrait), str(other)], f"like{next(suffixes)}", (portrait, other)
    for portrait in inputs.portraits[:4]:
        yield ["rotate", str(portrait), "--yaw=-20:20:20"], "sheet.png", (portrait,)
    for portrait in inputs.portraits[4:7]:
        yield ["controls", str(portrait)], "controls.png", (portrait,)


def _films(inputs: Inputs) -> Iterator[tuple[list[str], str, tuple[Path, ...]]]:
    portraits, clips = itertools.cycle(inputs.portraits), itertools.cycle(inputs.clips)
    names = [f"a{suffix}" for suffix in FILMS * 10] + ["a.gif"] * 5 + ["a.webp"] * 5 + ["frames"] * 8
    for name in names:
        portrait, clip = next(portraits), next(clips)
        yield ["reenact", str(portrait), str(clip)], name, (portrait, clip)
    for name, clip in zip(FILMS * 3, inputs.clips, strict=False):
        yield ["rotate", str(clip), "--yaw", "6"], f"edited{name}", (clip,)
    for name in ("b.mp4", "b.gif", "b.webm", "b.mov", "frames", "b.webp"):
        portrait = next(portraits)
        yield ["rotate", str(portrait), "--yaw=-12:12:2"], name, (portrait,)
    for name in ("c.mp4", "c.mkv", "c.mov", "c.webm", "c.mp4", "c.mp4", "frames"):
        portrait = next(portraits)
        yield ["speak", str(portrait), str(inputs.sound)], name, (portrait, inputs.sound)
    for name in TRANSPARENT:
        portrait = next(portraits)
        angle = "--yaw=8" if name.endswith("png") else "--yaw=-6:6:2"
        yield ["rotate", str(portrait), angle, "--background", "transparent"], name, (portrait,)
    for name, call in zip(("e.mp4", "e.mov", "e.webm", "frames", "e.gif"), inputs.calls, strict=True):
        yield ["decode", str(call)], name, (call,)
    for name, clip in zip(("d.mp4", "d.webm"), inputs.clips, strict=False):
        yield ["dub", str(clip), str(inputs.sound)], name, (clip, inputs.sound)

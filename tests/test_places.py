"""Names, places, permissions and full disks: the right result, or one line that names file, cause and cure."""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from tests.support.processes import MODULE
from vid2vid_cli.cli.app import main
from vid2vid_cli.media.video import probe_video

NOBODY = 65534
PR_CAPBSET_DROP = 24
linux_only = pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs Linux")

pytestmark = pytest.mark.usefixtures("output_folder", "own_signals")

SHORT = ("--end", "0.1", "--size", "128")


def left(folder: Path | str = ".") -> list[str]:
    return sorted(path.name for path in Path(folder).iterdir())


# --- names and places ---


@pytest.mark.parametrize(
    "name",
    [
        "with space.png",
        'it\'s "quoted".png',
        "[1-3]{a}*?.png",
        "顔写真.png",
        "😀 🎬.png",
        "-dash.png",
        "a%20b%d.png",
        "ünï.PNG",
        "concat:a|b.png",
    ],
)
def test_names_of_every_kind(name: str, face: Image.Image, clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    face.save(f"./{name}", "PNG")
    moving = f"./{Path(name).stem}.mp4"
    shutil.copy(clip, moving)
    target = f"./out {Path(name).stem}.mp4"
    assert main(["reenact", f"./{name}", moving, "-o", target, *SHORT]) == 0, capsys.readouterr().err
    assert left() == sorted([name, moving[2:], target[2:]])
    assert probe_video(target).frame_count == 3


@dataclass(frozen=True)
class Place:
    """A wrong source or output. said: words that must be on stderr."""

    source: str
    output: str
    said: str
    code: int = 1


PLACES = {
    "no folder": Place("face.png", "face.png/o.mp4", "face.png is not a folder; choose another name"),
    "folder as input": Place("folder", "o.mp4", "folder: is a folder; name a file in it"),
    "address": Place("https://example.org/face.png", "o.mp4", "is a web address, and vid2vid reads files; download it"),
    "standard input": Place("-", "o.mp4", "standard input is not read here; save it to a file"),
    "missing": Place("gone.png", "o.mp4", "gone.png: no such file; check the name"),
    "long name in": Place("n" * 5000 + ".png", "o.mp4", "File name too long; check the name"),
    "long name out": Place("face.png", "n" * 5000 + ".mp4", "File name too long; choose another name"),
    "loop of links": Place("loop.png", "o.mp4", "loop.png: cannot be read: Too many levels of symbolic links"),
    "dead link": Place("dead.png", "o.mp4", "dead.png: is a link to a file that is gone"),
    "named pipe": Place("pipe", "o.mp4", "pipe: is a pipe or a device"),
    "device": Place("/dev/zero", "o.mp4", "/dev/zero: is a pipe or a device"),
    "null": Place("a\0b", "o.mp4", "cannot be read: embedded null"),
    "own input": Place("face.png", "face.png", "would replace its own input"),
    "output is a folder": Place("face.png", "folder.mp4", "folder.mp4: is a folder; name a file"),
    "unknown suffix": Place("face.png", "o.xyz", "o.xyz: not a video; use .mp4"),
    "pipe as output": Place("face.png", "pipe.mp4", "pipe.mp4: is not a regular file"),
}


@linux_only
@pytest.mark.parametrize("place", PLACES.values(), ids=PLACES.keys())
def test_wrong_places(place: Place, face: Image.Image, clip: Path, capsys: pytest.CaptureFixture[str]) -> None:
    face.save("face.png")
    for folder in ("folder", "folder.mp4"):
        Path(folder).mkdir()
    Path("loop.png").symlink_to("loop.png")
    Path("dead.png").symlink_to("nowhere.png")
    os.mkfifo("pipe")
    os.mkfifo("pipe.mp4")
    before = left()
    force = ["--force"] if place.source == place.output else []
    assert main(["reenact", place.source, str(clip), "-o", place.output, *SHORT, *force]) == place.code
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1 and place.said in said.err and len(said.err) < 600
    assert left() == before
    if place.source not in ("face.png",):  # and in the place of the driving
        Image.new("RGB", (9, 9)).save("x.png")
        assert main(["reenact", "face.png", place.source, "-o", place.output, *SHORT]) == place.code
        assert place.said in capsys.readouterr().err


def give_up_powers() -> None:
    """Take from root, before a command begins, what lets it read and write without permission."""
    for power in (1, 2, 3):  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER of capabilities(7)
        if os.geteuid() == 0 and ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, power, 0, 0, 0):
            os._exit(99)


@linux_only
def test_without_permission(face: Image.Image, clip: Path, tmp_path: Path) -> None:
    for name in ("face.png", "secret.png"):
        face.save(tmp_path / name)
    locked = tmp_path / "locked"
    locked.mkdir()
    for path, mode in ((tmp_path / "secret.png", 0), (locked, 0o555)):
        path.chmod(mode)
        if os.geteuid() == 0:
            os.chown(path, NOBODY, NOBODY)
    cases = {
        "secret.png: cannot be read: Permission denied; check the name and its permissions": ("secret.png", "o.mp4"),
        "locked: Permission denied; choose another folder": ("face.png", locked / "o.mp4"),
    }
    for words, (source, output) in cases.items():
        done = run_with(give_up_powers, "reenact", tmp_path / source, clip, "-o", output, *SHORT)
        assert (done.returncode, done.stdout) == (1, "") and done.stderr.count("\n") == 1, done.stderr
        assert words in done.stderr and "Traceback" not in done.stderr
    assert left() == left(locked) == []


def run_with(prepare: Callable[[], None], *words: str | Path) -> subprocess.CompletedProcess[str]:
    """Run the command in a process that is prepared first."""
    return subprocess.run(
        [*MODULE, *map(str, words)],
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=120,
        preexec_fn=prepare,
    )


@dataclass(frozen=True)
class Full:
    """An output on a disk that takes no more than so many bytes a file."""

    words: tuple[str, ...]
    most_bytes: int


FULL = {
    "video": Full(("reenact", "{face}", "{clip}", "-o", "o.mp4", "--end", "0.2", "--crf", "1"), 30_000),
    "GIF": Full(("reenact", "{face}", "{clip}", "-o", "o.gif", "--end", "0.2"), 30_000),
    "folder of frames": Full(("reenact", "{face}", "{clip}", "-o", "frames", "--end", "0.2"), 30_000),
    "picture": Full(("rotate", "{face}", "--yaw", "9", "-o", "o.png"), 30_000),
    "motion file": Full(("motion", "{clip}", "-o", "o.safetensors", "--end", "0.4"), 30_000),
}


@contextlib.contextmanager
def files_of_at_most(count: int) -> Iterator[None]:
    """Let this process, and those that it starts, write no more than so many bytes into a file."""
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (count, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@linux_only
@pytest.mark.parametrize("full", FULL.values(), ids=FULL.keys())
def test_a_file_that_cannot_grow(
    full: Full, face: Image.Image, media_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same words of the system, and the same ways out of it, as on a disk that is full."""
    face.resize((512, 512)).save(tmp_path / "face.png")
    clip = media_dir / "drivings" / "d01_ai_man_turning_audio.mp4"
    words = [word.format(face=tmp_path / "face.png", clip=clip) for word in full.words]
    with files_of_at_most(full.most_bytes):
        code = main(words)
    out, said = capsys.readouterr()
    assert (code, out) == (1, "") and said.count("\n") == 1, said
    assert f"{words[words.index('-o') + 1]}: cannot be written: " in said and "File too large" in said
    assert left() == []


@linux_only
def test_a_full_and_a_readonly_disk(
    media_dir: Path, face: Image.Image, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root may mount a small disk")
    source, disk = tmp_path / "face.png", tmp_path / "disk"
    face.resize((512, 512)).save(source)
    disk.mkdir()
    clip = media_dir / "drivings" / "d01_ai_man_turning_audio.mp4"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted: {mounted.stderr.decode().strip()}")
    try:
        code = main(["reenact", str(source), str(clip), "-o", str(disk / "o.mp4"), "--end", "0.2", "--crf", "1"])
        said = capsys.readouterr().err
        assert code == 1 and "No space left on device" in said and said.count("\n") == 1
        assert left(disk) == []
        subprocess.run(["mount", "-o", "remount,ro", disk], check=True)
        assert main(["reenact", str(source), str(clip), "-o", str(disk / "o.mp4"), "--end", "0.1"]) == 1
        assert re.search(r"nothing can be written to .*disk: Read-only file system; choose", capsys.readouterr().err)
    finally:
        subprocess.run(["umount", disk], check=True)

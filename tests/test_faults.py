"""Interrupts at any moment, and children that die, stall or fail: one line, the right code, nothing left."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor

from tests.support.amount import fuzz_count
from tests.support.clips import ffmpeg
from tests.support.processes import MODULE, all_end_promptly, children, processes_in, start, wait_for
from vid2vid_cli.cli.app import main
from vid2vid_cli.cli.signals import signals_clean_up
from vid2vid_cli.errors import NonFiniteError
from vid2vid_cli.media.ffmpeg import Child, executable
from vid2vid_cli.media.video import probe_video, read_mark
from vid2vid_cli.models.base import DrivenState, SourceAppearance
from vid2vid_cli.models.compact.model import CompactModel
from vid2vid_cli.models.compact.posing import CompactState
from vid2vid_cli.models.registry import FAMILIES, LoadedModel
from vid2vid_cli.pipeline.options import ReenactOptions, RotateOptions
from vid2vid_cli.pipeline.reenact import reenact
from vid2vid_cli.pipeline.rotate import rotate
from vid2vid_cli.process.scratch import Scratch, sweep
from vid2vid_cli.process.shutdown import clean_up

ROOT = Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks for processes in /proc, and needs a shell")


@pytest.fixture(scope="module")
def material(media_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A portrait, and a clip of 20 frames of 256x256 with sound."""
    home = tmp_path_factory.mktemp("material")
    Image.open(media_dir / "sources" / "s27_ai_woman.png").convert("RGB").resize((256, 256)).save(home / "face.png")
    clip = ["-i", media_dir / "drivings" / "d14_actor_left_turn_256.mp4", "-f", "lavfi", "-i", "sine=frequency=300"]
    ffmpeg(*clip, "-frames:v", "20", "-shortest", "-c:a", "aac", home / "nod.mp4")
    return home / "face.png", home / "nod.mp4"


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)}
    yield
    for number, handler in kept.items():
        signal.signal(number, handler)
    executable.cache_clear()


# --- a faulty ffmpeg ---

DECODER, ENCODER, MUXER = "*' -f rawvideo -pix_fmt rgb24 pipe:1'*", "*' -i pipe:0 '*", "*' -map 1:a:0 '*"
FRAME_BYTES = 256 * 256 * 3


@dataclass(frozen=True)
class Fault:
    """What a child does instead of its work. where: a pattern of its arguments. then: in shell, $REAL is ffmpeg.

    left: files with all 20 frames that must be there afterwards. code: the exit code.
    """

    where: str
    then: str
    said: str
    output: str = "o.mp4"
    left: tuple[str, ...] = ()
    code: int = 1


FAULTS = {
    "decoder killed": Fault(
        DECODER,
        f'"$REAL" "$@" 2>/dev/null | head -c {5 * FRAME_BYTES}; kill -9 $$',
        "nod.mp4: reading broke off after 5 frames: ffmpeg was killed by signal 9; run it again",
    ),
    "decoder stalls": Fault(
        DECODER,
        f'"$REAL" "$@" 2>/dev/null | head -c {5 * FRAME_BYTES}; exec sleep 1000',
        "nod.mp4: ffmpeg stalled for 2.5 s and was stopped",
    ),
    "decoder stalls and said why": Fault(
        DECODER,
        "echo 'the tape is torn' >&2; exec sleep 1000",
        "stalled for 2.5 s and was stopped; its last message: the tape is torn",
    ),
    "encoder killed": Fault(
        ENCODER,
        f"head -c {3 * FRAME_BYTES} > /dev/null; kill -9 $$",
        "o.mp4: cannot be written: ffmpeg was killed by signal 9",
    ),
    "encoder stalls": Fault(ENCODER, "exec sleep 1000", "o.mp4: cannot be written: ffmpeg stalled for 2.5 s"),
    "encoder fails at the end": Fault(
        ENCODER,
        "cat > /dev/null; echo '[mp4 @ 0x1] the last packet is one too many' >&2; exit 1",
        "o.mp4: cannot be written: the last packet is one too many",
    ),
    "encoder never ends": Fault(
        ENCODER, "cat > /dev/null; exec sleep 1000", "cannot be written: ffmpeg stalled for 12.5 s"
    ),
    "sound fails": Fault(
        MUXER,
        "echo '[mp4 @ 0x1] this sound is too loud' >&2; exit 1",
        "nod.mp4: its sound cannot be written: this sound is too loud; the output has no sound",
        left=("o.mp4",),
        code=5,
    ),
    "palette fails": Fault(
        "*palettegen*",
        "echo 'out of colours' >&2; exit 1",
        "o.gif: cannot be written: out of colours; its frames are in o.mkv",
        "o.gif",
        ("o.mkv",),
    ),
    "drawing with the palette fails": Fault(
        "*paletteuse*",
        "echo 'out of paint' >&2; exit 1",
        "o.gif: cannot be written: out of paint",
        "o.gif",
        ("o.mkv",),
    ),
    "probe killed": Fault(
        "*' -f framecrc '*", "kill -9 $$", "nod.mp4: reading broke off: ffmpeg was killed by signal 9"
    ),
}


def faulty_ffmpeg(folder: Path, fault: Fault) -> Path:
    program = folder / "ffmpeg"
    real = executable()
    program.write_text(
        f'#!/bin/sh\nREAL="{real}"\ncase " $* " in {fault.where}) {fault.then} ;; esac\nexec "$REAL" "$@"\n'
    )
    program.chmod(0o755)
    return program


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_of_a_child_is_told_in_its_own_words(
    fault: Fault,
    material: tuple[Path, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    program = faulty_ffmpeg(tmp_path, fault)
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(program))
    monkeypatch.setenv("VID2VID_STALL_S", "2.5")
    executable.cache_clear()
    before, threads = children(), threading.active_count()
    code = main(["reenact", *map(str, material), "-o", fault.output, "--size", "256"])
    said = capsys.readouterr()
    assert (code, bool(said.out)) == (fault.code, fault.code == 5) and said.err.count("\n") == 1, said.err
    assert fault.said in said.err and "Traceback" not in said.err
    assert (
        tuple(path.name for path in Path().iterdir()) == fault.left
        and children() == before
        and threading.active_count() == threads
    )
    for name in fault.left:
        assert probe_video(name).frame_count == 20 and read_mark(name)


def test_an_ffmpeg_that_cannot_be_started(
    material: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "ffmpeg").write_text("nothing")
    monkeypatch.setenv("IMAGEIO_FFMPEG_EXE", str(tmp_path / "ffmpeg"))
    executable.cache_clear()
    assert main(["reenact", *map(str, material), "-o", "o.mp4"]) == 1
    assert "cannot be started: Permission denied" in capsys.readouterr().err


# --- interrupts ---


def interrupt(child: subprocess.Popen[str], number: signal.Signals) -> tuple[float, str]:
    """Send a signal, and once more as the impatient do. Returns the seconds until all is over, and stderr."""
    began = time.monotonic()
    child.send_signal(number)
    time.sleep(0.05)
    child.send_signal(number)
    _, err = child.communicate(timeout=60)
    took_s = time.monotonic() - began
    assert processes_in(Path.cwd()) == []
    return took_s, err


@pytest.mark.parametrize("seed", range(fuzz_count(6, 30)))  # each signal with each kind of output
def test_a_signal_at_any_moment(seed: int, material: tuple[Path, Path]) -> None:
    number = (signal.SIGINT, signal.SIGTERM)[seed % 2]
    draw = random.Random(seed)
    output = ("o.mp4", "o.gif", "frames")[seed % 3]

    def attempt() -> float:
        child = start("reenact", *material, "-o", output, "--size", "1024", "--force")
        time.sleep(draw.uniform(0.1, 3.0))
        took_s, err = interrupt(child, number)
        # Killed by the signal itself, before Python could take it: a shell makes the same code of it.
        assert child.returncode in (128 + number, -number, 0)
        if child.returncode:
            assert "Traceback" not in err and list(Path().iterdir()) == []
        return took_s

    all_end_promptly(attempt)


@pytest.mark.parametrize("where", [DECODER, ENCODER])
def test_a_signal_while_a_child_stalls(where: str, material: tuple[Path, Path], tmp_path: Path) -> None:
    stalled = tmp_path / "stalled"
    program = faulty_ffmpeg(tmp_path, Fault(where, f"touch {stalled}; exec sleep 1000", ""))

    def attempt() -> float:
        child = start("reenact", *material, "-o", "o.mp4", "--size", "256", IMAGEIO_FFMPEG_EXE=str(program))
        wait_for(stalled.exists, child)
        time.sleep(0.3)
        took_s, err = interrupt(child, signal.SIGINT)
        assert (child.returncode, err) == (130, "error: interrupted\n")
        assert list(Path().iterdir()) == []
        stalled.unlink()
        return took_s

    all_end_promptly(attempt)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_does_not_break_off_the_cleaning_up(number: int) -> None:
    before = {one: signal.signal(one, signal.SIG_DFL) for one in (signal.SIGINT, signal.SIGTERM)}
    cleaned = []
    try:
        with pytest.raises((KeyboardInterrupt, SystemExit)), signals_clean_up() as ending:
            try:
                signal.raise_signal(number)
            finally:
                signal.raise_signal(signal.SIGINT)  # an impatient user, and a shutdown
                signal.raise_signal(signal.SIGTERM)
                cleaned.append(number)
        assert cleaned == [number] and ending.exit_code == 128 + number
        assert signal.getsignal(number) == signal.SIG_DFL
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


HANGS = {
    "lock": "Scratch.close = lambda scratch: lock.acquire()",
    "sum": "work = lambda child, data: hashlib.pbkdf2_hmac('sha256', b'', b'', 2**31 - 1)",
    "deaf": "work = swallow",
}
"""Cleaning up waits for a lock that nobody frees; a computation never ends; nobody heeds the exception."""

PROGRAM = """
import hashlib, threading, time
from vid2vid_cli.__main__ import main
from vid2vid_cli.media.ffmpeg import Child
from vid2vid_cli.process.scratch import Scratch

def swallow(child, data):
    while True:
        try:
            time.sleep(60)
        except BaseException:
            pass

def feed(child, data):
    open("../begun", "w").close()
    work(child, data)

lock = threading.Lock()
lock.acquire()
work, Child.feed = Child.feed, feed
%s
raise SystemExit(main())
"""


@pytest.mark.parametrize(
    ("number", "where"),
    [(signal.SIGINT, "lock"), (signal.SIGTERM, "lock"), (signal.SIGINT, "sum"), (signal.SIGTERM, "deaf")],
)
def test_a_signal_ends_what_hangs(number: signal.Signals, where: str, material: tuple[Path, Path]) -> None:
    words = ["reenact", *map(str, material), "-o", "o.mp4", "--size", "512", "--audio", "none"]

    def attempt() -> float:
        Path("../begun").unlink(missing_ok=True)
        program = [sys.executable, "-c", PROGRAM % HANGS[where], *words]
        child = subprocess.Popen(program, stderr=subprocess.PIPE, encoding="utf-8")
        try:
            wait_for(Path("../begun").exists, child)
            took_s, err = interrupt(child, number)
        finally:
            child.kill()
        assert (child.returncode, err) == (128 + number, "error: interrupted\n" if number == signal.SIGINT else "")
        assert list(Path().iterdir()) == []
        return took_s

    all_end_promptly(attempt)


HANGING_WORKER = """
import os, sys, threading

if any("batch.worker" in word for word in sys.orig_argv):
    from vid2vid_cli.media.ffmpeg import Child

    lock = threading.Lock()
    lock.acquire()
    close = Child.close
    Child.close = lambda child: lock.acquire() if os.path.exists("../stalled") else close(child)
"""


def test_a_signal_ends_a_batch_whose_worker_hangs(material: tuple[Path, Path], tmp_path: Path) -> None:
    stalled = tmp_path / "stalled"
    program = faulty_ffmpeg(tmp_path, Fault(DECODER, f"touch {stalled}; exec sleep 1000", ""))
    (tmp_path / "sitecustomize.py").write_text(HANGING_WORKER)
    path = os.pathsep.join(filter(None, [str(tmp_path), os.environ.get("PYTHONPATH")]))

    def attempt() -> float:
        stalled.unlink(missing_ok=True)
        words = ["batch", *material, "-o", "out", "--size", "64", "-q"]
        child = start(*words, IMAGEIO_FFMPEG_EXE=str(program), PYTHONPATH=path)
        wait_for(stalled.exists, child)
        time.sleep(0.3)
        took_s, err = interrupt(child, signal.SIGINT)
        assert (child.returncode, err) == (130, "error: interrupted\n")
        assert not list(Path().rglob(".vid2vid-*"))
        return took_s

    all_end_promptly(attempt)


def test_a_caller_that_is_interrupted_keeps_no_thread_and_no_child(material: tuple[Path, Path]) -> None:
    before, threads = children(), threading.active_count()
    sent_s: list[float] = []

    def send() -> None:
        while not list(Path().glob(".vid2vid-*/encoded.mp4")):
            time.sleep(0.02)
        sent_s.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGTERM)

    def attempt() -> float:
        impatient = threading.Thread(target=send)
        impatient.start()
        code = main(["reenact", *map(str, material), "-o", "o.mp4", "--size", "1024"])
        took_s = time.monotonic() - sent_s[-1]
        impatient.join()
        assert code == 143 and list(Path().iterdir()) == []
        assert children() == before and threading.active_count() == threads
        return took_s

    all_end_promptly(attempt)


class JustThen(subprocess.Popen[bytes]):
    """A child at whose start an interrupt comes."""

    def _execute_child(self, *given: object, **named: object) -> None:
        super()._execute_child(*given, **named)  # type: ignore[misc]
        signal.raise_signal(signal.SIGINT)


def test_no_child_is_forgotten_that_has_just_been_started(monkeypatch: pytest.MonkeyPatch) -> None:
    before = children()
    monkeypatch.setattr(subprocess, "Popen", JustThen)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    with pytest.raises(KeyboardInterrupt):
        Child(["-f", "rawvideo", "-video_size", "8x8", "-i", "pipe:0", "-f", "null", "-"], "this", has_stdin=True)
    clean_up()
    assert children() == before


def test_a_caller_in_another_thread_gets_an_answer(material: tuple[Path, Path]) -> None:
    codes: list[int] = []
    words = ["rotate", str(material[0]), "--yaw", "9", "--size", "64", "-o", "turned.png"]
    asker = threading.Thread(target=lambda: codes.append(main(words)))  # where no handler can be set
    asker.start()
    asker.join()
    assert codes == [0]


@dataclass(frozen=True)
class Moment:
    """A moment at which a run is killed: when the ffmpeg with certain arguments begins. words: the command."""

    where: str
    words: tuple[str, ...]


MOMENTS = {
    "decoding": Moment(DECODER, ("reenact", "{still}", "{clip}", "-o", "o.mp4")),
    "encoding": Moment(ENCODER, ("reenact", "{still}", "{clip}", "-o", "o.mp4")),
    "adding the sound": Moment(MUXER, ("reenact", "{still}", "{clip}", "-o", "o.mp4")),
    "choosing a palette": Moment("*palettegen*", ("reenact", "{still}", "{clip}", "-o", "o.gif")),
    "drawing with the palette": Moment("*paletteuse*", ("reenact", "{still}", "{clip}", "-o", "o.gif")),
    "reading a motion": Moment(DECODER, ("motion", "{clip}", "-o", "o.safetensors")),
}


@pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS.keys())
def test_a_killed_run_leaves_one_hidden_entry_at_most(
    moment: Moment, material: tuple[Path, Path], tmp_path: Path
) -> None:
    stalled = tmp_path / "stalled"
    program = faulty_ffmpeg(tmp_path, Fault(moment.where, f"echo $$ > {stalled}; exec sleep 1000", ""))
    words = [word.format(still=material[0], clip=material[1]) for word in moment.words]
    child = start(*words, *(["--size", "64"] if words[0] == "reenact" else []), IMAGEIO_FFMPEG_EXE=str(program))
    wait_for(lambda: stalled.exists() and stalled.read_text().strip(), child)
    child.kill()
    os.kill(int(stalled.read_text()), signal.SIGKILL)
    child.communicate()
    left = [path.name for path in Path().iterdir()]
    assert len(left) <= 1 and all(name.startswith(".vid2vid-") for name in left)
    assert main(["rotate", str(material[0]), "--yaw", "9", "--size", "64", "-o", "turned.png"]) == 0
    assert [path.name for path in Path().iterdir()] == ["turned.png"]


def test_what_a_killed_run_left_is_removed_by_the_next(material: tuple[Path, Path], tmp_path: Path) -> None:
    child = start("reenact", *material, "-o", "o.mp4", "--size", "1024")
    wait_for(lambda: list(Path().glob(".vid2vid-*/encoded.mp4")), child)
    child.kill()
    child.communicate()
    (abandoned,) = Path().iterdir()
    assert abandoned.name.startswith(".vid2vid-")
    with Scratch(Path("other.mp4")) as alive:
        still = Path("mine.png")
        still.write_bytes(material[0].read_bytes())
        done = subprocess.run(
            [*MODULE, "rotate", still, "--yaw", "9", "-o", "turned.png"], check=False, capture_output=True
        )
        assert done.returncode == 0, done.stderr
        assert alive.folder.is_dir()  # another run is at work there
    assert sorted(path.name for path in Path().iterdir()) == ["mine.png", "turned.png"]
    assert not processes_in(Path.cwd())


def test_only_what_nobody_owns_is_swept(tmp_path: Path) -> None:
    (tmp_path / ".vid2vid-file").write_text("a file of that name")
    (tmp_path / ".vid2vid-young").mkdir()
    (tmp_path / ".vid2vid-old").mkdir()
    os.utime(tmp_path / ".vid2vid-old", (1, 1))
    (tmp_path / "linked").mkdir()
    (tmp_path / "linked" / "lock").touch()
    (tmp_path / ".vid2vid-link").symlink_to(tmp_path / "linked")
    (tmp_path / ".vid2vid-dead").mkdir()
    (tmp_path / ".vid2vid-dead" / "lock").touch()
    sweep(tmp_path)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {".vid2vid-file", ".vid2vid-young", ".vid2vid-link", "linked", "work"}
    assert (tmp_path / "linked" / "lock").exists()


# --- numbers that are none ---


class Overflowing(CompactModel):
    """A model whose numbers overflow in half precision, or always. what: where."""

    what = "render"
    always = False
    dtype = torch.float32

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        self.dtype = dtype

    def _spoil(self, numbers: Tensor, what: str) -> Tensor:
        overflows = what == self.what and (self.always or self.dtype == torch.float16)
        return numbers * torch.tensor(float("nan")) if overflows else numbers

    def drive(self, *given: object) -> CompactState:
        driven = super().drive(*given)  # type: ignore[arg-type]
        return replace(driven, keypoints=self._spoil(driven.keypoints, "drive"))

    def render(self, source: SourceAppearance, driven: DrivenState) -> Tensor:
        assert driven.is_finite(), "the rasteriser must never see such numbers"
        return self._spoil(super().render(source, driven), "render")


@pytest.fixture
def overflowing() -> LoadedModel:
    state: Mapping[str, Tensor] = load_file(ROOT / "weights" / "compact.safetensors")
    return LoadedModel(Overflowing(state), FAMILIES[0], "test", "0" * 64)


@pytest.mark.parametrize("what", ["drive", "render"])
def test_numbers_that_overflow_are_computed_again_in_float32(
    what: str, material: tuple[Path, Path], overflowing: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Overflowing, "what", what)
    half, full = ReenactOptions(dtype="float16", size=64, end="0.2"), ReenactOptions(size=64, end="0.2")
    result = reenact(*material, "half.mp4", half, model=overflowing)
    assert result.warnings == ("--dtype float16: numbers overflowed; everything was computed again in float32",)
    reenact(*material, "full.mp4", full, model=overflowing)
    assert Path("half.mp4").read_bytes() == Path("full.mp4").read_bytes()
    assert probe_video("half.mp4").frame_count == 6
    monkeypatch.setattr(Overflowing, "always", True)
    for options in (half, full):
        with pytest.raises(NonFiniteError, match=r"face\.png: the network gave numbers that are not finite; .* again"):
            reenact(*material, "never.mp4", options, model=overflowing)
    with pytest.raises(NonFiniteError, match="not finite"):
        rotate(material[0], "never.png", RotateOptions(yaw="9"), model=overflowing)
    assert sorted(path.name for path in Path().iterdir()) == ["full.mp4", "half.mp4"]

"""Start ffmpeg as a child with pipes, hear its last words, and never leave it behind."""

from __future__ import annotations

import contextlib
import os
import re
import select
import subprocess
import tempfile
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import IO, cast

import imageio_ffmpeg

from vid2vid_cli.errors import MediaError
from vid2vid_cli.process.shutdown import Cleaner, CleanupStage, interrupts_held, register_cleaner
from vid2vid_cli.process.streaming import AbandonedError, is_abandoned

# Only what holds pictures or sound in itself: no playlists that name other files, no text read as a terminal.
DEMUXERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,flv,mpeg,mpegts,mpegvideo,m4v,h264,hevc,av1,obu,ivf,asf,ogg,nut,mxf,dv,"
    "yuv4mpegpipe,rm,vob,gif,apng,webp_anim,wav,w64,aiff,mp3,aac,ac3,flac,opus,amr,caf"
)
PIPE_BYTES = 1 << 20
"""How much the system is asked to hold in a pipe, so that the sides do not wait at every 64 KiB."""

STALL_S = 120.0
"""ffmpeg is given up when nothing comes for so long; VID2VID_STALL_S overrides it."""
ENDING_STALLS = 5
"""How many times as long an encoder may take when it has got its last frame."""
LOOK_EVERY_MS = 100

_running: set[Child] = set()
_TALKER = re.compile(r"^\[[^\]]*\] ")
# Lines that say only that something went wrong; the reason stands in a line before them.
_EMPTY_WORDS = re.compile(
    r"^(Error (opening|selecting|splitting|parsing|while|sending|submitting|closing|initializing|muxing)|"
    r"Error writing|Conversion failed|Exiting|Task finished|Terminating thread|Nothing was written|"
    r"Failed to set value|To ignore this|frame=|Could not open encoder|Press |Last message repeated)"
)


@cache
def executable() -> str:
    """Find the ffmpeg that imageio-ffmpeg brings, or the one that IMAGEIO_FFMPEG_EXE names."""
    try:
        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError as error:
        raise MediaError("no ffmpeg found; reinstall imageio-ffmpeg or set IMAGEIO_FFMPEG_EXE") from error


@cache
def version() -> tuple[int, int]:
    """Tell ffmpeg's major and minor version; a build from its repository counts as new."""
    found = re.search(r"version n?(\d+)\.(\d+)", run(["-version"], f"{executable()}: does not tell its version"))
    return (int(found[1]), int(found[2])) if found else (99, 0)


@cache
def has_filter(name: str) -> bool:
    """Say whether this build of ffmpeg has a filter."""
    listed = run(["-v", "quiet", "-filters"], f"{executable()}: does not list its filters")
    return re.search(rf"(?m)^ \S+ +{re.escape(name)} ", listed) is not None


def each_frame_once() -> list[str]:
    """Forbid ffmpeg to repeat or drop frames on its own (the option changed its name in 5.1)."""
    return ["-fps_mode" if version() >= (5, 1) else "-vsync", "passthrough"]


def file_input(path: Path, *before: str) -> list[str]:
    """Name an input file after the options that belong to it; no name can mean a protocol or a pattern."""
    return ["-protocol_whitelist", "file,pipe", "-format_whitelist", DEMUXERS, *before, "-i", f"file:{path}"]


def last_words(log: str) -> str:
    """Pick the line of ffmpeg's log that names the cause: the last that is more than a notice."""
    lines = [_TALKER.sub("", line).strip() for line in log.splitlines()]
    lines = [_TALKER.sub("", line) for line in lines if line]
    telling = [line for line in lines if not _EMPTY_WORDS.match(line)]
    return (telling or lines or ["ffmpeg said nothing"])[-1].rstrip(".")


class Child:
    """Run one ffmpeg; leaving the `with` block kills it if it still runs.

    Its log goes to an unnamed temporary file: a pipe that nobody empties would stop the child, and a
    thread that empties it needs an end of its own. It gets its own session, so that Ctrl-C reaches us
    alone and we decide how it ends. A limit of the system is told by it in words, not by a signal that kills it.
    """

    def __init__(
        self,
        arguments: list[str],
        subject: str,
        *,
        feeds: bool = False,
        answers: bool = False,
        reads: int | None = None,
    ) -> None:
        """Start it. subject: begins the message where it stands still. feeds, answers: whether pipes are wanted.

        reads: a descriptor that becomes its standard input.
        """
        self._subject = subject
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  closed with the child
        command = [executable(), "-hide_banner", "-y", *([] if feeds else ["-nostdin"]), *arguments]
        try:
            with interrupts_held():
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE if feeds else subprocess.DEVNULL if reads is None else reads,
                    stdout=subprocess.PIPE if answers else subprocess.DEVNULL,
                    stderr=self._log,
                    bufsize=0,
                    start_new_session=True,
                    restore_signals=False,
                )
                _running.add(self)
        except OSError as error:
            self._log.close()
            raise MediaError(f"{executable()}: cannot be started: {error.strerror}") from error
        for pipe in (self._process.stdin, self._process.stdout):
            _widen(pipe)
        if self._process.stdin is not None and hasattr(select, "poll"):
            os.set_blocking(self._process.stdin.fileno(), False)

    @property
    def pid(self) -> int:
        """The process id of the child."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the child has not ended yet."""
        return self._process.poll() is None

    @property
    def stdin(self) -> IO[bytes]:
        """The unbuffered pipe into the child."""
        return cast("IO[bytes]", self._process.stdin)

    @property
    def stdout(self) -> IO[bytes]:
        """The unbuffered pipe out of the child."""
        return cast("IO[bytes]", self._process.stdout)

    def read_into(self, buffer: memoryview) -> int:
        """Read what comes next into a buffer, which is not empty; the number of bytes, 0 at the end."""
        self._await(self.stdout.fileno(), "POLLIN", stall_s())
        return int(self.stdout.readinto(buffer))  # type: ignore[attr-defined]

    def answer(self) -> Iterator[bytes]:
        """Yield all that the child writes, piece by piece."""
        buffer = memoryview(bytearray(1 << 16))
        while count := self.read_into(buffer):
            yield bytes(buffer[:count])

    def feed(self, data: memoryview) -> None:
        """Write all of some data into the child. OSError where it has gone."""
        while len(data):
            self._await(self.stdin.fileno(), "POLLOUT", stall_s())
            data = data[self.stdin.write(data) or 0 :]

    def wait(self) -> int:
        """Close the pipe into the child and wait until it has ended; its exit status."""
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        if hasattr(os, "pidfd_open") and self._process.poll() is None:
            ending = os.pidfd_open(self.pid)
            try:
                self._await(ending, "POLLIN", ENDING_STALLS * stall_s())
            finally:
                os.close(ending)
        return self._process.wait()

    def _await(self, descriptor: int, event: str, limit_s: float) -> None:
        """Wait for a descriptor. MediaError after the limit; AbandonedError when nobody wants it any more."""
        if not hasattr(select, "poll"):  # Windows: it waits as long as it takes
            return
        poller = select.poll()
        poller.register(descriptor, getattr(select, event))
        deadline_s = time.monotonic() + limit_s
        while not poller.poll(LOOK_EVERY_MS):
            if is_abandoned():
                raise AbandonedError
            if time.monotonic() > deadline_s:
                words = f", its last words: {self.last_words()}" if self.log().strip() else ""
                raise MediaError(f"{self._subject}: ffmpeg stood still for {limit_s:g} s and was ended{words}")

    def log(self) -> str:
        """Read what the child has logged so far."""
        self._log.seek(0)
        return self._log.read().decode("utf-8", "replace")

    def last_words(self) -> str:
        """Say why the child failed."""
        status = self._process.poll()
        log = self.log()
        if status is not None and status < 0 and not log.strip():
            return f"ffmpeg was killed by signal {-status}"
        return last_words(log)

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def strike(self) -> None:
        """Kill the child if it still runs."""
        if self._process.poll() is None:
            self._process.kill()

    def close(self) -> None:
        """Kill the child if it still runs, and free all that was used to talk to it."""
        self.strike()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        self._process.wait()
        self._log.close()
        _running.discard(self)


def kill_all() -> None:
    """Kill every child that still runs; the last thing that an interrupted command does."""
    for child in list(_running):
        child.close()


def strike_all() -> None:
    """Kill every child that still runs, and wait for none; from any thread, without a lock."""
    for child in list(_running):
        child.strike()


def stall_s() -> float:
    """Return the seconds after which a child that does nothing is given up."""
    try:
        return float(os.environ.get("VID2VID_STALL_S", STALL_S))
    except ValueError:
        return STALL_S


def _widen(pipe: IO[bytes] | None) -> None:
    """Ask for a wide pipe where the system has such a thing (Linux); a refusal changes nothing but speed."""
    if pipe is None:
        return
    try:
        import fcntl

        fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    except (ImportError, AttributeError, OSError):
        return


def run(arguments: list[str], failure: str) -> str:
    """Run ffmpeg to its end and return what it wrote to pipe:1; `failure` begins the MediaError's line."""
    with Child(arguments, failure, answers=True) as child:
        answer = b"".join(child.answer())
        if child.wait() != 0:
            raise MediaError(f"{failure}: {child.last_words()}")
        return answer.decode("utf-8", "replace")


register_cleaner(CleanupStage.CHILDREN, Cleaner(kill_all, strike_all))

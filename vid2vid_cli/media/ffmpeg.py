"""Run ffmpeg as a child process with pipes, report why it failed, and never leave it behind."""

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
from vid2vid_cli.media.motion_jpeg import is_motion_jpeg
from vid2vid_cli.process.shutdown import Cleaner, CleanupStage, register_cleaner, signals_delayed
from vid2vid_cli.process.streaming import AbandonedError, is_abandoned

# Only formats that hold pictures or sound themselves: no playlists, which name other files, and no text as pictures.
DEMUXERS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,flv,mpeg,mpegts,mpegvideo,m4v,h264,hevc,av1,obu,ivf,asf,ogg,nut,mxf,dv,"
    "yuv4mpegpipe,rm,vob,gif,apng,webp_anim,mjpeg,mpjpeg,wav,w64,aiff,mp3,aac,ac3,eac3,dts,flac,opus,amr,caf,au,wv,"
    "tta,ape,tak,voc"
)
PIPE_BYTES = 1 << 20
"""The size asked for a pipe, so that the two sides do not wait for each other at every 64 KiB."""

STALL_S = 120.0
"""ffmpeg is stopped if it does nothing for this long; VID2VID_STALL_S overrides it."""
ENDING_STALLS = 5
"""How many times longer an encoder may take after its last frame, when it empties its queue."""
POLL_MS = 100

_running: set[Child] = set()
# What begins a line of the log: the part of ffmpeg that speaks, as in `[libx264 @ 0x55d0c0]`.
_LOG_PREFIX = re.compile(r"^\[[^\]]*\] ")
# Lines that only say that something went wrong; an earlier line gives the reason.
_UNINFORMATIVE = re.compile(
    r"^(Error (opening|selecting|splitting|parsing|while|during|sending|submitting|closing|initializing|muxing)|"
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
    """Return ffmpeg's major and minor version. A build from its repository has none and counts as new."""
    found = re.search(r"version n?(\d+)\.(\d+)", run(["-version"], f"{executable()}: does not state its version"))
    return (int(found[1]), int(found[2])) if found else (99, 0)


@cache
def has_filter(name: str) -> bool:
    """Say whether this build of ffmpeg has a filter; some are optional."""
    listed = run(["-v", "quiet", "-filters"], f"{executable()}: does not list its filters")
    return re.search(rf"(?m)^ \S+ +{re.escape(name)} ", listed) is not None


@cache
def has_decoder(name: str) -> bool:
    """Say whether this build of ffmpeg has a decoder; some are optional."""
    listed = run(["-v", "quiet", "-decoders"], f"{executable()}: does not list its decoders")
    return re.search(rf"(?m)^ \S+ +{re.escape(name)} ", listed) is not None


@cache
def has_demuxer(name: str) -> bool:
    """Say whether this build of ffmpeg reads a format of files; some came with later versions."""
    listed = run(["-v", "quiet", "-demuxers"], f"{executable()}: does not list its formats")
    return re.search(rf"(?m)^ \S+ +(\S+,)?{re.escape(name)}[, ]", listed) is not None


def each_frame_once() -> list[str]:
    """Return the option that keeps ffmpeg from repeating or dropping frames; it was renamed in 5.1."""
    return ["-fps_mode" if version() >= (5, 1) else "-vsync", "passthrough"]


def file_input(path: Path, *before: str) -> list[str]:
    """Return the arguments for an input file. before: its options. No name can act as a protocol or a pattern."""
    kind: list[str] = []
    with contextlib.suppress(OSError):  # a file that is gone or cannot be read: ffmpeg says so
        kind = ["-f", "mjpeg"] if is_motion_jpeg(path) else []  # called .jpg, it would be a picture to ffmpeg
    return ["-protocol_whitelist", "file,pipe", "-format_whitelist", DEMUXERS, *kind, *before, "-i", f"file:{path}"]


def error_line(log: str) -> str:
    """Return the line of ffmpeg's log that names the cause of a failure: the last informative one."""
    lines = [_LOG_PREFIX.sub("", line).strip() for line in log.splitlines()]
    lines = [_LOG_PREFIX.sub("", line) for line in lines if line]
    informative = [line for line in lines if not _UNINFORMATIVE.match(line)]
    return (informative or lines or ["ffmpeg said nothing"])[-1].rstrip(".")


class Child:
    """One running ffmpeg. Leaving the `with` block kills it if it still runs.

    Its log goes to an unnamed temporary file: a pipe that nobody empties would block the child, and a thread to empty
    it would have to be ended too. It has its own session, so that Ctrl-C reaches only us, and we decide how it ends.
    """

    def __init__(
        self,
        arguments: list[str],
        subject: str,
        *,
        has_stdin: bool = False,
        has_stdout: bool = False,
        stdin_fd: int | None = None,
        stdout_fd: int | None = None,
    ) -> None:
        """Start it. subject: begins the message of an error. has_stdin, has_stdout: whether it gets these pipes.

        stdin_fd, stdout_fd: descriptors that become its standard input and output instead of pipes.
        """
        self._subject = subject
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  closed with the child
        command = [executable(), "-hide_banner", "-y", *([] if has_stdin else ["-nostdin"]), *arguments]
        try:
            # An interrupt between starting and registering it would leave a child that nobody stops.
            with signals_delayed():
                self._process = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE if has_stdin else subprocess.DEVNULL if stdin_fd is None else stdin_fd,
                    stdout=subprocess.PIPE if has_stdout else subprocess.DEVNULL if stdout_fd is None else stdout_fd,
                    stderr=self._log,
                    bufsize=0,
                    start_new_session=True,
                    # SIGPIPE and SIGXFSZ stay ignored: it reports the error instead of being killed by it.
                    restore_signals=False,
                )
                _running.add(self)
        except OSError as error:
            self._log.close()
            raise MediaError(f"{executable()}: cannot be started: {error.strerror}") from error
        for pipe in (self._process.stdin, self._process.stdout):
            _widen(pipe)
        # So that a child that does not read can be given up: see `_await`.
        if self._process.stdin is not None and hasattr(select, "poll"):
            os.set_blocking(self._process.stdin.fileno(), False)

    @property
    def pid(self) -> int:
        """The process id of the child."""
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether the child still runs."""
        return self._process.poll() is None

    @property
    def stdin(self) -> IO[bytes]:
        """The unbuffered pipe into the child."""
        return cast("IO[bytes]", self._process.stdin)

    @property
    def stdout(self) -> IO[bytes]:
        """The unbuffered pipe out of the child."""
        return cast("IO[bytes]", self._process.stdout)

    def read_into(self, buffer: memoryview, limit_s: float | None = None) -> int:
        """Read what comes next into a buffer of at least one byte. Return the number of bytes, 0 at the end.

        limit_s: how long nothing may come; None: `stall_s`.
        """
        self._await(self.stdout.fileno(), "POLLIN", stall_s() if limit_s is None else limit_s)
        return int(self.stdout.readinto(buffer))  # type: ignore[attr-defined]

    def output(self) -> Iterator[bytes]:
        """Yield everything that the child writes, in pieces."""
        buffer = memoryview(bytearray(1 << 16))
        while count := self.read_into(buffer):
            yield bytes(buffer[:count])

    def feed(self, data: memoryview) -> None:
        """Write all of the data to the child. OSError if it has ended."""
        while len(data):
            self._await(self.stdin.fileno(), "POLLOUT", stall_s())
            data = data[self.stdin.write(data) or 0 :]  # None if the pipe has filled up after all

    def wait(self) -> int:
        """Close the pipe into the child and wait until it has ended. Return its exit status."""
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()
        # Popen.wait can neither be abandoned nor time out cheaply; a descriptor of the process can (Linux).
        if hasattr(os, "pidfd_open") and self._process.poll() is None:
            descriptor = os.pidfd_open(self.pid)
            try:
                self._await(descriptor, "POLLIN", ENDING_STALLS * stall_s())
            finally:
                os.close(descriptor)
        return self._process.wait()

    def _await(self, descriptor: int, event: str, limit_s: float) -> None:
        """Wait for a descriptor. MediaError after the limit; AbandonedError if the result is no longer needed."""
        if not hasattr(select, "poll"):  # Windows: reading and writing block as long as it takes
            return
        poller = select.poll()
        poller.register(descriptor, getattr(select, event))
        deadline_s = time.monotonic() + limit_s
        while not poller.poll(POLL_MS):
            if is_abandoned():
                raise AbandonedError
            if time.monotonic() > deadline_s:
                reason = f"; its last message: {self.error_line()}" if self.log().strip() else ""
                raise MediaError(f"{self._subject}: ffmpeg stalled for {limit_s:g} s and was stopped{reason}")

    def log(self) -> str:
        """Return what the child has logged so far."""
        self._log.seek(0)
        return self._log.read().decode("utf-8", "replace")

    def error_line(self) -> str:
        """Say in one line why the child failed."""
        status = self._process.poll()
        log = self.log()
        if status is not None and status < 0 and not log.strip():
            return f"ffmpeg was killed by signal {-status}"
        return error_line(log)

    def __enter__(self) -> Child:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def kill(self) -> None:
        """Kill the child if it still runs."""
        if self._process.poll() is None:
            self._process.kill()

    def close(self) -> None:
        """Kill the child if it still runs, and free its pipes and log."""
        self.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):
                    pipe.close()
        self._process.wait()
        self._log.close()
        _running.discard(self)


def close_children() -> None:
    """Kill every child that still runs: the last thing that an interrupted command does."""
    for child in list(_running):
        child.close()


def kill_children() -> None:
    """Kill every child that still runs without waiting for it; from any thread, without a lock."""
    for child in list(_running):
        child.kill()


def stall_s() -> float:
    """Return the seconds after which a child that does nothing is stopped."""
    try:
        return float(os.environ.get("VID2VID_STALL_S", STALL_S))
    except ValueError:  # not a number: no reason to fail
        return STALL_S


def _widen(pipe: IO[bytes] | None) -> None:
    """Ask for a large pipe if the system offers that (Linux). A refusal only costs speed."""
    if pipe is None:
        return
    try:
        import fcntl

        fcntl.fcntl(pipe.fileno(), fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    except (ImportError, AttributeError, OSError):
        return


def run(arguments: list[str], failure: str) -> str:
    """Run ffmpeg to its end and return what it wrote to pipe:1. failure: begins the line of the MediaError."""
    with Child(arguments, failure, has_stdout=True) as child:
        written = b"".join(child.output())
        if child.wait() != 0:
            raise MediaError(f"{failure}: {child.error_line()}")
        return written.decode("utf-8", "replace")


register_cleaner(CleanupStage.CHILDREN, Cleaner(close_children, kill_children))

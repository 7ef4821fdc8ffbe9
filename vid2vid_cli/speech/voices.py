"""Voices: separate programs that read a text aloud into a file. None of them is a part of this one."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vid2vid_cli.errors import UsageError, VoiceError
from vid2vid_cli.process.shutdown import signals_delayed
from vid2vid_cli.process.streaming import AbandonedError, is_abandoned

TEXT, OUT = "{text}", "{out}"
LIMIT_S = 600.0
"""A voice that takes longer is stopped."""
STEP_S = 0.02
LONGEST_ARGUMENT = 100_000  # bytes; systems allow some more
_ERROR_CHARACTERS = 200


@dataclass(frozen=True)
class Voice:
    """A program that speaks. command: its arguments, in which `{text}` and `{out}` stand for text and file.

    cure: how to get it, for the line that misses it.
    """

    name: str
    command: tuple[str, ...]
    cure: str


VOICES = (
    Voice("flite", ("flite", "-voice", "slt", "-t", TEXT, "-o", OUT), "install flite: apt install flite"),
    # A text after -- is never an option.
    Voice(
        "espeak-ng",
        ("espeak-ng", "-w", OUT, "--", TEXT),
        "install espeak-ng: apt install espeak-ng, or brew install espeak-ng",
    ),
)
"""The voices that are known by name, the preferred one first."""


def find_voice(name: str | None, command: str | None) -> Voice:
    """Return the voice that a user asks for: by name, by a command, or else the first one that is installed.

    UsageError for a command without its two places; VoiceError if the program is not there.
    """
    if command is not None:
        if name is not None:
            raise UsageError("--voice and --voice-command exclude each other; choose one")
        return _checked(_from_command(command))
    if name is None:
        return _any_voice()
    known = {voice.name: voice for voice in VOICES}
    if name not in known:
        names = " or ".join(known)
        raise UsageError(f"--voice {name}: write {names}; any other by --voice-command 'prog {TEXT} {OUT}'")
    return _checked(known[name])


def _any_voice() -> Voice:
    for voice in VOICES:
        if shutil.which(voice.command[0]):
            return voice
    cures = ", or ".join(voice.cure for voice in VOICES)
    raise VoiceError(f"no voice is installed: {cures}; or name another with --voice-command 'prog {TEXT} {OUT}'")


def _from_command(command: str) -> Voice:
    try:
        parts = tuple(shlex.split(command))
    except ValueError as error:
        raise UsageError(f"--voice-command {command}: {error}; close its quotes") from error
    if not parts or not all(any(place in part for part in parts[1:]) for place in (TEXT, OUT)):
        raise UsageError(f"--voice-command {command}: write the program, {TEXT} and {OUT}, such as 'prog {TEXT} {OUT}'")
    return Voice(parts[0], parts, "check the name of the program")


def _checked(voice: Voice) -> Voice:
    if shutil.which(voice.command[0]) is None:
        raise VoiceError(f"{voice.name}: no such program; {voice.cure}")
    return voice


def read_aloud(voice: Voice, text: str, out: Path) -> None:
    """Let a voice read a text into a file, which exists afterwards and is not empty. VoiceError if that fails."""
    text = " ".join(text.split())
    if not any(letter.isalnum() for letter in text):
        raise VoiceError(f"{voice.name}: there is nothing to say; write a text")
    if len(text.encode()) > LONGEST_ARGUMENT:
        raise VoiceError(f"{voice.name}: the text is longer than a program takes at once; cut it in parts")
    if voice.name == "flite" or text.startswith("-"):
        text = text.lstrip("-–— ") or text  # which a program would take for an option
    # Each place is filled on its own: no shell sees the text, and a {out} in it means nothing.
    arguments = [_filled(part, text, out) for part in voice.command]
    with tempfile.TemporaryFile() as log:
        status = _run(arguments, voice, log.fileno())
        log.seek(0)
        said = log.read().decode("utf-8", "replace").strip().splitlines()
    if status != 0 or not out.is_file() or not out.stat().st_size:
        reason = said[-1][:_ERROR_CHARACTERS] if said else f"it ended with {status} and wrote no sound"
        raise VoiceError(f"{voice.name}: could not speak: {reason}; try the command by hand, or another --voice")


def _filled(part: str, text: str, out: Path) -> str:
    before, found, after = part.partition(TEXT)
    if found:
        return before.replace(OUT, str(out)) + text + after.replace(OUT, str(out))
    return part.replace(OUT, str(out))


def _run(arguments: Sequence[str], voice: Voice, log: int) -> int:
    """Run a program to its end; it is stopped at the limit, at an interrupt, or if nobody needs it any more."""
    process: subprocess.Popen[bytes] | None = None
    try:
        with signals_delayed():  # else an interrupt between starting and noting it would leave a child
            process = subprocess.Popen(
                arguments, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=os.name == "posix"
            )
        deadline_s = time.monotonic() + LIMIT_S
        while process.poll() is None:
            if is_abandoned():
                raise AbandonedError
            if time.monotonic() > deadline_s:
                raise VoiceError(f"{voice.name}: did not end within {LIMIT_S:g} s and was stopped; try another --voice")
            time.sleep(STEP_S)
        return process.returncode
    except OSError as error:
        raise VoiceError(f"{voice.name}: cannot be started: {error.strerror}; {voice.cure}") from error
    finally:
        if process is not None and process.poll() is None:
            _kill(process)
            process.wait()


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a program with those that it has started."""
    if os.name != "posix":
        process.kill()
        return
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)

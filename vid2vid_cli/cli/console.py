"""Print what a command has to say: progress and warnings on stderr, the result on stdout."""

from __future__ import annotations

import json
import os
import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import typer

from vid2vid_cli.cli.failure import write_line
from vid2vid_cli.errors import UsageError, one_line
from vid2vid_cli.pipeline.options import option
from vid2vid_cli.pipeline.progress import Hooks, Result
from vid2vid_cli.process.first_use import telling

if TYPE_CHECKING:
    from vid2vid_cli.cli.progress_bar import Bars, FrameBar


@dataclass(frozen=True)
class Verbosity:
    """How much a command prints."""

    quiet: bool = option(False, "Print nothing but errors.", "--quiet", "-q", panel="Messages")
    verbose: bool = option(False, "Show the traceback of an error.", "--verbose", "-v", panel="Messages")
    json: bool = option(False, "Print the result as one JSON object.", "--json", panel="Messages")

    def __post_init__(self) -> None:
        if self.quiet and self.verbose:
            raise UsageError("--quiet and --verbose exclude each other; choose one")


B = TypeVar("B", bound="Bars")
V = TypeVar("V", bound="Console[Any]")


class Console(ABC, Generic[B]):
    """The output of a command: messages on stderr, with progress bars if that is a terminal; a result on stdout."""

    def __init__(self, verbosity: Verbosity) -> None:
        self.verbosity = verbosity
        self._bar: B | None = None
        self._open = ExitStack()

    @abstractmethod
    def _make_bar(self) -> B: ...

    def __enter__(self: V) -> V:
        # Bars would garble a log file, and a program that reads JSON has no use for them.
        if sys.stderr.isatty() and not (self.verbosity.quiet or self.verbosity.json):
            self._bar = self._make_bar()
            self._open.enter_context(self._bar)
        self._open.enter_context(telling(self.log))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar = None
        self._open.close()

    def log(self, text: str) -> None:
        """Write a line to stderr, unless --quiet."""
        if self.verbosity.quiet:
            return
        if self._bar is not None:
            self._bar.say(one_line(text))
        else:
            write_line(text)

    def print_result(self, text: str, facts: Mapping[str, Any]) -> None:
        """Write the result to stdout: the facts if --json was given, else the text."""
        if self.verbosity.json:
            write_result(json.dumps(facts))
        elif not self.verbosity.quiet:
            write_result(text)


class Reporter(Console["FrameBar"]):
    """Shows progress and warnings while its `with` block runs, then the result. unit: what the progress counts."""

    def __init__(self, verbosity: Verbosity, unit: str = "frames") -> None:
        super().__init__(verbosity)
        self._unit = unit
        self.hooks = Hooks(self._progress, self._warn)

    def _make_bar(self) -> FrameBar:
        from vid2vid_cli.cli.progress_bar import FrameBar  # rich takes long to import, so only for a terminal

        return FrameBar(self._unit)

    def print_summary(self, result: Result) -> int:
        """Print the result of a pipeline. Return the exit code of the command."""
        self.print_result(one_line(summary(result)), result_facts(result))
        return result.exit_code

    def _progress(self, done: int, total: int | None) -> None:
        if self._bar is not None:
            self._bar.show(done, total)

    def _warn(self, text: str) -> None:
        self.log(f"warning: {text}")


def summary(result: Result) -> str:
    """Describe a result in one line."""
    height, width = result.size
    parts = [f"{width}x{height}"] if width else []  # a motion file has no size
    if result.frames > 1:
        parts.insert(0, f"{result.frames} frames at {float(result.fps):.5g} fps")
    parts += [f"{count} {what}" for count, what in ((result.held, "held"), (result.skipped, "skipped")) if count]
    if result.reference:
        parts.append(f"relative to {result.reference}")
    parts.append(f"{result.frames_per_second:.1f} frames/s" if result.frames > 1 else f"{result.seconds:.1f} s")
    return f"{result.output}: {', '.join(parts)}"


def result_facts(result: Result) -> dict[str, Any]:
    """Return a result as JSON values; the frame rate both rounded and exact."""
    height, width = result.size
    return {
        "output": str(result.output),
        "frames": result.frames,
        "held": result.held,
        "skipped": result.skipped,
        "fps": float(result.fps),
        "fps_exact": str(result.fps),  # such as 30000/1001
        "width": width,
        "height": height,
        "reference": result.reference or None,
        "seconds": round(result.seconds, 3),
        "frames_per_second": round(result.frames_per_second, 2),
        "warnings": list(result.warnings),
        "is_partial": result.is_partial,
    }


def page_if_alone(context: typer.Context) -> int:
    """Show the help page of a group that was named without a command, and let a script see that nothing was done."""
    if context.invoked_subcommand is None:
        write_result(context.get_help())
        raise typer.Exit(UsageError.exit_code)
    return 0


def write_result(text: str) -> None:
    """Write lines to stdout; once its reader has gone (`| head`), drop them."""
    try:
        sys.stdout.write(text + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())  # or the flush at interpreter exit would fail again
        os.close(nowhere)

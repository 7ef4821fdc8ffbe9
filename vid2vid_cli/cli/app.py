"""The command `vid2vid`: its subcommands and exit codes."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
import typer.main

from vid2vid_cli.cli.batch import batch
from vid2vid_cli.cli.call import decode, encode, info
from vid2vid_cli.cli.cameras import cameras
from vid2vid_cli.cli.console import page_if_alone, write_result
from vid2vid_cli.cli.controls import controls
from vid2vid_cli.cli.credentials import app as credentials
from vid2vid_cli.cli.doctor import doctor
from vid2vid_cli.cli.dub import dub
from vid2vid_cli.cli.evaluate import evaluate
from vid2vid_cli.cli.faces import faces
from vid2vid_cli.cli.failure import INTERRUPTED, fail
from vid2vid_cli.cli.live import live
from vid2vid_cli.cli.motion import motion
from vid2vid_cli.cli.personalize import personalize
from vid2vid_cli.cli.reenact import reenact
from vid2vid_cli.cli.rotate import rotate
from vid2vid_cli.cli.say import say
from vid2vid_cli.cli.serve import serve
from vid2vid_cli.cli.signals import signals_clean_up
from vid2vid_cli.cli.speak import speak
from vid2vid_cli.cli.transcript import transcript
from vid2vid_cli.cli.verify import verify
from vid2vid_cli.cli.versions import versions
from vid2vid_cli.cli.weights import app as weights
from vid2vid_cli.errors import UsageError, describe_failure
from vid2vid_cli.process.shutdown import clean_up

USAGE = UsageError.exit_code
NARROW = 80
"""Columns below which help pages are plain text."""

app = typer.Typer(
    name="vid2vid",
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["--help", "-h"]},
)
COMMANDS = {
    command.__name__: command
    for command in (
        *(reenact, personalize, speak, say, dub, transcript, rotate, motion, encode, decode, info, faces, controls),
        *(batch, live, cameras, serve, verify, doctor),
    )
}
for command in COMMANDS.values():
    app.command()(command)
GROUPS = {"evaluate": evaluate, "weights": weights, "credentials": credentials}
for name, group in GROUPS.items():
    app.add_typer(group, name=name)


@app.callback(invoke_without_command=True)
def vid2vid(
    context: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", help="Show the versions of vid2vid, torch and ffmpeg, and exit.")
    ] = False,
) -> int:
    """Animate a portrait with the motion of a video, or turn its head."""
    if version:
        write_result(versions())
        raise typer.Exit(0)
    return page_if_alone(context)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    _write_any_name()
    with signals_clean_up() as ending:
        code = _dispatch(sys.argv[1:] if arguments is None else list(arguments))
    return ending.exit_code or code  # a library may have turned the exception of the signal into another


def _dispatch(arguments: list[str]) -> int:
    command = typer.main.get_command(app)
    _prepare_pages(command, is_plain=shutil.get_terminal_size().columns < NARROW)
    try:
        result: Any = command.main(arguments, prog_name="vid2vid", standalone_mode=False)
    except (KeyboardInterrupt, SystemExit) as ending:
        clean_up()
        result = ending.code if isinstance(ending, SystemExit) else INTERRUPTED
        if isinstance(ending.__context__, BrokenPipeError):  # `--help | head`: whoever reads has seen enough
            result = 0
    except Exception as error:  # noqa: BLE001  typer moved its class of usage errors between versions
        return _report_usage_error(error, arguments)
    # Typer itself returns 130 if Ctrl-C comes before a command has started.
    return int(result or 0)


def _prepare_pages(command: Any, *, is_plain: bool) -> None:
    """Decide how the help pages of a command and its subcommands look.

    is_plain: without boxes and columns, which cut off the names of options in a narrow terminal.
    """
    if is_plain:
        command.rich_markup_mode = None
    for parameter in command.params:
        if getattr(parameter, "is_flag", False) and parameter.metavar is None:
            parameter.metavar = ""  # else typer writes `<bool>` behind it, as if it took a value
    for each in getattr(command, "commands", {}).values():
        _prepare_pages(each, is_plain=is_plain)


def _report_usage_error(error: Exception, arguments: list[str]) -> int:
    """Report a mistake in the arguments in one line that names the help page."""
    message = getattr(error, "format_message", None)  # only typer's own errors have it
    if message is None:
        return fail(*describe_failure(error))
    named = _command_in(arguments)
    # Typer writes sentences, some over several lines; ours are one line without a full stop.
    text = " ".join(str(message()).rstrip(". ").replace("Value error, ", "").split())
    page = f"vid2vid {named} --help".replace("  ", " ")
    cure = _hint_at_names(arguments) or f"see {page}"
    return fail(f"{text[:1].lower()}{text[1:]}; {cure}", getattr(error, "exit_code", USAGE))


def _hint_at_names(arguments: list[str]) -> str:
    """Say how to write the first file whose name begins like an option; "" if there is none."""
    file = next((each for each in arguments if each.startswith("-") and Path(each).exists()), None)
    return "" if file is None else f"if you mean the file, write .{os.sep}{file}"


def _command_in(arguments: list[str]) -> str:
    """Return the words of the command that the arguments start with, or "" if they start with none."""
    if not arguments or arguments[0] not in {*COMMANDS, *GROUPS}:
        return ""
    known = [command.name for command in GROUPS[arguments[0]].registered_commands] if arguments[0] in GROUPS else []
    return " ".join(arguments[: 2 if arguments[1:] and arguments[1] in known else 1])


def _write_any_name() -> None:
    """Let stdout escape characters that its encoding lacks, as stderr does; file names can hold any."""
    reconfigure = getattr(sys.stdout, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(errors="backslashreplace")

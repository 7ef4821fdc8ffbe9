"""Write the manual page from the commands' own help: `make man`, then `man build/man/vid2vid.1`."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main

from vid2vid_cli.cli.app import app
from vid2vid_cli.version import __version__

REPOSITORY = Path(__file__).resolve().parents[1]
PLACE = REPOSITORY / "build" / "man" / "vid2vid.1"
SEE_ALSO = "All options are explained in docs/options.md of the source distribution."


def man_page() -> str:
    """Return the page as roff."""
    command = typer.main.get_command(app)
    lines = [f'.TH VID2VID 1 "" "vid2vid {__version__}" "User Commands"', ".SH NAME"]
    lines += [f"vid2vid \\- {_roff(_sentence(command.help).rstrip('.').lower())}", ".SH SYNOPSIS"]
    lines += [".B vid2vid", ".I COMMAND", "[OPTIONS] [ARGUMENTS]", ".SH OPTIONS", *_parameters(command, "vid2vid")]
    lines.append(".SH COMMANDS")
    for name, each in _leaves(command):
        lines += _section(f"vid2vid {name}", each)
    lines.append(".SH EXIT STATUS")
    for code, meaning in exit_codes():
        lines += [".TP", f".B {code}", _roff(meaning)]
    return "\n".join([*lines, ".SH SEE ALSO", _roff(SEE_ALSO), ""])


def exit_codes() -> list[tuple[str, str]]:
    """Return the codes and what they mean, from the table of the README."""
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    table = readme.partition("## Exit codes\n")[2].partition("\n## ")[0]
    return re.findall(r"(?m)^\| (\d+) \| (.*) \|$", table)


def _leaves(group: Any, above: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the commands that do something, with their words."""
    for name, command in group.commands.items():
        if getattr(command, "commands", None):
            yield from _leaves(command, f"{above}{name} ")
        elif not command.hidden:
            yield above + name, command


def _section(name: str, command: Any) -> list[str]:
    context = command.make_context(name, [], resilient_parsing=True)
    usage = " ".join(command.collect_usage_pieces(context))
    paragraphs = [_roff(" ".join(each.split())) for each in (command.help or "").split("\n\n")]
    text = [line for paragraph in paragraphs for line in (".PP", paragraph)]
    return [f".SS {_roff(name)} {_roff(usage)}", *text, *_parameters(command, name)]


def _parameters(command: Any, name: str) -> list[str]:
    """List arguments and options, in the order of the help page."""
    context = command.make_context(name, [], resilient_parsing=True)
    lines = []
    for parameter in command.get_params(context):
        if getattr(parameter, "is_flag", False) and parameter.metavar is None:
            parameter.metavar = ""
        record = parameter.get_help_record(context)
        if record is not None:
            lines += [".TP", f".B {_roff(record[0])}", _roff(" ".join((record[1] or "").split()))]
    return lines


def _sentence(text: str | None) -> str:
    return (text or "").partition("\n")[0]


def _roff(text: str) -> str:
    """Escape what roff would take for its own: backslashes, hyphens, quotes, and points that begin a line."""
    escaped = text.strip().replace("\\", r"\e").replace("-", r"\-").replace('"', r"\(dq")
    return rf"\&{escaped}" if escaped.startswith((".", "'")) else escaped


if __name__ == "__main__":
    place = Path(sys.argv[1]) if sys.argv[1:] else PLACE
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(man_page(), encoding="utf-8")

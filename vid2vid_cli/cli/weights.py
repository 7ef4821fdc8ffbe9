"""The commands `vid2vid weights ...`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vid2vid_cli.cli.completion import complete_checkpoint
from vid2vid_cli.cli.console import Reporter, Verbosity, page_if_alone
from vid2vid_cli.cli.failure import guarded
from vid2vid_cli.cli.options import takes_options
from vid2vid_cli.cli.signals import signals_held
from vid2vid_cli.errors import WeightsError, one_line
from vid2vid_cli.pipeline.weights.options import ConvertOptions, PullOptions

if TYPE_CHECKING:
    from vid2vid_cli.pipeline.weights.convert import WeightsInfo
    from vid2vid_cli.pipeline.weights.inventory import WeightsStatus

NAMES_SHOWN = 5  # of missing or unexpected tensors
Name = Annotated[
    str, typer.Argument(metavar="NAME", help="A name from `weights list`.", autocompletion=complete_checkpoint)
]
AnyName = Annotated[
    str | None,
    typer.Argument(
        metavar="[NAME]", help="A name from `weights list`; default: all.", autocompletion=complete_checkpoint
    ),
]
AnyFile = Annotated[
    str,
    typer.Argument(
        metavar="FILE",
        help="File or folder of weights, or a name in `weights list`.",
        autocompletion=complete_checkpoint,
    ),
]


def weights(context: typer.Context) -> int:
    """Download, verify, inspect and convert checkpoints."""
    return page_if_alone(context)


@takes_options
@guarded
def list_(*, verbosity: Verbosity) -> None:
    """List the published checkpoints: family, size, licence, and whether they are downloaded and verified."""
    with Reporter(verbosity) as reporter:
        with signals_held():
            from vid2vid_cli.pipeline.weights.inventory import list_weights

        statuses = list_weights()
    reporter.print_result(_table(statuses), {"weights": [_facts(each) for each in statuses]})


@takes_options
@guarded
def pull(name: Name, *, options: PullOptions, verbosity: Verbosity) -> None:
    """Download a checkpoint and verify it; no other command downloads checkpoints."""
    with Reporter(verbosity, unit="bytes") as reporter:
        with signals_held():
            from vid2vid_cli.pipeline.weights.pull import pull_weights

        pulled = pull_weights(name, options, hooks=reporter.hooks)
    licence = pulled.checkpoint.licence.name
    what = f"{pulled.fetched} fetched" if pulled.fetched else "nothing to fetch"
    text = f"{pulled.path}: {name}, {pulled.bytes / 1e6:.1f} MB, {what}, licence: {licence}"
    facts = {
        "name": name,
        "path": str(pulled.path),
        "bytes": pulled.bytes,
        "fetched": pulled.fetched,
        "licence": licence,
        "seconds": round(pulled.seconds, 3),
        "warnings": list(pulled.warnings),
    }
    reporter.print_result(one_line(text), facts)


@takes_options
@guarded
def verify(name: AnyName = None, *, verbosity: Verbosity) -> int:
    """Compare the size and sha256 of downloaded files with the published ones."""
    with Reporter(verbosity, unit="checkpoints") as reporter:
        with signals_held():
            from vid2vid_cli.pipeline.weights.inventory import verify_weights

        statuses = verify_weights(name, reporter.hooks)
    wrong = [each for each in statuses if each.is_wrong]
    reporter.print_result(_table(statuses), {"ok": not wrong, "weights": [_facts(each) for each in statuses]})
    if wrong:  # the table is out already: a program reads it even if the command fails
        raise WeightsError("; ".join(each.problem for each in wrong))
    return 0


@takes_options
@guarded
def info(file: AnyFile, *, verbosity: Verbosity) -> None:
    """Show the family and variant of a file or folder of weights, and its missing and unexpected tensors."""
    with Reporter(verbosity) as reporter:
        with signals_held():
            from vid2vid_cli.pipeline.weights.convert import inspect_weights

        found = inspect_weights(file)
    reporter.print_result(_description(found), {**asdict(found), "path": str(found.path)})


@takes_options
@guarded
def convert(
    file: AnyFile,
    output: Annotated[str, typer.Option("--output", "-o", help="The file to write, such as small.safetensors.")],
    *,
    options: ConvertOptions,
    verbosity: Verbosity,
) -> None:
    """Convert weights to one small safetensors file, without optimisers and discriminators."""
    with Reporter(verbosity) as reporter:
        with signals_held():
            from vid2vid_cli.pipeline.weights.convert import convert_weights

        made = convert_weights(file, output, options)
    before, after = made.bytes
    left_out = f", left out: {', '.join(made.left_out)}" if made.left_out else ""
    text = f"{made.output}: {made.info.family}, {before / 1e6:.1f} MB before, {after / 1e6:.1f} MB now{left_out}"
    facts = {
        "output": str(made.output),
        "family": made.info.family,
        "variant": made.info.variant,
        "dtypes": made.info.dtypes,
        "bytes_before": before,
        "bytes": after,
        "sha256": made.info.sha256,
        "left_out": list(made.left_out),
    }
    reporter.print_result(one_line(text), facts)


@takes_options
@guarded
def path(name: AnyName = None, *, verbosity: Verbosity) -> None:
    """Print the path of a checkpoint, or of the folder that holds all downloads."""
    with Reporter(verbosity) as reporter:
        with signals_held():
            from vid2vid_cli.pipeline.weights.inventory import weights_path

        found = weights_path(name)
    reporter.print_result(str(found), {"path": str(found)})


# list_ has an underscore because a function named list would hide the type.
COMMANDS = {command.__name__.rstrip("_"): command for command in (list_, pull, verify, info, convert, path)}
app = typer.Typer(name="weights", invoke_without_command=True, callback=weights, rich_markup_mode="rich")
for command_name, command in COMMANDS.items():
    app.command(command_name)(command)


def _facts(status: WeightsStatus) -> dict[str, Any]:
    checkpoint = status.checkpoint
    return {
        "name": checkpoint.name,
        "family": checkpoint.family,
        "licence": checkpoint.licence.name,
        "licence_must_be_accepted": checkpoint.licence.must_be_accepted,
        "bytes": status.bytes,
        "state": status.state,
        "path": None if status.path is None else str(status.path),
        "problem": status.problem,
        "note": checkpoint.note,
    }


def _table(statuses: list[WeightsStatus]) -> str:
    """Format checkpoints as a table."""
    rows = [("name", "family", "MB", "state", "licence", "where")]
    for each in statuses:
        # Of a checkpoint without a published file the size is unknown until it is here.
        size = "?" if each.bytes is None else f"{each.bytes / 1e6:.1f}"
        checkpoint = each.checkpoint
        where = "not here" if each.path is None else str(each.path)
        rows.append((checkpoint.name, checkpoint.family, size, each.state, checkpoint.licence.name, where))
    widths = [max(len(row[k]) for row in rows) for k in range(5)]  # the last column, a path, is not padded
    lines = ("  ".join([*(f"{row[k]:<{widths[k]}}" for k in range(5)), row[5]]) for row in rows)
    return "\n".join(one_line(line) for line in lines)


def _description(found: WeightsInfo) -> str:
    """Format what is known about a file, one fact a line."""
    dtypes = ", ".join(f"{count} {name}" for name, count in found.dtypes.items())
    rows = [
        ("family", found.family or "unknown"),
        ("variant", found.variant or "-"),
        ("size", f"{found.bytes / 1e6:.1f} MB"),
        ("sha256", found.sha256),
        ("tensors", f"{found.tensors} ({dtypes})"),
        ("parameters", f"{found.parameters / 1e6:.2f} M"),
        ("missing", _some(found.missing)),
        ("unexpected", _some(found.unexpected)),
    ]
    rows += [("problem", found.problem)] if found.problem else []
    return "\n".join([one_line(str(found.path)), *(one_line(f"{name:<12}{value}") for name, value in rows)])


def _some(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return f"{len(names)}: {', '.join(names[:NAMES_SHOWN])}{more}" if names else "none"

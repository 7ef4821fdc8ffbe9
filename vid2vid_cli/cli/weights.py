"""The commands `vid2vid weights ...`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vid2vid_cli.cli.console import Reporter, Verbosity, write_result
from vid2vid_cli.cli.failure import guarded
from vid2vid_cli.cli.options import takes_options
from vid2vid_cli.cli.signals import signals_held
from vid2vid_cli.errors import UsageError, WeightsError, one_line
from vid2vid_cli.pipeline.options import ConvertOptions, PullOptions

if TYPE_CHECKING:
    from vid2vid_cli.pipeline.weights.convert import WeightsInfo
    from vid2vid_cli.pipeline.weights.inventory import WeightsStatus

NAMES_SHOWN = 5
Name = Annotated[str, typer.Argument(metavar="NAME", help="As `weights list` has it.")]
AnyName = Annotated[str | None, typer.Argument(metavar="[NAME]", help="As `weights list` has it; default: all.")]
AnyFile = Annotated[str, typer.Argument(metavar="FILE", help="A file or folder of weights, or a name of the list.")]


def weights(context: typer.Context) -> int:
    """Fetch, check, look into and convert published checkpoints."""
    if context.invoked_subcommand is None:
        write_result(context.get_help())
        raise typer.Exit(UsageError.exit_code)
    return 0


@takes_options
@guarded
def list_(*, verbosity: Verbosity) -> None:
    """List the published checkpoints: family, size, licence, and whether they are here and verified."""
    with Reporter(verbosity) as reporter:
        with signals_held():
            from vid2vid_cli.pipeline.weights.inventory import list_weights

        standings = list_weights()
    reporter.print_result(_table(standings), {"weights": [_facts(each) for each in standings]})


@takes_options
@guarded
def pull(name: Name, *, options: PullOptions, verbosity: Verbosity) -> None:
    """Fetch a checkpoint and check it; the only command that uses the network."""
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
    """Read what is here and compare size and sha256 with what is published."""
    with Reporter(verbosity, unit="checkpoints") as reporter:
        with signals_held():
            from vid2vid_cli.pipeline.weights.inventory import verify_weights

        standings = verify_weights(name, reporter.hooks)
    wrong = [each for each in standings if each.is_wrong]
    reporter.print_result(_table(standings), {"ok": not wrong, "weights": [_facts(each) for each in standings]})
    if wrong:
        raise WeightsError("; ".join(each.problem for each in wrong))
    return 0


@takes_options
@guarded
def info(file: AnyFile, *, verbosity: Verbosity) -> None:
    """Say of a file or folder of weights which family and variant it is, and what it lacks or has too much."""
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
    """Write weights as one small safetensors file, without optimisers and discriminators."""
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
    """Print where a checkpoint lies, or the folder of all that is pulled."""
    with Reporter(verbosity) as reporter:
        with signals_held():
            from vid2vid_cli.pipeline.weights.inventory import weights_path

        found = weights_path(name)
    reporter.print_result(str(found), {"path": str(found)})


COMMANDS = {command.__name__.rstrip("_"): command for command in (list_, pull, verify, info, convert, path)}
app = typer.Typer(name="weights", invoke_without_command=True, callback=weights, rich_markup_mode="rich")
for command_name, command in COMMANDS.items():
    app.command(command_name)(command)


def _facts(standing: WeightsStatus) -> dict[str, Any]:
    checkpoint = standing.checkpoint
    return {
        "name": checkpoint.name,
        "family": checkpoint.family,
        "licence": checkpoint.licence.name,
        "licence_must_be_accepted": checkpoint.licence.must_be_accepted,
        "bytes": standing.bytes,
        "state": standing.state,
        "path": None if standing.path is None else str(standing.path),
        "problem": standing.problem,
        "note": checkpoint.note,
    }


def _table(standings: list[WeightsStatus]) -> str:
    """Lay checkpoints out as lines of columns."""
    rows = [("name", "family", "MB", "state", "licence", "where")]
    for each in standings:
        size = "?" if each.bytes is None else f"{each.bytes / 1e6:.1f}"
        checkpoint = each.checkpoint
        where = "not here" if each.path is None else str(each.path)
        rows.append((checkpoint.name, checkpoint.family, size, each.state, checkpoint.licence.name, where))
    widths = [max(len(row[k]) for row in rows) for k in range(5)]
    lines = ("  ".join([*(f"{row[k]:<{widths[k]}}" for k in range(5)), row[5]]) for row in rows)
    return "\n".join(one_line(line) for line in lines)


def _description(found: WeightsInfo) -> str:
    """Lay what is known of a file out as lines."""
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

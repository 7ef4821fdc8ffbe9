"""The command `vid2vid personalize`, and what `vid2vid info` says of a person file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from vid2vid_cli.cli.console import Reporter, Verbosity
from vid2vid_cli.cli.failure import guarded
from vid2vid_cli.cli.options import takes_options
from vid2vid_cli.cli.signals import signals_held
from vid2vid_cli.errors import one_line
from vid2vid_cli.pipeline.person.options import PersonalizeOptions

if TYPE_CHECKING:
    from vid2vid_cli.pipeline.person.summary import PersonSummary


@takes_options
@guarded
def personalize(
    sources: Annotated[
        list[str], typer.Argument(metavar="SOURCE...", help="Pictures and videos of one person, in any number.")
    ],
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", help="The person file, such as me.person; default ./SOURCE.person."),
    ] = None,
    *,
    options: PersonalizeOptions,
    verbosity: Verbosity,
) -> None:
    """Keep what pictures and videos show of one person in a file, which every command takes as SOURCE.

    Whoever the first picture shows is meant. The file stays on this machine, and only you can read it.
    """
    with Reporter(verbosity, "frames") as reporter:
        with signals_held():
            from vid2vid_cli.pipeline.person.personalize import personalize as run

        made = run(sources, output, options, hooks=reporter.hooks)
    facts = facts_of(made.summary) | {"seconds": round(made.seconds, 3), "warnings": list(made.warnings)}
    reporter.print_result(table_of(made.summary), facts)


def facts_of(found: PersonSummary) -> dict[str, Any]:
    """Return what a person file shows as JSON values."""
    height, width = found.size
    plain = {name: value for name, value in vars(found).items() if name not in ("path", "size", "seen")}
    return {
        "person": str(found.path),
        **plain,
        **vars(found.seen),
        "width": width,
        "height": height,
        "help": list(found.help),
    }


def table_of(found: PersonSummary) -> str:
    """Describe a person file in lines of text."""
    (height, width), seen = found.size, found.seen
    mouths, eyes = ([f"{count} {what}" for what, count in each.items() if count] for each in (found.mouths, found.eyes))
    yaw, pitch = ("{:+.0f} to {:+.0f}".format(*each) for each in (found.yaw_deg, found.pitch_deg))
    lines = [
        f"{found.path}: {_plural(found.views, 'view')}, {found.bytes / 1e6:.2f} MB, shown as {width}x{height}",
        f"from {_plural(seen.pictures, 'picture')} and {_plural(seen.clips, 'clip')}; "
        f"{_plural(seen.pictures + seen.frames, 'frame')} looked at, {seen.used} used",
        f"sides: yaw {yaw} degrees, pitch {pitch} degrees",
        f"mouths: {', '.join(mouths) or 'between closed and open'}; smiles: {found.smiles}",
        f"eyes: {', '.join(eyes)}",
        f"light: {_plural(found.lights, 'direction')}",
        f"habits of expression: {'known' if found.has_habits else 'not known'}",
        *found.help,
    ]
    return "\n".join(map(one_line, lines))


def _plural(count: int, what: str) -> str:
    return f"{count} {what}" if count == 1 else f"{count} {what}s"

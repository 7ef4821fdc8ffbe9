"""The command `vid2vid faces`."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vid2vid_cli.cli.console import Reporter, Verbosity
from vid2vid_cli.cli.failure import guarded
from vid2vid_cli.cli.options import takes_options
from vid2vid_cli.cli.signals import signals_held
from vid2vid_cli.errors import one_line
from vid2vid_cli.pipeline.options import LimitOptions

if TYPE_CHECKING:
    from vid2vid_cli.pipeline.faces import FacesFound


@takes_options
@guarded
def faces(
    source: Annotated[str, typer.Argument(metavar="IMAGE|VIDEO", help="Picture or video to search.")],
    draw: Annotated[
        str | None,
        typer.Option(
            help="Write the picture with boxes, keypoints and head axes; an .mp4 or the like shows the whole clip."
        ),
    ] = None,
    frame: Annotated[int | None, typer.Option(help="Frame of a video, from 0; default: the first with a face.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite an existing drawing.")] = False,
    *,
    limits: LimitOptions,
    verbosity: Verbosity,
) -> None:
    """List the faces from left to right, as --face and --driving-face count them: box, size, head pose and score."""
    with Reporter(verbosity) as reporter:
        with signals_held():
            from vid2vid_cli.pipeline.faces import find_faces

        found = find_faces(source, draw, frame=frame, force=force, max_pixels=limits.max_pixels, hooks=reporter.hooks)
    reporter.print_result(_table(found), _facts(found))


def _facts(found: FacesFound) -> dict[str, Any]:
    height, width = found.size
    return {
        "source": str(found.source),
        "frame": found.frame,
        "width": width,
        "height": height,
        "faces": [asdict(face) for face in found.faces],
        "drawn": None if found.drawn is None else str(found.drawn),
    }


def _table(found: FacesFound) -> str:
    """Format the faces as a table."""
    height, width = found.size
    count = "1 face" if len(found.faces) == 1 else f"{len(found.faces)} faces"
    where = "" if found.frame is None else f" frame {found.frame},"
    lines = [
        f"{found.source}:{where} {width}x{height}, {count}",
        f"{'face':>4}  {'left':>6} {'top':>6} {'right':>6} {'bottom':>6} {'size px':>8}"
        f" {'yaw':>6} {'pitch':>6} {'roll':>6} {'score':>6}",
    ]
    for face in found.faces:  # px for the box, signed degrees for the pose
        box = " ".join(f"{side:6.0f}" for side in face.box_px)
        pose = " ".join(f"{angle:+6.1f}" for angle in (face.yaw_deg, face.pitch_deg, face.roll_deg))
        lines.append(f"{face.index:>4}  {box} {face.size_px:8.0f} {pose} {face.score:6.2f}")
    if found.drawn is not None:
        lines.append(f"drawn in {found.drawn}")
    return "\n".join(map(one_line_keeping_indent, lines))


def one_line_keeping_indent(text: str) -> str:
    """Make a line safe for a terminal, and keep the spaces that it starts with."""
    # one_line strips spaces at both ends, which would shift the columns of right-aligned numbers.
    return text[: len(text) - len(text.lstrip(" "))] + one_line(text)

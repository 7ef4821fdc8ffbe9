"""The commands `vid2vid encode`, `vid2vid decode` and `vid2vid info`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from vid2vid_cli.cli.console import Reporter, Verbosity, result_facts, summary
from vid2vid_cli.cli.failure import guarded
from vid2vid_cli.cli.options import takes_options
from vid2vid_cli.cli.personalize import facts_of, table_of
from vid2vid_cli.cli.signals import signals_held
from vid2vid_cli.cli.verify import credentials_of, may_have_credentials
from vid2vid_cli.errors import one_line
from vid2vid_cli.person_mark import is_person_file
from vid2vid_cli.pipeline.encode_options import EncodeOptions
from vid2vid_cli.pipeline.options import DecodeOptions

if TYPE_CHECKING:
    from vid2vid_cli.call.delays import DelaySummary
    from vid2vid_cli.call.encode import EncodeResult
    from vid2vid_cli.call.info import CallInfo


@takes_options
@guarded
def encode(
    driving: Annotated[
        str, typer.Argument(metavar="DRIVING", help="Video, GIF, picture or motion file; - with --live.")
    ],
    output: Annotated[str, typer.Option("--output", "-o", help="The call, such as call.v2v; - is standard output.")],
    *,
    options: EncodeOptions,
    verbosity: Verbosity,
) -> int:
    """Encode DRIVING as a call: its picture once, then a few bytes per frame, and the sound."""
    with Reporter(verbosity) as reporter:
        with signals_held():
            from vid2vid_cli.call.encode import encode_call

        result = encode_call(driving, output, options, hooks=reporter.hooks)
    text = _describe_encoding(result)
    if output == "-":  # standard output holds the call itself
        reporter.log(text)
    else:
        reporter.print_result(one_line(text), _encoding_facts(result))
    return result.exit_code


def _describe_encoding(result: EncodeResult) -> str:
    return f"{summary(result)}, {result.bytes} bytes{_describe_delays(result.delays)}"


def _describe_delays(delays: DelaySummary | None) -> str:
    if delays is None:
        return ""
    return f", delay {delays.mean_ms:.1f} ms on average and {delays.longest_ms:.1f} ms at most"


def _encoding_facts(result: EncodeResult) -> dict[str, Any]:
    return {**result_facts(result), "bytes": result.bytes, **_delay_facts(result.delays)}


def _delay_facts(delays: DelaySummary | None) -> dict[str, Any]:
    # The keys are always there, so that a script need not ask whether the call was live.
    if delays is None:
        return {"delay_mean_ms": None, "delay_longest_ms": None}
    return {"delay_mean_ms": delays.mean_ms, "delay_longest_ms": delays.longest_ms}


@takes_options
@guarded
def decode(
    call: Annotated[str, typer.Argument(metavar="CALL", help="A file that vid2vid encode wrote; - with --live.")],
    output: Annotated[
        str | None,
        typer.Option(
            "--output",
            "-o",
            help="Video (.mp4 .mov .mkv .webm .gif) or folder of frames; default: CALL.mp4 here. "
            "With --live also -: raw video (Y4M) on standard output.",
        ),
    ] = None,
    *,
    options: DecodeOptions,
    verbosity: Verbosity,
) -> int:
    """Decode a call: the picture that it carries, or another one, moves as the sender did."""
    with Reporter(verbosity) as reporter:
        with signals_held():
            from vid2vid_cli.call.decode import decode_call

        result = decode_call(call, output, options, hooks=reporter.hooks)
    text = summary(result) + _describe_delays(result.delays)
    if output == "-":  # standard output holds the video itself
        reporter.log(text)
    else:
        reporter.print_result(
            one_line(text), result_facts(result) | (_delay_facts(result.delays) if options.live else {})
        )
    return result.exit_code


@takes_options
@guarded
def info(
    call: Annotated[
        str, typer.Argument(metavar="CALL", help="A file of vid2vid encode or personalize, or a picture or film.")
    ],
    *,
    verbosity: Verbosity,
) -> None:
    """Describe a call: what it holds, how many bytes each part takes, and what is damaged.

    Of a person file, say what it has seen and which pictures would help. Of a picture or a film, say in a line what its
    content credentials are worth; vid2vid verify says more.
    """
    with Reporter(verbosity) as reporter:
        if is_person_file(Path(call)):
            reporter.print_result(*_describe_person(call))
            return
        if may_have_credentials(call):
            reporter.print_result(*credentials_of(call))
            return
        with signals_held():
            from vid2vid_cli.call.info import describe_call

        found = describe_call(call)
    reporter.print_result(_table(found), _facts(found))


def _describe_person(path: str) -> tuple[str, dict[str, Any]]:
    """Return what a person file shows as text, and as JSON values."""
    with signals_held():
        from vid2vid_cli.pipeline.person.summary import describe_person

    found = describe_person(path)
    return table_of(found), facts_of(found)


def _facts(found: CallInfo) -> dict[str, Any]:
    height, width = found.size
    tally = found.tally
    return {
        "call": str(found.path),
        "version": found.version,
        "family": found.family,
        "checkpoint_sha256": found.checkpoint,
        "basis_id": found.basis_id,
        "fps": float(found.fps),
        "fps_exact": str(found.fps),
        "width": width,
        "height": height,
        "duration_s": round(found.duration_s, 3),
        "frames": tally.frames,
        "keys": found.keys,
        "numbers": found.numbers,
        "numbers_beside": found.beside,
        "patches": found.patches,
        "held": tally.held,
        "lost": tally.lost,
        "waited": tally.waited,
        "bytes": found.bytes,
        "bytes_by_part": found.sizes,
        "motion_bytes_a_frame": round(found.bytes_a_frame, 2),
        "motion_and_patches_bytes_a_frame": round(found.whole_bytes_a_frame, 2),
        "kbit_s_by_part": {part: round(found.kilobits(part), 2) for part in found.sizes},
        "damage": found.damage,
    }


def _describe_beside(found: CallInfo) -> str:
    return f" and {found.beside} beside the head" if found.beside else ""


def _table(found: CallInfo) -> str:
    """Describe a call in lines of text, its parts as a table."""
    height, width = found.size
    tally = found.tally
    steps = found.steps
    lines = [
        f"{found.path}: call format {found.version}, {tally.frames} frames at {float(found.fps):.5g} fps, "
        f"{found.duration_s:.2f} s, {width}x{height}",
        f"family {found.family}, checkpoint {found.checkpoint[:16]}, basis {found.basis_id}",
        f"{found.numbers} numbers a frame{_describe_beside(found)}; steps: yaw {steps.yaw:.2g} rad, x {steps.x:.2g}, "
        f"expression {steps.expression:.2g}",
        f"{found.keys} keys, {tally.held} frames without a face, {found.patches} patches",
        f"{'part':10}{'bytes':>10}{'kbit/s':>10}{'bytes a frame':>16}",
    ]
    for part, size in found.sizes.items():
        # A part that the call does not have is left out; motion is what the table is about.
        if size or part == "motion":
            lines.append(f"{part:10}{size:10}{found.kilobits(part):10.2f}{size / max(1, tally.frames):16.1f}")
    lines.append(f"damage: {found.damage or 'none'}")
    return "\n".join(map(one_line, lines))

"""Decode a call: the picture that it carries, or another one, moves as the sender did."""

from __future__ import annotations

from contextlib import closing
from dataclasses import dataclass, fields
from pathlib import Path
from typing import ClassVar

from vid2vid_cli.call.receiver import DecodeResult, Screen, check_live, receive_call
from vid2vid_cli.errors import CallFileError
from vid2vid_cli.media.files import check_output
from vid2vid_cli.models.registry import LoadedModel
from vid2vid_cli.pipeline.driving.call_file import CallRecording, is_call_file
from vid2vid_cli.pipeline.options import DecodeOptions, ReenactOptions
from vid2vid_cli.pipeline.output import check_name
from vid2vid_cli.pipeline.progress import Hooks
from vid2vid_cli.pipeline.reenact import reenact


@dataclass(frozen=True)
class _DecodingOptions(ReenactOptions):
    """The options of `reenact`, as `decode` uses it."""

    command: ClassVar = "decode"


def decode_call(
    call: str | Path,
    output: str | Path | None = None,
    options: DecodeOptions | None = None,
    *,
    model: LoadedModel | None = None,
    hooks: Hooks | None = None,
) -> DecodeResult:
    """Render a call.

    output: as for `reenact`; default: the call's name with .mp4, in the current folder. With `live` the call is `-`
    for standard input, and the output may be `-` for standard output.
    Raises a subclass of Vid2VidError whose text is one line; no partial file is left behind then.
    """
    options = options or DecodeOptions()
    check_live(options, call, output)
    if options.live and output is not None:
        chosen = None if options.source is None else Path(options.source)
        return receive_call(Screen(output, _as_reenactment(options), chosen, options.catch_up), model, hooks or Hooks())
    call = Path(call)
    target = f"{call.stem}.mp4" if output is None else output
    check_output(target, force=options.force, inputs=[call])
    check_name(target, options, is_clip=True)
    with closing(open_call(call)) as recording:
        # Rendering opens the call a second time, as a driving. This recording keeps the picture's scratch file alive.
        source = recording.save_picture() if options.source is None else Path(options.source)
        return DecodeResult(**vars(reenact(source, call, target, _as_reenactment(options), model=model, hooks=hooks)))


def open_call(path: Path) -> CallRecording:
    """Open a call file. CallFileError if it is something else."""
    if path.is_file() and path.stat().st_size and not is_call_file(path):
        raise CallFileError(f"{path}: not a call file of vid2vid; make one with vid2vid encode")
    return CallRecording(path)


def _as_reenactment(options: DecodeOptions) -> ReenactOptions:
    """Return the options of `reenact` that decode a call."""
    # Options that both commands have carry over by name: a new one needs no line here.
    shared = {f.name for f in fields(DecodeOptions)} & {f.name for f in fields(ReenactOptions)}
    return _DecodingOptions(
        **{name: getattr(options, name) for name in shared},
        reference_frame="picture" if options.source is None else "auto",
        audio="driving" if options.sound else "none",
    )

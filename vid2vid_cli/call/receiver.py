"""The receiving end of a live call: a frame goes out for every packet that comes in."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from vid2vid_cli.call.delays import Delays, DelaySummary
from vid2vid_cli.call.incoming import IncomingCall, open_incoming
from vid2vid_cli.codec.packets import Kind
from vid2vid_cli.errors import NonFiniteError, UsageError
from vid2vid_cli.media.files import check_output
from vid2vid_cli.media.pipe import NAME
from vid2vid_cli.media.video import FrameWriter, WriteOptions, open_writer, sniff
from vid2vid_cli.media.y4m import Y4MWriter
from vid2vid_cli.models.registry import LoadedModel
from vid2vid_cli.pipeline.backdrop import set_background
from vid2vid_cli.pipeline.background import wants_alpha
from vid2vid_cli.pipeline.driving.call_file import damaged_picture
from vid2vid_cli.pipeline.driving.live import STANDARD
from vid2vid_cli.pipeline.engine import Engine, start_engine
from vid2vid_cli.pipeline.family_request import check_family
from vid2vid_cli.pipeline.open_scene import SceneRequest
from vid2vid_cli.pipeline.options import DecodeOptions, ReenactOptions
from vid2vid_cli.pipeline.output import check_target
from vid2vid_cli.pipeline.pose import AXES, parse_sweeps, warn_of_range
from vid2vid_cli.pipeline.progress import Hooks, Result, WarningLog
from vid2vid_cli.pipeline.provenance import provenance_of
from vid2vid_cli.pipeline.reenact import play, write_options_of
from vid2vid_cli.pipeline.source import Source
from vid2vid_cli.pipeline.source_faces import check_picture
from vid2vid_cli.process.scratch import Scratch


@dataclass(frozen=True)
class DecodeResult(Result):
    """What was made. delays: from a packet to its rendered frame, of a live call only."""

    delays: DelaySummary | None = None


@dataclass(frozen=True)
class Screen:
    """Where a live call is shown, and how.

    target: `-` or a file. source: a picture, None for the one that the call carries. catches_up: see IncomingCall.
    """

    target: str | Path
    options: ReenactOptions
    source: Path | None
    catches_up: bool

    def open_writer(self, path: str | Path, size: tuple[int, int], options: WriteOptions) -> FrameWriter:
        """Open a writer for the frames: raw video for standard output, otherwise what the name says."""
        is_piped = str(self.target) == STANDARD
        return Y4MWriter(Path(path), size, options) if is_piped else open_writer(path, size, options)


def check_live(options: DecodeOptions, call: str | Path, target: str | Path | None) -> None:
    """Raise for options that make no sense in a live call, and for an output that cannot be written."""
    if options.live != (str(call) == STANDARD):
        raise UsageError("--live goes with - as CALL, and - with --live: vid2vid decode - --live -o - | ffplay -")
    if not options.live:
        if str(target) == STANDARD:
            raise UsageError("-o -: only a live call goes to standard output; name a file")
        return
    if target is None:
        raise UsageError("--live: name the output with -o: - for standard output, or a file")
    if (options.start, options.end) != (None, None):
        raise UsageError("--live shows every frame as it comes; leave out --start and --end")
    for name, sweep in zip(AXES, parse_sweeps(options), strict=True):
        if sweep is not None and sweep.count > 1:
            raise UsageError(
                f"--{name} {getattr(options, name)}: a live call has no known length to sweep over; give one angle"
            )
    if options.source is not None and sniff(Path(options.source)) == "video":
        raise UsageError(f"--source {options.source}: is a video, which ends before the call may; give a picture")
    # The sender is on the line already when the first packet arrives: whatever can be refused is refused now.
    check_picture(options)
    _check_target(options, target)


def _check_target(options: DecodeOptions, target: str | Path) -> None:
    if str(target) == STANDARD:
        # Refused rather than ignored, so that nobody believes them to have an effect.
        if wants_alpha(options):
            raise UsageError("--background transparent: -o - is raw video, which has no transparency; name a .webm")
        named = [name for name in ("codec", "crf", "preset") if getattr(options, name) is not None]
        if named:
            raise UsageError(
                f"--{named[0]}: -o - is raw video, which is not encoded; leave the option out or name a file"
            )
        return
    check_output(target, force=options.force, inputs=[] if options.source is None else [Path(options.source)])
    check_target(target, options, is_clip=True)


def receive_call(screen: Screen, model: LoadedModel | None, hooks: Hooks) -> DecodeResult:
    """Show the call on standard input until it ends or its sender is gone."""
    began = time.perf_counter()
    options, log = screen.options, WarningLog(hooks)
    request = SceneRequest.of(options, log)
    engine = start_engine(options, model)
    check_family(engine.loaded.family, request.sweeps, options.region)
    warn_of_range(engine.loaded.model, request.sweeps, options, log)
    # The user's own picture is prepared before the call is opened, so that the first frame does not wait for it.
    chosen = None if screen.source is None else _open_source(screen.source, options, engine, log)
    descriptor, catches_up = sys.stdin.fileno(), screen.catches_up
    call = open_incoming(descriptor, engine.loaded.model, log.warn, catches_up=catches_up, follows=options.body)
    if call.tally.counts[Kind.SOUND] and options.audio != "none":
        log.warn(f"{NAME}: its sound is left out, a live call shows motion only; decode a file to hear it")
    with Scratch(Path(tempfile.gettempdir()) / "call") as scratch:
        source = chosen or _open_source(_save_picture(call, scratch), options, engine, log)
        scene = request.open_scene(engine, source, call)
        set_background(scene, options, None if str(screen.target) == STANDARD else screen.target, log.warn)
        scene.find_reference(options.reference_frame)
        provenance = provenance_of(engine.loaded, options, log, source=screen.source)
        writing = write_options_of(scene, options, provenance, log)
        film = partial(play, scene, screen.target, writing, log, open_output=screen.open_writer)
        result = _show(film, call, options.dtype, hooks)
    return replace(result, seconds=time.perf_counter() - began)


def _open_source(picture: Path, options: ReenactOptions, engine: Engine, log: WarningLog) -> Source:
    """Open a picture and find its face at once, not only when the first frame has to be shown."""
    source = Source(picture, options, engine, log.warn)
    source.first_appearance()
    return source


def _save_picture(call: IncomingCall, scratch: Scratch) -> Path:
    if call.opening.picture is None:
        raise damaged_picture(call.path)
    path = scratch.file(f"picture of {call.path}")
    path.write_bytes(call.opening.picture)
    return path


def _show(film: Callable[[Hooks], Result], call: IncomingCall, dtype: str, hooks: Hooks) -> DecodeResult:
    """Render and write every frame as it comes. film: renders and writes them all, and tells of each."""
    delays = Delays()

    def shown(done: int, total: int | None) -> None:
        # Frames are shown in the order in which they arrived, one for each arrival, repeated ones too.
        delays.add_since(call.arrived_s.popleft())
        hooks.progress(done, total or None)

    try:
        result = film(Hooks(shown, hooks.warn))
    except NonFiniteError as error:
        if dtype == "float32":
            raise
        # A file would be rendered again in float32 (finite.retried_in_float32). What came through a pipe is gone.
        raise NonFiniteError(f"{error}; or --dtype {dtype} is to blame: try float32") from error
    return DecodeResult(**vars(result), delays=delays.summary())

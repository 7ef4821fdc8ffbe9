"""`vid2vid live`: from what the user asks for to the loop."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from vid2vid_cli.errors import UsageError
from vid2vid_cli.live.call_recording import CallRecording
from vid2vid_cli.live.camera import Capture, open_capture
from vid2vid_cli.live.kinds import STANDARD, OutputContext, check_outputs, is_call, kind_of
from vid2vid_cli.live.loop import LiveLoop, LoopSettings, even_size
from vid2vid_cli.live.messages import Messages
from vid2vid_cli.live.recordings import steady_rate
from vid2vid_cli.live.statistics import Statistics
from vid2vid_cli.media.capture import FIRST_PICTURE_S, CaptureRequest, parse_capture
from vid2vid_cli.media.files import check_output
from vid2vid_cli.models.registry import LoadedModel
from vid2vid_cli.pipeline.engine import Engine, start_engine
from vid2vid_cli.pipeline.live_controls import LiveControls, check_controls
from vid2vid_cli.pipeline.live_label import check_label
from vid2vid_cli.pipeline.live_options import LiveOptions
from vid2vid_cli.pipeline.live_portrait import LivePortrait, LiveSetup
from vid2vid_cli.pipeline.manner import check_manner
from vid2vid_cli.pipeline.output import write_options
from vid2vid_cli.pipeline.parsing import parse_face, parse_time
from vid2vid_cli.pipeline.progress import Hooks, WarningLog
from vid2vid_cli.pipeline.provenance import provenance_of
from vid2vid_cli.pipeline.roles import check_source
from vid2vid_cli.pipeline.source_faces import check_picture
from vid2vid_cli.process.shutdown import ended_in_order

SLOW_S = 5.0  # as long as getting ready takes on a busy machine, if all is compiled
SLOW_START = "the first start after an installation takes half a minute; the next ones take seconds"


@dataclass(frozen=True)
class LiveResult:
    """What has happened.

    outputs: their names. seen: pictures of the camera. shown: of the portrait. held: of these, with the last motion of
    a face that was lost. dropped: pictures of the camera that were never shown. delay_ms, delay_95_ms: from a
    picture's arrival until its portrait was ready, the median and what 95 of 100 are below.
    """

    outputs: tuple[str, ...]
    seconds: float
    seen: int
    shown: int
    held: int
    dropped: int
    delay_ms: float
    delay_95_ms: float
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class LiveRequest:
    """What a user asks for, parsed and checked before anything is loaded."""

    sources: tuple[str, ...]
    outputs: tuple[str, ...]
    options: LiveOptions
    capture: CaptureRequest
    controls: LiveControls
    setup: LiveSetup
    duration_s: float | None

    @classmethod
    def of(cls, sources: Sequence[str], outputs: Sequence[str], options: LiveOptions) -> LiveRequest:
        """Parse and check. A subclass of Vid2VidError in one line for what cannot be."""
        o = options
        check_label(is_labelled=o.label, consent=o.consent)
        for source in sources:
            check_source(Path(source))
        check_picture(o)
        check_outputs(list(outputs), o)
        if o.stats is not None:
            check_output(o.stats, force=o.force, is_file=True)
        capture = parse_capture(o.camera, o.camera_size, o.camera_fps, loops=o.loop)
        controls = check_controls(initial_controls(o), len(sources))
        check_manner(o.manner, is_relative=o.relative)
        if not 0 <= o.wrinkles <= 1:
            raise UsageError(f"--wrinkles {o.wrinkles:g}: write a number from 0 to 1")
        setup = LiveSetup(parse_face(o.driving_face, "driving-face"), o.mouth, o.wrinkles, manner=o.manner)
        return cls(tuple(sources), tuple(outputs), o, capture, controls, setup, parse_time(o.duration, "duration"))


def initial_controls(options: LiveOptions) -> LiveControls:
    """Return the controls that the options ask for at the start."""
    o = options
    return LiveControls(
        relative=o.relative,
        strength=o.strength,
        mirror=o.mirror,
        background=o.background,
        yaw=o.yaw,
        pitch=o.pitch,
        roll=o.roll,
        expressions=o.expression,
        gaze=o.gaze,
        region=o.region,
        smooth=o.smooth,
    )


def run_live(
    sources: Sequence[str],
    outputs: Sequence[str],
    options: LiveOptions | None = None,
    *,
    model: LoadedModel | None = None,
    hooks: Hooks | None = None,
) -> LiveResult:
    """Show portraits live until the camera ends, the time is over, or somebody quits.

    sources: paths of pictures, of which one is shown at a time. outputs: see `kinds`. In the main thread, a signal
    that usually ends the process ends the loop instead, and what is recorded is finished. Raises a subclass of
    Vid2VidError whose text is one line.
    """
    log = WarningLog(hooks or Hooks())
    request = LiveRequest.of(sources, outputs, options or LiveOptions())
    engine = start_engine(request.options, model)
    with ExitStack() as stack:
        kept = stack.enter_context(closing(Statistics(_path(request.options.stats))))
        with said_after(SLOW_S, SLOW_START, log.warn):
            portrait = LivePortrait(
                engine, request.sources, request.options, log.warn, setup=request.setup, controls=request.controls
            )
            portrait.warm_up()
        stack.enter_context(closing(portrait))
        size = even_size(portrait.still())
        # From here on pictures come, so nothing may take long any more.
        camera = FirstCamera(request, log.warn)
        loop = LiveLoop(portrait, _settings(request, size), Messages(log.warn))
        loop.on_shown = kept.take
        provenance = provenance_of(engine.loaded, request.options, log, source=request.sources[0])
        writing = write_options(request.options, camera.fps, provenance, log)
        context = OutputContext(loop, size, camera.fps, request.options, writing, request.sources)
        calls = _open_outputs(request, engine, loop, context)
        threading.Thread(target=portrait.prepare, name="vid2vid-prepare", daemon=True).start()
        try:
            with ended_in_order(loop.end_soon):
                loop.run(camera.open)
        finally:
            for call in calls:
                call.close()
    counts, (median_ms, most_ms) = loop.counts, kept.delays_ms()
    return LiveResult(
        *(request.outputs, counts.seconds, counts.seen, counts.shown, counts.held),
        *(loop.dropped, median_ms, most_ms, tuple(log.warnings)),
    )


@contextmanager
def said_after(seconds: float, text: str, warn: Callable[[str], None]) -> Iterator[None]:
    """Say a line if the block takes longer than so many seconds. warn: takes the line."""
    timer = threading.Timer(seconds, warn, [text])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


class FirstCamera:
    """Opens the camera once to learn its rate, gives that away first, and opens it anew each time after that."""

    def __init__(self, request: LiveRequest, warn: Callable[[str], None]) -> None:
        """Wait for the first picture; for that of a pipe without end, unless a duration is asked for."""
        self._request, self._max_pixels = request.capture, request.options.max_pixels
        has_end = request.duration_s is not None
        waiting = f"{request.capture.subject}: no picture has come yet; it is waited for, and Ctrl-C ends that"
        with nullcontext() if has_end else said_after(FIRST_PICTURE_S, waiting, warn):
            first = open_capture(self._request, self._max_pixels, FIRST_PICTURE_S if has_end else math.inf)
        self.fps = steady_rate(first.fps)
        self._first: Capture | None = first

    def open(self) -> Capture:
        """Return the camera, open."""
        first, self._first = self._first, None
        return first or open_capture(self._request, self._max_pixels)


def _path(name: str | None) -> Path | None:
    return None if name is None else Path(name)


def _settings(request: LiveRequest, size: tuple[int, int]) -> LoopSettings:
    return LoopSettings(
        size,
        is_labelled=request.options.label,
        duration_s=request.duration_s,
        name=request.capture.subject,
        comes_back=request.capture.comes_back,
        renders=not all(map(is_call, request.outputs)),
    )


def _open_outputs(request: LiveRequest, engine: Engine, loop: LiveLoop, context: OutputContext) -> list[CallRecording]:
    """Open all outputs and let them take part. Returns the calls, which are to be closed in the end."""
    calls = []
    for name in request.outputs:
        kind = kind_of(name)
        if kind.open is None:
            calls.append(CallRecording(Path(name), engine, request.sources[0], context))
            loop.add_listener(calls[-1].take)
        else:
            loop.add_output(kind.open(name, context), _shown_name(name))
    return calls


def _shown_name(name: str) -> str:
    return "standard output" if name == STANDARD else name

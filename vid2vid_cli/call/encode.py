"""Encode a driving as a call: a picture once, then a packet of a few bytes for every frame."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import IO

import torch

from vid2vid_cli.call.delays import Delays, DelaySummary
from vid2vid_cli.call.sender import Sender
from vid2vid_cli.errors import CallFileError, UsageError
from vid2vid_cli.media.files import check_output, open_scratch
from vid2vid_cli.media.ogg import OpusPacket
from vid2vid_cli.media.opus import OpusRequest, opus_of
from vid2vid_cli.media.publishing import publish
from vid2vid_cli.models.base import SendsBeside
from vid2vid_cli.models.registry import LoadedModel
from vid2vid_cli.pipeline.driving.base import Driving
from vid2vid_cli.pipeline.driving.live import STANDARD, open_live
from vid2vid_cli.pipeline.driving.motion_reader import ReaderSetup, SpeechSetup
from vid2vid_cli.pipeline.driving.opening import open_driving
from vid2vid_cli.pipeline.encode_options import EncodeOptions
from vid2vid_cli.pipeline.engine import Engine, start_engine
from vid2vid_cli.pipeline.output import check_size, misleading_name
from vid2vid_cli.pipeline.parsing import check_motion_numbers, is_index, parse_face, reading_options
from vid2vid_cli.pipeline.progress import Hooks, Result, WarningLog
from vid2vid_cli.pipeline.provenance import provenance_of
from vid2vid_cli.process.scratch import Scratch

MOST_PATCH_BYTES = 1_000_000  # a second


@dataclass(frozen=True)
class EncodeResult(Result):
    """What was made. bytes: of the whole call. delays: from a frame to its packet, of a live call only."""

    bytes: int = 0
    delays: DelaySummary | None = None


def encode_call(
    driving: str | Path,
    output: str | Path,
    options: EncodeOptions | None = None,
    *,
    model: LoadedModel | None = None,
    hooks: Hooks | None = None,
) -> EncodeResult:
    """Write a driving as a call file.

    output: a file, or `-` for standard output. driving: a file, or with `live` `-` for standard input.
    Raises a subclass of Vid2VidError whose text is one line; no partial file is left behind then.
    """
    began = time.perf_counter()
    options, hooks = options or EncodeOptions(), hooks or Hooks()
    log = WarningLog(hooks)
    check_encode_options(options, driving)
    inputs = [Path(name) for name in (driving, options.source) if name not in (None, STANDARD)]
    if str(output) != STANDARD:
        check_output(output, force=options.force, inputs=inputs, is_file=True)
    if (note := misleading_name(output, "a call", ".v2v")) is not None:
        log.warn(note)
    # The output is checked before the model is loaded: a mistake in its name shows at once.
    engine, delays = start_engine(options, model), Delays()
    with ExitStack() as stack:
        clip = stack.enter_context(closing(_open(driving, options, engine, log)))
        scratch = stack.enter_context(closing(_scratch(output)))
        # The suffix tells a seal what it seals.
        part = scratch.file(f"call{Path(output).suffix}")
        file = sys.stdout.buffer if str(output) == STANDARD else stack.enter_context(part.open("wb"))
        written = CountedFile(file, flushes=options.live or str(output) == STANDARD)
        sender = Sender(engine, clip, options, written.put, _open_sound(clip, options, log, scratch.file("sound.ogg")))
        _send_all(sender, clip, hooks, delays)
        if str(output) != STANDARD:
            file.close()
            is_picture = options.source is not None and not is_index(options.source)
            source = options.source if is_picture else None
            provenance = provenance_of(engine.loaded, options, source=source, driving=driving)
            publish(part, Path(output), provenance, force=options.force)
    if sender.held:
        log.warn(f"{driving}: no face in {sender.held} of {sender.frames} frames; the last motion is held there")
    seconds = time.perf_counter() - began
    return EncodeResult(
        *(Path(output), sender.frames, sender.held, 0, seconds, clip.fps, sender.size, tuple(log.warnings)),
        bytes=written.size,
        delays=delays.summary(),
        is_partial=log.is_partial,
    )


@torch.inference_mode()
def _send_all(sender: Sender, clip: Driving, hooks: Hooks, delays: Delays) -> None:
    for driven in clip.frames():
        sender.take(driven)  # the packet has gone out when this returns, so the delay ends here
        if driven.arrived_s is not None:
            delays.add_since(driven.arrived_s)
        hooks.progress(sender.frames, clip.count or None)
    sender.end()


def check_encode_options(options: EncodeOptions, driving: str | Path) -> None:
    """Raise UsageError for options that are out of range or contradict each other."""
    check_motion_numbers(options)
    if options.step is not None and not 0.001 <= options.step <= 16:
        raise UsageError(f"--step {options.step:g}: write pixels from 0.001 to 16")
    if not 1 <= options.key_interval <= 100_000:
        raise UsageError(f"--key-interval {options.key_interval}: write frames from 1 to 100000")
    if not 1 <= options.key_quality <= 100:
        raise UsageError(f"--key-quality {options.key_quality}: write a number from 1 to 100")
    check_size(options.size)
    if options.patches is not None and not 0 <= options.patches <= MOST_PATCH_BYTES:
        raise UsageError(f"--patches {options.patches}: write bytes a second from 0 to {MOST_PATCH_BYTES}")
    if options.on_missing == "skip":
        raise UsageError("--on-missing skip: a call has a packet for every frame; use hold or fail")
    if options.live != (str(driving) == STANDARD):
        raise UsageError("--live goes with - as DRIVING, and - with --live: vid2vid encode - --live -o call.v2v")
    if options.live and (options.start, options.end, options.fps) != (None, None, None):
        raise UsageError("--live sends every frame as it comes; leave out --start, --end and --fps")
    if options.live and options.audio == "copy":
        raise UsageError("--audio copy: a live call carries motion only; send sound on a channel of its own")
    if options.live and options.source is not None and is_index(options.source):
        raise UsageError(
            f"--source {options.source}: a live call cannot wait for a frame; give a picture, or leave it out"
        )


@dataclass
class CountedFile:
    """Writes to a file and counts the bytes. flushes: whether each packet goes out at once."""

    file: IO[bytes]
    flushes: bool
    size: int = 0

    def put(self, data: bytes) -> None:
        """Write a packet."""
        try:
            self.file.write(data)
            if self.flushes:  # a packet that waits in a buffer is late at the other end
                self.file.flush()
        except OSError as error:
            raise CallFileError(f"the call cannot be written: {error.strerror}") from error
        self.size += len(data)


def _scratch(output: str | Path) -> Scratch:
    return open_scratch(Path(tempfile.gettempdir()) / "call" if str(output) == STANDARD else Path(output))


def _open(driving: str | Path, options: EncodeOptions, engine: Engine, log: WarningLog) -> Driving:
    select = parse_face(options.driving_face, "driving-face")
    # What moves beside the head is sent where there is a basis for it: by itself it is far too many numbers.
    model = engine.loaded.model
    setup = ReaderSetup(
        model,
        engine.analyzer,
        select,
        engine.device,
        max_pixels=options.max_pixels,
        follows=options.body and isinstance(model, SendsBeside),
        speech=SpeechSetup(options.head, options.seed),
    )
    if options.live:
        return open_live(sys.stdin.fileno(), setup, log.warn)
    return open_driving(Path(driving), reading_options(options, log), setup)


def _open_sound(
    clip: Driving, options: EncodeOptions, log: WarningLog, file: Path
) -> Iterator[bytes | OpusPacket] | None:
    if clip.audio is None or clip.count is None or options.audio == "none":
        return None
    # Sound that goes on after the last frame is cut off.
    request = OpusRequest(Fraction(clip.count) / clip.fps, options.audio, log.warn, log.lose)
    return opus_of(clip.audio, request, file)

"""Where live pictures go: the kinds of outputs, and how each is named on the command line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from vid2vid_cli.errors import UsageError
from vid2vid_cli.live import virtual_camera, window
from vid2vid_cli.live.outputs import Deck, LiveOutput
from vid2vid_cli.live.recordings import FileRecording, TransportStream
from vid2vid_cli.media.encoder import container_of
from vid2vid_cli.media.files import check_output, names_folder
from vid2vid_cli.media.video import WriteOptions
from vid2vid_cli.media.virtual_camera.camera import check_virtual_camera
from vid2vid_cli.pipeline.live_options import LiveOptions
from vid2vid_cli.pipeline.output import check_target, is_picture_name

STANDARD = "-"
CALL_SUFFIX = ".v2v"
CHOICES = "window, camera, a video such as talk.mp4, a call such as talk.v2v, or - for standard output"


@dataclass(frozen=True)
class OutputContext:
    """What outputs are opened with.

    deck: what keys act on. size: (height, width) of the pictures. fps: about how many there will be a second.
    writing: how films are encoded, and where they come from. sources: the portraits' names.
    """

    deck: Deck
    size: tuple[int, int]
    fps: Fraction
    options: LiveOptions
    writing: WriteOptions
    sources: tuple[str, ...]


@dataclass(frozen=True)
class OutputKind:
    """One kind of output.

    takes: whether a name on the command line means this kind. check: raises in one line what can be told before
    anything is loaded. open: opens an output, None where `live.call_recording` does. The first kind that takes a name
    counts.
    """

    takes: Callable[[str], bool]
    check: Callable[[str, LiveOptions], None]
    open: Callable[[str, OutputContext], LiveOutput] | None


def is_call(name: str) -> bool:
    """Say whether an output is a call: motion alone, for which nothing is rendered."""
    return name.lower().endswith(CALL_SUFFIX)


def _check_pipe(name: str, options: LiveOptions) -> None:
    if options.format == "y4m" and (options.codec, options.crf, options.preset) != (None, None, None):
        raise UsageError("-o -: raw video is not encoded; leave out --codec, --crf and --preset")


def _open_pipe(name: str, context: OutputContext) -> LiveOutput:
    if context.options.format == "mpegts":
        return TransportStream(context.writing)
    return FileRecording(Path(name), context.writing, is_piped=True)


def _check_call(name: str, options: LiveOptions) -> None:
    check_output(name, force=options.force, is_file=True)


def _check_file(name: str, options: LiveOptions) -> None:
    if is_picture_name(name) or (names_folder(name) and not name.endswith(("/", "\\"))):
        raise UsageError(f"--output {name}: live pictures go to {CHOICES}; a folder's name ends in a slash")
    check_output(name, force=options.force)
    if not names_folder(name):
        container_of(Path(name))
    check_target(name, options, is_clip=True)


def _open_file(name: str, context: OutputContext) -> LiveOutput:
    return FileRecording(Path(name), context.writing)


def _check_window(name: str, options: LiveOptions) -> None:
    window.check_window()


def _open_window(name: str, context: OutputContext) -> LiveOutput:
    return window.Window(context.deck, context.size, context.sources)


def _check_camera(name: str, options: LiveOptions) -> None:
    check_virtual_camera(virtual_camera.device_of(name))


def _open_camera(name: str, context: OutputContext) -> LiveOutput:
    return virtual_camera.CameraOutput(virtual_camera.device_of(name), context.size, context.fps)


KINDS = (
    OutputKind(lambda name: name == window.NAME, _check_window, _open_window),
    OutputKind(lambda name: name.partition(":")[0] == virtual_camera.NAME, _check_camera, _open_camera),
    OutputKind(lambda name: name == STANDARD, _check_pipe, _open_pipe),
    OutputKind(is_call, _check_call, None),
    OutputKind(lambda name: "." in Path(name).name or name.endswith(("/", "\\")), _check_file, _open_file),
)


def kind_of(name: str) -> OutputKind:
    """Return the kind of an output. UsageError for a name that means nothing."""
    kind = next((kind for kind in KINDS if kind.takes(name)), None)
    if kind is None:
        raise UsageError(f"--output {name}: live pictures go to {CHOICES}")
    return kind


def check_outputs(names: list[str], options: LiveOptions) -> None:
    """Raise UsageError or MediaError in one line for outputs that cannot be, before anything is loaded."""
    twice = next((name for place, name in enumerate(names) if name in names[:place]), None)
    if twice is not None:
        raise UsageError(f"--output {twice}: named twice; leave one out")
    for name in names:
        kind_of(name).check(name, options)

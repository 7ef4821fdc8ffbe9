"""Open whatever drives: the kinds of driving, and the one place that chooses between them."""

from __future__ import annotations

from pathlib import Path

from vid2vid_cli.media.files import require_file
from vid2vid_cli.media.video import ReadOptions
from vid2vid_cli.pipeline.driving.base import FileDriving
from vid2vid_cli.pipeline.driving.call_file import CallDriving
from vid2vid_cli.pipeline.driving.live_link import LiveLinkDriving
from vid2vid_cli.pipeline.driving.motion_file import MotionFileDriving
from vid2vid_cli.pipeline.driving.motion_reader import ReaderSetup
from vid2vid_cli.pipeline.driving.speech import SpeechDriving
from vid2vid_cli.pipeline.driving.still import StillDriving
from vid2vid_cli.pipeline.driving.video import VideoDriving

# Asked in this order, cheapest first: a few bytes, then a picture's header, then ffmpeg. VideoDriving takes all that is
# left.
KINDS: tuple[type[FileDriving], ...] = (
    *(MotionFileDriving, CallDriving, LiveLinkDriving),
    *(StillDriving, SpeechDriving, VideoDriving),
)


def open_driving(path: Path, reading: ReadOptions, setup: ReaderSetup) -> FileDriving:
    """Open a driving file as the first kind that recognises it. Errors say what is wrong with the file."""
    require_file(path)
    return kind_of(path).open(path, reading, setup)


def kind_of(path: Path) -> type[FileDriving]:
    """Return the kind of a file by its content."""
    return next(kind for kind in KINDS if kind.detect(path))


def is_called_driving(path: Path) -> bool:
    """Say whether a file in a folder is called as those of some kind are."""
    named = [kind for kind in KINDS if path.suffix.lower() in kind.suffixes]
    return any(not kind.suffixes_are_shared or kind.detect(path) for kind in named)

"""Notice inputs in the wrong place: what can only drive given as source, or the two swapped."""

from __future__ import annotations

from pathlib import Path

from vid2vid_cli.errors import UsageError, Vid2VidError
from vid2vid_cli.media.files import require_file
from vid2vid_cli.media.video import sniff
from vid2vid_cli.pipeline.driving.opening import kind_of
from vid2vid_cli.pipeline.driving.speech import SpeechDriving
from vid2vid_cli.pipeline.driving.still import StillDriving
from vid2vid_cli.pipeline.driving.video import VideoDriving

_PICTURES = (StillDriving, VideoDriving)


def check_source(source: Path, driving: Path | None = None) -> None:
    """Raise UsageError for a source that holds motion and no picture. driving: what was given as that."""
    require_file(source)
    if kind_of(source) in _PICTURES:
        return
    asked = "SOURCE is the picture or video of a person"
    if driving is not None and _is_seen(driving):
        asked = f"SOURCE comes first, so write: {driving} {source}"
    what = "sound" if kind_of(source) is SpeechDriving else "motion"
    raise UsageError(f"{source}: holds {what} and no picture, so it can only be DRIVING; {asked}")


def _is_seen(path: Path) -> bool:
    try:
        require_file(path)
        return kind_of(path) in _PICTURES
    except Vid2VidError:  # reported where it is opened
        return False


def swap_note(source: Path, driving: Path) -> str | None:
    """Return a note on a video that takes the expression of a picture: seldom meant. None for all other pairs."""
    if kind_of(driving) is not StillDriving or sniff(source) != "video":
        return None
    return (
        f"SOURCE {source} is a video and DRIVING {driving} a picture: every frame of the video gets the picture's pose "
        f"and expression; to make the picture move like the video, write: {driving} {source}"
    )

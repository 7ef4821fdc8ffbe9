"""Whether a driving can follow a person's own manner, and the driving that does."""

from __future__ import annotations

from vid2vid_cli.errors import UsageError
from vid2vid_cli.models.base import ReenactmentModel
from vid2vid_cli.models.manner import KnowsMovements
from vid2vid_cli.pipeline.driving.base import Driving
from vid2vid_cli.pipeline.driving.manner import Manner, MannerDriving
from vid2vid_cli.pipeline.source import Source

HOW = "make one of pictures and clips: vid2vid personalize me.jpg me.mp4 -o me.person"


def check_manner(share: float, *, is_relative: bool) -> None:
    """Raise UsageError for a --manner that is out of range, or that nothing could follow."""
    if not 0 <= share <= 1:
        raise UsageError(f"--manner {share:g}: write a number from 0, as driven, to 1, as the person moves")
    if share and not is_relative:
        raise UsageError(f"--manner {share:g}: needs --relative, since it goes by what the driving rests like")


def in_manner(driving: Driving, source: Source, model: ReenactmentModel, share: float) -> Driving:
    """Return the driving as --manner asks. UsageError where the source's manner, or the driving's rest, is unknown."""
    if not share:
        return driving
    if driving.is_still:
        raise UsageError(
            f"--manner {share:g}: {driving.path} is a still, which shows no habits; take a clip, or leave it out"
        )
    return MannerDriving.of(driving, manner_of(source, model, share, float(driving.fps)))


def manner_of(source: Source, model: ReenactmentModel, share: float, fps: float) -> Manner:
    """Return the manner of a source's person. UsageError where nothing tells it. share, fps: see `Manner`."""
    if not isinstance(model, KnowsMovements):
        raise UsageError(f"--manner {share:g}: {model.name} does not measure movements; use -c compact")
    habits = source.habits
    if habits is None:
        raise UsageError(f"--manner {share:g}: {source.path} does not tell how its person moves; {HOW}")
    if habits.names != model.movement_names:
        raise UsageError(f"--manner {share:g}: {source.path} knows the habits of another version; {HOW}")
    return Manner(model, habits, share, fps)

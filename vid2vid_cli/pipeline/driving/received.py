"""The frames of a call, as its receiver gets them: motions, and patches of what the camera saw."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from vid2vid_cli.codec.beside import Patch
from vid2vid_cli.codec.header import StreamHeader
from vid2vid_cli.codec.space import MotionSpace, Numbers
from vid2vid_cli.codec.stream import Moment
from vid2vid_cli.motion import Motion
from vid2vid_cli.pipeline.driving.base import SeenPatch
from vid2vid_cli.smoothing import OneEuroFilter

BESIDE_SMOOTHING = 0.6  # strength, of what moves beside the head


@dataclass(frozen=True)
class Received:
    """A frame of a call as it came in.

    motion: of one frame, its own or the last one known; None before any. found: whether the sender saw a face.
    is_missing: whether its packet was lost or is of no use, so that the last motion holds. patches: sent before it.
    """

    motion: Motion | None
    found: bool
    is_missing: bool
    patches: tuple[SeenPatch, ...] = ()

    @property
    def is_shown(self) -> bool:
        """Whether the frame counts as one with a face. A missing one does: it shows the last motion."""
        return self.found or (self.is_missing and self.motion is not None)


def received(moments: Iterable[Moment], space: MotionSpace, header: StreamHeader) -> Iterator[Received]:
    """Yield every moment with its motion, decoded only when its numbers change."""
    smooth = OneEuroFilter(BESIDE_SMOOTHING, float(header.fps))
    last: tuple[Numbers, Motion] | None = None
    for moment in moments:
        # While the last motion holds, the decoder hands out the very same array.
        if moment.numbers is not None and (last is None or last[0] is not moment.numbers):
            motion = space.motion(moment.numbers[None])
            # Steps of what moves beside the head are coarse: one by one, they would make the picture shimmer.
            last = moment.numbers, motion if space.beside is None else _smoothed(motion, smooth)
        patches = tuple(seen_patch(patch, space, header.size) for patch in moment.patches)
        yield Received(None if last is None else last[1], moment.found, moment.is_missing, patches)


def seen_patch(patch: Patch, space: MotionSpace, size: tuple[int, int]) -> SeenPatch:
    """Return a patch with its motion. size: (height, width) of the key picture."""
    left, top, width, height = patch.place
    place = left / size[1], top / size[0], (left + width) / size[1], (top + height) / size[0]
    return SeenPatch(space.motion(patch.numbers[None]), place, patch.file)


def is_picture(path: Path, data: bytes | None) -> bool:
    """Say whether a file holds exactly these bytes, which are a call's picture."""
    try:
        return data is not None and path.stat().st_size == len(data) and path.read_bytes() == data
    except OSError:  # of a picture that is no file
        return False


def _smoothed(motion: Motion, smooth: OneEuroFilter) -> Motion:
    return motion if motion.extra is None else replace(motion, extra=smooth(motion.extra))

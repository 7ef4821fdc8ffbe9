"""Choose which pieces of the camera's frames a call sends: a mouth, shut eyes, when they are first seen.

Nothing is looked ahead, so that a live call and a file give the same packets. What differs most from all that has been
sent waits until bytes are left for it, and gives way to what differs more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise

import cv2
import numpy as np
from numpy.typing import NDArray

from vid2vid_cli.arrays import Frame, Points
from vid2vid_cli.codec.beside import Patch
from vid2vid_cli.codec.space import Numbers
from vid2vid_cli.face.eyes import INNER, LOOPS, LOWER, OUTER, UPPER
from vid2vid_cli.face.landmarks import OUTER_LIPS
from vid2vid_cli.media.image import encode_small

WHOLE_BYTES = 53  # a frame: what motion and patches take together, unless a rate of bytes is asked for
LONGEST_PX = 112  # of what is sent of a patch
QUALITY = 70
LARGEST_BYTES = 6000  # of its file: with all that goes with it, it must fit into a packet
MOST_PATCHES = 28  # a receiver keeps no more views
# By how much a mouth's opening and width, or the opening of eyes, must differ from all that is known.
NEW_MOUTH, NEW_EYES = 0.11, 0.13
MOUTH_ROOM, EYES_ROOM = (0.32, 0.45), (0.12, 0.22)  # of the width, around lips or eyes, along x and y
UPPER_LIP, LOWER_LIP, CORNERS, EYE_CORNERS = 13, 14, (78, 308), (33, 263)

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Part:
    """A part of the face. shape: what tells one look of it from another. box: its points. new: how far looks differ."""

    shape: Callable[[Points], Array]
    points: NDArray[np.intp]
    room: tuple[float, float]
    new: float


def mouth_shape(landmarks: Points) -> Array:
    """Return a mouth's opening and its width, in distances of the eyes: (2,). landmarks: (470, 3)."""
    unit = max(_apart(landmarks, *EYE_CORNERS), 1e-6)
    return np.array([_apart(landmarks, UPPER_LIP, LOWER_LIP), 0.8 * _apart(landmarks, *CORNERS)]) / unit


def eyes_shape(landmarks: Points) -> Array:
    """Return how far both eyes are open, of their width: (1,). landmarks: (470, 3)."""
    openings = [
        np.linalg.norm(landmarks[loop[UPPER]] - landmarks[loop[LOWER]], axis=1).max()
        / max(_apart(landmarks, loop[OUTER], loop[INNER]), 1e-6)
        for loop in LOOPS
    ]
    return np.array([max(openings)])  # the eye that is more open: a wink is no shut eyes


def _apart(points: Points, one: int, other: int) -> float:
    return float(np.linalg.norm(points[one] - points[other]))


PARTS = (
    Part(mouth_shape, np.array(OUTER_LIPS), MOUTH_ROOM, NEW_MOUTH),
    Part(eyes_shape, LOOPS.ravel(), EYES_ROOM, NEW_EYES),
)


@dataclass
class Candidate:
    """A piece of a frame that waits to be sent. gain: how new it is, at least 1. written: its patch, once made."""

    frame: int
    gain: float
    shape: Array
    make: Callable[[], Patch]
    written: Patch | None = None

    @property
    def patch(self) -> Patch:
        """The patch, encoded when it is first asked for."""
        if self.written is None:
            self.written = self.make()
        return self.written


@dataclass
class PatchChooser:
    """Collects candidates frame by frame. landmarks: (470, 3), of the frame that is the key picture.

    scale: px of the key picture for one of a frame, along x and y.
    """

    landmarks: Points
    scale: tuple[float, float]
    sent: int = 0
    _known: list[list[Array]] = field(default_factory=list)
    _last: list[Array] = field(default_factory=list)
    _waiting: list[Candidate | None] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._known = [[part.shape(self.landmarks)] for part in PARTS]
        self._last = [known[0] for known in self._known]
        self._waiting = [None] * len(PARTS)

    def see(self, number: int, frame: Frame, landmarks: Points, numbers: Numbers) -> None:
        """Look at the parts of a frame (H, W, 3). landmarks: (470, 3) in its px. numbers: its motion's."""
        for index, part in enumerate(PARTS):
            shape = part.shape(landmarks)
            # What moves fast is blurred.
            speed, self._last[index] = float(np.linalg.norm(shape - self._last[index])), shape
            gain = (self._novelty(index, shape) - speed) / part.new
            waiting = self._waiting[index]
            if gain >= (1.0 if waiting is None else waiting.gain):
                cut = _cut(frame, landmarks[part.points, :2], part.room)
                if cut is not None:
                    self._waiting[index] = Candidate(number, gain, shape, partial(self._patch, *cut, numbers))

    def next(self, room: float) -> Candidate | None:
        """Return the candidate that is newest, if its picture takes at most `room` bytes."""
        waiting = [one for one in self._waiting if one is not None]
        if not waiting or room <= 0 or self.sent >= MOST_PATCHES:
            return None
        best = max(waiting, key=lambda one: one.gain)
        if len(best.patch.file) > min(room, LARGEST_BYTES):
            return None
        self.sent += 1
        for index, one in enumerate(self._waiting):
            if one is best:
                self._known[index].append(best.shape)
                self._waiting[index] = None
        return best

    def _novelty(self, index: int, shape: Array) -> float:
        return min(float(np.linalg.norm(shape - known)) for known in self._known[index])

    def _patch(self, picture: Frame, box: tuple[int, int, int, int], numbers: Numbers) -> Patch:
        shrink = min(1.0, LONGEST_PX / max(picture.shape[:2]))
        if shrink < 1:
            size = max(1, round(picture.shape[1] * shrink)), max(1, round(picture.shape[0] * shrink))
            picture = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)
        # Both edges are rounded, not the size: pieces that touch in the frame touch in the key picture.
        (left, right), (top, bottom) = (
            [round(edge * scale) for edge in edges]
            for edges, scale in zip((box[::2], box[1::2]), self.scale, strict=True)
        )
        return Patch(numbers, (left, top, max(1, right - left), max(1, bottom - top)), encode_small(picture, QUALITY))


def _cut(frame: Frame, points: Points, room: tuple[float, float]) -> tuple[Frame, tuple[int, int, int, int]] | None:
    """Cut what lies around points out of a frame; returns it and its left, top, right and bottom edge."""
    low, high = points.min(0), points.max(0)
    margin = float(high[0] - low[0]) * np.array(room)
    height, width = frame.shape[:2]
    left, top = (int(v) for v in np.clip(np.floor(low - margin), 0, (width, height)))
    right, bottom = (int(v) for v in np.clip(np.ceil(high + margin), 0, (width, height)))
    if any(after - before < 4 for before, after in (*pairwise((left, right)), *pairwise((top, bottom)))):
        return None
    return frame[top:bottom, left:right].copy(), (left, top, right, bottom)

"""A film whose pictures follow an edit list: faster, slower, there and back, and morphed over its cuts."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from vid2vid_cli.arrays import Frame
from vid2vid_cli.dubbing.edit_list import Picture
from vid2vid_cli.dubbing.mouth_track import frames_from
from vid2vid_cli.errors import MediaError
from vid2vid_cli.media.video import VideoInfo
from vid2vid_cli.pipeline.engine import Engine
from vid2vid_cli.pipeline.options import PictureOptions
from vid2vid_cli.pipeline.source import Source, SourceFrame

MORPH_S = 0.32
"""How long the film before a cut turns into the film after it."""
SEEN_JUMP = 1.5  # frames: film that goes on so much further was cut
FADE_FRAMES = 3  # in which the film's own mouth gives way to another one
BACKWARD_BYTES = 96_000_000  # of frames that are read at once to be shown backwards
AHEAD = 60  # frames that are read over rather than sought
FLOW_SIDE_PX = 512  # longer side at which movement is measured


@dataclass(frozen=True)
class Planned:
    """What one output frame shows. film: the number of a frame. other: of the one that it turns into, by a share.

    mouth: how much of the film's own mouth gives way, in [0, 1].
    """

    film: int
    other: int
    share: float
    mouth: float


class FramePlan:
    """Says what each frame of the output shows. It holds pieces and no frames, so its size is that of the edit list."""

    def __init__(self, pictures: Sequence[Picture], info: VideoInfo) -> None:
        """Take pictures without gaps. info: of the film."""
        self._pictures, self._fps, self._film_frames = pictures, float(info.fps), info.frame_count
        self._start_s = info.start_s  # the clock of a film is that of its sound, which may begin before the picture
        self.count = max(1, round(pictures[-1].until_s * self._fps)) if pictures else 0

    def __iter__(self) -> Iterator[Planned]:
        place = 0
        for number in range(self.count):
            time_s = (number + 0.5) / self._fps
            while place + 1 < len(self._pictures) and time_s >= self._pictures[place].until_s:
                place += 1
            yield self._planned(place, time_s)

    def _planned(self, place: int, time_s: float) -> Planned:
        picture = self._pictures[place]
        film = self._frame(picture.film_s(time_s))
        mouth = self._mouth(place, time_s)
        for cut_s, before, after in self._cuts(place):
            share = (time_s - cut_s) / MORPH_S + 0.5
            if 0 < share < 1:
                share = share * share * (3 - 2 * share)
                numbers = [self._frame(self._pictures[each].film_s(time_s)) for each in (before, after)]
                return Planned(numbers[0], numbers[1], share, 1.0)
        return Planned(film, film, 0.0, mouth)

    def _frame(self, film_s: float) -> int:
        return min(max(0, math.floor((film_s - self._start_s) * self._fps + 1e-6)), self._film_frames - 1)

    def _mouth(self, place: int, time_s: float) -> float:
        """Return how much of the film's own mouth gives way: less near where it is left alone."""
        picture = self._pictures[place]
        if not picture.is_edited:
            return 0.0
        first, last = place, place
        while first and self._pictures[first - 1].is_edited:
            first -= 1
        while last + 1 < len(self._pictures) and self._pictures[last + 1].is_edited:
            last += 1
        near = [time_s - self._pictures[first].at_s] if first else []
        near += [self._pictures[last].until_s - time_s] if last + 1 < len(self._pictures) else []
        return min([1.0, *((each * self._fps + 0.5) / (FADE_FRAMES + 1) for each in near)])

    def _cuts(self, place: int) -> Iterator[tuple[float, int, int]]:
        """Yield the cuts at both ends of a piece: when, and the pieces before and after."""
        for before, after in ((place - 1, place), (place, place + 1)):
            if before >= 0 and after < len(self._pictures):
                one, other = self._pictures[before], self._pictures[after]
                if abs(other.start_s - one.end_s) * self._fps > SEEN_JUMP:
                    yield other.at_s, before, after


class FilmReader:
    """Gives frames of a film by their numbers. Forwards it reads on; backwards it reads some and gives them in turn."""

    def __init__(self, path: Path, info: VideoInfo) -> None:
        self._path, self._info = path, info
        self._chunk = max(2, BACKWARD_BYTES // (3 * info.width * info.height))
        self._frames: Iterator[Frame] | None = None
        self._at, self._last = -1, np.zeros((0, 0, 3), np.uint8)
        self._kept: dict[int, Frame] = {}

    def __call__(self, number: int) -> Frame:
        """Return a frame. The last one stands for those that a damaged film lacks."""
        if number == self._at:
            return self._last
        if number in self._kept:
            return self._kept[number]
        if self._frames is not None and self._at < number <= self._at + AHEAD:
            return self._forward(number)
        if 0 <= number < self._at or (self._kept and number < max(self._kept)):
            return self._backward(number)
        self._seek(number)
        return self._forward(number)

    def _seek(self, number: int) -> None:
        self._frames, self._at = frames_from(self._path, self._info, number), number - 1

    def _forward(self, number: int) -> Frame:
        self._kept = {}
        while self._at < number:
            frame = next(self._frames, None) if self._frames is not None else None
            if frame is None:
                if not self._last.size:
                    raise MediaError(f"{self._path}: frame {number} cannot be read; check the film")
                self._at = number
                break
            self._last, self._at = frame, self._at + 1
        return self._last

    def _backward(self, number: int) -> Frame:
        first = max(0, number - self._chunk + 1)
        self._seek(first)
        kept = {each: self._forward(each) for each in range(first, number + 1)}
        self._kept = kept
        self._frames = None  # what comes next is earlier still, or sought anew
        return kept[number]


class RetimedSource(Source):
    """A source video whose frames follow a plan. A frame whose mouth stays the film's own has no face that moves."""

    def __init__(
        self,
        subject: Path,
        options: PictureOptions,
        engine: Engine,
        warn: Callable[[str], None],
        plan: FramePlan,
    ) -> None:
        super().__init__(subject, options, engine, warn)
        self._plan = plan

    def frame_count(self, fps: Fraction | None = None) -> int:
        """Return how many frames there are: those of the plan."""
        return self._plan.count if self._is_planned(fps) else super().frame_count(fps)

    def frames(self, fps: Fraction | None = None, *, has_views: bool = True) -> Iterator[SourceFrame]:
        """Yield the frames of the plan at the film's own rate, and those of the film at any other."""
        return self.planned() if self._is_planned(fps) else super().frames(fps, has_views=has_views)

    def planned(self) -> Iterator[SourceFrame]:
        """Yield the frames of the plan."""
        if self.info is None:
            raise ValueError("only a video follows a plan")
        readers = FilmReader(self.path, self.info), FilmReader(self.path, self.info)
        follower = self.follower()
        for planned in self._plan:
            picture = readers[0](planned.film)
            if planned.share:
                picture = morph(picture, readers[1](planned.other), planned.share)
            if planned.mouth:
                yield follower(picture, planned.mouth)
            else:
                yield SourceFrame(self.sized(picture), [], mouth_share=0.0)

    def _is_planned(self, fps: Fraction | None) -> bool:
        return self.info is not None and fps == self.info.fps


def morph(one: Frame, other: Frame, share: float) -> Frame:
    """Return a frame between two frames (H, W, 3): both are moved towards each other and fade. share: of the other."""
    height, width = one.shape[:2]
    shrink = min(1.0, FLOW_SIDE_PX / max(height, width))
    small = [
        cv2.resize(cv2.cvtColor(each, cv2.COLOR_RGB2GRAY), None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA)
        for each in (one, other)
    ]
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    still = np.zeros((*small[0].shape, 2), np.float32)
    forth, back = (np.asarray(flow.calc(small[first], small[1 - first], still.copy()), np.float32) for first in (0, 1))
    moved = [_moved(one, back, share), _moved(other, forth, 1 - share)]
    mixed = (1 - share) * moved[0].astype(np.float32) + share * moved[1].astype(np.float32)
    return np.asarray(np.rint(mixed), np.uint8)


def _moved(frame: Frame, flow: NDArray[np.float32], share: float) -> Frame:
    """Return a frame sampled at each place moved by a share of a flow (h, w, 2)."""
    height, width = frame.shape[:2]
    scale = width / flow.shape[1]
    large = cv2.resize(cv2.GaussianBlur(flow, (0, 0), 2.0), (width, height)) * np.float32(scale * share)
    columns, rows = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    mapped = cv2.remap(
        frame, columns + large[..., 0], rows + large[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(mapped, np.uint8)

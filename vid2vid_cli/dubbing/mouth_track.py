"""Read how a person's mouth moves in parts of their own clips."""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from vid2vid_cli.errors import NoFaceError
from vid2vid_cli.face.crop import FaceCrop
from vid2vid_cli.face.mesh import FaceAnalyzer, FaceTracker, Select
from vid2vid_cli.media.video import ReadOptions, VideoInfo, probe_video, read_video
from vid2vid_cli.models.compact.model import CompactModel
from vid2vid_cli.speech.mouth import MOUTH_POINTS, SpokenMouth, opening_of, protrusion_of, width_of

Lips = NDArray[np.float32]
REST_SHARE = 0.08  # of frames, those with the least open mouth: they show it at rest
SAMPLED_FPS, SAMPLED_S = Fraction(8), 40.0
SIZE_PX = 256  # shorter side in which jumps of the head are measured
STEADY = (33, 133, 362, 263, 168, 6, 197, 195, 5, 4, 1, 9, 8)  # points of the mesh that no speech moves
HOLD_FRAMES = 3


@dataclass(frozen=True)
class Look:
    """What one frame shows. lips: (178, 3), on the canonical head, as they are. steady_px: (13, 2), in frame px.

    inside: of the mouth, as compact shows it of a driving.
    """

    lips: Lips
    steady_px: NDArray[np.float64]
    inside: object


class MouthTrack:
    """The mouth of a person in those parts of a clip that were read."""

    def __init__(self, info: VideoInfo, looks: dict[int, Look], elsewhere: Sequence[Look], rest: Lips) -> None:
        """looks: by the number of the frame. elsewhere: of more frames. rest: (178, 3), the mouth shut and at rest."""
        self._elsewhere = elsewhere
        self._fps, self._start_s, self._looks, self._rest = float(info.fps), info.start_s, looks, rest
        self._numbers = sorted(looks)
        self._scale = SIZE_PX / min(info.width, info.height)

    def lips(self, time_s: float) -> Lips | None:
        """Return displacements (178, 3) from rest at a time in seconds of the clip; None far from what was read."""
        place = self._place(time_s)  # a frame shows the middle of its time
        index = bisect.bisect_left(self._numbers, place)
        around = self._numbers[max(0, index - 1) : index + 1]
        near = [number for number in around if abs(number - place) <= HOLD_FRAMES]
        if not near:
            return None
        low, high = near[0], near[-1]
        share = 0.0 if high == low else float(np.clip((place - low) / (high - low), 0, 1))
        lips = (1 - share) * self._looks[low].lips + share * self._looks[high].lips
        return np.asarray(lips - self._rest, np.float32)

    def jump_px(self, one_s: float, other_s: float) -> float:
        """Return how far the head jumps between two times, in px where the shorter side has 256."""
        found = [self._looks.get(round(self._place(time_s))) for time_s in (one_s, other_s)]
        if found[0] is None or found[1] is None:
            return float("inf")
        moved = np.linalg.norm(found[0].steady_px - found[1].steady_px, axis=1)
        return float(moved.mean() * self._scale)

    def _place(self, time_s: float) -> float:
        return (time_s - self._start_s) * self._fps - 0.5

    def insides(self) -> list[tuple[Lips, object]]:
        """Return displacements (178, 3) from rest, and the inside of the mouth, of all frames that were seen."""
        return [(look.lips - self._rest, look.inside) for look in (*self._looks.values(), *self._elsewhere)]

    def openings(self) -> NDArray[np.float32]:
        """Return the openings of all frames that were read."""
        lips = np.stack([look.lips - self._rest for look in self._looks.values()])
        return np.asarray(opening_of(torch.from_numpy(lips)).numpy())


class MouthTracker:
    """Reads mouths by the mesh of faces. which: face of a clip."""

    def __init__(self, model: CompactModel, analyzer: FaceAnalyzer, which: Select) -> None:
        self._model, self._analyzer, self._which = model, analyzer, which

    def track(self, path: Path, parts: Sequence[tuple[float, float]], *, sample: bool = True) -> MouthTrack:
        """Read parts of a clip, from and to in seconds. sample: look elsewhere as well, to see how the mouth rests.

        NoFaceError if no face is seen.
        """
        info = probe_video(path)
        looks: dict[int, Look] = {}
        shifted = [(start_s - info.start_s, end_s - info.start_s) for start_s, end_s in parts]
        for start_s, end_s in merged(shifted, 0.0, info.frame_count / float(info.fps)):
            first = int(start_s * float(info.fps))
            count = int(np.ceil(end_s * float(info.fps))) - first
            looks.update(self._look(frames_from(path, info, first), first, count))
        elsewhere: list[Look] = []
        if sample:
            end_s = info.start_s + SAMPLED_S
            reading = ReadOptions(end_s=end_s, fps=SAMPLED_FPS, warn=_ignore)
            elsewhere = [look for _, look in self._look(read_video(path, reading, info), 0, None)]
        lips = [look.lips for look in (*looks.values(), *elsewhere)]
        if not lips:
            raise NoFaceError(f"{path}: no face found where words are said; name a film in which the speaker is seen")
        return MouthTrack(info, looks, elsewhere, rest_of(np.stack(lips)))

    def _look(self, frames: Iterable[NDArray[np.uint8]], first: int, count: int | None) -> Iterator[tuple[int, Look]]:
        tracker = FaceTracker(self._analyzer, self._which)
        for number, frame in enumerate(islice(frames, count), first):
            face = tracker.update(frame)
            if face is None:
                continue
            landmarks = torch.from_numpy(face.landmarks_px).float()[None]
            whole = FaceCrop(np.eye(2, 3), (frame.shape[0], frame.shape[1]))
            motion = self._model.motion(None, landmarks, whole.size)
            lips = motion.expression[0, list(MOUTH_POINTS)].numpy()
            steady_px = face.landmarks_px[list(STEADY), :2].astype(np.float64)
            yield number, Look(lips, steady_px, self._model.look(frame, whole, motion))


def rest_of(lips: Lips) -> Lips:
    """Return the resting mouth (178, 3) among many (N, 178, 3)."""
    gaps = opening_of(torch.from_numpy(lips)).numpy()
    return np.asarray(lips[gaps <= np.quantile(gaps, REST_SHARE)].mean(0), np.float32)


def frames_from(path: Path, info: VideoInfo, first: int) -> Iterator[NDArray[np.uint8]]:
    """Yield the frames of a clip from a number on."""
    start_s = info.start_s + first / float(info.fps) if first else None
    return read_video(path, ReadOptions(start_s=start_s, warn=_ignore), info)


def merged(parts: Iterable[tuple[float, float]], low_s: float, high_s: float) -> list[tuple[float, float]]:
    """Return parts within limits, in order, those that touch as one."""
    made: list[tuple[float, float]] = []
    for start_s, end_s in sorted((max(low_s, start), min(high_s, end)) for start, end in parts):
        if end_s <= start_s:
            continue
        if made and start_s <= made[-1][1]:
            made[-1] = made[-1][0], max(made[-1][1], end_s)
        else:
            made.append((start_s, end_s))
    return made


def spoken_mouth(time_s: float, lips: Lips, look: object | None = None) -> SpokenMouth:
    """Return the mouth of displacements (178, 3) from rest. look: see `SpokenMouth`."""
    moved = torch.from_numpy(np.ascontiguousarray(lips, np.float32))
    measures = [float(measure(moved)) for measure in (opening_of, width_of, protrusion_of)]
    opening, width, protrusion = measures
    return SpokenMouth(time_s, lips, max(0.0, opening), width, protrusion, 0.0, 0.0, 0.0, is_speech=True, look=look)


def _ignore(text: str) -> None:
    """A damaged clip is reported where it is played."""

"""Keep the best picture of each look that a person has, while hours of footage go by."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from vid2vid_cli.arrays import Frame, Points
from vid2vid_cli.face.crop import Room, crop_around, crop_frame
from vid2vid_cli.face.paste import resize_frame
from vid2vid_cli.media.jpeg import encode_jpeg
from vid2vid_cli.models.compact.source import SOURCE_CROP
from vid2vid_cli.person_file import Facts, FramePlace, StoredView
from vid2vid_cli.pipeline.output import fit_size
from vid2vid_cli.pipeline.person.measuring import FaceReading

# How far two views differ that add something to each other: one unit of looks.
_TURN = math.radians(12)
UNITS = {
    "yaw": _TURN,
    "pitch": _TURN,
    "mouth_height": 0.1,
    "mouth_width": 0.1,
    "smile": 0.05,
    "right_lid": 0.1,
    "left_lid": 0.1,
    "light_from_right": 0.5,
    "light_from_above": 0.5,
    "brightness": 0.2,
}
MOST_CANDIDATES, KEPT_CANDIDATES = 240, 120
VIEW_PX, MAIN_PX = 768, 1600  # longest sides of pictures that are kept
QUALITY = 92  # of their JPEGs; the file's own may be lower
# A head that faces the camera, at rest, as far as one picture tells.
MAIN_YAW, MAIN_PITCH, MAIN_ROLL, MAIN_MOUTH, MAIN_LID = math.radians(12), math.radians(14), math.radians(20), 0.05, 0.26
MAIN_SIZE_PX = 400.0  # of a face: larger ones are no better
SHARP_PX = 120.0  # of a face: smaller ones are worse

Looks = NDArray[np.float64]


@dataclass(frozen=True)
class Candidate:
    """A picture of a person. reading: of the frame that it was cut from. stored: what will be kept of it."""

    stored: StoredView
    reading: FaceReading

    @property
    def facts(self) -> Facts:
        """What was measured."""
        return self.stored.facts

    @property
    def quality(self) -> float:
        """How good a picture it is of what it shows, larger is better."""
        return quality(self.facts)


@dataclass
class Candidates:
    """The best pictures of one person. found: by their look, rounded. main: the one that stands for the person."""

    found: dict[tuple[int, ...], Candidate] = field(default_factory=dict)
    main: Candidate | None = None
    keeps_main: bool = True

    def offer(self, frame: Frame, reading: FaceReading) -> None:
        """Keep a frame (H, W, 3) if it is the best of its look, or the best of all to stand for the person."""
        cell = tuple(np.round(looks([reading.facts])[0]).astype(int).tolist())
        if cell not in self.found or quality(reading.facts) > self.found[cell].quality:
            self._keep(cell, Candidate(cut_view(frame, reading), reading))
        is_better = self.main is None or main_score(reading.facts) > main_score(self.main.facts)
        if self.keeps_main and is_better:
            self.main = Candidate(whole_view(frame, reading), reading)

    def merge(self, others: Candidates) -> None:
        """Take what others have found of the same person."""
        for cell, candidate in others.found.items():
            if cell not in self.found or candidate.quality > self.found[cell].quality:
                self._keep(cell, candidate)
        main = others.main
        if main is not None and (self.main is None or main_score(main.facts) > main_score(self.main.facts)):
            self.main = main

    def _keep(self, cell: tuple[int, ...], candidate: Candidate) -> None:
        self.found[cell] = candidate
        if len(self.found) > MOST_CANDIDATES:
            cells = list(self.found)
            kept = spread_out([self.found[each] for each in cells], KEPT_CANDIDATES)
            self.found = {cells[number]: self.found[cells[number]] for number in sorted(kept)}


def looks(facts: Sequence[Facts]) -> Looks:
    """Return what faces look like, (N, L): at a distance of 1, a view adds something to another."""
    return np.array([[getattr(each, name) / unit for name, unit in UNITS.items()] for each in facts])


def quality(facts: Facts) -> float:
    """Return how good a picture shows a face: sharp, large and not hidden."""
    return facts.sharpness * facts.score * min(1.0, facts.size_px / SHARP_PX)


def main_score(facts: Facts) -> float:
    """Return how well a picture would stand for a person: frontal, at rest, sharp, large; larger is better."""
    away = (facts.yaw / MAIN_YAW) ** 2 + (facts.pitch / MAIN_PITCH) ** 2 + (facts.roll / MAIN_ROLL) ** 2
    away += (facts.mouth_height / MAIN_MOUTH) ** 2
    away += (max(0.0, MAIN_LID - min(facts.right_lid, facts.left_lid)) / 0.05) ** 2
    size = math.log(max(1.0, min(facts.size_px, MAIN_SIZE_PX)))
    return size + math.log(max(1e-3, facts.sharpness)) - away


def spread_out(
    candidates: Sequence[Candidate], count: int, first: Sequence[Facts] = (), least: float = 0.0
) -> list[int]:
    """Choose the candidates that add most to those before them, one after the other: their numbers, best first.

    first: views that are there already. least: how much a view has to add, in units of looks times its share of the
    best quality; the choice ends before `count` where nothing adds so much.
    """
    if not candidates:
        return []
    places = looks([each.facts for each in candidates])
    qualities = np.array([each.quality for each in candidates])
    worth = np.sqrt(qualities / max(float(qualities.max()), 1e-9))
    near = np.full(len(candidates), 8.0)  # a first view adds as much as the most unlike one could
    for place in looks(first) if first else ():
        near = np.minimum(near, np.linalg.norm(places - place, axis=1))
    chosen: list[int] = []
    for _ in range(min(count, len(candidates))):
        gains = near * worth
        best = int(np.argmax(gains))  # the first of equals
        if gains[best] <= least:
            break
        chosen.append(best)
        near = np.minimum(near, np.linalg.norm(places - places[best], axis=1))
    return chosen


def cut_view(frame: Frame, reading: FaceReading) -> StoredView:
    """Cut the head and what is around it out of a frame (H, W, 3)."""
    crop = crop_around(reading.face, SOURCE_CROP, Room.of_frame(frame.shape))
    points = crop.to_crop(reading.face.landmarks_px).astype(np.float32)
    left, top = crop.affine[:, 2].tolist()
    place = FramePlace(left, top, float(crop.affine[0, 0]), *frame.shape[:2])
    return _stored(crop_frame(frame, crop), points, reading, place, VIEW_PX)


def whole_view(frame: Frame, reading: FaceReading) -> StoredView:
    """Keep a whole frame (H, W, 3)."""
    return _stored(frame, reading.face.landmarks_px, reading, FramePlace(0, 0, 1, *frame.shape[:2]), MAIN_PX)


def _stored(picture: Frame, points: Points, reading: FaceReading, place: FramePlace, longest_px: int) -> StoredView:
    longer = max(picture.shape[:2])
    scale = 1.0
    if longer > longest_px:
        picture = resize_frame(picture, fit_size(picture.shape, longest_px))
        scale = max(picture.shape[:2]) / longer
    landmarks = np.asarray(points * np.float32(scale), np.float32)
    place = replace(place, step=place.step / scale)
    return StoredView(encode_jpeg(picture, QUALITY), landmarks, reading.facts, place)

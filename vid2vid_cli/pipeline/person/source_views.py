"""What else is known of a source's person: other pictures that were given, a person file's views, a clip's frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

from vid2vid_cli.arrays import Frame
from vid2vid_cli.errors import PersonFileError
from vid2vid_cli.face.crop import CropSpec, FaceCrop, Room, crop_around, crop_frame
from vid2vid_cli.face.frames import image_of
from vid2vid_cli.face.mesh import Face, face_from_landmarks
from vid2vid_cli.geometry.affine import Matrix, invert_affine
from vid2vid_cli.media.image import is_see_through
from vid2vid_cli.media.jpeg import decode_jpeg
from vid2vid_cli.media.probe import VideoInfo
from vid2vid_cli.models.base import SourceAppearance, UsesViews, View
from vid2vid_cli.models.compact.likeness import load_likeness
from vid2vid_cli.person_file import FramePlace, StoredView, load_person
from vid2vid_cli.person_mark import is_person_file
from vid2vid_cli.pipeline.engine import Engine
from vid2vid_cli.pipeline.options import LimitOptions
from vid2vid_cli.pipeline.person.candidates import spread_out
from vid2vid_cli.pipeline.person.gathering import Gathering, Request
from vid2vid_cli.pipeline.person.same_person import Portrait
from vid2vid_cli.pipeline.person.storing import LEAST_GAIN
from vid2vid_cli.pipeline.progress import Hooks

Warn = Callable[[str], None]
MOST_VIEWS = 30
OWN_FRAMES = 14  # of a source video that are looked at
LEAST_S, MOST_S, DECODED_PX = 2.0, 20.0, 120e6  # in how many of its first seconds: a large one is decoded slowly


class SourceViews:
    """Finds further views of the one face of a source that moves, when it is first seen."""

    def __init__(
        self, paths: Sequence[Path], info: VideoInfo | None, engine: Engine, limits: LimitOptions, warn: Warn
    ) -> None:
        """paths: the source, and what else shows its person. info: of a source that is a video."""
        self._paths, self._info, self._engine = paths, info, engine
        self._max_pixels, self._warn = limits.max_pixels, warn
        self._found: tuple[View, ...] | None = None
        self._first: SourceAppearance | None = None  # of a video's frames, with what was found
        self._asks = self._has_more()

    def _has_more(self) -> bool:
        """Say whether there may be further views that the model would use."""
        can_use = isinstance(self._engine.loaded.model, UsesViews)
        if len(self._paths) > 1 and not can_use:
            self._warn(
                f"{self._engine.loaded.family.name} knows a person by one picture: {self._paths[0]}; "
                f"{len(self._paths) - 1} more are not used"
            )
        is_more = self._info is not None or len(self._paths) > 1 or any(map(is_person_file, self._paths[:1]))
        return can_use and is_more

    def seen_by(self, appearance: SourceAppearance, frame: Frame, face: Face, crop: FaceCrop) -> SourceAppearance:
        """Return a source that also has what other views show. frame (H, W, 3), face, crop: what it was made of."""
        model = self._engine.loaded.model
        if not self._asks or not isinstance(model, UsesViews):
            return appearance
        if self._found is None:
            self._found = self._find(frame, face, crop)
        seen = model.with_views(appearance, self._found, self._first) if self._found else appearance
        if self._info is not None and self._first is None:
            self._first = seen
        return seen

    @torch.inference_mode()
    def _find(self, frame: Frame, face: Face, crop: FaceCrop) -> tuple[View, ...]:
        """Gather the views. frame, face, crop: who is meant."""
        stored = own_views(self._paths[0]) if self._info is None and is_person_file(self._paths[0]) else []
        stored += self._gather(frame, face)
        spec, device = self._engine.loaded.model.source_crop, self._engine.device
        source = self._place(frame, crop)
        return tuple(view_of(each, spec, device, source) for each in stored[:MOST_VIEWS])

    def _place(self, frame: Frame, crop: FaceCrop) -> SourcePlace | None:
        """Say where the source is in its frame (H, W, 3); None for a video, each frame of which has its own."""
        if self._info is not None:
            return None
        if is_person_file(self._paths[0]):
            person = load_person(self._paths[0])
            place = person.views[person.main].place  # of the whole frame, which may be shown in another size
            return None if place is None else SourcePlace(replace(place, step=place.height / frame.shape[0]), crop)
        if is_see_through(self._paths[0]):  # its ground is another one, which the views do not show
            return None
        return SourcePlace(FramePlace(0, 0, 1, *frame.shape[:2]), crop)

    def _gather(self, frame: Frame, face: Face) -> list[StoredView]:
        """Read what is not in a person file already."""
        others = [*([self._paths[0]] if self._info is not None else []), *self._paths[1:]]
        if not others:
            return []
        gathering = Gathering(self._engine.analyzer, keeps_main=False)
        reading = gathering.reader.read(frame, face)
        place = load_likeness()(reading.descriptor)
        gathering.portrait = Portrait(np.array(place))
        stored = []
        for path in others:
            if is_person_file(path):
                stored += own_views(path)
                continue
            is_own = self._info is not None and path is self._paths[0]
            gathering.request = self._request(is_own=is_own)
            gathering.hooks = Hooks() if is_own else Hooks(warn=self._warn)
            gathering.add(path)
        if gathering.person is not None:
            found = list(gathering.person.candidates.found.values())
            chosen = spread_out(found, MOST_VIEWS - len(stored), [reading.facts], LEAST_GAIN)
            stored += [found[number].stored for number in chosen]
        return stored

    def _request(self, *, is_own: bool) -> Request:
        """Say how a clip is gone through: the source's own only so far that the start does not wait for it."""
        if self._info is None or not is_own:
            return Request(max_pixels=self._max_pixels)
        rate_px = self._info.height * self._info.width * float(self._info.fps)
        seconds = min(max(LEAST_S, min(MOST_S, DECODED_PX / rate_px)), max(self._info.duration_s, 0.1))
        fps = min(Fraction(8), Fraction(OWN_FRAMES) / Fraction(seconds).limit_denominator(1000))
        return Request(fps=fps, end_s=self._info.start_s + seconds, max_pixels=self._max_pixels)


def own_views(path: Path) -> list[StoredView]:
    """Return the views of a person file but for the main one, which is the source itself."""
    person = load_person(path)
    return [view for number, view in enumerate(person.views) if number != person.main]


@dataclass(frozen=True)
class SourcePlace:
    """Where a source's crop lies. place: of its picture in its frame. crop: in the picture."""

    place: FramePlace
    crop: FaceCrop

    @classmethod
    def of(cls, stored: StoredView, crop: FaceCrop) -> SourcePlace | None:
        """Return the place of a kept view; None where it is not known."""
        return None if stored.place is None else cls(stored.place, crop)

    def lay(self, place: FramePlace | None, crop: FaceCrop) -> Matrix | None:
        """Return the map from another picture's crop to this one; None where their frames differ in size."""
        own = self.place
        if place is None or (place.height, place.width) != (own.height, own.width):
            return None
        back = invert_affine(_joined(own.affine, self.crop.affine))
        return _joined(back, _joined(place.affine, crop.affine))


def _joined(outer: Matrix, inner: Matrix) -> Matrix:
    """Return the map that applies one after the other."""
    linear = outer[:, :2] @ inner[:, :2]
    return np.concatenate([linear, (outer[:, :2] @ inner[:, 2] + outer[:, 2])[:, None]], 1)


def view_of(stored: StoredView, spec: CropSpec, device: torch.device, source: SourcePlace | None = None) -> View:
    """Cut a kept view as a family wants it. source: where the source was. PersonFileError for a damaged picture."""
    try:
        picture = decode_jpeg(stored.picture)
    except ValueError as error:
        raise PersonFileError(f"damaged person file ({error}); make it again with vid2vid personalize") from error
    face = face_from_landmarks(stored.landmarks_px, stored.facts.score)
    crop = crop_around(face, spec, Room.of_frame(picture.shape))
    landmarks = torch.from_numpy(crop.to_crop(face.landmarks_px)).float()[None]
    place = None if source is None else source.lay(stored.place, crop)
    return View(image_of(crop_frame(picture, crop), device), landmarks, stored.facts.sharpness, place=place)

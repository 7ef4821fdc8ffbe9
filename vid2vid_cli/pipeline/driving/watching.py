"""Watch pictures: find the face in each, and read its motion."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from vid2vid_cli.arrays import Frame
from vid2vid_cli.errors import UsageError
from vid2vid_cli.face.crop import FaceCrop
from vid2vid_cli.face.mesh import Face, FaceTracker
from vid2vid_cli.motion import Motion
from vid2vid_cli.pipeline.driving.base import DrivenFrame
from vid2vid_cli.pipeline.driving.motion_reader import FrameReading, MotionReader, ReaderSetup, look_at

FindFace = Callable[[Frame], Face | None]


class FaceWatcher:
    """Reads one face's motion off the pictures of a driving, however often they are gone through.

    The first face that any pass finds fixes the crop of all passes. A reference and the frames that are compared with
    it are therefore read in the same crop.
    """

    def __init__(self, setup: ReaderSetup) -> None:
        self.setup = setup
        self._reader: MotionReader | None = None

    def watch(self, pictures: Iterable[Frame], find_face: FindFace | None = None) -> Iterator[DrivenFrame]:
        """Yield each picture with its whole motion; one without a face holds the last motion.

        find_face: finds the face in a picture; default: a tracker, which starts anew with each call.
        """
        last: Motion | None = None  # stays None until the first face: nothing is made up
        look: object | None = None
        for picture, reading in self.readings(pictures, find_face):
            landmarks_px = None
            if reading is not None:
                last, landmarks_px = reading.complete(), reading.landmarks_px
                look = self.look(picture, last)
            yield DrivenFrame(last, reading is not None, picture, look=look, landmarks_px=landmarks_px)

    def leave_face(self) -> None:
        """Compare what lies around the face from now on, and no longer the face itself."""
        if self._reader is not None:
            self._reader.follows_face = False

    @property
    def crop(self) -> FaceCrop | None:
        """The crop in which frames are read; None before the first face."""
        return None if self._reader is None else self._reader.crop

    def look(self, picture: Frame, motion: Motion) -> object | None:
        """Return what the model shows of a picture whose motion was read here."""
        return None if self.crop is None else look_at(self.setup, picture, self.crop, motion)

    def readings(
        self, pictures: Iterable[Frame], find_face: FindFace | None = None
    ) -> Iterator[tuple[Frame, FrameReading | None]]:
        """Yield each picture and what it tells by itself, None where it shows no face."""
        find_face = find_face or FaceTracker(self.setup.analyzer, self.setup.select).update
        for picture in pictures:
            face = find_face(picture)
            # The picture that fixes the crop is read in it as well, so that it can serve as its own reference.
            yield picture, None if face is None else self._reader_for(picture, face).glance(picture, face)

    def _reader_for(self, picture: Frame, face: Face) -> MotionReader:
        if self._reader is None:
            self._reader = MotionReader(self.setup, picture, face)
        return self._reader

    def no_such_face(self, path: Path) -> UsageError | None:
        """Return the error for a face chosen by a number that is too high; None if no number but 0 was given."""
        select = self.setup.select
        if isinstance(select, int) and select > 0:
            return UsageError(f"--driving-face {select}: {path} never shows that many; see vid2vid faces")
        return None

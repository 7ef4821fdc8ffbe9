"""A picture as driving."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import ClassVar

from vid2vid_cli.arrays import Frame
from vid2vid_cli.errors import Vid2VidError
from vid2vid_cli.face.mesh import Face, select_face
from vid2vid_cli.media.image import read_image
from vid2vid_cli.media.suffixes import PICTURE_SUFFIXES
from vid2vid_cli.media.video import ReadOptions, sniff
from vid2vid_cli.models.base import ReenactmentModel
from vid2vid_cli.motion import Motion
from vid2vid_cli.pipeline.driving.base import DrivenFrame, FileDriving, Reference
from vid2vid_cli.pipeline.driving.motion_reader import ReaderSetup
from vid2vid_cli.pipeline.driving.reference import (
    Candidate,
    auto_reference,
    no_key_picture,
    reference_of_frame,
)
from vid2vid_cli.pipeline.driving.watching import FaceWatcher

STILL_FPS = Fraction(25)  # of an output that is a clip all the same, unless --fps names another rate


@dataclass(kw_only=True, eq=False)
class StillDriving(FileDriving):
    """One picture, decoded when it is opened. An animated picture is a video, see media.probe.sniff."""

    suffixes: ClassVar = PICTURE_SUFFIXES

    picture: Frame
    watcher: FaceWatcher

    @classmethod
    def detect(cls, path: Path) -> bool:
        """Say whether a file is a picture that does not move. MediaError if it is a damaged one."""
        return sniff(path) == "still"

    @classmethod
    def open(cls, path: Path, reading: ReadOptions, setup: ReaderSetup) -> StillDriving:
        """Decode the picture. MediaError if it is damaged or too large."""
        if reading.start_s is not None or reading.end_s is not None:
            reading.warn(f"{path}: is a picture, in which --start and --end choose nothing; a source is used whole")
        # Kept from here on: to decode a large picture again would take longer than to read its motion.
        picture = read_image(path, max_pixels=setup.max_pixels)
        height, width = picture.shape[:2]
        return cls(
            path=path,
            fps=reading.fps or STILL_FPS,
            count=1,
            is_still=True,
            picture_size=(height, width),
            picture=picture,
            watcher=FaceWatcher(setup),
        )

    def frames(self) -> Iterator[DrivenFrame]:
        """Yield the picture and its motion."""
        return self.watcher.watch([self.picture], self._find_face)

    def find_reference(self, model: ReenactmentModel, own: Motion, frame: str) -> Reference:
        """Return the picture, for `auto` as well as for frame 0."""
        if frame == "picture":
            raise no_key_picture(self.path)
        if frame != "auto":
            return reference_of_frame(self.frames(), frame, self.count, self.path)
        readings = self.watcher.readings([self.picture], self._find_face)
        found = [Candidate(0, reading) for _, reading in readings if reading is not None]
        if not found:
            raise self.no_face()
        return auto_reference(model, found, own)

    def _find_face(self, picture: Frame) -> Face | None:
        # There is no next frame in which a small or turned face could be found after all: look thoroughly.
        setup = self.watcher.setup
        return select_face(setup.analyzer.faces(picture, thorough=True), setup.select, picture)

    def no_face(self) -> Vid2VidError:
        """Return the error for a picture without a face, or without the chosen one."""
        return self.watcher.no_such_face(self.path) or super().no_face()

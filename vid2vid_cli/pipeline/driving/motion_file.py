"""A motion file as driving."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from vid2vid_cli.errors import MotionFileError, UsageError
from vid2vid_cli.media.video import ReadOptions
from vid2vid_cli.models.base import ReenactmentModel
from vid2vid_cli.models.following import Follows
from vid2vid_cli.motion import Motion
from vid2vid_cli.motion_file import MotionFile, is_motion_file, load_motion
from vid2vid_cli.pipeline.driving.base import DrivenFrame, FileDriving, Reference
from vid2vid_cli.pipeline.driving.motion_reader import ReaderSetup
from vid2vid_cli.pipeline.driving.reference import (
    auto_reference,
    frames_in_time,
    no_key_picture,
    reference_of_frame,
    sampled_candidates,
)


@dataclass(kw_only=True, eq=False)
class MotionFileDriving(FileDriving):
    """Motion that `vid2vid motion` saved. recorded: the frames that are played."""

    suffixes: ClassVar = frozenset({".safetensors"})

    recorded: MotionFile

    @classmethod
    def detect(cls, path: Path) -> bool:
        """Say whether a file is in safetensors format, however damaged."""
        return is_motion_file(path)

    @classmethod
    def open(cls, path: Path, reading: ReadOptions, setup: ReaderSetup) -> MotionFileDriving:
        """Open a motion file. MotionFileError if it is damaged or was made for another family."""
        recorded = load_motion(path)
        _check_fit(path, recorded, setup.model)
        index = frames_in_time(len(recorded.motion), recorded.fps, reading)
        if not len(index):
            raise UsageError(f"{path}: no frame between --start and --end")
        motion = Motion(*(tensor[index] for tensor in recorded.motion.tensors()))
        # The file always holds what moves beside the head, if the family knows it.
        if not setup.follows and isinstance(setup.model, Follows):
            motion = replace(motion, extra=None)
        fps = reading.fps or recorded.fps
        played = MotionFile(motion, recorded.found[index], fps, recorded.family)
        # A file with one frame was made from a picture. --start and --end do not make a still out of a clip.
        is_still = len(recorded.motion) == 1
        return cls(path=path, fps=fps, count=len(motion), is_still=is_still, recorded=played)

    def frames(self) -> Iterator[DrivenFrame]:
        """Yield the recorded motions in order."""
        for index in range(self.count):
            yield DrivenFrame(self.recorded.motion[index], bool(self.recorded.found[index]), None)

    def find_reference(self, model: ReenactmentModel, own: Motion, frame: str) -> Reference:
        """Return a frame by its number, or for `auto` the rest in the first seconds."""
        if frame == "picture":
            raise no_key_picture(self.path)
        if frame != "auto":
            return reference_of_frame(self.frames(), frame, self.count, self.path)
        candidates = sampled_candidates(self.frames(), self.fps)
        if not candidates:
            raise self.no_face()
        return auto_reference(model, candidates, own)


def _check_fit(path: Path, recorded: MotionFile, model: ReenactmentModel) -> None:
    """Raise MotionFileError unless a recording was made for this model."""
    if recorded.family != model.name:
        raise MotionFileError(
            f"{path}: motion of the {recorded.family} family does not fit -c {model.name}; "
            f"make it again with vid2vid motion -c {model.name}"
        )
    keypoints = recorded.motion.expression.shape[1]  # (N, K, 3)
    if keypoints != len(model.expression_mask("all")):
        raise MotionFileError(f"{path}: damaged motion file ({keypoints} keypoints); make it again")

"""A take of Live Link Face as driving: what a phone has recorded of a face."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from vid2vid_cli.errors import UsageError
from vid2vid_cli.face.expressions import NAMES
from vid2vid_cli.face.live_link import Take, is_take, read_take
from vid2vid_cli.geometry.rotation import pose_from_rotation, rotation_from_pose
from vid2vid_cli.media.video import ReadOptions
from vid2vid_cli.models.base import KnowsRest, ReenactmentModel
from vid2vid_cli.models.named_expressions import NamesExpressions
from vid2vid_cli.motion import Motion
from vid2vid_cli.motion_file import MotionFile
from vid2vid_cli.pipeline.driving.motion_file import MotionFileDriving
from vid2vid_cli.pipeline.driving.motion_reader import ReaderSetup
from vid2vid_cli.pipeline.driving.reference import REFERENCE_CANDIDATES, frames_in_time, reference_step
from vid2vid_cli.pipeline.expression import require_names


@dataclass(kw_only=True, eq=False)
class LiveLinkDriving(MotionFileDriving):
    """A take, turned into the motion of a mean face when it is opened."""

    suffixes: ClassVar = frozenset({".csv"})
    suffixes_are_shared: ClassVar = True

    @classmethod
    def detect(cls, path: Path) -> bool:
        """Say whether a file begins as a take does."""
        return is_take(path)

    @classmethod
    def open(cls, path: Path, reading: ReadOptions, setup: ReaderSetup) -> LiveLinkDriving:
        """Open a take. MotionFileError if it is damaged, UsageError if the model does not know its expressions."""
        model = require_names(setup.model, str(path))
        take = read_take(path)
        index = frames_in_time(len(take.weights), take.fps, reading)
        if not len(index):
            raise UsageError(f"{path}: no frame between --start and --end")
        recorded = motion_of_take(model, take, index)
        fps = reading.fps or take.fps
        played = MotionFile(recorded.motion, recorded.found, fps, setup.model.name)
        return cls(path=path, fps=fps, count=len(index), is_still=len(take.weights) == 1, recorded=played)


def motion_of_take(model: NamesExpressions, take: Take, index: Tensor) -> MotionFile:
    """Return the motion of some frames (N,) of a take."""
    order = [NAMES.index(name) for name in model.expression_names]
    weights = torch.from_numpy(take.weights[:, order]).float()[index]
    rotation = rotation_from_pose(*torch.from_numpy(take.pose).float()[index].unbind(1))
    return MotionFile(model.motion_of(weights, rotation), torch.from_numpy(take.found)[index], take.fps, "")


def take_of_motion(model: ReenactmentModel, content: MotionFile) -> Take:
    """Return a motion as a take: each frame's expression away from the person's face at rest."""
    named = require_names(model, "a take of Live Link Face")
    motion = content.motion
    # As a reference is found: the frames in the seconds after the first face.
    index = content.found.nonzero()[:, 0][:: reference_step(content.fps)][:REFERENCE_CANDIDATES]
    shown = Motion(*(tensor[index] for tensor in motion.tensors()))
    rest = model.rest(shown).motion if isinstance(model, KnowsRest) else shown[0]
    weights = named.weights_of(motion, rest).double().numpy()
    order = [named.expression_names.index(name) for name in NAMES]
    pose = torch.stack(pose_from_rotation(motion.rotation), 1).double().numpy()
    return Take(weights[:, order], pose, np.asarray(content.found.numpy(), bool), content.fps)

"""Who shows a face's movement: the checkpoint, the same without its networks, and a picture that stays still."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch

from vid2vid_cli.face.crop import Frame, crop_around, crop_frame
from vid2vid_cli.face.mesh import Face
from vid2vid_cli.face.paste import paste_face, to_frame
from vid2vid_cli.models.base import ReenactmentModel
from vid2vid_cli.models.checkpoint import read_checkpoint
from vid2vid_cli.models.registry import LoadedModel
from vid2vid_cli.motion import Motion, PoseOverride
from vid2vid_cli.pipeline.driving import Look
from vid2vid_cli.pipeline.engine import Engine
from vid2vid_cli.pipeline.source import image_of, private_room, whole_head

LEARNED_PREFIXES = ("flow_net.", "painter.", "generator.")


@dataclass(frozen=True)
class FirstFrame:
    """The frame that is moved, and the face in it. everybody: all faces, that one among them."""

    frame: Frame
    face: Face
    everybody: list[Face]


class Performer(Protocol):
    """Shows the face of a first frame as another frame has it."""

    def follow(self, frame: Frame, face: Face) -> Frame:
        """Return the first frame (H, W, 3) with its face moved as one in another frame of the same clip."""
        ...


class StillPerformer:
    """The baseline that copies the first frame."""

    def __init__(self, first: FirstFrame) -> None:
        self._frame = first.frame

    def follow(self, frame: Frame, face: Face) -> Frame:
        """Return the first frame as it is."""
        return self._frame


class ModelPerformer:
    """A model, in its own way from crop to pasted frame, relative to a reference motion."""

    def __init__(self, model: ReenactmentModel, engine: Engine, first: FirstFrame) -> None:
        height, width = first.frame.shape[:2]
        self._look = Look(model, engine.analyzer, "largest", engine.device)
        self._frame = first.frame
        box = (0.0, 0.0, float(width), float(height))
        room = private_room(first.face, first.everybody, (height, width)) if first.everybody else box
        self._crop = crop_around(first.face, model.source_crop, room)
        self._driving_crop = whole_head(model.driving_crop, first.face, first.frame)
        image = image_of(crop_frame(first.frame, self._crop), engine.device)
        landmarks = torch.from_numpy(self._crop.to_crop(first.face.landmarks_px)).float()[None]
        with torch.inference_mode():
            self.appearance = model.appearance(image, landmarks)
            self._reference = self._look.motion(first.frame, first.face, self._driving_crop)

    def follow(self, frame: Frame, face: Face) -> Frame:
        """Read the motion of the face in a frame and show it."""
        with torch.inference_mode():
            motion = self._look.motion(frame, face, self._driving_crop)
        return self.show(motion, self._reference)

    def show(self, motion: Motion, reference: Motion | None, pose: PoseOverride | None = None) -> Frame:
        """Render a motion of one frame and paste it back."""
        model = self._look.model
        with torch.inference_mode():
            image = model.render(self.appearance, model.drive(self.appearance, motion, reference, pose))
        return paste_face(self._frame, to_frame(image[0].permute(1, 2, 0).cpu().numpy()), self._crop)


def without_networks(loaded: LoadedModel) -> ReenactmentModel | None:
    """Build the same checkpoint with its learned parts left out: the warp alone.

    The model itself when it has none; None for a family that cannot do without.
    """
    if loaded.family.name != "compact":
        return None
    tensors = read_checkpoint(Path(loaded.path)).tensors
    kept = {name: tensor for name, tensor in tensors.items() if not name.startswith(LEARNED_PREFIXES)}
    return loaded.model if len(kept) == len(tensors) else loaded.family.build(kept)

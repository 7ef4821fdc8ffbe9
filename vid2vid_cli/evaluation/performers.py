"""Who shows a face's movement: the checkpoint, and the same without its networks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from vid2vid_cli.checkpoints.reading import read_checkpoint
from vid2vid_cli.face.crop import Frame, crop_around, crop_frame
from vid2vid_cli.face.mesh import Face
from vid2vid_cli.face.paste import paste_face, to_frame
from vid2vid_cli.models.base import ReenactmentModel
from vid2vid_cli.models.registry import LoadedModel
from vid2vid_cli.motion import Motion, PoseOverride
from vid2vid_cli.pipeline.driving import MotionReader, ReaderSetup
from vid2vid_cli.pipeline.engine import Engine
from vid2vid_cli.pipeline.source import image_of, private_room


@dataclass(frozen=True)
class Portrait:
    """A frame (H, W, 3) and the face in it that is meant. everybody: all its faces, for the room that each has."""

    frame: Frame
    face: Face
    everybody: tuple[Face, ...] = ()


class Performer:
    """A model that moves a portrait in its own way, from the crop to the frame with the face pasted back.

    Motion is relative: what drives is compared with how it looked in a reference, the portrait itself if none is given.
    """

    def __init__(
        self,
        model: ReenactmentModel,
        engine: Engine,
        source: Portrait,
        reference: Portrait | None = None,
        *,
        follows: bool = True,
    ) -> None:
        height, width = source.frame.shape[:2]
        self._model = model
        self._frame = source.frame
        room = private_room(source.face, list(source.everybody), (height, width))
        self._crop = crop_around(source.face, model.source_crop, room)
        image = image_of(crop_frame(source.frame, self._crop), engine.device)
        landmarks = torch.from_numpy(self._crop.to_crop(source.face.landmarks_px)).float()[None]
        rest = reference or source
        look = ReaderSetup(model, engine.analyzer, "largest", engine.device, follows=follows)
        self._reader = MotionReader(look, rest.frame, rest.face)
        with torch.inference_mode():
            self._appearance = model.appearance(image, landmarks)
            self._reference = self._reader.read(rest.frame, rest.face)

    @torch.inference_mode()
    def follow(self, frame: Frame, face: Face) -> Frame:
        """Return the portrait moved as a face in a driving frame is."""
        return self._show(self._reader.read(frame, face), self._reference, None)

    @torch.inference_mode()
    def turn(self, pose: PoseOverride) -> Frame:
        """Return the portrait with its head turned, all else at rest."""
        own = self._appearance.motion
        return self._show(own, own, pose)

    def _show(self, motion: Motion, reference: Motion, pose: PoseOverride | None) -> Frame:
        model = self._model
        image = model.render(self._appearance, model.drive(self._appearance, motion, reference, pose))
        return paste_face(self._frame, to_frame(image[0].permute(1, 2, 0).cpu().numpy()), self._crop)


def without_networks(loaded: LoadedModel) -> ReenactmentModel | None:
    """Build the same checkpoint with its learned parts left out; None for a family that cannot do without."""
    if not loaded.family.optional_prefixes:
        return None
    tensors = read_checkpoint(Path(loaded.path)).tensors
    kept = {name: tensor for name, tensor in tensors.items() if not name.startswith(loaded.family.optional_prefixes)}
    return loaded.family.build(kept)

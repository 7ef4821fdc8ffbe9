"""The model that moves a judged portrait."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from vid2vid_cli.arrays import Frame
from vid2vid_cli.face.crop import FaceCrop, crop_around, crop_frame
from vid2vid_cli.face.frames import image_of
from vid2vid_cli.face.mesh import Face
from vid2vid_cli.face.paste import paste_face
from vid2vid_cli.face.placing import private_room
from vid2vid_cli.models.base import KnowsRest, ShowsDriving, UsesViews, View
from vid2vid_cli.motion import Motion, PoseOverride
from vid2vid_cli.pipeline.animator import Animator
from vid2vid_cli.pipeline.appearance import still_appearance
from vid2vid_cli.pipeline.driving.motion_reader import MotionReader, ReaderSetup, look_at
from vid2vid_cli.pipeline.engine import Engine
from vid2vid_cli.pipeline.turning import TurnCalibration

LOOKS = 3  # a family may ask for several looks at rest; here one frame is known to be, and stands for them


@dataclass(frozen=True)
class Portrait:
    """A frame (H, W, 3) and the face in it that is meant.

    everybody: all its faces, for the room that each has. subject: the file that it is from, for error messages.
    """

    frame: Frame
    face: Face
    everybody: tuple[Face, ...] = ()
    subject: Path = Path("portrait")

    def crop(self, engine: Engine) -> FaceCrop:
        """Return the same crop as in `reenact`: it keeps clear of other faces."""
        room = private_room(self.face, self.everybody, self.frame.shape)
        return crop_around(self.face, engine.loaded.model.source_crop, room)

    def view(self, engine: Engine, sharpness: float = 1.0) -> View:
        """Cut the face out as the engine's model takes it."""
        crop = self.crop(engine)
        landmarks = torch.from_numpy(crop.to_crop(self.face.landmarks_px)).float()[None]
        return View(image_of(crop_frame(self.frame, crop), engine.device), landmarks, sharpness)


class Performer:
    """Moves a portrait by an engine's model, from the crop to the frame with the face pasted back.

    Motion is relative to a reference frame of the driving; without one, to the portrait itself. views: more pictures of
    the same person, which count in families that use them. shows: whether parts of the driving's pictures may be shown.
    """

    def __init__(
        self,
        engine: Engine,
        source: Portrait,
        reference: Portrait | None = None,
        *,
        follows: bool = True,
        views: Sequence[View] = (),
        shows: bool = True,
    ) -> None:
        self._frame, model = source.frame, engine.loaded.model
        self._crop, own = source.crop(engine), source.view(engine)
        rest = reference or source
        self._setup = ReaderSetup(
            model, engine.analyzer, "largest", engine.device, follows=follows, shows=shows, wrinkles=float(shows)
        )
        self._reader = MotionReader(self._setup, rest.frame, rest.face)
        # Whatever is the same in every frame is computed once.
        with torch.inference_mode():
            appearance = still_appearance(model, own.image, own.landmarks)
            if views and isinstance(model, UsesViews):
                appearance = model.with_views(appearance, views)
            self._reference = self._reader.read(rest.frame, rest.face)
            if reference is not None and isinstance(model, KnowsRest):
                appearance = replace(appearance, rest=model.rested(appearance, self._reference, None))
            self._look_at_rest = self._look(rest.frame, self._reference)
            if isinstance(model, ShowsDriving):
                self._look_at_rest = model.look_at_rest([self._look_at_rest] * LOOKS)
        self._appearance, self._subject = appearance, source.subject
        self._turns = TurnCalibration(model, engine.analyzer)
        self._animator = Animator(model, appearance, source.subject)

    @torch.inference_mode()
    def follow(self, frame: Frame, face: Face, pose: PoseOverride | None = None) -> Frame:
        """Return the portrait, moved as a face in a driving frame, its head turned as a pose asks."""
        motion = self._reader.read(frame, face)
        look = self._look(frame, motion)
        animator = self._animator if pose is None else self._turned(pose)
        moved = animator.frame(motion, self._reference, pose, look=look, look_at_rest=self._look_at_rest)
        return paste_face(self._frame, moved, self._crop)

    def _look(self, frame: Frame, motion: Motion) -> object | None:
        return look_at(self._setup, frame, self._reader.crop, motion)

    def turn(self, pose: PoseOverride) -> Frame:
        """Return the portrait with its head turned and everything else at rest."""
        return paste_face(self._frame, self._turned(pose).frame_at_rest(pose), self._crop)

    def _turned(self, pose: PoseOverride) -> Animator:
        """Return what moves a face that looks turned as a pose asks."""
        appearance = self._turns.calibrated(0, self._appearance, pose)
        return Animator(self._setup.model, appearance, self._subject)

"""A sound as driving: what is heard moves the mouth, and the rest of the face keeps alive beside it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from vid2vid_cli.errors import MediaError, UsageError
from vid2vid_cli.geometry.rotation import rotation_from_pose
from vid2vid_cli.media.audio import AudioSource
from vid2vid_cli.media.sound import holds_sound_alone, probe_sound, read_sound
from vid2vid_cli.media.suffixes import SOUND_SUFFIXES
from vid2vid_cli.media.video import ReadOptions, sniff
from vid2vid_cli.models.base import ReenactmentModel
from vid2vid_cli.models.registry import load_speech_model
from vid2vid_cli.models.speaking import SpokenFace
from vid2vid_cli.motion import Motion
from vid2vid_cli.pipeline.driving.base import DrivenFrame, FileDriving, Reference
from vid2vid_cli.pipeline.driving.bearing import Bearing, BearingGenerator
from vid2vid_cli.pipeline.driving.motion_reader import ReaderSetup, SpeechSetup
from vid2vid_cli.pipeline.driving.reference import EARLY, frame_number, no_key_picture
from vid2vid_cli.pipeline.speakers import Speaker, speaker_of
from vid2vid_cli.speech.mouth import MOUTH_POINTS, SpokenMouth

SPEECH_FPS = Fraction(25)
LOOK_ASIDE_DEG, LOOK_UP_DEG = 30.0, 22.0  # eyes turned by so much look aside, or up or down, fully
# Over a few seconds, what moves a mouth less than this (eye distances, standard deviation) is no speech: music, noise.
LEAST_MOVED, JUDGED_S = 0.02, 3.0

Mouths = Callable[[], Iterator[SpokenMouth]]
"""Begins anew with each call: a mouth for each frame of the output."""


@dataclass(kw_only=True, eq=False)
class SpeechDriving(FileDriving):
    """A sound, or mouths that come from elsewhere. mouths: one for each frame. warn: takes a line about the sound."""

    suffixes: ClassVar = SOUND_SUFFIXES

    mouths: Mouths
    speaker: Speaker
    setup: SpeechSetup = SpeechSetup()
    warn: Callable[[str], None] = field(default=lambda text: None)
    _has_warned: bool = field(default=False, init=False)

    @classmethod
    def detect(cls, path: Path) -> bool:
        """Say whether a file holds sound and no moving picture."""
        return holds_sound_alone(path)

    @classmethod
    def open(cls, path: Path, reading: ReadOptions, setup: ReaderSetup) -> SpeechDriving:
        """Open the sound of a file, which may be a film. MediaError if it has none."""
        speaker = speaker_of(setup, str(path))
        if sniff(path) == "still":
            raise MediaError(f"{path}: is a picture; name a sound, or a film that has one")
        info = probe_sound(path)
        start_s, end_s = reading.start_s or 0.0, min(reading.end_s or info.duration_s, info.duration_s)
        if start_s >= info.duration_s:
            raise UsageError(f"--start {start_s:g}: {path} is only {info.duration_s:.2f} s long")
        fps = reading.fps or setup.speech.fps or SPEECH_FPS
        sound = AudioSource(path, reading.start_s, reading.end_s)
        hearer = load_speech_model()

        def mouths() -> Iterator[SpokenMouth]:
            return hearer.mouths(read_sound(sound, info, driving.tell), fps)

        driving = cls(
            path=path,
            fps=fps,
            count=max(1, math.ceil((end_s - start_s) * fps - EARLY)),
            audio=sound,
            mouths=mouths,
            speaker=speaker,
            setup=setup.speech,
            warn=reading.warn,
        )
        return driving

    def frames(self) -> Iterator[DrivenFrame]:
        """Yield a motion for each frame. Sound that is heard in no frame is left out."""
        bearing = BearingGenerator(self.fps, self.setup.head, self.setup.seed)
        mouth, given = None, 0
        openings = Openings()
        for mouth in self.mouths():
            if given == self.count:
                break
            given += 1
            openings.take(mouth)
            motion = self._motion(mouth.lips, bearing(mouth.energy))
            yield DrivenFrame(motion, found=True, picture=None, look=mouth.look)
        for _ in range(self.count - given):  # rounding only: the last mouth holds
            lips = np.zeros((len(MOUTH_POINTS), 3), np.float32) if mouth is None else mouth.lips
            yield DrivenFrame(self._motion(lips, bearing(0.0)), found=True, picture=None)
        if not openings.count:
            self.tell(f"{self.path}: no speech was heard in it; the mouth stays shut")
        elif openings.count > JUDGED_S * self.fps and openings.spread < LEAST_MOVED:
            self.tell(f"{self.path}: hardly sounds like speech; the mouth follows it as well as it can")

    def find_reference(self, model: ReenactmentModel, own: Motion, frame: str) -> Reference:
        """Return the face at rest, which is known here, whatever frame is named."""
        if frame == "picture":
            raise no_key_picture(self.path)
        if frame != "auto":
            frame_number(frame, self.count)
        return Reference(self.speaker.rest(), name="a mouth at rest")

    def tell(self, text: str) -> None:
        """Warn once, however often the sound is gone through."""
        if not self._has_warned:
            self._has_warned = True
            self.warn(text)

    def _motion(self, lips: np.typing.NDArray[np.float32], bearing: Bearing) -> Motion:
        face = SpokenFace(torch.from_numpy(lips)[None], _rotation(bearing), _weights(bearing))
        return self.speaker.motion(face)


@dataclass
class Openings:
    """How mouths open while somebody speaks: their count, and what their standard deviation takes."""

    count: int = 0
    total: float = 0.0
    squares: float = 0.0

    def take(self, mouth: SpokenMouth) -> None:
        """Count a mouth."""
        if mouth.is_speech:
            self.count += 1
            self.total += mouth.opening
            self.squares += mouth.opening**2

    @property
    def spread(self) -> float:
        """Their standard deviation."""
        return float(max(0.0, self.squares / self.count - (self.total / self.count) ** 2) ** 0.5)


def _rotation(bearing: Bearing) -> Tensor:
    return rotation_from_pose(*torch.from_numpy(bearing.pose).float()[:, None])


def _weights(bearing: Bearing) -> dict[str, Tensor]:
    """Return the named expressions of a bearing: both lids, both eyes, both brows."""
    right, up = bearing.gaze_deg.tolist()
    aside, raised = right / LOOK_ASIDE_DEG, up / LOOK_UP_DEG
    # The viewer's right is the person's left.
    strengths = {
        "eyeLookOut_L": aside,
        "eyeLookIn_R": aside,
        "eyeLookOut_R": -aside,
        "eyeLookIn_L": -aside,
        **dict.fromkeys(("eyeLookUp_L", "eyeLookUp_R"), raised),
        **dict.fromkeys(("eyeLookDown_L", "eyeLookDown_R"), -raised),
        **dict.fromkeys(("eyeBlink_L", "eyeBlink_R"), bearing.blink),
        **dict.fromkeys(("browInnerUp_L", "browInnerUp_R", "browOuterUp_L", "browOuterUp_R"), bearing.brows),
    }
    return {name: torch.tensor([min(max(strength, 0.0), 1.0)]) for name, strength in strengths.items()}

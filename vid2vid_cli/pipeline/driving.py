"""The driving: a stream of motions out of a video, an animation, an image or a motion file."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vid2vid_cli.codec.space import MotionSpace
from vid2vid_cli.codec.stream import Tally
from vid2vid_cli.errors import CallFileError, MotionFileError, NoFaceError, UsageError, Vid2VidError
from vid2vid_cli.face.crop import EVERYWHERE, FaceCrop, Frame, crop_around, crop_frame, crop_gray
from vid2vid_cli.face.frames import image_of
from vid2vid_cli.face.mesh import Face, FaceAnalyzer, FaceTracker, Select, select_face
from vid2vid_cli.face.placing import whole_head
from vid2vid_cli.media.audio import AudioSource
from vid2vid_cli.media.files import MAX_PIXELS, require_file
from vid2vid_cli.media.image import read_image
from vid2vid_cli.media.video import ReadOptions, VideoInfo, audio_of, frames_to_read, probe_video, read_video, sniff
from vid2vid_cli.models.base import Follower, Follows, ReenactmentModel
from vid2vid_cli.motion import Motion, MotionFile, is_motion_file, join_motions, load_motion
from vid2vid_cli.pipeline.call_recording import CallRecording, is_call_file, tell_missing
from vid2vid_cli.pipeline.memory import Memory
from vid2vid_cli.pipeline.parsing import is_index
from vid2vid_cli.process.streaming import prefetch

REFERENCE_WINDOW_S = 4.0  # how much of a clip is searched for the reference frame
REFERENCE_CANDIDATES = 32
EYES_COUNT = 10.0  # how much more than the rest of the face


@dataclass(frozen=True)
class DrivenFrame:
    """One driving frame: its motion (of one frame), None before a first face was seen.

    found: whether a face is in this very frame. picture: the frame itself, None for a motion file.
    is_repeat: whether the output frame before shall be shown again, where there is one.
    """

    motion: Motion | None
    found: bool
    picture: Frame | None
    is_repeat: bool = False


@dataclass(frozen=True)
class ReaderSetup:
    """How a model looks at driving frames: which face, with what, where it computes.

    memory: of what was seen before. needs_pictures: whether frames are shown, and not only their motion is wanted.
    max_pixels: a larger frame is refused. follows: whether what moves beside the head counts, see models.base.Follows.
    """

    model: ReenactmentModel
    analyzer: FaceAnalyzer
    select: Select
    device: torch.device
    memory: Memory | None = None
    needs_pictures: bool = True
    max_pixels: int = MAX_PIXELS
    follows: bool = True


@dataclass(frozen=True)
class FrameReading:
    """What a frame alone tells of the motion, and what to ask for the rest of it; nothing where that is all."""

    motion: Motion
    compare: Callable[[], Tensor] | None = None

    def complete(self) -> Motion:
        """Return the whole motion."""
        return self.motion if self.compare is None else replace(self.motion, extra=self.compare())


class MotionReader:
    """Reads the motion of one face through a driving, in the crop that the first frame with that face gives."""

    def __init__(self, look: ReaderSetup, frame: Frame, face: Face) -> None:
        """Begin with that first frame; it must be read, too."""
        self._look, self._crop = look, whole_head(look.model.driving_crop, face, frame)
        self._follower: Follower | None = None
        if look.follows and isinstance(look.model, Follows):
            self._view = crop_around(face, look.model.follow_crop, EVERYWHERE)
            self._follower = look.model.follow(crop_gray(frame, self._view), _landmarks_in(self._view, face))

    def read(self, frame: Frame, face: Face) -> Motion:
        """Return the motion (of one frame)."""
        return self.glance(frame, face).complete()

    def glance(self, frame: Frame, face: Face) -> FrameReading:
        """Return what the frame alone tells."""
        model = self._look.model
        needs_picture = model.driving_crop.size is not None
        image = image_of(crop_frame(frame, self._crop), self._look.device) if needs_picture else None
        motion = model.motion(image, _landmarks_in(self._crop, face), self._crop.size)
        if self._follower is None:
            return FrameReading(motion)
        seen = _motion_in(self._view, motion, self._crop)
        return FrameReading(motion, partial(self._follower.compare, seen, crop_gray(frame, self._view)))


def _motion_in(view: FaceCrop, motion: Motion, crop: FaceCrop) -> Motion:
    """Return a motion that was read in a crop as it reads in a view that is not turned against it."""
    half, view_half = (max(one.size) / 2 * float(np.linalg.norm(one.affine[:, 0])) for one in (crop, view))
    shift = torch.from_numpy(np.append((crop.center_px - view.center_px) / view_half, 0.0)).to(motion.translation)
    scale = half / view_half
    return replace(motion, scale=motion.scale * scale, translation=motion.translation * scale + shift)


def _landmarks_in(crop: FaceCrop, face: Face) -> Tensor:
    """Return a face's landmarks (1, K, 3) in px of a crop."""
    return torch.from_numpy(crop.to_crop(face.landmarks_px)).float()[None]


@dataclass
class Driving:
    """What drives: open it with `open_driving`, then iterate over `frames`."""

    path: Path
    fps: Fraction
    count: int
    is_still: bool
    audio: AudioSource | None = None
    picture_size: tuple[int, int] | None = None
    _look: ReaderSetup | None = None
    _reading: ReadOptions = field(default_factory=ReadOptions)
    _info: VideoInfo | None = None
    _recorded: MotionFile | None = None
    _call: Call | None = None
    _reader: MotionReader | None = None

    def close(self) -> None:
        """Let go of what was opened."""
        if self._call is not None:
            self._call.recording.close()

    def frames(self) -> Iterator[DrivenFrame]:
        """Yield the driving frames in order, each once."""
        if self._call is not None:
            return self._call.frames(self._reading.warn)
        if self._recorded is not None:
            return self._replay(self._recorded)
        return self._watch() if self.is_still or self._memory is None else self._watch_once(self._memory)

    def find_reference(self, model: ReenactmentModel, own: Motion, frame: str) -> Motion:
        """Return the motion (of one frame) that counts as the source's own.

        own: the source's motion. frame: a number from 0, or auto for the frame nearest to `own` in head pose and
        expression: of a video or a call among the first seconds after its first face, of a motion file among all;
        or picture for what the picture shows that a call carries.
        """
        if frame == "picture":
            return self._of_picture()
        if frame != "auto":
            return self._motion_of(_frame_number(frame, self.count))
        if self._recorded is not None:
            return self._recorded.motion[nearest_frame(model, self._recorded.motion, own)]
        glances = self._candidates()
        nearest = nearest_frame(model, join_motions([glance.motion for glance in glances]), own)
        return glances[nearest].complete()

    def _of_picture(self) -> Motion:
        reference = None if self._call is None else self._call.recording.reference(self._call.space)
        if reference is None:
            raise UsageError(f"--reference-frame picture: {self.path} carries no picture; write auto or a number")
        return reference

    def _motion_of(self, index: int) -> Motion:
        if self._recorded is not None:
            return self._recorded.motion[index]
        frames = self._call.frames() if self._call is not None else self._known_frames() or self._watch()
        driven = next(itertools.islice(frames, index, None), None)
        if driven is None or driven.motion is None or not driven.found:
            raise NoFaceError(f"{self.path}: no face in frame {index}; choose another --reference-frame")
        return driven.motion

    def _candidates(self) -> list[FrameReading]:
        """Return what may be the reference, whole where it is remembered."""
        memory = self._memory
        key = self._key(memory, "candidates") if memory is not None else ""
        known = memory.recall_motion(key) if memory is not None else None
        if known is not None:
            return [FrameReading(motion) for motion, _ in known if motion is not None]
        found = list(itertools.islice(self._glances(), REFERENCE_CANDIDATES))
        if not found:
            raise self.no_face()
        if memory is None:
            return found
        # To another source another one may be the nearest.
        motions = [glance.complete() for glance in found]
        with memory.record_motion(key) as recorder:
            for motion in motions:
                recorder.append(motion, found=True)
            recorder.finish()
        return [FrameReading(motion) for motion in motions]

    def _glances(self) -> Iterator[FrameReading]:
        """Yield what frames alone tell, some of each second, from the first face on."""
        step = max(1, round(float(self.fps) * REFERENCE_WINDOW_S / REFERENCE_CANDIDATES))
        if self._call is None:
            yield from (glance for _, glance in self._seen(step) if glance is not None)
            return
        for driven in itertools.islice(self._call.frames(), 0, None, step):
            if driven.motion is not None and driven.found:
                yield FrameReading(driven.motion)

    @property
    def _memory(self) -> Memory | None:
        return self._look.memory if self._look is not None else None

    def _key(self, memory: Memory, what: str) -> str:
        reading, look = self._reading, self._look
        times = (reading.start_s, reading.end_s, reading.fps)
        seen = (look.select, look.follows) if look is not None else None
        return memory.key(self.path, what, *times, seen)

    def _known_frames(self) -> Iterator[DrivenFrame] | None:
        """Return the frames without their pictures where the whole clip's motion is remembered."""
        known = self._memory.recall_motion(self._key(self._memory, "frames")) if self._memory is not None else None
        return None if known is None else (DrivenFrame(motion, found, None) for motion, found in known)

    def _watch_once(self, memory: Memory) -> Iterator[DrivenFrame]:
        """Watch the whole clip and remember its motion; where it is remembered, read the pictures at most."""
        key = self._key(memory, "frames")
        known = memory.recall_motion(key)
        if known is not None:
            shown = (
                self._pictures(1) if self._look is not None and self._look.needs_pictures else itertools.repeat(None)
            )
            for (motion, found), picture in zip(known, shown, strict=False):
                yield DrivenFrame(motion, found, picture)
            for text in known.warnings:
                self._reading.warn(text)
            return
        memory.computed.append("driving")
        with memory.record_motion(key) as recorder:
            self._reading = replace(self._reading, warn=_tee(recorder.warnings, self._reading.warn))
            for driven in self._watch():
                recorder.append(driven.motion, found=driven.found)
                yield driven
            recorder.finish()

    def no_face(self) -> Vid2VidError:
        """Return the error of a driving in which no face, or not the chosen one, is ever seen."""
        select = self._look.select if self._look else "largest"
        if isinstance(select, int) and select > 0:
            return UsageError(f"--driving-face {select}: {self.path} never shows so many; see vid2vid faces")
        return NoFaceError(f"{self.path}: no face found in any frame; see it with vid2vid faces")

    def _watch(self) -> Iterator[DrivenFrame]:
        """Follow the face through every frame of the clip."""
        last: Motion | None = None
        for picture, glance in self._seen(1):
            last = last if glance is None else glance.complete()
            yield DrivenFrame(last, glance is not None, picture)

    def _seen(self, step: int) -> Iterator[tuple[Frame, FrameReading | None]]:
        """Yield every `step`th frame of the clip, and what it tells; None where it shows no face."""
        look = self._look
        if look is None:
            raise ValueError("a driving without pictures cannot be watched")
        tracker = FaceTracker(look.analyzer, look.select)
        for picture in self._pictures(step):
            face = tracker.update(picture) if not self.is_still else self._still_face(picture)
            if face is not None and self._reader is None:
                self._reader = MotionReader(look, picture, face)
            yield picture, self._reader.glance(picture, face) if face is not None and self._reader else None

    def _pictures(self, step: int) -> Iterator[Frame]:
        if self.is_still:
            yield read_image(self.path, max_pixels=self._look.max_pixels if self._look else MAX_PIXELS)
            return
        for index, picture in enumerate(prefetch(read_video(self.path, self._reading, self._info), 4)):
            if index % step == 0:
                yield picture

    def _still_face(self, picture: Frame) -> Face | None:
        look = self._look
        return select_face(look.analyzer.faces(picture, thorough=True), look.select, picture) if look else None

    def _replay(self, recorded: MotionFile) -> Iterator[DrivenFrame]:
        for index in range(self.count):
            yield DrivenFrame(recorded.motion[index], bool(recorded.found[index]), None)


@dataclass(frozen=True)
class Call:
    """A call as driving. chosen: which of its frames, in order, some again and again where the rate is higher."""

    recording: CallRecording
    space: MotionSpace
    chosen: Tensor

    def frames(self, warn: Callable[[str], None] | None = None) -> Iterator[DrivenFrame]:
        """Yield the chosen frames; a missing one shows the last motion and counts as found."""
        tally = Tally()
        received = enumerate(self.recording.frames(self.space, tally))
        index, frame = next(received)
        for wanted in self.chosen.tolist():
            while index < wanted:
                index, frame = next(received)
            yield DrivenFrame(frame.motion, frame.is_shown, None)
        for _ in received:
            pass
        missing = tell_missing(self.recording.path, tally)
        if missing is not None and warn is not None:
            warn(missing)


def _tee(kept: list[str], warn: Callable[[str], None]) -> Callable[[str], None]:
    """Return a function that passes a warning on and keeps it."""

    def keep(text: str) -> None:
        kept.append(text)
        warn(text)

    return keep


def open_driving(path: Path, reading: ReadOptions, look: ReaderSetup) -> Driving:
    """Open a driving video, animation, image or motion file. Errors name what it is instead."""
    require_file(path)
    if is_motion_file(path):
        return _open_motion_file(path, reading, look)
    if is_call_file(path):
        return _open_call(path, reading, look.model)
    if sniff(path) == "still":
        size = read_image(path, max_pixels=look.max_pixels).shape
        return Driving(path, reading.fps or Fraction(25), 1, True, picture_size=(size[0], size[1]), _look=look)
    info = probe_video(path, look.max_pixels)
    if reading.start_s is not None and reading.start_s >= info.start_s + info.duration_s:
        raise UsageError(f"--start {reading.start_s:g}: {path} is only {info.duration_s:.2f} s long")
    return Driving(
        path,
        reading.fps or info.fps,
        frames_to_read(info, reading),
        False,
        audio=audio_of(path, info, reading),
        picture_size=info.size,
        _look=look,
        _reading=reading,
        _info=info,
    )


def _open_motion_file(path: Path, reading: ReadOptions, look: ReaderSetup) -> Driving:
    recorded, model = load_motion(path), look.model
    if recorded.family != model.name:
        raise MotionFileError(
            f"{path}: motion of the {recorded.family} family does not fit -c {model.name}; "
            f"make it again with vid2vid motion -c {model.name}"
        )
    points = recorded.motion.expression.shape[1]
    if points != len(model.expression_mask("all")):
        raise MotionFileError(f"{path}: damaged motion file ({points} keypoints); make it again")
    index = _frames_in_time(len(recorded.motion), recorded.fps, reading)
    if not len(index):
        raise UsageError(f"{path}: no frame between --start and --end")
    motion = Motion(*(tensor[index] for tensor in recorded.motion.tensors()))
    if not look.follows and isinstance(model, Follows):
        motion = replace(motion, extra=None)
    fps = reading.fps or recorded.fps
    chosen = MotionFile(motion, recorded.found[index], fps, recorded.family)
    # One frame has nothing to be relative to: it was a picture.
    return Driving(path, fps, len(motion), len(recorded.motion) == 1, _recorded=chosen)


def _open_call(path: Path, reading: ReadOptions, model: ReenactmentModel) -> Driving:
    recording = CallRecording(path)
    try:
        space, fps = recording.require_model(model), reading.fps or recording.fps
        count = recording.count()
        if not count:
            raise CallFileError(f"{path}: holds no frame; encode it again")
        chosen = _frames_in_time(count, recording.fps, reading)
        if not len(chosen):
            raise UsageError(f"{path}: no frame between --start and --end")
        sound = recording.save_sound()
        start_s = float(int(chosen[0]) / recording.fps)
        audio = None if sound is None else AudioSource(sound, start_s, reading.end_s)
        call = Call(recording, space, chosen)
        return Driving(path, fps, len(chosen), False, audio=audio, _reading=reading, _call=call)
    except BaseException:
        recording.close()
        raise


def _frames_in_time(count: int, fps: Fraction, reading: ReadOptions) -> Tensor:
    """Return the frames of a recording that a clip of the same length would give: those that begin within the times."""
    first = math.ceil((reading.start_s or 0) * fps - 1e-3)
    last = count if reading.end_s is None else min(count, math.ceil(reading.end_s * fps - 1e-3))
    if reading.fps is None or last <= first:
        return torch.arange(first, max(first, last))
    shown = max(1, round((last - first) * reading.fps / fps))
    return (first + torch.arange(shown) * float(fps / reading.fps) + 0.5).long().clamp_max(last - 1)


def _frame_number(text: str, count: int) -> int:
    if not is_index(text):
        raise UsageError(f"--reference-frame {text}: write auto or a frame number from 0")
    if int(text) >= count:
        raise UsageError(f"--reference-frame {text}: the driving has frames 0 to {count - 1}")
    return int(text)


def nearest_frame(model: ReenactmentModel, candidates: Motion, own: Motion) -> int:
    """Return the index of the candidate nearest to `own` in head pose and expression.

    5 degrees count as much as a usual change of expression. Eyes count more than their size: with a blink as
    reference, open eyes would be torn wide open.
    """
    turned = candidates.rotation @ own.rotation.transpose(-1, -2)
    cosine = ((turned.diagonal(dim1=-2, dim2=-1).sum(-1) - 1) / 2).clamp(-1, 1)
    angle = torch.acos(cosine) / np.deg2rad(5)
    weight = (1 + EYES_COUNT * model.expression_mask("eyes"))[None, :, None]
    shown = model.without_shape(candidates)
    spread = (weight * (shown - shown.mean(0)).square()).mean().clamp_min(1e-8)
    change = (weight * (shown - model.without_shape(own)).square()).mean((1, 2)) / spread
    return int((angle.square() + change).argmin())

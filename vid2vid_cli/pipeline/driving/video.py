"""A video or an animation as driving, and how its motion is remembered from job to job."""

from __future__ import annotations

import collections
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from operator import itemgetter
from pathlib import Path
from typing import ClassVar

from vid2vid_cli.arrays import Frame
from vid2vid_cli.errors import NoFaceError, UsageError, Vid2VidError
from vid2vid_cli.face.crop import FaceCrop
from vid2vid_cli.media.suffixes import VIDEO_SUFFIXES
from vid2vid_cli.media.video import ReadOptions, VideoInfo, audio_of, frames_to_read, probe_video
from vid2vid_cli.models.base import ReenactmentModel, ShowsDriving
from vid2vid_cli.motion import Motion, join_motions
from vid2vid_cli.pipeline.driving.base import SURVEYED, DrivenFrame, FileDriving, Reference, ShotStart
from vid2vid_cli.pipeline.driving.clip import Clip
from vid2vid_cli.pipeline.driving.motion_reader import FrameReading, ReaderSetup, cut_out, look_at
from vid2vid_cli.pipeline.driving.reference import (
    REFERENCE_CANDIDATES,
    RESTING_FRAMES,
    Candidate,
    auto_reference,
    no_key_picture,
    reference_of_frame,
    reference_step,
    unlikeness,
)
from vid2vid_cli.pipeline.driving.watching import FaceWatcher
from vid2vid_cli.pipeline.memory import Memory, Recording

MOST_CUTS_TOLD = 5
SURVEYED_S = 60.0  # of a clip, from its start, for its habits


@dataclass(frozen=True)
class ShotReading:
    """How a shot is read, and what counts from its first frame on."""

    watcher: FaceWatcher
    starts: ShotStart | None


@dataclass(kw_only=True, eq=False)
class VideoDriving(FileDriving):
    """A clip. reading: which part of it is read. info: what `probe_video` found."""

    suffixes: ClassVar = VIDEO_SUFFIXES

    reading: ReadOptions
    info: VideoInfo
    watcher: FaceWatcher
    # For whom the reference was found: each later shot gets one of its own. None where motion is absolute.
    _asked: tuple[ReenactmentModel, Motion] | None = field(default=None, init=False)
    _begins: ShotStart | None = field(default=None, init=False)  # what was found then
    _cuts: int = field(default=0, init=False)  # met so far, in this run
    _is_one_shot: bool = field(default=False, init=False)  # whether only the first shot is read
    # The candidates for the reference, and what their crops show; None until they have been seen.
    _seen: list[tuple[FrameReading, Frame, FaceCrop]] | None = field(default=None, init=False)

    @classmethod
    def detect(cls, path: Path) -> bool:
        """Say that any file may be a clip: this kind is asked last, and only ffmpeg can tell, which is slow."""
        return True

    @classmethod
    def open(cls, path: Path, reading: ReadOptions, setup: ReaderSetup) -> VideoDriving:
        """Probe the clip. MediaError if it cannot be read or is too large."""
        info = probe_video(path, setup.max_pixels)
        if reading.start_s is not None and reading.start_s >= info.start_s + info.duration_s:
            raise UsageError(f"--start {reading.start_s:g}: {path} is only {info.duration_s:.2f} s long")
        return cls(
            path=path,
            fps=reading.fps or info.fps,
            count=frames_to_read(info, reading),
            audio=audio_of(path, info, reading),
            picture_size=info.size,
            reading=reading,
            info=info,
            watcher=FaceWatcher(setup),
        )

    @property
    def _memory(self) -> Memory | None:
        return self.watcher.setup.memory

    def frames(self) -> Iterator[DrivenFrame]:
        """Yield the frames of the clip; what is remembered of them is not computed again."""
        memory = self._memory
        if memory is None:
            return self._watch(self._clip.shots(self.reading.warn))
        known = memory.recall_motion(self._key(memory, "frames"))
        return self._watch_and_record(memory) if known is None else self._replay(known)

    def _watch(self, shots: Iterator[tuple[int, Frame]]) -> Iterator[DrivenFrame]:
        """Watch the clip shot by shot: each that shows a face is read in a crop, and has a rest, of its own."""
        frames, last = 0, DrivenFrame(None, found=False, picture=None)
        current = ShotReading(self.watcher, self._begins)
        known = {0: current}
        for shot, numbered in itertools.groupby(shots, itemgetter(0)):
            if shot not in known and last.motion is not None:  # what comes before the first face is no shot
                known[shot] = self._read_shot(frames) or current
            before, current = current, known.setdefault(shot, current)
            starts = None if current is before else current.starts
            for driven in current.watcher.watch(picture for _, picture in numbered):
                held = driven if driven.motion is not None else replace(driven, motion=last.motion, look=last.look)
                last = replace(held, starts=starts)
                yield last
                starts, frames = None, frames + 1

    def _read_shot(self, frame: int) -> ShotReading | None:
        """Begin to read the shot that begins with a frame; None if it shows no face at first."""
        later = self._from_shot(frame)
        try:
            starts = self._start(later, frame + 1)
        except NoFaceError:
            return None
        self._cuts += 1
        if self._cuts <= MOST_CUTS_TOLD:
            self.reading.warn(self._cut_note(frame, starts, is_last=self._cuts == MOST_CUTS_TOLD))
        return ShotReading(later.watcher, starts)

    def _from_shot(self, first: int) -> VideoDriving:
        """Return the clip from a frame on, read anew, with no memory: what is remembered of a clip is of one shot."""
        setup = replace(self.watcher.setup, memory=None)
        # Rounded up: the last frame of the shot before it would count as one of this shot.
        begin_s = max(self.reading.start_s or 0, self.info.start_s) + float((first + 1) / self.fps)
        reading = replace(self.reading, start_s=begin_s, warn=lambda text: None)
        later = replace(self, reading=reading, count=self.count - first - 1, watcher=FaceWatcher(setup))
        later._is_one_shot = True
        return later

    def _start(self, later: VideoDriving, first: int) -> ShotStart | None:
        """Find the rest of a later shot, whose first frame has this number; None where motion is absolute.

        NoFaceError if the shot shows no face at first.
        """
        if later.count < 1:
            raise self.no_face()
        if self._asked is None:
            collections.deque(itertools.islice(later._read_candidates(), 1), maxlen=0)
            return None
        reference = later.find_reference(*self._asked, "auto")
        return ShotStart(replace(reference, frame=first + (reference.frame or 0)), later.look_at_rest(reference.motion))

    def _cut_note(self, frame: int, starts: ShotStart | None, *, is_last: bool) -> str:
        rest = "" if starts is None else f"; from there on {starts.reference} counts"
        rest += "; further cuts are not named" if is_last else ""
        return f"{self.path}: another shot begins at frame {frame} ({float(frame / self.fps):.2f} s){rest}"

    @property
    def _clip(self) -> Clip:
        return Clip(self.path, self.reading, self.info, self.watcher.setup.keeps_zoom)

    def _watch_and_record(self, memory: Memory) -> Iterator[DrivenFrame]:
        """Watch the whole clip and remember its motion, and the warnings that came with it."""
        memory.computed.append("driving")
        with memory.record_motion(self._key(memory, "frames")) as recorder:

            def warn(text: str) -> None:
                recorder.warnings.append(text)
                self.reading.warn(text)

            for driven in self._watch(self._clip.shots(warn)):
                recorder.append(driven.motion, found=driven.found)
                yield driven
            # A run that is broken off before this line records nothing, nor does a clip of several shots: their rests
            # are not the same for every source.
            if not self._cuts:
                recorder.finish(self.watcher.crop)

    def _replay(self, known: Recording) -> Iterator[DrivenFrame]:
        """Yield remembered motion; the clip is decoded only if its pictures, or parts of them, are shown."""
        setup = self.watcher.setup
        pictures = self._clip.pictures() if setup.needs_pictures or setup.looks else itertools.repeat(None)
        look: object | None = None
        # Not strict: without pictures there is no end on that side.
        for (motion, found), picture in zip(known, pictures, strict=False):
            if found and motion is not None and picture is not None and known.crop is not None:
                look = look_at(setup, picture, known.crop, motion)
            yield DrivenFrame(motion, found, picture if setup.needs_pictures else None, look=look)
        for text in known.warnings:
            self.reading.warn(text)

    def _key(self, memory: Memory, what: str) -> str:
        """Name what is remembered of the clip. Everything must be in it that changes the motion."""
        reading, setup = self.reading, self.watcher.setup
        return memory.key(
            self.path,
            what,
            reading.start_s,
            reading.end_s,
            reading.fps,
            (setup.select, setup.follows, setup.keeps_zoom),
        )

    def find_reference(self, model: ReenactmentModel, own: Motion, frame: str) -> Reference:
        """Return a frame by its number, or for `auto` the rest in the seconds after the first face."""
        if frame == "picture":
            raise no_key_picture(self.path)
        self._asked = model, own
        if frame != "auto":
            reference = reference_of_frame(self._preview(), frame, self.count, self.path)
        else:
            reference = auto_reference(model, self._candidates(), own)
        self._begins = ShotStart(reference, None)
        return reference

    def leave_face(self) -> None:
        """Leave the face out of comparisons, unless they are remembered for other sources."""
        if self._memory is None:
            self.watcher.leave_face()

    def survey(self) -> Iterator[Motion]:
        """Yield about SURVEYED motions spread over the first minute: a clip is decoded from its start."""
        count = min(self.count, round(SURVEYED_S * self.fps))
        step = max(1, count // SURVEYED)
        readings = self.watcher.readings(itertools.islice(self._clip.pictures(step), count // step))
        return (reading.motion for _, reading in readings if reading is not None)

    def _preview(self) -> Iterator[DrivenFrame]:
        """Yield the frames to look ahead: without pictures if they are remembered, and recording nothing."""
        memory = self._memory
        known = None if memory is None else memory.recall_motion(self._key(memory, "frames"))
        if known is None:
            return self.watcher.watch(self._clip.pictures())
        return (DrivenFrame(motion, found, None) for motion, found in known)

    def _candidates(self) -> list[Candidate]:
        """Return what may be the reference. NoFaceError if there is no face in the clip."""
        memory = self._memory
        if memory is None:
            return [candidate for candidate in self._read_candidates() if candidate is not None]
        key = self._key(memory, "candidates")
        known = memory.recall_motion(key)
        if known is not None:
            step = reference_step(self.fps)
            recorded = enumerate(known)
            return [Candidate(k * step, FrameReading(m)) for k, (m, found) in recorded if found and m is not None]
        # All are completed, not only the nearest: for another source another one may be the nearest.
        candidates: list[Candidate] = []
        last: Motion | None = None
        with memory.record_motion(key) as recorder:
            for candidate in self._read_candidates():
                if candidate is not None:
                    last = candidate.reading.complete()
                    candidates.append(Candidate(candidate.number, FrameReading(last)))
                recorder.append(last, found=candidate is not None)
            recorder.finish(self.watcher.crop)
        return candidates

    def _read_candidates(self) -> Iterator[Candidate | None]:
        """Read the pictures in which the reference is sought; None for one that shows no face.

        They are of one shot, the first that shows a face.
        """
        # A tracker that sees only every `step`th frame finds the face again where it has moved too far.
        step = reference_step(self.fps)
        shots, pictures = itertools.tee(self._clip.shots(step=step))
        readings = zip(shots, self.watcher.readings(picture for _, picture in pictures), strict=True)
        self._seen, count, first = [], 0, 0
        for place, ((shot, _), (picture, reading)) in enumerate(readings):
            if count >= REFERENCE_CANDIDATES or ((count or self._is_one_shot) and shot != first):
                break
            first = shot
            if reading is not None and self.watcher.crop is not None:
                count += 1
                self._see(picture, reading, self.watcher.crop)
            yield None if reading is None else Candidate(place * step, reading)
        if not count:
            raise self.no_face()

    def _see_candidates_again(self) -> None:
        """Decode the pictures of the candidates; their faces are found again only if their motion is not remembered."""
        memory = self._memory
        known = None if memory is None else memory.recall_motion(self._key(memory, "candidates"))
        if known is None or known.crop is None:
            collections.deque(self._read_candidates(), maxlen=0)
            return
        self._seen = []
        for (motion, found), picture in zip(known, self._clip.pictures(reference_step(self.fps)), strict=False):
            if found and motion is not None:
                self._see(picture, FrameReading(motion), known.crop)

    def _see(self, picture: Frame, reading: FrameReading, crop: FaceCrop) -> None:
        """Keep what a candidate's crop shows, if the family will be asked for it."""
        if self.watcher.setup.wrinkles and self._seen is not None:
            self._seen.append((reading, *cut_out(picture, crop)))

    def look_at_rest(self, reference: Motion) -> object | None:
        """Return what the family shows of the candidates nearest to the reference."""
        setup = self.watcher.setup
        if not setup.wrinkles or not isinstance(setup.model, ShowsDriving):
            return None
        if self._seen is None:
            self._see_candidates_again()
        seen, self._seen = self._seen or [], None
        apart = unlikeness(setup.model, join_motions([reading.motion for reading, _, _ in seen]), reference)
        nearest = [seen[index] for index in apart.argsort(stable=True)[:RESTING_FRAMES].tolist()]
        looks = [look_at(setup, picture, crop, reading.complete()) for reading, picture, crop in nearest]
        look = setup.model.look_at_rest(looks)
        if self._begins is not None:
            self._begins = replace(self._begins, look_at_rest=look)
        return look

    def no_face(self) -> Vid2VidError:
        """Return the error for a clip in which no face, or not the chosen one, is ever seen."""
        return self.watcher.no_such_face(self.path) or super().no_face()

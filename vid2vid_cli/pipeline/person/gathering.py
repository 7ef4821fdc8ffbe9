"""Go once through pictures and clips of a person, and gather what each shows that the others do not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

from vid2vid_cli.arrays import Frame, Points
from vid2vid_cli.errors import NoFaceError
from vid2vid_cli.face.mesh import Face, FaceAnalyzer
from vid2vid_cli.media.files import MAX_PIXELS
from vid2vid_cli.media.image import read_image
from vid2vid_cli.media.jpeg import all_pictures
from vid2vid_cli.media.video import ReadOptions, VideoInfo, probe_video, read_video, sniff
from vid2vid_cli.models.compact.likeness import load_likeness
from vid2vid_cli.person_file import Seen
from vid2vid_cli.person_mark import is_person_file
from vid2vid_cli.pipeline.person.clip_faults import drop_unfit
from vid2vid_cli.pipeline.person.crowd import Crowd, Somebody, somebody
from vid2vid_cli.pipeline.person.faults import NO_FACE, fault_line, fault_of
from vid2vid_cli.pipeline.person.habits import Habits
from vid2vid_cli.pipeline.person.measuring import FaceReader, FaceReading
from vid2vid_cli.pipeline.person.same_person import OTHER, SAME, Portrait
from vid2vid_cli.pipeline.progress import Hooks

LOOKED_FPS = Fraction(4)  # of a clip: mouths and lids that last less are rarely missed in minutes of footage
FEWEST_TOLD = 2  # frames of another person that are worth a line


@dataclass(frozen=True)
class Request:
    """How pictures are gone through. same: all faces are the person's. fps: how many frames a second of a clip."""

    same: bool = False
    fps: Fraction = LOOKED_FPS
    end_s: float | None = None
    max_pixels: int = MAX_PIXELS


@dataclass
class Gathering:
    """What was gathered of a person so far.

    portrait: who it is; None before the first face. keeps_main: whether one whole picture is kept.
    """

    analyzer: FaceAnalyzer
    request: Request = field(default_factory=Request)
    hooks: Hooks = field(default_factory=Hooks)
    portrait: Portrait | None = None
    person: Somebody | None = None
    seen: Seen = field(default_factory=Seen)
    reader: FaceReader = field(default_factory=FaceReader)
    keeps_main: bool = True

    def add_all(self, paths: Sequence[Path]) -> None:
        """Go through files. NoFaceError if none of them shows a face that can be kept."""
        for number, path in enumerate(paths, 1):
            self.add(path)
            if len(paths) > 1:
                self.hooks.progress(number, len(paths))
        if self.person is None:
            names = str(paths[0]) if len(paths) == 1 else f"{paths[0]} and {len(paths) - 1} more"
            raise NoFaceError(f"{names}: no face that can be kept; use pictures where it is larger and less hidden")

    def add(self, path: Path) -> None:
        """Go through a picture, a clip, or the views of a person file."""
        if is_person_file(path):
            for picture in all_pictures(path):
                self.add_picture(picture, path)
        elif sniff(path) == "video":
            self.add_clip(path)
        else:
            self.add_picture(read_image(path, max_pixels=self.request.max_pixels), path)

    def add_picture(self, frame: Frame, path: Path) -> None:
        """Read a picture (H, W, 3) of the file that messages name."""
        self.seen = replace(self.seen, pictures=self.seen.pictures + 1)
        # The quick search misses small faces only, and takes a tenth of the time: it counts for hundreds of pictures.
        faces = self.analyzer.faces(frame) or self.analyzer.faces(frame, thorough=True)
        chosen = self._choose(frame, faces)
        if chosen is None:
            self.hooks.warn(f"{path}: no face found; left out")
            return
        reading, place = chosen
        fault = fault_of(reading)
        away = 0.0 if self.portrait is None or self.request.same else self.portrait.distance(place)
        if away > (OTHER if len(faces) == 1 else SAME):
            self.hooks.warn(f"{path}: shows another person; left out (--same-person keeps it)")
        elif fault is not None and self.person is not None:
            self.hooks.warn(f"{path}: its face is {fault}; left out")
        else:  # the first picture is who is meant, however it is
            if away > SAME:
                self._say_doubt(path)
            shown = somebody(reading, place, 0, keeps_main=self.keeps_main)
            shown.take(frame, reading, place, 0)
            shown.habits = Habits()  # pictures are chosen: they do not tell how often a face is so
            self._take(shown)

    def _choose(self, frame: Frame, faces: Sequence[Face]) -> tuple[FaceReading, Points] | None:
        """Return the face of a picture that is most like the person; the largest while nobody is known."""
        likeness = load_likeness()
        readings = [self.reader.read(frame, face) for face in faces]
        read = [(reading, likeness(reading.descriptor)) for reading in readings]
        if self.portrait is None or self.request.same:
            return max(read, key=lambda one: one[0].facts.size_px, default=None)
        return min(read, key=lambda one: self.portrait.distance(one[1]), default=None)  # type: ignore[union-attr]

    def add_clip(self, path: Path) -> None:
        """Look at some frames a second of a clip."""
        info = probe_video(path, self.request.max_pixels)
        reading = ReadOptions(fps=_rate(info, self.request), end_s=self.request.end_s, warn=self.hooks.warn)
        fps = float(reading.fps or info.fps)
        total = round((min(info.duration_s, self.request.end_s or info.duration_s)) * fps)
        crowd, faults, count = Crowd(keeps_main=self.keeps_main), Counter[str](), 0
        with closing(read_video(path, reading, info)) as frames:
            for number, frame in enumerate(frames):
                count += 1
                self._look(frame, number / fps, crowd, faults)
                self.hooks.progress(count, total)
        person, others = crowd.person(self.portrait, same=self.request.same)
        if person is not None:
            known = None if self.request.same else self.portrait
            if known is not None and known.distance(person.portrait.sum) > known.limits(person.portrait)[0]:
                self._say_doubt(path)
            faults += drop_unfit(person)
        self._report(path, faults, count, others)
        self.seen = replace(self.seen, clips=self.seen.clips + 1, frames=self.seen.frames + count)
        if person is not None:
            self._take(person)
        elif not others:
            self.hooks.warn(f"{path}: no face that can be kept in any of {count} frames; left out")

    def _say_doubt(self, path: Path) -> None:
        self.hooks.warn(f"{path}: may show another person; kept (--same-person takes it without a word)")

    def _look(self, frame: Frame, time_s: float, crowd: Crowd, faults: Counter[str]) -> None:
        faces = self.analyzer.faces(frame)
        if not faces:
            faults[NO_FACE] += 1
        for face in faces:
            reading = self.reader.read(frame, face)
            fault = fault_of(reading)
            if fault is None:
                crowd.add(frame, reading, load_likeness()(reading.descriptor), time_s)
            elif len(faces) == 1:  # a small face beside others is nobody's fault
                faults[fault] += 1

    def _report(self, path: Path, faults: Counter[str], count: int, others: Sequence[Somebody]) -> None:
        line = fault_line(path, faults, count)
        if line is not None:
            self.hooks.warn(line)
        for other in others:
            if other.frames >= FEWEST_TOLD:
                where = f"at {other.first_s:.2f} s, in {other.frames} of {count} frames"
                self.hooks.warn(f"{path}: another person {where}; left out (--same-person keeps them)")

    def _take(self, shown: Somebody) -> None:
        """Add what a file shows of the person."""
        self.seen = replace(self.seen, used=self.seen.used + shown.frames)
        if self.person is None:
            self.person, self.portrait = shown, shown.portrait
        else:
            self.person.merge(shown)


def _rate(info: VideoInfo, request: Request) -> Fraction | None:
    """Return the rate at which a clip is looked at; None for its own, where that is lower."""
    return request.fps if info.fps > request.fps else None

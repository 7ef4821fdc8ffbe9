"""A call file: its frames as motions, its picture and its sound; and a call as driving."""

from __future__ import annotations

import contextlib
import mmap
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import ClassVar

from torch import Tensor

from vid2vid_cli.codec.beside import Beside
from vid2vid_cli.codec.header import StreamHeader, is_call
from vid2vid_cli.codec.packets import Kind
from vid2vid_cli.codec.space import MotionSpace
from vid2vid_cli.codec.stream import StreamReader, Tally
from vid2vid_cli.errors import CallFileError, MediaError, UsageError
from vid2vid_cli.media.audio import AudioSource
from vid2vid_cli.media.files import require_file
from vid2vid_cli.media.ogg import OpusPacket, packet_duration, write_opus
from vid2vid_cli.media.video import ReadOptions
from vid2vid_cli.models.base import HasBasis, ReenactmentModel, SendsBeside
from vid2vid_cli.motion import Motion
from vid2vid_cli.pipeline.driving.base import DrivenFrame, FileDriving, Reference
from vid2vid_cli.pipeline.driving.motion_reader import ReaderSetup
from vid2vid_cli.pipeline.driving.received import Received, is_picture, received
from vid2vid_cli.pipeline.driving.reference import (
    auto_reference,
    frames_in_time,
    no_key_picture,
    reference_of_frame,
    sampled_candidates,
)
from vid2vid_cli.process.scratch import Scratch


def is_call_file(path: Path) -> bool:
    """Say whether a file looks like a call, of whatever version and however damaged."""
    try:
        with path.open("rb") as file:
            return is_call(file.read(16))  # more than the mark that every version begins with
    except OSError:
        return False


def space_of(model: ReenactmentModel, keypoints: int, extra_shape: tuple[int, ...] | None) -> MotionSpace:
    """Return the space of numbers in which a model's motion is sent."""
    basis = model.basis if isinstance(model, HasBasis) else None
    if extra_shape and isinstance(model, SendsBeside):
        return MotionSpace(keypoints, basis, beside=model.beside_basis())
    return MotionSpace(keypoints, basis, extra_shape or None)


def with_beside(space: MotionSpace, beside: Beside | None, model: ReenactmentModel) -> MotionSpace:
    """Return the space of a call that also sends what moves beside the head, if it does so in the model's basis."""
    if beside is None or not isinstance(model, SendsBeside):
        return space
    basis = model.beside_basis()
    known = basis.identity == beside.basis_id and len(basis.components) == len(beside.scales)
    return replace(space, beside=basis) if known else space


def fitting_space(header: StreamHeader, model: ReenactmentModel, path: Path) -> MotionSpace:
    """Return the space of a call's own numbers. CallFileError unless it fits the model. path: for messages."""
    if header.family != model.name:
        raise CallFileError(
            f"{path}: a call of the {header.family} family does not fit -c {model.name}; "
            f"use -c {header.family} or encode it again"
        )
    space = space_of(model, header.keypoints, header.extra_shape)
    if space.basis_id != header.basis_id or space.expression_count != header.expression_count:
        raise CallFileError(
            f"{path}: was encoded with another basis of expressions than {model.name} has here; "
            "use the checkpoint that encoded it, or encode it again"
        )
    if header.keypoints != len(model.expression_mask("all")):
        raise CallFileError(f"{path}: has {header.keypoints} keypoints, which do not fit this checkpoint")
    return space


def damaged_picture(path: Path) -> CallFileError:
    """Return the error for a call whose key picture is not whole."""
    return CallFileError(f"{path}: its picture is missing or damaged; give one with --source")


class CallRecording:
    """A call file, mapped into memory until `close`. Its frames can be read any number of times."""

    def __init__(self, path: Path) -> None:
        """Open the file. CallFileError if its header is damaged or of another version."""
        require_file(path)
        self.path = path
        self._scratch: Scratch | None = None  # made when something is written into it
        try:
            with path.open("rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as error:
            raise MediaError(f"{path}: cannot be read: {error.strerror}; check its permissions") from error
        try:
            self.reader = StreamReader(self._map)
        except CallFileError as error:
            self._map.close()
            raise CallFileError(f"{path}: {error}") from error

    @property
    def header(self) -> StreamHeader:
        """The header of the stream."""
        return self.reader.header

    @property
    def fps(self) -> Fraction:
        """Frames per second."""
        return self.header.fps

    def count(self) -> int:
        """Count the frames, including missing ones."""
        return self.reader.count()

    def require_model(self, model: ReenactmentModel) -> MotionSpace:
        """Return the space of the call's numbers. CallFileError unless it fits the model."""
        return with_beside(fitting_space(self.header, model, self.path), self.reader.beside(), model)

    def frames(self, space: MotionSpace, tally: Tally | None = None) -> Iterator[Received]:
        """Yield every frame in order."""
        return received(self.reader.frames(tally), space, self.header)

    def reference(self, space: MotionSpace) -> Motion | None:
        """Return the motion that the key picture shows; None if that packet is missing."""
        numbers = self.reader.reference()
        return None if numbers is None else space.motion(numbers[None])

    def save_picture(self) -> Path:
        """Write the key picture into a scratch file that lives until `close`. CallFileError if it is not whole."""
        data = self.reader.picture()
        if data is None:
            raise damaged_picture(self.path)
        path = self._folder().file(f"picture of {self.path.stem}")
        path.write_bytes(data)
        return path

    def save_sound(self) -> Path | None:
        """Write the sound into a scratch file that lives until `close`. None if the call has no sound."""
        description = next((p.payload for p in self.reader.packets() if p.kind == Kind.SOUND), None)
        if description is None:
            return None
        path = self._folder().file("sound.ogg")
        write_opus(path, description, self._opus())
        return path

    def _opus(self) -> Iterator[OpusPacket]:
        time = 0  # in samples at 48 kHz
        for packet in self.reader.packets():
            duration = packet_duration(packet.payload) if packet.kind == Kind.AUDIO else 0
            # A packet that overlaps what is written came out of order. Ogg knows no way back.
            if duration and packet.time >= time:
                yield OpusPacket(packet.time, duration, packet.payload)
                time = packet.time + duration

    def _folder(self) -> Scratch:
        if self._scratch is None:
            self._scratch = Scratch(Path(tempfile.gettempdir()) / "call").open()
        return self._scratch

    def close(self) -> None:
        """Remove the scratch files and release the file."""
        if self._scratch is not None:
            self._scratch.close()
            self._scratch = None
        # A generator of frames that was not read to its end still holds the map, which is released with it.
        with contextlib.suppress(BufferError):
            self._map.close()


def describe_losses(path: Path, tally: Tally) -> str | None:
    """Say in one line what was missing in a call; None if it was whole."""
    parts = []
    # A lost packet costs more than its own frame: those up to the next key build on it.
    if tally.missing:
        parts.append(
            f"{tally.lost} of {tally.frames} frames were lost or damaged and {tally.waited} could not be used "
            f"before the next key; the last motion was held, for at most {tally.longest_wait} frames"
        )
    if tally.late:
        parts.append(f"{tally.late} packets out of order were ignored")
    if not tally.is_complete:
        parts.append("its end is missing")
    return f"{path}: {'; '.join(parts)}" if parts else None


@dataclass(kw_only=True, eq=False)
class CallDriving(FileDriving):
    """A call that `vid2vid encode` wrote. chosen: the numbers (N,) of its frames to play. warn: takes a line."""

    suffixes: ClassVar = frozenset({".v2v"})

    recording: CallRecording
    space: MotionSpace
    chosen: Tensor
    warn: Callable[[str], None]

    @classmethod
    def detect(cls, path: Path) -> bool:
        """Say whether a file looks like a call, however damaged."""
        return is_call_file(path)

    @classmethod
    def open(cls, path: Path, reading: ReadOptions, setup: ReaderSetup) -> CallDriving:
        """Open a call file. CallFileError if it is damaged or does not fit the model."""
        recording = CallRecording(path)
        try:
            space, fps = recording.require_model(setup.model), reading.fps or recording.fps
            space = space if setup.follows else replace(space, beside=None)
            count = recording.count()
            if not count:
                raise CallFileError(f"{path}: holds no frame; encode it again")
            chosen = frames_in_time(count, recording.fps, reading)
            if not len(chosen):
                raise UsageError(f"{path}: no frame between --start and --end")
            sound = recording.save_sound()
            # The sound starts with the first frame that is played, not at --start, which may lie between two frames.
            start_s = float(int(chosen[0]) / recording.fps)
            audio = None if sound is None else AudioSource(sound, start_s, reading.end_s)
        except BaseException:
            recording.close()
            raise
        return cls(
            path=path,
            fps=fps,
            count=len(chosen),
            audio=audio,
            recording=recording,
            space=space,
            chosen=chosen,
            warn=reading.warn,
        )

    def frames(self) -> Iterator[DrivenFrame]:
        """Yield the chosen frames, then warn of losses. A missing frame shows the last motion and counts as found."""
        tally = Tally()
        coming = self.recording.frames(self.space, tally)
        yield from self._choose(coming)
        for _ in coming:  # the warning is about the whole file, beyond --end too
            pass
        losses = describe_losses(self.path, tally)
        if losses is not None:
            self.warn(losses)

    def _preview(self) -> Iterator[DrivenFrame]:
        """Yield the chosen frames to look ahead, without a warning."""
        return self._choose(self.recording.frames(self.space))

    def _choose(self, coming: Iterator[Received]) -> Iterator[DrivenFrame]:
        # `chosen` never goes back, and repeats a frame where --fps is higher than the call's own rate.
        index, frame = 0, next(coming)
        patches = frame.patches
        for wanted in self.chosen.tolist():
            while index < wanted:
                index, frame = index + 1, next(coming)
                patches += frame.patches
            yield DrivenFrame(frame.motion, frame.is_shown, None, patches=patches)
            patches = ()

    def is_of(self, picture: Path) -> bool:
        """Say whether a picture is the one that the call carries."""
        return is_picture(picture, self.recording.reader.picture())

    def know_shape(self, shape: Tensor) -> None:
        """Add it to all motions."""
        self.space = replace(self.space, shape=shape)

    def find_reference(self, model: ReenactmentModel, own: Motion, frame: str) -> Reference:
        """Return the key picture, a frame, or for `auto` the rest in the first seconds."""
        if frame == "picture":
            reference = self.recording.reference(self.space)
            if reference is None:
                raise no_key_picture(self.path)
            return Reference(reference)
        if frame != "auto":
            return reference_of_frame(self._preview(), frame, self.count, self.path)
        candidates = sampled_candidates(self._preview(), self.fps)
        if not candidates:
            raise self.no_face()
        return auto_reference(model, candidates, own)

    def close(self) -> None:
        """Release the file and the scratch files of its picture and sound."""
        self.recording.close()

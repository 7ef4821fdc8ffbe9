"""A call file that is read: its frames as motions, its picture and its sound."""

from __future__ import annotations

import contextlib
import mmap
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from vid2vid_cli.codec.header import StreamHeader, is_call
from vid2vid_cli.codec.packets import Kind
from vid2vid_cli.codec.space import MotionSpace, Numbers
from vid2vid_cli.codec.stream import Moment, StreamReader, Tally
from vid2vid_cli.errors import CallFileError, MediaError
from vid2vid_cli.media.files import require_file
from vid2vid_cli.media.ogg import OpusPacket, packet_duration, write_opus
from vid2vid_cli.models.base import HasBasis, ReenactmentModel
from vid2vid_cli.motion import Motion
from vid2vid_cli.process.scratch import Scratch


@dataclass(frozen=True)
class Received:
    """A frame of a call. motion: of one frame, its own or the last one known; None before any.

    found: whether a face was seen. is_missing: whether its packet is of no use, so that the last motion holds.
    """

    motion: Motion | None
    found: bool
    is_missing: bool

    @property
    def is_shown(self) -> bool:
        """Whether the frame counts as one with a face: one that is missing shows the last motion."""
        return self.found or (self.is_missing and self.motion is not None)


def is_call_file(path: Path) -> bool:
    """Say whether a file looks like a call, of whatever version and however damaged."""
    try:
        with path.open("rb") as file:
            return is_call(file.read(16))
    except OSError:
        return False


def space_of(model: ReenactmentModel, keypoints: int, extra_shape: tuple[int, ...] | None) -> MotionSpace:
    """Return the numbers by which a model's motion is sent."""
    basis = model.basis if isinstance(model, HasBasis) else None
    return MotionSpace(keypoints, basis, extra_shape or None)


def fitting_space(header: StreamHeader, model: ReenactmentModel, path: Path) -> MotionSpace:
    """Return the space of a call's numbers; CallFileError unless it fits the model. path: for messages."""
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
        raise CallFileError(f"{path}: has {header.keypoints} keypoints and not those of this checkpoint")
    return space


def received(moments: Iterable[Moment], space: MotionSpace) -> Iterator[Received]:
    """Yield every moment with its motion, the same object again where its numbers are."""
    last: tuple[Numbers, Motion] | None = None
    for moment in moments:
        if moment.numbers is not None and (last is None or last[0] is not moment.numbers):
            last = moment.numbers, space.motion(moment.numbers[None])
        yield Received(None if last is None else last[1], moment.found, moment.is_missing)


def no_picture(path: Path) -> CallFileError:
    """Return the error of a call whose key picture is not whole."""
    return CallFileError(f"{path}: its picture is missing or damaged; give one with --source")


class CallRecording:
    """A call file, mapped into memory; to be closed. Frames can be read any number of times."""

    def __init__(self, path: Path) -> None:
        """Open it. CallFileError for a damaged header or another version."""
        require_file(path)
        self.path = path
        self._scratch: Scratch | None = None
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
        """What the stream says of itself."""
        return self.reader.header

    @property
    def fps(self) -> Fraction:
        """Frames a second."""
        return self.header.fps

    def count(self) -> int:
        """Count the frames, those that are missing included."""
        return self.reader.count()

    def require_model(self, model: ReenactmentModel) -> MotionSpace:
        """Return the space of the call's numbers; CallFileError unless it fits the model."""
        return fitting_space(self.header, model, self.path)

    def frames(self, space: MotionSpace, tally: Tally | None = None) -> Iterator[Received]:
        """Yield every frame in order."""
        return received(self.reader.frames(tally), space)

    def reference(self, space: MotionSpace) -> Motion | None:
        """Return the motion that the key picture shows."""
        numbers = self.reader.reference()
        return None if numbers is None else space.motion(numbers[None])

    def save_picture(self) -> Path:
        """Write the key picture into a scratch file that lives until `close`. CallFileError where there is none."""
        data = self.reader.picture()
        if data is None:
            raise no_picture(self.path)
        path = self._folder().file(f"picture of {self.path.stem}")
        path.write_bytes(data)
        return path

    def save_sound(self) -> Path | None:
        """Write the sound into a scratch file that lives until `close`; None where there is none."""
        description = next((p.payload for p in self.reader.packets() if p.kind == Kind.SOUND), None)
        if description is None:
            return None
        path = self._folder().file("sound.ogg")
        write_opus(path, description, self._opus())
        return path

    def _opus(self) -> Iterator[OpusPacket]:
        time = 0
        for packet in self.reader.packets():
            duration = packet_duration(packet.payload) if packet.kind == Kind.AUDIO else 0
            if duration and packet.time >= time:
                yield OpusPacket(packet.time, duration, packet.payload)
                time = packet.time + duration

    def _folder(self) -> Scratch:
        if self._scratch is None:
            self._scratch = Scratch(Path(tempfile.gettempdir()) / "call").open()
        return self._scratch

    def close(self) -> None:
        """Remove the scratch files and let the file go."""
        if self._scratch is not None:
            self._scratch.close()
            self._scratch = None
        with contextlib.suppress(BufferError):
            self._map.close()


def tell_missing(path: Path, tally: Tally) -> str | None:
    """Say in a line what was missing in a call; None where nothing was."""
    parts = []
    if tally.missing:
        parts.append(
            f"{tally.lost} of {tally.frames} frames were lost or damaged and {tally.waited} could not be used "
            f"before the next key; the last motion was held, {tally.longest_wait} frames at most"
        )
    if tally.late:
        parts.append(f"{tally.late} packets out of order were passed over")
    if not tally.is_complete:
        parts.append("its end is missing")
    return f"{path}: {'; '.join(parts)}" if parts else None

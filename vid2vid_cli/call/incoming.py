"""A call that comes in by a pipe: a driving whose frames are there as soon as their packets are."""

from __future__ import annotations

import contextlib
import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain
from pathlib import Path

from vid2vid_cli.codec.coder import MotionDecoder
from vid2vid_cli.codec.header import StreamHeader
from vid2vid_cli.codec.incoming import IncomingStream
from vid2vid_cli.codec.packets import Kind, Packet
from vid2vid_cli.codec.space import MotionSpace, Numbers
from vid2vid_cli.codec.stream import FRAMES, Beginning, Moment, Receiver, Tally
from vid2vid_cli.errors import CallFileError, Vid2VidError
from vid2vid_cli.media.pipe import NAME, parts_of
from vid2vid_cli.media.video import ReadOptions
from vid2vid_cli.models.base import ReenactmentModel
from vid2vid_cli.motion import Motion
from vid2vid_cli.pipeline.call_recording import fitting_space, received, tell_missing
from vid2vid_cli.pipeline.driving import DrivenFrame, Driving

PATH = Path(NAME)
LATE_S = 0.2
"""How far behind its time a frame may be before it gives way to a newer one."""


@dataclass(frozen=True)
class Arrival:
    """A packet, and when it came, by time.perf_counter. is_last: whether nothing newer had come by then."""

    packet: Packet
    came_s: float
    is_last: bool


@dataclass(frozen=True)
class Opening:
    """What a call has sent up to its first frame, and all that will come.

    picture: the key picture's file, None where a piece of it is missing. reference: the numbers of the motion that it
    shows, or those of the first key. early: the frames that have come by then.
    """

    header: StreamHeader
    space: MotionSpace
    picture: bytes | None
    reference: Numbers
    early: list[Arrival]
    coming: Iterator[Arrival]


@dataclass
class IncomingCall(Driving):
    """Frames as they come, each once. count: 0, since nobody knows."""

    _opening: Opening | None = None
    catches_up: bool = True
    """Whether a frame may be shown again where rendering is too slow."""
    tally: Tally = field(default_factory=Tally)
    came_s: deque[float] = field(default_factory=deque)
    """When the frames that were yielded came; whoever shows one takes the first away."""

    @property
    def opening(self) -> Opening:
        """What has come before the first frame."""
        if self._opening is None:
            raise ValueError("an incoming call needs an opening")
        return self._opening

    def frames(self) -> Iterator[DrivenFrame]:
        """Yield a frame for each packet, before the next one comes, and those that are missing before it."""
        opening = self.opening
        # Whoever comes late has not missed what was before.
        receiver = Receiver(opening.header, self.tally, first=opening.early[0].packet.time)
        clock, late = Clock(self.fps, LATE_S if self.catches_up else math.inf), 0
        frames = received(self._moments(receiver, clock), opening.space)
        for frame in frames:
            yield DrivenFrame(frame.motion, frame.is_shown, None, is_repeat=frame.is_missing or clock.is_late)
            late += clock.is_late
        self._report(late)

    def _moments(self, receiver: Receiver, clock: Clock) -> Iterator[Moment]:
        for arrival in chain(self.opening.early, self.opening.coming):
            for moment in receiver.take(arrival.packet):
                clock.look(is_last=arrival.is_last)
                self.came_s.append(arrival.came_s)
                yield moment
            if self.tally.is_complete:
                return

    def _report(self, late: int) -> None:
        missing = tell_missing(PATH, self.tally)
        if missing is not None:
            self._reading.warn(missing)
        if late:
            self._reading.warn(
                f"{NAME}: {late} of {self.tally.frames} frames came faster than they could be rendered, and the one "
                "before was shown again; a smaller --size is quicker, --every-frame renders all and falls behind"
            )

    def find_reference(self, model: ReenactmentModel, own: Motion, frame: str) -> Motion:
        """Return what the picture shows, whoever is moved by it: nobody can wait for a better one."""
        return self.opening.space.motion(self.opening.reference[None])

    def no_face(self) -> Vid2VidError:
        """Return the error of a call of which no frame could be used."""
        return CallFileError(f"{NAME}: no frame of the call could be used; it must be sent again")


class Clock:
    """Tells which frames are not worth rendering: a newer one is there already, and time runs away.

    is_late: whether the frame that was looked at last is such a one. A call that is faster than its frame rate, such
    as a file in a pipe, is never late.
    """

    def __init__(self, fps: Fraction, limit_s: float) -> None:
        """Wait for the first frame. limit_s: how far behind its time a frame may be."""
        self._fps, self._limit_s = float(fps), limit_s
        self._began_s, self._count = math.inf, 0
        self.is_late = False

    def look(self, *, is_last: bool) -> None:
        """Look at the next frame, whose turn is now. is_last: of those that have come. Time began with the earliest."""
        began_s = time.perf_counter() - self._count / self._fps
        self._began_s, self._count = min(self._began_s, began_s), self._count + 1
        self.is_late = not is_last and began_s - self._began_s > self._limit_s


def open_incoming(
    descriptor: int, model: ReenactmentModel, warn: Callable[[str], None], *, catches_up: bool
) -> IncomingCall:
    """Open a call on a descriptor; waits for its first frame, and for a key where what its picture shows is lost."""
    tally = Tally()
    opening = _open(IncomingStream(tally), parts_of(descriptor), model)
    reading = ReadOptions(warn=warn)
    return IncomingCall(
        PATH, opening.header.fps, 0, False, catches_up=catches_up, tally=tally, _opening=opening, _reading=reading
    )


def _open(stream: IncomingStream, parts: Iterable[bytes], model: ReenactmentModel) -> Opening:
    coming = _arrivals(stream, parts)
    early: list[Arrival] = []
    beginning: Beginning | None = None
    for arrival in coming:
        header, packet = stream.require_header(), arrival.packet
        if beginning is None:
            space, beginning = fitting_space(header, model, PATH), Beginning(header)
        beginning.take(packet)
        if packet.kind in FRAMES:
            early.append(arrival)
            reference = beginning.reference if beginning.reference is not None else _key_of(packet, header)
            if reference is not None:
                return Opening(header, space, beginning.picture, reference, early, coming)
        if packet.kind == Kind.END:
            break
    raise CallFileError(f"{NAME}: the call ended before its first frame")


def _arrivals(stream: IncomingStream, parts: Iterable[bytes]) -> Iterator[Arrival]:
    """Yield each packet as soon as it is whole. CallFileError where there is no header."""
    try:
        for part in parts:
            came_s = time.perf_counter()
            packets = list(stream.take(part))
            last = max((i for i, packet in enumerate(packets) if packet.kind in FRAMES), default=0)
            for index, packet in enumerate(packets):
                yield Arrival(packet, came_s, is_last=index >= last)
        stream.end()
    except CallFileError as error:
        raise CallFileError(f"{NAME}: {error}") from error


def _key_of(packet: Packet, header: StreamHeader) -> Numbers | None:
    """Return the numbers of a key; None where it is damaged or none."""
    with contextlib.suppress(CallFileError):
        return MotionDecoder(header.scales).key(packet.payload) if packet.kind == Kind.KEY else None
    return None

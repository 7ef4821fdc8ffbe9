"""A call that comes in by a pipe: a driving whose frames can be played as soon as their packets arrive."""

from __future__ import annotations

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import chain
from pathlib import Path

from torch import Tensor

from vid2vid_cli.codec.beginning import Beginning
from vid2vid_cli.codec.beside import Beside
from vid2vid_cli.codec.header import StreamHeader
from vid2vid_cli.codec.incoming import IncomingStream
from vid2vid_cli.codec.packets import FRAMES, Kind, Packet
from vid2vid_cli.codec.space import MotionSpace, Numbers
from vid2vid_cli.codec.stream import Moment, Receiver, Tally
from vid2vid_cli.errors import CallFileError, UsageError, Vid2VidError
from vid2vid_cli.media.pipe import NAME, parts_of
from vid2vid_cli.models.base import ReenactmentModel
from vid2vid_cli.motion import Motion
from vid2vid_cli.pipeline.driving.base import DrivenFrame, Reference
from vid2vid_cli.pipeline.driving.call_file import describe_losses, fitting_space, with_beside
from vid2vid_cli.pipeline.driving.live import LATE_S, Clock, LiveDriving
from vid2vid_cli.pipeline.driving.received import Received, is_picture, received
from vid2vid_cli.pipeline.driving.rest_so_far import RestSoFar

PATH = Path(NAME)


@dataclass(frozen=True)
class Arrival:
    """A packet as it arrived.

    arrived_s: by time.perf_counter. is_last: whether nothing newer had arrived with it.
    """

    packet: Packet
    arrived_s: float
    is_last: bool


@dataclass(frozen=True)
class Opening:
    """What a call has sent up to its first usable frame, and the stream of what follows.

    picture: the bytes of the key picture's file, None if a piece of it is missing. reference: the numbers of the
    motion that the picture shows, or those of the first key. beside: what is said of numbers that follow those of the
    header. early: the frames that have arrived by then.
    """

    header: StreamHeader
    space: MotionSpace
    picture: bytes | None
    reference: Numbers
    beside: Beside | None
    early: list[Arrival]
    coming: Iterator[Arrival]


@dataclass(kw_only=True, eq=False)
class IncomingCall(LiveDriving):
    """A live call as driving.

    catches_up: whether the previous frame is shown again when rendering is too slow. warn: takes a line.
    arrived_s: when the yielded frames arrived, oldest first. The consumer removes one entry per frame shown.
    """

    opening: Opening
    catches_up: bool
    tally: Tally
    warn: Callable[[str], None]
    arrived_s: deque[float] = field(default_factory=deque)
    _rest: RestSoFar | None = field(default=None, init=False)

    def arriving(self) -> Iterator[DrivenFrame]:
        """Yield a frame for each packet as it arrives, and before it those that went missing in between."""
        opening = self.opening
        # A receiver who joins late has not lost the frames before the first one that it got.
        first = opening.early[0].packet.time
        receiver = Receiver(opening.header, self.tally, first, opening.beside)
        # Without catching up no frame is ever late, and all are rendered.
        clock, late = Clock(self.fps, LATE_S if self.catches_up else math.inf), 0
        frames = received(self._moments(receiver, clock), opening.space, opening.header)
        for number, frame in enumerate(frames):
            is_repeat = frame.is_missing or clock.is_late
            rest = self._learn_rest(frame, number)
            yield DrivenFrame(frame.motion, frame.is_shown, None, is_repeat=is_repeat, patches=frame.patches, rest=rest)
            late += clock.is_late
        self._report(late)

    def _learn_rest(self, frame: Received, number: int) -> Motion | None:
        """Return how the sender's face rests, as far as is known; None where what the key picture shows counts."""
        if self._rest is None or frame.motion is None or not frame.found:
            return None
        return self._rest.see(frame.motion, number / float(self.fps)).motion

    def _moments(self, receiver: Receiver, clock: Clock) -> Iterator[Moment]:
        for arrival in chain(self.opening.early, self.opening.coming):
            for moment in receiver.take(arrival.packet):
                clock.observe(is_last=arrival.is_last)
                self.arrived_s.append(arrival.arrived_s)
                yield moment
            if self.tally.is_complete:  # the end was announced: do not wait for the pipe to be closed
                return

    def _report(self, late: int) -> None:
        """Warn of frames that were lost, and of those that were late."""
        losses = describe_losses(PATH, self.tally)
        if losses is not None:
            self.warn(losses)
        if late:
            self.warn(
                f"{NAME}: {late} of {self.tally.frames} frames came faster than they could be rendered, and the "
                "previous frame was shown again; a smaller --size is faster, --every-frame renders all and falls behind"
            )

    def find_reference(self, model: ReenactmentModel, own: Motion, frame: str) -> Reference:
        """Return what the key picture shows: a live call cannot wait for a better one.

        With `auto`, the sender's rest is learnt from then on and comes with the frames.
        """
        if frame not in ("auto", "picture"):
            raise UsageError(f"--reference-frame {frame}: a live call cannot wait for a frame; write picture")
        shown = self.opening.space.motion(self.opening.reference[None])
        if frame == "auto":
            self._rest = RestSoFar(model)
            self._rest.see(shown, -1 / float(self.fps))
        return Reference(shown)

    def is_of(self, picture: Path) -> bool:
        """Say whether a picture is the one that the call carries."""
        return is_picture(picture, self.opening.picture)

    def know_shape(self, shape: Tensor) -> None:
        """Add it to all motions."""
        self.opening = replace(self.opening, space=replace(self.opening.space, shape=shape))

    def no_face(self) -> Vid2VidError:
        """Return the error for a call of which no frame could be used."""
        return CallFileError(f"{NAME}: no frame of the call could be used; it must be sent again")


def open_incoming(
    descriptor: int,
    model: ReenactmentModel,
    warn: Callable[[str], None],
    *,
    catches_up: bool,
    follows: bool = True,
) -> IncomingCall:
    """Open a call on a file descriptor. follows: whether movement beside the head counts.

    Waits for its first frame, or for its first key if the packet that says what the picture shows was lost.
    """
    tally = Tally()
    opening = _open(IncomingStream(tally), parts_of(descriptor), model, follows=follows)
    return IncomingCall(
        path=PATH, fps=opening.header.fps, opening=opening, catches_up=catches_up, tally=tally, warn=warn
    )


def _open(stream: IncomingStream, parts: Iterable[bytes], model: ReenactmentModel, *, follows: bool) -> Opening:
    coming = _arrivals(stream, parts)  # consumed here up to the first frame, then by IncomingCall
    early: list[Arrival] = []
    beginning: Beginning | None = None
    for arrival in coming:
        header, packet = stream.require_header(), arrival.packet
        if beginning is None:
            own, beginning = fitting_space(header, model, PATH), Beginning(header)
        beginning.take(packet)
        # The picture comes before the first frame, in pieces. What is missing of it by now will not come.
        if packet.kind in FRAMES:
            early.append(arrival)
            reference = beginning.reference if beginning.reference is not None else beginning.key_of(packet)
            if reference is not None:
                space = with_beside(own, beginning.beside, model) if follows else own
                return Opening(header, space, beginning.picture, reference, beginning.beside, early, coming)
        if packet.kind == Kind.END:
            break
    raise CallFileError(f"{NAME}: the call ended before its first frame")


def _arrivals(stream: IncomingStream, parts: Iterable[bytes]) -> Iterator[Arrival]:
    """Yield each packet as soon as it is whole. CallFileError if the stream does not begin with a header."""
    try:
        for part in parts:
            arrived_s = time.perf_counter()
            packets = list(stream.take(part))
            # Only a newer frame makes one late, not a packet of sound or picture behind it.
            last = max((i for i, packet in enumerate(packets) if packet.kind in FRAMES), default=0)
            for index, packet in enumerate(packets):
                yield Arrival(packet, arrived_s, is_last=index >= last)
        stream.end()
    except CallFileError as error:
        raise CallFileError(f"{NAME}: {error}") from error

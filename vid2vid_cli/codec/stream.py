"""A whole stream: frames to packets and back, whatever happens to the packets on the way."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace

from vid2vid_cli.codec.beginning import CHUNK, MOST_CHUNKS, Beginning
from vid2vid_cli.codec.beside import Beside, Patch
from vid2vid_cli.codec.coder import MotionDecoder, MotionEncoder
from vid2vid_cli.codec.header import StreamHeader, read_header
from vid2vid_cli.codec.packets import FRAMES, LONGEST_PAYLOAD, Bytes, Damage, Kind, Packet, read_packets
from vid2vid_cli.codec.space import Numbers
from vid2vid_cli.errors import CallFileError

LONGEST_HEADER = 1 << 17
MOST_MISSING = 1 << 16
"""A packet that claims more missing frames before it counts as damaged."""
MOST_PATCHES = 16
"""Patches between two frames that are kept; a writer sends one at a time."""
_TIMED = FRAMES | {Kind.END}
_CHECK_BYTES = 4


class StreamWriter:
    """Writes a stream to `put`, packet by packet and without delay; each frame is one packet."""

    def __init__(
        self, put: Callable[[bytes], object], header: StreamHeader, key_interval: int, beside: Beside | None = None
    ) -> None:
        """Write the header. key_interval: frames from one key to the next. beside: the numbers that follow its own."""
        whole = header.write()
        self._put, self._beside, self._interval = put, beside, key_interval
        self._seed = int.from_bytes(whole[-_CHECK_BYTES:], "little")
        self._scales = header.scales if beside is None else header.scales.joined(beside.scales)
        self._encoder = MotionEncoder(self._scales)
        self._frame = 0
        self._next_key = 0
        self.sizes: Counter[int] = Counter()
        """Bytes of all packets so far, by type."""
        put(whole)

    def _send(self, kind: Kind, time: int, payload: bytes = b"") -> None:
        packet = Packet(kind, time, payload).write(self._seed)
        self.sizes[kind] += len(packet)
        self._put(packet)

    def picture(self, data: bytes, numbers: Numbers) -> None:
        """Send the key picture, a whole image file, and the numbers of the motion that it shows."""
        room = LONGEST_PAYLOAD - CHUNK.size
        pieces = [data[at : at + room] for at in range(0, len(data), room)]
        if len(pieces) > MOST_CHUNKS:
            raise CallFileError("the key picture is too large for a call; use a smaller --size or --key-quality")
        if self._beside is not None:  # before the first numbers that it is about
            self._send(Kind.BESIDE, self._frame, self._beside.write())
        for index, piece in enumerate(pieces):
            self._send(Kind.PICTURE, self._frame, CHUNK.pack(index, len(pieces)) + piece)
        # An encoder of its own: the reference is no part of the sequence of frames.
        self._send(Kind.REFERENCE, self._frame, MotionEncoder(self._scales).key(numbers))

    def patch(self, frame: int, patch: Patch) -> None:
        """Send a piece of what the camera saw in a frame, by its number."""
        self._send(Kind.PATCH, frame, patch.write(self._scales))

    def frame(self, numbers: Numbers | None) -> None:
        """Send the next frame. numbers: None if no face is seen; the last motion is held then."""
        # A key that falls on a frame without a face is made up for on the next one with a face.
        if numbers is None:
            self._send(Kind.HOLD, self._frame)
        elif self._frame >= self._next_key:
            self._send(Kind.KEY, self._frame, self._encoder.key(numbers))
            self._next_key = self._frame + self._interval
        else:
            self._send(Kind.DELTA, self._frame, self._encoder.delta(numbers))
        self._frame += 1

    def sound(self, description: bytes) -> None:
        """Send what a sound decoder needs to start: the identification header of Ogg Opus."""
        self._send(Kind.SOUND, 0, description)

    def audio(self, time: int, packet: bytes) -> None:
        """Send one Opus packet. time: the number of its first sample, at 48 kHz."""
        self._send(Kind.AUDIO, time, packet)

    def end(self) -> None:
        """Send the end of the stream."""
        self._send(Kind.END, self._frame)


@dataclass(frozen=True)
class Moment:
    """One frame as it was received.

    numbers: its own, or the last known ones; None before any. found: whether a face was seen in this very frame.
    is_missing: whether its packet was lost or damaged, or depends on one that was. patches: those that came before it.
    """

    numbers: Numbers | None
    found: bool
    is_missing: bool
    patches: tuple[Patch, ...] = ()


@dataclass
class Tally:
    """Counts of what a stream held.

    sizes, counts: bytes and packets by type. found, held: frames with and without a face. lost: packets of frames that
    never arrived or arrived damaged. waited: packets that arrived but could not be decoded before the next key.
    resyncs: how often a key restored decoding. longest_wait: most missing frames in a row. late: packets out of order.
    damaged: bytes that are not a packet.
    """

    sizes: Counter[int] = field(default_factory=Counter)
    counts: Counter[int] = field(default_factory=Counter)
    found: int = 0
    held: int = 0
    lost: int = 0
    waited: int = 0
    resyncs: int = 0
    longest_wait: int = 0
    late: int = 0
    damaged: int = 0
    is_complete: bool = False

    @property
    def frames(self) -> int:
        """All frames, missing ones included."""
        return self.found + self.held + self.missing

    @property
    def missing(self) -> int:
        """Frames whose packets were lost or could not be decoded; the last motion is held for them."""
        return self.lost + self.waited

    def meet(self, met: Packet | Damage, size: int) -> None:
        """Count a packet or damage of `size` bytes."""
        if isinstance(met, Damage):
            self.damaged += size
        else:
            self.counts[met.kind] += 1
            self.sizes[met.kind] += size


class StreamReader:
    """Reads a stream from bytes or a mapped file. Only a damaged header is an error."""

    def __init__(self, data: Bytes) -> None:
        """Read the header. CallFileError says what is wrong with it."""
        self._data = data
        head = data[:LONGEST_HEADER]  # a copy: slices of a mapped file are bytes
        self.header, self._start = read_header(head)
        self._seed = int.from_bytes(head[self._start - _CHECK_BYTES : self._start], "little")

    @property
    def header_size(self) -> int:
        """The size of the header in bytes."""
        return self._start

    def packets(self, tally: Tally | None = None) -> Iterator[Packet]:
        """Yield all whole packets in the order of the stream. tally: counts them."""
        tally = tally or Tally()
        before = self._start
        for met, end in read_packets(self._data, self._start, self._seed):
            tally.meet(met, end - before)
            if isinstance(met, Packet):
                yield met
            before = end

    def picture(self) -> bytes | None:
        """Return the key picture's file; None if there is none or a piece of it is missing."""
        return self._beginning(lambda beginning: beginning.picture is not None).picture

    def reference(self) -> Numbers | None:
        """Return the numbers of the motion that the key picture shows; None if they are missing."""
        return self._beginning(lambda beginning: beginning.reference is not None).reference

    def beside(self) -> Beside | None:
        """Return what is said of the numbers that follow those of the header; None if nothing is."""
        return self._beginning(lambda beginning: beginning.has_frames).beside

    def _beginning(self, is_enough: Callable[[Beginning], bool]) -> Beginning:
        """Read what a stream sends once, until it is enough."""
        beginning = Beginning(self.header)
        for packet in self.packets():
            beginning.take(packet)
            if is_enough(beginning):
                break
        return beginning

    def count(self) -> int:
        """Count the frames, missing ones included, without decoding them."""
        count = 0
        for packet in self.packets():
            # The same rule as Receiver.take: late packets and absurd times are passed over.
            if packet.kind in _TIMED and 0 <= packet.time - count <= MOST_MISSING:
                if packet.kind == Kind.END:
                    return packet.time
                count = packet.time + 1
        return count

    def frames(self, tally: Tally | None = None) -> Iterator[Moment]:
        """Yield every frame once and in order, missing ones included. tally: counts them."""
        receiver = Receiver(self.header, tally or Tally())
        for packet in self.packets(receiver.tally):
            yield from receiver.take(packet)
            if receiver.tally.is_complete:
                return


class Receiver:
    """Turns packets into frames as they arrive."""

    def __init__(self, header: StreamHeader, tally: Tally, first: int = 0, beside: Beside | None = None) -> None:
        """Start at a frame.

        first: its number; frames before it do not count as missing. beside: of numbers that follow those of the header,
        if it has come already.
        """
        self.tally = tally
        self._own, self._beside = header.scales, beside
        self._scales = self._own if beside is None else self._own.joined(beside.scales)
        self._decoder = MotionDecoder(self._scales)
        self._patches: list[Patch] = []
        self._expected = first
        self._numbers: Numbers | None = None
        self._wait = 0

    def take(self, packet: Packet) -> Iterator[Moment]:
        """Yield the frames missing before a packet, then its own."""
        if packet.kind not in _TIMED:
            with contextlib.suppress(CallFileError):  # what cannot be read costs nothing but itself
                self._take_beside(packet)
            return
        missing = packet.time - self._expected
        if not 0 <= missing <= MOST_MISSING:
            self.tally.late += 1
            return
        # The end carries the count of frames, so frames lost right before it are known as well.
        for _ in range(missing):
            self.tally.lost += 1
            self._decoder.lose_step()  # a delta now refers to a frame that never came
            yield self._miss()
        self._expected = packet.time
        if packet.kind == Kind.END:
            self.tally.is_complete = True
            return
        self._expected += 1
        moment = self._hold() if packet.kind == Kind.HOLD else self._decode(packet)
        patches, self._patches = tuple(self._patches), []
        yield replace(moment, patches=patches) if patches else moment

    def _take_beside(self, packet: Packet) -> None:
        if packet.kind == Kind.BESIDE and self._beside is None:
            self._beside = Beside.read(packet.payload)
            self._scales = self._own.joined(self._beside.scales)
        elif packet.kind == Kind.PATCH and len(self._patches) < MOST_PATCHES:
            self._patches.append(Patch.read(packet.payload, self._scales))

    def _decode(self, packet: Packet) -> Moment:
        try:
            if packet.kind == Kind.KEY:
                if self._scales is not self._decoder.scales:  # a key begins anew, with all numbers that are known of
                    self._decoder = MotionDecoder(self._scales)
                self._numbers = self._decoder.key(packet.payload)
            elif self._decoder.is_in_step:
                self._numbers = self._decoder.delta(packet.payload)
            else:
                self.tally.waited += 1
                return self._miss()
        except CallFileError:
            self.tally.lost += 1
            return self._miss()
        self.tally.resyncs += self._wait > 0
        self._wait = 0
        self.tally.found += 1
        return Moment(self._numbers, found=True, is_missing=False)

    def _hold(self) -> Moment:
        self.tally.held += 1
        return Moment(self._numbers, found=False, is_missing=False)

    def _miss(self) -> Moment:
        self._wait += 1
        self.tally.longest_wait = max(self.tally.longest_wait, self._wait)
        return Moment(self._numbers, found=False, is_missing=True)

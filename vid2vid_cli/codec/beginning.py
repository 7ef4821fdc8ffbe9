"""What a stream sends once, at its beginning."""

from __future__ import annotations

import contextlib
import struct

from vid2vid_cli.codec.beside import Beside
from vid2vid_cli.codec.coder import MotionDecoder
from vid2vid_cli.codec.header import StreamHeader
from vid2vid_cli.codec.packets import FRAMES, Kind, Packet
from vid2vid_cli.codec.quantizer import Scales
from vid2vid_cli.codec.space import Numbers
from vid2vid_cli.errors import CallFileError

MOST_CHUNKS = 1 << 13
CHUNK = struct.Struct("<HH")  # index of a piece of the picture, count of all pieces


class Beginning:
    """Collects what a stream sends once.

    picture: the key picture's file. reference: the numbers of the motion that it shows. beside: what is said of
    numbers that follow those of the header. All are None until complete. has_frames: whether the first frame has come.
    """

    def __init__(self, header: StreamHeader) -> None:
        self._header = header
        self.beside: Beside | None = None
        self.has_frames = False
        self._pieces: dict[int, bytes] = {}
        self.picture: bytes | None = None
        self.reference: Numbers | None = None

    def take(self, packet: Packet) -> None:
        """Keep what a packet holds; of each item the first whole one counts."""
        if packet.kind == Kind.PICTURE and self.picture is None and len(packet.payload) >= CHUNK.size:
            index, count = CHUNK.unpack_from(packet.payload)
            self._add_piece(index, count, packet.payload[CHUNK.size :])
        elif packet.kind == Kind.REFERENCE and self.reference is None:
            # A damaged reference counts as missing: the picture alone can be used.
            with contextlib.suppress(CallFileError):
                self.reference = MotionDecoder(self._scales).key(packet.payload)
        elif packet.kind == Kind.BESIDE and self.beside is None:
            with contextlib.suppress(CallFileError):
                self.beside = Beside.read(packet.payload)
        self.has_frames |= packet.kind in FRAMES

    def key_of(self, packet: Packet) -> Numbers | None:
        """Return the numbers of a key packet; None if it is damaged, or of another kind."""
        with contextlib.suppress(CallFileError):
            return MotionDecoder(self._scales).key(packet.payload) if packet.kind == Kind.KEY else None
        return None

    @property
    def _scales(self) -> Scales:
        return self._header.scales if self.beside is None else self._header.scales.joined(self.beside.scales)

    def _add_piece(self, index: int, count: int, piece: bytes) -> None:
        # Sizes in a packet are a claim: nothing is kept for a picture that no writer makes.
        if not index < count <= MOST_CHUNKS:
            return
        self._pieces[index] = piece
        if len(self._pieces) == count and all(i in self._pieces for i in range(count)):
            self.picture = b"".join(self._pieces[i] for i in range(count))
            self._pieces = {}

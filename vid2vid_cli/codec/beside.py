"""What a stream sends beside the head: numbers that follow those of the header in a frame's packet, and patches.

Both came after the first readers. Those skip the packets that are described here, and read a frame's own numbers as
if nothing followed them.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from vid2vid_cli.codec.coder import MotionDecoder, MotionEncoder
from vid2vid_cli.codec.header import read_records, write_records
from vid2vid_cli.codec.packets import LONGEST_PAYLOAD, read_number, write_number
from vid2vid_cli.codec.quantizer import Scales
from vid2vid_cli.codec.space import BASIS_ID_BYTES, Numbers
from vid2vid_cli.errors import CallFileError

MOST_BESIDE = 512  # numbers; more do not fit into a packet with their records
_PLACE = struct.Struct("<4H")  # left, top, width, height


@dataclass(frozen=True)
class Beside:
    """Numbers of what moves beside the head. basis_id: 8 bytes, which basis they are of. scales: of all E of them."""

    basis_id: bytes
    scales: Scales

    def write(self) -> bytes:
        """Return the payload of a packet."""
        return self.basis_id + write_records(self.scales)

    @classmethod
    def read(cls, payload: bytes) -> Beside:
        """Read the payload of a packet. CallFileError if it makes no sense."""
        try:
            scales = read_records(payload[BASIS_ID_BYTES:])
        except ValueError as error:
            raise CallFileError("a packet that says nothing of what moves beside the head") from error
        if not 1 <= len(scales) <= MOST_BESIDE:
            raise CallFileError("a packet with no sane count of numbers")
        return cls(payload[:BASIS_ID_BYTES], scales)


@dataclass(frozen=True)
class Patch:
    """A piece of what the camera saw in one frame.

    numbers: (D,) or (D + E,), the motion of that frame. place: left, top, width and height in px of the key picture.
    file: an image file, which may have fewer pixels than its place.
    """

    numbers: Numbers
    place: tuple[int, int, int, int]
    file: bytes

    def write(self, scales: Scales) -> bytes:
        """Return the payload of a packet. ValueError if it does not fit into one."""
        motion = MotionEncoder(scales).key(self.numbers)
        payload = _PLACE.pack(*self.place) + write_number(len(motion)) + motion + self.file
        if len(payload) > LONGEST_PAYLOAD:
            raise ValueError(f"a patch of {len(payload)} bytes does not fit into a packet")
        return payload

    @classmethod
    def read(cls, payload: bytes, scales: Scales) -> Patch:
        """Read the payload of a packet. CallFileError if it makes no sense; its picture is not looked at."""
        try:
            left, top, width, height = _PLACE.unpack_from(payload)
            length, at = read_number(payload, _PLACE.size)
        except (struct.error, ValueError) as error:
            raise CallFileError("a patch that ends too early") from error
        if not (width and height) or len(payload) <= at + length:
            raise CallFileError("a patch without a picture")
        numbers = MotionDecoder(scales).key(payload[at : at + length])
        return cls(numbers, (left, top, width, height), payload[at + length :])

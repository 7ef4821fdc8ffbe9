"""The header of a stream: what a reader must know before the first packet. docs/bitstream.md lists every field."""

from __future__ import annotations

import math
import struct
import zlib
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from vid2vid_cli.codec.quantizer import LARGEST_FIRST_STATE, Scales
from vid2vid_cli.codec.space import BASIS_ID_BYTES, POSE_COUNT
from vid2vid_cli.errors import CallFileError

# As in PNG: a byte above 127, and line ends that a transfer as text would change.
MAGIC = b"\x8fV2V\r\n\x1a\n"
VERSION = 1
MOST_NUMBERS = 4096
_START = struct.Struct("<8sHH")  # magic, version, length of the body
_BODY = struct.Struct("<32s8sIIHHHHB")  # up to the extra's dimensions
_SCALES = np.dtype([("step", "<u4"), ("key", "<u4"), ("delta", "<u4")])
_CHECK = struct.Struct("<I")


@dataclass(frozen=True)
class StreamHeader:
    """What a stream contains.

    family, checkpoint: the name, and the sha256 of the checkpoint (32 bytes). basis_id: 8 bytes, zeros for none.
    size: (height, width) of the picture in px. keypoints, expression_count, extra_shape: see MotionSpace.
    """

    family: str
    checkpoint: bytes
    basis_id: bytes
    fps: Fraction
    size: tuple[int, int]
    keypoints: int
    expression_count: int
    extra_shape: tuple[int, ...]
    scales: Scales

    def write(self) -> bytes:
        """Return the bytes of the header, checksum included."""
        fps = self.fps.limit_denominator(1 << 24)
        family = self.family.encode("ascii")
        body = _BODY.pack(
            self.checkpoint,
            self.basis_id,
            fps.numerator,
            fps.denominator,
            *self.size,
            self.keypoints,
            self.expression_count,
            len(self.extra_shape),
        )
        body += struct.pack(f"<{len(self.extra_shape)}H", *self.extra_shape)
        body = bytes([len(family)]) + family + body + write_records(self.scales)
        whole = _START.pack(MAGIC, VERSION, len(body)) + body
        return whole + _CHECK.pack(zlib.crc32(whole))


def write_records(scales: Scales) -> bytes:
    """Return what is said of each number: 12 bytes each."""
    records = np.zeros(len(scales), _SCALES)
    records["step"], records["key"], records["delta"] = scales.steps, scales.key_states, scales.delta_states
    return records.tobytes()


def read_records(data: bytes) -> Scales:
    """Read what is said of each number. ValueError where a record is not whole or out of range."""
    table = np.frombuffer(data, _SCALES)
    scales = Scales(*(table[name].astype(np.int64) for name in _SCALES.names or ()))
    states = np.concatenate([scales.key_states, scales.delta_states])
    if (scales.steps < 1).any() or (states > LARGEST_FIRST_STATE).any():
        raise ValueError("steps or states out of range")
    return scales


def is_call(head: bytes) -> bool:
    """Say whether a file that begins like this is a call, of any version."""
    return head[: len(MAGIC)] == MAGIC


def can_tell(data: bytes) -> bool:
    """Say whether the beginning of a stream is enough for `read_header`: a whole header, or one that it refuses."""
    if not is_call(data):
        return not MAGIC.startswith(data[: len(MAGIC)])
    if len(data) < _START.size:
        return False
    _, version, length = _START.unpack_from(data)
    is_whole = len(data) >= _START.size + length + _CHECK.size
    return is_whole or bool(version != VERSION)


def read_header(data: bytes) -> tuple[StreamHeader, int]:
    """Return the header, and where the packets begin. CallFileError says what is wrong."""
    if not is_call(data):
        raise CallFileError("not a call file of vid2vid; make one with vid2vid encode")
    if len(data) < _START.size:
        raise CallFileError("ends within its header; send or copy it again")
    _, version, length = _START.unpack_from(data)
    if version != VERSION:
        mending = "update vid2vid" if version > VERSION else "it is damaged"
        raise CallFileError(f"call format {version}, and this vid2vid reads {VERSION}; {mending}")
    end = _START.size + length
    if len(data) < end + _CHECK.size:
        raise CallFileError("ends within its header; send or copy it again")
    # The checksum covers all before it, so what follows cannot be damage but only nonsense.
    if zlib.crc32(data[:end]) != _CHECK.unpack_from(data, end)[0]:
        raise CallFileError("its header is damaged; send or copy it again")
    try:
        return _read_body(data[_START.size : end]), end + _CHECK.size
    except (struct.error, IndexError, ValueError, ZeroDivisionError) as error:
        raise CallFileError("its header makes no sense; encode it again") from error


def _read_body(body: bytes) -> StreamHeader:
    name_end = 1 + body[0]
    family = body[1:name_end].decode("ascii")
    checkpoint, basis_id, numerator, denominator, height, width, keypoints, expressions, dimensions = _BODY.unpack_from(
        body, name_end
    )
    shape_at = name_end + _BODY.size
    shape = struct.unpack_from(f"<{dimensions}H", body, shape_at)
    count = POSE_COUNT + expressions + (math.prod(shape) if shape else 0)
    records = body[shape_at + 2 * dimensions :]
    has_basis = basis_id != bytes(BASIS_ID_BYTES)
    is_sound = numerator > 0 and height > 0 and width > 0 and (has_basis or expressions == 3 * keypoints)
    if not is_sound or 0 in shape or count > MOST_NUMBERS or len(records) != count * _SCALES.itemsize:
        raise ValueError("fields that contradict each other")
    scales = read_records(records)
    fps = Fraction(numerator, denominator)
    return StreamHeader(family, checkpoint, basis_id, fps, (height, width), keypoints, expressions, shape, scales)

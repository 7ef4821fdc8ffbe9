"""Small streams of made-up motion, for tests of the codec that need no face."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from fractions import Fraction

import numpy as np

from vid2vid_cli.codec.header import StreamHeader
from vid2vid_cli.codec.packets import Packet
from vid2vid_cli.codec.quantizer import Scales
from vid2vid_cli.codec.space import MotionSpace, Numbers
from vid2vid_cli.codec.stream import StreamReader, StreamWriter

SPACE = MotionSpace(keypoints=5, extra_shape=(2, 2))
CHECK = 4


def make_header(step_px: float = 0.25, space: MotionSpace = SPACE) -> StreamHeader:
    return StreamHeader(
        family="facevid2vid",
        checkpoint=bytes(range(32)),
        basis_id=space.basis_id,
        fps=Fraction(30000, 1001),
        size=(120, 160),
        keypoints=space.keypoints,
        expression_count=space.expression_count,
        extra_shape=space.extra_shape or (),
        scales=Scales.design(space, step_px),
    )


def make_numbers(count: int, seed: int = 0) -> Numbers:
    """Return a walk of a few px a frame: (count, D)."""
    rng = np.random.default_rng(seed)
    walk = rng.normal(size=(count, SPACE.count)).cumsum(0)
    return walk * 0.7 / SPACE.effect()


def make_stream(
    numbers: list[Numbers | None], interval: int = 8, picture: bytes = b"\xff\xd8picture" * 1000, step_px: float = 0.25
) -> bytes:
    """Return a stream of frames, None for one without a face."""
    parts: list[bytes] = []
    writer = StreamWriter(parts.append, make_header(step_px), interval)
    first = next(n for n in numbers if n is not None)
    writer.picture(picture, first)
    writer.sound(b"OpusHead and so on")
    for index, one in enumerate(numbers):
        writer.audio(1600 * index, bytes([index % 256]) * 30)
        writer.frame(one)
    writer.end()
    return b"".join(parts)


def edit_packets(data: bytes, edit: Callable[[Packet], Packet | None]) -> bytes:
    """Return a stream with every packet edited, or left out, and its checksum right again."""
    reader = StreamReader(data)
    head = data[: reader.header_size]
    seed = int.from_bytes(head[-CHECK:], "little")
    edited = [edit(packet) for packet in reader.packets()]
    return head + b"".join(packet.write(seed) for packet in edited if packet is not None)


@contextlib.contextmanager
def piped(data: bytes) -> Iterator[int]:
    """Give a descriptor from which data can be read, as much as a pipe holds."""
    reading, writing = os.pipe()
    os.write(writing, data)
    os.close(writing)
    try:
        yield reading
    finally:
        os.close(reading)

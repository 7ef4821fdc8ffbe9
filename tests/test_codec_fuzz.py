"""Streams that somebody has damaged, or made up: no crash, no hang, nothing read past a packet. Bounded and seeded."""

from __future__ import annotations

import itertools
import tracemalloc
import zlib

import numpy as np

from tests.support.amount import fuzz_count
from tests.support.streams import CHECK, SPACE, make_numbers, make_stream
from vid2vid_cli.codec.coder import MotionDecoder, MotionEncoder
from vid2vid_cli.codec.header import read_header
from vid2vid_cli.codec.incoming import IncomingStream
from vid2vid_cli.codec.packets import LONGEST_PAYLOAD, SYNC, Kind, Packet, read_packets
from vid2vid_cli.codec.quantizer import LIMIT, Scales
from vid2vid_cli.codec.stream import MOST_MISSING, StreamReader, Tally
from vid2vid_cli.errors import CallFileError

PAYLOADS, HEADERS = fuzz_count(10_000, 70_000), fuzz_count(3_000, 20_000)
FILES, CHECKED_FILES = fuzz_count(1_000, 7_000), fuzz_count(700, 5_000)  # `make fuzz` tries 102000 in all
FRAMES = 12


def mutate(data: bytes, rng: np.random.Generator) -> bytes:
    """Flip, drop, repeat, cut or make up a few bytes."""
    out = bytearray(data)
    for _ in range(int(rng.integers(1, 4))):
        at = int(rng.integers(0, len(out) + 1))
        kind = int(rng.integers(0, 5))
        length = int(rng.integers(1, 9))
        if kind == 0 and at < len(out):
            out[at] ^= 1 << int(rng.integers(0, 8))
        elif kind == 1:
            del out[at : at + length]
        elif kind == 2:
            out[at:at] = out[at : at + length]
        elif kind == 3:
            del out[at:]
        else:
            out[at:at] = rng.bytes(length)
    return bytes(out)


def read_all(data: bytes) -> int:
    """Read everything that a stream has; returns how many frames that gave."""
    try:
        reader = StreamReader(data)
    except CallFileError:
        return 0
    tally, frames = Tally(), 0
    for moment in reader.frames(tally):
        frames += 1
        assert moment.numbers is None or np.isfinite(moment.numbers).all()
    assert frames == tally.frames == reader.count()
    reader.picture()
    reader.reference()
    return frames


def test_payloads() -> None:
    """Whatever a payload holds, numbers within the limits come out, or an error."""
    rng = np.random.default_rng(1)
    scales, numbers = Scales.design(SPACE, 0.25), make_numbers(FRAMES)
    encoder = MotionEncoder(scales)
    key, *deltas = [encoder.key(numbers[0]), *(encoder.delta(n) for n in numbers[1:])]
    largest = LIMIT * scales.steps / (1 << 24)
    decoder, refused = MotionDecoder(scales), 0
    for index in range(PAYLOADS):
        try:
            if decoder.is_in_step and index % 20:
                got = decoder.delta(mutate(deltas[index % len(deltas)], rng))
            else:
                got = decoder.key(mutate(key, rng))
            assert (np.abs(got) <= largest).all()
        except CallFileError:
            refused += 1
            assert not decoder.is_in_step
    assert refused < PAYLOADS / 2  # most are read as something: the checksum is what tells


def test_headers() -> None:
    """A header whose checksum was made right again, as an attacker would, is sound or refused."""
    rng = np.random.default_rng(2)
    whole = make_stream(list(make_numbers(1)))
    head = whole[: StreamReader(whole).header_size]
    for _ in range(HEADERS):
        body = mutate(head[:-CHECK], rng)
        if rng.integers(0, 2):  # with the length right, too
            body = body[:10] + max(0, len(body) - 12).to_bytes(2, "little") + body[12:]
        try:
            header, end = read_header(body + zlib.crc32(body).to_bytes(CHECK, "little"))
        except CallFileError:
            continue
        assert end <= len(body) + CHECK
        assert header.fps > 0 and min(header.size) > 0 and len(header.scales) <= 4096


def test_files() -> None:
    rng = np.random.default_rng(3)
    whole = make_stream(list(make_numbers(FRAMES)), picture=bytes(100))
    assert read_all(whole) == FRAMES
    start = StreamReader(whole).header_size
    read = [read_all(whole[:start] + mutate(whole[start:], rng)) for _ in range(FILES)]
    # Damage never adds frames, and most of the time it leaves most of them.
    assert max(read) <= FRAMES and np.mean(read) > FRAMES / 3


def test_streams_that_come_in_parts() -> None:
    """Every byte after the header is one of a packet or a damaged one, whatever the parts."""
    rng = np.random.default_rng(6)
    whole = make_stream(list(make_numbers(FRAMES)), picture=bytes(100))
    start = StreamReader(whole).header_size
    for _ in range(1000):
        rest = mutate(whole[start:], rng)
        tally = Tally()
        stream = IncomingStream(tally)
        list(stream.take(whole[:start]))
        cuts = [0, *sorted(rng.integers(0, len(rest) + 1, 12).tolist()), len(rest)]
        for one, other in itertools.pairwise(cuts):
            list(stream.take(rest[one:other]))
        stream.end()
        assert sum(tally.sizes.values()) + tally.damaged == len(rest)


def test_files_whose_checksums_were_made_right_again() -> None:
    rng = np.random.default_rng(4)
    whole = make_stream([None, *make_numbers(FRAMES)], picture=bytes(100))
    reader = StreamReader(whole)
    packets = list(reader.packets())
    seed = int.from_bytes(whole[reader.header_size - CHECK : reader.header_size], "little")
    for _ in range(CHECKED_FILES):
        edited = list(packets)
        for _ in range(int(rng.integers(1, 4))):
            at = int(rng.integers(0, len(edited)))
            one = edited[at]
            kind = int(rng.choice([one.kind, *Kind]))
            time_ = int(rng.choice([one.time, 0, one.time + 1, int(rng.integers(0, 1 << 41))]))
            if 300 < time_ <= MOST_MISSING:  # thousands of missing frames, which are no error, but slow
                time_ %= 300
            edited[at] = Packet(kind, time_, mutate(one.payload, rng) if rng.integers(0, 2) else one.payload)
        frames = read_all(whole[: reader.header_size] + b"".join(packet.write(seed) for packet in edited))
        assert frames <= FRAMES + 1 + 3 * 300


def test_packets_lie_within_the_data() -> None:
    """Every byte belongs to one packet or one stretch of damage, in order, up to the end."""
    rng = np.random.default_rng(5)
    whole = make_stream(list(make_numbers(FRAMES)), picture=bytes(100))
    reader = StreamReader(whole)
    seed = int.from_bytes(whole[reader.header_size - CHECK : reader.header_size], "little")
    for _ in range(1000):
        data = mutate(whole, rng)
        at = min(reader.header_size, len(data))
        ends = [end for _, end in read_packets(data, at, seed)]
        assert ends == sorted(ends) and all(at < end <= len(data) for end in ends)
        assert not ends or ends[-1] == len(data)


def test_a_stream_made_of_marks_does_not_hang() -> None:
    """The worst there is: marks everywhere, each before what claims to be a longest packet. It takes seconds."""
    length = bytes([0x80 | LONGEST_PAYLOAD & 0x7F, LONGEST_PAYLOAD >> 7])
    evil = (SYNC + bytes([Kind.KEY]) + length + b"\0") * 60_000
    whole = make_stream(list(make_numbers(1)))
    data = whole[: StreamReader(whole).header_size] + evil
    assert read_all(data) == 0


def test_memory_does_not_grow_with_what_a_stream_claims() -> None:
    """Hundreds of thousands of frames that are said to be missing are yielded one by one."""
    whole = make_stream(list(make_numbers(2)), picture=b"x")
    reader = StreamReader(whole)
    seed = int.from_bytes(whole[reader.header_size - CHECK : reader.header_size], "little")
    far = b"".join(Packet(Kind.HOLD, 60_000 * index, b"").write(seed) for index in range(1, 4))
    tracemalloc.start()
    frames = sum(1 for _ in StreamReader(whole[: -len(Packet(Kind.END, 2, b"").write(seed))] + far).frames())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert frames == 180_001 and peak < 2_000_000

"""The codec of calls: bytes that are the same everywhere, nothing lost but by the steps, and loss that heals."""

from __future__ import annotations

import itertools
import tracemalloc
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.bitstream_reader import RangeDecoder, read_integers, read_stream
from tests.support.streams import CHECK, SPACE, edit_packets, make_header, make_numbers, make_stream
from vid2vid_cli.codec.coder import MotionDecoder, MotionEncoder
from vid2vid_cli.codec.entropy import RATIOS, decode_numbers, encode_numbers, follow, make_frequencies
from vid2vid_cli.codec.header import MAGIC, read_header
from vid2vid_cli.codec.incoming import IncomingStream
from vid2vid_cli.codec.packets import FRAMES, Kind, Packet, read_number, write_number
from vid2vid_cli.codec.quantizer import LIMIT, STEP_UNIT, Scales
from vid2vid_cli.codec.space import MotionSpace
from vid2vid_cli.codec.stream import Moment, StreamReader, StreamWriter, Tally
from vid2vid_cli.errors import CallFileError
from vid2vid_cli.geometry.rotation import rotation_from_pose
from vid2vid_cli.motion import Motion

INTERVAL = 8
GOLDEN_SMALL = "de7b3ce26d9012"
GOLDEN_ESCAPES = "fe8922fffd42a99efffffffffffffffe475555b728e61412c481d906"


def frames_of(data: bytes, tally: Tally | None = None) -> list[Moment]:
    return list(StreamReader(data).frames(tally))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_any_integers_come_back(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 60))
    states = data.draw(st.lists(st.integers(0, 1 << 28), min_size=count, max_size=count))
    numbers = data.draw(st.lists(st.integers(-(1 << 23), 1 << 23), min_size=count, max_size=count))
    payload = encode_numbers(np.array(numbers), np.array(states))
    assert decode_numbers(payload, np.array(states)).tolist() == numbers
    assert read_integers(payload, states) == numbers  # the second reader, in plain integers


def test_golden_bytes() -> None:
    """Catches a library or a machine that codes otherwise: the calls of others could not be read any more."""
    states = np.array([0, 3, 40, 200, 900, 5000, 1 << 17, 1 << 27])
    golden = {
        (0, 0, 0, 0, 0, 0, 0, 0): "",
        (0, 0, 1, -1, 3, -20, 500, -400_000): GOLDEN_SMALL,
        (1, -40, 33, -35, 100_000, 4_194_304, -1, 7): GOLDEN_ESCAPES,
    }
    made = {numbers: encode_numbers(np.array(numbers), states).hex() for numbers in golden}
    assert made == golden


def test_tables_hold_every_symbol_and_sum_up() -> None:
    for ratio in RATIOS:
        frequencies = make_frequencies(ratio)
        assert sum(frequencies) == 1 << 20 and len(frequencies) == 64
        assert frequencies[1] == frequencies[2] and min(frequencies[:3]) > 0


def test_a_frame_without_change_takes_no_payload() -> None:
    assert encode_numbers(np.zeros(39, np.int64), np.zeros(39, np.int64)) == b""


def test_states_follow_what_comes() -> None:
    states = np.array([0, 2560])
    for _ in range(100):
        states = follow(states, np.array([-10, 0]))
    assert abs(states[0] - 2560) <= 8 and states[1] <= 8


@given(st.integers(0, (1 << 42) - 1))
def test_packet_numbers(value: int) -> None:
    written = write_number(value)
    assert read_number(written + b"\xff", 0) == (value, len(written))


def test_numbers_come_back_within_their_steps() -> None:
    """And not within less: the loop is closed, so that errors do not add up."""
    scales = Scales.design(SPACE, 0.5)
    encoder, decoder = MotionEncoder(scales), MotionDecoder(scales)
    numbers = make_numbers(200)
    got = [decoder.key(encoder.key(numbers[0]))] + [decoder.delta(encoder.delta(n)) for n in numbers[1:]]
    error = np.abs(np.array(got) - numbers) / (scales.steps / STEP_UNIT)
    assert error.max() <= 0.6 + 1e-6
    assert error[1:].mean() > 0.15


def test_every_step_moves_the_points_alike() -> None:
    scales = Scales.design(SPACE, 0.5)
    assert np.allclose(scales.steps / STEP_UNIT * SPACE.effect(), 0.5, rtol=1e-3)


def test_motion_of_any_family_comes_back() -> None:
    rng = torch.Generator().manual_seed(3)
    angles = (torch.rand(3, 6, generator=rng) - 0.5) * 2
    motion = Motion(
        rotation_from_pose(*angles),
        torch.randn(6, 3, generator=rng),
        torch.rand(6, 1, generator=rng) + 0.5,
        torch.randn(6, 5, 3, generator=rng),
        torch.randn(6, 2, 2, generator=rng),
    )
    back = SPACE.motion(SPACE.numbers(motion))
    for ours, theirs in zip(back.tensors(), motion.tensors(), strict=True):
        assert torch.allclose(ours, theirs, atol=1e-5)
    with pytest.raises(ValueError, match="numbers in a space"):
        MotionSpace(keypoints=5).numbers(motion)


def test_header_fields_come_back() -> None:
    header = make_header()
    written = header.write()
    read, end = read_header(written + b"more")
    assert end == len(written)
    for name in ("family", "checkpoint", "basis_id", "fps", "size", "keypoints", "expression_count", "extra_shape"):
        assert getattr(read, name) == getattr(header, name)
    assert np.array_equal(read.scales.steps, header.scales.steps)
    assert np.array_equal(read.scales.key_states, header.scales.key_states)
    assert np.array_equal(read.scales.delta_states, header.scales.delta_states)


def test_the_second_reader_agrees_on_a_made_up_stream() -> None:
    numbers = [None, *make_numbers(30), None, *make_numbers(5, seed=1)]
    data = make_stream(numbers, INTERVAL)
    theirs, ours = read_stream(data), StreamReader(data)
    assert (theirs.family, theirs.fps, theirs.size) == (ours.header.family, ours.header.fps, ours.header.size)
    assert theirs.picture == ours.picture() and theirs.extra == (2, 2) and theirs.total == len(numbers)
    assert [kind for kind, _ in theirs.frames[:10]] == list("HKDDDDDDDK")
    for (kind, integers), moment in zip(theirs.frames, ours.frames(), strict=True):
        assert moment.found == (kind != "H")
        if integers is not None and moment.numbers is not None:
            assert [float(x) for x in theirs.numbers(integers)] == moment.numbers.tolist()
    assert len(theirs.audio) == len(numbers) and theirs.sound == b"OpusHead and so on"


def test_the_second_reader_notices_damage() -> None:
    with pytest.raises(ValueError, match="damaged"):
        decoder = RangeDecoder(b"\xff" * 8)
        decoder.range = 1 << 40
        decoder.place()


def test_lost_packets_hold_and_heal_at_the_next_key() -> None:
    numbers = make_numbers(40)
    whole = make_stream(list(numbers), INTERVAL)
    lost = edit_packets(whole, lambda p: None if p.kind == Kind.DELTA and p.time == 11 else p)
    tally = Tally()
    before, after = frames_of(whole), frames_of(lost, tally)
    assert len(after) == 40
    for index, (one, other) in enumerate(zip(before, after, strict=True)):
        assert one.numbers is not None and other.numbers is not None
        expected = before[10].numbers if 11 <= index < 16 else one.numbers
        assert np.array_equal(other.numbers, expected), index
        assert other.is_missing == (11 <= index < 16)
    assert (tally.lost, tally.waited, tally.resyncs, tally.longest_wait, tally.is_complete) == (1, 4, 1, 5, True)


def test_a_lost_key_is_waited_out() -> None:
    whole = make_stream(list(make_numbers(40)), INTERVAL)
    tally = Tally()
    lost = edit_packets(whole, lambda p: None if p.kind == Kind.KEY and p.time == 16 else p)
    frames = frames_of(lost, tally)
    assert [i for i, f in enumerate(frames) if f.is_missing] == list(range(16, 24))
    assert (tally.lost, tally.waited) == (1, 7)


def test_the_end_that_is_missing_is_noticed() -> None:
    whole = make_stream(list(make_numbers(40)), INTERVAL, picture=b"small")
    for cut in (len(whole) - 1, len(whole) // 2):
        tally = Tally()
        frames = frames_of(whole[:cut], tally)
        assert 0 < len(frames) <= 40 and not tally.is_complete


def test_frames_lost_before_the_end_are_counted() -> None:
    whole = make_stream(list(make_numbers(40)), INTERVAL)
    tally = Tally()
    cut = edit_packets(whole, lambda p: None if p.kind in (Kind.KEY, Kind.DELTA) and p.time >= 35 else p)
    assert len(frames_of(cut, tally)) == 40 and tally.lost == 5 and tally.is_complete


def test_packets_in_the_wrong_order_are_passed_over() -> None:
    whole = make_stream(list(make_numbers(20)), INTERVAL)
    reader = StreamReader(whole)
    packets = list(reader.packets())
    at = next(i for i, p in enumerate(packets) if p.kind == Kind.DELTA and p.time == 5)
    packets[at], packets[at + 2] = packets[at + 2], packets[at]
    seed = int.from_bytes(whole[reader.header_size - 4 : reader.header_size], "little")
    tally = Tally()
    frames = frames_of(whole[: reader.header_size] + b"".join(p.write(seed) for p in packets), tally)
    assert len(frames) == 20 and tally.late == 1 and tally.missing > 0


def test_a_packet_that_claims_an_age_of_missing_frames_is_passed_over() -> None:
    whole = make_stream(list(make_numbers(20)), INTERVAL)
    far = edit_packets(whole, lambda p: replace(p, time=1 << 40) if p.kind == Kind.DELTA and p.time == 5 else p)
    assert len(frames_of(far)) == 20


@pytest.mark.parametrize("what", ["payload", "length", "a whole part"])
def test_damaged_bytes_cost_no_more_than_their_packets(what: str) -> None:
    whole = make_stream(list(make_numbers(60)), INTERVAL)
    before = frames_of(whole)
    reader = StreamReader(whole)
    packets = [p for p in reader.packets() if p.kind == Kind.DELTA and p.time == 30]
    seed = int.from_bytes(whole[reader.header_size - 4 : reader.header_size], "little")
    place = whole.index(packets[0].write(seed))
    damaged = bytearray(whole)
    if what == "payload":
        damaged[place + 4] ^= 0x55
    elif what == "length":
        damaged[place + 1] ^= 0x15
    else:
        damaged[place : place + 40] = bytes(40)
    tally = Tally()
    after = frames_of(bytes(damaged), tally)
    assert len(after) == 60 and tally.damaged > 0 and tally.is_complete
    assert [f.is_missing for f in after] == [30 <= i < 32 for i in range(60)]  # 32 is a key
    for one, other in zip(before[32:], after[32:], strict=True):
        assert one.numbers is not None and other.numbers is not None
        assert np.array_equal(one.numbers, other.numbers)


def test_a_damaged_piece_of_the_picture_is_no_picture() -> None:
    whole = make_stream(list(make_numbers(10)), picture=bytes(30_000))
    assert StreamReader(whole).picture() == bytes(30_000)
    damaged = bytearray(whole)
    damaged[StreamReader(whole).header_size + 9000] ^= 1
    assert StreamReader(bytes(damaged)).picture() is None
    assert len(frames_of(bytes(damaged))) == 10


def test_a_newer_version_is_refused_by_name() -> None:
    newer = bytearray(make_stream(list(make_numbers(3))))
    newer[8:10] = (2).to_bytes(2, "little")
    with pytest.raises(CallFileError, match=r"call format 2.*reads 1; update vid2vid"):
        StreamReader(bytes(newer))


def test_the_checksum_covers_the_version() -> None:
    """A stream of version 2 whose version was damaged into 1 is not read as version 1."""
    header = bytearray(make_header().write())
    header[9] = 1
    header[8:10] = (1).to_bytes(2, "little")
    header[10] ^= 1
    with pytest.raises(CallFileError):
        StreamReader(bytes(header))


def test_packets_of_another_stream_are_damage() -> None:
    one, other = make_stream(list(make_numbers(20)), step_px=0.25), make_stream(list(make_numbers(20)), step_px=0.3)
    mixed = one[: StreamReader(one).header_size] + other[StreamReader(other).header_size :]
    tally = Tally()
    assert frames_of(mixed, tally) == [] and tally.damaged == len(other) - StreamReader(other).header_size


@pytest.mark.parametrize("cut", [3, 10, 40])
def test_a_header_cut_short_is_an_error(cut: int) -> None:
    with pytest.raises(CallFileError):
        StreamReader(make_header().write()[:cut])


@pytest.mark.parametrize("shape", [(0,), (32768, 32768, 32768, 32768, 16)])
def test_an_extra_of_no_sane_size_is_refused(shape: tuple[int, ...]) -> None:
    """Its product is 0, the second's in 64 bits: there are as many numbers as without any."""
    scales = make_header(space=MotionSpace(keypoints=5)).scales
    with pytest.raises(CallFileError, match="makes no sense"):
        read_header(replace(make_header(), extra_shape=shape, scales=scales).write())


def test_unknown_types_are_passed_over() -> None:
    parts: list[bytes] = []
    writer = StreamWriter(parts.append, make_header(), INTERVAL)
    numbers = make_numbers(4)
    writer.picture(b"x", numbers[0])
    seed = int.from_bytes(parts[0][-4:], "little")
    for one in numbers:
        writer.frame(one)
        parts.append(Packet(ord("Z"), 7, b"from the future").write(seed))
    writer.end()
    tally = Tally()
    assert len(frames_of(b"".join(parts), tally)) == 4 and tally.damaged == 0 and tally.missing == 0


def test_numbers_out_of_range_are_a_damaged_packet() -> None:
    scales = make_header().scales
    payload = encode_numbers(np.full(len(scales), LIMIT + 1), scales.key_states)
    with pytest.raises(CallFileError, match="out of range"):
        MotionDecoder(scales).key(payload)


def test_large_values_are_clipped_not_wrapped() -> None:
    scales = make_header().scales
    got = MotionDecoder(scales).key(MotionEncoder(scales).key(np.full(len(scales), 1e9)))
    assert (got == LIMIT * scales.steps / STEP_UNIT).all()


def test_the_magic_is_that_of_the_text() -> None:
    assert MAGIC.hex() == "8f5632560d0a1a0a" and make_header().fps == Fraction(30000, 1001)


def take_in_parts(data: bytes, cuts: list[int]) -> tuple[list[Packet], Tally]:
    """Return the packets of a stream that comes in parts, and what was counted."""
    tally = Tally()
    stream = IncomingStream(tally)
    edges = [0, *sorted(cuts), len(data)]
    got = [packet for start, stop in itertools.pairwise(edges) for packet in stream.take(data[start:stop])]
    stream.end()
    return got, tally


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 13_000), max_size=40))
def test_a_stream_in_parts_gives_the_same_packets(cuts: list[int]) -> None:
    data = make_stream(list(make_numbers(20)))
    whole = Tally()
    expected = list(StreamReader(data).packets(whole))
    got, tally = take_in_parts(data, cuts)
    assert got == expected
    assert (tally.counts, tally.sizes, tally.damaged) == (whole.counts, whole.sizes, 0)


def test_a_packet_is_there_with_its_last_byte() -> None:
    data = make_stream(list(make_numbers(3)))
    tally = Tally()
    stream, reader = IncomingStream(tally), StreamReader(data)
    wanted, at = list(reader.packets()), []
    for index in range(len(data)):
        at += [index for _ in stream.take(data[index : index + 1])]
    seed = int.from_bytes(data[reader.header_size - CHECK : reader.header_size], "little")
    ends = np.cumsum([len(packet.write(seed)) for packet in wanted]) + reader.header_size - 1
    assert at == ends.tolist()


def test_damage_on_the_way_costs_no_more_than_up_to_the_next_key() -> None:
    """A length that claims more than there is would make a reader wait for it: the next key behind it is enough."""
    data = bytearray(make_stream(list(make_numbers(20)), interval=4))
    packets = list(StreamReader(bytes(data)).packets())
    seed = int.from_bytes(data[StreamReader(bytes(data)).header_size - CHECK :][:CHECK], "little")
    delta = next(p for p in packets if p.kind == Kind.DELTA and p.time == 5).write(seed)
    key = next(p for p in packets if p.kind == Kind.KEY and p.time == 8).write(seed)
    data[data.index(delta) + 1 : data.index(delta) + 2] = b"\xff\x3f"  # 8191 bytes
    seen = bytes(data[: data.index(key) + len(key)])
    stream = IncomingStream(Tally())
    assert [p.time for p in stream.take(seen) if p.kind in FRAMES][-1] == 8


def test_noise_is_not_hoarded() -> None:
    data = make_stream(list(make_numbers(2)))
    tally = Tally()
    stream = IncomingStream(tally)
    list(stream.take(data))
    noise = np.random.default_rng(0).bytes(1 << 16)
    tracemalloc.start()
    for _ in range(100):
        assert list(stream.take(noise)) == []
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    stream.end()
    assert kept < 20_000 and tally.damaged == 100 << 16

"""What a call sends beside the head: readers that do not know of it read all else, and its loss costs only itself."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.bitstream_reader import read_integers, read_stream
from tests.support.streams import SPACE, edit_packets, make_header, make_numbers
from tests.test_codec_fuzz import mutate
from vid2vid_cli.codec.beside import Beside, Patch
from vid2vid_cli.codec.entropy import decode_numbers, encode_numbers
from vid2vid_cli.codec.packets import Kind
from vid2vid_cli.codec.quantizer import LIMIT, STEP_UNIT, Scales
from vid2vid_cli.codec.space import Numbers
from vid2vid_cli.codec.stream import MOST_PATCHES, Moment, StreamReader, StreamWriter, Tally
from vid2vid_cli.errors import CallFileError

GOLDEN = Path(__file__).with_name("golden") / "call.v2v"  # written before anything was sent beside the head
GOLDEN_NUMBERS = "785b0bcd4ec30eee"
OWN, MORE = SPACE.count, 9
MORE_SCALES = Scales(np.full(MORE, 1 << 20), np.full(MORE, 700), np.arange(MORE) * 90)
BESIDE = Beside(b"a basis!", MORE_SCALES)
PATCH_AT = 13


def make_whole(count: int = 30, seed: int = 0) -> Numbers:
    """Return numbers (count, D + E)."""
    walk = np.random.default_rng(seed).normal(size=(count, MORE)).cumsum(0) / 8
    return np.concatenate([make_numbers(count, seed), walk], 1)


def patch_of(numbers: Numbers, file: bytes = b"RIFF a picture") -> Patch:
    return Patch(numbers, (3, 70, 40, 300), file)


def make_call(numbers: Numbers, interval: int = 8) -> bytes:
    """Return a stream with numbers beside the head, and a patch before frame 14."""
    parts: list[bytes] = []
    writer = StreamWriter(parts.append, make_header(), interval, BESIDE)
    writer.picture(b"\xff\xd8picture", numbers[0])
    for index, one in enumerate(numbers):
        writer.frame(one)
        if index == PATCH_AT:
            writer.patch(index, patch_of(one))
    writer.end()
    return b"".join(parts)


def frames_of(data: bytes, tally: Tally | None = None) -> list[Moment]:
    return list(StreamReader(data).frames(tally))


def numbers_of(data: bytes) -> list[list[float]]:
    return [[] if moment.numbers is None else moment.numbers.tolist() for moment in frames_of(data)]


def test_calls_from_before_are_read_bit_for_bit() -> None:
    frames = frames_of(GOLDEN.read_bytes())
    known = np.array([frame.numbers for frame in frames if frame.numbers is not None])
    assert len(frames) == 26 and hashlib.sha256(known.tobytes()).hexdigest()[:16] == GOLDEN_NUMBERS
    theirs = read_stream(GOLDEN.read_bytes())
    assert theirs.beside == [] and theirs.total == 26


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_what_follows_does_not_change_what_comes_first(data: st.DataObject) -> None:
    """In any payload: a reader that ends after the first numbers reads those, whatever their size."""
    count = data.draw(st.integers(2, 50))
    first = data.draw(st.integers(1, count - 1))
    states = np.array(data.draw(st.lists(st.integers(0, 1 << 27), min_size=count, max_size=count)))
    numbers = data.draw(st.lists(st.integers(-(1 << 23), 1 << 23), min_size=count, max_size=count))
    payload = encode_numbers(np.array(numbers), states, first)
    assert decode_numbers(payload, states, first).tolist() == numbers
    assert decode_numbers(payload, states[:first]).tolist() == numbers[:first]
    assert read_integers(payload, states[:first].tolist(), states[first:].tolist()) == numbers
    assert read_integers(payload, states[:first].tolist()) == numbers[:first]


def test_all_numbers_come_back_within_their_steps() -> None:
    numbers = make_whole()
    got = np.array(numbers_of(make_call(numbers)))
    steps = make_header().scales.joined(MORE_SCALES).steps / STEP_UNIT
    error = np.abs(got - numbers) / steps
    assert got.shape == (30, OWN + MORE) and error.max() <= 0.6 + 1e-6 and error[:, OWN:].mean() > 0.1


def test_the_second_reader_agrees_and_an_old_one_reads_the_rest() -> None:
    data = make_call(make_whole())
    theirs, old, ours = read_stream(data), read_stream(data, knows_beside=False), frames_of(data)
    assert theirs.beside_basis == BESIDE.basis_id and len(theirs.beside) == MORE
    for (kind, whole), (old_kind, own), moment in zip(theirs.frames, old.frames, ours, strict=True):
        assert whole is not None and own is not None and moment.numbers is not None and kind == old_kind
        assert [float(x) for x in theirs.numbers(whole)] == moment.numbers.tolist()
        assert own == whole[:OWN]
    (patch,) = theirs.patches
    assert (patch.frame, patch.place, patch.picture) == (PATCH_AT, (3, 70, 40, 300), b"RIFF a picture")
    assert old.patches == [] and old.reference == (theirs.reference or [])[:OWN]


def test_a_patch_comes_with_the_next_frame_and_the_motion_of_its_own() -> None:
    numbers = make_whole()
    frames = frames_of(make_call(numbers))
    assert [index for index, frame in enumerate(frames) if frame.patches] == [PATCH_AT + 1]
    (patch,) = frames[PATCH_AT + 1].patches
    steps = make_header().scales.joined(MORE_SCALES).steps / STEP_UNIT
    assert (patch.place, patch.file) == ((3, 70, 40, 300), b"RIFF a picture")
    assert (np.abs(patch.numbers - numbers[PATCH_AT]) <= 0.5 * steps + 1e-9).all()


def test_without_what_is_said_of_them_the_numbers_of_the_header_are_read() -> None:
    numbers = make_whole()
    whole = make_call(numbers)
    lost = edit_packets(whole, lambda p: None if p.kind == Kind.BESIDE else p)
    tally = Tally()
    assert [one[:OWN] for one in numbers_of(whole)] == numbers_of(lost)
    assert len(frames_of(lost, tally)) == 30 and (tally.missing, tally.damaged) == (0, 0)
    assert StreamReader(lost).beside() is None and StreamReader(whole).beside() is not None


def test_a_lost_patch_costs_nothing_but_itself() -> None:
    whole = make_call(make_whole())
    lost = edit_packets(whole, lambda p: None if p.kind == Kind.PATCH else p)
    assert numbers_of(whole) == numbers_of(lost) and not any(frame.patches for frame in frames_of(lost))


def test_what_comes_late_counts_from_the_next_key_on() -> None:
    """As after a relay that lost the first: what came before it is read as if there were none."""
    data = make_call(make_whole())
    reader = StreamReader(data)
    packets = list(reader.packets())
    late = next(p for p in packets if p.kind == Kind.BESIDE)
    packets.remove(late)
    packets.insert(next(i for i, p in enumerate(packets) if p.kind == Kind.DELTA and p.time == 3), late)
    seed = int.from_bytes(data[reader.header_size - 4 : reader.header_size], "little")
    frames = frames_of(data[: reader.header_size] + b"".join(p.write(seed) for p in packets))
    counts = [0 if frame.numbers is None else len(frame.numbers) for frame in frames]
    assert counts == [OWN] * 8 + [OWN + MORE] * 22


@pytest.mark.parametrize("count", [0, 513])
def test_no_sane_count_of_numbers_is_refused(count: int) -> None:
    scales = Scales(*(np.full(count, 5) for _ in range(3)))
    with pytest.raises(CallFileError):
        Beside.read(Beside(b"a basis!", scales).write())


def test_a_patch_that_no_packet_holds_is_refused() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        patch_of(make_numbers(1)[0], bytes(8200)).write(make_header().scales)


def test_patches_of_a_hostile_stream_are_not_hoarded() -> None:
    numbers = make_whole(12)
    parts: list[bytes] = []
    writer = StreamWriter(parts.append, make_header(), 8, BESIDE)
    for one in numbers:
        for _ in range(40):
            writer.patch(0, patch_of(one))
        writer.frame(one)
    assert {len(frame.patches) for frame in frames_of(b"".join(parts))} == {MOST_PATCHES}


def test_any_payload_is_read_or_refused() -> None:
    rng = np.random.default_rng(7)
    scales = make_header().scales.joined(MORE_SCALES)
    patch, beside = patch_of(make_whole(1)[0]).write(scales), BESIDE.write()
    largest, refused = LIMIT * scales.steps / STEP_UNIT, 0
    for _ in range(8000):
        try:
            got = Patch.read(mutate(patch, rng), scales)
            assert (np.abs(got.numbers) <= largest).all() and min(got.place[2:]) > 0 and got.file
        except CallFileError:
            refused += 1
        try:
            assert 1 <= len(Beside.read(mutate(beside, rng)).scales) <= 512
        except CallFileError:
            refused += 1
    assert 1000 < refused < 15000


def test_damaged_streams_give_no_more_frames() -> None:
    rng = np.random.default_rng(8)
    whole = make_call(make_whole(16))
    reader = StreamReader(whole)
    head, packets = whole[: reader.header_size], list(reader.packets())
    seed = int.from_bytes(head[-4:], "little")
    for _ in range(600):
        edited = list(packets)
        for _ in range(int(rng.integers(1, 4))):
            at = int(rng.integers(0, len(edited)))
            kind = int(rng.choice([edited[at].kind, Kind.BESIDE, Kind.PATCH]))
            edited[at] = replace(edited[at], kind=kind, payload=mutate(edited[at].payload, rng))
        frames = frames_of(head + b"".join(packet.write(seed) for packet in edited))
        assert len(frames) <= 16
        assert all(len(f.numbers) in (OWN, *range(OWN + 1, OWN + 513)) for f in frames if f.numbers is not None)

"""Live calls through pipes, each end a process: a packet for a frame, a frame for a packet, and every ending."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.support.bitstream_reader import read_stream
from tests.support.clips import ffmpeg
from tests.support.faces import LIPS, landmarks_of, opening
from tests.support.processes import MODULE
from tests.support.streams import edit_packets, piped
from vid2vid_cli.call.decode import decode_call
from vid2vid_cli.call.encode import encode_call
from vid2vid_cli.call.incoming import open_incoming
from vid2vid_cli.cli.app import main
from vid2vid_cli.codec.packets import FRAMES, Kind, Packet
from vid2vid_cli.codec.stream import StreamReader
from vid2vid_cli.errors import CallFileError, UsageError
from vid2vid_cli.face.mesh import FaceAnalyzer
from vid2vid_cli.media.image import read_image
from vid2vid_cli.media.video import probe_video, read_mark
from vid2vid_cli.models.registry import LoadedModel
from vid2vid_cli.pipeline.driving.base import DrivenFrame
from vid2vid_cli.pipeline.encode_options import EncodeOptions
from vid2vid_cli.pipeline.options import DecodeOptions

EXAMPLES = Path(__file__).parents[1] / "examples"
PORTRAIT, DRIVING = EXAMPLES / "portrait.jpg", EXAMPLES / "driving.mp4"
COUNT, SIDE = 12, 96
PATIENCE_S = 120.0
LIVE = DecodeOptions(live=True, catch_up=False)


@pytest.fixture(scope="module")
def call(tmp_path_factory: pytest.TempPathFactory, model: LoadedModel) -> bytes:
    """Encode 12 frames of the example, keys at 0, 5 and 10, without sound, like a live call; frame 4 is its picture."""
    path = tmp_path_factory.mktemp("call") / "talk.v2v"
    encode_call(DRIVING, path, EncodeOptions(end="0.48", size=SIDE, audio="none", source="4"), model=model)
    return path.read_bytes()


def y4m_frames(count: int) -> tuple[bytes, list[bytes]]:
    """Return the header and the frames of the example as Y4M, 256x256."""
    arguments = ["-vf", "scale=256:256", "-frames:v", count, "-pix_fmt", "yuv420p", "-f", "yuv4mpegpipe", "pipe:1"]
    data = ffmpeg("-i", DRIVING, *arguments)
    head, rest = data.split(b"\n", 1)
    size = len(rest) // count
    return head + b"\n", [rest[index * size : (index + 1) * size] for index in range(count)]


@contextlib.contextmanager
def live(command: str, *more: str | Path, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
    words = [*MODULE, command, "-", "--live", *(more if "-o" in more else ["-o", "-", *more])]
    with subprocess.Popen(
        list(map(str, words)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={**os.environ, "OMP_NUM_THREADS": "1", **environment},
    ) as process:
        try:
            yield process
        finally:
            process.kill()


class Feed:
    """Gives data to this very process as its standard input."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch

    @contextlib.contextmanager
    def __call__(self, data: bytes) -> Iterator[None]:
        with piped(data) as descriptor, open(descriptor, closefd=False) as file:
            self._monkeypatch.setattr("sys.stdin", file)
            yield


@pytest.fixture
def feed(monkeypatch: pytest.MonkeyPatch) -> Feed:
    return Feed(monkeypatch)


def put(process: subprocess.Popen[bytes], data: bytes) -> None:
    assert process.stdin is not None
    process.stdin.write(data)
    process.stdin.flush()


def get(process: subprocess.Popen[bytes], is_enough: Callable[[bytes], bool], got: bytes = b"") -> bytes:
    """Read on until it is enough. Fails where nothing comes for two minutes, or the process has ended."""
    assert process.stdout is not None and process.stderr is not None
    while not is_enough(got):
        assert select.select([process.stdout], [], [], PATIENCE_S)[0], "it waits for more"
        part = os.read(process.stdout.fileno(), 1 << 16)
        assert part, process.stderr.read().decode()
        got += part
    return got


def count_packets(data: bytes) -> int:
    try:
        return sum(packet.kind in FRAMES for packet in StreamReader(data).packets())
    except CallFileError:
        return 0


def count_pictures(data: bytes, side: int = SIDE) -> int:
    head, _, rest = data.partition(b"\n")
    return len(rest) // (len(b"FRAME\n") + side * side * 3 // 2) if head.startswith(b"YUV4MPEG2") else 0


def in_pieces(call: bytes) -> list[bytes]:
    """Return a call's parts: up to the first frame's packet, one for each further frame, the end."""
    reader = StreamReader(call)
    seed, parts, part = int.from_bytes(call[reader.header_size - 4 : reader.header_size], "little"), [], b""
    for packet in reader.packets():
        if packet.kind == Kind.END:
            parts.append(part)
            part = b""
        part += packet.write(seed)
        if packet.kind in FRAMES:
            parts.append(part)
            part = b""
    return [call[: reader.header_size] + parts[0], *filter(None, parts[1:]), part]


def pictures(y4m: bytes, folder: Path) -> np.ndarray:
    """Return the frames of a Y4M: (N, H, W, 3)."""
    (folder / "film.y4m").write_bytes(y4m)
    back = ffmpeg("-i", folder / "film.y4m", "-pix_fmt", "rgb24", "-f", "rawvideo", "-")
    return np.frombuffer(back, np.uint8).reshape(-1, SIDE, SIDE, 3).astype(float)


def decoded(call: bytes, folder: Path, model: LoadedModel) -> np.ndarray:
    """Return the frames that `decode` makes of a call file: (N, H, W, 3)."""
    (folder / "call.v2v").write_bytes(call)
    decode_call(folder / "call.v2v", folder / "frames", DecodeOptions(force=True), model=model)
    return np.stack([read_image(path).astype(float) for path in sorted((folder / "frames").glob("*.png"))])


def without(*numbers: int) -> Callable[[Packet], Packet | None]:
    """Return an edit that leaves out the packets of some frames."""
    return lambda packet: None if packet.kind in FRAMES and packet.time in numbers else packet


def test_the_sender_sends_a_packet_for_a_frame_before_the_next_comes(tmp_path: Path, model: LoadedModel) -> None:
    """Each frame is fed when the packet of the one before has come out: whoever looks ahead waits for ever."""
    head, frames = y4m_frames(8)
    with live("encode") as process:
        put(process, head)
        got = b""
        for index, frame in enumerate(frames):
            put(process, frame)
            got = get(process, lambda data, wanted=index: count_packets(data) > wanted, got)  # type: ignore[misc]
        rest, error = process.communicate()
    said = error.decode()
    assert process.returncode == 0
    assert "8 frames at 25 fps" in said and "delay" in said and "sound" not in said
    whole = tmp_path / "film.y4m"
    whole.write_bytes(head + b"".join(frames))
    encode_call(whole, tmp_path / "file.v2v", model=model)
    assert got + rest == (tmp_path / "file.v2v").read_bytes(), "a file's call is the same"


@pytest.mark.parametrize("command", ["encode", "decode"])
@pytest.mark.parametrize("data", [b"", b"this is no video and no call " * 1000])
def test_what_is_neither_video_nor_call_ends_with_a_line(
    command: str, data: bytes, feed: Feed, capfd: pytest.CaptureFixture[str]
) -> None:
    with feed(data):
        assert main([command, "-", "--live", "-o", "-"]) == 1
    out, error = capfd.readouterr()
    assert out == "" and error.startswith("error: standard input: ") and len(error.splitlines()) == 1


def test_live_sound_is_left_out_with_a_word(
    tmp_path: Path, model: LoadedModel, feed: Feed, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    ffmpeg("-i", DRIVING, "-t", "0.2", "-vf", "scale=96:96", "-c:a", "aac", tmp_path / "talk.mkv")
    with feed((tmp_path / "talk.mkv").read_bytes()):
        result = encode_call("-", tmp_path / "live.v2v", EncodeOptions(live=True), model=model)
    assert [text.startswith("standard input: its sound is left out") for text in result.warnings] == [True]
    stream = read_stream((tmp_path / "live.v2v").read_bytes())
    assert len(stream.frames) == 5 and stream.sound is None and not stream.audio
    with pytest.raises(UsageError, match="a live call carries motion only"):
        encode_call("-", "-", EncodeOptions(live=True, audio="copy"))
    encode_call(tmp_path / "talk.mkv", tmp_path / "talk.v2v", EncodeOptions(size=SIDE), model=model)
    for sound, warned in ((True, [True]), (False, [])):
        with feed((tmp_path / "talk.v2v").read_bytes()):
            seen = decode_call("-", "-", replace(LIVE, sound=sound), model=model)
        assert ["its sound is left out" in text for text in seen.warnings] == warned
        assert count_pictures(capfdbinary.readouterr().out) == 5


def test_the_receiver_shows_a_frame_for_a_packet_before_the_next_comes(
    call: bytes, tmp_path: Path, model: LoadedModel
) -> None:
    """Each packet is fed when the frame of the one before has come out, and the end is heard before the pipe closes."""
    *parts, end = in_pieces(call)
    assert len(parts) == COUNT
    with live("decode") as process:
        got = b""
        for index, part in enumerate(parts):
            put(process, part)
            got = get(process, lambda data, wanted=index: count_pictures(data) > wanted, got)  # type: ignore[misc]
            assert count_pictures(got) == index + 1
        put(process, end)
        assert process.wait(PATIENCE_S) == 0
        assert process.stderr is not None
        said = process.stderr.read().decode()
    assert f"{COUNT} frames at 25 fps, {SIDE}x{SIDE}" in said and "delay" in said and "warning" not in said
    assert b" Xsynthetic_media_" in got.partition(b"\n")[0]
    seen, wanted = pictures(got, tmp_path), decoded(call, tmp_path, model)
    assert np.abs(seen - wanted).mean((1, 2, 3)).max() < 2.5  # colours of four pixels are one
    assert np.abs(wanted[-1] - wanted[0]).mean() > 4


def test_sender_and_receiver_make_a_call(tmp_path: Path) -> None:
    """Two processes and a pipe between them, and the receiver keeps what it saw."""
    head, frames = y4m_frames(5)
    with live("encode", "--size", str(SIDE), "--quiet") as sender:
        assert sender.stdin is not None and sender.stdout is not None
        command = [*MODULE, "decode", "-", "--live", "-o", str(tmp_path / "seen.mp4"), "--json"]
        with subprocess.Popen(command, stdin=sender.stdout, stdout=subprocess.PIPE) as receiver:
            put(sender, head + b"".join(frames))
            sender.stdin.close()
            out, _ = receiver.communicate(timeout=PATIENCE_S)
    assert receiver.returncode == 0 and b'"delay_mean_ms": ' in out and b'"frames": 5' in out
    assert probe_video(tmp_path / "seen.mp4").frame_count == 5


def test_loss_and_damage_hold_the_picture(
    call: bytes, tmp_path: Path, model: LoadedModel, feed: Feed, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    """Frame 3 is lost, frame 6 comes damaged: as in a file they hold, the deltas after them too, until the next key."""
    lossy = bytearray(edit_packets(call, without(3)))
    lossy[lossy.index(in_pieces(call)[6]) + 5] ^= 0xFF
    with feed(bytes(lossy)):
        result = decode_call("-", "-", LIVE, model=model)
    assert "2 of 12 frames were lost or damaged and 4 could not be used" in result.warnings[0]
    seen = pictures(capfdbinary.readouterr().out, tmp_path)
    held = [index for index in range(1, COUNT) if (seen[index] == seen[index - 1]).all()]
    assert held == [3, 4, 6, 7, 8, 9]
    assert np.abs(seen - decoded(bytes(lossy), tmp_path, model)).mean((1, 2, 3)).max() < 2.5


def test_a_sender_that_dies_leaves_a_whole_film(call: bytes, tmp_path: Path, model: LoadedModel, feed: Feed) -> None:
    """In the middle of a packet, too."""
    parts = in_pieces(call)
    with feed(b"".join(parts[:8]) + parts[8][:-3]):
        result = decode_call("-", tmp_path / "seen.mp4", LIVE, model=model)
    assert result.frames == 8 and result.warnings == ("standard input: its end is missing",)
    assert probe_video(tmp_path / "seen.mp4").frame_count == 8
    assert str(read_mark(tmp_path / "seen.mp4")).startswith("synthetic media")


def test_a_reader_that_goes_ends_it_with_a_line(call: bytes, tmp_path: Path) -> None:
    parts = in_pieces(call)
    with live("decode", TMPDIR=str(tmp_path)) as process:
        put(process, parts[0])
        get(process, lambda data: count_pictures(data) > 0)
        assert process.stdout is not None and process.stderr is not None
        process.stdout.close()
        put(process, parts[1])
        assert process.wait(PATIENCE_S) == 1
        assert process.stderr.read().decode() == "error: standard output: cannot be written: Broken pipe\n"
    assert list(tmp_path.iterdir()) == []


def test_an_interrupt_ends_it_while_it_waits(call: bytes, tmp_path: Path) -> None:
    """Nothing is left: neither the film, which is not whole, nor the picture that was unpacked."""
    (tmp_path / "tmp").mkdir()
    with live("decode", "-o", tmp_path / "seen.mp4", TMPDIR=str(tmp_path / "tmp")) as process:
        put(process, in_pieces(call)[0])
        wait_until(lambda: any(tmp_path.glob(".vid2vid-*/*.mp4")))
        process.send_signal(signal.SIGINT)
        assert process.wait(PATIENCE_S) == 130
        assert process.stderr is not None
        assert process.stderr.read().decode() == "error: interrupted\n"
    assert list((tmp_path / "tmp").iterdir()) == [] and [path.name for path in tmp_path.iterdir()] == ["tmp"]


def wait_until(is_there: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_there():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda call: b"", "ended before a call began"),
        (lambda call: b"\x8fV2", "the call ended within its header"),
        (lambda call: call[:100], "the call ended within its header"),
        (lambda call: b"this is no call", "does not begin as a call of vid2vid does"),
        (lambda call: call[len(call) // 2 :], "a call must be read from its beginning"),
        (lambda call: call[:8] + b"\x02\x00" + call[10:], "call format 2, and this vid2vid reads 1; update vid2vid"),
        (lambda call: call[:60] + b"\xff" + call[61:], "its header is damaged"),
        (lambda call: call[: StreamReader(call).header_size], "ended before its first frame"),
        (lambda call: edit_packets(call, lambda p: None if p.kind in FRAMES else p), "ended before its first frame"),
        (lambda call: edit_packets(call, lambda p: None if p.kind == Kind.PICTURE else p), "give one with --source"),
    ],
)
def test_what_is_no_call_is_told_in_a_line(
    spoil: Callable[[bytes], bytes], words: str, call: bytes, model: LoadedModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    with piped(spoil(call)) as descriptor, open(descriptor, closefd=False) as file:
        monkeypatch.setattr("sys.stdin", file)
        with pytest.raises(CallFileError, match=r"^standard input: .*" + words):
            decode_call("-", "-", DecodeOptions(live=True), model=model)


def incoming(data: bytes, model: LoadedModel, warnings: list[str], *, catches_up: bool = False) -> list[DrivenFrame]:
    with piped(data) as descriptor:
        return list(open_incoming(descriptor, model.model, warnings.append, catches_up=catches_up).frames())


def test_whoever_comes_late_sees_what_comes_from_then_on(call: bytes, model: LoadedModel) -> None:
    """A call of which frames 0 to 6 are missing begins with 7; it moves from the key at 10 on."""
    warnings: list[str] = []
    frames = incoming(edit_packets(call, without(*range(7))), model, warnings)
    assert [frame.motion is not None for frame in frames] == [False] * 3 + [True] * 2
    assert warnings == [
        "standard input: 0 of 5 frames were lost or damaged and 3 could not be used before the next key; "
        "the last motion was held, for at most 3 frames"
    ]


def test_a_call_without_its_reference_takes_the_first_key(call: bytes, model: LoadedModel) -> None:
    with piped(edit_packets(call, lambda p: None if p.kind == Kind.REFERENCE else p)) as descriptor:
        come = open_incoming(descriptor, model.model, print, catches_up=True)
        first, *_, last = (frame.motion for frame in come.frames())
    assert first is not None and last is not None
    reference = come.find_reference(model.model, last, "picture").motion
    assert (first.rotation == reference.rotation).all() and (first.expression == reference.expression).all()


@pytest.mark.parametrize("catches_up", [True, False])
def test_frames_that_came_too_late_are_not_rendered(catches_up: bool, call: bytes, model: LoadedModel) -> None:
    """All have come while the first one was shown for longer than any may be late: only the newest is rendered."""
    warnings: list[str] = []
    with piped(call) as descriptor:
        come = open_incoming(descriptor, model.model, warnings.append, catches_up=catches_up)
        frames = come.frames()
        got = [next(frames)]
        time.sleep(COUNT / 25 + 0.3)
        got += frames
    expected = [False, *[True] * (COUNT - 2), False] if catches_up else [False] * COUNT
    assert [frame.is_repeat for frame in got] == expected
    assert [f"{COUNT - 2} of {COUNT} frames came faster" in text for text in warnings] == [True] * catches_up


def test_another_picture_turns(call: bytes, tmp_path: Path, model: LoadedModel, feed: Feed) -> None:
    """With options of its own, without the call's picture, at another size."""
    bare = edit_packets(call, lambda p: None if p.kind == Kind.PICTURE else p)
    for yaw in ("0", "20"):
        with feed(b"".join(in_pieces(bare)[:3])):
            options = replace(LIVE, source=str(PORTRAIT), size=64, yaw=yaw)
            assert decode_call("-", tmp_path / yaw, options, model=model).size == (64, 64)
    plain, turned = (sorted((tmp_path / yaw).glob("*.png")) for yaw in ("0", "20"))
    assert len(plain) == len(turned) == 3
    for one, other in zip(plain, turned, strict=True):
        assert np.abs(read_image(one).astype(float) - read_image(other)).mean() > 2


def test_another_picture_learns_how_the_sender_rests(
    tmp_path: Path, model: LoadedModel, feed: Feed, face_analyzer: FaceAnalyzer
) -> None:
    """The call's picture, frame 60, gasps; when the sender gasps again, so does another picture, as in a file."""
    path = tmp_path / "call.v2v"
    encode_call(DRIVING, path, EncodeOptions(end="2.44", size=SIDE, audio="none", source="60"), model=model)
    other = DecodeOptions(source=str(PORTRAIT), size=256)
    decode_call(path, tmp_path / "file", other, model=model)
    with feed(path.read_bytes()):
        decode_call("-", tmp_path / "live", replace(LIVE, source=other.source, size=256), model=model)
    last = [read_image(max((tmp_path / name).glob("*.png"))) for name in ("file", "live")]
    file, seen = (opening(landmarks_of(frame, face_analyzer), LIPS) for frame in last)
    assert file > 0.2 and seen > 0.9 * file


@pytest.mark.parametrize(
    ("call_name", "output", "options", "words"),
    [
        ("call.v2v", "out.mp4", LIVE, "--live goes with - as CALL"),
        ("-", "out.mp4", DecodeOptions(), "and - with --live"),
        ("call.v2v", "-", DecodeOptions(), "-o -: only a live call goes to standard output"),
        ("-", None, LIVE, "--live: name the output with -o"),
        ("-", "-", replace(LIVE, start="1"), "leave out --start and --end"),
        ("-", "-", replace(LIVE, yaw="-20:20:1"), "--yaw -20:20:1: a live call has no known length"),
        ("-", "-", replace(LIVE, source=str(DRIVING)), "is a video, which ends before the call may; give a picture"),
        ("-", "-", replace(LIVE, crf=20), "--crf: -o - is raw video"),
        ("-", "-", replace(LIVE, size=4), "--size 4"),
        ("-", "-", replace(LIVE, face="left"), "--face left"),
        ("-", "-", replace(LIVE, background="grue"), "--background grue"),
        ("-", "-", replace(LIVE, face="all", paste_back=False), "--face all: needs --paste-back"),
        ("-", "out.png", LIVE, "a picture cannot hold a clip"),
    ],
)
def test_options_that_make_no_sense_live(
    call_name: str, output: str | None, options: DecodeOptions, words: str, tmp_path: Path
) -> None:
    target = output if output in (None, "-") else tmp_path / output
    with pytest.raises(UsageError, match=words.replace("-", r"\-")):
        decode_call(call_name, target, options)
    assert list(tmp_path.iterdir()) == []

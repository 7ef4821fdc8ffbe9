"""Calls from file to file and through a pipe: encode, decode and info on real clips, and what loss does to them."""

from __future__ import annotations

import itertools
import json
import sys
import wave
from collections.abc import Iterator
from contextlib import closing
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from tests.support import tiny
from tests.support.bitstream_reader import basis_name, meaning, read_stream
from tests.support.clips import end_of, ffmpeg, packets
from tests.support.streams import edit_packets
from vid2vid_cli.batch.jobs import find_files
from vid2vid_cli.call.decode import decode_call
from vid2vid_cli.call.encode import EncodeResult, encode_call
from vid2vid_cli.call.info import describe_call
from vid2vid_cli.cli.app import main
from vid2vid_cli.codec.packets import Kind, Packet
from vid2vid_cli.errors import CallFileError, MediaError, NoFaceError, UsageError, Vid2VidError
from vid2vid_cli.media.image import read_image
from vid2vid_cli.media.ogg import packet_duration
from vid2vid_cli.media.video import probe_video, read_mark
from vid2vid_cli.models.registry import LoadedModel, load_model
from vid2vid_cli.pipeline.driving.call_file import CallRecording
from vid2vid_cli.pipeline.encode_options import EncodeOptions
from vid2vid_cli.pipeline.extract_motion import extract_motion
from vid2vid_cli.pipeline.options import DecodeOptions, ReenactOptions
from vid2vid_cli.pipeline.progress import Hooks
from vid2vid_cli.pipeline.reenact import reenact

EXAMPLES = Path(__file__).parents[1] / "examples"
PORTRAIT, DRIVING = EXAMPLES / "portrait.jpg", EXAMPLES / "driving.mp4"
FRAMES = 40  # of the example, at 25 frames/s
MODULE = [sys.executable, "-m", "vid2vid_cli"]


@pytest.fixture(scope="module")
def call(tmp_path_factory: pytest.TempPathFactory, model: LoadedModel) -> Path:
    """Encode the first 40 frames of the example."""
    path = tmp_path_factory.mktemp("call") / "talk.v2v"
    encode_call(DRIVING, path, EncodeOptions(end="1.6", size=256), model=model)
    return path


def expressions(path: Path, model: LoadedModel) -> Iterator[torch.Tensor]:
    with closing(CallRecording(path)) as recording:
        space = recording.require_model(model.model)
        for frame in recording.frames(space):
            assert frame.motion is not None
            yield frame.motion.expression


def test_the_second_reader_agrees_on_every_field(call: Path, model: LoadedModel) -> None:
    """It was written from docs/bitstream.md alone, so the text says what the bytes are."""
    theirs = read_stream(call.read_bytes())
    with closing(CallRecording(call)) as recording:
        ours, header = recording.reader, recording.header
        assert (theirs.version, theirs.family, theirs.checkpoint.hex()) == (1, "compact", model.sha256)
        assert (theirs.fps, theirs.size, theirs.keypoints) == (Fraction(25), (256, 256), 469)
        assert (theirs.expressions, theirs.extra, theirs.basis) == (header.expression_count, (), header.basis_id)
        columns = (header.scales.steps, header.scales.key_states, header.scales.delta_states)
        assert theirs.records == list(zip(*(column.tolist() for column in columns), strict=True))
        assert theirs.picture == ours.picture()
        reference = ours.reference()
        assert reference is not None and theirs.reference is not None
        assert [float(x) for x in theirs.numbers(theirs.reference)] == reference.tolist()
        moments = list(ours.frames())
        assert len(moments) == len(theirs.frames) == theirs.total == FRAMES
        for moment, (kind, integers) in zip(moments, theirs.frames, strict=True):
            assert kind in "KD" and integers is not None and moment.numbers is not None
            assert [float(x) for x in theirs.numbers(integers)] == moment.numbers.tolist()
        sound = [packet for packet in ours.packets() if packet.kind == Kind.AUDIO]
        assert theirs.audio == [(packet.time, packet.payload) for packet in sound] and len(sound) > 70
        assert theirs.sound is not None and theirs.sound.startswith(b"OpusHead")


def test_the_basis_has_the_name_that_the_text_gives_it(call: Path, face_state: dict[str, torch.Tensor]) -> None:
    tensors = (face_state["basis.components"], face_state["basis.weights"])
    assert read_stream(call.read_bytes()).basis == basis_name(*(t.numpy().astype("<f4").tobytes() for t in tensors))


def test_the_second_reader_moves_the_head_as_the_receiver_does(
    call: Path, model: LoadedModel, face_state: dict[str, torch.Tensor]
) -> None:
    """The text's rotation, scale and basis: what a writer and a reader of one hand could both have wrong."""
    theirs, components = read_stream(call.read_bytes()), face_state["basis.components"].numpy()
    with closing(CallRecording(call)) as recording:
        frames = list(recording.frames(recording.require_model(model.model)))
    for frame, (_, integers) in zip(frames, theirs.frames, strict=True):
        assert frame.motion is not None and integers is not None
        found, motion = meaning(theirs.numbers(integers), components), frame.motion
        pairs = [
            (found.rotation, motion.rotation[0]),
            (found.translation, motion.translation[0]),
            (found.scale, motion.scale[0, 0]),
            (found.offsets, motion.expression[0]),
        ]
        for ours, product in pairs:
            assert np.allclose(ours, product.numpy(), rtol=0, atol=1e-6)


def test_keys_come_at_their_interval_and_cost_what_they_may(call: Path) -> None:
    kinds = [kind for kind, _ in read_stream(call.read_bytes()).frames]
    assert [index for index, kind in enumerate(kinds) if kind == "K"] == list(range(0, FRAMES, 5))
    assert describe_call(call).bytes_a_frame < 53


def test_decode_gives_frames_times_sound_and_mark(call: Path, model: LoadedModel, tmp_path: Path) -> None:
    film = tmp_path / "seen.mp4"
    result = decode_call(call, film, DecodeOptions(), model=model)
    assert (result.frames, result.size, result.fps, result.warnings) == (FRAMES, (256, 256), 25, ())
    times = sorted(time for time, _ in packets(film, "v:0"))
    assert np.allclose(times, np.arange(FRAMES) / 25, atol=1e-3)
    assert abs(end_of(film, "a:0") - FRAMES / 25) < 0.05
    assert str(read_mark(film)).startswith("synthetic media")


def test_the_picture_at_the_other_end_is_the_sender(call: Path, model: LoadedModel, tmp_path: Path) -> None:
    """The first frame is the picture itself, and the last one is nearer to the camera than the first is."""
    decode_call(call, tmp_path / "seen", DecodeOptions(), model=model)
    seen = [read_image(path).astype(float) for path in sorted((tmp_path / "seen").glob("*.png"))]
    ffmpeg("-i", DRIVING, "-vf", "scale=256:256:flags=area", "-frames:v", FRAMES, tmp_path / "camera-%02d.png")
    camera = [read_image(path).astype(float) for path in sorted(tmp_path.glob("camera-*.png"))]
    assert np.abs(seen[0] - camera[0]).mean() < 4
    moved = max(range(FRAMES), key=lambda i: np.abs(camera[i] - camera[0]).mean())
    assert np.abs(seen[moved] - camera[moved]).mean() < 0.8 * np.abs(camera[0] - camera[moved]).mean()


def test_another_source_turns_and_keeps_its_own_picture(call: Path, model: LoadedModel, tmp_path: Path) -> None:
    options = DecodeOptions(source=str(PORTRAIT), size=128, yaw="20", sound=False, end="0.12")
    result = decode_call(call, tmp_path / "other.mp4", options, model=model)
    assert (result.frames, result.size) == (3, (128, 128))
    assert not probe_video(tmp_path / "other.mp4").has_audio
    decode_call(call, tmp_path / "plain", DecodeOptions(source=str(PORTRAIT), size=128, end="0.12"), model=model)
    decode_call(
        call, tmp_path / "turned", DecodeOptions(source=str(PORTRAIT), size=128, yaw="20", end="0.12"), model=model
    )
    plain, turned = (read_image(tmp_path / name / "frame_000000.png").astype(float) for name in ("plain", "turned"))
    assert np.abs(plain - turned).mean() > 2


def test_a_call_drives_reenact(call: Path, model: LoadedModel, tmp_path: Path) -> None:
    options = ReenactOptions(size=96, region="mouth", strength=1.5, start="0.4", end="0.8", fps="50")
    result = reenact(PORTRAIT, call, tmp_path / "out.mp4", options, model=model)
    assert (result.frames, result.fps) == (20, 50)
    assert probe_video(tmp_path / "out.mp4").has_audio
    assert find_files(str(call.parent), "DRIVINGS").files == [call]  # of a batch, too


def test_rates_go_from_coarse_to_fine(model: LoadedModel, tmp_path: Path) -> None:
    sizes, errors = [], []
    for rate in ("low", "medium", "high"):
        path = tmp_path / f"{rate}.v2v"
        encode_call(DRIVING, path, EncodeOptions(end="0.6", audio="none", rate=rate), model=model)  # type: ignore[arg-type]
        sizes.append(describe_call(path).bytes_a_frame)
        errors.append(torch.cat(list(expressions(path, model))))
    encode_call(DRIVING, tmp_path / "exact.v2v", EncodeOptions(end="0.6", audio="none", step=0.002), model=model)
    exact = torch.cat(list(expressions(tmp_path / "exact.v2v", model)))
    distances = [float((e - exact).norm()) for e in errors]
    assert sizes == sorted(sizes) and distances == sorted(distances, reverse=True)


def pcm_of(path: Path, folder: Path) -> np.ndarray:
    """Return a sound as mono samples at 16 kHz."""
    ffmpeg("-i", path, "-ac", "1", "-ar", "16000", folder / f"{path.stem}.wav")
    with wave.open(str(folder / f"{path.stem}.wav")) as sound:
        return np.frombuffer(sound.readframes(sound.getnframes()), np.int16).astype(np.float64)


def test_sound_is_in_step(media_dir: Path, tmp_path: Path, model: LoadedModel) -> None:
    """A clip of 15 frames/s, from its third second on: the sound of the call is that of the clip, at the same time."""
    clip = media_dir / "drivings" / "d09_man_talking_15fps_audio.mp4"
    encode_call(clip, tmp_path / "call.v2v", EncodeOptions(start="2", end="5"), model=model)
    with closing(CallRecording(tmp_path / "call.v2v")) as recording:
        sound = recording.save_sound()
        assert sound is not None and recording.count() == 45
        ours, theirs = pcm_of(sound, tmp_path), pcm_of(clip, tmp_path)[2 * 16000 :]
        times = [(p.time, packet_duration(p.payload)) for p in recording.reader.packets() if p.kind == Kind.AUDIO]
        order = [p.kind == Kind.AUDIO for p in recording.reader.packets() if p.kind in (Kind.AUDIO, Kind.DELTA)]
    assert all(time + duration == after for (time, duration), (after, _) in itertools.pairwise(times))
    assert sum(duration for _, duration in times) / 48000 == pytest.approx(3, abs=0.05)
    assert 20 < np.flatnonzero(order)[len(times) // 2] < len(order) - 20  # sent among the frames, not before or after
    length = min(len(ours), len(theirs))
    match = np.fft.irfft(np.fft.rfft(ours[:length], 2 * length) * np.conj(np.fft.rfft(theirs[:length], 2 * length)))
    lag = int(np.argmax(match))
    assert min(lag, 2 * length - lag) / 16000 < 0.005


def test_another_rate_takes_as_long(tmp_path: Path, model: LoadedModel) -> None:
    """Of 25 frames/s to 30: each frame shows what the clip shows then, and the sound lasts as long as before."""
    for fps in (None, "30"):
        encode_call(DRIVING, tmp_path / f"{fps}.v2v", EncodeOptions(end="1.2", fps=fps, smooth=0), model=model)
    own, other = (read_stream((tmp_path / f"{fps}.v2v").read_bytes()) for fps in (None, "30"))
    assert (own.fps, len(own.frames), other.fps, len(other.frames)) == (25, 30, 30, 36)
    assert len(own.audio) == len(other.audio)
    yaws = [np.array([float(s.numbers(k)[0]) for _, k in s.frames if k is not None]) for s in (own, other)]
    shown = yaws[0][np.minimum(np.round(np.arange(36) * 25 / 30).astype(int), 29)]
    later = yaws[0][np.minimum(np.round(np.arange(36) * 25 / 30).astype(int) + 5, 29)]
    assert np.abs(yaws[1] - shown).mean() < 0.3 * np.abs(yaws[1] - later).mean()


def test_opus_is_copied_as_it_is(tmp_path: Path, model: LoadedModel) -> None:
    ffmpeg("-i", DRIVING, "-t", "0.6", "-c:v", "copy", "-c:a", "libopus", "-b:a", "24k", tmp_path / "opus.mkv")
    encode_call(tmp_path / "opus.mkv", tmp_path / "copy.v2v", EncodeOptions(audio="copy"), model=model)
    copied = [payload for _, payload in read_stream((tmp_path / "copy.v2v").read_bytes()).audio]
    ffmpeg("-i", tmp_path / "opus.mkv", "-map", "0:a", "-c", "copy", "-f", "data", tmp_path / "bare")
    assert len(copied) >= 28 and (tmp_path / "bare").read_bytes().startswith(b"".join(copied[:20]))
    with pytest.raises(UsageError, match="is aac, and a call carries Opus only; encode it with --audio opus"):
        encode_call(DRIVING, tmp_path / "aac.v2v", EncodeOptions(audio="copy"), model=model)
    assert not (tmp_path / "aac.v2v").exists()


def lose(call: Path, target: Path, share: float, seed: int = 0) -> Path:
    """Drop a share of the packets of frames."""
    rng = np.random.default_rng(seed)

    def edit(packet: Packet) -> Packet | None:
        return None if packet.kind in (Kind.KEY, Kind.DELTA) and rng.random() < share else packet

    target.write_bytes(edit_packets(call.read_bytes(), edit))
    return target


@pytest.fixture(scope="module")
def whole_frames(call: Path, model: LoadedModel, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """What the call shows where nothing is lost, 96 px wide."""
    folder = tmp_path_factory.mktemp("whole") / "frames"
    decode_call(call, folder, DecodeOptions(size=96), model=model)
    return sorted(folder.glob("*.png"))


@pytest.mark.parametrize("share", [0.05, 0.2])
def test_loss_never_breaks_the_picture(
    share: float, call: Path, whole_frames: list[Path], model: LoadedModel, tmp_path: Path
) -> None:
    lossy = lose(call, tmp_path / "lossy.v2v", share)
    hooks_heard: list[str] = []
    result = decode_call(
        lossy, tmp_path / "lossy", DecodeOptions(size=96), model=model, hooks=Hooks(warn=hooks_heard.append)
    )
    assert result.frames == FRAMES and result.held == 0
    (warning,) = hooks_heard
    assert "frames were lost or damaged" in warning and "the last motion was held" in warning
    pairs = zip(sorted((tmp_path / "lossy").glob("*.png")), whole_frames, strict=True)
    off = np.array([np.abs(read_image(a).astype(float) - read_image(b)).mean() for a, b in pairs])
    # Held for some frames, in which the head moves on, then right again, once what moves beside it has come to rest.
    assert off.max() < 25 and (off < 0.3).mean() > 0.2


def test_info_tells_parts_and_damage(call: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(call), "--json"]) == 0
    facts = json.loads(capfd.readouterr().out)
    assert (facts["frames"], facts["keys"], facts["family"], facts["damage"]) == (FRAMES, 8, "compact", None)
    assert sum(facts["bytes_by_part"].values()) + 20 > facts["bytes"] == call.stat().st_size
    assert facts["kbit_s_by_part"]["motion"] == pytest.approx(facts["motion_bytes_a_frame"] * 25 * 8 / 1000, rel=0.01)
    damaged = bytearray(call.read_bytes())
    damaged[len(damaged) * 3 // 4 :: 97] = bytes(len(damaged[len(damaged) * 3 // 4 :: 97]))
    (tmp_path / "damaged.v2v").write_bytes(damaged)
    assert main(["info", str(tmp_path / "damaged.v2v")]) == 0
    said = capfd.readouterr().out
    assert "lost or damaged" in said and "bytes are damaged" in said


def test_a_cut_off_call_shows_what_it_has(call: Path, model: LoadedModel, tmp_path: Path) -> None:
    data = call.read_bytes()
    (tmp_path / "cut.v2v").write_bytes(data[: len(data) - 600])
    heard: list[str] = []
    result = decode_call(
        tmp_path / "cut.v2v", tmp_path / "cut.mp4", DecodeOptions(size=96), model=model, hooks=Hooks(warn=heard.append)
    )
    assert 20 < result.frames < FRAMES and "its end is missing" in heard[0]


def test_without_its_picture_a_call_needs_a_source(call: Path, model: LoadedModel, tmp_path: Path) -> None:
    bare = tmp_path / "bare.v2v"
    bare.write_bytes(edit_packets(call.read_bytes(), lambda p: None if p.kind == Kind.PICTURE else p))
    with pytest.raises(CallFileError, match=r"picture is missing or damaged; give one with --source"):
        decode_call(bare, tmp_path / "out.mp4", model=model)
    options = DecodeOptions(source=str(PORTRAIT), size=64, end="0.04")
    assert decode_call(bare, tmp_path / "out.mp4", options, model=model).frames == 1


def test_frames_without_a_face_are_held(media_dir: Path, tmp_path: Path, model: LoadedModel) -> None:
    """No face for a while at first, in a call as long as the clip."""
    clip = tmp_path / "late.mp4"
    ffmpeg("-ss", "3", "-i", media_dir / "bad" / "b15_no_face_at_first.mp4", "-t", "1.5", "-crf", "10", clip)
    result = encode_call(clip, tmp_path / "late.v2v", EncodeOptions(audio="none"), model=model)
    kinds = "".join(kind for kind, _ in read_stream((tmp_path / "late.v2v").read_bytes()).frames)
    assert len(kinds) == result.frames == probe_video(clip).frame_count
    assert kinds.startswith("HHHHK") or kinds.lstrip("H")[0] == "K"
    assert result.held == kinds.count("H") > 3 and "no face" in result.warnings[0]
    with pytest.raises(NoFaceError, match="on-missing"):
        encode_call(clip, tmp_path / "fail.v2v", EncodeOptions(on_missing="fail"), model=model)


def test_the_picture_may_be_any_frame_or_another_picture(tmp_path: Path, model: LoadedModel) -> None:
    encode_call(
        DRIVING, tmp_path / "n.v2v", EncodeOptions(end="0.4", source="7", key_quality=95, size=128), model=model
    )
    ffmpeg("-i", DRIVING, "-vf", "select=eq(n\\,7),scale=128:128:flags=area", "-frames:v", "1", tmp_path / "seven.png")
    with closing(CallRecording(tmp_path / "n.v2v")) as recording:
        picture = read_image(recording.save_picture()).astype(float)
        space = recording.require_model(model.model)
        reference = recording.reference(space)
        seventh = list(recording.frames(space))[7].motion
    assert np.abs(picture - read_image(tmp_path / "seven.png")).mean() < 5
    assert reference is not None and seventh is not None
    assert torch.allclose(reference.rotation, seventh.rotation, atol=0.02)
    encode_call(DRIVING, tmp_path / "p.v2v", EncodeOptions(end="0.4", source=str(PORTRAIT)), model=model)
    with closing(CallRecording(tmp_path / "p.v2v")) as recording:
        assert np.abs(read_image(recording.save_picture()).astype(float) - read_image(PORTRAIT)).mean() < 5


def test_a_motion_file_becomes_a_call_with_a_picture(tmp_path: Path, model: LoadedModel) -> None:
    from vid2vid_cli.pipeline.options import MotionOptions

    extract_motion(DRIVING, tmp_path / "talk.safetensors", MotionOptions(end="0.4"), model=model)
    with pytest.raises(UsageError, match="holds no picture to send; give one with --source"):
        encode_call(tmp_path / "talk.safetensors", tmp_path / "a.v2v", model=model)
    result = encode_call(
        tmp_path / "talk.safetensors", tmp_path / "a.v2v", EncodeOptions(source=str(PORTRAIT)), model=model
    )
    assert result.frames == 10


@pytest.mark.parametrize("family", ["facevid2vid", "liveportrait", "fomm"])
def test_every_family_can_call(family: str, tmp_path: Path) -> None:
    """Without a basis the keypoints themselves are sent, and whatever else the family needs."""
    checkpoint = tmp_path / f"{family}.safetensors"
    save_file(tiny.CHECKPOINTS[family](), checkpoint)
    loaded = load_model(str(checkpoint))
    options = EncodeOptions(checkpoint=str(checkpoint), end="0.2", audio="none", size=128, smooth=0, step=0.01)
    encode_call(DRIVING, tmp_path / "call.v2v", options, model=loaded)
    theirs = read_stream((tmp_path / "call.v2v").read_bytes())
    assert (theirs.family, theirs.basis, len(theirs.frames)) == (family, bytes(8), 5)
    assert theirs.expressions == 3 * theirs.keypoints
    result = decode_call(
        tmp_path / "call.v2v", tmp_path / "out.mp4", DecodeOptions(checkpoint=str(checkpoint)), model=loaded
    )
    assert (result.frames, result.size) == (5, (128, 128))
    with pytest.raises(CallFileError, match=f"of the {family} family does not fit -c compact"):
        decode_call(tmp_path / "call.v2v", tmp_path / "no.mp4")


def test_a_call_of_another_basis_is_refused(call: Path, tmp_path: Path, face_state: dict[str, torch.Tensor]) -> None:
    other = {**face_state, "basis.components": face_state["basis.components"] * 1.01}
    save_file(other, tmp_path / "other.safetensors")
    with pytest.raises(CallFileError, match="another basis of expressions"):
        decode_call(call, tmp_path / "out.mp4", DecodeOptions(checkpoint=str(tmp_path / "other.safetensors")))


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda data: data[:8] + b"\x02\x00" + data[10:], "call format 2, and this vid2vid reads 1; update vid2vid"),
        (lambda data: data[:60] + b"\xff" + data[61:], "its header is damaged"),
        (lambda data: data[:100], "ends within its header"),
        (lambda data: b"hello, world", "not a call file"),
        (lambda data: b"", "is empty"),
    ],
)
def test_what_is_no_call_is_told_in_a_line(
    spoil: object, words: str, call: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "bad.v2v").write_bytes(spoil(call.read_bytes()))  # type: ignore[operator]
    for command in (["info"], ["decode", "-o", str(tmp_path / "out.mp4")]):
        assert main([*command, str(tmp_path / "bad.v2v")]) == 1
        said = capfd.readouterr().err.splitlines()
        assert len(said) == 1 and words in said[0] and "bad.v2v" in said[0]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bad.v2v"]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (EncodeOptions(step=0), "--step 0: write pixels"),
        (EncodeOptions(key_interval=0), "--key-interval 0"),
        (EncodeOptions(key_quality=101), "--key-quality 101"),
        (EncodeOptions(size=4), "--size 4"),
        (EncodeOptions(on_missing="skip"), "--on-missing skip"),
        (EncodeOptions(live=True), "--live goes with -"),
        (EncodeOptions(source="900"), "--source 900: the driving has frames 0 to 9"),
        (EncodeOptions(source=str(DRIVING)), "is a video; give a picture"),
    ],
)
def test_options_that_make_no_sense(options: EncodeOptions, words: str, tmp_path: Path, model: LoadedModel) -> None:
    from dataclasses import replace

    with pytest.raises(UsageError, match=words.replace("-", r"\-")):
        encode_call(DRIVING, tmp_path / "no.v2v", replace(options, end="0.4"), model=model)
    assert list(tmp_path.iterdir()) == []


def test_outputs_are_not_replaced(call: Path, model: LoadedModel, tmp_path: Path) -> None:
    (tmp_path / "there.v2v").write_bytes(b"mine")
    with pytest.raises(Vid2VidError, match="exists already"):
        encode_call(DRIVING, tmp_path / "there.v2v", model=model)
    with pytest.raises(MediaError, match="its own input"):
        decode_call(call, call, DecodeOptions(force=True), model=model)
    assert (tmp_path / "there.v2v").read_bytes() == b"mine"


def test_encode_tells_its_result(tmp_path: Path, model: LoadedModel, capfd: pytest.CaptureFixture[str]) -> None:
    words = ["encode", str(DRIVING), "-o", str(tmp_path / "c.v2v"), "--end", "0.2", "--json", "--threads", "1"]
    assert main(words) == 0
    facts = json.loads(capfd.readouterr().out)
    assert (facts["frames"], facts["bytes"]) == (5, (tmp_path / "c.v2v").stat().st_size)
    result = encode_call(DRIVING, tmp_path / "d.v2v", EncodeOptions(end="0.2"), model=model)
    assert isinstance(result, EncodeResult) and result.delays is None


def test_a_picture_can_be_a_call_of_one_frame(tmp_path: Path, model: LoadedModel) -> None:
    Image.open(PORTRAIT).resize((128, 128)).save(tmp_path / "still.png")
    assert encode_call(tmp_path / "still.png", tmp_path / "one.v2v", model=model).frames == 1
    assert decode_call(tmp_path / "one.v2v", tmp_path / "one.mp4", model=model).frames == 1

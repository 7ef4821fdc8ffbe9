"""Patches and surroundings of calls, from a clip to the receiver's picture: budgets, old readers, live, loss."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from tests.support.bitstream_reader import basis_name, read_stream
from tests.support.clips import ffmpeg
from tests.support.streams import edit_packets, piped
from vid2vid_cli.arrays import Frame, Points
from vid2vid_cli.call.decode import decode_call
from vid2vid_cli.call.encode import encode_call
from vid2vid_cli.call.incoming import open_incoming
from vid2vid_cli.call.info import describe_call
from vid2vid_cli.call.patches import MOST_PATCHES, WHOLE_BYTES, PatchChooser, eyes_shape, mouth_shape
from vid2vid_cli.cli.app import main
from vid2vid_cli.codec.packets import FRAMES, Kind
from vid2vid_cli.codec.stream import StreamReader
from vid2vid_cli.errors import UsageError
from vid2vid_cli.face.mesh import FaceAnalyzer, FaceTracker
from vid2vid_cli.media.image import decode_small, encode_small, read_image
from vid2vid_cli.media.video import read_video
from vid2vid_cli.models.base import SourceAppearance, UsesViews, View, shape_of
from vid2vid_cli.models.compact.view_choice import FaceShape, ViewChoice
from vid2vid_cli.models.registry import LoadedModel
from vid2vid_cli.pipeline.driving.base import SeenPatch
from vid2vid_cli.pipeline.driving.call_file import CallRecording
from vid2vid_cli.pipeline.encode_options import EncodeOptions
from vid2vid_cli.pipeline.engine import start_engine
from vid2vid_cli.pipeline.options import DecodeOptions, PictureOptions
from vid2vid_cli.pipeline.received_views import ReceivedViews
from vid2vid_cli.pipeline.source import Source

DRIVING = Path(__file__).parents[1] / "examples" / "driving.mp4"
COUNT, SIDE, FPS = 30, 256, 25


@pytest.fixture(scope="module")
def frames() -> list[Frame]:
    """The example's first frames, in which the mouth opens."""
    shown = [frame for frame, _ in zip(read_video(DRIVING), range(COUNT), strict=False)]
    return [np.ascontiguousarray(cv2.resize(frame, (SIDE, SIDE), interpolation=cv2.INTER_AREA)) for frame in shown]


@pytest.fixture(scope="module")
def call(tmp_path_factory: pytest.TempPathFactory, model: LoadedModel) -> Path:
    path = tmp_path_factory.mktemp("beside") / "talk.v2v"
    encode_call(DRIVING, path, EncodeOptions(end="1.2", size=SIDE, audio="none", patches=3000), model=model)
    return path


def seen_of(call: Path, folder: Path, model: LoadedModel, **options: object) -> np.ndarray:
    decode_call(call, folder, DecodeOptions(force=True, **options), model=model)  # type: ignore[arg-type]
    return np.stack([read_image(path).astype(float) for path in sorted(folder.glob("*.png"))])


def test_the_second_reader_agrees_and_the_basis_has_the_name_of_the_text(call: Path, model: LoadedModel) -> None:
    theirs = read_stream(call.read_bytes())
    basis = model.model.beside_basis()  # type: ignore[attr-defined]
    tensors = (basis.components, basis.weights)
    assert theirs.beside_basis == basis_name(*(t.numpy().astype("<f4").tobytes() for t in tensors))
    with closing(CallRecording(call)) as recording:
        moments = list(recording.reader.frames())
    for moment, (_, integers) in zip(moments, theirs.frames, strict=True):
        assert moment.numbers is not None and integers is not None
        assert [float(x) for x in theirs.numbers(integers)] == moment.numbers.tolist()
    ours = [patch for moment in moments for patch in moment.patches]
    assert [(p.place, p.file) for p in ours] == [(p.place, p.picture) for p in theirs.patches[: len(ours)]] and ours


def test_an_old_reader_reads_the_head_as_ever(call: Path, tmp_path: Path, model: LoadedModel) -> None:
    """Bit for bit what is sent with --head-only and without patches, but for the numbers that smoothing shares."""
    encode_call(DRIVING, tmp_path / "plain.v2v", plain_options(), model=model)
    old, plain = read_stream(call.read_bytes(), knows_beside=False), read_stream((tmp_path / "plain.v2v").read_bytes())
    assert old.frames == plain.frames and old.reference == plain.reference and old.picture == plain.picture
    assert plain.beside == [] and plain.patches == []


def plain_options() -> EncodeOptions:
    return EncodeOptions(end="1.2", size=SIDE, audio="none", patches=0, body=False)


def test_what_is_sent_beside_the_head_brings_the_picture_nearer(
    frames: list[Frame], model: LoadedModel, tmp_path: Path
) -> None:
    """Of a head before a background that sways: with it, without it at the sender, and left out by the receiver."""
    swaying = [np.roll(frame, round(6 * np.sin(index / 4)), 1) for index, frame in enumerate(frames)]
    write_clip(tmp_path / "sways.mkv", swaying)
    options = EncodeOptions(audio="none", patches=0, key_quality=90)
    encode_call(tmp_path / "sways.mkv", tmp_path / "with.v2v", options, model=model)
    encode_call(tmp_path / "sways.mkv", tmp_path / "bare.v2v", replace(options, body=False), model=model)
    truth = np.stack(swaying).astype(float)
    pictures = {name: seen_of(tmp_path / f"{name}.v2v", tmp_path / name, model) for name in ("with", "bare")}
    off = {name: np.abs(seen - truth).mean() for name, seen in pictures.items()}
    assert off["with"] < 0.9 * off["bare"]


def write_clip(path: Path, frames: list[Frame]) -> None:
    raw = path.with_suffix(".rgb")
    raw.write_bytes(b"".join(frame.tobytes() for frame in frames))
    size = f"{frames[0].shape[1]}x{frames[0].shape[0]}"
    ffmpeg("-f", "rawvideo", "-pix_fmt", "rgb24", "-s", size, "-r", FPS, "-i", raw, "-c:v", "ffv1", path)


def test_bytes_keep_to_what_is_asked_for(call: Path, tmp_path: Path, model: LoadedModel) -> None:
    """At any moment of the call, not only at its end."""
    encode_call(DRIVING, tmp_path / "auto.v2v", replace(plain_options(), patches=None, body=True), model=model)
    for path, limit in ((tmp_path / "auto.v2v", None), (call, 3000)):
        frames = patch_bytes = all_bytes = 0
        reader = StreamReader(path.read_bytes())
        for packet in reader.packets():
            size = len(packet.write(0))
            frames += packet.kind in FRAMES
            all_bytes += size if packet.kind in (*FRAMES, Kind.BESIDE, Kind.PATCH) else 0
            patch_bytes += size if packet.kind == Kind.PATCH else 0
            if packet.kind == Kind.PATCH and limit is None:
                assert all_bytes <= WHOLE_BYTES * frames
            elif packet.kind == Kind.PATCH:
                assert patch_bytes <= limit * frames / FPS
        assert patch_bytes > 0 or limit is None


def test_info_tells_of_patches_and_numbers(call: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(call), "--json"]) == 0
    facts = json.loads(capfd.readouterr().out)
    found = describe_call(call)
    assert facts["numbers_beside"] == 48 and facts["patches"] == found.patches >= 1
    assert facts["bytes_by_part"]["patches"] == found.sizes["patches"] > 200
    assert 0 <= found.bytes - sum(found.sizes.values()) < 20  # the end is no part
    assert main(["info", str(call)]) == 0
    assert f"{found.patches} patches" in capfd.readouterr().out


def test_patches_are_lost_without_a_trace(call: Path, tmp_path: Path, model: LoadedModel) -> None:
    first = min(p.time for p in StreamReader(call.read_bytes()).packets() if p.kind == Kind.PATCH)
    lost, spoilt = tmp_path / "lost.v2v", tmp_path / "spoilt.v2v"
    lost.write_bytes(edit_packets(call.read_bytes(), lambda p: None if p.kind == Kind.PATCH else p))
    spoilt.write_bytes(
        edit_packets(call.read_bytes(), lambda p: replace(p, payload=p.payload[:60]) if p.kind == Kind.PATCH else p)
    )
    heard: list[str] = []
    with_them, without, damaged = (
        seen_of(path, tmp_path / path.stem, model, size=128) for path in (call, lost, spoilt)
    )
    assert not heard and np.array_equal(without, damaged)
    assert np.array_equal(with_them[: first + 1], without[: first + 1])
    assert not np.array_equal(with_them, without)


def test_a_view_comes_in_without_a_jump(frames: list[Frame], model: LoadedModel) -> None:
    """Black without the view and white with it: brighter from frame to frame, by a part each, and then white."""
    source = Source(frames[0], PictureOptions(), start_engine(DecodeOptions(), model), print)
    still = next(source.frames())
    own = still.faces[0].appearance
    assert own is not None
    received = ReceivedViews(Collects(model.model), source, FPS)  # type: ignore[arg-type]

    assert not received.eased(still, lambda seen: level_of(seen.faces[0].appearance, own)).any()
    patch = SeenPatch(own.motion, (0.25, 0.5, 0.75, 0.75), encode_small(frames[0][:90, :90], 90))
    received.take([patch], still, own.motion)
    levels = []
    for _ in range(12):
        levels.append(received.eased(still, lambda seen: level_of(seen.faces[0].appearance, own)).mean())
        received.take([], still, own.motion)
    rises = np.diff([0, *levels])
    assert levels[-1] == 255 and (rises >= 0).all() and rises.max() < 0.3 * 255


def level_of(appearance: SourceAppearance | None, own: SourceAppearance) -> Frame:
    return np.full((4, 4, 3), 0 if appearance is own else 255, np.uint8)


def test_another_source_takes_no_patches(call: Path, tmp_path: Path, model: LoadedModel) -> None:
    portrait = Path(__file__).parents[1] / "examples" / "portrait.jpg"
    lost = tmp_path / "lost.v2v"
    lost.write_bytes(edit_packets(call.read_bytes(), lambda p: None if p.kind == Kind.PATCH else p))
    seen = [
        seen_of(path, tmp_path / path.stem, model, source=str(portrait), size=96, end="0.4") for path in (call, lost)
    ]
    assert np.array_equal(*seen)


def test_a_live_call_gives_the_same_frames(call: Path, model: LoadedModel) -> None:
    """With what goes beside the head, and each patch once, before the frame that it came before."""
    data = call.read_bytes()
    with piped(data) as descriptor:
        live = open_incoming(descriptor, model.model, print, catches_up=False)
        got = list(live.frames())
    with closing(CallRecording(call)) as recording:
        wanted = list(recording.frames(recording.require_model(model.model)))
    assert [len(frame.patches) for frame in got] == [len(frame.patches) for frame in wanted]
    for one, other in zip(got, wanted, strict=True):
        assert one.motion is not None and other.motion is not None
        assert one.motion.extra is not None and other.motion.extra is not None
        assert torch.equal(one.motion.extra, other.motion.extra)
    with piped(data) as descriptor:
        bare = open_incoming(descriptor, model.model, print, catches_up=False, follows=False)
        assert all(frame.motion is not None and frame.motion.extra is None for frame in bare.frames())


def test_the_sender_of_the_picture_is_known_by_it(call: Path, tmp_path: Path, model: LoadedModel) -> None:
    """Then its motions hold the shape of the face again, so that it is taken for the person that it is."""
    engine = start_engine(DecodeOptions(), model)
    with closing(CallRecording(call)) as recording:
        picture = recording.save_picture()
        source = Source(picture, PictureOptions(), engine, print)
        own = source.first_appearance().motion
        space = recording.require_model(model.model)
        bare = recording.reference(space)
        full = recording.reference(replace(space, shape=shape_of(model.model, own)))
    assert bare is not None and full is not None
    posing = model.model.posing  # type: ignore[attr-defined]
    assert posing.likeness(own, full) > 0.9
    assert posing.likeness(own, bare) < 0.6


class Collects:
    """A model that keeps the views it gets."""

    def __init__(self, model: object) -> None:
        self._model, self.views = model, list[View]()

    def __getattr__(self, name: str) -> object:
        return getattr(self._model, name)

    def with_views(self, source: SourceAppearance, views: list[View]) -> SourceAppearance:
        self.views = list(views)
        return replace(source)


def test_a_patch_becomes_a_view_of_the_whole_face(
    frames: list[Frame], face_analyzer: FaceAnalyzer, model: LoadedModel, tmp_path: Path
) -> None:
    """A real piece of the source laid over the source: the view is the source again, real where the piece is."""
    engine = start_engine(DecodeOptions(), model)
    source = Source(frames[0], PictureOptions(), engine, print)
    still = next(source.frames())
    appearance = still.faces[0].appearance
    assert appearance is not None
    collects = Collects(model.model)
    assert isinstance(collects, UsesViews)
    received = ReceivedViews(collects, source, FPS)  # type: ignore[arg-type]
    piece = frames[0][SIDE // 2 : SIDE * 3 // 4, SIDE // 4 : SIDE * 3 // 4]
    patch = SeenPatch(appearance.motion, (0.25, 0.5, 0.75, 0.75), encode_small(np.ascontiguousarray(piece), 90))
    received.take(
        [patch, replace(patch, file=b"no picture"), replace(patch, place=(0.1, 0.1, 0.1, 0.4))],
        still,
        appearance.motion,
    )
    (view,) = collects.views
    height, width = view.image.shape[2:]
    shown = (view.image[0].permute(1, 2, 0).numpy() * 255).astype(float)
    assert np.abs(shown - appearance.features["image"][0].permute(1, 2, 0).numpy() * 255).mean() < 6
    assert view.region is not None and view.region.shape == (1, 1, height, width)
    covered = float((view.region > 0.5).float().mean()) * height * width / (SIDE * SIDE)
    assert 0.05 < covered < 0.125 + 0.01
    for _ in range(40):  # what cannot be read is passed over
        received.take([], still, appearance.motion)
    assert len(collects.views) == 1


def test_a_patch_is_chosen_for_what_it_knows_alone(model: LoadedModel) -> None:
    """However well it suits: around it, it only shows what was rendered."""
    topology = model.model.topology  # type: ignore[attr-defined]
    face = topology.canonical.numpy()
    own = FaceShape(face + 0.05, np.eye(3, dtype=np.float32), np.zeros(2, np.float32))
    mouth = topology.region_mask(topology.inner_lips, 0.7).numpy()
    patch = replace(own, face=face, knows=mouth)
    shown = replace(own, face=face)
    weights, _ = ViewChoice(topology, [own, patch]).weigh(shown)
    everywhere, _ = ViewChoice(topology, [own, replace(patch, knows=None)]).weigh(shown)
    assert weights[1, 0] == everywhere[1, 0] > 0.5  # the mouth
    assert weights[1, 1:].max() < 1e-6 and everywhere[1, 1:].min() > 0.5


def test_the_chooser_sends_what_is_new_and_once(frames: list[Frame], face_analyzer: FaceAnalyzer) -> None:
    face = FaceTracker(face_analyzer).update(frames[0])
    assert face is not None
    numbers, key = np.zeros(3), face.landmarks_px
    chooser = PatchChooser(key, (2.0, 2.0))
    wide, wider, shut = opened(key, 0.3), opened(key, 0.5), shut_eyes(key)
    for index, landmarks in enumerate((key, wide, wide, wider, wider)):
        chooser.see(index, frames[0], landmarks, numbers)
    assert chooser.next(0.0) is None and chooser.next(20.0) is None  # too few bytes: it waits
    first = chooser.next(1e9)
    assert first is not None and first.frame == 4, "the newest look, at rest"
    chooser.see(5, frames[0], wider, numbers)
    assert chooser.next(1e9) is None, "known by now"
    for index in (6, 7):
        chooser.see(index, frames[0], shut, numbers)
    second = chooser.next(1e9)
    assert second is not None and second.frame == 7 and chooser.next(1e9) is None
    left, top, width, height = second.patch.place
    eyes = key[[33, 263, 159, 145], :2] * 2  # in px of a key picture of twice the size
    assert left < eyes[:, 0].min() and top < eyes[:, 1].min()
    assert left + width > eyes[:, 0].max() and top + height > eyes[:, 1].max()
    picture = decode_small(second.patch.file, 512)
    assert picture is not None and max(picture.shape) <= 112
    assert chooser.sent == 2 <= MOST_PATCHES


def opened(landmarks: Points, by: float) -> Points:
    """Return landmarks whose lower lip lies lower, by a share of the distance of the eyes."""
    moved = landmarks.copy()
    moved[14, 1] += by * float(np.linalg.norm(landmarks[33] - landmarks[263]))
    assert mouth_shape(moved)[0] > mouth_shape(landmarks)[0] + 0.9 * by
    return moved


def shut_eyes(landmarks: Points) -> Points:
    from vid2vid_cli.face.eyes import LOOPS, LOWER, UPPER

    moved = landmarks.copy()
    for loop in LOOPS:
        moved[loop[UPPER]] = moved[loop[LOWER]]
    assert eyes_shape(moved)[0] == 0 < eyes_shape(landmarks)[0]
    return moved


@pytest.mark.parametrize("patches", [-1, 2_000_000])
def test_a_rate_that_makes_no_sense(patches: int, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\-\-patches"):
        encode_call(DRIVING, tmp_path / "no.v2v", EncodeOptions(patches=patches))


def test_small_pictures_of_any_bytes() -> None:
    assert decode_small(b"RIFF and so on", 512) is None and decode_small(b"", 512) is None
    frame = np.zeros((40, 60, 3), np.uint8)
    assert decode_small(encode_small(frame, 50), 59) is None and decode_small(encode_small(frame, 50), 60) is not None

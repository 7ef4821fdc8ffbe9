"""Writing: every frame once, true colours, sound, marks, and nothing left behind by a failure."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.clips import end_of, ffmpeg, make_clip, number_of, numbered_frame, numbered_frames
from tests.support.processes import children
from vid2vid_cli.errors import MediaError, OutputExistsError
from vid2vid_cli.media import writer as writer_module
from vid2vid_cli.media.encoder import CONTAINERS
from vid2vid_cli.media.ffmpeg import executable
from vid2vid_cli.media.files import FILE_SUFFIXES, check_output
from vid2vid_cli.media.video import (
    SYNTHETIC_MARK,
    AudioSource,
    ReadOptions,
    WriteOptions,
    audio_of,
    open_writer,
    probe_video,
    read_mark,
    read_video,
)

NTSC = Fraction(30000, 1001)
SINE = ("sine=frequency=440:duration=4:sample_rate=44100", "-c:a", "aac")
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc for children")


def write(path: Path, frames: list[np.ndarray], options: WriteOptions) -> Path:
    with open_writer(path, frames[0].shape[:2], options) as writer:
        for frame in frames:
            writer.write(frame)
    return path


def remains(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv", "a.webm", "a.gif", "A.MP4"])
@pytest.mark.parametrize("fps", [Fraction(25), NTSC, Fraction(12)])
def test_frames_out_are_frames_in(tmp_path: Path, name: str, fps: Fraction) -> None:
    path = write(tmp_path / name, numbered_frames(23), WriteOptions(fps))
    info = probe_video(path)
    assert info.frame_count == 23
    assert info.is_constant_rate
    # A GIF counts in hundredths of a second: 23 frames cannot tell 30 from 30000/1001.
    assert info.fps in ({fps, Fraction(30)} if name == "a.gif" else {fps})
    assert [number_of(frame) for frame in read_video(path)] == list(range(23))
    assert remains(tmp_path) == [name]


def test_rates_beyond_the_usual_are_exact(tmp_path: Path) -> None:
    for fps in [Fraction(12000, 1001), Fraction(1352, 51), Fraction(120), Fraction(1, 2)]:
        path = write(tmp_path / f"{fps.numerator}.mp4", numbered_frames(40), WriteOptions(fps))
        assert probe_video(path).fps == fps


@pytest.mark.parametrize("name", ["a.mp4", "a.webm", "a.gif", "a.mkv", "folder"])
@pytest.mark.parametrize("size", [(61, 81), (61, 80), (64, 81)])
def test_odd_sizes_are_kept(tmp_path: Path, name: str, size: tuple[int, int]) -> None:
    path = write(tmp_path / name, numbered_frames(3, size), WriteOptions(Fraction(25)))
    if path.is_dir():
        assert Image.open(path / "frame_000002.png").size == (size[1], size[0])
    else:
        assert [frame.shape[:2] for frame in read_video(path)] == [size] * 3


def test_one_frame_is_a_video_too(tmp_path: Path) -> None:
    for name in ["a.mp4", "a.webm", "a.gif"]:
        path = write(tmp_path / name, numbered_frames(1), WriteOptions(Fraction(25)))
        assert [number_of(frame) for frame in read_video(path)] == [0]


@pytest.mark.parametrize(("name", "codec"), [("a.mp4", None), ("a.webm", None), ("a.mp4", "h265"), ("a.mkv", None)])
def test_colours_survive_and_are_tagged_bt709(tmp_path: Path, name: str, codec: str | None) -> None:
    palette = [
        [200, 40, 40],
        [40, 200, 40],
        [40, 40, 200],
        [220, 210, 60],
        [0, 0, 0],
        [255, 255, 255],
        [128, 128, 128],
    ]
    patches = np.array(palette, np.uint8)
    frame = patches[None].repeat(32, axis=1).repeat(64, axis=0)
    path = write(tmp_path / name, [frame] * 3, WriteOptions(Fraction(25), codec=codec, crf=4))
    for read in read_video(path):
        assert np.abs(read[32, 16::32].astype(int) - patches).max() <= 3
    log = subprocess.run([executable(), "-i", str(path)], capture_output=True, text=True, check=False).stderr
    assert re.search(r"\(tv, bt709[,)]", log), log


def test_codec_quality_and_preset_are_obeyed(tmp_path: Path) -> None:
    noise = list(np.random.default_rng(0).integers(0, 255, (4, 64, 80, 3), np.uint8))
    good = write(tmp_path / "good.mp4", noise, WriteOptions(Fraction(25), crf=10))
    poor = write(tmp_path / "poor.mp4", noise, WriteOptions(Fraction(25), crf=40, preset="ultrafast"))
    assert good.stat().st_size > 2 * poor.stat().st_size
    hevc = write(tmp_path / "hevc.mp4", noise, WriteOptions(Fraction(25), codec="h265"))
    assert probe_video(hevc).video_codec == "hevc"


def test_pixel_aspect_is_carried(tmp_path: Path) -> None:
    path = write(tmp_path / "a.mp4", numbered_frames(2), WriteOptions(Fraction(25), pixel_aspect=Fraction(128, 117)))
    assert probe_video(path).pixel_aspect == Fraction(128, 117)


def test_an_mp4_begins_with_its_index(tmp_path: Path) -> None:
    sound = make_clip(tmp_path / "s.mp4", 25, sound=SINE)
    for source in [None, AudioSource(sound)]:
        path = write(tmp_path / "a.mp4", numbered_frames(5), WriteOptions(Fraction(25), audio=source, force=True))
        data = path.read_bytes()
        assert 0 < data.index(b"moov") < data.index(b"mdat")


@pytest.mark.parametrize(
    ("name", "codec", "expected"),
    [
        ("a.mp4", "aac", "aac"),
        ("a.mp4", "libmp3lame", "mp3"),
        ("a.mkv", "libopus", "opus"),
        ("a.webm", "aac", "opus"),
        ("a.webm", "libopus", "opus"),
        ("a.mov", "libvorbis", "aac"),
    ],
)
def test_sound_is_copied_or_encoded_and_cut_by_time(tmp_path: Path, name: str, codec: str, expected: str) -> None:
    clip = make_clip(
        tmp_path / "clip.mkv", 100, sound=("sine=frequency=440:duration=4:sample_rate=48000", "-c:a", codec)
    )
    options = WriteOptions(Fraction(25), audio=AudioSource(clip))
    path = write(tmp_path / name, numbered_frames(50), options)
    assert probe_video(path).audio_codec == expected
    assert end_of(path, "a:0") == pytest.approx(2.0, abs=0.08)
    assert probe_video(path).frame_count == 50


def test_copied_sound_is_the_same_sound(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", 100, sound=SINE)
    path = write(tmp_path / "a.mp4", numbered_frames(100), WriteOptions(Fraction(25), audio=AudioSource(clip)))
    raw = ("-map", "0:a", "-ac", "1", "-f", "s16le", "pipe:1")
    was, now = (np.frombuffer(ffmpeg("-i", source, *raw), np.int16) for source in (clip, path))
    shared = min(len(was), len(now))
    assert shared > 3.9 * 44100
    assert (was[:shared] == now[:shared]).all()


def test_sound_stays_in_step_after_a_cut(tmp_path: Path) -> None:
    # Silence, then a tone that begins at 2.0 s; the video is cut to start at 1.5 s.
    tone = "aevalsrc='if(gte(t,2),sin(2*PI*440*t),0)':d=4:s=44100"
    clip = make_clip(tmp_path / "clip.mp4", 100, sound=(tone, "-c:a", "aac"))
    options = ReadOptions(start_s=1.5, end_s=3.5)
    info = probe_video(clip)
    for name in ["a.mp4", "a.webm"]:
        path = tmp_path / name
        with open_writer(path, info.size, WriteOptions(info.fps, audio=audio_of(clip, info, options))) as writer:
            for frame in read_video(clip, options):
                writer.write(frame)
        samples = np.frombuffer(ffmpeg("-i", path, "-ac", "1", "-ar", "44100", "-f", "s16le", "pipe:1"), np.int16)
        begins_s = np.flatnonzero(np.abs(samples) > 3000)[0] / 44100
        assert begins_s == pytest.approx(0.5, abs=0.05)
        assert end_of(path, "a:0") == pytest.approx(2.0, abs=0.08)


def test_a_short_sound_does_not_cut_the_video(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", 25, sound=("sine=duration=0.5", "-c:a", "aac"))
    path = write(tmp_path / "a.mp4", numbered_frames(50), WriteOptions(Fraction(25), audio=AudioSource(clip)))
    assert probe_video(path).frame_count == 50


def test_a_silent_source_is_no_error_but_an_unreadable_one_is(tmp_path: Path) -> None:
    silent = make_clip(tmp_path / "silent.mp4", 5)
    assert audio_of(silent, probe_video(silent)) is None
    path = write(tmp_path / "a.mp4", numbered_frames(5), WriteOptions(Fraction(25), audio=AudioSource(silent)))
    assert not probe_video(path).has_audio
    for name, content in [("none.mp4", None), ("text.mp4", "not sound")]:
        if content:
            (tmp_path / name).write_text(content)
        with pytest.raises(MediaError, match=name):
            open_writer(tmp_path / "b.mp4", (8, 8), WriteOptions(Fraction(25), audio=AudioSource(tmp_path / name)))


@pytest.mark.parametrize("name", ["a.mp4", "a.mov", "a.mkv", "a.webm", "a.gif"])
def test_videos_are_marked(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, numbered_frames(3), WriteOptions(Fraction(25)))
    assert read_mark(path) == SYNTHETIC_MARK
    assert SYNTHETIC_MARK.encode() in path.read_bytes()
    bare = write(tmp_path / f"bare{path.suffix}", numbered_frames(3), WriteOptions(Fraction(25), provenance=None))
    assert read_mark(bare) is None


def test_the_mark_stays_when_sound_is_added_and_the_sources_tags_go(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", 25, sound=(*SINE, "-metadata", "title=private", "-metadata", "comment=x"))
    assert read_mark(clip) is None
    for name in ["a.mp4", "a.webm"]:
        path = write(tmp_path / name, numbered_frames(25), WriteOptions(Fraction(25), audio=AudioSource(clip)))
        assert read_mark(path) == SYNTHETIC_MARK
        assert b"private" not in path.read_bytes()


@linux_only
@pytest.mark.parametrize("name", ["a.mp4", "a.gif", "folder", "a.webm"])
def test_an_exception_leaves_nothing(tmp_path: Path, name: str) -> None:
    before = children()

    def fail() -> None:
        with open_writer(tmp_path / name, (64, 80), WriteOptions(Fraction(25))) as writer:
            while not remains(tmp_path):  # more than the pipe holds, so that ffmpeg must have begun its file
                writer.write(numbered_frame(0))
            assert remains(tmp_path)[0].startswith(".vid2vid-")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert remains(tmp_path) == []
    assert children() == before


def test_no_frame_at_all_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    for name in ["a.mp4", "folder"]:
        with (
            pytest.raises(MediaError, match="no frame"),
            open_writer(tmp_path / name, (8, 8), WriteOptions(NTSC)),
        ):
            pass
    assert remains(tmp_path) == []


@linux_only
def test_a_dead_encoder_is_reported_and_leaves_nothing(tmp_path: Path) -> None:
    def kill_midway() -> None:
        before = children()
        with open_writer(tmp_path / "a.mp4", (64, 80), WriteOptions(Fraction(25))) as writer:
            writer.write(numbered_frame(0))
            (encoder,) = children() - before
            os.kill(encoder, signal.SIGKILL)
            for frame in numbered_frames(500):
                writer.write(frame)

    with pytest.raises(MediaError, match=r"a\.mp4: cannot be written: .*signal 9"):
        kill_midway()
    assert remains(tmp_path) == []


def test_the_encoders_own_words_are_in_the_error(tmp_path: Path) -> None:
    for codec, words in [("nonsense", "nonsense"), ("libvpx-vp9x", "libvpx-vp9x")]:
        with pytest.raises(MediaError, match=words) as caught:
            write(tmp_path / "a.mp4", numbered_frames(200), WriteOptions(Fraction(25), codec=codec))
        assert "\n" not in str(caught.value)
    with pytest.raises(MediaError, match="cannot be written"):
        write(tmp_path / "a.webm", numbered_frames(200), WriteOptions(Fraction(25), codec="h264"))
    assert remains(tmp_path) == []


@linux_only
def test_a_full_disk_is_an_error_and_leaves_nothing(tmp_path: Path) -> None:
    import resource

    noise = np.random.default_rng(0).integers(0, 255, (200, 240, 320, 3), np.uint8)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, hard))
    try:
        with pytest.raises(MediaError, match="cannot be written"):
            write(tmp_path / "a.mp4", list(noise), WriteOptions(Fraction(25)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert remains(tmp_path) == []


def test_existing_outputs_stay_without_force(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("precious")
    with pytest.raises(OutputExistsError, match="--force"):
        open_writer(tmp_path / "a.mp4", (64, 80), WriteOptions(Fraction(25)))
    assert (tmp_path / "a.mp4").read_text() == "precious"
    write(tmp_path / "a.mp4", numbered_frames(3), WriteOptions(Fraction(25), force=True))
    assert probe_video(tmp_path / "a.mp4").frame_count == 3


def test_a_failure_with_force_keeps_the_old_output(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("precious")
    with pytest.raises(MediaError):
        write(tmp_path / "a.mp4", numbered_frames(3), WriteOptions(Fraction(25), codec="nonsense", force=True))
    assert (tmp_path / "a.mp4").read_text() == "precious"


@pytest.mark.parametrize(
    ("name", "cause"),
    [("file/such/a.mp4", "file is not a folder"), ("a.xyz", r"use \.mp4"), ("a.png", r"use \.mp4")],
)
def test_impossible_outputs_are_refused_before_any_work(tmp_path: Path, name: str, cause: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MediaError, match=cause):
        open_writer(tmp_path / name, (64, 80), WriteOptions(Fraction(25)))


def test_a_folder_of_frames(tmp_path: Path) -> None:
    path = write(tmp_path / "frames", numbered_frames(3), WriteOptions(Fraction(25)))
    assert remains(path) == ["frame_000000.png", "frame_000001.png", "frame_000002.png"]
    assert (np.array(Image.open(path / "frame_000001.png")) == numbered_frame(1)).all()
    assert read_mark(path / "frame_000001.png") == SYNTHETIC_MARK
    with pytest.raises(OutputExistsError):
        open_writer(path, (64, 80), WriteOptions(Fraction(25)))
    (path / "notes.txt").write_text("mine")
    write(path, numbered_frames(2), WriteOptions(Fraction(25), force=True))
    assert remains(path) == ["frame_000000.png", "frame_000001.png", "notes.txt"]
    assert remains(tmp_path) == ["frames"]


def test_a_folder_with_a_dot_in_its_name_needs_a_slash(tmp_path: Path) -> None:
    with open_writer(f"{tmp_path}/take.2/", (64, 80), WriteOptions(Fraction(25))) as writer:
        writer.write(numbered_frame(0))
    assert remains(tmp_path / "take.2") == ["frame_000000.png"]


def test_wrong_frames_are_the_callers_mistake(tmp_path: Path) -> None:
    with open_writer(tmp_path / "a.mp4", (64, 80), WriteOptions(Fraction(25))) as writer:
        for wrong in [np.zeros((64, 81, 3), np.uint8), np.zeros((64, 80, 3)), np.zeros((64, 80), np.uint8)]:
            with pytest.raises(ValueError, match="expected a frame"):
                writer.write(wrong)  # type: ignore[arg-type]
        writer.write(numbered_frame(5)[:, ::-1])  # a view that is not contiguous
    (read,) = read_video(tmp_path / "a.mp4")
    assert number_of(read[:, ::-1]) == 5


def test_the_output_is_never_one_of_the_inputs(tmp_path: Path) -> None:
    clip, folder = tmp_path / "a.mp4", tmp_path / "frames"
    clip.write_text("precious")
    (tmp_path / "link.mp4").symlink_to(clip)
    folder.mkdir()
    frame = folder / "frame_000000.png"
    frame.write_text("precious")
    for output, given in [(clip, clip), (clip, tmp_path / "link.mp4"), (tmp_path / "link.mp4", clip), (folder, frame)]:
        for force in (True, False):
            with pytest.raises(MediaError, match="would replace its own input"):
                check_output(output, force=force, inputs=[tmp_path / "missing", given])
    check_output(folder, force=True, inputs=[clip])
    (folder / "portrait.png").write_text("stays, since only frames are replaced")
    check_output(folder, force=True, inputs=[folder / "portrait.png"])


def test_an_empty_folder_is_a_fine_output_for_frames_only(tmp_path: Path) -> None:
    for name in ["frames", "take.2", "a.png"]:
        (tmp_path / name).mkdir()
    for name in ["frames", "take.2", "a.png/", "new", "a.mp4"]:
        check_output(f"{tmp_path}/{name}", force=False)
    for name, is_file in [("frames", True), ("a.png", False)]:
        with pytest.raises(MediaError, match="is a folder; name a file"):
            check_output(tmp_path / name, force=True, is_file=is_file)
    write(tmp_path / "take.2", numbered_frames(1), WriteOptions(Fraction(25)))
    assert remains(tmp_path / "take.2") == ["frame_000000.png"]
    with pytest.raises(OutputExistsError, match="not empty"):
        check_output(tmp_path / "take.2", force=False)


def test_a_file_is_no_place_for_frames(tmp_path: Path) -> None:
    (tmp_path / "frames").write_text("precious")
    with pytest.raises(MediaError, match="frames need a folder"):
        check_output(tmp_path / "frames", force=True)
    check_output(tmp_path / "frames", force=True, is_file=True)
    with pytest.raises(OutputExistsError):
        check_output(tmp_path / "frames", force=False, is_file=True)


@linux_only
@pytest.mark.parametrize(
    ("path", "cause"),
    [
        ("/proc/a.mp4", "nothing can be written to /proc"),
        ("/dev/null", "not a regular file|nothing can be written to /dev"),
        ("x" * 300 + ".mp4", "name too long"),
    ],
)
def test_places_that_take_no_file_are_refused_before_any_work(path: str, cause: str) -> None:
    with pytest.raises(MediaError, match=cause):
        check_output(path, force=True)


def test_suffixes_of_files_are_all_known() -> None:
    assert set(CONTAINERS) < FILE_SUFFIXES


def test_the_frames_of_a_gif_that_cannot_be_made_are_kept(own_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise MediaError("o.gif: cannot be written: no space left")

    monkeypatch.setattr(writer_module, "make_gif", refuse)
    with (
        pytest.raises(MediaError, match=r"no space left; its frames are in o\.mkv"),
        open_writer("o.gif", (48, 64), WriteOptions(Fraction(25))) as writer,
    ):
        writer.write(np.full((48, 64, 3), 90, np.uint8))
    assert probe_video("o.mkv").frame_count == 1 and not Path("o.gif").exists()

"""Probing and reading: what goes in comes out, frame by frame, at the exact rate."""

from __future__ import annotations

import math
import sys
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.support.clips import ffmpeg, make_clip, number_of, numbered_frame, numbered_frames
from tests.support.processes import children
from vid2vid_cli.errors import MediaError
from vid2vid_cli.media.probe import Packets
from vid2vid_cli.media.rate import Rate, Stamps, measure_rate
from vid2vid_cli.media.video import ReadOptions, frames_to_read, probe_video, read_video, sniff

NTSC = Fraction(30000, 1001)
linux_only = pytest.mark.skipif(sys.platform != "linux", reason="looks at /proc for children")


def numbers(path: Path, options: ReadOptions | None = None) -> list[int]:
    return [number_of(frame) for frame in read_video(path, options)]


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv", "clip.avi", "clip.mov", "clip.ts"])
@pytest.mark.parametrize("fps", ["25", "30000/1001", "12", "24000/1001", "50"])
def test_constant_rate_clips_give_exactly_their_frames(tmp_path: Path, name: str, fps: str) -> None:
    path = make_clip(tmp_path / name, 40, fps)
    info = probe_video(path)
    assert (info.fps, info.frame_count, info.is_constant_rate) == (Fraction(fps), 40, True)
    assert info.size == (64, 80)
    assert info.duration_s == pytest.approx(40 / Fraction(fps), abs=0.002)
    assert numbers(path) == list(range(40))


def test_webm_gif_and_animated_png_are_videos(tmp_path: Path) -> None:
    webm = make_clip(tmp_path / "a.webm", 12, "30000/1001", ("-c:v", "libvpx-vp9", "-deadline", "realtime"))
    gif = make_clip(tmp_path / "a.gif", 12, "12", ("-c:v", "gif", "-pix_fmt", "gray"))
    apng = make_clip(tmp_path / "a.png", 12, "12", ("-f", "apng"))
    for path, fps in [(webm, NTSC), (gif, Fraction(12)), (apng, Fraction(12))]:
        info = probe_video(path)
        assert sniff(path) == "video", path
        assert (info.fps, info.frame_count) == (fps, 12), path
        assert numbers(path) == list(range(12)), path


def test_stills_are_no_videos_whatever_their_name(tmp_path: Path) -> None:
    still = Image.fromarray(numbered_frame(3))
    for name, kind in [("a.mp4", "PNG"), ("b.gif", "GIF"), ("c.webm", "JPEG"), ("d", "WEBP")]:
        still.save(tmp_path / name, kind)
        assert sniff(tmp_path / name) == "still", name
    mpeg = make_clip(tmp_path / "real.mpg", 2, "25", ("-c:v", "mpeg1video"))  # which Pillow takes for a picture
    assert sniff(mpeg) == "video"
    assert sniff(make_clip(tmp_path / "real.mp4", 2).rename(tmp_path / "video.jpg")) == "video"


@pytest.mark.parametrize("size", [(61, 81), (64, 81), (61, 80)])
def test_odd_sizes_are_kept(tmp_path: Path, size: tuple[int, int]) -> None:
    options = ("-c:v", "libx264", "-pix_fmt", "yuv444p")
    path = make_clip(tmp_path / "odd.mp4", numbered_frames(5, size), options=options)
    assert probe_video(path).size == size
    assert [frame.shape for frame in read_video(path)] == [(*size, 3)] * 5


def test_one_frame(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "one.mp4", 1, "24")
    assert (probe_video(path).fps, probe_video(path).frame_count) == (24, 1)
    assert numbers(path) == [0]


@pytest.mark.parametrize(("turn", "size"), [("90", (80, 64)), ("180", (64, 80)), ("270", (80, 64))])
def test_rotation_is_obeyed(tmp_path: Path, turn: str, size: tuple[int, int]) -> None:
    frame = np.zeros((64, 80, 3), np.uint8)
    frame[:32, :40] = 255  # a white corner at the top left
    flat = make_clip(tmp_path / "flat.mp4", [frame] * 3)
    ffmpeg("-display_rotation", turn, "-i", flat, "-c", "copy", tmp_path / "turned.mp4")
    info = probe_video(tmp_path / "turned.mp4")
    assert info.size == size
    assert info.rotation == (360 - int(turn)) % 360
    first = next(iter(read_video(tmp_path / "turned.mp4")))
    expected = np.rot90(frame, int(turn) // 90)
    assert np.abs(first.astype(int) - expected).mean() < 4


def test_variable_rate_is_made_constant_by_time(tmp_path: Path) -> None:
    # Frames 0 to 9 every 40 ms, then 10 to 19 every 160 ms, the last for 40 ms.
    slow = "setpts='if(lt(N,10),N,10+(N-10)*4)/25/TB'"
    path = make_clip(tmp_path / "vfr.mkv", 20, "25", ("-c:v", "libx264", "-vf", slow, "-fps_mode", "passthrough"))
    info = probe_video(path)
    assert not info.is_constant_rate
    assert info.frame_count == 20
    read = numbers(path)
    assert len(read) == frames_to_read(info)
    assert len(read) == pytest.approx(1.88 * info.fps, abs=1)
    shown_at = [index / info.fps for index in range(len(read))]
    for time_s, number in zip(shown_at, read, strict=True):
        stamp_s = (number if number < 10 else 10 + (number - 10) * 4) / 25
        assert stamp_s - float(time_s) < 1 / info.fps
    assert read == sorted(read)


def test_a_clip_with_a_few_lost_frames_keeps_its_own_rate(tmp_path: Path) -> None:
    lossy = "select='not(between(n,20,21))'"
    path = make_clip(tmp_path / "lossy.mkv", 50, "25", ("-c:v", "libx264", "-vf", lossy, "-fps_mode", "passthrough"))
    assert probe_video(path).fps == 25
    read = numbers(path)
    assert len(read) == 50
    assert [read[index] for index in (0, 19, 22, 49)] == [0, 19, 22, 49]


@pytest.mark.parametrize("fps", [Fraction(25), NTSC, Fraction(12)])
@pytest.mark.parametrize(("first", "last"), [(0, 10), (7, 23), (39, 40), (1, 40)])
def test_start_and_end_cut_at_the_exact_frame(tmp_path: Path, fps: Fraction, first: int, last: int) -> None:
    path = make_clip(tmp_path / "clip.mp4", 40, str(fps), ("-c:v", "libx264", "-g", "15", "-bf", "2"))
    options = ReadOptions(float(first / fps), float(last / fps))
    assert numbers(path, options) == list(range(first, last))
    assert frames_to_read(probe_video(path), options) == last - first


def test_a_time_beyond_the_end_is_an_error_that_says_so(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.mp4", 25)
    with pytest.raises(MediaError, match=r"lasts from 0\.000 to 1\.000 s"):
        list(read_video(path, ReadOptions(start_s=3.0)))
    with pytest.raises(ValueError, match="no time between"):
        ReadOptions(start_s=2.0, end_s=1.0)


def test_fps_resamples_by_time(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.mp4", 50, "50")
    options = ReadOptions(fps=Fraction(10))
    read = numbers(path, options)
    assert len(read) == frames_to_read(probe_video(path), options) == 10
    assert set(np.diff(read).tolist()) == {5}
    doubled = numbers(path, ReadOptions(fps=Fraction(100)))
    assert len(doubled) == 100
    assert all(abs(number - index / 2) <= 1 for index, number in enumerate(doubled))


@pytest.mark.parametrize(
    ("height", "matrix", "full"),
    [
        (64, "bt709", False),
        (64, "smpte170m", False),
        (64, "bt470bg", True),
        (64, None, False),
        (720, None, False),
    ],
)
def test_colours_follow_the_tags_or_the_players_rule(
    tmp_path: Path, height: int, matrix: str | None, full: bool
) -> None:
    patches = np.array([[200, 40, 40], [40, 200, 40], [40, 40, 200], [220, 210, 60]], np.uint8)
    frame = patches[None].repeat(20, axis=1).repeat(height, axis=0)
    stored = matrix or ("bt709" if height >= 720 else "smpte170m")
    scale = f"scale=out_color_matrix={stored}:out_range={'pc' if full else 'tv'}:flags=accurate_rnd"
    tags = ["-colorspace", matrix, "-color_range", "pc" if full else "tv"] if matrix else []
    # setparams takes off the tags that the filter sets by itself.
    untag = "" if matrix else ",setparams=colorspace=unknown"
    coding = ("-vf", f"{scale},format=yuv444p{untag}", "-c:v", "libx264", "-qp", "1", *tags)
    path = make_clip(tmp_path / "colours.mp4", [frame] * 2, options=coding)
    assert probe_video(path).colour_matrix == matrix
    read = next(iter(read_video(path)))
    assert np.abs(read[height // 2, 10::20].astype(int) - patches).max() <= 3


@pytest.mark.parametrize("name", ["clear.gif", "clear.png", "clear.webp"])
def test_transparent_parts_are_white(tmp_path: Path, name: str) -> None:
    if name.endswith("webp") and b"webp_anim" not in ffmpeg("-demuxers"):
        pytest.skip("this ffmpeg is too old for animated WebP")
    pictures = [Image.new("RGBA", (20, 10), (0, 0, 0, 0)) for _ in range(2)]
    for number, picture in enumerate(pictures):
        picture.paste((255, 0, 0, 255), (0, 0, 5 + number, 10))
    options = {"lossless": True} if name.endswith("webp") else {"disposal": 2 if name.endswith("gif") else 1}
    pictures[0].save(tmp_path / name, save_all=True, append_images=pictures[1:], duration=100, **options)
    first, second = read_video(tmp_path / name)
    assert first[5].tolist() == [[255, 0, 0]] * 5 + [[255, 255, 255]] * 15
    assert second[5].tolist() == [[255, 0, 0]] * 6 + [[255, 255, 255]] * 14


@linux_only
def test_closing_early_or_failing_kills_the_child(tmp_path: Path) -> None:
    path = make_clip(tmp_path / "clip.mp4", numbered_frames(200, (240, 320)))
    before = children()
    frames = read_video(path)
    next(frames)
    assert len(children() - before) == 1
    frames.close()  # type: ignore[attr-defined]
    assert children() == before

    def fail() -> None:
        for frame in read_video(path):
            raise RuntimeError(frame.shape)

    with pytest.raises(RuntimeError):
        fail()
    assert children() == before


def test_frames_are_arrays_of_their_own(tmp_path: Path) -> None:
    frames = list(read_video(make_clip(tmp_path / "clip.mp4", 3)))
    frames[0][:] = 0
    assert number_of(frames[1]) == 1
    assert all(frame.flags.writeable and frame.flags.c_contiguous for frame in frames)


def test_names_that_mean_something_to_ffmpeg_are_only_names(tmp_path: Path) -> None:
    for name in ["100%d.mp4", "-y.mp4", "concat:a|b.mp4", "a b'c;$(x).mp4", "ünï.mp4"]:
        path = make_clip(tmp_path / "plain.mp4", 2).rename(tmp_path / name)
        assert numbers(path) == [0, 1], name


def test_a_list_that_names_other_files_is_refused(tmp_path: Path) -> None:
    make_clip(tmp_path / "secret.ts", 3)
    playlist = "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nsecret.ts\n#EXT-X-ENDLIST\n"
    for name, text in [("list.m3u8", playlist), ("list.mp4", "ffconcat version 1.0\nfile secret.ts\n")]:
        (tmp_path / name).write_text(text)
        with pytest.raises(MediaError, match="cannot be read as a video"):
            probe_video(tmp_path / name)


@pytest.mark.parametrize(
    ("name", "cause"),
    [
        ("b01_truncated_no_index.mp4", "moov atom not found"),
        ("b03_zero_bytes.mp4", "empty"),
        ("b04_text.mp4", "cannot be read as a video"),
        ("b05_audio_only.mp4", "sound but no moving picture"),
        ("missing.mp4", "no such file"),
        ("", "is a folder"),
    ],
)
def test_bad_files_are_named_in_one_line(media_dir: Path, name: str, cause: str) -> None:
    with pytest.raises(MediaError, match=cause) as caught:
        list(read_video(media_dir / "bad" / name))
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_truncated_file_gives_what_it_has_and_warns(media_dir: Path) -> None:
    path = media_dir / "bad" / "b02_truncated_with_index.mp4"
    warnings: list[str] = []
    assert len(list(read_video(path, ReadOptions(warn=warnings.append)))) == 46
    assert probe_video(path).frame_count == 46
    assert len(warnings) == 1
    assert path.name in warnings[0]


@pytest.mark.parametrize(
    ("name", "size", "fps", "count"),
    [
        ("bad/b06_variable_rate.mp4", (288, 360), None, 75),
        ("bad/b07_one_frame.mp4", (288, 360), "25", 1),
        ("bad/b08_odd_321x241_yuv444.mp4", (241, 321), "30", 60),
        ("bad/b09_vp9_odd_321x241.webm", (241, 321), "30", 60),
        ("bad/b10_hevc_10bit.mp4", (480, 480), "30", 60),
        ("bad/b11_rotated_display_matrix.mp4", (640, 360), "30", 90),
        ("bad/b20_animated.gif", (240, 240), "10", 24),
        ("drivings/d08_man_dreadlocks_12fps.mp4", (512, 512), "12000/1001", 60),
        ("drivings/d09_man_talking_15fps_audio.mp4", (512, 512), "15", 89),
        ("drivings/d11_man_car_qcif.mp4", (144, 176), "30000/1001", 120),
    ],
)
def test_real_clips(media_dir: Path, name: str, size: tuple[int, int], fps: str | None, count: int) -> None:
    info = probe_video(media_dir / name)
    shapes = [frame.shape for frame in read_video(media_dir / name, info=info)]
    assert shapes == [(*size, 3)] * count
    assert fps is None or info.fps == Fraction(fps)


@pytest.mark.parametrize("rate", [24, 25, 30, 48, 50, 60, 120])
@pytest.mark.parametrize("is_ntsc", [False, True])
@pytest.mark.parametrize("tick_s", [Fraction(1, 1000), Fraction(1, 90000)])
def test_rates_are_found_behind_rounded_time_stamps(rate: int, is_ntsc: bool, tick_s: Fraction) -> None:
    fps = Fraction(rate * 1000, 1001) if is_ntsc else Fraction(rate)
    ticks = np.array([math.floor(index / fps / tick_s) for index in range(1500)], np.int64)
    assert measure_rate(Stamps(ticks, tick_s, 0)).fps == fps


def test_a_clip_that_turns_variable_halfway_is_not_constant() -> None:
    ticks = np.concatenate([np.arange(0, 4000, 40), 4000 + np.cumsum([200, 40, 90, 300, 40] * 20)])
    rate = measure_rate(Stamps(ticks.astype(np.int64), Fraction(1, 1000), 40))
    assert not rate.is_constant


def test_holes_at_the_end_of_a_truncated_clip_do_not_make_it_variable() -> None:
    ticks = np.delete(np.arange(100, dtype=np.int64) * 512, [93, 95, 96, 97, 98])
    assert measure_rate(Stamps(ticks, Fraction(1, 12800), 512)) == Rate(Fraction(25), True)


def test_a_jittery_camera_counts_as_constant() -> None:
    jitter = np.random.default_rng(0).integers(-900, 900, 300)
    rate = measure_rate(Stamps(np.arange(300, dtype=np.int64) * 3000 + jitter, Fraction(1, 90000), 3000))
    assert rate.is_constant
    assert float(rate.fps) == pytest.approx(30, rel=1e-3)


def test_a_look_at_the_kind_does_not_probe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clip = make_clip(tmp_path / "a.mp4", 2)
    (tmp_path / "text.mp4").write_text("no video")
    with monkeypatch.context() as patch:
        patch.setattr("vid2vid_cli.media.ffmpeg.executable", lambda: str(tmp_path / "no ffmpeg here"))
        assert [sniff(clip), sniff(tmp_path / "text.mp4")] == ["video", "video"]
    with pytest.raises(MediaError, match=r"text\.mp4: cannot be read as a video"):
        probe_video(tmp_path / "text.mp4")


@pytest.mark.parametrize("name", ["a.gif", "a.png"])
def test_transparent_parts_of_an_animation_show_the_background(tmp_path: Path, name: str) -> None:
    rgba = np.zeros((2, 16, 16, 4), np.uint8)
    rgba[:, 8:] = 255
    rgba[1, 8:, :8, :3] = 0
    first, second = (Image.fromarray(picture) for picture in rgba)
    first.save(tmp_path / name, save_all=True, append_images=[second], duration=40, disposal=2)
    assert sniff(tmp_path / name) == "video"
    for background in [(255, 255, 255), (10, 200, 30)]:
        for frame in read_video(tmp_path / name, ReadOptions(background=background)):
            assert frame[:8].reshape(-1, 3).tolist() == [list(background)] * 128
    assert frame[12, 2].tolist() == [0, 0, 0] and frame[12, 12].tolist() == [255, 255, 255]
    with pytest.raises(ValueError, match="background"):
        ReadOptions(background=(0, 0, 256))


def test_packets_are_held_as_plain_numbers() -> None:
    packets = Packets()
    for index in range(100_000):
        packets.append(index << 40, 1 << 40)
    assert len(packets) == 100_000
    assert sum(sys.getsizeof(numbers) for numbers in (packets.pts, packets.durations)) < 20 * 100_000

"""What cannot be encoded is told before any frame is made, by the name of the option at fault."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from tests.support.clips import numbered_frames
from vid2vid_cli.errors import MediaError
from vid2vid_cli.media.video import WriteOptions, check_encoding, open_writer, probe_video

Settings = tuple[str | None, int | None, str | None]


@pytest.mark.parametrize(
    ("name", "settings", "telling"),
    [
        ("a.avi", ("h264", None, None), r"not a video; use \.mp4"),
        ("a.png", ("h264", None, None), r"not a video; use \.mp4"),
        ("a.mp4", ("nonsense", None, None), r"--codec nonsense: .* no such encoder; use h264, h265"),
        ("a.mp4", ("", None, None), "--codec : .* no such encoder"),
        ("a.mp4", ("h264 -y", None, None), "--codec h264 -y: .* no such encoder"),
        ("a.mp4", ("aac", None, None), r"--codec aac: "),
        ("a.webm", ("h264", None, None), r"--codec h264: libx264 does not fit \.webm; use vp9 or av1, or .*\.mkv"),
        ("a.webm", ("libx264", 20, "slow"), r"--codec libx264: libx264 does not fit \.webm"),
        ("a.mp4", (None, 52, None), "--crf 52: libx264 takes 0 to 51"),
        ("a.mp4", ("h265", 52, "fast"), "--crf 52: libx265 takes 0 to 51"),
        ("a.mp4", (None, -1, None), "--crf -1: libx264 takes 0 to 51"),
        ("a.webm", (None, 64, None), "--crf 64: libvpx-vp9 takes 0 to 63"),
        ("a.mp4", ("mpeg4", 20, None), "--crf 20: the encoder mpeg4 has no such setting"),
        ("a.mp4", ("mpeg4", None, "slow"), "--preset slow: the encoder mpeg4 has no such setting"),
        ("a.mp4", (None, None, "foo"), "--preset foo: libx264 takes ultrafast, .* placebo"),
        ("a.mp4", ("h265", 20, "foo"), "--preset foo: libx265 takes ultrafast, .* placebo"),
        ("a.webm", (None, None, "slow"), "--preset slow: libvpx-vp9 takes -8 to 8"),
        ("a.mp4", ("av1", None, "99"), "--preset 99: libsvtav1 takes -?[0-9]+ to [0-9]+"),
        ("a.gif", (None, 20, None), "--crf 20 has no meaning for a GIF"),
        ("frames", (None, None, "slow"), "--preset slow has no meaning for a folder"),
    ],
)
def test_the_setting_at_fault_and_what_is_possible_are_named(
    tmp_path: Path, name: str, settings: Settings, telling: str
) -> None:
    with pytest.raises(MediaError, match=telling) as caught:
        check_encoding(tmp_path / name, *settings)
    assert str(caught.value).startswith(f"{tmp_path / name}: ")
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("a.mp4", (None, 0, "ultrafast")),
        ("a.mkv", ("h265", 51, "fast")),
        ("a.webm", ("av1", 63, "10")),
        ("a.webm", (None, 63, "8")),
        ("a.mov", ("mpeg4", None, None)),
    ],
)
def test_what_passes_the_check_can_be_written(tmp_path: Path, name: str, settings: Settings) -> None:
    check_encoding(tmp_path / name, *settings)
    codec, crf, preset = settings
    options = WriteOptions(Fraction(25), codec=codec, crf=crf, preset=preset)
    with open_writer(tmp_path / name, (64, 80), options) as writer:
        for frame in numbered_frames(3):
            writer.write(frame)
    assert probe_video(tmp_path / name).frame_count == 3


def test_without_settings_nothing_is_checked() -> None:
    for path in ["a.avi", "frames", "a.png", "no/such/a.mp4"]:
        check_encoding(path, None, None, None)

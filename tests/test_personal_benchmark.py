"""The benchmark of persons: whom it judges, and what its table says."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from benchmarks.personal_people import find_people, find_turning, is_held_back, write_blocks
from benchmarks.personal_plot import draw_curves
from benchmarks.personal_table import format_tables, side_means, worst_change
from tests.support.clips import make_clip, number_of
from vid2vid_cli.media.video import read_video


def test_people_whose_clips_were_cut_at_other_places_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    rows = {"one_a": "", "one_b": "", "two_a": "crop 9:9:0:0", "two_b": "crop 9:9:1:0", "alone_a": ""}
    for name in rows:
        (tmp_path / "train" / f"{name}.mp4").touch()
    lines = ["file,note", *(f'train/{name}.mp4,"a; {note}; b"' for name, note in rows.items())]
    (tmp_path / "MANIFEST.csv").write_text("\n".join(lines))
    assert [pair.name for pair in find_people(tmp_path)] == ["one"]


def test_clips_turn_that_also_face_the_camera(tmp_path: Path) -> None:
    notes = {"both": "-22..5", "little": "-12..15", "side": "14..30", "high": "-10..25", "unmeasured": ""}
    lines = ["file,note", *(f'train/{name}.mp4,"[A] a; measured yaw {yaw}, pitch 0..1"' for name, yaw in notes.items())]
    (tmp_path / "MANIFEST.csv").write_text("\n".join([*lines, 'speech/talk.mp4,"measured yaw -30..30"']))
    assert [clip.stem for clip in find_turning(tmp_path)] == ["both", "high"]


def test_every_other_half_second_is_held_back(tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "clip.mp4", 24, fps="10")
    write_blocks(clip, tmp_path / "seen.mp4")
    seen = [number_of(frame) for frame in read_video(tmp_path / "seen.mp4")]
    assert seen == [*range(5), *range(10, 15), *range(20, 24)]
    assert [number for number in range(24) if not is_held_back(number, 10.0)] == seen


@pytest.fixture
def results() -> dict[str, object]:
    """Two people: with more pictures the first gains, the second loses at first; one side of one person is shown."""
    names = ("l1", "face_l1", "psnr", "ssim", "mouth_l1", "akd", "mouth_akd", "identity")
    people = []
    for person, factors in (("gains", (1, 0.9, 0.8, 0.7, 0.6)), ("loses", (1, 1.2, 1, 1, 0.8))):
        scores = {c: dict.fromkeys(names, 10.0 * f) for c, f in zip(("1", "2", "4", "8", "clip"), factors, strict=True)}
        side = {count: {"identity": 0.5 if count == "1" else 0.3, "is_shown": count == "clip"} for count in scores}
        hidden = {count: {"identity": 0.9, "is_shown": False} for count in scores}
        people.append({"person": person, "scores": scores, "sides": [side if person == "gains" else hidden, hidden]})
    speed = {"pictures": 30, "1": 20.0, "clip": 18.0}
    turn = {"clip": "turns", "side": -1, "frames": 9, "views": 2, "driven_l1": {"1": 8.0, "clip": 9.0}}
    left, right = {"1": 0.5, "clip": 0.4}, {"1": 0.3, "clip": 0.2}
    turns = [
        {**turn, "asked": left, "turned": {"1": None, "clip": 0.3}, "driven": {"1": 0.5, "clip": 0.25}},
        {**turn, "asked": right, "turned": {"1": 0.4, "clip": 0.3}, "driven": {"1": 0.3, "clip": 0.15}, "side": 1},
    ]
    setting = {"every": 12, "seconds": 8, "own_mouth": False, "judge": "dlib"}
    return {**setting, "people": people, "turns": turns, "speed": speed}


def test_the_table_compares_the_clip_with_one_picture(results: dict[str, object]) -> None:
    assert worst_change(results, "2", "l1") == pytest.approx(0.2)
    assert side_means(results, "clip") == pytest.approx((0.5, 0.3, 1))
    text = format_tables(results)
    assert "| L1 of 255 | 10.00 | 10.50 | 9.00 | 8.50 | 7.00 | -30.0% | +20.0% |" in text
    assert "0.300 (1: 0.500; 1) | -40.0%" in text
    assert "| loses | 8 (-20%) |" in text
    assert "0.90 of it" in text
    assert "to ±30°, sides seen at 20° | 0.400 | - | - | - | 0.300 | -25.0% | |" in text
    assert "20° and more, sides seen at 20° | 0.400 | - | - | - | 0.200 | -50.0% | |" in text
    ends = "| 8.0 → 9.0 (+12%) |"
    assert f"| turns, right | 9 | 2 | no face found | 0.500 → 0.400 (-20%) | 0.500 → 0.250 (-50%) {ends}" in text
    assert f"| mean of 2 sides | | | {2 * '0.400 → 0.300 (-25%) | '}0.400 → 0.200 (-50%) {ends}" in text


def test_the_curves_are_drawn(results: dict[str, object], tmp_path: Path) -> None:
    draw_curves(results, tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as picture:
        colours = {colour for _, colour in picture.getcolors(1 << 20)}
    assert {(200, 60, 40), (40, 90, 170)} <= colours

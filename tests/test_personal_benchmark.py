"""The benchmark of persons: whom it judges, and what its table says."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from benchmarks.personal_people import find_people
from benchmarks.personal_plot import draw_curves
from benchmarks.personal_table import format_tables, side_means, worst_change


def test_people_whose_clips_were_cut_at_other_places_are_left_out(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    rows = {"one_a": "", "one_b": "", "two_a": "crop 9:9:0:0", "two_b": "crop 9:9:1:0", "alone_a": ""}
    for name in rows:
        (tmp_path / "train" / f"{name}.mp4").touch()
    lines = ["file,note", *(f'train/{name}.mp4,"a; {note}; b"' for name, note in rows.items())]
    (tmp_path / "MANIFEST.csv").write_text("\n".join(lines))
    assert [pair.name for pair in find_people(tmp_path)] == ["one"]


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
    return {"every": 12, "seconds": 8, "own_mouth": False, "judge": "dlib", "people": people, "speed": speed}


def test_the_table_compares_the_clip_with_one_picture(results: dict[str, object]) -> None:
    assert worst_change(results, "2", "l1") == pytest.approx(0.2)
    assert side_means(results, "clip") == pytest.approx((0.5, 0.3, 1))
    text = format_tables(results)
    assert "| L1 of 255 | 10.00 | 10.50 | 9.00 | 8.50 | 7.00 | -30.0% | +20.0% |" in text
    assert "0.300 (1: 0.500; 1) | -40.0%" in text
    assert "| loses | 8 (-20%) |" in text
    assert "0.90 of it" in text


def test_the_curves_are_drawn(results: dict[str, object], tmp_path: Path) -> None:
    draw_curves(results, tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as picture:
        colours = {colour for _, colour in picture.getcolors(1 << 20)}
    assert {(200, 60, 40), (40, 90, 170)} <= colours

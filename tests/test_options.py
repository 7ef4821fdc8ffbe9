"""What options mean: sweeps, times and rates, precision, device and threads."""

from __future__ import annotations

import os
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
import torch

from vid2vid_cli.errors import UsageError
from vid2vid_cli.models.registry import LoadedModel
from vid2vid_cli.pipeline.options import DType, ReenactOptions, RotateOptions
from vid2vid_cli.pipeline.parsing import parse_face, parse_fps, parse_sweep, parse_time
from vid2vid_cli.pipeline.reenact import reenact
from vid2vid_cli.pipeline.rotate import rotate

EXAMPLES = Path(__file__).parents[1] / "examples"
PORTRAIT, DRIVING = EXAMPLES / "portrait.jpg", EXAMPLES / "driving.mp4"

pytestmark = pytest.mark.usefixtures("own_folder")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_compact_has_no_networks_to_round(dtype: DType, model: LoadedModel) -> None:
    with pytest.raises(UsageError, match=f"--dtype {dtype}"):
        rotate(PORTRAIT, "o.png", RotateOptions(yaw="5", dtype=dtype), model=model)


def test_a_device_that_is_not_there_is_refused(model: LoadedModel) -> None:
    with pytest.raises(UsageError, match="--device"):
        rotate(PORTRAIT, "o.png", RotateOptions(yaw="5", device="abacus"), model=model)


def test_threads_are_what_was_asked_for(model: LoadedModel) -> None:
    before = torch.get_num_threads()
    try:
        rotate(PORTRAIT, "a.png", RotateOptions(yaw="5", threads=1, size=64), model=model)
        assert torch.get_num_threads() == 1
        rotate(PORTRAIT, "b.png", RotateOptions(yaw="5", threads=500, size=64), model=model)
        assert torch.get_num_threads() == os.cpu_count()
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("text", "angles"),
    [("20", [20]), ("-5.5", [-5.5]), ("0:20:10", [0, 10, 20]), ("10:-10:10", [10, 0, -10]), ("0:5:2", [0, 2, 4])],
)
def test_sweeps(text: str, angles: list[float]) -> None:
    sweep = parse_sweep(text, "yaw")
    assert sweep is not None and sweep.count == len(angles)
    assert sweep.at(0) == angles[0] and sweep.at(1) == angles[-1]


def test_words_that_mean_nothing_are_usage_errors() -> None:
    for text in ("abc", "1:2", "1:2:0", "nan", "1e9", "1:2:3:4"):
        with pytest.raises(UsageError, match="--yaw"):
            parse_sweep(text, "yaw")
    assert parse_time("1:02:03.5", "start") == 3723.5 and parse_fps("29.97") == Fraction(2997, 100)
    for bad in (lambda: parse_time("x", "start"), lambda: parse_fps("0"), lambda: parse_face("left")):
        with pytest.raises(UsageError, match="--"):
            bad()


@pytest.mark.parametrize(
    "wrong", [{"size": 5}, {"background": "x"}, {"face": "left"}, {"face": "all", "paste_back": False}]
)
@pytest.mark.parametrize("turns", [True, False])
def test_options_for_a_picture_are_checked_before_anything_is_loaded(turns: bool, wrong: dict[str, object]) -> None:
    missing = "no such checkpoint"
    with pytest.raises(UsageError, match=f"--{next(iter(wrong))}"):
        if turns:
            rotate(PORTRAIT, options=replace(RotateOptions(yaw="20", checkpoint=missing), **wrong))  # type: ignore[arg-type]
        else:
            reenact(PORTRAIT, DRIVING, options=replace(ReenactOptions(checkpoint=missing), **wrong))  # type: ignore[arg-type]

"""What options mean: sweeps, times and rates, precision, device and threads."""

from __future__ import annotations

import os
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch

from vid2vid_cli.errors import UsageError
from vid2vid_cli.media.image import read_image
from vid2vid_cli.models import device
from vid2vid_cli.models.device import choose_dtype
from vid2vid_cli.models.registry import LoadedModel, load_model
from vid2vid_cli.pipeline.options import ReenactOptions, RotateOptions
from vid2vid_cli.pipeline.parsing import parse_face, parse_fps, parse_sweep, parse_time
from vid2vid_cli.pipeline.reenact import reenact
from vid2vid_cli.pipeline.rotate import rotate

EXAMPLES = Path(__file__).parents[1] / "examples"
PORTRAIT, DRIVING = EXAMPLES / "portrait.jpg", EXAMPLES / "driving.mp4"

pytestmark = pytest.mark.usefixtures("own_folder")


@pytest.fixture(scope="module")
def model() -> LoadedModel:
    return load_model()


def test_half_precision_gives_nearly_the_same_picture(model: LoadedModel) -> None:
    for dtype in ("bfloat16", "float32"):
        rotate(PORTRAIT, f"{dtype}.png", RotateOptions(yaw="15", size=256, dtype=dtype), model=model)
    one, other = (read_image(Path(f"{dtype}.png")).astype(float) for dtype in ("bfloat16", "float32"))
    assert 0 < np.abs(one - other).mean() < 1


def test_float32_after_bfloat16_is_float32(model: LoadedModel) -> None:
    for name, dtype in (("before", "float32"), ("between", "bfloat16"), ("after", "float32")):
        rotate(PORTRAIT, f"{name}.png", RotateOptions(yaw="15", size=256, dtype=dtype), model=model)
    before, between, after = (read_image(Path(f"{name}.png")) for name in ("before", "between", "after"))
    assert np.array_equal(before, after) and not np.array_equal(before, between)


@pytest.mark.parametrize(
    ("has_matrices", "has_vectors", "maker", "gains"),
    [
        (True, True, "GenuineIntel", True),
        (False, True, "GenuineIntel", False),
        (False, True, "AuthenticAMD", True),
        (False, False, "AuthenticAMD", False),
    ],
)
def test_auto_takes_bfloat16_where_the_model_may_and_the_processor_gains(
    has_matrices: bool, has_vectors: bool, maker: str, gains: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpu = torch.device("cpu")
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: has_matrices)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: has_vectors)
    monkeypatch.setattr(device, "_processor", lambda: f"vendor_id\t: {maker}\n")
    half, nothing = frozenset({torch.bfloat16}), frozenset[torch.dtype]()
    assert choose_dtype("auto", half, cpu) == (torch.bfloat16 if gains else torch.float32)
    assert choose_dtype("auto", half, torch.device("cuda")) == choose_dtype("auto", nothing, cpu) == torch.float32
    assert choose_dtype("float16", nothing, cpu) == torch.float16


@pytest.mark.parametrize("has_vnni", [True, False])
def test_auto_takes_int8_before_bfloat16_where_model_and_processor_can(
    has_vnni: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpu, both = torch.device("cpu"), frozenset({torch.bfloat16, torch.int8})
    monkeypatch.setattr(torch.cpu, "_is_vnni_supported", lambda: has_vnni)
    monkeypatch.setattr(device, "gains_by_bfloat16", lambda: True)
    assert choose_dtype("auto", both, cpu) == (torch.int8 if has_vnni else torch.bfloat16)
    assert choose_dtype("auto", both, torch.device("cuda")) == torch.float32
    assert choose_dtype("int8", both, cpu) == torch.int8
    for quick, where in ((both, torch.device("cuda")), (frozenset({torch.bfloat16}), cpu)):
        with pytest.raises(UsageError, match="--dtype int8"):
            choose_dtype("int8", quick, where)


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

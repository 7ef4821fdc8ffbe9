"""Motion: composing, restricting, smoothing and saving it."""

from __future__ import annotations

import pickle
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from vid2vid_cli.errors import MotionFileError, OutputExistsError
from vid2vid_cli.geometry.rotation import pose_from_rotation, rotation_from_pose
from vid2vid_cli.motion import (
    Motion,
    PoseOverride,
    blend_motion,
    join_motions,
    restrict_motion,
)
from vid2vid_cli.motion_file import MotionFile, is_motion_file, load_motion
from vid2vid_cli.pipeline.motion_output import save_motion
from vid2vid_cli.smoothing import MotionSmoother, OneEuroFilter


def make_motion(count: int, yaw_deg: float = 0.0, seed: int = 0) -> Motion:
    generator = torch.Generator().manual_seed(seed)
    yaw = torch.full((count,), float(np.deg2rad(yaw_deg)))
    zero = torch.zeros(count)
    return Motion(
        rotation_from_pose(yaw, zero, zero),
        torch.rand(count, 3, generator=generator),
        torch.ones(count, 1),
        torch.rand(count, 5, 3, generator=generator),
    )


def yaw_of(motion: Motion) -> float:
    return float(torch.rad2deg(pose_from_rotation(motion.rotation)[0][0]))


def test_frames_and_slices() -> None:
    motion = make_motion(4)
    assert len(motion) == 4 and len(motion[1]) == 1 and len(motion[-1]) == 1 and len(motion[1:3]) == 2
    assert torch.equal(motion[-1].expression, motion.expression[3:])
    assert torch.equal(join_motions([motion[0], motion[1:]]).translation, motion.translation)


def test_an_override_adds_or_sets_only_the_angles_that_are_given() -> None:
    rotation = make_motion(1, yaw_deg=10).rotation
    angle = torch.tensor([np.deg2rad(15.0)])
    added = pose_from_rotation(PoseOverride(yaw=angle).apply(rotation))
    assert np.rad2deg(added[0].item()) == pytest.approx(25, abs=1e-4)
    placed = pose_from_rotation(PoseOverride(pitch=angle, absolute=True).apply(rotation))
    assert np.rad2deg(placed[1].item()) == pytest.approx(15, abs=1e-4)
    assert np.rad2deg(placed[0].item()) == pytest.approx(10, abs=1e-4)


def test_strength_goes_from_nothing_over_all_to_more() -> None:
    base, moved = make_motion(1, 0), make_motion(1, 20, seed=1)
    for strength, yaw in ((0.0, 0), (0.5, 10), (1.0, 20), (2.0, 40)):
        blended = blend_motion(base, moved, strength)
        assert yaw_of(blended) == pytest.approx(yaw, abs=1e-3)
        expected = base.expression + strength * (moved.expression - base.expression)
        assert torch.allclose(blended.expression, expected)


def test_a_region_moves_alone() -> None:
    base, moved = make_motion(1, 0), make_motion(1, 20, seed=1)
    mask = torch.tensor([1.0, 0, 0, 0, 0.5])
    part = restrict_motion(base, moved, pose=False, extra=False, expression_mask=mask)
    assert yaw_of(part) == pytest.approx(0, abs=1e-3) and torch.equal(part.translation, base.translation)
    assert torch.equal(part.expression[:, 0], moved.expression[:, 0])
    assert torch.equal(part.expression[:, 1:4], base.expression[:, 1:4])
    pose_only = restrict_motion(base, moved, pose=True, extra=True, expression_mask=torch.zeros(5))
    assert yaw_of(pose_only) == pytest.approx(20, abs=1e-3) and torch.equal(pose_only.expression, base.expression)


def test_smoothing_calms_jitter_and_follows_a_real_move() -> None:
    rng = np.random.default_rng(0)
    steady = torch.from_numpy(rng.normal(0, 0.01, 200))
    smooth = OneEuroFilter(1.0, 25)
    calm = torch.stack([smooth(value[None]) for value in steady])[20:]
    assert calm.std() < 0.5 * steady[20:].std()
    smooth = OneEuroFilter(1.0, 25)
    step = [float(smooth(torch.tensor([0.0 if k < 10 else 1.0]))) for k in range(35)]
    assert step[9] == 0.0 and step[-1] > 0.97
    off = OneEuroFilter(0.0, 25)
    assert [float(off(torch.tensor([v]))) for v in (0.0, 1.0)] == [0.0, 1.0]


def test_a_smoothed_motion_has_true_rotations() -> None:
    smoother = MotionSmoother(1.0, 25)
    for yaw in (0, 30, -20):
        out = smoother(make_motion(1, yaw))
        product = out.rotation[0] @ out.rotation[0].T
        assert torch.allclose(product, torch.eye(3), atol=1e-5)


def make_file(count: int = 3) -> MotionFile:
    return MotionFile(
        make_motion(count, 12), torch.tensor([True] * (count - 1) + [False]), Fraction(30000, 1001), "compact"
    )


def test_a_motion_file_comes_back_as_it_was(tmp_path: Path) -> None:
    path, content = tmp_path / "a b [c].motion", make_file()
    save_motion(path, content)
    back = load_motion(path)
    assert is_motion_file(path)
    assert (back.fps, back.family, back.found.tolist()) == (Fraction(30000, 1001), "compact", [True, True, False])
    for read, written in zip(back.motion.tensors(), content.motion.tensors(), strict=True):
        assert torch.equal(read, written)


def test_offsets_of_a_dense_mesh_are_stored_coarsely_unless_that_loses_them(tmp_path: Path) -> None:
    count, points = 20, 469
    torch.manual_seed(1)
    offsets = 0.1 * torch.randn(count, points, 3)
    for scale, is_equal, most in ((1.0, False, 7), (1e6, True, 13)):
        motion = replace(make_motion(count, points), expression=scale * offsets, extra=scale * offsets)
        content = MotionFile(motion, torch.ones(count, dtype=torch.bool), Fraction(25), "compact")
        save_motion(tmp_path / f"{scale}.motion", content)
        back = load_motion(tmp_path / f"{scale}.motion").motion
        assert (tmp_path / f"{scale}.motion").stat().st_size < most * 1000 * count
        assert torch.equal(back.expression, motion.expression) is is_equal
        assert (back.expression - motion.expression).abs().max() < 4e-4 * scale
        assert torch.equal(back.rotation, motion.rotation) and back.expression.dtype == torch.float32


def test_a_motion_file_is_not_overwritten_without_force(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save_motion(path, make_file(3))
    with pytest.raises(OutputExistsError, match="force"):
        save_motion(path, make_file(2))
    assert len(load_motion(path).motion) == 3
    save_motion(path, make_file(2), force=True)
    assert len(load_motion(path).motion) == 2
    assert {p.name for p in tmp_path.iterdir()} == {"m.safetensors", "m-2.safetensors"}  # no work is lost


def test_damaged_and_foreign_motion_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save_motion(path, make_file())
    tensors = load_file(path)
    header = {"vid2vid_motion": "1", "family": "compact", "fps": "25/1"}
    cases = {
        "newer": (tensors, header | {"vid2vid_motion": "3"}),
        "not a motion file": (tensors, {}),
        "fields missing": ({k: v for k, v in tensors.items() if k != "scale"}, header),
        "wrong shape": (tensors | {"expression": torch.zeros(2, 5, 3)}, header),
        "not finite": (tensors | {"scale": torch.full((3, 1), float("nan"))}, header),
        "frame rate": (tensors, header | {"fps": "0/1"}),
    }
    for words, (content, meta) in cases.items():
        save_file(content, path, meta)
        with pytest.raises(MotionFileError, match=words) as caught:
            load_motion(path)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_a_pickle_is_never_run(tmp_path: Path) -> None:
    trap, path = tmp_path / "trap", tmp_path / "m.motion"

    class Evil:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (Path(trap),)  # type: ignore[return-value]

    path.write_bytes(pickle.dumps(Evil()))
    assert not is_motion_file(path)
    with pytest.raises(MotionFileError):
        load_motion(path)
    assert not trap.exists()


@given(st.binary(max_size=400))
@settings(max_examples=200)
def test_no_bytes_break_the_reader(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "m"
    path.write_bytes(content)
    with pytest.raises(MotionFileError):
        load_motion(path)


def test_a_quick_movement_is_not_held_back_by_more_than_asked() -> None:
    """A syllable opens and closes a mouth within four frames: the paper's filter alone takes its top off."""
    syllable = [torch.tensor([value]) for value in (0.0, 0.0, 0.1, 0.2, 0.1, 0.0, 0.0)]
    free, bound = OneEuroFilter(0.3, 25), OneEuroFilter(0.3, 25, most_lag=0.01)
    held, followed = ([float(smooth(value)) for value in syllable] for smooth in (free, bound))
    assert max(held) < 0.18
    assert all(abs(seen - float(value)) <= 0.0101 for seen, value in zip(followed, syllable, strict=True))

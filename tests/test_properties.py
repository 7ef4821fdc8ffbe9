"""What must hold for all inputs: crop and paste, rotations, motion files, names; and readers of any bytes."""

from __future__ import annotations

import json
import os
import tempfile
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.strategies import DrawFn
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from vid2vid_cli.batch.jobs import Job, check_clashes, check_template, output_name
from vid2vid_cli.batch.manifest import jobs_of_manifest
from vid2vid_cli.batch.options import BatchOptions
from vid2vid_cli.batch.report import read_rows
from vid2vid_cli.errors import MotionFileError, UsageError
from vid2vid_cli.face.crop import FaceCrop, crop_frame
from vid2vid_cli.face.paste import paste_face
from vid2vid_cli.geometry.rotation import interpolate_rotation, pose_from_rotation, rotation_from_pose
from vid2vid_cli.motion import Motion, PoseOverride, blend_motion
from vid2vid_cli.motion_file import MotionFile, load_motion
from vid2vid_cli.pipeline.memory import Memory
from vid2vid_cli.pipeline.motion_output import save_motion
from vid2vid_cli.pipeline.options import ReenactOptions

angles = st.floats(-1.4, 1.4)
names = st.text(st.characters(exclude_characters="/\0", exclude_categories=("Cs",)), min_size=1, max_size=30)


def smooth_frame(seed: int, size: tuple[int, int]) -> np.ndarray:
    noise = np.random.default_rng(seed).uniform(0, 255, (*size, 3))
    blurred = gaussian_filter(noise, (6, 6, 0))
    spread = (blurred - blurred.min()) / (blurred.max() - blurred.min())
    return np.asarray(np.rint(spread * 255), np.uint8)


# --- crop and paste ---


@st.composite
def native_crops(draw: DrawFn) -> tuple[np.ndarray, FaceCrop]:
    height, width = draw(st.integers(1, 90)), draw(st.integers(1, 90))
    top, left = draw(st.integers(0, height - 1)), draw(st.integers(0, width - 1))
    size = draw(st.integers(1, height - top)), draw(st.integers(1, width - left))
    return smooth_frame(draw(st.integers(0, 99)), (height, width)), FaceCrop(
        np.array([[1.0, 0, left], [0, 1, top]]), size
    )


@settings(deadline=None, max_examples=60)
@given(native_crops())
def test_a_native_crop_put_back_changes_nothing_at_all(case: tuple[np.ndarray, FaceCrop]) -> None:
    frame, crop = case
    np.testing.assert_array_equal(paste_face(frame, crop_frame(frame, crop), crop), frame)


@settings(deadline=None, max_examples=40)
@given(angles, st.floats(0.4, 1.2), st.floats(-30, 130), st.floats(-30, 130), st.integers(0, 99))
def test_a_turned_crop_put_back_changes_little_and_nothing_outside(
    turn: float, step: float, x: float, y: float, seed: int
) -> None:
    frame, side = smooth_frame(seed, (100, 100)), 64
    linear = step * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    origin = np.array([x, y]) - linear @ (side / 2, side / 2)
    crop = FaceCrop(np.concatenate([linear, origin[:, None]], 1), (side, side))
    again = paste_face(frame, crop_frame(frame, crop), crop)
    assert np.abs(again.astype(int) - frame).max() <= 8
    rows, columns = np.mgrid[:100, :100] + 0.5
    inside = crop.to_crop(np.stack([columns, rows], -1))
    outside = ((inside < -2) | (inside > side + 2)).any(-1)
    black = paste_face(frame, np.zeros((side, side, 3), np.uint8), crop)
    np.testing.assert_array_equal(black[outside], frame[outside])


# --- rotations ---


@settings(deadline=None)
@given(st.lists(angles, min_size=6, max_size=6))
def test_rotations_compose_as_scipys(six: list[float]) -> None:
    ours, theirs = [], []
    for yaw, pitch, roll in (six[:3], six[3:]):
        pose = (torch.tensor([angle], dtype=torch.float64) for angle in (yaw, pitch, roll))
        ours.append(rotation_from_pose(*pose))
        theirs.append(Rotation.from_euler("ZYX", [roll, -yaw, -pitch]))
    np.testing.assert_allclose((ours[0] @ ours[1])[0], (theirs[0] * theirs[1]).as_matrix(), atol=1e-12)
    relative = ours[0] @ ours[1].transpose(1, 2) @ ours[1]  # R_d R_0^T R_s with R_0 = R_s
    np.testing.assert_allclose(relative, ours[0], atol=1e-12)


@settings(deadline=None)
@given(angles, angles, angles, st.floats(0, 1))
def test_angles_come_back_and_a_way_in_two_halves_is_the_way(
    yaw: float, pitch: float, roll: float, part: float
) -> None:
    start = torch.eye(3, dtype=torch.float64)[None]
    end = rotation_from_pose(*(torch.tensor([angle], dtype=torch.float64) for angle in (yaw, pitch, roll)))
    np.testing.assert_allclose(torch.cat(pose_from_rotation(end)), [yaw, pitch, roll], atol=1e-9)
    middle = interpolate_rotation(start, end, part)
    np.testing.assert_allclose(middle @ middle.transpose(1, 2), start, atol=1e-9)
    np.testing.assert_allclose(interpolate_rotation(middle, end, 1.0), end, atol=1e-9)
    there = interpolate_rotation(start, end, part) @ interpolate_rotation(start, end, 1 - part + 1e-12)
    np.testing.assert_allclose(there, end, atol=1e-6)
    kept = PoseOverride(yaw=torch.tensor([0.0], dtype=torch.float64)).apply(end)
    np.testing.assert_allclose(kept, end, atol=1e-9)


# --- motion files ---


@st.composite
def motion_files(draw: DrawFn) -> MotionFile:
    count, points = draw(st.integers(1, 6)), draw(st.integers(1, 20))
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    rotation = torch.linalg.qr(torch.randn(count, 3, 3, generator=generator)).Q
    parts = (torch.randn(count, *shape, generator=generator) for shape in ((3,), (1,), (points, 3)))
    found = torch.tensor(draw(st.lists(st.booleans(), min_size=count, max_size=count)))
    fps = draw(st.fractions(Fraction(1, 100), 1000, max_denominator=100_000))
    return MotionFile(Motion(rotation, *parts), found, fps, draw(names))


@settings(deadline=None, max_examples=40)
@given(motion_files())
def test_a_motion_file_gives_back_what_was_saved(content: MotionFile) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "m.safetensors")
        save_motion(path, content)
        assert os.listdir(folder) == ["m.safetensors"]  # noqa: PTH208
        again = load_motion(path)
    assert (again.fps, again.family) == (content.fps, content.family)
    assert torch.equal(again.found, content.found)
    for ours, theirs in zip(again.motion.tensors(), content.motion.tensors(), strict=True):
        assert torch.equal(ours, theirs)
    still = blend_motion(again.motion, again.motion, 0.0)
    torch.testing.assert_close(still.expression, again.motion.expression)


@settings(deadline=None, max_examples=150)
@given(motion_files(), st.data())
def test_a_damaged_motion_file_is_refused_or_read_whole_and_never_worse(
    content: MotionFile, data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "m.safetensors")
        save_motion(path, content)
        path.write_bytes(damage(bytearray(path.read_bytes()), data))
        try:
            again = load_motion(path)
        except MotionFileError as error:
            assert str(path) in str(error) and "\n" not in str(error)
            return
    count = len(again.motion)
    assert count == len(again.found) and again.fps > 0
    assert all(len(t) == count and t.dtype == torch.float32 and t.isfinite().all() for t in again.motion.tensors())


shares = st.floats(0, 1, exclude_max=True)


def damage(content: bytearray, data: st.DataObject) -> bytes:
    """Cut, flip, insert and repeat bytes, most of them in the header."""
    for _ in range(data.draw(st.integers(1, 4))):
        if not content:
            break
        # Places are drawn by their share: the header's words are in another order, so elsewhere, in every run.
        near = min(len(content), 600) if data.draw(st.booleans()) else len(content)
        at = int(data.draw(shares) * near)
        how = data.draw(st.sampled_from(["flip", "cut", "insert", "digit", "repeat"]))
        if how == "flip":
            content[at] ^= 1 << data.draw(st.integers(0, 7))
        elif how == "cut":
            del content[at : at + data.draw(st.integers(1, 64))]
        elif how == "insert":
            content[at:at] = data.draw(st.binary(min_size=1, max_size=16))
        elif how == "digit":  # shapes, offsets, the version
            digits = [k for k, byte in enumerate(content[:600]) if 48 <= byte <= 57]
            place, digit = data.draw(shares), data.draw(st.sampled_from(b"0123456789-e."))
            if digits:
                content[digits[int(place * len(digits))]] = digit
        else:
            content += content[at : at + 64]
    return bytes(content)


tensors = st.dictionaries(
    st.sampled_from(["rotation", "translation", "scale", "expression", "found", "extra", "__metadata__"]),
    st.fixed_dictionaries(
        {
            "dtype": st.sampled_from(["F32", "F16", "BF16", "I64", "BOOL", "U8", "F8_E4M3", "X"]),
            "shape": st.lists(st.integers(-1, 1 << 62) | st.integers(0, 4), max_size=5),
            "data_offsets": st.lists(st.integers(0, 1 << 40) | st.integers(0, 96), min_size=2, max_size=2),
        }
    )
    | st.fixed_dictionaries({"vid2vid_motion": st.text(max_size=4) | st.just("1"), "fps": st.text(max_size=8)}),
)


@settings(deadline=None, max_examples=200)
@given(tensors, st.binary(max_size=200))
def test_a_made_up_header_is_refused(header: dict[str, object], body: bytes) -> None:
    text = json.dumps(header).encode()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "m.safetensors")
        path.write_bytes(len(text).to_bytes(8, "little") + text + body)
        try:
            load_motion(path)
        except MotionFileError as error:
            assert "\n" not in str(error)
        assert Memory(Path(folder)).recall_motion("m") is None
        path.rename(Path(folder, "m.motion.safetensors"))
        known = Memory(Path(folder)).recall_motion("m")
        assert known is None or list(known) is not None


# --- names, manifests, reports ---


@settings(deadline=None, max_examples=300)
@given(
    st.text(max_size=20)
    | st.lists(st.sampled_from(["{source}", "{driving}", "{index:03}", "{ext}", "/", "..", "-", "x"]), max_size=6).map(
        "".join
    ),
    names,
    names,
)
def test_a_name_lies_inside_its_folder_or_is_refused(template: str, source: str, driving: str) -> None:
    try:
        check_template(template)
    except UsageError as error:
        assert "--name" in str(error)
        return
    home = Path("/home/out")
    made = home / output_name(template, 7, Path("s", source), Path("d", driving), ReenactOptions())
    assert Path(os.path.normpath(made)).is_relative_to(home)


@settings(deadline=None, max_examples=100)
@given(st.lists(names, min_size=1, max_size=8, unique=True))
def test_different_names_never_clash_and_equal_ones_always_do(stems: list[str]) -> None:
    outputs = [Path("out", f"x{stem}.mp4") for stem in stems]
    jobs = [Job(k, Path("s"), Path("d"), output, ReenactOptions()) for k, output in enumerate(outputs)]
    check_clashes(jobs)
    try:
        check_clashes([*jobs, jobs[0]])
    except UsageError as error:
        assert "2 jobs would write it" in str(error)
        return
    raise AssertionError("a clash was not seen")


@settings(deadline=None, max_examples=200)
@given(
    st.binary(max_size=200) | st.text(st.sampled_from('source,driving\n"\\{}[]:1e9\0'), max_size=80).map(str.encode),
    st.sampled_from([".csv", ".jsonl"]),
)
def test_any_bytes_are_a_manifest_or_refused_in_one_line(content: bytes, suffix: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"jobs{suffix}")
        path.write_bytes(content)
        try:
            jobs = jobs_of_manifest(path, Path("out"), ReenactOptions(), BatchOptions())
            assert all(job.output.is_relative_to("out") for job in jobs)
        except UsageError as error:
            assert str(path) in str(error)
        rows = read_rows(path)
        assert all(isinstance(row, dict) for row in rows.values())

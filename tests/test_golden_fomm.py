"""The fomm family at full size against what the published implementation computes (fixture E)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.support import golden_vectors as golden
from vid2vid_cli.geometry.keypoints import hull_measure, movement_scale
from vid2vid_cli.models.fomm.model import FommModel
from vid2vid_cli.models.fomm.networks import LocalMotion, PreparedSource
from vid2vid_cli.models.fomm.posing import follow
from vid2vid_cli.models.registry import FAMILIES, load_model


@pytest.fixture(scope="module", autouse=True)
def _no_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module")
def wanted() -> golden.Golden:
    return golden.Golden("E_fomm_vox256")


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    return golden.fill("E_fomm_vox256.pth.tar", lambda key: not key.startswith(("discriminator", "optimizer_")))


@pytest.fixture(scope="module")
def model(state: dict[str, Tensor]) -> FommModel:
    assert [family.name for family in FAMILIES if family.detect(state)] == ["fomm"]
    return FommModel(state)


def stored(wanted: golden.Golden, name: str = "kp") -> LocalMotion:
    return LocalMotion(wanted[f"{name}.value"], wanted[f"{name}.jacobian"])


def frames(motion: LocalMotion, start: int, stop: int | None = None) -> LocalMotion:
    return LocalMotion(*(tensor[start:stop] for tensor in motion))


@pytest.fixture(scope="module")
def source(model: FommModel, wanted: golden.Golden) -> PreparedSource:
    return model.generator.prepare(golden.images()[0], frames(stored(wanted), 0, 1))


def check_motion(wanted: golden.Golden, name: str, found: LocalMotion) -> None:
    wanted.check(f"{name}.value", found.keypoints, "points")
    wanted.check(f"{name}.jacobian", found.jacobians, "points")


def test_golden_e_keypoints(model: FommModel, wanted: golden.Golden) -> None:
    check_motion(wanted, "kp", model.keypoints(torch.cat(golden.images())))
    areas = torch.tensor([hull_measure(points) for points in wanted["kp.value"][:2]])
    wanted.unchecked.discard("hull_area")
    torch.testing.assert_close(areas, wanted["hull_area"], rtol=1e-3, atol=0)


def test_golden_e_relative_motion(wanted: golden.Golden) -> None:
    own, driving = frames(stored(wanted), 0, 1), frames(stored(wanted), 1)
    start = frames(driving, 0, 1)
    check_motion(wanted, "kp_relative", follow(own, driving, start))
    scale = movement_scale(own.keypoints[0], start.keypoints[0])
    check_motion(wanted, "kp_relative_adapt", follow(own, driving, start, scale))


def test_golden_e_whole_motion(model: FommModel, wanted: golden.Golden) -> None:
    """The methods that the pipeline calls give the stored keypoints from the pictures on."""
    source, driving = golden.images()
    appearance = model.appearance(source, torch.zeros(1, 468, 3))
    motion = model.motion(driving, torch.zeros(4, 468, 3), (256, 256))
    driven = model.drive(appearance, motion, motion[0], None).points
    check_motion(wanted, "kp_relative_adapt", LocalMotion(driven[..., :2], driven[..., 2:].reshape(4, 10, 2, 2)))


@pytest.mark.parametrize("frame", [2, 3])
def test_golden_e_generator(model: FommModel, source: PreparedSource, wanted: golden.Golden, frame: int) -> None:
    name, generator = f"d{frame}", model.generator
    target = frames(stored(wanted, "kp_relative_adapt"), frame, frame + 1)
    motion = generator.dense_motion_network(source, target)
    wanted.check(f"{name}.mask", motion.masks, "flow")
    wanted.check(f"{name}.deformation", motion.deformation, "flow")
    wanted.check(f"{name}.occlusion_map", motion.occlusion, "flow")
    maps = generator.warp(source, motion)
    wanted.check_spread(f"{name}.decoder_in", maps, "maps")
    wanted.check_image(name, generator.decode(maps))


def test_golden_e_batch_of_two_equals_two_of_one(
    model: FommModel, source: PreparedSource, wanted: golden.Golden
) -> None:
    both = model.generator(source, frames(stored(wanted, "kp_relative_adapt"), 2))
    for index, name in enumerate(("d2", "d3")):
        wanted.check_image(name, both[index : index + 1])


def test_golden_e_saved_and_loaded_again(state: dict[str, Tensor], wanted: golden.Golden, tmp_path: Path) -> None:
    """A whole file goes the way that a user's goes: its names, its family and its numbers survive."""
    path = tmp_path / "vox.safetensors"
    save_file(state, path)
    loaded = load_model(str(path))
    assert isinstance(loaded.model, FommModel)
    check_motion(wanted, "kp", loaded.model.keypoints(torch.cat(golden.images())))
    source = loaded.model.generator.prepare(golden.images()[0], frames(stored(wanted), 0, 1))
    wanted.check_image("d2", loaded.model.generator(source, frames(stored(wanted, "kp_relative_adapt"), 2, 3)))


def test_golden_e_all_was_checked(wanted: golden.Golden, request: pytest.FixtureRequest) -> None:
    golden.need_whole_module(request)
    assert not wanted.unchecked

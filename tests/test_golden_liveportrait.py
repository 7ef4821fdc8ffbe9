"""The liveportrait family at full size against what the published implementation computes (fixture D)."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import pytest
import torch

from tests.support import golden_vectors as golden
from vid2vid_cli.geometry.keypoints import hull_measure
from vid2vid_cli.models.layers.volume import PreparedVolume
from vid2vid_cli.models.liveportrait.extractor import RawMotion
from vid2vid_cli.models.liveportrait.model import LivePortraitModel
from vid2vid_cli.models.liveportrait.posing import amplify, follow, pose_keypoints, rotation_from_degrees
from vid2vid_cli.models.liveportrait.retargeting import openings
from vid2vid_cli.models.registry import FAMILIES
from vid2vid_cli.motion import Motion

# Where the reference measures eyes and lips in its 203 landmarks: above, below, and the corners.
OPENINGS_203 = ((6, 18, 0, 12), (30, 42, 24, 36), (90, 102, 48, 66))


@pytest.fixture(scope="module", autouse=True)
def _no_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module")
def wanted() -> golden.Golden:
    return golden.Golden("D_liveportrait")


@pytest.fixture(scope="module")
def model() -> LivePortraitModel:
    state = golden.fill_liveportrait()
    assert [family.name for family in FAMILIES if family.detect(state)] == ["liveportrait"]
    return LivePortraitModel(state)


@pytest.fixture(scope="module")
def source(model: LivePortraitModel, wanted: golden.Golden) -> PreparedVolume:
    return model.warper.prepare(model.encoder(golden.images()[0]), wanted["kp_transformed"][:1])


def motion_of(wanted: golden.Golden) -> Motion:
    """Build the motions of source and driving from what is stored of the stage before."""
    rotation = wanted["rotation"].transpose(1, 2)  # stored for row vectors
    return Motion(rotation, wanted["info.t"], wanted["info.scale"], wanted["info.exp"])


def test_golden_d_motion_extractor(model: LivePortraitModel, wanted: golden.Golden) -> None:
    raw = model.extractor(torch.cat(golden.images()))
    for name in ("pitch", "yaw", "roll"):
        wanted.check(f"raw.{name}", getattr(raw, name), "logits")
    for name in ("t", "exp", "scale", "kp"):
        wanted.check(f"raw.{name}", getattr(raw, name), "points")


def test_golden_d_info(wanted: golden.Golden) -> None:
    raw = RawMotion(*(wanted[f"raw.{name}"] for name in RawMotion._fields))
    for index, name in enumerate(("pitch", "yaw", "roll")):
        wanted.check(f"info.{name}", raw.degrees[:, index : index + 1], "degrees")
    for name in ("exp", "kp"):
        wanted.check(f"info.{name}", getattr(raw, name).reshape(5, 21, 3), "points")
    for name in ("t", "scale"):
        wanted.check(f"info.{name}", getattr(raw, name), "points")
    degrees = torch.cat([wanted[f"info.{name}"] for name in ("pitch", "yaw", "roll")], 1)
    wanted.check("rotation", rotation_from_degrees(degrees).transpose(1, 2), "points")


def test_golden_d_posed_keypoints(wanted: golden.Golden) -> None:
    own = torch.cat([pose_keypoints(wanted["info.kp"][i : i + 1], motion_of(wanted)[i]) for i in range(5)])
    wanted.check("kp_transformed", own, "points")


def test_golden_d_relative_motion(wanted: golden.Golden) -> None:
    motion = motion_of(wanted)
    moved = follow(motion[0], motion[1:], motion[1])
    found = pose_keypoints(wanted["info.kp"][:1], moved)
    wanted.check("kp_relative", found, "points")
    source, driven = wanted["kp_transformed"][:1], wanted["kp_relative"]
    areas = [hull_measure(points[0, :, :2]) for points in (source, driven[:1])]
    multiplier = (areas[0] / areas[1]) ** 0.5
    wanted.unchecked.discard("motion_multiplier")
    assert multiplier == pytest.approx(float(wanted["motion_multiplier"]), rel=1e-3)
    wanted.check("kp_expression_friendly", amplify(source, driven, driven[:1], multiplier), "points")


def test_golden_d_stitching(model: LivePortraitModel, wanted: golden.Golden) -> None:
    source, driven = wanted["kp_transformed"][:1], wanted["kp_relative"]
    wanted.check("stitch_delta", model.retargeting.stitch_delta(source.expand_as(driven), driven), "points")
    wanted.check("kp_stitched", model.retargeting.stitch(source, driven), "points")


def test_golden_d_eyes_and_lips(model: LivePortraitModel, wanted: golden.Golden) -> None:
    found = openings(wanted["lmk203"][None], OPENINGS_203)
    wanted.check("eye_close_ratio", found[:, :2], "points")
    wanted.check("lip_close_ratio", found[:, 2:], "points")
    source = wanted["kp_transformed"][:1]
    wanted.check("eye_delta", model.retargeting.eyes(source, wanted["eye_ratio_in"]), "points")
    wanted.check("lip_delta", model.retargeting.lips(source, wanted["lip_ratio_in"]), "points")


def test_golden_d_whole_motion(model: LivePortraitModel, wanted: golden.Golden) -> None:
    """The methods that the pipeline calls give the stored keypoints from the pictures on."""
    source, driving = golden.images()
    appearance = model.appearance(source, torch.zeros(1, 468, 3))
    motion = model.motion(driving, torch.zeros(4, 468, 3), (256, 256))
    wanted.check("kp_stitched", model.drive(appearance, motion, motion[0], None).points, "points")


def test_golden_d_source_volume(source: PreparedVolume, wanted: golden.Golden) -> None:
    wanted.check_spread("feature_3d", source.features, "features")


def test_golden_d_generator_of_two(model: LivePortraitModel, source: PreparedVolume, wanted: golden.Golden) -> None:
    motion = model.warper.dense_motion_network(source, wanted["kp_stitched"][2:])
    maps = model.warper.warp(source, motion)
    images = model.decoder(maps)
    for index, name in enumerate(("d2", "d3")):
        row = slice(index, index + 1)
        wanted.check(f"{name}.mask", motion.masks[row], "flow")
        wanted.check(f"{name}.deformation", motion.deformation[row], "flow")
        wanted.check(f"{name}.occlusion_map", motion.occlusion[row], "flow")
        wanted.check_spread(f"{name}.decoder_in", maps[row], "maps")
        wanted.check_image(name, images[row])


def test_golden_d_generator_of_one(model: LivePortraitModel, source: PreparedVolume, wanted: golden.Golden) -> None:
    wanted.check_image("d3", model.decoder(model.warper(source, wanted["kp_stitched"][3:])))


def test_golden_d_bfloat16(model: LivePortraitModel, source: PreparedVolume, wanted: golden.Golden) -> None:
    warper, decoder = (copy.deepcopy(network).to(torch.bfloat16) for network in (model.warper, model.decoder))
    prepared = warper.prepare(source.features.to(torch.bfloat16), source.keypoints)
    image = decoder(warper(prepared, wanted["kp_stitched"][2:3]))
    wanted.check_half_image("d2", image, golden.BFLOAT16["D"])


def test_golden_d_all_was_checked(wanted: golden.Golden, request: pytest.FixtureRequest) -> None:
    golden.need_whole_module(request)
    given = {"lmk203", "eye_ratio_in", "lip_ratio_in"}
    assert wanted.unchecked <= given

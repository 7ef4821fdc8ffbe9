"""The families of published checkpoints on untrained nets of few channels; test_golden_* has them at full size."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from tests.support import tiny
from vid2vid_cli.errors import UsageError, WeightsError
from vid2vid_cli.geometry.rotation import pose_from_rotation
from vid2vid_cli.models.base import Adjustable, DrivenState, FamilyRequest, ReenactmentModel, SourceAppearance
from vid2vid_cli.models.facevid2vid import pose as facevid2vid_pose
from vid2vid_cli.models.facevid2vid.model import FaceVid2VidModel
from vid2vid_cli.models.fomm.model import FommModel
from vid2vid_cli.models.liveportrait import posing as liveportrait_posing
from vid2vid_cli.models.liveportrait.model import EYES, MOUTH, LivePortraitModel
from vid2vid_cli.models.loading import fold_spectral_norm
from vid2vid_cli.models.networked import DrivenKeypoints
from vid2vid_cli.models.registry import FAMILIES, load_model
from vid2vid_cli.motion import Motion, PoseOverride

SIZE = 64
NAMES = list(tiny.CHECKPOINTS)


@pytest.fixture(scope="module", autouse=True)
def _no_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module")
def states() -> dict[str, tiny.Tensors]:
    return {name: make() for name, make in tiny.CHECKPOINTS.items()}


def build(state: Mapping[str, Tensor]) -> ReenactmentModel:
    (family,) = (family for family in FAMILIES if family.detect(state))
    return family.build(state)


@pytest.fixture(params=NAMES)
def model(request: pytest.FixtureRequest, states: dict[str, tiny.Tensors]) -> ReenactmentModel:
    return build(states[request.param])


def pictures(count: int, seed: int = 1) -> Tensor:
    coarse = torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    return nn.functional.interpolate(coarse, (SIZE, SIZE), mode="bicubic").clamp(0, 1)


def landmarks(count: int, seed: int = 2) -> Tensor:
    return torch.rand(count, 468, 3, generator=torch.Generator().manual_seed(seed)) * SIZE


def look(model: ReenactmentModel, count: int = 3) -> tuple[SourceAppearance, Motion]:
    source = model.appearance(pictures(1, seed=5), landmarks(1, seed=6))
    return source, model.motion(pictures(count), landmarks(count), (SIZE, SIZE))


def points_of(driven: DrivenState) -> Tensor:
    assert isinstance(driven, DrivenKeypoints)
    return driven.points


def without_stitching(model: ReenactmentModel) -> ReenactmentModel:
    return model.adjusted(FamilyRequest(stitch=False)) if isinstance(model, LivePortraitModel) else model


@pytest.mark.parametrize("name", [*NAMES, "sadtalker", "compact"])
def test_one_family_knows_each_layout(
    name: str, states: dict[str, tiny.Tensors], face_state: dict[str, Tensor]
) -> None:
    every = {**states, "sadtalker": tiny.sadtalker(), "compact": face_state}
    family = {"facevid2vid original": "facevid2vid", "sadtalker": "facevid2vid"}.get(name, name)
    assert [known.name for known in FAMILIES if known.detect(every[name])] == [family]


def test_the_pictures_have_their_size(model: ReenactmentModel) -> None:
    source, motion = look(model)
    images = model.render(source, model.drive(source, motion, motion[0], None))
    side = 2 * SIZE if model.name == "liveportrait" else SIZE
    assert images.shape == (3, 3, side, side)
    assert images.min() >= 0 and images.max() <= 1 and images.std() > 0.01
    assert (images[0] - images[1]).abs().max() > 1e-4, "the driving moves nothing"


def test_a_batch_equals_single_frames(model: ReenactmentModel) -> None:
    source, motion = look(model)
    driven = model.drive(source, motion, motion[0], None)
    images = model.render(source, driven)
    for i in range(3):
        one = model.motion(pictures(3)[i : i + 1], landmarks(3)[i : i + 1], (SIZE, SIZE))
        for whole, single in zip(motion.tensors(), one.tensors(), strict=True):
            torch.testing.assert_close(whole[i : i + 1], single, rtol=0, atol=1e-5)
        alone = model.drive(source, one, motion[0], None)
        torch.testing.assert_close(points_of(driven)[i : i + 1], points_of(alone), rtol=0, atol=1e-5)
        torch.testing.assert_close(images[i : i + 1], model.render(source, alone), rtol=0, atol=1e-4)


def test_no_motion_gives_the_sources_keypoints(model: ReenactmentModel) -> None:
    model = without_stitching(model)
    source, motion = look(model)
    own = points_of(model.drive(source, source.motion, None, None))
    for still in (source.motion, motion[1]):
        torch.testing.assert_close(points_of(model.drive(source, still, still, None)), own, rtol=0, atol=1e-5)
    assert (points_of(model.drive(source, motion[1], motion[0], None)) - own).abs().max() > 1e-3


@pytest.mark.parametrize("name", NAMES)
def test_a_saved_checkpoint_gives_the_same(name: str, states: dict[str, tiny.Tensors], tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.safetensors"
    save_file(states[name], path)
    loaded = load_model(str(path))
    assert loaded.family.name == loaded.model.name == name.split(maxsplit=1)[0]
    before, after = (look(m) for m in (build(states[name]), loaded.model))
    for one, other in zip(before[1].tensors(), after[1].tensors(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-5)
    driven = loaded.model.drive(after[0], after[1], None, None)
    images = build(states[name]).render(before[0], driven)
    torch.testing.assert_close(loaded.model.render(after[0], driven), images, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_half_precision_files_compute_in_full(name: str, states: dict[str, tiny.Tensors]) -> None:
    halved = {key: t.half() if t.is_floating_point() else t for key, t in states[name].items()}
    source, motion = look(build(halved))
    assert motion.expression.dtype == torch.float32
    exact_source, exact = look(build(states[name]))
    torch.testing.assert_close(motion.expression, exact.expression, rtol=0, atol=0.02)
    assert all(t.dtype == torch.float32 for t in source.features.values())
    assert source.features.keys() == exact_source.features.keys()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_pictures_are_nearly_the_same(model: ReenactmentModel, dtype: torch.dtype) -> None:
    source, motion = look(model)
    driven = model.drive(source, motion, motion[0], None)
    exact = model.render(source, driven)
    model.to(torch.device("cpu"), dtype)
    again, moved = look(model)
    for one, other in zip(motion.tensors(), moved.tensors(), strict=True):
        assert torch.equal(one, other), "motion is read in float32 always"
    images = model.render(again, driven)
    assert images.dtype == torch.float32
    assert (images - exact).abs().mean() < 0.02


CPU = torch.device("cpu")


@pytest.mark.parametrize("between", [torch.bfloat16, torch.float16])
def test_float32_after_half_precision_is_float32(model: ReenactmentModel, between: torch.dtype) -> None:
    def picture(dtype: torch.dtype) -> Tensor:
        model.to(CPU, dtype)
        source, motion = look(model)
        return model.render(source, model.drive(source, motion, motion[0], None))

    before, halved, after = (picture(dtype) for dtype in (torch.float32, between, torch.float32))
    assert not torch.equal(before, halved)
    assert torch.equal(before, after), "the weights were rounded for good"


def test_a_model_in_half_precision_leaves_the_one_it_was_made_of_alone(model: ReenactmentModel) -> None:
    source, motion = look(model)
    driven = model.drive(source, motion, motion[0], None)
    exact = model.render(source, driven)
    assert isinstance(model, Adjustable)
    other = model.adjusted(FamilyRequest())
    other.to(CPU, torch.bfloat16)
    halved = other.render(look(other)[0], driven)
    assert not torch.equal(halved, exact)
    assert torch.equal(model.render(source, driven), exact)


@pytest.mark.parametrize("name", NAMES)
def test_a_damaged_checkpoint_is_named(name: str, states: dict[str, tiny.Tensors], tmp_path: Path) -> None:
    unlike = {"liveportrait": "spade_generator.fc"}.get(name, "generator.first.conv")
    path = tmp_path / "damaged.safetensors"
    save_file({k: t for k, t in states[name].items() if k != f"{unlike}.bias"}, path)
    with pytest.raises(WeightsError, match=r"damaged.*bias") as caught:
        load_model(str(path))
    assert str(path) in str(caught.value)
    save_file({**states[name], f"{unlike}.surplus": torch.zeros(1)}, path)
    with pytest.raises(WeightsError, match=r"damaged.*surplus"):
        load_model(str(path))


def test_files_without_counts_of_training_steps_load(states: dict[str, tiny.Tensors]) -> None:
    build({k: t for k, t in states["facevid2vid"].items() if not k.endswith("num_batches_tracked")})


def test_the_older_beta_layout_is_refused_by_name(states: dict[str, tiny.Tensors], tmp_path: Path) -> None:
    path = tmp_path / "beta.safetensors"
    save_file({k: t for k, t in states["facevid2vid original"].items() if k != "kp_detector.down.weight"}, path)
    with pytest.raises(WeightsError, match="Beta") as caught:
        load_model(str(path))
    assert str(path) in str(caught.value)


def test_spectral_norm_is_folded_as_torch_computes_it() -> None:
    with torch.inference_mode(mode=False):
        layer = nn.utils.spectral_norm(nn.Conv2d(6, 8, 3))
        layer.train()(torch.randn(1, 6, 5, 5))
    layer.eval()
    x = torch.randn(1, 6, 5, 5)
    folded = fold_spectral_norm(layer.state_dict())
    assert folded.keys() == {"weight", "bias"}
    torch.testing.assert_close(layer(x), nn.functional.conv2d(x, folded["weight"], folded["bias"]))


# Head pose


def known_source(model: ReenactmentModel, count: int) -> SourceAppearance:
    """Return a source at rest whose first keypoint is a nose tip, and the second an ear, right for the viewer."""
    source = model.appearance(pictures(1), landmarks(1))
    canonical = torch.zeros(1, count, 3)
    canonical[0, 0] = torch.tensor([0.0, 0.0, -0.5])
    canonical[0, 1] = torch.tensor([0.5, 0.0, 0.0])
    rest = Motion(
        torch.eye(3)[None], torch.zeros(1, 3), torch.ones(1, 1), torch.zeros(1, count, 3), source.motion.extra
    )
    return replace(source, canonical=canonical, motion=rest)


@pytest.mark.parametrize("name", ["facevid2vid", "liveportrait"])
@pytest.mark.parametrize("is_relative", [True, False])
def test_turns_have_the_users_signs(name: str, is_relative: bool, states: dict[str, tiny.Tensors]) -> None:
    model = without_stitching(build(states[name]))
    count = len(model.expression_mask("all"))
    source = known_source(model, count)
    angle = torch.tensor([math.radians(20)])
    sine = 0.5 * math.sin(math.radians(20))
    reference = source.motion if is_relative else None

    def turned(**angles: Tensor) -> Tensor:
        return points_of(model.drive(source, source.motion, reference, PoseOverride(**angles)))[0]

    assert turned(yaw=angle)[0, 0].item() == pytest.approx(sine, abs=1e-5), "yaw > 0 is to the viewer's right"
    assert turned(pitch=angle)[0, 1].item() == pytest.approx(-sine, abs=1e-5), "pitch > 0 lifts the chin"
    assert turned(roll=angle)[1, 1].item() == pytest.approx(sine, abs=1e-5), "roll > 0 is clockwise"


@pytest.mark.parametrize("name", ["facevid2vid", "liveportrait"])
def test_set_angles_are_what_the_head_has(name: str, states: dict[str, tiny.Tensors]) -> None:
    model = without_stitching(build(states[name]))
    source = known_source(model, len(model.expression_mask("all")))
    start, end = (model.motion(pictures(2), landmarks(2), (SIZE, SIZE))[i] for i in (0, 1))
    zero = torch.zeros(1)
    frontal = model.drive(source, end, start, PoseOverride(zero, zero, zero, absolute=True))
    still = model.drive(source, replace(end, rotation=start.rotation), start, None)
    torch.testing.assert_close(points_of(frontal), points_of(still), rtol=0, atol=1e-5)


def test_the_networks_own_angles_map_to_the_users() -> None:
    """Positive yaw of either network looks to the viewer's left, positive pitch down."""
    yaw, pitch, roll = 10.0, -7.0, 4.0
    user = pose_from_rotation(liveportrait_posing.rotation_from_degrees(torch.tensor([[pitch, yaw, roll]])))
    assert [math.degrees(float(a)) for a in user] == pytest.approx([-yaw, -pitch, roll], abs=1e-4)
    for index, sign in ((0, -1), (1, -1), (2, 1)):
        degrees = torch.zeros(1, 3)
        degrees[0, index] = 10
        user = pose_from_rotation(facevid2vid_pose.rotation_from_degrees(degrees))
        assert math.degrees(float(user[index])) == pytest.approx(sign * 10, abs=0.01)


# What some families are asked for besides


def test_fomm_has_no_head_to_turn(states: dict[str, tiny.Tensors]) -> None:
    model = build(states["fomm"])
    source, motion = look(model)
    with pytest.raises(UsageError, match="no head pose"):
        model.drive(source, motion, None, PoseOverride(yaw=torch.zeros(1)))


@pytest.mark.parametrize("name", ["facevid2vid", "fomm"])
def test_the_movement_scale_is_that_of_the_hulls(name: str, states: dict[str, tiny.Tensors]) -> None:
    model = build(states[name])
    assert isinstance(model, Adjustable)
    source, motion = look(model)
    own = points_of(model.drive(source, source.motion, None, None))
    plain, scaled = (
        points_of(model.adjusted(FamilyRequest(adapt_scale=adapts)).drive(source, motion, motion[0], None)) - own
        for adapts in (False, True)
    )
    places = slice(0, 2 if name == "fomm" else 3)
    ratios = scaled[1:, :, places] / plain[1:, :, places]
    assert ratios.std() < 0.01 * ratios.mean(), "all keypoints are scaled alike"
    assert abs(float(ratios.mean()) - 1) > 1e-3
    assert torch.equal(scaled[..., 3:], plain[..., 3:])


def test_sadtalker_renders_and_reads_motion_only_with_an_estimator(states: dict[str, tiny.Tensors]) -> None:
    alone = build(tiny.sadtalker())
    source = alone.appearance(pictures(1), landmarks(1))
    with pytest.raises(WeightsError, match="motion file"):
        alone.motion(pictures(2), landmarks(2), (SIZE, SIZE))
    motion = build(states["facevid2vid"]).motion(pictures(2), landmarks(2), (SIZE, SIZE))
    assert alone.render(source, alone.drive(source, motion, motion[0], None)).shape == (2, 3, SIZE, SIZE)
    estimator = {k: t for k, t in states["facevid2vid"].items() if k.startswith("he_estimator.")}
    both = build({**tiny.sadtalker(), **estimator})
    for one, other in zip(
        both.motion(pictures(2), landmarks(2), (SIZE, SIZE)).tensors(), motion.tensors(), strict=True
    ):
        assert torch.equal(one, other)


@pytest.fixture
def liveportrait(states: dict[str, tiny.Tensors]) -> LivePortraitModel:
    return LivePortraitModel(states["liveportrait"])


def test_stitching_is_on_and_can_be_turned_off(liveportrait: LivePortraitModel) -> None:
    source, motion = look(liveportrait)
    unstitched = liveportrait.adjusted(FamilyRequest(stitch=False))
    stitched = liveportrait.drive(source, motion, motion[0], None).points
    plain = unstitched.drive(source, motion, motion[0], None).points
    own = unstitched.drive(source, source.motion, None, None).points
    torch.testing.assert_close(stitched, liveportrait.retargeting.stitch(own, plain))
    assert (stitched - plain).abs().max() > 1e-3


@pytest.mark.parametrize(("part", "points"), [("eyes", EYES), ("lips", MOUTH)])
def test_set_openings_do_not_depend_on_the_driving(
    liveportrait: LivePortraitModel, part: str, points: tuple[int, ...]
) -> None:
    source, motion = look(liveportrait)
    still = Motion(*(t[:1].expand_as(t) for t in motion.tensors()[:3]), motion.expression, motion.extra)
    keypoints = {
        value: liveportrait.adjusted(FamilyRequest(stitch=False, **{part: value}))
        .drive(source, still, still[0], None)
        .points
        for value in (0.1, 0.4)
    }
    moved = keypoints[0.1][:, [point for point in points if point < tiny.LIVEPORTRAIT_KEYPOINTS]]
    torch.testing.assert_close(moved, moved[:1].expand_as(moved))
    assert (keypoints[0.1] - keypoints[0.4]).abs().max() > 1e-3


def test_retargeting_follows_the_drivings_openings(liveportrait: LivePortraitModel) -> None:
    source, motion = look(liveportrait)
    assert motion.extra is not None
    follows = liveportrait.adjusted(FamilyRequest(stitch=False, retarget_lips=True)).drive(
        source, motion, motion[0], None
    )
    for index in range(3):
        fixed = liveportrait.adjusted(FamilyRequest(stitch=False, lips=float(motion.extra[index, 2])))
        expected = fixed.drive(source, motion[index], motion[0], None)
        torch.testing.assert_close(follows.points[index : index + 1], expected.points, rtol=0, atol=1e-5)


def test_openings_are_height_over_width(liveportrait: LivePortraitModel) -> None:
    points = landmarks(1)
    points[0, [33, 133, 159, 145]] = torch.tensor([[10.0, 20, 0], [30, 20, 5], [20, 18, 0], [20, 22, 9]])
    motion = liveportrait.motion(pictures(1), points, (SIZE, SIZE))
    assert motion.extra is not None
    assert float(motion.extra[0, 0]) == pytest.approx(4 / 20, abs=1e-5)


# Other devices


def check_device(model: ReenactmentModel, device: torch.device) -> None:
    source, motion = look(model)
    driven = model.drive(source, motion, motion[0], None)
    exact = model.render(source, driven)
    model.to(device, torch.float32)
    there, moved = look(model)
    torch.testing.assert_close(moved.expression, motion.expression, rtol=0, atol=1e-3)
    torch.testing.assert_close(model.render(there, driven).cpu(), exact, rtol=0, atol=1e-2)


@pytest.mark.cuda
def test_cuda_gives_the_same(model: ReenactmentModel) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    check_device(model, torch.device("cuda"))


@pytest.mark.mps
def test_mps_gives_the_same(model: ReenactmentModel) -> None:
    if not torch.backends.mps.is_available():
        pytest.skip("no Apple GPU")
    check_device(model, torch.device("mps"))


def test_models_are_of_their_class(states: dict[str, tiny.Tensors]) -> None:
    kinds = {name: type(build(states[name])) for name in NAMES}
    assert kinds["facevid2vid"] is FaceVid2VidModel and kinds["fomm"] is FommModel

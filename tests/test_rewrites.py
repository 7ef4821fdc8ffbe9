"""Networks that were made fast compute what their plain layers state: each rewrite alone in float64, then all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tests.support import tiny
from vid2vid_cli.models.base import ReenactmentModel
from vid2vid_cli.models.facevid2vid.model import FaceVid2VidModel
from vid2vid_cli.models.facevid2vid.pose import Bottleneck, PoseEstimator
from vid2vid_cli.models.fast.batch_norm import fold_norms
from vid2vid_cli.models.fast.rewrites import REWRITES, make_fast
from vid2vid_cli.models.fast.spade import FastSpadeBlock, normalise
from vid2vid_cli.models.fast.upsampling import CondensedConv, UpsampledConv, assemble
from vid2vid_cli.models.fast.volume import SpectralConv, TapConv
from vid2vid_cli.models.fomm.model import FommModel
from vid2vid_cli.models.layers.blocks import Convolution, DownBlock, ResidualBlock, UpBlock, half_size
from vid2vid_cli.models.layers.spade import SpadeBlock
from vid2vid_cli.models.liveportrait.model import LivePortraitModel
from vid2vid_cli.models.loading import Part, fold_spectral_norm, load_module

EXACT = 1e-10
MODELS: dict[str, Callable[..., ReenactmentModel]] = {
    "facevid2vid": FaceVid2VidModel,
    "facevid2vid original": FaceVid2VidModel,
    "liveportrait": LivePortraitModel,
    "fomm": FommModel,
}


@pytest.fixture(autouse=True)
def _in_float64() -> Iterator[None]:
    torch.manual_seed(3)
    with torch.inference_mode():
        yield


def draw(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def check(found: Tensor, wanted: Tensor) -> None:
    assert found.shape == wanted.shape
    assert (found - wanted).abs().max() < EXACT


def layer(kind: type[Convolution], into: int, out: int, kernel: int = 3, *, bias: bool = True) -> Convolution:
    made: Convolution = kind(into, out, kernel, padding=kernel // 2, bias=bias).double()
    return made


def enlarged(x: Tensor, factor: int) -> Tensor:
    """Repeat pixels in height and width only."""
    return functional.interpolate(x, scale_factor=(*[1] * (x.dim() - 4), factor, factor), mode="nearest")


# Each rewrite alone


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("kind", "size"), [(nn.Conv2d, (5, 3)), (nn.Conv2d, (1, 1)), (nn.Conv3d, (4, 3, 6))])
def test_a_doubled_map_is_convolved_before_it_is_doubled(
    kind: type[Convolution], size: tuple[int, ...], bias: bool
) -> None:
    conv, x = layer(kind, 3, 4, bias=bias), draw(2, 3, *size)
    check(UpsampledConv(conv)(x), conv(enlarged(x, 2)))


@pytest.mark.parametrize("size", [(5, 3), (1, 1), (8, 8)])
def test_two_convolutions_of_a_map_of_four_times_its_size(size: tuple[int, int]) -> None:
    """The first one's four copies of a pixel are three; the second sees the middle one twice."""
    first, second, x = layer(nn.Conv2d, 3, 4), layer(nn.Conv2d, 4, 5), draw(2, 3, *size)
    large = first(enlarged(x, 4))
    compact = UpsampledConv(first, 4)(x)
    rows, columns = (torch.tensor([4 * i + j for i in range(side) for j in (0, 1, 3)]) for side in size)
    check(compact, large[:, :, rows[:, None], columns])
    check(assemble(CondensedConv(second)(compact), 4), second(large))


@pytest.mark.parametrize("depth", [1, 2, 5, 16])
@pytest.mark.parametrize("bias", [True, False])
def test_a_convolution_over_depth_is_a_product_of_spectra(depth: int, bias: bool) -> None:
    conv, volume = layer(nn.Conv3d, 4, 3, 7, bias=bias), draw(2, 4, depth, 6, 9)
    check(SpectralConv(conv, depth)(volume), conv(volume))


def test_a_convolution_to_one_channel_is_a_sum_of_shifted_products() -> None:
    conv, volume = layer(nn.Conv2d, 4 * 3, 1, 7), draw(2, 4, 3, 6, 9)
    assert isinstance(conv, nn.Conv2d)
    check(TapConv(conv, 3)(volume), conv(volume.flatten(1, 2)))


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last_3d])
def test_volumes_are_halved_in_height_and_width(memory_format: torch.memory_format) -> None:
    volume = draw(2, 3, 4, 6, 8)
    check(half_size(volume.contiguous(memory_format=memory_format)), functional.avg_pool3d(volume, (1, 2, 2)))


@pytest.mark.parametrize("count", [1, 3])
def test_each_map_is_normalised_by_its_own_statistics(count: int) -> None:
    x = 5 + 3 * draw(count, 4, 6, 5)
    check(normalise(x), functional.instance_norm(x))


def add_layers(tensors: tiny.Tensors, kind: str) -> type[nn.Module]:
    if kind == "residual":
        tensors.residual("x", 6, 3, 3, 3)
        return ResidualBlock
    if kind == "bottleneck":
        tiny.add_bottleneck(tensors, "x", 6, has_skip=True)
        return Bottleneck
    tensors.normed("x", 5, 6, *(3,) * (3 if kind == "up" else 2))
    return UpBlock if kind == "up" else DownBlock


@pytest.mark.parametrize("kind", ["residual", "bottleneck", "up", "down"])
def test_norms_are_folded_into_the_convolution_before_them(kind: str) -> None:
    tensors = tiny.Tensors()
    block = load_module(add_layers(tensors, kind), Part(tensors) / "x").double()
    for norm in block.modules():
        if isinstance(norm, nn.modules.batchnorm._BatchNorm) and norm.running_var is not None:
            norm.running_var.uniform_(0.2, 3)
    x = draw(2, 6, 4, 8, 8) if kind in ("residual", "up") else draw(2, 6, 8, 8)
    wanted = block(x)
    fold_norms(block)
    check(block(x), wanted)
    left = [name for name, norm in block.named_modules() if isinstance(norm, nn.modules.batchnorm._BatchNorm)]
    assert left == (["norm1"] if kind == "residual" else []), "only what stands before an activation stays"


def test_all_norms_of_the_estimator_are_folded() -> None:
    state = {name: tensor for name, tensor in tiny.facevid2vid().items() if name.startswith("he_estimator.")}
    estimator = load_module(PoseEstimator, Part(state) / "he_estimator").double()
    x = draw(1, 3, 64, 64)
    wanted = estimator(x)
    make_fast(estimator)
    assert not any(isinstance(norm, nn.BatchNorm2d) for norm in estimator.modules())
    for found, raw in zip(estimator(x), wanted, strict=True):
        check(found, raw)


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize(("out", "factor"), [*product((6, 4), (1, 2, 4))])
def test_a_steered_block_does_what_a_spade_block_does(out: int, factor: int, count: int) -> None:
    """out: 6 keeps the channels and has no projection. factor: how much larger the map is than the condition."""
    tensors = tiny.Tensors()
    tensors.spade_block("x", out, 6, 3)
    part = Part(fold_spectral_norm(tensors)) / "x"
    plain = load_module(lambda p: SpadeBlock(p, is_upsampling=factor > 1), part).double()
    height, width = (5, 3) if factor == 1 else (5 * factor // 2, 3 * factor // 2)
    x, condition = draw(count, 6, height, width), draw(count, 3, 5, 3)
    wanted = plain(x, condition)
    check(FastSpadeBlock(plain, factor)(x, condition), wanted)


# All together


def pictures(count: int) -> Tensor:
    return functional.interpolate(torch.rand(count, 3, 8, 8), (64, 64), mode="bicubic").clamp(0, 1)


def state_of(name: str) -> tiny.Tensors:
    state = tiny.CHECKPOINTS[name]()
    for key, tensor in state.items():
        if key.endswith("running_var"):
            tensor.uniform_(0.5, 2)
    return state


@pytest.mark.parametrize("name", MODELS)
def test_a_fast_model_draws_what_a_plain_one_draws(name: str) -> None:
    state = state_of(name)
    plain, fast = MODELS[name](state, lambda network: None), MODELS[name](state)
    points = torch.rand(3, 468, 3) * 64
    source, driving = pictures(1), pictures(3)
    drawn = []
    for model in (plain, fast):
        appearance = model.appearance(source, points[:1])
        motion = model.motion(driving, points, (64, 64))
        drawn.append(model.render(appearance, model.drive(appearance, motion, motion[0], None)))
    torch.testing.assert_close(drawn[1], drawn[0], rtol=0, atol=1e-4)
    assert drawn[0].std() > 0.01, "pictures that say something"


def networks_of(model: ReenactmentModel) -> list[nn.Module]:
    return [network for network in vars(model).values() if isinstance(network, nn.Module)]


@pytest.mark.parametrize("name", MODELS)
def test_every_rewrite_finds_its_layers(name: str) -> None:
    """What a family loads is fast: nothing is left that some rewrite is for."""
    inside = [module for network in networks_of(MODELS[name](state_of(name))) for module in network.modules()]
    assert not any(isinstance(module, SpadeBlock) for module in inside)
    assert not any(isinstance(module, nn.Conv3d) and module.kernel_size[0] == 7 for module in inside)
    assert all(isinstance(block.conv, UpsampledConv) for block in inside if isinstance(block, UpBlock))
    assert all(isinstance(block.norm, nn.Identity) for block in inside if isinstance(block, DownBlock))
    weights = [conv.weight for conv in inside if isinstance(conv, nn.Conv2d)]
    assert weights and all(weight.is_contiguous(memory_format=torch.channels_last) for weight in weights)


@pytest.mark.parametrize("rewrite", REWRITES)
def test_a_rewrite_can_be_made_twice(rewrite: Callable[[nn.Module], None]) -> None:
    model = FaceVid2VidModel(state_of("facevid2vid"))
    source = model.appearance(pictures(1), torch.zeros(1, 468, 3))
    driven = model.drive(source, source.motion, None, None)
    wanted = model.render(source, driven)
    rewrite(model.generator)
    assert torch.equal(model.render(source, driven), wanted)


@pytest.mark.parametrize("name", MODELS)
def test_a_source_is_encoded_once(name: str) -> None:
    model = MODELS[name](state_of(name))
    calls = {"encoder": 0, "hourglass": 0}

    def count(part: str) -> Callable[..., None]:
        def counted(*_: object) -> None:
            calls[part] += 1

        return counted

    for network in networks_of(model):
        for path, module in network.named_modules():
            if path.split(".")[-1] == "first":  # of the encoder, whose blocks come after it
                module.register_forward_hook(count("encoder"))
            if path.endswith("dense_motion_network.hourglass"):
                module.register_forward_hook(count("hourglass"))
    points = torch.zeros(1, 468, 3)
    source = model.appearance(pictures(1), points)
    for picture in pictures(3):
        motion = model.motion(picture[None], points, (64, 64))
        model.render(source, model.drive(source, motion, None, None))
    assert calls == {"encoder": 1, "hourglass": 3}

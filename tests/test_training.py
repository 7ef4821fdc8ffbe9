"""What training does to networks and back, where nothing would show a mistake but worse pictures."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import nullcontext
from itertools import count, repeat
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from training import perceptual, quick
from training.dataset import TARGETS_IN_BATCH, SampleMaker
from training.losses import WEIGHTS, weigh
from training.normalize import add_norms, fold_norms, normalize_as
from training.pack import PAIRS, Seen, choose_pairs, crop_square, pack_stills, still_crop, track_clip
from training.pack import SPEC as PACK_SPEC
from training.packed import SIDE, Pack, Squares
from training.perceptual import EfficientFeatures, PerceptualLoss, fold_published, published_tensors
from training.pool import Batch, Pool, join
from training.prune_channels import prune_channels
from training.rendered import render_batch
from training.trainer import Judges, Schedule, Trainer
from vid2vid_cli.checkpoints.reading import read_checkpoint
from vid2vid_cli.errors import WeightsError
from vid2vid_cli.face.crop import crop_frame
from vid2vid_cli.face.mesh import FaceAnalyzer
from vid2vid_cli.models.compact.learned.networks import (
    LEARNED_PREFIXES,
    FlowNet,
    LearnedParts,
    Painter,
    SourceEncoder,
    Widths,
)
from vid2vid_cli.models.compact.model import CompactModel
from vid2vid_cli.models.registry import load_model

EXAMPLES = Path(__file__).parents[1] / "examples"
CPU = torch.device("cpu")


def test_networks_of_a_checkpoint_go_on_with_normalisations_as_they_were() -> None:
    torch.manual_seed(0)
    plain = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3, stride=2)).eval()
    normed = add_norms(copy.deepcopy(plain))
    for parameter in normed.parameters():
        nn.init.normal_(parameter, std=0.1)  # what it was before must not count
    images = torch.randn(16, 3, 12, 12) * 2 + 1
    with torch.no_grad():
        normalize_as(normed, plain, lambda: plain(images))
        for once_more in (normed.eval(), fold_norms(normed), normed.train()):  # trained on the same images, too
            assert torch.allclose(once_more(images), plain(images), atol=2e-3), type(once_more)


def make_hourglasses(flow: Widths, painter: Widths) -> LearnedParts:
    return LearnedParts(SourceEncoder(8), FlowNet(8, flow), Painter(8, painter)).eval()


def let_run(parts: LearnedParts) -> list[torch.Tensor]:
    inputs = torch.Generator().manual_seed(2)
    nets = parts.flow_net.net, parts.painter.net
    with torch.no_grad():
        return [net(torch.randn(2, net.enter.in_channels, 16, 16, generator=inputs)) for net in nets]


def test_narrower_networks_keep_the_channels_that_matter() -> None:
    torch.manual_seed(3)
    narrow = make_hourglasses(Widths(4, 6, 8), Widths(6, 8, 10))
    wide = make_hourglasses(Widths(7, 9, 12), Widths(9, 11, 15))
    for parameter in wide.parameters():
        nn.init.zeros_(parameter)
    slim_into(narrow, wide)
    with torch.no_grad():  # channels that nothing reads, however strong they are
        for net in (wide.flow_net.net, wide.painter.net):
            net.enter.bias[-1] = net.down1.bias[-1] = net.down2.bias[-1] = 5.0
    found = make_hourglasses(Widths(4, 6, 8), Widths(6, 8, 10))
    prune_channels(wide, found, lambda: let_run(wide))
    for seen, wanted in zip(let_run(found), let_run(narrow), strict=True):
        assert float(wanted.abs().max()) > 0.01
        assert torch.allclose(seen, wanted, atol=1e-5)


def slim_into(narrow: LearnedParts, wide: LearnedParts) -> None:
    """Put narrow networks into the first channels of wide ones that are all zero."""
    wide.encoder.load_state_dict(narrow.encoder.state_dict())
    for small, large in ((narrow.flow_net.net, wide.flow_net.net), (narrow.painter.net, wide.painter.net)):
        for name, conv in small.named_modules():
            if not isinstance(conv, nn.Conv2d):
                continue
            there = large.get_submodule(name)
            inputs = torch.arange(conv.in_channels)
            if name in ("up1", "up2"):  # what comes from below, then what is kept at this size
                below = {"up1": small.down2, "up2": small.up1}[name].out_channels
                gap = {"up1": large.down2, "up2": large.up1}[name].out_channels - below
                inputs = torch.where(inputs < below, inputs, inputs + gap)
            with torch.no_grad():
                there.weight[: conv.out_channels, inputs] = conv.weight
                there.bias[: conv.out_channels] = conv.bias


@pytest.fixture(scope="module")
def seen(face_analyzer: FaceAnalyzer) -> list[Seen]:
    return track_clip(EXAMPLES / "driving.mp4", face_analyzer)[:12]


@pytest.fixture(scope="module")
def pack_file(seen: list[Seen], face_analyzer: FaceAnalyzer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pack of one clip and one portrait; what judges pictures is untrained."""
    crop = still_crop(seen, PACK_SPEC)
    clip = Squares.of(crop_square(one, crop) for one in seen)
    stills = pack_stills([EXAMPLES / "portrait.jpg"], face_analyzer)
    torch.manual_seed(0)
    tensors = {name: value.half().numpy() for name, value in EfficientFeatures().state_dict().items()}
    path = tmp_path_factory.mktemp("pack") / "pack.safetensors"
    Pack({"t01_turns": clip}, stills, tensors).save(path)
    return path


@pytest.fixture(scope="module")
def batches(pack_file: Path, face_state: Mapping[str, Tensor]) -> list[Batch]:
    state = {name: value for name, value in face_state.items() if not name.startswith(LEARNED_PREFIXES)}
    maker = SampleMaker(Pack.load(pack_file), CompactModel(state), np.random.default_rng(0))
    with torch.no_grad():
        return [maker.make_batch() for _ in range(2)]


@pytest.fixture
def judges(pack_file: Path, face_state: Mapping[str, Tensor]) -> Judges:
    return Judges(dict(face_state), Pack.load(pack_file).perceptual)


def test_a_pack_gives_back_pictures_and_meshes(seen: list[Seen], pack_file: Path) -> None:
    pack = Pack.load(pack_file)
    assert list(pack.clips) == ["t01_turns"]
    assert len(pack.stills) == 1
    clip, crop = pack.clips["t01_turns"], still_crop(seen, PACK_SPEC)
    for index in (0, 7, 11):
        square, picture = crop_square(seen[index], crop), clip.picture(index)
        assert picture.shape == (SIDE, SIDE, 3)
        error = np.abs(picture.astype(float) - crop_frame(seen[index].frame, crop)).mean()
        others = np.abs(picture.astype(float) - crop_frame(seen[(index + 5) % 12].frame, crop)).mean()
        assert error < min(2.0, others)
        # Half precision has 11 bits; places count from the middle of the square.
        from_middle = np.abs(square.landmarks - (SIDE / 2, SIDE / 2, 0))
        assert (np.abs(clip.landmarks[index] - square.landmarks) <= from_middle * 2.0**-11 + 1e-4).all()
        assert np.array_equal(clip.visible[index], square.visible)


@pytest.mark.parametrize("frames", [2, 3, 31, 500])
def test_a_clip_is_packed_as_pairs_of_neighbours(frames: int) -> None:
    first, second = choose_pairs(frames).reshape(-1, 2).T
    assert np.array_equal(second, first + 1)
    assert (first[0], second[-1]) == (0, frames - 1) or frames < 4
    assert 1 <= len(first) <= PAIRS
    assert (np.diff(first) > 0).all()
    assert second.max() < frames


def test_joined_batches_render_as_each_does_alone(batches: list[Batch], face_state: Mapping[str, Tensor]) -> None:
    parts = LearnedParts.from_state(face_state)
    assert parts is not None
    joined = join(batches)
    assert len(joined["which"]) == 2 * TARGETS_IN_BATCH
    with torch.no_grad():
        alone = torch.cat([render_batch(parts, batch).painted for batch in batches])
        assert torch.allclose(render_batch(parts, joined).painted, alone, atol=1e-4)
    after = joined["follows"]
    assert torch.equal(joined["which"][after], joined["which"][after - 1])  # moments of one source


def test_training_lowers_the_losses_and_changes_the_networks(batches: list[Batch], judges: Judges) -> None:
    torch.manual_seed(0)
    trainer = Trainer(Schedule(60, rate=1.5e-3), judges, CPU)
    before = copy.deepcopy(trainer.parts)
    losses = [float(weigh(trainer.train_on(batches[0]))) for _ in range(6)]
    assert losses[-1] < losses[0]
    changed = dict(before.named_parameters())
    for name, parameter in trainer.parts.named_parameters():
        # Behind a normalisation a bias has no effect, but is never exactly without a gradient.
        assert parameter.isfinite().all(), name
        if name.endswith("weight"):
            assert not torch.equal(parameter, changed[name]), name


def test_a_step_computes_where_its_batch_is(
    batches: list[Batch], judges: Judges, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The device `meta` only checks shapes and devices: with a tensor left on the processor it fails, as CUDA does."""
    meta = torch.device("meta")
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: nullcontext())  # which does not know it
    trainer = Trainer(Schedule(60), judges, meta)
    trainer.seconds = 59.0  # the discriminator trains too
    losses = trainer.train_on({name: tensor.to(meta) for name, tensor in join(batches).items()})
    assert len(losses) == len(WEIGHTS)
    assert {loss.device for loss in losses.values()} == {meta}


def test_training_stops_by_the_clock_and_leaves_a_checkpoint_that_renders(
    batches: list[Batch], judges: Judges, face_state: Mapping[str, Tensor], tmp_path: Path
) -> None:
    trainer = Trainer(Schedule(4), judges, CPU)
    trained = LearnedParts.from_state(face_state)
    assert trained is not None
    trainer.begin_with(trained, batches)
    output = tmp_path / "new.safetensors"
    quick.run_folder(output).mkdir()
    ticks = count()
    run = quick.Run(trainer, output, 1, lambda: float(next(ticks)), batches[0])
    run.train(Pool(repeat(batches[0]), 2, CPU))
    assert (trainer.step, trainer.seconds) == (4, 4.0)
    assert {"last.pt", "log.csv", "samples.png"} <= {path.name for path in quick.run_folder(output).iterdir()}
    model = load_model(str(output)).model
    assert isinstance(model, CompactModel)
    assert model.networks is not None
    with torch.no_grad():
        # What was folded and rounded paints what was trained.
        found, wanted = (render_batch(parts, batches[1]).painted for parts in (model.networks, trainer.average))
    assert torch.allclose(found, wanted, atol=0.02)
    others = {name for name in read_checkpoint(output).tensors if not name.startswith((*LEARNED_PREFIXES, "ranges."))}
    assert others == {name for name in face_state if not name.startswith((*LEARNED_PREFIXES, "ranges."))}


def test_a_resumed_run_goes_on_where_it_was(batches: list[Batch], judges: Judges, tmp_path: Path) -> None:
    one = Trainer(Schedule(60), judges, CPU)
    for batch in batches:
        one.train_on(batch)
    one.seconds = 12.0
    one.save(tmp_path / "last.pt")
    other = Trainer(Schedule(60), judges, CPU)
    other.load(tmp_path / "last.pt")
    assert (other.step, other.seconds, other.progress) == (2, 12.0, 0.2)
    for trainer in (one, other):
        trainer.train_on(batches[0])
    for name in ("parts", "average"):
        pairs = zip(getattr(one, name).parameters(), getattr(other, name).parameters(), strict=True)
        assert all(torch.allclose(a, b, atol=1e-6) for a, b in pairs), name


# The command in a process of its own, where seconds pass by being asked for.
COMMAND = """
import itertools, sys
from training import quick
ticks = itertools.count()
quick.perf_counter, quick.CALIBRATION_BATCHES = lambda: float(next(ticks)), 1
sys.argv = ["quick", *sys.argv[1:], "--device", "cpu", "--workers", "1"]
quick.main()
"""


def test_the_command_trains_and_resumes(pack_file: Path, tmp_path: Path) -> None:
    output = tmp_path / "new.safetensors"

    def run(*options: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", COMMAND, str(pack_file), "-o", str(output), *options]
        return subprocess.run(command, cwd=EXAMPLES.parent, capture_output=True, text=True, timeout=300, check=False)

    steps, written = [], []
    for options in (("--minutes", "0.05"), ("--minutes", "0.1", "--resume")):
        ran = run(*options)
        assert ran.returncode == 0, ran.stderr
        steps.append(int(torch.load(quick.run_folder(output) / "last.pt", weights_only=True)["step"]))
        written.append(read_checkpoint(output).tensors["painter.net.leave.weight"])
    assert 0 < steps[0] < steps[1]
    assert not torch.equal(*written)
    again = run()
    assert again.returncode == 2
    assert "--resume continues it" in again.stderr


def test_a_pool_says_when_no_more_batches_come(batches: list[Batch]) -> None:
    def breaks() -> Iterator[Batch]:
        yield batches[0]
        raise OSError("no space left")

    with pytest.raises(RuntimeError, match="no more samples") as raised:
        Pool(breaks(), 4, CPU).take(2)
    assert isinstance(raised.value.__cause__, OSError)


def test_the_perceptual_network_sees_what_the_published_one_does() -> None:
    published = pytest.importorskip("efficientnet_lite_pytorch", reason="the extra `train` is not installed")
    path = perceptual.find_published()
    assert path is not None
    tensors = read_checkpoint(path).tensors
    original = published.EfficientNet.from_name("efficientnet-lite0").eval()
    original.load_state_dict(dict(tensors))
    wanted: list[Tensor] = []
    for index in (0, 2, 4, 10):
        original._blocks[index].register_forward_hook(lambda _block, _given, made: wanted.append(made))
    ours = EfficientFeatures().eval()
    ours.load_state_dict(fold_published(tensors))
    image = torch.rand(2, 3, 192, 192, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        original.extract_features((image * 255 - 127) / 128)
        for seen_there, seen_here in zip(wanted, ours(image), strict=True):
            assert torch.allclose(seen_here, seen_there, atol=1e-3)


def test_the_perceptual_loss_grows_with_the_difference(seen: list[Seen]) -> None:
    if perceptual.find_published() is None:
        pytest.skip("the extra `train` is not installed")
    loss, side = PerceptualLoss(published_tensors()), 192
    face = crop_frame(seen[0].frame, still_crop(seen, PACK_SPEC))[128:320, 128:320]
    image = torch.from_numpy(face.copy()).permute(2, 0, 1)[None] / 255
    blurred = [nn.functional.avg_pool2d(image, size, 1, size // 2, count_include_pad=False) for size in (1, 3, 7)]
    evenly = torch.ones(1, 1, side, side)
    same, little, much = (float(loss(one, image, evenly)) for one in blurred)
    assert same < 1e-6
    assert 0.02 < little < much
    # Where nothing counts, nothing is lost.
    left = (torch.arange(side) < side // 2).float().expand(1, 1, side, side)
    half = torch.cat([image[..., : side // 2 + 48], blurred[2][..., side // 2 + 48 :]], -1)
    assert float(loss(half, image, left)) < 0.2 * float(loss(half, image, 1 - left))


def test_packing_without_the_perceptual_network_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perceptual, "PACKAGE", "no_such_package")
    with pytest.raises(WeightsError, match=r"\.\[train\]"):
        published_tensors()

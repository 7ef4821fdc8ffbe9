"""`weights info` and `weights convert`: what a file is said to be, and that nothing of it is lost on the way."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from tests.support.checkpoints import nested, save_liveportrait, save_public, save_sadtalker, save_traps, tensors_of
from tests.support.folders import GOLDEN
from vid2vid_cli.checkpoints.reading import read_checkpoint
from vid2vid_cli.cli.app import main
from vid2vid_cli.errors import MediaError, OutputExistsError, UsageError, WeightsError
from vid2vid_cli.pipeline.weights.convert import SMALL, convert_weights, inspect_weights
from vid2vid_cli.pipeline.weights.options import ConvertOptions

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VID2VID_HOME", str(tmp_path / "home"))


@pytest.mark.parametrize(
    ("variant", "family"),
    [("vox-256, SPADE", "facevid2vid"), ("vox-256, original", "facevid2vid"), ("human", "liveportrait")],
)
def test_a_public_checkpoint_is_known_and_complete(variant: str, family: str, tmp_path: Path) -> None:
    save_file(tensors_of(variant), tmp_path / "w.safetensors")
    info = inspect_weights(str(tmp_path / "w.safetensors"))
    assert (info.family, info.missing, info.unexpected, info.problem) == (family, (), (), "")
    assert info.variant is not None and info.variant.startswith(variant)


def test_fomm_is_known_and_complete(tmp_path: Path) -> None:
    from vid2vid_cli.checkpoints.tensor_names import LAYOUTS

    names = next(one for one in LAYOUTS if one.family == "fomm").names
    torch.save(nested({name: torch.zeros(2) for name in names}), tmp_path / "vox-cpk.pth.tar")
    info = inspect_weights(str(tmp_path / "vox-cpk.pth.tar"))
    assert (info.family, info.tensors, info.parameters, info.missing) == ("fomm", len(names), 2 * len(names), ())


def test_what_is_missing_and_what_is_too_much_is_listed(tmp_path: Path) -> None:
    flat = tensors_of("vox-256, SPADE")
    del flat["generator.fourth.bias"], flat["he_estimator.fc_t.weight"]
    flat = {
        name: tensor for name, tensor in flat.items() if not name.endswith("num_batches_tracked")
    }  # nobody needs it
    flat["generator.extra.weight"] = torch.zeros(3).half()
    torch.save(flat, tmp_path / "w.pth")
    info = inspect_weights(str(tmp_path / "w.pth"))
    assert info.missing == ("generator.fourth.bias", "he_estimator.fc_t.weight")
    assert info.unexpected == ("generator.extra.weight",)
    assert info.dtypes == {"float32": len(flat) - 1, "float16": 1}
    assert (info.tensors, info.parameters) == (len(flat), sum(tensor.numel() for tensor in flat.values()))
    assert info.bytes == (tmp_path / "w.pth").stat().st_size


def test_sadtalker_and_parts_and_strangers_are_told_apart(tmp_path: Path) -> None:
    save_sadtalker(tmp_path / "s.safetensors")
    info = inspect_weights(str(tmp_path / "s.safetensors"))
    assert info.family == "facevid2vid" and info.variant is not None and "cannot read motion" in info.variant
    assert info.unexpected == ("audio2exp.mapping1.weight",)
    save_liveportrait(tmp_path / "lp", upstream=True)
    part = inspect_weights(str(tmp_path / "lp" / "base_models" / "warping_module.pth"))
    assert (part.family, part.variant) == ("liveportrait", "warping_module") and "all five files" in part.problem
    save_file({"x": torch.zeros(2)}, tmp_path / "x.safetensors")
    stranger = inspect_weights(str(tmp_path / "x.safetensors"))
    assert (stranger.family, stranger.missing, stranger.unexpected) == (None, (), ())
    assert "no known family (compact, facevid2vid, liveportrait, fomm)" in stranger.problem
    compact = inspect_weights("compact")
    assert (compact.family, compact.missing, compact.unexpected, compact.problem) == ("compact", (), (), "")


def test_float32_is_kept_bit_by_bit_and_training_is_left_out(tmp_path: Path) -> None:
    source, target = tmp_path / "model.pth.tar", tmp_path / "small.safetensors"
    flat = save_public(source, "vox-256, SPADE")
    made = convert_weights(str(source), target)
    read = read_checkpoint(target)
    assert read.tensors.keys() == flat.keys()
    assert all(torch.equal(read.tensors[name], tensor) for name, tensor in flat.items())
    assert read.metadata["converted_sha256"] == read_checkpoint(source).sha256
    assert (made.info.family, made.info.sha256, made.left_out) == ("facevid2vid", read.sha256, ())
    assert made.bytes == (source.stat().st_size, target.stat().st_size)
    with safe_open(target, "pt") as file:
        assert not [name for name in file.keys() if name.startswith(("discriminator", "optimizer"))]  # noqa: SIM118


def test_float16_rounds_what_is_large_and_nothing_else(tmp_path: Path) -> None:
    flat = tensors_of("vox-256, SPADE")
    big = torch.randn(64, 64, 3, 3, generator=torch.Generator().manual_seed(1))
    flat["generator.fourth.weight"], flat["generator.second.weight"] = big, big.double()
    torch.save(nested(flat), tmp_path / "model.pth.tar")
    convert_weights(str(tmp_path / "model.pth.tar"), tmp_path / "half.safetensors", ConvertOptions(dtype="float16"))
    read = read_checkpoint(tmp_path / "half.safetensors").tensors
    for name, tensor in flat.items():
        if tensor.numel() >= SMALL:
            assert read[name].dtype == torch.float16
            assert torch.allclose(read[name].float(), tensor.float(), rtol=2**-11, atol=1e-7)
        else:
            assert torch.equal(read[name], tensor) and read[name].dtype == tensor.dtype
    again = convert_weights(str(tmp_path / "half.safetensors"), tmp_path / "again.safetensors")
    assert again.info.dtypes.keys() == {"float32", "int64"}


def test_numbers_that_float16_cannot_hold_are_told(tmp_path: Path) -> None:
    flat = tensors_of("vox-256, SPADE")
    flat["generator.fourth.weight"] = torch.full((64, 64), 70000.0)
    torch.save(nested(flat), tmp_path / "model.pth.tar")
    with pytest.raises(WeightsError, match=r"model\.pth\.tar: generator\.fourth\.weight has numbers that float16"):
        convert_weights(str(tmp_path / "model.pth.tar"), tmp_path / "o.safetensors", ConvertOptions(dtype="float16"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.pth.tar"]


def test_five_files_become_one_and_foreign_networks_stay_behind(tmp_path: Path) -> None:
    flat = save_liveportrait(tmp_path / "lp", upstream=True)
    convert_weights(str(tmp_path / "lp"), tmp_path / "lp.safetensors")
    read = read_checkpoint(tmp_path / "lp.safetensors").tensors
    assert read.keys() == flat.keys() and all(torch.equal(read[name], flat[name]) for name in flat)
    save_sadtalker(tmp_path / "s.safetensors")
    made = convert_weights(str(tmp_path / "s.safetensors"), tmp_path / "t.safetensors")
    assert made.left_out == ("audio2exp",) and made.info.unexpected == ()


def test_two_names_of_the_same_numbers_are_both_written(tmp_path: Path) -> None:
    flat = tensors_of("vox-256, SPADE")
    flat["generator.third.conv.weight"] = flat["generator.fourth.weight"]
    torch.save(nested(flat), tmp_path / "model.pth")
    convert_weights(str(tmp_path / "model.pth"), tmp_path / "o.safetensors")
    read = read_checkpoint(tmp_path / "o.safetensors").tensors
    assert torch.equal(read["generator.third.conv.weight"], read["generator.fourth.weight"])


def test_nothing_is_replaced_unasked_and_the_input_never(tmp_path: Path) -> None:
    source = tmp_path / "model.safetensors"
    save_file(tensors_of("vox-256, SPADE"), source)
    before = source.read_bytes()
    for target in (source, tmp_path / "link.safetensors"):
        if target != source:
            target.hardlink_to(source)
        with pytest.raises(MediaError, match="would replace its own input"):
            convert_weights(str(source), target, ConvertOptions(force=True))
    taken = tmp_path / "taken.safetensors"
    taken.write_text("mine")
    with pytest.raises(OutputExistsError, match="--force"):
        convert_weights(str(source), taken)
    assert taken.read_text() == "mine" and source.read_bytes() == before
    convert_weights(str(source), taken, ConvertOptions(force=True))
    assert read_checkpoint(taken).tensors
    with pytest.raises(UsageError, match=r"o\.pth: weights are written as \.safetensors"):
        convert_weights(str(source), tmp_path / "o.pth")
    with pytest.raises(MediaError, match="is not a folder"):
        convert_weights(str(source), taken / "o.safetensors")


def test_what_no_model_can_be_made_of_is_not_converted(tmp_path: Path) -> None:
    flat = {name: t for name, t in tensors_of("vox-256, original").items() if name != "kp_detector.down.weight"}
    torch.save(nested(flat), tmp_path / "beta.pth.tar")
    with pytest.raises(WeightsError, match="older Beta"):
        convert_weights(str(tmp_path / "beta.pth.tar"), tmp_path / "o.safetensors")
    sprung = tmp_path / "sprung"
    for trap in save_traps(tmp_path, sprung):
        assert main(["weights", "convert", str(trap), "-o", str(tmp_path / "o.safetensors"), "-q"]) == 4
        assert main(["weights", "info", str(trap), "-q"]) == 4
        assert main(["rotate", str(ROOT / "examples" / "portrait.jpg"), "--yaw", "5", "-c", str(trap)]) == 4
    assert not sprung.exists() and not (tmp_path / "o.safetensors").exists()


def test_the_commands_tell_people_and_programs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, target = tmp_path / "[顔].pth.tar", tmp_path / "o.safetensors"
    save_public(source, "vox-256, original")

    def run(*words: Any) -> tuple[int, str, str]:
        return (main(["weights", *map(str, words)]), *capsys.readouterr())

    code, out, err = run("info", source)
    assert (code, err) == (0, "") and out.splitlines()[0] == str(source)
    assert "vox-256, original generator" in out and "missing     none" in out
    facts = json.loads(run("info", source, "--json")[1])
    assert facts["family"] == "facevid2vid" and facts["missing"] == [] and facts["parameters"] > 0
    code, out, err = run("convert", source, "-o", target, "--dtype", "float16")
    assert (code, err) == (0, "") and str(target) in out and "MB before" in out
    assert run("convert", source, "-o", target)[0] == 1
    made = json.loads(run("convert", source, "-o", target, "--force", "--json")[1])
    assert made["bytes"] == target.stat().st_size and made["sha256"] == read_checkpoint(target).sha256
    assert run("convert", source, "-o", target, "--dtype", "float8")[0] == 2
    assert run("info", tmp_path / "missing.pth")[0] == 4


FULL_DISK = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000,) * 2)
from vid2vid_cli.cli.app import main
raise SystemExit(main(sys.argv[1:]))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits of POSIX")
def test_a_full_disk_leaves_nothing_half_made(tmp_path: Path) -> None:
    source, target = tmp_path / "model.pth.tar", tmp_path / "o.safetensors"
    save_public(source, "vox-256, SPADE")
    command = [sys.executable, "-c", FULL_DISK, "weights", "convert", str(source), "-o", str(target)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.count("\n") == 1 and "o.safetensors: cannot be written" in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["model.pth.tar"]


@pytest.fixture(scope="session")
def golden() -> tuple[Path, ModuleType]:
    """Find the folder of golden vectors and load what fills checkpoints of full size."""
    folder = GOLDEN.find()
    spec = importlib.util.spec_from_file_location("fill_weights", folder / "fill_weights.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return folder, module


def test_golden_full_size_checkpoint_is_halved_without_loss(golden: tuple[Path, ModuleType], tmp_path: Path) -> None:
    folder, fill = golden
    manifest = json.loads((folder / "manifests" / "A_facevid2vid_vox256_spade.pth.tar.json").read_text())
    seed = json.loads((folder / "checksums.json").read_text())["A_facevid2vid_vox256_spade.pth.tar"]["seed"]
    tree = fill.to_torch(fill.build(manifest, seed))
    source, target = tmp_path / "model.pth.tar", tmp_path / "half.safetensors"
    torch.save(tree, source)
    info = inspect_weights(str(source))
    assert (info.variant, info.missing, info.unexpected) == ("vox-256, SPADE generator", (), ())
    assert info.parameters == pytest.approx(173.3e6, rel=0.01)
    made = convert_weights(str(source), target, ConvertOptions(dtype="float16"))
    assert made.bytes[1] == pytest.approx(346.6e6, rel=0.01)
    read = read_checkpoint(target).tensors
    for name, tensor in read.items():
        root, rest = name.split(".", 1)
        original = tree[root][rest]
        assert torch.allclose(tensor.float(), original.float(), rtol=2**-11, atol=2**-24), name
    source.unlink()  # a gigabyte that pytest would keep
    target.unlink()

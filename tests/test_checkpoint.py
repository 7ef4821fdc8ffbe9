"""Weight files of every public layout are read into the same flat names, and nothing foreign is opened or run."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from safetensors.torch import save, save_file
from torch import Tensor

from tests.support.checkpoints import (
    layout,
    nested,
    save_liveportrait,
    save_public,
    save_sadtalker,
    save_traps,
    tensors_of,
)
from tests.support.folders import GOLDEN
from vid2vid_cli.checkpoints.file_format import NotWeightsError
from vid2vid_cli.checkpoints.reading import checkpoint_files, flatten, read_checkpoint
from vid2vid_cli.checkpoints.tensor_names import LAYOUTS, ROLES, expand, recognise
from vid2vid_cli.errors import WeightsError
from vid2vid_cli.models.registry import load_model

VARIANTS = ["vox-256, SPADE", "vox-256, original", "vox-256", "SadTalker: renders", "SadTalker with", "human"]


def assert_same(read: Any, expected: dict[str, Tensor]) -> None:
    assert read.keys() == expected.keys()
    assert all(torch.equal(read[name], tensor) for name, tensor in expected.items())


@pytest.fixture(scope="session")
def manifests() -> Path:
    return GOLDEN.find() / "manifests"


@pytest.mark.parametrize(
    ("variant", "files"),
    [
        ("vox-256, SPADE", ["A_facevid2vid_vox256_spade.pth.tar"]),
        ("vox-256, SPADE", ["C_sadtalker_facevid2vid.pth.tar"]),
        ("vox-256, original", ["B_facevid2vid_vox256_original.pth.tar"]),
        ("SadTalker: renders", ["C_sadtalker_v002_256.safetensors"]),
        ("vox-256", ["E_fomm_vox256.pth.tar"]),
        ("human", [f"D_liveportrait_{role}.pth" for role in ROLES]),
    ],
)
def test_golden_layouts_have_exactly_the_names_of_the_public_files(
    variant: str, files: list[str], manifests: Path
) -> None:
    names: set[str] = set()
    for file in files:
        role = "" if len(files) == 1 else file.removeprefix("D_liveportrait_").removesuffix(".pth") + "."
        rows = json.loads((manifests / f"{file}.json").read_text())
        names |= {role + row[0].replace("/module.", ".").replace("/", ".") for row in rows if row[2][:3] != "py:"}
    wanted = next(
        one for one in LAYOUTS if one.variant.startswith(variant) and (variant != "vox-256" or one.family == "fomm")
    )
    assert recognise(names) is wanted
    assert wanted.names == {name for name in names if name.split(".")[0] in wanted.roots}
    foreign = {name.split(".")[0] for name in names - wanted.names}
    assert foreign <= {"discriminator", "audio2exp", "audio2pose", "face_3drecon"}


def test_patterns_are_written_out() -> None:
    assert expand("a{0..2}.x") == ["a0.x", "a1.x", "a2.x"]
    assert sorted(expand("{g{0,1},up}.{w,b}")) == ["g0.b", "g0.w", "g1.b", "g1.w", "up.b", "up.w"]
    assert expand("plain") == ["plain"]


def test_each_layout_is_recognised_as_itself_alone() -> None:
    for one in LAYOUTS:
        if one.names:
            assert recognise(one.names) is one, one.variant
    assert recognise({"x"}) is None
    beta = layout("vox-256, original").names - {"kp_detector.down.weight"}
    found = recognise(beta)
    assert found is not None and "Beta" in found.variant and "axes" in found.refused


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("variant", ["vox-256, SPADE", "vox-256, original"])
def test_nested_files_of_pytorch_become_flat(variant: str, legacy: bool, tmp_path: Path) -> None:
    path = tmp_path / "model.pth.tar"
    expected = save_public(path, variant, legacy=legacy)
    read = read_checkpoint(path)
    assert_same(read.tensors, expected)
    assert (read.path, len(read.sha256)) == (path, 64)


def test_module_is_cut_at_every_level_and_only_in_front() -> None:
    a, b = torch.zeros(1), torch.ones(1)
    tree = {"module.generator": {"module.first.weight": a, "second.module.weight": b, "epoch": 3}, "module.x": a}
    assert_same(flatten(tree), {"generator.first.weight": a, "generator.second.module.weight": b, "x": a})
    with pytest.raises(NotWeightsError, match="without any tensors"):
        flatten({"discriminator": {"x": a}, "optimizer_generator": {"state": {"y": a}}, "epoch": 1})


@pytest.mark.parametrize("upstream", [False, True])
def test_a_folder_of_liveportrait_is_read_with_the_names_of_its_files(upstream: bool, tmp_path: Path) -> None:
    expected = save_liveportrait(tmp_path, upstream=upstream)
    read = read_checkpoint(tmp_path)
    assert_same(read.tensors, expected)
    assert len(checkpoint_files(tmp_path)) == 5
    one = checkpoint_files(tmp_path)[2]
    torch.save({name: tensor + 1 for name, tensor in torch.load(one, weights_only=True).items()}, one)
    assert read_checkpoint(tmp_path).sha256 != read.sha256
    one.unlink()
    with pytest.raises(WeightsError, match=r"warping_module\.pth is missing of liveportrait's five files"):
        read_checkpoint(tmp_path)


def test_a_single_converted_file_of_liveportrait_holds_the_same_names(tmp_path: Path) -> None:
    expected = tensors_of("human")
    save_file(expected, tmp_path / "lp.safetensors")
    assert_same(read_checkpoint(tmp_path / "lp.safetensors").tensors, expected)
    assert_same(read_checkpoint(tmp_path).tensors, expected)  # a folder with one file in it


def test_one_of_the_five_files_alone_is_named(tmp_path: Path) -> None:
    save_liveportrait(tmp_path, upstream=False)
    with pytest.raises(WeightsError, match="only the motion_extractor of liveportrait; name the folder"):
        load_model(str(tmp_path / "motion_extractor.pth"))


def test_the_older_beta_is_refused_by_name(tmp_path: Path) -> None:
    flat = {name: t for name, t in tensors_of("vox-256, original").items() if name != "kp_detector.down.weight"}
    torch.save(nested(flat), tmp_path / "beta.pth.tar")
    with pytest.raises(WeightsError, match=r"beta\.pth\.tar.*older Beta"):
        load_model(str(tmp_path / "beta.pth.tar"))


def test_a_facevid2vid_file_lends_sadtalker_its_estimator(tmp_path: Path) -> None:
    renderer = save_sadtalker(tmp_path / "SadTalker_V0.0.2_256.safetensors")
    lender = save_public(tmp_path / "facevid2vid.pth.tar", "vox-256, SPADE")
    read = read_checkpoint(tmp_path).tensors
    lent = {name: tensor for name, tensor in lender.items() if name.startswith("he_estimator.")}
    assert_same(read, {**renderer, **lent})
    found = recognise(read)
    assert found is not None and found.variant == "SadTalker with a facevid2vid estimator"


def test_a_folder_must_leave_no_doubt(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="a folder without weights"):
        read_checkpoint(tmp_path)
    save_public(tmp_path / "a.pth.tar", "vox-256, SPADE")
    save_public(tmp_path / "b.pth.tar", "vox-256, SPADE")
    with pytest.raises(WeightsError, match=r"which of its weights is meant \(a.pth.tar, b.pth.tar\)"):
        read_checkpoint(tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="looks at the maps of the process in /proc")
@pytest.mark.parametrize("name", ["w.safetensors", "w.pth.tar"])
def test_large_files_are_mapped_not_copied(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    big = {"generator": {"x": torch.zeros(1 << 20)}}
    save_file(flatten(big), path) if path.suffix == ".safetensors" else torch.save(big, path)
    read = read_checkpoint(path)
    assert read.tensors["generator.x"].shape == (1 << 20,)
    assert str(path) in Path("/proc/self/maps").read_text()


FOREIGN: list[tuple[str, bytes, str]] = [
    ("w.safetensors", b"", "empty"),
    ("w.pth.tar", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n", "Git LFS pointer"),
    ("w.safetensors", b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n", "Git LFS pointer"),
    ("w.safetensors", b"\xef\xbb\xbf\r\n<!DOCTYPE html><html></html>", "HTML"),
    ("w.pth", b"<?xml version='1.0'?><Error>AccessDenied</Error>", "HTML or XML"),
    ("w.pth", b'{"error": "rate limited"}', "JSON"),
    ("w.pth", b"\x1f\x8b\x08\x00", "archive"),
    ("w.pth", b"Not Found\n", "text"),
    ("w.pth", b"PK\x03\x04whatever", "damaged or truncated PyTorch file"),
    ("w.pth", b"\x80\x02}q\x00.", "damaged|without any tensors"),
    ("w.safetensors", b"PK\x03\x04whatever", "pickle"),
    ("w.safetensors", struct.pack("<Q", 5000) + b'{"a":', "ends within its own header"),
    ("w.safetensors", struct.pack("<Q", 4) + b"{ x}", "damaged or truncated"),
    ("w.bin", bytes(range(128, 256)), "in no format of weights"),
]


@pytest.mark.parametrize(("name", "content", "words"), FOREIGN)
def test_what_is_no_checkpoint_is_named(name: str, content: bytes, words: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=words) as caught:
        read_checkpoint(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def test_what_is_no_plain_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="not a regular file"):
        read_checkpoint(tmp_path / "missing.pth")
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.pth")
        with pytest.raises(WeightsError, match="not a regular file"):
            read_checkpoint(tmp_path / "pipe.pth")


@pytest.mark.parametrize("share", [0.2, 0.6, 0.95, 0.999])
@pytest.mark.parametrize("kind", ["safetensors", "pth", "legacy"])
def test_a_file_cut_short_is_named(kind: str, share: float, tmp_path: Path) -> None:
    whole = (tmp_path / "whole").with_suffix(".safetensors" if kind == "safetensors" else ".pth")
    if kind == "safetensors":
        save_sadtalker(whole)
    else:
        save_public(whole, "vox-256, SPADE", legacy=kind == "legacy")
    content = whole.read_bytes()
    cut = whole.with_stem("cut")
    cut.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(WeightsError, match=r"cut\.[a-z]+: not a readable checkpoint.*(damaged|cut)"):
        read_checkpoint(cut)


def test_a_pickle_that_would_run_code_runs_none(tmp_path: Path) -> None:
    sprung = tmp_path / "sprung"
    traps = save_traps(tmp_path, sprung)
    assert len(traps) == 28
    for trap in traps:
        with pytest.raises(WeightsError, match=r"a pickle (that|of|under).*does not open for safety") as caught:
            read_checkpoint(trap)
        assert str(trap) in str(caught.value)
    assert not sprung.exists()
    with pytest.raises(WeightsError, match=r"run foreign code \((posix|nt)\.system\)"):
        read_checkpoint(tmp_path / "TrapFalse.pth.tar")
    pickle.loads((tmp_path / "Trap2.pth").read_bytes())  # the trap is a real one
    assert sprung.exists()


def test_a_tensor_that_claims_more_numbers_than_it_holds_is_refused(tmp_path: Path) -> None:
    torch.save({"generator.x": torch.zeros(1).expand(10**6, 10**6)}, tmp_path / "bomb.pth")
    with pytest.raises(WeightsError, match=r"tensor generator\.x is not made of plain numbers"):
        read_checkpoint(tmp_path / "bomb.pth")


def test_dicts_that_multiply_or_never_end_are_refused() -> None:
    bomb: dict[str, Any] = {"x": torch.zeros(1)}
    for _ in range(7):
        bomb = {str(k): bomb for k in range(20)}
    with pytest.raises(NotWeightsError, match="more than 100000 tensors"):
        flatten(bomb)
    endless: dict[str, Any] = {}
    endless["x"] = endless
    with pytest.raises(NotWeightsError, match="nested too deep"):
        flatten(endless)


def _seeds() -> dict[str, bytes]:
    """Small whole files of each format, to be damaged."""
    flat = {"generator.a.weight": torch.arange(6.0).reshape(2, 3), "kp_detector.b": torch.tensor(3)}
    made = {".safetensors": save(flat, {"k": "v"})}
    for suffix, is_zip in ((".pth", True), (".pt", False)):
        buffer = io.BytesIO()
        torch.save(nested(flat), buffer, _use_new_zipfile_serialization=is_zip)
        made[suffix] = buffer.getvalue()
    return made


SEEDS = _seeds()
CHANGES = st.lists(
    st.tuples(st.integers(0, 4000), st.integers(0, 255), st.sampled_from(["put", "cut", "add"])), max_size=6
)


def _damaged(content: bytes, changes: list[tuple[int, int, str]]) -> bytes:
    apply: dict[str, Callable[[bytes, int, int], bytes]] = {
        "put": lambda data, at, byte: data[:at] + bytes([byte]) + data[at + 1 :],
        "cut": lambda data, at, byte: data[:at] + data[at + byte :],
        "add": lambda data, at, byte: data[:at] + bytes([byte]) * 8 + data[at:],
    }
    for at, byte, how in changes:
        content = apply[how](content, at % (len(content) + 1), byte)
    return content


@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(suffix=st.sampled_from(sorted(SEEDS)), changes=CHANGES)
@example(suffix=".pth", changes=[])
def test_no_damage_gets_past_the_reader(suffix: str, changes: list[tuple[int, int, str]]) -> None:
    """Whatever bytes are changed, cut or put in: weights are read, or a WeightsError says in one line that not."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"w{suffix}")
        path.write_bytes(_damaged(SEEDS[suffix], changes))
        try:
            tensors = read_checkpoint(path).tensors
        except WeightsError as error:
            assert str(path) in str(error)
        else:
            assert all(float(tensor.double().sum()) is not None for tensor in tensors.values())  # every byte is there


@settings(max_examples=200, deadline=None)
@given(content=st.binary(max_size=300), suffix=st.sampled_from(sorted(SEEDS)))
def test_no_bytes_at_all_get_past_the_reader(content: bytes, suffix: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"w{suffix}")
        path.write_bytes(content)
        with pytest.raises(WeightsError):
            read_checkpoint(path)

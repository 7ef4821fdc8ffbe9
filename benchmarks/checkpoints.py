"""Full-size checkpoints of the published layouts, filled from a seed, and pictures for them.

They come from the folder of golden vectors: VID2VID_GOLDEN, else shared/golden beside the repository.
"""

from __future__ import annotations

import importlib.util
import json
import os
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from benchmarks.material import REPOSITORY
from vid2vid_cli.checkpoints.reading import flatten
from vid2vid_cli.checkpoints.tensor_names import ROLES

FILES = {"facevid2vid": "A_facevid2vid_vox256_spade.pth.tar", "fomm": "E_fomm_vox256.pth.tar"}


def golden_folder() -> Path:
    """Find the golden vectors. FileNotFoundError if there are none."""
    folder = Path(os.environ.get("VID2VID_GOLDEN", REPOSITORY.parent / "shared" / "golden"))
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no golden vectors; set VID2VID_GOLDEN to their folder")
    return folder


def fill_checkpoint(family: str) -> dict[str, Tensor]:
    """Build the tensors of a family's checkpoint, by their names in one flat file."""
    # LivePortrait's networks are published in one file each; the role becomes the prefix.
    if family != "liveportrait":
        return flatten(_fill(FILES[family]))
    return {
        f"{role}.{name}": tensor
        for role in ROLES
        for name, tensor in flatten(_fill(f"D_liveportrait_{role}.pth")).items()
    }


def _fill(file: str) -> Any:
    """Fill the tensors that the manifest of a published file lists, from the seed that belongs to it."""
    folder = golden_folder()
    rows = json.loads((folder / "manifests" / f"{file}.json").read_text(encoding="utf-8"))
    seed = json.loads((folder / "checksums.json").read_text(encoding="utf-8"))[file]["seed"]
    # Reenactment needs neither the discriminator nor the state of optimisers, which published files contain.
    tree = _filler(folder).build(rows, seed, lambda name: not name.startswith(("discriminator", "optimizer_")))
    return _as_tensors(tree)


def _as_tensors(tree: dict[str, Any]) -> dict[str, Any]:
    """Turn the arrays of nested dicts into tensors."""
    return {name: _as_tensors(leaf) if isinstance(leaf, dict) else torch.as_tensor(leaf) for name, leaf in tree.items()}


def _filler(folder: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("fill_weights", folder / "fill_weights.py")
    if spec is None or spec.loader is None:
        raise FileNotFoundError(f"{folder}: no fill_weights.py; fetch the golden vectors again")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def read_pictures() -> tuple[Tensor, Tensor]:
    """Return the source (1, 3, 256, 256) and four driving frames, in [0, 1]."""
    pictures = load_file(golden_folder() / "inputs.safetensors")
    source, driving = pictures["source"][None], pictures["driving"]
    return source.permute(0, 3, 1, 2).float() / 255, driving.permute(0, 3, 1, 2).float() / 255

"""Small checkpoints in the layouts of the public ones, for the tests; their tensors have few numbers."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from vid2vid_cli.checkpoints.tensor_names import LAYOUTS, ROLES, Layout


def layout(variant: str) -> Layout:
    return next(one for one in LAYOUTS if one.variant.startswith(variant))


def tensors_of(variant: str, seed: int = 0) -> dict[str, Tensor]:
    """Make a small tensor for each name of a variant; counters are whole numbers, weights have two dimensions."""
    random = torch.Generator().manual_seed(seed)
    made: dict[str, Tensor] = {}
    for name in sorted(layout(variant).names):
        if name.endswith("num_batches_tracked"):
            made[name] = torch.tensor(7)
        else:
            made[name] = torch.randn((2, 3) if "weight" in name else (3,), generator=random)
    return made


def nested(flat: dict[str, Tensor]) -> dict[str, Any]:
    """Give each network a dict of its own, beside what only training needs, as the public files have it."""
    tree: dict[str, Any] = {"epoch": 188, "optimizer_generator": {"state": {0: {"step": 3}}, "param_groups": []}}
    tree["discriminator"] = {"conv.weight": torch.zeros(4, 4)}
    for name, tensor in flat.items():
        root, rest = name.split(".", 1)
        tree.setdefault(root, {})[rest] = tensor
    return tree


def save_public(path: Path, variant: str, *, legacy: bool = False) -> dict[str, Tensor]:
    """Write a .pth.tar as the public ones are, today's zip or the old format; return what must be read."""
    flat = tensors_of(variant)
    torch.save(nested(flat), path, _use_new_zipfile_serialization=not legacy)
    return flat


def save_liveportrait(folder: Path, *, upstream: bool) -> dict[str, Tensor]:
    """Write the five files, flat or in upstream's folders; the stitching file has its `module.`."""
    flat = tensors_of("human")
    for role in ROLES:
        inner = "retargeting_models" if role == ROLES[-1] else "base_models"
        place = folder / inner if upstream else folder
        place.mkdir(parents=True, exist_ok=True)
        own: dict[str, Any] = {n[len(role) + 1 :]: t for n, t in flat.items() if n.startswith(f"{role}.")}
        if role == ROLES[-1]:
            heads = {name.split(".")[0] for name in own}
            own = {
                head: {f"module.{n[len(head) + 1 :]}": t for n, t in own.items() if n.startswith(f"{head}.")}
                for head in heads
            }
        torch.save(own, place / f"{role}.pth")
    return flat


def save_sadtalker(path: Path) -> dict[str, Tensor]:
    """Write a flat safetensors file with networks of others in it."""
    flat = {**tensors_of("SadTalker: renders"), "audio2exp.mapping1.weight": torch.zeros(2, 2)}
    save_file(flat, path)
    return flat


class Trap:
    """An object whose unpickling runs a command that makes a file."""

    def __init__(self, sprung: Path) -> None:
        self.sprung = sprung

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.system, (f"echo sprung > '{self.sprung}'",))


class CodeTrap(Trap):
    """The same by Python code, in a function that is built in."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (exec, (f"open({str(self.sprung)!r}, 'w').close()",))


def save_traps(folder: Path, sprung: Path) -> list[Path]:
    """Write pickles that would make the file `sprung`, in every format and protocol that there is."""
    paths = []
    for kind in (Trap, CodeTrap):
        trap = {"generator": {"first.conv.weight": torch.zeros(2)}, "epoch": kind(sprung)}
        for legacy in (False, True):
            path = folder / f"{kind.__name__}{legacy}.pth.tar"
            torch.save(trap, path, _use_new_zipfile_serialization=not legacy)
            paths.append(path)
        for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
            for suffix in (".pth", ".safetensors"):
                path = folder / f"{kind.__name__}{protocol}{suffix}"
                path.write_bytes(pickle.dumps({"x": kind(sprung)}, protocol))
                paths.append(path)
    return paths

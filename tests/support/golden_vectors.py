"""What the tests of parity with published implementations share; see README.md in the folder of golden vectors.

The folder comes from VID2VID_GOLDEN, else shared/golden beside the repository.
"""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from tests.support.folders import GOLDEN
from vid2vid_cli.checkpoints.tensor_names import ROLES

# Largest and mean absolute difference, as the folder's README suggests for float32.
TOLERANCES: dict[str, tuple[float, float]] = {
    "points": (1e-4, 1e-4),
    "logits": (5e-4, 5e-4),
    "degrees": (2e-3, 2e-3),
    "features": (1e-3, 1e-3),
    "flow": (5e-4, 2e-5),
    "maps": (2e-3, 1e-4),
    "image": (1e-3, 5e-5),
    "image16": (1.3e-3, 1.3e-3),
    # A threshold on the masks makes rounding jump: the reference in float64 differs from itself in float32 by 3.4e-3
    # (2.3e-5 on average), and so do other numbers of threads. The mean is what tells a mistake.
    "image jumps": (5e-3, 5e-5),
    "image16 jumps": (5e-3, 2e-4),
}

# Mean difference of pictures in bfloat16, where random networks magnify rounding: a fifth more than what autocast makes
# of the reference, as the README's tables of sensitivity give it. The row of liveportrait is empty; its decoder is A's.
BFLOAT16 = {"A": 1.2 * 1.4e-2, "B": 1.2 * 1.3e-2, "D": 1.2 * 1.4e-2}


def folder() -> Path:
    """Find the golden vectors; skip the test where there are none."""
    return GOLDEN.find()


def _filler() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fill_weights", folder() / "fill_weights.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def manifest(name: str) -> list[list[Any]]:
    """Read which tensors a public file holds."""
    rows: list[list[Any]] = json.loads((folder() / "manifests" / f"{name}.json").read_text())
    return rows


def fill(name: str, want: Callable[[str], bool] = lambda key: True) -> dict[str, Tensor]:
    """Make the tensors of a public file again, flat: nested names are joined by a dot."""
    seed = json.loads((folder() / "checksums.json").read_text())[name]["seed"]
    return flatten(_filler().build(manifest(name), seed, want))


def fill_liveportrait() -> dict[str, Tensor]:
    """Make all five files of LivePortrait again, each under the name of its role, as they are loaded from a folder."""
    state: dict[str, Tensor] = {}
    for role in ROLES:
        tensors = fill(f"D_liveportrait_{role}.pth")
        state |= {f"{role}.{name.replace('.module.', '.')}": tensor for name, tensor in tensors.items()}
    return state


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Tensor]:
    flat: dict[str, Tensor] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= flatten(value, f"{prefix}{key}.")
        elif isinstance(value, np.ndarray):
            flat[f"{prefix}{key}"] = torch.from_numpy(value)
    return flat


def images() -> tuple[Tensor, Tensor]:
    """Return the source (1, 3, 256, 256) and the four driving frames, in [0, 1]."""
    pictures = load_file(folder() / "inputs.safetensors")
    source, driving = pictures["source"][None], pictures["driving"]
    return source.permute(0, 3, 1, 2).float() / 255, driving.permute(0, 3, 1, 2).float() / 255


class Golden:
    """The stored answers of a published implementation."""

    def __init__(self, name: str, *, jumps: bool = False) -> None:
        """Read the vectors of a fixture. jumps: rounding may change single pixels of its pictures a lot."""
        self._suffix = " jumps" if jumps else ""
        self.tensors = load_file(folder() / f"{name}.safetensors")
        with safe_open(folder() / f"{name}.safetensors", "pt") as file:
            self.slices: dict[str, str] = json.loads(file.metadata()["slices"])
        self.unchecked = set(self.tensors)

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]

    def check(self, name: str, found: Tensor, kind: str) -> None:
        """Compare what was found with what is stored under a name: whole, or the part that is stored."""
        self.unchecked.discard(name)
        wanted = self.tensors[name].float()
        part = cut(found, self.slices[name]) if name in self.slices else found
        assert part.shape == wanted.shape, name
        error = (part.cpu().float() - wanted).abs()
        largest, mean = TOLERANCES[kind]
        print(f"{name}: largest {error.max():.1e}, mean {error.mean():.1e}")  # noqa: T201  shown by pytest -s
        assert error.max() <= largest, f"{name}: differs by up to {error.max():.2e}, more than {largest}"
        assert error.mean() <= mean, f"{name}: differs by {error.mean():.2e} on average, more than {mean}"

    def check_spread(self, name: str, found: Tensor, kind: str) -> None:
        """Compare a tensor (1, C, ...), and its mean and standard deviation over each channel."""
        self.check(name, found, kind)
        flat = found[0].flatten(1)
        self.check(f"{name}.mean", flat.mean(1), kind)
        self.check(f"{name}.std", flat.std(1, correction=0), kind)

    def check_image(self, name: str, found: Tensor) -> None:
        """Compare a picture (1, 3, H, W): whole to half precision, and every few pixels exactly."""
        self.check(f"{name}.image_sub", found, f"image{self._suffix}")
        self.check(f"{name}.image", found[0], f"image16{self._suffix}")

    def check_half_image(self, name: str, found: Tensor, limit: float) -> None:
        """Compare a picture (1, 3, H, W) that was computed in half precision."""
        error = (found[0] - self.tensors[f"{name}.image"].float()).abs().mean()
        print(f"{name}: mean {error:.1e}")  # noqa: T201  shown by pytest -s
        assert 1e-4 < error <= limit, f"{name}: differs by {error:.1e} on average; {limit:.1e} is allowed"


def cut(tensor: Tensor, part: str) -> Tensor:
    """Cut out the part that is stored, such as "[:, :, 1::5]"."""
    sides = [slice(*(int(n) if n.strip() else None for n in side.split(":"))) for side in part.strip("[]").split(",")]
    return tensor[tuple(sides)]


def need_whole_module(request: pytest.FixtureRequest) -> None:
    """Skip a test that counts on all tests before it in its module."""
    config = request.config
    is_narrowed = config.option.keyword or config.option.markexpr or any("::" in arg for arg in config.args)
    if is_narrowed:
        pytest.skip("counts what all tests of this file have checked, and only some were chosen")

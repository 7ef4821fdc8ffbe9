"""From the tensors of a checkpoint to networks: sizes are read off the shapes, and loading is strict."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

Module = TypeVar("Module", bound=nn.Module)


class Part:
    """The tensors of a checkpoint whose names share a prefix, by the rest of their names."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        self.tensors = tensors

    def __contains__(self, name: str) -> bool:
        return name in self.tensors

    def __truediv__(self, name: str) -> Part:
        """Return the part under a name: `generator / "first"` knows `generator.first.conv.weight` as `conv.weight`."""
        prefix = f"{name}."
        return Part({key.removeprefix(prefix): t for key, t in self.tensors.items() if key.startswith(prefix)})

    def only(self, names: Collection[str]) -> Part:
        """Return the part with only some of the names at its top."""
        return Part({key: tensor for key, tensor in self.tensors.items() if key.split(".")[0] in names})

    def children(self) -> list[str]:
        """Return the names at the top of the part, by the number that each ends with."""
        names = {key.split(".")[0] for key in self.tensors}
        return sorted(names, key=lambda name: [int(digits) for digits in re.findall(r"\d+", name)])

    def shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of a tensor. KeyError if there is none of that name."""
        return tuple(self.tensors[name].shape)


def load_module(kind: Callable[[Part], Module], part: Part) -> Module:
    """Build a network for a part of a checkpoint and give it the tensors, none missing and none left over.

    KeyError or RuntimeError when the part does not fit. The network is in evaluation mode, in float32, and without
    gradients; it shares the tensors of the part where they are in float32 already.
    """
    with torch.device("meta"):  # spends no time and memory on numbers that are replaced at once
        module = kind(part)
    state = {name: tensor.float() if tensor.is_floating_point() else tensor for name, tensor in part.tensors.items()}
    for name in module.state_dict():
        if name.endswith("num_batches_tracked"):  # a count of training steps, which converted files may lack
            state.setdefault(name, torch.tensor(0))
    _refuse_difference(state, module.state_dict())
    module.load_state_dict(state, assign=True)
    return module.eval().requires_grad_(requires_grad=False)


def _refuse_difference(given: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    """Raise RuntimeError with one line if tensors do not have the names and shapes wanted."""
    faults = [f"missing {name}" for name in wanted.keys() - given.keys()]
    faults += [f"unexpected {name}" for name in given.keys() - wanted.keys()]
    faults += [
        f"{name} is {tuple(given[name].shape)}, not {tuple(wanted[name].shape)}"
        for name in wanted.keys() & given.keys()
        if given[name].shape != wanted[name].shape
    ]
    if faults:
        more = f" and {len(faults) - 3} more" if len(faults) > 3 else ""
        raise RuntimeError(", ".join(sorted(faults)[:3]) + more)


def refuse_unknown(part: Part, known: Collection[str]) -> None:
    """Raise RuntimeError if a part has names at its top that no network takes."""
    unknown = {key.split(".")[0] for key in part.tensors} - set(known)
    if unknown:
        raise RuntimeError(f"unexpected {', '.join(sorted(unknown))}")


def fold_spectral_norm(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Replace each spectrally normalised weight by its value after training.

    The weight is weight_orig / (u' W v) with the stored vectors and W = weight_orig as (out, all the rest), in the
    way of PyTorch's first `spectral_norm` (Miyato et al., arXiv 1802.05957, eq. 8).
    """
    folded: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        # Three tensors, `weight_orig`, `weight_u` and `weight_v`, become one, `weight`.
        stem = name.removesuffix("_orig")
        if stem != name:
            matrix, u, v = tensor.float(), tensors[f"{stem}_u"].float(), tensors[f"{stem}_v"].float()
            folded[stem] = matrix / torch.dot(u, matrix.flatten(1) @ v)
        elif not name.endswith(("weight_u", "weight_v")):
            folded[name] = tensor
    return folded

"""The basis in which calls send what the mesh misses: keypoint residuals of the face, and how its surroundings move.

One basis serves all checkpoints: what it spans is `extra`, see motion_layout.py. training/surroundings.py makes it.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from vid2vid_cli.checkpoints.reading import embedded_surroundings
from vid2vid_cli.codec.space import BESIDE_PREFIX, ExpressionBasis
from vid2vid_cli.errors import WeightsError
from vid2vid_cli.models.compact.motion_layout import CELLS, POINTS

STATISTICS = ("effect", "mean", "deviation", "speed")


@lru_cache(maxsize=1)
def beside_basis() -> ExpressionBasis:
    """Return the basis of the package: first the face's components, then those of the surroundings."""
    file = embedded_surroundings()
    tensors = {name.removeprefix(BESIDE_PREFIX): tensor.float() for name, tensor in file.tensors.items()}
    try:
        parts = [tensors[f"{name}.components"] for name in ("face", "cells")]
        weights = torch.cat([tensors[f"{name}.weights"] for name in ("face", "cells")])
        statistics = [tensors[name] for name in STATISTICS]
    except KeyError as error:
        raise WeightsError(f"{file.path}: has no tensor {error}; install vid2vid again") from error
    if [part.shape[1] for part in parts] != [POINTS, CELLS * CELLS]:
        raise WeightsError(f"{file.path}: is of another mesh; install vid2vid again")
    return ExpressionBasis(_joined(*parts), weights[:, None] * torch.tensor([1.0, 1.0, 0.0]), *statistics)


def _joined(face: Tensor, cells: Tensor) -> Tensor:
    """Return components (C, P, 3) that move the face's points or the cells, from those of either (C, P, 2)."""
    joined = face.new_zeros(len(face) + len(cells), POINTS + CELLS * CELLS, 3)
    joined[: len(face), :POINTS, :2] = face
    joined[len(face) :, POINTS:, :2] = cells
    return joined

"""What the families of networks share: keypoints as their driven state, devices, precision, and requests."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, TypeVar

import torch
from torch import Tensor, nn

from vid2vid_cli.models.base import DrivenState, FamilyRequest, SourceAppearance, are_finite
from vid2vid_cli.models.precision import is_rounded, moved

Model = TypeVar("Model", bound="NetworkedModel")


@dataclass(frozen=True)
class DrivenKeypoints:
    """A source's keypoints under B frames. points: (B, K, 3 or more), in [-1, 1] of the crop."""

    points: Tensor

    def is_finite(self) -> bool:
        """Whether all numbers are finite."""
        return are_finite(self.points)


class NetworkedModel(ABC):
    """A model whose networks read faces in float32 and draw in the precision asked for.

    READERS, RENDERER: the names of the attributes that hold these networks; a reader may be None. A family sets
    `_load_renderer` in its `__init__`: it loads the renderer again.
    """

    READERS: ClassVar[tuple[str, ...]]
    RENDERER: ClassVar[tuple[str, ...]]
    surroundings_move_with: Literal["pose", "all"] = "all"
    _load_renderer: Callable[[], Mapping[str, nn.Module]]
    _device = torch.device("cpu")
    # Published results were made with the movement scaled and, for liveportrait, the shoulders stitched.
    _request = FamilyRequest(adapt_scale=True, stitch=True)

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move the networks; what finds keypoints and motion stays in float32."""
        self._device = device
        for name in self.READERS:
            network = getattr(self, name)
            setattr(self, name, None if network is None else moved(network, device))
        renderer = {name: getattr(self, name) for name in self.RENDERER}
        # All of a renderer is in one precision. Rounded weights are read again: more precision cannot restore them.
        if is_rounded(renderer[self.RENDERER[-1]], dtype):
            renderer.update(self._load_renderer())
        for name, network in renderer.items():
            setattr(self, name, moved(network, device, dtype))

    def adjusted(self: Model, request: FamilyRequest) -> Model:
        """Return a model of the same networks that drives as requested; options left unset are on."""
        model = copy.copy(self)  # shares the networks
        model._request = replace(
            request, adapt_scale=request.adapt_scale is not False, stitch=request.stitch is not False
        )
        return model

    def render(self, source: SourceAppearance, driven: DrivenState) -> Tensor:
        """Warp the source's features to the driven keypoints and decode them."""
        if not isinstance(driven, DrivenKeypoints):
            raise ValueError("the driven state belongs to another family")
        return self._draw(source, driven.points.to(self._device))

    @abstractmethod
    def _draw(self, source: SourceAppearance, points: Tensor) -> Tensor:
        """Draw the source with keypoints (B, K, 3 or more): (B, 3, H, W)."""

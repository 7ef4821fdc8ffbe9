"""What every checkpoint family offers to the pipeline."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Protocol, get_args, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vid2vid_cli.codec.space import ExpressionBasis
from vid2vid_cli.face.crop import CropSpec
from vid2vid_cli.geometry.regions import Region
from vid2vid_cli.motion import Motion, PoseOverride


@dataclass(frozen=True)
class SourceAppearance:
    """Who: what a family keeps of a source, computed once.

    features: tensors by name, the family's own affair. canonical: (1, K, 3) keypoints of the source with head
    pose and expression taken out. motion: the source's own, of one frame.
    """

    features: Mapping[str, Tensor]
    canonical: Tensor
    motion: Motion


class ReenactmentModel(Protocol):
    """A loaded checkpoint. All methods are batched and keep no state between calls."""

    name: str
    source_crop: CropSpec
    driving_crop: CropSpec
    # Largest |yaw|, |pitch|, |roll| in degrees for which the pictures hold; past it the user is warned.
    pose_range_deg: tuple[float, float, float]

    @property
    def quick_dtypes(self) -> frozenset[torch.dtype]:
        """Give what the networks may compute in without a difference to the eye, of int8 and bfloat16.

        --dtype auto takes it where the processor is quicker in it; int8 is computed in only where it is named here.
        """
        ...

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move the networks. UsageError when the family has none that would compute in `dtype`."""
        ...

    def appearance(self, image: Tensor, landmarks: Tensor) -> SourceAppearance:
        """Compute what is needed of the source, once.

        image: (1, 3, H, W) in [0, 1], the source crop. landmarks: (1, 470, 3) in crop px, z away from the camera,
        see face.mesh.Face.
        """
        ...

    def motion(self, images: Tensor | None, landmarks: Tensor, size: tuple[int, int]) -> Motion:
        """Read the motion of driving crops.

        images: (B, 3, H, W) in [0, 1], or None for a family that only needs landmarks. landmarks: (B, 470, 3)
        in crop px. size: (height, width) of the crop.
        """
        ...

    def drive(
        self, source: SourceAppearance, driving: Motion, reference: Motion | None, pose: PoseOverride | None
    ) -> Tensor:
        """Return the source's keypoints (B, K, 3 or more) under the driving motion, in [-1, 1] of the crop.

        reference: the driving motion that counts as the source's own (relative motion); None: absolute motion.
        pose: head-pose angles that the user asks for.
        """
        ...

    def render(self, source: SourceAppearance, keypoints: Tensor) -> Tensor:
        """Render the source with keypoints as `drive` gives them. Returns images (B, 3, H, W) in [0, 1]."""
        ...

    def without_shape(self, motion: Motion) -> Tensor:
        """Return the expressions (B, K, 3) of a motion with the shape of the face taken out, as well as can be told."""
        ...

    def expression_mask(self, region: Region) -> Tensor:
        """Return how much each keypoint's expression belongs to a region: (K,), in [0, 1]."""
        ...


@dataclass(frozen=True)
class FamilyRequest:
    """What a user can ask of some families: how keypoints follow the driving, and what is corrected afterwards.

    None, and False for the last two, leave it to the family. adapt_scale: scale movements by the size of the face.
    stitch: keep the shoulders in place. eyes, lips: how far they are open, height over width.
    retarget_eyes, retarget_lips: open them as far as the driving's.
    """

    adapt_scale: bool | None = None
    stitch: bool | None = None
    eyes: float | None = None
    lips: float | None = None
    retarget_eyes: bool = False
    retarget_lips: bool = False

    def named(self) -> set[str]:
        """Return the names of what is asked for."""
        return {wish.name for wish in fields(self) if getattr(self, wish.name) != wish.default}


@runtime_checkable
class Adjustable(Protocol):
    """A model that can be asked for more than any other."""

    def adjusted(self, request: FamilyRequest) -> ReenactmentModel:
        """Return a model of the same networks that drives as wished."""
        ...


@runtime_checkable
class HasBasis(Protocol):
    """A model whose expressions lie in a linear space of few dimensions; None where that is not known."""

    basis: ExpressionBasis | None


class Follower(Protocol):
    """Compares the frames of one driving with its first one."""

    def compare(self, motion: Motion, picture: NDArray[np.uint8]) -> Tensor:
        """Return what the motion of a frame misses, its `extra`: (1, P, 3).

        picture: (S, S), gray, of the same part of the frame as the first one. motion: of one frame, as it reads there.
        """
        ...


@runtime_checkable
class Follows(Protocol):
    """A model that learns more of a driving's motion by comparing its frames than by looking at each alone.

    follow_crop: what it wants to see of the frames, square and of fixed size, where the first frame shows the face; not
    turned against its driving crop.
    """

    follow_crop: CropSpec

    def follow(self, picture: NDArray[np.uint8], landmarks: Tensor) -> Follower | None:
        """Begin with the first frame; None where the checkpoint has no use for it.

        picture: (S, S), gray, what follow_crop shows of it. landmarks: (1, 470, 3) in its px.
        """
        ...


@runtime_checkable
class Restorable(Protocol):
    """A model whose appearances hold more than tensors: all but what its networks computed is built anew.

    costly_features: the names of the features that its networks compute.
    """

    costly_features: frozenset[str]

    def restored(self, features: Mapping[str, Tensor], image: Tensor, landmarks: Tensor) -> SourceAppearance:
        """Return what `appearance` returned for the same picture, whose costly features are given."""
        ...


@dataclass(frozen=True)
class Family:
    """A kind of checkpoint: how its tensors are recognised and built into a model.

    detect: tensors by name -> whether they are of this family. build: tensors by name -> model.
    has_head_pose: whether its motion knows yaw, pitch and roll. regions: what may move alone. wishes: which of
    the names of `FamilyRequest` it grants; its models are `Adjustable` where there are any.
    """

    name: str
    detect: Callable[[Mapping[str, Tensor]], bool]
    build: Callable[[Mapping[str, Tensor]], ReenactmentModel]
    has_head_pose: bool = True
    regions: frozenset[Region] = frozenset(get_args(Region))
    request: frozenset[str] = frozenset()

"""What every checkpoint family offers to the pipeline."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Literal, Protocol, get_args, runtime_checkable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vid2vid_cli.codec.space import ExpressionBasis
from vid2vid_cli.face.crop import CropSpec, FaceCrop
from vid2vid_cli.geometry.affine import Matrix
from vid2vid_cli.geometry.regions import Mouth, Region
from vid2vid_cli.geometry.turning import Turning
from vid2vid_cli.motion import Motion, PoseOverride


@dataclass(frozen=True)
class SourceAppearance:
    """What a family keeps of a source, computed once.

    features: tensors by name; only the family knows what they mean. canonical: (1, K, 3), the source's keypoints
    without head pose and expression. motion: the source's own, of one frame. rest: the motion that a driving's is added
    to, where that is not the source's own, see KnowsRest. turning: how far its head must be turned to look turned as
    asked, see models.calibrated_turns; None where nobody measured it. A family that needs more than tensors of a source
    returns a subclass; it must be quick to compute, since no cache keeps it.
    """

    features: Mapping[str, Tensor]
    canonical: Tensor
    motion: Motion
    rest: Motion | None = field(default=None, kw_only=True)
    turning: Turning | None = field(default=None, kw_only=True)


class DrivenState(Protocol):
    """A source under the motion of B frames, as a family's `drive` returns it and its `render` takes it.

    Only the family knows what it holds: the pipeline asks whether it is finite, and hands it on.
    """

    def is_finite(self) -> bool:
        """Whether all numbers are finite."""
        ...


def are_finite(*tensors: Tensor) -> bool:
    """Say whether all numbers of some tensors are finite."""
    # A sum is finite only if all of it is, and takes a fraction of the time of looking at each number.
    return all(bool(torch.isfinite(tensor.sum(dtype=torch.float32))) for tensor in tensors)


class ReenactmentModel(Protocol):
    """A loaded checkpoint. All methods are batched and keep no state between calls."""

    name: str
    # How faces are cut for it, as the networks saw them in training.
    source_crop: CropSpec
    driving_crop: CropSpec
    # Largest |yaw|, |pitch|, |roll| in degrees at which pictures still look right; the user is warned past it.
    pose_range_deg: tuple[float, float, float]
    # With which regions `extra` moves: with the pose alone (it is what moves beside the head), or with all.
    surroundings_move_with: Literal["pose", "all"]

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move the networks. UsageError when the family has none that can compute in `dtype`."""
        ...

    def appearance(self, image: Tensor, landmarks: Tensor) -> SourceAppearance:
        """Compute once what rendering needs of the source.

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
    ) -> DrivenState:
        """Put the source under the driving motion of B frames.

        reference: the driving motion that counts as the source's own (relative motion); None: absolute motion.
        pose: head-pose angles that the user asks for.
        """
        ...

    def render(self, source: SourceAppearance, driven: DrivenState) -> Tensor:
        """Render the source as `drive` has put it. Returns images (B, 3, H, W) in [0, 1].

        ValueError for a source or a state of another family.
        """
        ...

    def without_shape(self, motion: Motion) -> Tensor:
        """Return the expressions (B, K, 3) of a motion, as far as they can be separated from the shape of the face."""
        ...

    def expression_mask(self, region: Region) -> Tensor:
        """Return how much each keypoint's expression belongs to a region: (K,), in [0, 1]."""
        ...


@dataclass(frozen=True)
class FamilyRequest:
    """What a user can ask of some families: how keypoints follow the driving, and what is corrected afterwards.

    None, and False for the last two, leave the choice to the family. adapt_scale: scale movements by the size of the
    face. stitch: keep the shoulders in place. eyes, lips: how far to open them, height over width.
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
        return {field.name for field in fields(self) if getattr(self, field.name) != field.default}


@runtime_checkable
class Adjustable(Protocol):
    """A model that takes a `FamilyRequest`."""

    def adjusted(self, request: FamilyRequest) -> ReenactmentModel:
        """Return a model of the same networks that drives as requested."""
        ...


@runtime_checkable
class HasBasis(Protocol):
    """A model whose expressions lie in a linear space of few dimensions. basis: None where it is not known."""

    basis: ExpressionBasis | None


@runtime_checkable
class SendsBeside(Protocol):
    """A model whose motion's `extra` can be sent in a linear basis, beside the other numbers."""

    def beside_basis(self) -> ExpressionBasis:
        """Return the basis, which is the same for all checkpoints of the family."""
        ...


@runtime_checkable
class ShowsDriving(Protocol):
    """A model that shows a part of the driving's own pictures, such as what lies between its lips.

    What it takes is its own affair. It is never saved or sent: motion files and calls hold no picture of the driving.
    """

    def look(
        self, frame: NDArray[np.uint8], crop: FaceCrop, motion: Motion, *, mouth: bool = True, wrinkles: float = 0.0
    ) -> object:
        """Take what it will show out of a driving frame (H, W, 3).

        crop: the driving crop. motion: of this frame, as `motion` read it in that crop. mouth: whether what lies
        between the lips will be shown. wrinkles: how much of the change of light on the skin will be, in [0, 1].
        """
        ...

    def look_at_rest(self, looks: Sequence[object]) -> object | None:
        """Return what looks at frames of a face at rest have in common; None if they tell too little."""
        ...

    def with_look(self, driven: DrivenState, look: object, rest: object | None = None) -> DrivenState:
        """Return what `drive` gave, to be rendered with a look. rest: of `look_at_rest`; None where it is unknown."""
        ...


@dataclass(frozen=True)
class Rest:
    """A person's face at rest.

    motion: of one frame; only its expression counts. is_seen: whether the frames it was estimated from ever showed it.
    """

    motion: Motion
    is_seen: bool


@runtime_checkable
class FillsMouth(Protocol):
    """A model that fills an opening mouth, and lets the user choose with what."""

    def with_mouth(
        self, source: SourceAppearance, mouth: Mouth, like: SourceAppearance | None = None
    ) -> SourceAppearance:
        """Return a source whose opening mouth is filled with what was asked for.

        like: an earlier frame of the same video, whose teeth it keeps where they are not its own.
        """
        ...


@dataclass(frozen=True)
class View:
    """Another picture of a source's person, from which a family may take what the source itself does not show.

    image: (1, 3, H, W) in [0, 1], cut as the family's `source_crop`. landmarks: (1, 470, 3) in px of that crop, see
    `ReenactmentModel.appearance`. sharpness: how fine its detail is, larger is finer; comparable among views of one
    person only. region: (1, 1, H, W) in [0, 1], where the picture is the person's; None: everywhere. Elsewhere it only
    looks like it: a call sends a mouth, and what lies around it was rendered. place: (2, 3), maps px of this crop to
    those of the source's crop, where both were cut from frames of one size; None: nobody knows where.
    """

    image: Tensor
    landmarks: Tensor
    sharpness: float = 1.0
    region: Tensor | None = None
    place: Matrix | None = None


@runtime_checkable
class UsesViews(Protocol):
    """A model that renders each part of a person from the picture that shows it best."""

    def with_views(
        self, source: SourceAppearance, views: Sequence[View], like: SourceAppearance | None = None
    ) -> SourceAppearance:
        """Return a source that also has what other pictures of the same person show. Without views it is unchanged.

        like: another frame of the source's clip, with the same views: what is known of them is not found out again.
        """
        ...


@runtime_checkable
class TexturesBackground(Protocol):
    """A model that lays a source's person over a background which it fills where the person hides it."""

    def with_texture(self, source: SourceAppearance) -> SourceAppearance:
        """Return a source whose filled background has the texture of the rest. It takes longer than a film's frame."""
        ...


@runtime_checkable
class KnowsRest(Protocol):
    """A model that knows a face at rest: eyes open, lips closed. Rest is a property of a person, not of a frame."""

    def unrest(self, motions: Motion) -> Tensor:
        """Return how far frames of one person are from that person's rest: (N,), 0 at rest, 1 plainly not at rest."""
        ...

    def rest(self, motions: Motion) -> Rest:
        """Estimate one person's rest from N frames."""
        ...

    def rested(self, source: SourceAppearance, reference: Motion, shown: Motion | None) -> Motion:
        """Return the motion of a source at rest, in its own head pose, for `SourceAppearance.rest`.

        reference: the driving where the source shows its rest. shown: the source's own rest, of one frame, where a
        video tells it; None: what the source shows.
        """
        ...

    def shape(self, motion: Motion) -> Tensor:
        """Return what of expressions (B, K, 3) is the shape of the face, but for what says whether it is at rest."""
        ...


def shape_of(model: ReenactmentModel, motion: Motion) -> Tensor:
    """Return the part of expressions (B, K, 3) that belongs to the person and not to the movement, to be left out."""
    return model.shape(motion) if isinstance(model, KnowsRest) else motion.expression - model.without_shape(motion)


@dataclass(frozen=True)
class Family:
    """A kind of checkpoint: how its tensors are recognised and built into a model.

    detect: tensors by name -> whether they are of this family. build: tensors by name -> model.
    has_head_pose: whether its motion has yaw, pitch and roll. names_expressions: whether its models are
    named_expressions.NamesExpressions. regions: what may move alone. request: which fields of
    `FamilyRequest` it takes; its models are `Adjustable` if there are any. is_embedded: whether its checkpoint comes
    with the package.
    """

    name: str
    detect: Callable[[Mapping[str, Tensor]], bool]
    build: Callable[[Mapping[str, Tensor]], ReenactmentModel]
    has_head_pose: bool = True
    names_expressions: bool = False
    # All that the command line knows, unless a family cannot tell them apart.
    regions: frozenset[Region] = frozenset(get_args(Region))
    request: frozenset[str] = frozenset()
    is_embedded: bool = False

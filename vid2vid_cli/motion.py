"""Motion: pose and expression from frame to frame, without identity; how they are blended, turned and restricted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vid2vid_cli.geometry.rotation import interpolate_rotation, pose_from_rotation, rotation_from_pose


@dataclass(frozen=True)
class Motion:
    """Head pose and expression of B frames.

    rotation: (B, 3, 3), from the canonical frame to the camera (x right, y down, z away).
    translation: (B, 3), in [-1, 1] of the crop. scale: (B, 1), crop units per canonical unit.
    expression: (B, K, 3), offsets of the K keypoints in the canonical frame. Its constant part may be the shape of
    the face, which differences and saved motions are free of. A family may give these fields another meaning, which
    its model states.
    extra: (B, ...), what else the family needs of a frame; None if it needs nothing else.
    """

    rotation: Tensor
    translation: Tensor
    scale: Tensor
    expression: Tensor
    extra: Tensor | None = None

    def __len__(self) -> int:
        return self.rotation.shape[0]

    def __getitem__(self, frames: int | slice) -> Motion:
        # One frame stays a batch of one; -1 needs an open end, as slice(-1, 0) would be empty.
        part = slice(frames, frames + 1 or None) if isinstance(frames, int) else frames
        return Motion(*(tensor[part] for tensor in self.tensors()))

    def tensors(self) -> tuple[Tensor, ...]:
        """Return the fields in order, `extra` only if it is set."""
        always = (self.rotation, self.translation, self.scale, self.expression)
        return always if self.extra is None else (*always, self.extra)

    def to(self, device: torch.device | str) -> Motion:
        """Return the same motion on another device."""
        return Motion(*(tensor.to(device) for tensor in self.tensors()))

    def repeat(self, count: int) -> Motion:
        """Return this motion of one frame `count` times."""
        # A view of the same numbers: nothing is copied.
        return Motion(*(tensor.expand(count, *tensor.shape[1:]) for tensor in self.tensors()))


def join_motions(motions: Sequence[Motion]) -> Motion:
    """Join motions into one, their frames in order."""
    return Motion(*(torch.cat(field) for field in zip(*(m.tensors() for m in motions), strict=True)))


@dataclass(frozen=True)
class PoseOverride:
    """Head-pose angles that the user asks for, in the convention of geometry.rotation.

    yaw, pitch, roll: (B,) radians, or None to leave that axis as driven.
    absolute: whether the angles replace the driven ones; otherwise they are added to them.
    """

    yaw: Tensor | None = None
    pitch: Tensor | None = None
    roll: Tensor | None = None
    absolute: bool = False

    def apply(self, rotation: Tensor) -> Tensor:
        """Return the rotation (B, 3, 3) with the angles set or added."""
        angles = []
        for driven, requested in zip(pose_from_rotation(rotation), (self.yaw, self.pitch, self.roll), strict=True):
            if requested is None:
                angles.append(driven)
            else:
                angles.append(requested.to(driven) + (torch.zeros_like(driven) if self.absolute else driven))
        return rotation_from_pose(*angles)


def blend_motion(base: Motion, moved: Motion, strength: float) -> Motion:
    """Return a motion between `base` (strength 0) and `moved` (strength 1); more than 1 exaggerates."""
    if strength == 1.0:  # exactly `moved`, without the rounding of the way there and back
        return moved
    base = base.repeat(len(moved)) if len(base) == 1 else base
    return Motion(
        rotation=interpolate_rotation(base.rotation, moved.rotation, strength),
        translation=base.translation + strength * (moved.translation - base.translation),
        scale=base.scale * (moved.scale / base.scale) ** strength,  # a ratio: blended geometrically, so never negative
        expression=base.expression + strength * (moved.expression - base.expression),
        extra=_blend_extra(base.extra, moved.extra, strength),
    )


def _blend_extra(base: Tensor | None, moved: Tensor | None, strength: float) -> Tensor | None:
    if base is None or moved is None:
        return moved
    return base + strength * (moved - base)


def restrict_motion(base: Motion, moved: Motion, *, pose: bool, extra: bool, expression_mask: Tensor) -> Motion:
    """Return `moved` where a region may move and `base` elsewhere.

    base: of one frame, or of as many as `moved`. pose, extra: whether the head pose, and `extra`, may move.
    expression_mask: (K,), in [0, 1], how much each keypoint's expression may move.
    """
    base = base.repeat(len(moved)) if len(base) == 1 else base
    mask = expression_mask[None, :, None].to(moved.expression)  # (1, K, 1), against (B, K, 3)
    expression = base.expression + mask * (moved.expression - base.expression)
    rigid = moved if pose else base
    return replace(rigid, expression=expression, extra=(moved if extra else base).extra)

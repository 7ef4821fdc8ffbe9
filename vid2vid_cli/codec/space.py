"""The numbers of a frame's motion in a stream: head pose, then expression, then the family's extra."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vid2vid_cli.errors import WeightsError
from vid2vid_cli.geometry.rotation import pose_from_rotation, rotation_from_pose
from vid2vid_cli.motion import Motion

Numbers = NDArray[np.float64]
BASIS_PREFIX = "basis."
BESIDE_PREFIX = "beside."
BASIS_ID_BYTES = 8
POSE_COUNT = 7
PX_AT_256 = 128.0
"""Pixels per crop unit in a crop of 256 px."""

# For a family without statistics: its crop is [-1, 1], and the head fills half of it. Yaw, pitch, roll (radians),
# x, y, z, ln(scale).
_EFFECT = PX_AT_256 * np.array([0.45, 0.45, 0.35, 1.0, 1.0, 1 / 6, 0.35])
_EXTRA_EFFECT = PX_AT_256 / 8
_DEVIATION_PX, _SPEED_PX = 4.0, 0.3


@dataclass(frozen=True)
class ExpressionBasis:
    """A linear basis of expressions or of a motion's extra, and statistics of the numbers in a stream that uses it.

    Of a basis of the extra, these are statistics of its C numbers alone.

    components: (C, K, 3), offsets in the canonical frame for a coefficient of 1. weights: (K, 3), how much an error of
    each point counts; the components are orthonormal under them. effect: (7 + C,), by how many px at 256 a step of 1 of
    each number moves the points. mean, deviation, speed: (7 + C,), of each number: its mean, its standard deviation
    within a clip, its mean change from frame to frame.
    """

    components: Tensor
    weights: Tensor
    effect: Tensor | None = None
    mean: Tensor | None = None
    deviation: Tensor | None = None
    speed: Tensor | None = None

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> ExpressionBasis | None:
        """Read the tensors `basis.*` of a checkpoint; None if it has none. WeightsError if some are missing."""
        if BASIS_PREFIX + "components" not in state:
            return None
        try:
            return cls(**{name: state[BASIS_PREFIX + name].float() for name in cls.__dataclass_fields__})
        except KeyError as error:
            raise WeightsError(f"the checkpoint has no tensor {error}; make its basis again") from error

    def coefficients(self, expression: Tensor) -> Tensor:
        """Fit coefficients (B, C) to expressions (B, K, 3) by weighted least squares."""
        # A projection is enough, since the components are orthonormal: (B, 3 K) @ (3 K, C).
        return expression.flatten(1) @ (self.components * self.weights).flatten(1).T

    def known_effect(self) -> Numbers:
        """Return `effect` (..., in double precision); ValueError where it is not known."""
        if self.effect is None:
            raise ValueError("a basis without statistics")
        return self.effect.double().numpy()

    def usual(self) -> tuple[Numbers, Numbers]:
        """Return how far numbers usually are from 0, and change from frame to frame; ValueError if it is not known."""
        if self.mean is None or self.deviation is None or self.speed is None:
            raise ValueError("a basis without statistics")
        away = self.mean.double().square() + self.deviation.double().square()
        return away.sqrt().numpy(), self.speed.double().numpy()

    def expression(self, coefficients: Tensor) -> Tensor:
        """Return the expressions (B, K, 3) of coefficients (B, C)."""
        return (coefficients @ self.components.flatten(1)).reshape(len(coefficients), *self.weights.shape)

    @cached_property
    def identity(self) -> bytes:
        """Eight bytes that identify this basis: the start of the sha256 of its components and weights."""
        digest = hashlib.sha256()
        for tensor in (self.components, self.weights):
            digest.update(tensor.contiguous().numpy().astype("<f4").tobytes())
        return digest.digest()[:BASIS_ID_BYTES]


def pose_numbers(motion: Motion) -> Tensor:
    """Return yaw, pitch, roll (radians), translation and the natural logarithm of the scale: (B, 7)."""
    angles = torch.stack(pose_from_rotation(motion.rotation), 1)
    return torch.cat([angles, motion.translation, motion.scale.clamp_min(1e-6).log()], 1)


@dataclass(frozen=True)
class MotionSpace:
    """The order and meaning of the numbers of one family.

    keypoints: K. basis: of the family's expressions; None: the offsets themselves are sent. extra_shape: of one
    frame's extra; None if the family has none, or if it is sent beside the others. beside: the basis in which it is
    sent then, E numbers after the D others; None if it is not. shape: (1, K, 3), what is added to the expressions that
    are read: that of the sender's face, which none of them holds; None where it is not known.
    """

    keypoints: int
    basis: ExpressionBasis | None = None
    extra_shape: tuple[int, ...] | None = None
    beside: ExpressionBasis | None = None
    shape: Tensor | None = None

    @property
    def expression_count(self) -> int:
        """How many numbers hold the expression."""
        return 3 * self.keypoints if self.basis is None else len(self.basis.components)

    @property
    def count(self) -> int:
        """How many numbers hold a frame: 7 of pose, those of expression, those of extra."""
        return POSE_COUNT + self.expression_count + (math.prod(self.extra_shape) if self.extra_shape else 0)

    @property
    def basis_id(self) -> bytes:
        """The identity of the basis, zeros if there is none."""
        return bytes(BASIS_ID_BYTES) if self.basis is None else self.basis.identity

    def numbers(self, motion: Motion) -> Numbers:
        """Return the numbers (B, D) of a motion, or (B, D + E) where some are sent beside them."""
        expression = motion.expression.flatten(1) if self.basis is None else self.basis.coefficients(motion.expression)
        parts = [pose_numbers(motion), expression]
        count = self.count
        if self.beside is not None:
            known = len(self.beside.weights)  # what comes after it is not sent
            extra = self.beside.weights[None] * 0 if motion.extra is None else motion.extra[:, :known]
            parts.append(self.beside.coefficients(extra).expand(len(motion), -1))
            count += len(self.beside.components)
        elif motion.extra is not None:
            parts.append(motion.extra.flatten(1))
        # (B, 7 + expression + extra or beside), in double precision: quantising must not depend on rounding.
        numbers = torch.cat(parts, 1).detach().cpu().double().numpy()
        if numbers.shape[1] != count:
            raise ValueError(f"a motion of {numbers.shape[1]} numbers in a space of {count}")
        return numbers

    def motion(self, numbers: Numbers) -> Motion:
        """Return the motion of numbers (B, D or more): the inverse of `numbers`, but for what a basis cannot express.

        Numbers beside the D are left out where their basis is not known.
        """
        parts = torch.from_numpy(numbers)
        pose, expression = parts[:, :POSE_COUNT], parts[:, POSE_COUNT : POSE_COUNT + self.expression_count].float()
        shaped = expression.reshape(-1, self.keypoints, 3) if self.basis is None else self.basis.expression(expression)
        shaped = shaped if self.shape is None else shaped + self.shape
        extra = None
        if self.extra_shape:
            extra = parts[:, POSE_COUNT + self.expression_count : self.count].float().reshape(-1, *self.extra_shape)
        elif self.beside is not None and parts.shape[1] == self.count + len(self.beside.components):
            extra = self.beside.expression(parts[:, self.count :].float())
        rotation = rotation_from_pose(*pose[:, :3].unbind(1)).float()
        # Clamped, since a damaged or hostile stream may hold any number.
        return Motion(rotation, pose[:, 3:6].float(), pose[:, 6:].clamp(-10, 10).exp().float(), shaped, extra)

    def effect(self) -> Numbers:
        """Return by how many px at 256 a step of 1 of each number moves the points: (D,)."""
        if self.basis is not None and self.basis.effect is not None:
            return self.basis.known_effect()
        rest = np.full(self.count - POSE_COUNT, PX_AT_256)
        rest[self.expression_count :] = _EXTRA_EFFECT
        return np.concatenate([_EFFECT, rest])

    def usual(self) -> tuple[Numbers, Numbers]:
        """Return how far each number usually is from 0, and how much it changes from frame to frame: (D,), (D,)."""
        if self.basis is not None and self.basis.speed is not None:
            return self.basis.usual()
        return _DEVIATION_PX / self.effect(), _SPEED_PX / self.effect()

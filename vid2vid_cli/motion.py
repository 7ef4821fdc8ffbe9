"""Motion: what moves from frame to frame, apart from who moves; how it is saved, smoothed and restricted."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from vid2vid_cli.errors import MotionFileError, OutputExistsError
from vid2vid_cli.geometry.rotation import interpolate_rotation, pose_from_rotation, rotation_from_pose
from vid2vid_cli.process.scratch import Scratch

SCHEMA_VERSION = 1
MOST_HEADER_BYTES = 1 << 27


@dataclass(frozen=True)
class Motion:
    """Head pose and expression of B frames.

    rotation: (B, 3, 3), from the canonical frame to the camera (x right, y down, z away).
    translation: (B, 3), in [-1, 1] of the crop. scale: (B, 1), crop units per canonical unit.
    expression: (B, K, 3), offsets of the K keypoints in the canonical frame. What is constant in it may be the shape
    of the face: differences are free of it, and so is a saved motion. A family may use these fields in another sense
    that its model states.
    extra: (B, ...), what else a family needs of a frame, None where it needs nothing else.
    """

    rotation: Tensor
    translation: Tensor
    scale: Tensor
    expression: Tensor
    extra: Tensor | None = None

    def __len__(self) -> int:
        return self.rotation.shape[0]

    def __getitem__(self, frames: int | slice) -> Motion:
        part = slice(frames, frames + 1 or None) if isinstance(frames, int) else frames
        return Motion(*(tensor[part] for tensor in self.tensors()))

    def tensors(self) -> tuple[Tensor, ...]:
        """Return the fields in order, the last one only where there is one."""
        always = (self.rotation, self.translation, self.scale, self.expression)
        return always if self.extra is None else (*always, self.extra)

    def to(self, device: torch.device | str) -> Motion:
        """Return the same motion on another device."""
        return Motion(*(tensor.to(device) for tensor in self.tensors()))

    def repeat(self, count: int) -> Motion:
        """Return this motion (of one frame) `count` times."""
        return Motion(*(tensor.expand(count, *tensor.shape[1:]) for tensor in self.tensors()))


def join_motions(motions: Sequence[Motion]) -> Motion:
    """Return the frames of all motions, one after the other."""
    return Motion(*(torch.cat(field) for field in zip(*(m.tensors() for m in motions), strict=True)))


@dataclass(frozen=True)
class PoseOverride:
    """Head-pose angles that the user asks for, in the convention of geometry.rotation.

    yaw, pitch, roll: (B,) radians, or None to leave that axis as it is driven.
    absolute: the angles replace the driven ones; otherwise they are added.
    """

    yaw: Tensor | None = None
    pitch: Tensor | None = None
    roll: Tensor | None = None
    absolute: bool = False

    def apply(self, rotation: Tensor) -> Tensor:
        """Return the rotation (B, 3, 3) with the angles set or added."""
        angles = []
        for driven, asked in zip(pose_from_rotation(rotation), (self.yaw, self.pitch, self.roll), strict=True):
            if asked is None:
                angles.append(driven)
            else:
                angles.append(asked.to(driven) + (torch.zeros_like(driven) if self.absolute else driven))
        return rotation_from_pose(*angles)


def blend_motion(base: Motion, moved: Motion, strength: float) -> Motion:
    """Return the motion a part of the way from base to moved: 0 is base, 1 is moved, more exaggerates."""
    if strength == 1.0:
        return moved
    base = base.repeat(len(moved)) if len(base) == 1 else base
    return Motion(
        rotation=interpolate_rotation(base.rotation, moved.rotation, strength),
        translation=base.translation + strength * (moved.translation - base.translation),
        scale=base.scale * (moved.scale / base.scale) ** strength,
        expression=base.expression + strength * (moved.expression - base.expression),
        extra=_blend_extra(base.extra, moved.extra, strength),
    )


def _blend_extra(base: Tensor | None, moved: Tensor | None, strength: float) -> Tensor | None:
    if base is None or moved is None:
        return moved
    return base + strength * (moved - base)


def restrict_motion(base: Motion, moved: Motion, *, pose: bool, extra: bool, expression_mask: Tensor) -> Motion:
    """Return `moved` where a region may move and `base` elsewhere.

    base: of one frame or as many as moved. pose, extra: whether head pose and what `extra` says move.
    expression_mask: (K,), in [0, 1], how much each keypoint's expression moves.
    """
    base = base.repeat(len(moved)) if len(base) == 1 else base
    mask = expression_mask[None, :, None].to(moved.expression)
    expression = base.expression + mask * (moved.expression - base.expression)
    rigid = moved if pose else base
    return replace(rigid, expression=expression, extra=(moved if extra else base).extra)


class OneEuroFilter:
    """Smooth a stream of tensors: strong at rest, weak in fast movement (Casiez, Roussel, Vogel, CHI 2012).

    strength: 0 lets everything through; 1 is a firm smoothing of a 25 frames/s clip. fps: frames a second.
    """

    def __init__(self, strength: float, fps: float, *, speed_weight: float = 8.0) -> None:
        if strength < 0 or fps <= 0:
            raise ValueError("strength must not be negative and fps must be positive")
        self._cutoff_hz = 1.2 / strength if strength else float("inf")
        self._speed_weight = speed_weight
        self._fps = fps
        self._value: Tensor | None = None
        self._speed: Tensor | None = None

    def __call__(self, value: Tensor) -> Tensor:
        """Return the smoothed value of the next frame; any shape, the same each time."""
        if self._value is None or self._speed is None:
            self._value, self._speed = value, torch.zeros_like(value)
            return value
        if self._cutoff_hz == float("inf"):
            return value
        speed = (value - self._value) * self._fps
        self._speed = self._speed + self._gain(torch.tensor(1.0)) * (speed - self._speed)
        cutoff_hz = self._cutoff_hz + self._speed_weight * self._speed.abs()
        self._value = self._value + self._gain(cutoff_hz) * (value - self._value)
        return self._value

    def _gain(self, cutoff_hz: Tensor) -> Tensor:
        return 1 / (1 + self._fps / (2 * torch.pi * cutoff_hz))


class MotionSmoother:
    """Smooth a stream of motions frame by frame with one filter a field; rotations stay rotations."""

    def __init__(self, strength: float, fps: float) -> None:
        self._filters = [OneEuroFilter(strength, fps) for _ in Motion.__dataclass_fields__]

    def __call__(self, motion: Motion) -> Motion:
        """Return the smoothed motion of the next B frames."""
        frames = [self._one(motion[i]) for i in range(len(motion))]
        return join_motions(frames)

    def _one(self, motion: Motion) -> Motion:
        rotation, *others = (smooth(tensor) for smooth, tensor in zip(self._filters, motion.tensors(), strict=False))
        u, _, vh = torch.linalg.svd(rotation)  # the nearest rotation of an average of rotations
        return Motion(u @ vh, *others)


@dataclass(frozen=True)
class MotionFile:
    """A whole clip's motion with what is needed to replay it.

    found: (B,) bool, False where no face was seen and the last motion is held.
    """

    motion: Motion
    found: Tensor
    fps: Fraction
    family: str


def save_motion(path: Path, content: MotionFile, *, force: bool = False) -> None:
    """Write a motion file (safetensors), whole or not at all."""
    if path.exists() and not force:
        raise OutputExistsError(f"{path}: exists already; choose another name or add --force")
    names = ("rotation", "translation", "scale", "expression", "extra")
    tensors = {name: t.contiguous().cpu().float() for name, t in zip(names, content.motion.tensors(), strict=False)}
    tensors["found"] = content.found.cpu()
    header = {
        "vid2vid_motion": str(SCHEMA_VERSION),
        "family": content.family,
        "fps": f"{content.fps.numerator}/{content.fps.denominator}",
        "convention": json.dumps({"axes": "x right, y down, z away", "expression": "canonical frame"}),
    }
    try:
        with Scratch(path) as scratch:
            partial = scratch.file("motion")
            partial.write_bytes(save(tensors, metadata=header))
            partial.replace(path)
    except (OSError, SafetensorError) as error:
        words = error.strerror if isinstance(error, OSError) else str(error)
        raise MotionFileError(f"{path}: cannot be written: {words}; choose another folder with -o") from error


def is_motion_file(path: Path) -> bool:
    """Say whether a file looks like a motion file: in safetensors format, however damaged."""
    try:
        with path.open("rb") as file:
            head = file.read(9)
    except OSError:
        return False
    return head[8:] == b"{" and int.from_bytes(head[:8], "little") < MOST_HEADER_BYTES


def load_motion(path: Path) -> MotionFile:
    """Read a motion file. MotionFileError names what is wrong with it."""
    try:
        with safe_open(path, "pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        raise MotionFileError(f"{path}: not a readable motion file ({error})") from error
    version = header.get("vid2vid_motion", "")
    if not (version.isascii() and version.isdecimal()):
        raise MotionFileError(
            f"{path}: a safetensors file, but not a motion file of vid2vid; make one with vid2vid motion"
        )
    if int(version) > SCHEMA_VERSION:
        raise MotionFileError(f"{path}: motion schema {version} is newer than {SCHEMA_VERSION}; update vid2vid")
    return _check_motion(path, header, tensors)


def _check_motion(path: Path, header: dict[str, str], tensors: dict[str, Tensor]) -> MotionFile:
    """Build the MotionFile when names, shapes, values and fps are right."""
    shapes = {"rotation": (3, 3), "translation": (3,), "scale": (1,)}
    count = tensors["rotation"].shape[0] if "rotation" in tensors and tensors["rotation"].dim() else 0
    complete = {*shapes, "expression", "found"} <= tensors.keys() and count > 0
    if not complete or any(tensors[name].shape != (count, *shape) for name, shape in shapes.items()):
        raise MotionFileError(f"{path}: damaged motion file (fields missing or of the wrong shape); make it again")
    expression, found = tensors["expression"], tensors["found"]
    if expression.dim() != 3 or expression.shape[::2] != (count, 3) or found.shape != (count,):
        raise MotionFileError(f"{path}: damaged motion file (expression of the wrong shape); make it again")
    extra = tensors["extra"].float() if "extra" in tensors else None
    if extra is not None and (not extra.dim() or len(extra) != count):
        raise MotionFileError(f"{path}: damaged motion file (extra of the wrong shape); make it again")
    names = ("rotation", "translation", "scale", "expression")
    rotation, translation, scale, expression = (tensors[name].float() for name in names)
    motion = Motion(rotation, translation, scale, expression, extra)
    if not all(torch.isfinite(tensor).all() for tensor in motion.tensors()):
        raise MotionFileError(f"{path}: damaged motion file (numbers that are not finite); make it again")
    try:
        fps = Fraction(header.get("fps", ""))
    except (ValueError, ZeroDivisionError) as error:
        raise MotionFileError(f"{path}: damaged motion file (frame rate {header.get('fps')!r})") from error
    if fps <= 0:
        raise MotionFileError(f"{path}: damaged motion file (frame rate {fps})")
    return MotionFile(motion, found.bool(), fps, header.get("family", ""))

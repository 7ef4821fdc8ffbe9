"""Motion files: a clip's motion in safetensors format, with what is needed to replay it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from vid2vid_cli.errors import MotionFileError
from vid2vid_cli.motion import Motion
from vid2vid_cli.person_mark import is_person_file

SCHEMA_VERSION = 2  # in 1, compact's `extra` had no body, see motion_layout.py
# A safetensors file begins with the length of its header; anything that claims more is another kind of file.
MAX_HEADER_BYTES = 1 << 27
DENSE = 256
"""Numbers of a frame from which on they are offsets of a mesh, and not a few keypoints."""
FIELDS = ("rotation", "translation", "scale", "expression")


@dataclass(frozen=True)
class MotionFile:
    """A whole clip's motion with what is needed to replay it.

    found: (B,) bool, False where no face was seen and the last motion is held. fps: exact frames per second.
    family: the checkpoint family whose keypoints these are.
    """

    motion: Motion
    found: Tensor
    fps: Fraction
    family: str


def encode_motion(content: MotionFile) -> bytes:
    """Return the bytes of a motion file."""
    # Not strict: `extra` is the one field that a motion may lack.
    tensors = dict(zip((*FIELDS, "extra"), content.motion.tensors(), strict=False))
    tensors = {name: _stored(tensor.contiguous().cpu().float()) for name, tensor in tensors.items()}
    tensors["found"] = content.found.cpu()
    header = {
        "vid2vid_motion": str(SCHEMA_VERSION),
        "family": content.family,
        "fps": f"{content.fps.numerator}/{content.fps.denominator}",
        "convention": json.dumps({"axes": "x right, y down, z away", "expression": "canonical frame"}),
    }
    return save(tensors, metadata=header)


def _stored(tensor: Tensor) -> Tensor:
    """Return a tensor (B, ...) as it is stored: float16 where a frame has hundreds of numbers, which are small offsets.

    It rounds those of a dense mesh by less than a hundredth of a pixel, and halves the file.
    """
    rounded = tensor.half() if tensor[:1].numel() >= DENSE else tensor
    return rounded if rounded.isfinite().all() else tensor


def is_motion_file(path: Path) -> bool:
    """Say whether a file looks like a motion file: it is in safetensors format, intact or not, and no person."""
    try:
        with path.open("rb") as file:
            head = file.read(9)
    except OSError:
        return False
    is_safetensors = head[8:] == b"{" and int.from_bytes(head[:8], "little") < MAX_HEADER_BYTES
    return is_safetensors and not is_person_file(path)


def load_motion(path: Path) -> MotionFile:
    """Read a motion file. MotionFileError names what is wrong with it."""
    try:
        with safe_open(path, "pt") as file:
            header = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (OSError, SafetensorError, RuntimeError) as error:  # torch cannot hold every shape that a header may name
        raise MotionFileError(f"{path}: not a readable motion file ({error})") from error
    version = header.get("vid2vid_motion", "")
    if not (version.isascii() and version.isdecimal()):  # weights are safetensors too
        raise MotionFileError(
            f"{path}: a safetensors file, but not a motion file of vid2vid; make one with vid2vid motion"
        )
    if int(version) > SCHEMA_VERSION:
        raise MotionFileError(f"{path}: motion schema {version} is newer than {SCHEMA_VERSION}; update vid2vid")
    return MotionFile(
        _read_motion(path, tensors), tensors["found"].bool(), _read_fps(path, header), header.get("family", "")
    )


def _read_motion(path: Path, tensors: Mapping[str, Tensor]) -> Motion:
    """Build the motion once names, shapes and values are right."""
    shapes = {"rotation": (3, 3), "translation": (3,), "scale": (1,)}
    count = tensors["rotation"].shape[0] if "rotation" in tensors and tensors["rotation"].dim() else 0
    complete = {*shapes, "expression", "found"} <= tensors.keys() and count > 0
    if not complete or any(tensors[name].shape != (count, *shape) for name, shape in shapes.items()):
        raise _damaged(path, "fields missing or of the wrong shape")
    # The number of keypoints is the family's own, and so is all of `extra` but its first axis: the model checks them.
    if tensors["expression"].dim() != 3 or tensors["expression"].shape[::2] != (count, 3):
        raise _damaged(path, "expression of the wrong shape")
    if tensors["found"].shape != (count,):
        raise _damaged(path, "found of the wrong shape")
    extra = tensors["extra"].float() if "extra" in tensors else None
    if extra is not None and (not extra.dim() or len(extra) != count):
        raise _damaged(path, "extra of the wrong shape")
    rotation, translation, scale, expression = (tensors[name].float() for name in FIELDS)
    motion = Motion(rotation, translation, scale, expression, extra)
    if not all(torch.isfinite(tensor).all() for tensor in motion.tensors()):
        raise _damaged(path, "numbers that are not finite")
    return motion


def _damaged(path: Path, problem: str) -> MotionFileError:
    return MotionFileError(f"{path}: damaged motion file ({problem}); make it again")


def _read_fps(path: Path, header: Mapping[str, str]) -> Fraction:
    try:
        fps = Fraction(header.get("fps", ""))
    except (ValueError, ZeroDivisionError) as error:
        raise _damaged(path, f"frame rate {header.get('fps')!r}") from error
    if fps <= 0:
        raise _damaged(path, f"frame rate {fps}")
    return fps

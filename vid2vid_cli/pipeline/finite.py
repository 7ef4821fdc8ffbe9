"""What happens if a network gives infinite numbers or NaN: a second run in float32, or one clear error."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import ParamSpec

from torch import Tensor

from vid2vid_cli.arrays import Frame
from vid2vid_cli.errors import NonFiniteError
from vid2vid_cli.face import frames
from vid2vid_cli.models.base import DrivenState, are_finite
from vid2vid_cli.motion import Motion
from vid2vid_cli.pipeline.progress import Hooks, Result

P = ParamSpec("P")


def retried_in_float32(run: Callable[P, Result]) -> Callable[P, Result]:
    """Let a pipeline run once more in float32 if its networks overflow in lower precision."""
    # Options may be given by position or by name: the signature finds them either way.
    signature = inspect.signature(run)

    @wraps(run)
    def safe(*given: P.args, **named: P.kwargs) -> Result:
        try:
            return run(*given, **named)
        except NonFiniteError:
            bound = signature.bind(*given, **named)
            options, hooks = bound.arguments.get("options"), bound.arguments.get("hooks") or Hooks()
            if options is None or options.dtype == "float32":
                raise  # nothing more precise is left to try
            text = f"--dtype {options.dtype}: numbers overflowed; everything was computed again in float32"
            bound.arguments["options"] = replace(options, dtype="float32")
            result = run(*bound.args, **bound.kwargs)
            hooks.warn(text)  # only now is it known that the precision was to blame
            return replace(result, warnings=(text, *result.warnings))

    return safe


def require_finite(numbers: Tensor, path: Path) -> Tensor:
    """Return the numbers, or raise NonFiniteError. path: the picture or clip that they were computed from."""
    if not are_finite(numbers):
        raise _not_finite(path)
    return numbers


def require_finite_state(driven: DrivenState, path: Path) -> DrivenState:
    """Return what `drive` gave, or raise NonFiniteError."""
    if not driven.is_finite():
        raise _not_finite(path)
    return driven


def _not_finite(path: Path) -> NonFiniteError:
    return NonFiniteError(
        f"{path}: the network gave numbers that are not finite; its checkpoint may be damaged: download it again"
    )


def require_finite_motion(motion: Motion, path: Path) -> Motion:
    """Return the motion, or raise NonFiniteError."""
    for tensor in motion.tensors():
        require_finite(tensor, path)
    return motion


def frame_of(image: Tensor, path: Path) -> Frame:
    """Return a rendered image (1, 3, H, W) as a frame (H, W, 3), or raise NonFiniteError."""
    return frames.frame_of(require_finite(image, path))

"""Expressions that a user asks for, from text to the weights that a model takes."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from vid2vid_cli.errors import UsageError, WeightsError
from vid2vid_cli.face.expressions import names_meant, nearest_name
from vid2vid_cli.models.base import ReenactmentModel
from vid2vid_cli.models.gaze_request import DirectsGaze, GazeRequest
from vid2vid_cli.models.named_expressions import NamesExpressions
from vid2vid_cli.models.registry import FAMILIES
from vid2vid_cli.pipeline.options import ExpressionOptions
from vid2vid_cli.pipeline.parsing import Sweep, sweep_of

FURTHEST_DEG = 40.0
STRONGEST = 2.0  # twice a full expression: an exaggeration

Expressions = Mapping[str, Sweep]
"""How strong each expression is, over the length of a scene."""


def parse_expressions(options: ExpressionOptions) -> dict[str, Sweep]:
    """Parse NAME=STRENGTH,NAME=START:STOP:STEP,...; later ones replace earlier ones."""
    if options.expression is None:
        return {}
    found: dict[str, Sweep] = {}
    for part in str(options.expression).split(","):
        name, is_given, text = (piece.strip() for piece in part.partition("="))
        asked = f"--expression {part.strip()}"
        if not is_given:
            raise UsageError(f"{asked}: write NAME=STRENGTH, such as jawOpen=0.4")
        found |= dict.fromkeys(_names(name, asked), _strength(text, asked))
    return found


def _names(name: str, asked: str) -> tuple[str, ...]:
    names = names_meant(name)
    if not names:
        nearest = nearest_name(name)
        hint = f"did you mean {nearest}?" if nearest else "vid2vid controls lists them"
        raise UsageError(f"{asked}: no expression is called {name}; {hint}")
    return names


def _strength(text: str, asked: str) -> Sweep:
    try:
        numbers = [float(number) for number in text.split(":")]
    except ValueError as error:
        raise UsageError(f"{asked}: not a strength; write a number from 0 to 1, or START:STOP:STEP") from error
    # Written so that NaN fails too. A step may count down.
    if not all(0 <= number <= STRONGEST for number in numbers[:2]) or not all(abs(n) <= STRONGEST for n in numbers):
        raise UsageError(f"{asked}: a strength is 0 for nothing to 1 for all, and at most {STRONGEST:g}")
    return sweep_of(numbers, asked)


def parse_gaze(options: ExpressionOptions) -> GazeRequest | None:
    """Parse camera, source or X,Y in degrees; None if nothing is asked for."""
    if options.gaze is None or options.gaze == "source":
        return None if options.gaze is None else GazeRequest(None)
    try:
        right, up = (0.0, 0.0) if options.gaze == "camera" else map(float, options.gaze.split(","))
    except ValueError as error:
        raise UsageError(f"--gaze {options.gaze}: write camera, source, or X,Y in degrees, such as 10,-5") from error
    if not (abs(right) <= FURTHEST_DEG and abs(up) <= FURTHEST_DEG):  # NaN fails too
        raise UsageError(f"--gaze {options.gaze}: eyes turn by {FURTHEST_DEG:g} degrees at most")
    return GazeRequest((right, up))


def require_gaze(model: ReenactmentModel) -> None:
    """Raise UsageError for a model that cannot turn the eyes."""
    if not isinstance(model, DirectsGaze):
        able = " or ".join(family.name for family in FAMILIES if family.names_expressions)
        raise UsageError(f"--gaze: {model.name} cannot turn the eyes; use -c {able}")


def require_names(model: ReenactmentModel, what: str) -> NamesExpressions:
    """Return a model that knows named expressions. UsageError or WeightsError otherwise. what: needs them."""
    if not isinstance(model, NamesExpressions):
        able = " or ".join(family.name for family in FAMILIES if family.names_expressions)
        raise UsageError(f"{what}: {model.name} has no named expressions; use -c {able}")
    if not model.expression_names:
        raise WeightsError(f"{what}: this checkpoint of {model.name} has no head model; use the one of this version")
    return model


def weights_at(model: NamesExpressions, expressions: Expressions, share: float) -> Tensor:
    """Return the weights (1, E) at a share of the scene, 0 to 1."""
    weights = torch.zeros(1, len(model.expression_names))
    for name, sweep in expressions.items():
        weights[0, model.expression_names.index(name)] = sweep.at(share)
    return weights

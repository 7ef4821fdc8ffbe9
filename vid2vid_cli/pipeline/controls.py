"""A sheet of all expressions on one portrait."""

from __future__ import annotations

import time
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch

from vid2vid_cli.arrays import Frame
from vid2vid_cli.checkpoints.reading import bundled_file
from vid2vid_cli.errors import UsageError
from vid2vid_cli.face.expressions import NAMES
from vid2vid_cli.face.mesh import Face
from vid2vid_cli.face.paste import resize_frame
from vid2vid_cli.media.files import check_output
from vid2vid_cli.media.image import contact_sheet, write_image
from vid2vid_cli.models.registry import LoadedModel
from vid2vid_cli.pipeline.animator import Animator
from vid2vid_cli.pipeline.engine import start_engine
from vid2vid_cli.pipeline.expression import require_names
from vid2vid_cli.pipeline.options import RotateOptions
from vid2vid_cli.pipeline.output import is_picture_name
from vid2vid_cli.pipeline.progress import Hooks, Result, WarningLog, counted
from vid2vid_cli.pipeline.provenance import provenance_of
from vid2vid_cli.pipeline.source import Source

EXAMPLE = "portrait.jpg"
COLUMNS, WIDTH_PX = 9, 200
MARGIN = 0.25  # of a face's box, around it


def draw_controls(
    source: str | Path | None,
    output: str | Path,
    options: RotateOptions | None = None,
    *,
    model: LoadedModel | None = None,
    hooks: Hooks | None = None,
) -> Result:
    """Show a portrait with each expression at full strength, and as it is, in one picture.

    source: a picture; None takes the bundled example. Raises a subclass of Vid2VidError whose text is one line.
    """
    began = time.perf_counter()
    options, hooks = options or RotateOptions(), hooks or Hooks()
    log = WarningLog(hooks)
    if not is_picture_name(output):
        raise UsageError(f"{output}: the sheet is one picture; name a .png or .jpg")
    check_output(output, force=options.force, inputs=[Path(source)] if source else [], is_file=True)
    path = Path(source) if source is not None else bundled_file("examples", EXAMPLE)
    engine = start_engine(options, model)
    named = require_names(engine.loaded.model, "controls")
    face = Source(path, options, engine, log.warn).first_appearance()
    animator = Animator(engine.loaded.model, face, path)
    rest = animator.frame_at_rest()
    found = max(engine.analyzer.faces(rest, thorough=True), key=lambda one: one.size_px, default=None)
    count = counted(hooks, len(NAMES))
    views = [_cut(rest, found)]
    for name in NAMES:
        weights = torch.zeros(1, len(named.expression_names))
        weights[0, named.expression_names.index(name)] = 1.0
        views.append(_cut(animator.frame_at_rest(None, weights), found))
        count()
    sheet = contact_sheet(views, COLUMNS, ["at rest", *NAMES])
    provenance = replace(provenance_of(engine.loaded, options, log, source=path), command="controls")
    write_image(output, sheet, provenance=provenance, force=options.force)
    seconds = time.perf_counter() - began
    size = sheet.shape[0], sheet.shape[1]
    return Result(Path(output), 1, 0, 0, seconds, Fraction(1), size, tuple(log.warnings))


def _cut(frame: Frame, face: Face | None) -> Frame:
    """Return what a frame shows of a face and a little around it."""
    if face is not None:
        left, top, right, bottom = face.box
        around = MARGIN * (right - left)
        low = np.maximum([left - around, top - around], 0).astype(int)
        frame = frame[low[1] : int(bottom + around), low[0] : int(right + around)]
    return resize_frame(frame, (round(frame.shape[0] * WIDTH_PX / frame.shape[1]), WIDTH_PX))

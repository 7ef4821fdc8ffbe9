"""Make the basis in which calls send what a head's motion misses: of the face, and of what moves around it.

    python -m training.surroundings --clips CLIPS -o weights/surroundings.safetensors

Every clip is compared with its own first frame as `reenact` does it (models/compact/following). Principal components
are taken of the face's keypoint residuals and of the surroundings' cells apart, so that either may be left alone. Cells
count as often as frames show them; points of the face as in the basis of expressions. `vid2vid_cli.codec.space` says
what the tensors of a basis hold; here its numbers are those beside the head alone.
"""

from __future__ import annotations

import argparse
import itertools
import json
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.build_face_model import HELD_OUT
from training.checkpoint_file import renew_sum, update_checkpoint
from vid2vid_cli.arrays import Frame
from vid2vid_cli.codec.space import BESIDE_PREFIX, PX_AT_256
from vid2vid_cli.face.crop import EVERYWHERE, crop_around
from vid2vid_cli.face.mesh import FaceAnalyzer, FaceTracker
from vid2vid_cli.geometry.affine import apply_affine
from vid2vid_cli.media.video import read_video
from vid2vid_cli.models.compact.model import CompactModel
from vid2vid_cli.models.compact.motion_layout import CELLS, POINTS
from vid2vid_cli.models.registry import load_face_analyzer, load_model
from vid2vid_cli.pipeline.driving.motion_reader import ReaderSetup
from vid2vid_cli.pipeline.driving.watching import FaceWatcher
from vid2vid_cli.smoothing import OneEuroFilter

Array = NDArray[np.float64]
FACE, AROUND = 24, 24  # components of either
FRAMES = 72  # of each clip
SMOOTHING, USUAL_FPS = 0.3, 25.0  # as before sending
LEAST_SEEN = 1e-3  # what a cell counts that no frame shows
FACE_SCALE = 0.42  # half crops per canonical unit, of usual driving crops
# A step of a number may move points this many times as far as a step of the expression: it is seen less.
FACE_COARSER, AROUND_COARSER = 5.0, 10.0


def follow_clip(path: Path, model: CompactModel, analyzer: FaceAnalyzer) -> tuple[Array, Array] | None:
    """Return what the motion of a clip misses (T, POINTS + CELLS^2, 2), and which cells frames show (CELLS^2,)."""
    watcher = FaceWatcher(ReaderSetup(model, analyzer, "largest", torch.device("cpu")))
    smooth, extras, seen = OneEuroFilter(SMOOTHING, USUAL_FPS), list[Tensor](), np.zeros(CELLS * CELLS)
    for driven in watcher.watch(itertools.islice(read_video(path), FRAMES)):
        if not driven.found or driven.motion is None or driven.motion.extra is None:
            continue
        if not extras and driven.picture is not None:
            seen = seen_cells(driven.picture, model, analyzer)
        extras.append(smooth(driven.motion.extra)[0, : POINTS + CELLS * CELLS, :2])
    return (torch.stack(extras).double().numpy(), seen) if extras else None


def seen_cells(frame: Frame, model: CompactModel, analyzer: FaceAnalyzer) -> Array:
    """Return 1 for the cells around a face whose middle a frame (H, W, 3) covers, 0 for others: (CELLS^2,)."""
    face = FaceTracker(analyzer).update(frame)
    if face is None:
        return np.zeros(CELLS * CELLS)
    view = crop_around(face, model.follow_crop, EVERYWHERE)
    middles = (np.arange(CELLS) + 0.5) * (view.size[0] / CELLS)
    x, y = apply_affine(view.affine, np.stack(np.meshgrid(middles, middles), -1).reshape(-1, 2)).T
    return np.asarray((x > 0) & (x < frame.shape[1]) & (y > 0) & (y < frame.shape[0]), np.float64)


def components_of(people: list[Array], weights: Array, count: int) -> Array:
    """Return the first directions (count, N, 2) in which a step of 1 moves the weighted points by 1.

    people: (T, N, 2) each, of one person. weights: (N,), their sum is 1. People who move much count only by the root.
    """
    root = np.sqrt(np.repeat(weights[:, None], 2, 1)).ravel()
    total = np.zeros((len(root), len(root)))
    for moves in people:
        flat = moves.reshape(len(moves), -1) * root
        total += flat.T @ flat / len(flat) / np.sqrt(max(float(np.square(flat).sum(1).mean()), 1e-9))
    _, vectors = np.linalg.eigh(total)
    found = vectors[:, ::-1][:, :count].T
    signs = np.sign(found[np.arange(count), np.abs(found).argmax(1)])  # one of two opposite directions
    return np.asarray((signs[:, None] * found / root).reshape(count, len(weights), 2))


def statistics(clips: list[Array], components: Array, weights: Array) -> dict[str, Array]:
    """Return mean, deviation and mean change per frame of the numbers of components; all clips count alike."""
    reader = (components * weights[:, None]).reshape(len(components), -1)
    rows = []
    for moves in clips:
        numbers = moves.reshape(len(moves), -1) @ reader.T
        change = np.abs(np.diff(numbers, axis=0)).mean(0) if len(numbers) > 1 else np.zeros(len(components))
        rows.append((numbers.mean(0), np.square(numbers).mean(0), change))
    mean, square, speed = (np.mean(one, axis=0) for one in zip(*rows, strict=True))
    return {"mean": mean, "deviation": np.sqrt(np.maximum(square - mean**2, 0)), "speed": speed}


def make_basis(folder: Path, model: CompactModel) -> tuple[dict[str, Tensor], dict[str, int]]:
    """Return the tensors of a basis, and a note about what it was made of."""
    clips, seen, people, analyzer = list[Array](), list[Array](), dict[str, list[Array]](), load_face_analyzer()
    for path in sorted(folder.glob("*.mp4")):
        person = path.stem.split("_")[0]
        followed = None if person in HELD_OUT else follow_clip(path, model, analyzer)
        if followed is not None:
            clips.append(followed[0])
            seen.append(followed[1])
            people.setdefault(person, []).append(followed[0])
            print(path.name, flush=True)
    if model.basis is None:
        raise ValueError("the checkpoint has no basis of expressions, whose weights are taken")
    face_weights = model.basis.weights[:POINTS, 0].double().numpy()
    cell_weights = np.mean(seen, axis=0) + LEAST_SEEN
    parts = {
        "face": (slice(0, POINTS), face_weights / face_weights.sum(), FACE, FACE_SCALE / FACE_COARSER),
        "cells": (slice(POINTS, None), cell_weights / cell_weights.sum(), AROUND, 1 / AROUND_COARSER),
    }
    tensors, numbers = dict[str, Array](), dict[str, list[Array]]()
    for name, (part, weights, count, effect) in parts.items():
        everybody = [np.concatenate(moves)[:, part] for moves in people.values()]
        components = components_of(everybody, weights, count).astype(np.float16).astype(np.float64)
        tensors[f"{name}.components"], tensors[f"{name}.weights"] = components, weights
        known = statistics([clip[:, part] for clip in clips], components, weights)
        for field, values in {**known, "effect": np.full(count, effect * PX_AT_256)}.items():
            numbers.setdefault(field, []).append(values)
    made = {**tensors, **{field: np.concatenate(values) for field, values in numbers.items()}}
    note = {"face": FACE, "around": AROUND, "identities": len(people), "frames": sum(map(len, clips))}
    return {BESIDE_PREFIX + name: _as_stored(name, torch.from_numpy(value)) for name, value in made.items()}, note


def _as_stored(name: str, values: Tensor) -> Tensor:
    return values.half() if name.endswith("components") else values.float()


@torch.inference_mode()
def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, required=True, help="folder of tNN_*.mp4")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the file of the basis")
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = load_model().model
    if not isinstance(model, CompactModel):
        raise TypeError("the checkpoint of the package is of another family")
    tensors, note = make_basis(options.clips, model)
    update_checkpoint(options.output, tensors, {"surroundings": json.dumps(note)}, replaces=(BESIDE_PREFIX,))
    renew_sum(options.output)
    print(note)


if __name__ == "__main__":
    main()

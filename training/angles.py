"""Say how far the angles that a user asks for are off in the pictures, by a tracker that is not the project's own.

    python -m training.angles MEDIA/sources --judge JUDGE_ENV/bin/python [--out PICTURES] [--json FIGURES.json]

Each portrait is turned from -30 to 30 degrees about each axis. MediaPipe's own runtime (mediapipe_points.py, in an
environment of its own) reads every picture, and the rotation of points on bone from the picture at rest (Kabsch 1976)
is compared with the one that was asked for: how far it goes about the same axis, and how far about others.

What a tracker reads of a head that is turned far is less than its turn, see known_heads.py. So errors are given for all
angles, and for those alone at which a head would face away from the camera by no more than MOST_DEG, of which no more
than MOST_PITCH_DEG are pitch.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from vid2vid_cli.checkpoints.reading import embedded_checkpoint
from vid2vid_cli.geometry.rotation import axis_angle_from_rotation, pose_from_rotation, rotation_from_pose
from vid2vid_cli.models.registry import LoadedModel, load_model
from vid2vid_cli.pipeline.options import RotateOptions
from vid2vid_cli.pipeline.rotate import rotate
from vid2vid_cli.pipeline.turning import BONY

Array = NDArray[np.float64]

SOURCES = ("s01", "s02", "s05", "s08", "s09", "s15", "s16", "s24", "s26", "s27")
AXES = ("yaw", "pitch", "roll")
STEPS_DEG = (-30, -20, -10, 0, 10, 20, 30)
MOST_DEG, MOST_PITCH_DEG = 50.0, 40.0
# What the tracker reads of heads that are known to be turned aside, see known_heads.py.
TRUE_YAW_DEG = (0.0, 10.0, 20.0, 30.0, 40.0, 50.0, 60.0)
READ_YAW_DEG = (0.0, 11.1, 20.2, 28.3, 35.7, 45.1, 52.4)


@dataclass(frozen=True)
class Reading:
    """One angle that was asked for. off: degrees too far. beside: degrees about other axes. near: see above."""

    off: float
    beside: float
    near: bool


def main() -> None:
    """Turn every portrait, have the pictures read, and print the errors, then their means and worst."""
    given = arguments()
    model = load_model(given.checkpoint)
    with tempfile.TemporaryDirectory() as scratch:
        out = given.out or Path(scratch)
        pictures = {
            (name, axis): turned(next(given.sources.glob(f"{name}*")), axis, out / name / axis, model)
            for name in given.names
            for axis in AXES
        }
        points = read_points(given.judge, [path for paths in pictures.values() for path in paths])
    figures = {}
    for axis in AXES:
        readings = {name: errors([points.get(str(p)) for p in pictures[name, axis]], axis) for name in given.names}
        for name, row in readings.items():
            print(f"{name} {axis:6}" + "".join("       -" if r is None else cell(r) for r in row))
        figures[axis] = summary([r for row in readings.values() for r in row])
        print(axis, figures[axis], flush=True)
    if given.json is not None:
        given.json.write_text(json.dumps(figures, indent=1), encoding="utf-8")


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", type=Path, help="a folder of portraits")
    parser.add_argument("--names", nargs="+", default=SOURCES, help="how the names of the portraits begin")
    parser.add_argument("--judge", type=Path, required=True, help="the Python that has mediapipe")
    parser.add_argument("-c", "--checkpoint", default="compact")
    parser.add_argument("--out", type=Path, help="keep the pictures in this folder")
    parser.add_argument("--json", type=Path, help="write the means and the worst to this file")
    return parser.parse_args()


def turned(source: Path, axis: str, folder: Path, model: LoadedModel) -> list[Path]:
    """Turn a portrait about an axis; return a picture for each of STEPS_DEG."""
    sweep = f"{STEPS_DEG[0]}:{STEPS_DEG[-1]}:{STEPS_DEG[1] - STEPS_DEG[0]}"
    yaw, pitch, roll = (sweep if axis == name else None for name in AXES)
    rotate(source, f"{folder}/", RotateOptions(yaw=yaw, pitch=pitch, roll=roll, force=True), model=model)
    return sorted(folder.glob("*.png"))


def read_points(judge: Path, pictures: Sequence[Path]) -> dict[str, Array]:
    """Return the points (478, 3) that the tracker finds in each picture; pictures without a face are left out."""
    reader = Path(__file__).with_name("mediapipe_points.py")
    with tempfile.TemporaryDirectory() as folder:
        points = Path(folder) / "points.npz"
        command = [str(judge), str(reader), str(points), *map(str, pictures)]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        with np.load(points) as file:
            return {path: np.asarray(file[path], np.float64) for path in file.files}


def errors(points: Sequence[Array | None], axis: str) -> list[Reading | None]:
    """Compare the pictures of a sweep with what was asked for; None where no face is found."""
    rest = points[STEPS_DEG.index(0)]
    if rest is None:
        return [None] * (len(STEPS_DEG) - 1)
    own = turn_between(canonical_points(), rest)
    asked = [step for step in STEPS_DEG if step]
    shown = [face for step, face in zip(STEPS_DEG, points, strict=True) if step]
    return [None if face is None else error(rest, face, own, axis, a) for a, face in zip(asked, shown, strict=True)]


def error(rest: Array, face: Array, own: Array, axis: str, asked_deg: int) -> Reading:
    """Compare a face (478, 3) with that at rest, whose head is turned by own (3, 3)."""
    pose = pose_of(own)
    meant = pose + np.eye(3)[AXES.index(axis)] * math.radians(asked_deg)
    way = rotation_vector(rotation_of(meant) @ rotation_of(pose).T)
    seen = rotation_vector(turn_between(rest, face))
    along = seen @ way / np.linalg.norm(way)
    beside = np.linalg.norm(seen - along * way / np.linalg.norm(way))
    off = math.degrees(along) - abs(asked_deg)
    return Reading(off, math.degrees(float(beside)), is_near(np.degrees(pose), AXES.index(axis), asked_deg))


def is_near(read_deg: Array, axis: int, asked_deg: int) -> bool:
    """Whether a head that is read at a pose (3,) still faces the camera enough to be read when it is turned."""
    true = read_deg.copy()
    true[0] = math.copysign(np.interp(abs(read_deg[0]), READ_YAW_DEG, TRUE_YAW_DEG), read_deg[0])
    true[axis] += asked_deg
    away = math.degrees(math.acos(math.cos(math.radians(true[0])) * math.cos(math.radians(true[1]))))
    return axis == 2 or (away <= MOST_DEG and abs(true[1]) <= MOST_PITCH_DEG)


def canonical_points() -> Array:
    """Return the mean face (468, 3), looking at the camera."""
    return np.asarray(embedded_checkpoint().tensors["face.canonical"].double().numpy())


def turn_between(before: Array, after: Array) -> Array:
    """Return the rotation (3, 3) of the bony points between faces (468 or more, 3)."""
    p, q = (face[list(BONY)] - face[list(BONY)].mean(0) for face in (before, after))
    u, _, vt = np.linalg.svd(q.T @ p)
    return np.asarray(u @ np.diag([1, 1, np.linalg.det(u @ vt)]) @ vt)


def pose_of(rotation: Array) -> Array:
    """Return yaw, pitch and roll in radians (3,)."""
    return np.array([float(angle) for angle in pose_from_rotation(torch.from_numpy(rotation)[None])])


def rotation_of(pose: Array) -> Array:
    """Return the rotation (3, 3) of yaw, pitch and roll (3,) in radians."""
    return np.asarray(rotation_from_pose(*torch.from_numpy(pose)[:, None])[0])


def rotation_vector(rotation: Array) -> Array:
    """Return the axis times the angle in radians (3,)."""
    return np.asarray(axis_angle_from_rotation(torch.from_numpy(rotation)[None])[0])


def cell(reading: Reading) -> str:
    """Return an error as it is printed; in brackets where a head is turned too far to be read."""
    return f"{reading.off:+8.1f}" if reading.near else f"{f'({reading.off:+.1f})':>8}"


def summary(readings: Sequence[Reading | None]) -> Mapping[str, float]:
    """Return means and the worst of all, and of those near enough to be read."""
    found = [reading for reading in readings if reading is not None]
    near = [abs(reading.off) for reading in found if reading.near]
    every = [abs(reading.off) for reading in found]
    numbers: dict[str, float] = {
        "mean": float(np.mean(every)),
        "worst": max(every),
        "mean_near": float(np.mean(near)),
        "worst_near": max(near),
        "beside": float(np.mean([reading.beside for reading in found])),
        "near": len(near),
        "lost": len(readings) - len(found),
    }
    return {name: round(number, 2) for name, number in numbers.items()}


if __name__ == "__main__":
    main()

"""Say what trackers read of heads whose turn is known: the head model, with pictures of people on it, turned and drawn.

    python -m training.known_heads HEAD_MODEL.safetensors PICTURE... --judge JUDGE_ENV/bin/python --out PICTURES

Each PICTURE shows one person who faces the camera. The shape of the ICT head (Li et al., CVPR 2020; its file as in
head_model.py) is fitted to the points that the tracker finds in it, by Gauss-Newton steps of an orthographic camera,
and then bent in the picture's plane only: its depth is the model's, not the tracker's. Each of its vertices takes the
colour of the picture where it lies there, so hidden sides look drawn out. Then it is turned and drawn, and read by
MediaPipe's own runtime (mediapipe_points.py) and by the project's mesh.
"""

from __future__ import annotations

import argparse
import itertools
import math
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors import safe_open
from scipy.interpolate import RBFInterpolator
from scipy.spatial import KDTree

from training.angles import Array, canonical_points, pose_of, read_points, rotation_of, turn_between
from training.head_model import FIRST_KNOWN, KNOWN
from vid2vid_cli.arrays import Frame, Indices
from vid2vid_cli.geometry.rotation import rotation_from_axis_angle
from vid2vid_cli.media.image import read_image, write_image
from vid2vid_cli.models.compact.mesh.rasterizer import rasterize
from vid2vid_cli.pipeline.engine import start_engine
from vid2vid_cli.pipeline.options import EngineOptions

YAWS_DEG, PITCHES_DEG = range(-70, 71, 10), range(-45, 46, 15)
SKIN, WHOLE, EYES = 9409, 11248, range(21451, 24591)  # vertices: of the face, with head and neck, and of the eyeballs
STEPS, LOOSE = 30, 0.35  # of the fit; how far identities may go, in the head model's units for each of their strengths
BEND_FADE = 0.6  # eye distances: how far around landmarks a head is bent
SIDE_PX, FILL = 512, 0.62  # of the pictures; how much of their height the face takes


@dataclass(frozen=True)
class HeadModel:
    """neutral: (V, 3), cm, y down, z away. identities: (I, V, 3). triangles: (T, 3). known: (51,), vertices."""

    neutral: Array
    identities: Array
    triangles: Indices
    known: Indices


@dataclass(frozen=True)
class TexturedHead:
    """vertices: (V, 3), looking at the camera. places_px: (V, 2), where they lie in the picture, which colours them."""

    vertices: Array
    places_px: Array
    picture: Frame
    model: HeadModel

    def turned(self, yaw_deg: float, pitch_deg: float) -> Frame:
        """Draw the head at a pose, over the picture's blurred colours."""
        rotation = rotation_of(np.radians([yaw_deg, pitch_deg, 0.0]))
        scale = SIDE_PX * FILL / np.ptp(self.vertices[:SKIN, 1])
        centred = self.vertices - self.vertices[:SKIN].mean(0)
        places = centred @ rotation.T * scale + (SIDE_PX / 2, SIDE_PX / 2, 0)
        values = np.column_stack([self.places_px, np.ones(len(places))])
        drawn = rasterize(
            places.astype(np.float32), values.astype(np.float32), self.model.triangles, (SIDE_PX, SIDE_PX)
        )
        x, y = (np.ascontiguousarray(drawn[..., axis]) for axis in (0, 1))
        colours = cv2.remap(self.picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        share = cv2.GaussianBlur(np.ascontiguousarray(drawn[..., 2]), (3, 3), 0)[..., None]
        small = cv2.GaussianBlur(cv2.resize(self.picture, (64, 64), interpolation=cv2.INTER_AREA), (0, 0), 12)
        behind = cv2.resize(small, (SIDE_PX, SIDE_PX))
        return np.asarray(share * colours + (1 - share) * behind, np.uint8)


def main() -> None:
    """Draw every head at every pose, have the pictures read, and print tables of what is read."""
    given = arguments()
    model = read_model(given.model)
    found = read_points(given.judge, given.pictures)
    paths: dict[tuple[str, int, int], Path] = {}
    for picture in given.pictures:
        head = fit(model, read_image(picture), found[str(picture)])
        for yaw, pitch in itertools.product(YAWS_DEG, PITCHES_DEG):
            paths[picture.stem, yaw, pitch] = given.out / picture.stem / f"{yaw:+d}_{pitch:+d}.png"
            paths[picture.stem, yaw, pitch].parent.mkdir(parents=True, exist_ok=True)
            write_image(paths[picture.stem, yaw, pitch], head.turned(yaw, pitch), force=True)
    show("MediaPipe", paths, read_points(given.judge, list(paths.values())))
    show("the project's mesh", paths, own_points(list(paths.values())))


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path, help="the head model")
    parser.add_argument("pictures", type=Path, nargs="+")
    parser.add_argument("--judge", type=Path, required=True, help="the Python that has mediapipe")
    parser.add_argument("--out", type=Path, required=True, help="a folder for the pictures")
    return parser.parse_args()


def read_model(path: Path) -> HeadModel:
    """Read the head, its identities, and what of it is drawn."""
    with safe_open(path, "np") as file:
        raw = {name: file.get_tensor(name) for name in ("neutral", "identities", "triangles", "landmarks68")}
    flip = np.array([1.0, -1.0, -1.0])  # from y up, z to the camera
    triangles = raw["triangles"].astype(np.int32)
    is_drawn = np.zeros(len(raw["neutral"]), bool)
    is_drawn[:WHOLE] = is_drawn[EYES] = True
    return HeadModel(
        raw["neutral"] * flip,
        raw["identities"].astype(np.float64) * flip,
        np.ascontiguousarray(triangles[is_drawn[triangles].all(1)]),
        raw["landmarks68"].astype(np.int32)[FIRST_KNOWN:],
    )


def fit(model: HeadModel, picture: Frame, points: Array) -> TexturedHead:
    """Fit a head to the points (478, 3) of a face in a picture."""
    targets = points[KNOWN, :2]
    rotation, strengths = turn_between(canonical_points(), points), np.zeros(len(model.identities))
    for _ in range(STEPS):
        rotation, strengths, scale = step(model, targets, rotation, strengths)
    shaped = model.neutral + np.tensordot(strengths, model.identities, 1)
    seen = shaped @ rotation.T
    places = scale * (seen[:, :2] - seen[model.known, :2].mean(0)) + targets.mean(0)
    places = bent(places, places[model.known], targets)
    flat = (places - targets.mean(0)) / scale + seen[model.known, :2].mean(0)
    return TexturedHead(np.column_stack([flat, seen[:, 2]]) @ rotation, places, picture, model)


def step(model: HeadModel, targets: Array, rotation: Array, strengths: Array) -> tuple[Array, Array, float]:
    """Improve a head's rotation and identity by one Gauss-Newton step; also returns px for each centimetre."""
    known = model.identities[:, model.known]
    seen = (model.neutral[model.known] + np.tensordot(strengths, known, 1)) @ rotation.T
    flat, wanted = (points - points.mean(0) for points in (seen[:, :2], targets))
    scale = float((flat * wanted).sum() / (flat**2).sum())
    moves = [np.cross(axis, seen)[:, :2] for axis in np.eye(3)] + [(one @ rotation.T)[:, :2] for one in known]
    jacobian = np.stack([scale * (move - move.mean(0)).ravel() for move in moves], 1)
    stiffness = (scale * LOOSE) ** 2 * np.concatenate([np.full(3, 1e-6), np.ones(len(strengths))])
    pull = jacobian.T @ (wanted - scale * flat).ravel() - stiffness * np.concatenate([np.zeros(3), strengths])
    change = np.linalg.solve(jacobian.T @ jacobian + np.diag(stiffness), pull)
    turn = rotation_from_axis_angle(torch.from_numpy(change[None, :3]))[0].numpy()
    return turn @ rotation, strengths + change[3:], scale


def bent(places: Array, known: Array, targets: Array) -> Array:
    """Move places (V, 2) so that known ones (K, 2) come to lie on their targets (K, 2)."""
    apart = [index for index in range(len(known)) if (np.linalg.norm(known[:index] - known[index], axis=1) > 0.5).all()]
    bend = RBFInterpolator(known[apart], (targets - known)[apart], smoothing=0.1, kernel="linear")
    eye_distance = np.linalg.norm(targets[19] - targets[28])  # outer corners
    distance, _ = KDTree(known).query(places)
    return np.asarray(places + bend(places) * np.exp(-((distance / (BEND_FADE * eye_distance)) ** 2))[:, None])


def own_points(pictures: list[Path]) -> dict[str, Array]:
    """Return the points (470, 3) that the project's mesh finds in each picture."""
    analyzer = start_engine(EngineOptions(), None).analyzer
    found = {str(path): analyzer.faces(read_image(path)) for path in pictures}
    return {path: max(f, key=lambda face: face.size_px).landmarks_px.astype(float) for path, f in found.items() if f}


def show(tracker: str, paths: dict[tuple[str, int, int], Path], points: dict[str, Array]) -> None:
    """Print the mean yaw and pitch that are read, less those of the same head at rest, and how far heads differ."""
    names = sorted({name for name, _, _ in paths})
    for axis, title in enumerate(("yaw", "pitch")):
        print(
            f"{title} read by {tracker}: mean/deviation; a row for each pitch\n     "
            + "".join(f"{y:>11}" for y in YAWS_DEG)
        )
        for pitch in PITCHES_DEG:
            row = [[reading(paths, points, (name, yaw, pitch))[axis] for name in names] for yaw in YAWS_DEG]
            found = [[read for read in cell if not math.isnan(read)] or [math.nan] for cell in row]
            print(f"{pitch:+4} " + "".join(f"{np.mean(c):6.1f}/{np.std(c):4.1f}" for c in found), flush=True)


def reading(paths: dict[tuple[str, int, int], Path], points: dict[str, Array], key: tuple[str, int, int]) -> Array:
    """Return yaw, pitch and roll in degrees (3,) from the head at rest to one of its pictures; NaN without a face."""
    rest, turned = (points.get(str(paths[one])) for one in ((key[0], 0, 0), key))
    if rest is None or turned is None:
        return np.full(3, math.nan)
    return np.asarray(np.degrees(pose_of(turn_between(rest, turned))))


if __name__ == "__main__":
    main()

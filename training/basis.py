"""Put the call codec's basis of expressions, with its statistics, into a checkpoint of compact.

    python -m training.basis --clips CLIPS -o weights/compact.safetensors

An expression is how a person differs from their own
mean in the canonical frame. Principal components are taken with weights: lips and eyelids count several times, depth
counts little, so that components are ordered by what is seen. `vid2vid_cli.codec.space` says what each tensor holds.
Tensors of other prefixes in the output file are kept, and SHA256SUMS beside it is renewed.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from training.build_face_model import HELD_OUT
from training.checkpoint_file import read_existing, renew_sum, update_checkpoint
from vid2vid_cli.arrays import Points
from vid2vid_cli.codec.space import BASIS_PREFIX, PX_AT_256, ExpressionBasis, pose_numbers
from vid2vid_cli.face.crop import EVERYWHERE, FaceCrop, crop_around
from vid2vid_cli.face.mesh import Face, FaceAnalyzer, FaceTracker, face_from_landmarks
from vid2vid_cli.geometry.keypoints import Similarity, fit_similarity
from vid2vid_cli.media.video import read_video
from vid2vid_cli.models.compact.gaze import read_gaze
from vid2vid_cli.models.compact.mesh.topology import FaceTopology, IntArray
from vid2vid_cli.models.compact.model import CompactModel
from vid2vid_cli.models.compact.motion_layout import POINTS, unit_points
from vid2vid_cli.models.registry import load_face_analyzer
from vid2vid_cli.motion import Motion
from vid2vid_cli.smoothing import MotionSmoother

Array = NDArray[np.float64]
COMPONENTS = 48  # of expressions; two more hold the gaze
GAZE_PX = 10.0  # at 256: what a movement of the irises by one eye width counts
LIP_REACH, LIP_WEIGHT = 0.13, 6.0  # eye distances
EYE_REACH, EYE_WEIGHT = 0.10, 5.0
DEPTH_SHARE = 0.15  # of the weight; a head turned by 20 degrees shows a third of what happens in depth
SMOOTHING, USUAL_FPS = 0.3, 25.0
FULL_RATE_FRAMES = 130  # of a longer clip every second frame is taken
STILL_Z = 1 / 6  # how much a movement of the head in depth is seen, of one sideways


def point_weights(topology: FaceTopology) -> Array:
    """Return how much an error of each point counts along x, y and z: (468, 3); x sums to 1 over the points."""
    weight = np.ones(len(topology.canonical))
    weight[near(topology, topology.inner_lips, LIP_REACH)] = LIP_WEIGHT
    weight[near(topology, topology.eyes, EYE_REACH)] = EYE_WEIGHT
    weight /= weight.sum()
    return np.stack([weight, weight, DEPTH_SHARE * weight], 1)


def near(topology: FaceTopology, loops: IntArray, reach: float) -> NDArray[np.bool_]:
    """Return which points of the mean face lie within `reach` (eye distances) of a loop: (468,)."""
    flat = topology.canonical[:, :2]
    return np.asarray(torch.cdist(flat, flat[torch.from_numpy(loops.ravel()).long()]).min(1).values < reach)


def fit_clip(path: Path, analyzer: FaceAnalyzer, topology: FaceTopology) -> tuple[Similarity, Tensor] | None:
    """Return the head's pose in the frames of a clip, and (T, 469, 3): canonical offsets, then the gaze.

    None where no face is found.
    """
    tracker = FaceTracker(analyzer)
    faces = [face for face in map(tracker.update, read_video(path)) if face is not None]
    if not faces:
        return None
    faces = faces[:: 2 if len(faces) > FULL_RATE_FRAMES else 1]
    crop = still_crop(faces)
    landmarks = torch.from_numpy(np.stack([crop_landmarks(face, crop) for face in faces]))
    points = unit_points(landmarks[:, :POINTS], crop.size)
    pose = fit_similarity(topology.canonical[None], points, topology.rigid_weights)
    return pose, torch.cat([pose.undo(points) - topology.canonical, read_gaze(landmarks)[:, None]], 1)


def still_crop(faces: Sequence[Face]) -> FaceCrop:
    """Return one crop for a whole clip, around the median mesh: the background must stand still."""
    median = np.median([face.landmarks_px for face in faces], axis=0).astype(np.float32)
    return crop_around(face_from_landmarks(median, 1.0), CompactModel.driving_crop, EVERYWHERE)


def crop_landmarks(face: Face, crop: FaceCrop) -> Points:
    """Return a face's landmarks (470, 3) in px of a crop."""
    points = crop.to_crop(face.landmarks_px).astype(np.float32)
    # Depth is scaled as x and y are; the length of the first column is that scale.
    points[:, 2] = face.landmarks_px[:, 2] / np.hypot(*crop.affine[:, 0])
    return points


def with_gaze(components: Array, weights: Array) -> ExpressionBasis:
    """Return a basis of offsets and, as the last keypoint, of the gaze, which is kept whole.

    components: (C, 468, 3). weights: (468, 3).
    """
    count, points = components.shape[:2]
    both = np.zeros((count + 2, points + 1, 3))
    both[:count, :points] = components
    both[count, points, 0] = both[count + 1, points, 1] = 1
    all_weights = np.concatenate([weights, [[1.0, 1.0, 0.0]]])
    return ExpressionBasis(torch.from_numpy(both).float(), torch.from_numpy(all_weights).float())


def principal_components(people: dict[str, Array], weights: Array) -> Array:
    """Return the first COMPONENTS directions (C, 468, 3) of expressions in which a step of 1 moves the points by 1.

    people: offsets (T, 468, 3) by identity. The size of a movement is the root of the weighted mean of its squares.
    """
    root = np.sqrt(weights).ravel()
    flat = [(offsets - offsets.mean(0)).reshape(len(offsets), -1) * root for offsets in people.values()]
    covariance = np.mean([one.T @ one / len(one) for one in flat], axis=0)  # all people count alike
    _, vectors = np.linalg.eigh(covariance)
    components = vectors[:, ::-1][:, :COMPONENTS].T
    return np.asarray((components / root).reshape(-1, *weights.shape))


def pose_effect(topology: FaceTopology, weights: Array, scale: float) -> Array:
    """Return what a step of 1 of yaw, pitch, roll (radians), x, y, z (crop units), ln(scale) moves: canonical units."""
    square = weights[:, 0] @ topology.canonical.double().numpy() ** 2
    x, y, z = np.sqrt(square)
    around = np.hypot(x, y)
    return np.array([z, z, around, 1 / scale, 1 / scale, STILL_Z / scale, around])


def statistics(clips: list[tuple[Similarity, Tensor]], basis: ExpressionBasis) -> dict[str, Array]:
    """Return mean, deviation and mean change per frame of the numbers in a stream; all clips count alike."""
    rows = []
    for pose, offsets in clips:
        motion = Motion(pose.rotation, pose.translation, pose.scale, offsets)
        smooth = MotionSmoother(SMOOTHING, USUAL_FPS)(motion)
        numbers = torch.cat([pose_numbers(smooth), basis.coefficients(smooth.expression)], 1).double().numpy()
        rows.append((numbers.mean(0), numbers.var(0), np.abs(np.diff(numbers, axis=0)).mean(0)))
    mean, variance, speed = (np.mean(one, axis=0) for one in zip(*rows, strict=True))
    return {"mean": mean, "deviation": np.sqrt(variance), "speed": speed}


def make_basis(folder: Path, topology: FaceTopology) -> tuple[dict[str, Tensor], dict[str, int]]:
    """Return the tensors of a basis, and a note about what it was made of."""
    clips, people, analyzer = [], dict[str, list[Array]](), load_face_analyzer()
    for path in sorted(folder.glob("*.mp4")):
        person = path.stem.split("_")[0]
        fitted = None if person in HELD_OUT else fit_clip(path, analyzer, topology)
        if fitted is not None:
            clips.append(fitted)
            people.setdefault(person, []).append(fitted[1][:, :POINTS].double().numpy())
    weights = point_weights(topology)
    components = principal_components({person: np.concatenate(parts) for person, parts in people.items()}, weights)
    scale = float(np.mean([float(pose.scale.mean()) for pose, _ in clips]))
    basis = with_gaze(components, weights)
    numbers = statistics(clips, basis)
    effect = np.concatenate([pose_effect(topology, weights, scale), np.ones(COMPONENTS)]) * scale * PX_AT_256
    effect = np.concatenate([effect, [GAZE_PX, GAZE_PX]])
    made = {"components": basis.components.numpy(), "weights": basis.weights.numpy(), "effect": effect, **numbers}
    note = {"components": COMPONENTS, "identities": len(people), "frames": sum(len(o) for _, o in clips)}
    return {BASIS_PREFIX + name: torch.from_numpy(value).float() for name, value in made.items()}, note


def show(tensors: dict[str, Tensor]) -> None:
    """Print how many px each number of a stream moves on the screen."""
    names = ["yaw", "pitch", "roll", "x", "y", "z", "ln scale", *(f"expression {i}" for i in range(COMPONENTS))]
    names += ["gaze x", "gaze y"]
    effect, deviation, speed = (tensors[BASIS_PREFIX + name] for name in ("effect", "deviation", "speed"))
    print(f"{'px at 256':14}{'deviation':>10}{'a frame':>10}")
    for name, px, spread, change in zip(names, effect, deviation, speed, strict=True):
        print(f"{name:14}{float(px * spread):10.3f}{float(px * change):10.3f}")


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, required=True, help="folder of tNN_*.mp4")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the checkpoint")
    options = parser.parse_args()
    torch.set_num_threads(1)
    tensors, note = make_basis(options.clips, FaceTopology.from_state(read_existing(options.output)[0]))
    update_checkpoint(options.output, tensors, {"basis": json.dumps(note)}, replaces=(BASIS_PREFIX,))
    renew_sum(options.output)
    show(tensors)
    print(note)


if __name__ == "__main__":
    main()

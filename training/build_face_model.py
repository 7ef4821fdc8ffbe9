"""Build the compact family's face model: the mesh's topology, the mean face and a basis of expressions.

    pip download --no-deps mediapipe==0.10.14 -d wheels
    python -m training.build_face_model --mediapipe wheels/mediapipe-0.10.14-*.whl --stills MEDIA/stills \
        --clips MEDIA/train -o weights/compact.safetensors

Topology: the tesselation and the loops of lips, eyes and outline are lists in MediaPipe's Python package
(Apache-2.0). Mean face: generalised Procrustes analysis of the meshes of portraits that look at the camera, made
symmetric. Expressions: principal components of how each person in the clips differs from their own mean, so that the
shape of a face is not taken for an expression. Tensors of other prefixes in the output file are kept.
"""

from __future__ import annotations

import argparse
import ast
import itertools
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from training.checkpoint_file import update_checkpoint
from vid2vid_cli.face.landmarks import LANDMARKS
from vid2vid_cli.face.mesh import FaceAnalyzer, FaceTracker
from vid2vid_cli.geometry.keypoints import fit_similarity
from vid2vid_cli.media.image import read_image
from vid2vid_cli.media.video import read_video

Array = NDArray[np.float64]
# Identities that also appear in validation clips and sources.
HELD_OUT = ("t14", "t34", "t41", "t62")
COMPONENTS = 64
# Mesh points of the corners of the eyes: the unit of length is the distance between the two outer ones.
OUTER_EYES = (33, 263)
EARS = (234, 454)


def read_connections(wheel: Path) -> dict[str, list[tuple[int, int]]]:
    """Read the lists of edges out of MediaPipe's wheel without running its code."""
    with zipfile.ZipFile(wheel) as archive:
        source = archive.read("mediapipe/python/solutions/face_mesh_connections.py").decode()
    lists = {}
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Call) and node.value.args:
            value = node.value.args[0]
            is_list = isinstance(value, ast.List) and value.elts and isinstance(value.elts[0], ast.Tuple)
            if isinstance(node.targets[0], ast.Name) and is_list:
                lists[node.targets[0].id] = ast.literal_eval(value)
    return lists


def order_loop(edges: list[tuple[int, int]], start: int) -> list[int]:
    """Return the points of a closed chain of edges in order, from `start`."""
    neighbours: dict[int, list[int]] = {}
    for a, b in edges:
        neighbours.setdefault(a, []).append(b)
        neighbours.setdefault(b, []).append(a)
    loop, before = [start], -1
    while True:
        following = next(n for n in neighbours[loop[-1]] if n != before)
        if following == start:
            return loop
        before = loop[-1]
        loop.append(following)


def split_components(edges: list[tuple[int, int]]) -> list[list[tuple[int, int]]]:
    """Return the connected parts of a list of edges."""
    parts: list[tuple[set[int], list[tuple[int, int]]]] = []
    for edge in edges:
        touching = [part for part in parts if part[0] & set(edge)]
        merged = (set(edge).union(*(p[0] for p in touching)), [edge, *itertools.chain(*(p[1] for p in touching))])
        parts = [part for part in parts if part not in touching] + [merged]
    return [part[1] for part in parts]


def zip_loop(loop: list[int]) -> list[tuple[int, int, int]]:
    """Triangulate a loop between its two chains from the first point to the opposite one."""
    half = len(loop) // 2
    upper, lower = loop[1:half], loop[:half:-1]
    triangles = [(loop[0], upper[0], lower[0])]
    for k in range(len(upper) - 1):
        triangles += [(upper[k], upper[k + 1], lower[k]), (upper[k + 1], lower[k + 1], lower[k])]
    return [*triangles, (upper[-1], loop[half], lower[-1])]


def build_topology(wheel: Path) -> dict[str, Tensor]:
    """Return the tensors face.triangles, face.oval, face.inner_lips and face.eyes."""
    lists = read_connections(wheel)
    flat = lists["FACEMESH_TESSELATION"]
    triples = [(flat[i], flat[i + 1], flat[i + 2]) for i in range(0, len(flat), 3)]
    if any({a for a, _ in t} != {b for _, b in t} or len({a for a, _ in t}) != 3 for t in triples):
        raise ValueError("the tesselation is not a list of triangles")
    triangles = [tuple(a for a, _ in t) for t in triples]
    # The list of the lips holds two chains; the inner one runs through point 78, a corner.
    lips = split_components(lists["FACEMESH_LIPS"])
    inner = next(part for part in lips if 78 in {a for e in part for a in e})
    loops = {
        "inner_lips": order_loop(inner, 78),
        "right_eye": order_loop(lists["FACEMESH_RIGHT_EYE"], 33),
        "left_eye": order_loop(lists["FACEMESH_LEFT_EYE"], 362),
        "oval": order_loop(lists["FACEMESH_FACE_OVAL"], 10),
    }
    if loops["inner_lips"].index(13) > 10:  # the upper lip's middle comes first
        loops["inner_lips"] = [78, *loops["inner_lips"][:0:-1]]
    for name in ("inner_lips", "right_eye", "left_eye"):
        triangles += zip_loop(loops[name])
    return {
        "face.triangles": torch.tensor(triangles, dtype=torch.int16),
        "face.oval": torch.tensor(loops["oval"], dtype=torch.int16),
        "face.inner_lips": torch.tensor(loops["inner_lips"], dtype=torch.int16),
        "face.eyes": torch.tensor([loops["right_eye"], loops["left_eye"]], dtype=torch.int16),
    }


def mirror_points(mean: Array) -> NDArray[np.int64]:
    """Return for each point its partner on the other half of the face, by the cheapest matching."""
    mirrored = mean * (-1, 1, 1)
    cost = np.square(mirrored[:, None] - mean[None]).sum(-1)
    partner = linear_sum_assignment(cost + cost.T)[1]
    if not np.array_equal(partner[partner], np.arange(len(mean))):
        raise ValueError("the mean face has points without a partner")
    return np.asarray(partner)


def align(shapes: Array, mean: Array, weights: Array) -> Array:
    """Return shapes (N, 468, 3) moved onto the mean by similarities."""
    fit = fit_similarity(
        torch.from_numpy(shapes), torch.from_numpy(mean)[None].expand(len(shapes), -1, -1), torch.from_numpy(weights)
    )
    return fit.apply(torch.from_numpy(shapes)).numpy()


def wind_outwards(triangles: Tensor, canonical: Array) -> Tensor:
    """Return the triangles wound so that (b - a) x (c - a) points out of the head, whose pivot is at 0."""
    a, b, c = (canonical[triangles[:, k].long()] for k in range(3))
    inwards = (np.cross(b - a, c - a) * (a + b + c)).sum(1) < 0
    flipped = triangles[:, [0, 2, 1]]
    return torch.where(torch.from_numpy(inwards)[:, None], flipped, triangles)


def build_canonical(shapes: Array) -> Array:
    """Return the mean face (468, 3) of portraits: symmetric, pivot at 0, outer eye corners 1 apart."""
    weights = np.ones(shapes.shape[1])
    mean = shapes[0] - shapes[0].mean(0)
    mean /= np.linalg.norm(mean[OUTER_EYES[1]] - mean[OUTER_EYES[0]])
    upright = shapes - shapes.mean(1, keepdims=True)
    upright /= np.linalg.norm(upright[:, OUTER_EYES[1]] - upright[:, OUTER_EYES[0]], axis=-1)[:, None, None]
    mean = np.median(upright, axis=0)  # portraits look at the camera: their median says where that is
    for _ in range(10):
        mean = mean - mean.mean(0)
        partner = mirror_points(mean)
        mean = (mean + mean[partner] * (-1, 1, 1)) / 2
        mean = np.median(align(shapes, mean, weights), axis=0)
    mean = (mean + mean[mirror_points(mean)] * (-1, 1, 1)) / 2
    scale = np.linalg.norm(mean[OUTER_EYES[1]] - mean[OUTER_EYES[0]])
    mean = mean / scale
    # The head turns about a point between the ears, a little below and behind their front edge.
    pivot = mean[list(EARS)].mean(0) + np.array([0.0, 0.10, 0.15])
    return np.asarray(mean - pivot)


def measure_stills(folder: Path, analyzer: FaceAnalyzer) -> Array:
    """Return the meshes (N, 468, 3) of the portraits that look straight at the camera."""
    shapes = []
    for path in sorted(folder.glob("*.jpg")):
        faces = analyzer.faces(read_image(path))
        if len(faces) == 1:
            shapes.append(faces[0].landmarks_px[:LANDMARKS].astype(np.float64))
    meshes = np.stack(shapes)
    # Frontal: the nose's tip lies midway between the ears.
    nose = (meshes[:, 1, 0] - meshes[:, EARS[0], 0]) / (meshes[:, EARS[1], 0] - meshes[:, EARS[0], 0])
    return meshes[np.abs(nose - 0.5) < 0.08]


def track_clips(folder: Path, analyzer: FaceAnalyzer) -> Iterator[tuple[str, Array]]:
    """Yield the identity and the meshes (T, 468, 3) of each clip."""
    for path in sorted(folder.glob("*.mp4")):
        tracker = FaceTracker(analyzer)
        faces = [tracker.update(frame) for frame in read_video(path)]
        meshes = [face.landmarks_px[:LANDMARKS] for face in faces if face is not None]
        if len(meshes) > 10:
            yield path.stem.split("_")[0], np.stack(meshes).astype(np.float64)


def canonical_offsets(meshes: Array, canonical: Array, weights: Array) -> Array:
    """Return meshes (T, 468, 3) less the mean face, in the canonical frame."""
    face = torch.from_numpy(canonical)[None]
    fit = fit_similarity(face, torch.from_numpy(meshes), torch.from_numpy(weights))
    return fit.undo(torch.from_numpy(meshes)).numpy() - canonical


def rigid_weights(meshes: dict[str, Array], canonical: Array) -> Array:
    """Return how rigid each point is (468,): one over its movement with expression, at most 1."""
    weights = np.ones(len(canonical))
    for _ in range(3):
        moves = [m - m.mean(0) for m in (canonical_offsets(m, canonical, weights) for m in meshes.values())]
        spread = np.sqrt(np.mean([np.mean((m**2).sum(-1), 0) for m in moves], 0))
        weights = np.minimum(1.0, (np.quantile(spread, 0.15) / spread) ** 4)
    return weights


def expression_basis(meshes: dict[str, Array], canonical: Array, weights: Array) -> tuple[Array, Array]:
    """Return principal components (C, 468, 3) of the expressions and their standard deviations (C,)."""
    departures = []
    for clip in meshes.values():
        offsets = canonical_offsets(clip, canonical, weights)
        offsets = offsets - offsets.mean(0)
        departures.append(offsets / np.sqrt(len(offsets)))  # every person counts alike
    matrix = np.concatenate(departures).reshape(-1, canonical.size)
    _, sizes, components = np.linalg.svd(matrix, full_matrices=False)
    spread = sizes[:COMPONENTS] / np.sqrt(len(departures))
    share = (sizes[:COMPONENTS] ** 2).sum() / (sizes**2).sum()
    print(f"{COMPONENTS} components hold {share:.2%} of the expressions' variance")
    return components[:COMPONENTS].reshape(-1, *canonical.shape), spread


def expression_reader(meshes: dict[str, Array], basis: Array, canonical: Array, weights: Array) -> Array:
    """Return the matrix (C, C) that takes the face shape out of coefficients, the Wiener filter.

    The coefficients of an unknown face are expression plus shape. How much each varies is known: expression within a
    person, shape between the means of people. The best linear estimate of the expression is its share of the sum.
    """
    flat = basis.reshape(len(basis), -1)
    people = [canonical_offsets(m, canonical, weights).reshape(len(m), -1) @ flat.T for m in meshes.values()]
    within = np.mean([np.cov(p.T) for p in people], axis=0)
    between = np.cov(np.stack([p.mean(0) for p in people]).T)
    # A few dozen people do not determine 64 x 64 numbers. This ridge separated best on people left out.
    ridge = 0.1 * np.trace(within) / len(basis)
    return np.asarray(within @ np.linalg.inv(within + between + ridge * np.eye(len(basis))))


def main() -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mediapipe", type=Path, required=True)
    parser.add_argument("--stills", type=Path, required=True)
    parser.add_argument("--clips", type=Path, required=True)
    parser.add_argument("-o", "--output", type=Path, required=True)
    options = parser.parse_args()
    with safe_open(options.output, "pt") as file:
        analyzer = FaceAnalyzer.from_state({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    portraits = measure_stills(options.stills, analyzer)
    canonical = build_canonical(portraits)
    meshes: dict[str, Array] = {}
    for identity, clip in track_clips(options.clips, analyzer):
        if identity not in HELD_OUT:
            meshes[identity] = np.concatenate([meshes[identity], clip]) if identity in meshes else clip
    weights = rigid_weights(meshes, canonical)
    basis, spread = expression_basis(meshes, canonical, weights)
    topology = build_topology(options.mediapipe)
    tensors = {
        **topology,
        "face.triangles": wind_outwards(topology["face.triangles"], canonical),
        "face.mirror": torch.from_numpy(mirror_points(canonical)).short(),
        "face.canonical": torch.from_numpy(canonical).float(),
        "face.rigid_weights": torch.from_numpy(weights).float(),
        "expression.basis": torch.from_numpy(basis).half(),
        "expression.spread": torch.from_numpy(spread).float(),
        "expression.reader": torch.from_numpy(expression_reader(meshes, basis, canonical, weights)).float(),
    }
    note = {"portraits": len(portraits), "identities": len(meshes), "frames": sum(map(len, meshes.values()))}
    update_checkpoint(options.output, tensors, {"face_model": json.dumps(note)})
    print(note)


if __name__ == "__main__":
    main()

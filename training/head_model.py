"""Put the named expressions of the ICT face model on the compact family's mesh, as the checkpoint's tensors `head.*`.

Beside them, its mean head, in few vertices (light_head.py).

    python -m training.head_model MATERIAL/head_model.safetensors -o weights/compact.safetensors

The light ICT face model (Li et al., "Learning Formation of Physically-Based Face Attributes", CVPR 2020; MIT) gives a
mean head of 26,719 vertices and 53 expressions as offsets at them. Here each of the mesh's 468 points is given a place
on that head's skin: the head is moved onto the mesh by a similarity of landmarks, bent onto it by a smooth
displacement (biharmonic splines) whose anchors are landmarks and the edges of lips and lids, and the points are dropped
onto its surface, over again. A point's offsets are then those of its place. Edges of lips and lids are followed by
shortest paths along the head's edges, so that a point of the upper lip never lands on the lower one.
MATERIAL/head_model.safetensors holds FaceXModel of ICT-FaceKit as tensors: neutral (V, 3), in centimetres, x right,
y up, z to the camera; triangles (T, 3); expressions (E, V, 3), offsets, named in the metadata as
expression_names; landmarks68 (68,), vertices.
The same numbers come out of every run; tensors of other prefixes in the output file are kept.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors import safe_open
from scipy.interpolate import RBFInterpolator
from scipy.sparse.csgraph import dijkstra
from torch import Tensor

from training.checkpoint_file import renew_sum, update_checkpoint
from training.light_head import lighten
from training.surface_places import (
    Array,
    Indices,
    Places,
    Surface,
    along,
    closest_places,
    edge_lengths,
    join_places,
    length_shares,
    place_at,
    shortest_path,
)
from vid2vid_cli.face.eyes import INNER, LOOPS, LOWER, OUTER, RINGS, UPPER
from vid2vid_cli.face.landmarks import INNER_LIPS, LIP_CONTOURS, OUTER_LIPS
from vid2vid_cli.geometry.keypoints import fit_similarity
from vid2vid_cli.models.compact.contact import LidContact, LipContact
from vid2vid_cli.models.compact.head_model import encode_names
from vid2vid_cli.models.compact.mesh.light_head import LightHead
from vid2vid_cli.models.compact.mesh.topology import FaceTopology
from vid2vid_cli.models.compact.motion_layout import POINTS

SKIN, WHOLE = 9409, 11248  # vertices of the face's skin come first, then those of the rest of head and neck
# Mesh points at the usual 68 landmarks from the brows on: brows, nose, eyes, outer and inner lips. The jaw's are left
# out: both meshes end elsewhere there.
FIRST_KNOWN = 17
KNOWN = np.array(
    [
        *(70, 63, 105, 66, 107, 336, 296, 334, 293, 300, 168, 197, 5, 4, 75, 97, 2, 326, 305),
        *(33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380),
        *(61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181, 78, 82, 13, 312, 308, 317, 14, 87),
    ]
)
CHIN, CHIN_LANDMARK = 152, 8
ROUNDS, STIFFNESS = 4, 2e-3  # of the fit of both surfaces; anchors may be missed a little, for a smooth displacement
# The line where lips meet moves inwards, behind the points at which the mesh sees it: they would come apart.
SEALED = ("mouthRollUpper", "jawForward")
UPRIGHT, LIDS_REACH = ("eyeBlink", "eyeWide", "eyeLookUp", "eyeLookDown"), 0.25  # eye distances around lids
# Eye distances: how far outwards and down the outer and the inner corner move, as read in clips beside the head's own.
SHUT_CORNERS, CORNER_REACH = ((0.005, 0.022), (0.008, -0.014)), 0.06
SKIN_FOLLOWS = 0.28  # of an upper lid's movement, as the mesh sees it: the skin above, which folds
GAZE_OUT, GAZE_UP = 0.22, 0.12  # eye widths: how far the irises move where eyes look aside, or up and down, fully


@dataclass(frozen=True)
class Head(Surface):
    """The skin of the ICT head's face, in the canonical frame of the mesh.

    landmarks: (68,), vertices. offsets: (E, V, 3), of the expressions, named by names. whole: with ears, skull and
    neck; the face's own vertices come first.
    """

    landmarks: Indices
    offsets: Array
    names: tuple[str, ...]
    whole: Surface


def read_head(path: Path, canonical: Array) -> Head:
    """Read the head's skin and bring it into the canonical frame by its landmarks. canonical: (468, 3), the mesh's."""
    with safe_open(path, "pt") as file:
        names = tuple(json.loads(file.metadata()["expression_names"]))
        raw = {key: file.get_tensor(key).double().numpy() for key in file.keys()}  # noqa: SIM118
    flip = np.array([1.0, -1.0, -1.0])  # from y up, z to the camera
    vertices, offsets = raw["neutral"][:WHOLE] * flip, raw["expressions"][:, :SKIN] * flip
    triangles, landmarks = raw["triangles"].astype(np.int64), raw["landmarks68"].astype(np.int64)
    known = torch.from_numpy(np.stack([vertices[landmarks[FIRST_KNOWN:]], canonical[KNOWN]]))
    pose = fit_similarity(known[:1], known[1:], torch.ones(len(KNOWN), dtype=known.dtype))
    moved = pose.apply(torch.from_numpy(vertices)[None])[0].numpy()
    turned = float(pose.scale) * offsets @ pose.rotation[0].numpy().T
    face, whole = (triangles[(triangles < count).all(1)] for count in (SKIN, WHOLE))
    return Head(moved[:SKIN], face, landmarks, turned, names, Surface(moved, whole))


def find_places(head: Head, canonical: Array) -> Places:
    """Give each point (468, 3) of the mesh a place on the head's skin."""
    edges = _edge_places(head, canonical)
    known = np.array(sorted(edges))
    bent, places = head.vertices, Places(np.zeros((POINTS, 3), np.int64), np.zeros((POINTS, 3)))
    chin = head.landmarks[CHIN_LANDMARK]
    brows_and_nose = head.landmarks[FIRST_KNOWN:36]
    anchors = np.concatenate([brows_and_nose, [chin]])
    targets = canonical[np.append(KNOWN[: len(brows_and_nose)], CHIN)]
    on_edges = join_places([edges[point] for point in known])
    from_points = np.concatenate([head.vertices[anchors], on_edges.of(head.vertices)])
    to_points = np.concatenate([targets, canonical[known]])
    free = np.setdiff1d(np.arange(POINTS), known)
    for turn in range(ROUNDS):
        stiffness = STIFFNESS if turn else 1e-4
        bend = RBFInterpolator(from_points, to_points - from_points, smoothing=stiffness, kernel="linear")
        bent = head.vertices + bend(head.vertices)
        places.put(free.tolist(), closest_places(canonical[free], bent, head.triangles))
        places.put(known.tolist(), on_edges)
        _place_lips(places, canonical, replace(head, vertices=bent), on_edges, known)
        from_points, to_points = _distinct(places.of(head.vertices), canonical)
    return places


def _distinct(places: Array, points: Array) -> tuple[Array, Array]:
    """Leave out points whose places coincide with an earlier one's: no displacement could fit both."""
    _, first = np.unique(places.round(6), axis=0, return_index=True)
    return places[np.sort(first)], points[np.sort(first)]


def _edge_places(head: Head, canonical: Array) -> dict[int, Places]:
    """Return the places of the mesh's points on the edges of lips and lids, by point."""
    mark, found = head.landmarks, {}

    def follow(points: Sequence[int], marks: Sequence[int]) -> None:
        path = shortest_path(head, [int(mark[m]) for m in marks])
        places = along(path, head.vertices, length_shares(canonical[list(points)]))
        found.update({point: place_at(places, k) for k, point in enumerate(points)})

    for lips, right, upper, left, lower in (
        (OUTER_LIPS, 48, (49, 50, 51, 52, 53), 54, (59, 58, 57, 56, 55)),
        (INNER_LIPS, 60, (61, 62, 63), 64, (67, 66, 65)),
    ):
        follow(lips[:11], (right, *lower, left))
        follow([lips[0], *lips[:10:-1], lips[10]], (right, *upper, left))
    for loop, outer, upper_lid, inner, lower_lid in (
        (LOOPS[0], 36, (37, 38), 39, (41, 40)),
        (LOOPS[1], 45, (44, 43), 42, (46, 47)),
    ):
        corners = int(loop[OUTER]), int(loop[INNER])
        follow([corners[0], *loop[LOWER].tolist(), corners[1]], (outer, *lower_lid, inner))
        follow([corners[0], *loop[UPPER].tolist(), corners[1]], (outer, *upper_lid, inner))
    return found


def _place_lips(places: Places, canonical: Array, head: Head, on_edges: Places, known: Indices) -> None:
    """Place the points between the edges of each lip on that lip's own skin."""
    graph = edge_lengths(head)
    upper, lower = LIP_CONTOURS[0, 11:], LIP_CONTOURS[0, 1:10]
    reach = []
    for edge in (upper, lower):
        start = on_edges.corners[np.isin(known, edge), 0]
        reach.append(dijkstra(graph, directed=False, indices=start, min_only=True))
    is_upper = (reach[0] <= reach[1])[head.triangles].all(1)
    is_lower = (reach[1] <= reach[0])[head.triangles].all(1)
    for points, own in ((LIP_CONTOURS[2:, 11:].ravel(), is_upper), (LIP_CONTOURS[2:, 1:10].ravel(), is_lower)):
        places.put(points.tolist(), closest_places(canonical[points], head.vertices, head.triangles[own]))


def build_expressions(head: Head, places: Places, topology: FaceTopology) -> Tensor:
    """Return the expressions (E, 469, 3) on the mesh and the gaze, symmetric, with lids that meet where eyes blink."""
    mean, lids = topology.canonical[None], LidContact(topology)
    neutral, moved = (torch.from_numpy(places.of(v)).float() for v in (head.vertices[None], head.offsets))
    mirror = torch.from_numpy(topology.mirror).long()
    # The eyes of both heads differ in height: what counts is by which share of it the lids move.
    shares = lids.shares(neutral + moved, neutral).clamp_min(0)
    moved = _symmetric(moved, head.names, mirror)
    # Points of lids that pass each other sideways would leave a shut eye that reads as a slit.
    upright = [index for index, name in enumerate(head.names) if name.startswith(UPRIGHT)]
    moved[upright, :, 0] *= 1 - topology.region_mask(topology.eyes, LIDS_REACH)
    for index, name in enumerate(head.names):
        if name.startswith("eyeBlink"):
            eye = int(name.endswith("L"))
            shares[index, eye] = 0.0
            moved[index] += _shut_corners(topology.canonical, eye)
    faces = lids.opened_by(mean + moved, mean, shares)
    for index in upright:
        eye = int(head.names[index].endswith("L"))
        lid, skin = LOOPS[eye, UPPER], RINGS[0, eye, UPPER]
        faces[index, skin, 1] = mean[0, skin, 1] + SKIN_FOLLOWS * (faces[index, lid, 1] - mean[0, lid, 1])
    sealed = [head.names.index(name) for name in SEALED]
    faces[sealed] = LipContact(topology).open_further(faces[sealed], mean, mean, mean)
    gaze = torch.stack([_gaze_of(name) for name in head.names])
    return torch.cat([faces - mean, gaze[:, None]], 1)


def build_light_head(head: Head, places: Places, canonical: Array) -> LightHead:
    """Return the whole head in few vertices, bent onto the mean face. canonical: (468, 3)."""
    whole = lighten(head.whole)
    vertices, face, mean = (
        points.astype(np.float32) for points in (whole.vertices, places.of(head.vertices), canonical)
    )
    return LightHead(vertices, whole.triangles.astype(np.int32), face).sized(mean).bent(mean)


def _shut_corners(canonical: Tensor, eye: int) -> Tensor:
    """Return how the mesh's corners of an eye move as it shuts: (468, 3). The head's stay, the mesh's rim flattens."""
    moved = torch.zeros_like(canonical)
    for corner, (outwards, down) in zip((OUTER, INNER), SHUT_CORNERS, strict=True):
        distance = torch.cdist(canonical[:, :2], canonical[LOOPS[eye, corner], :2][None])
        near = torch.exp(-(distance / CORNER_REACH).square())
        moved += near * torch.tensor([outwards if eye else -outwards, down, 0.0])
    return moved


def _symmetric(offsets: Tensor, names: Sequence[str], mirror: Tensor) -> Tensor:
    """Make the offsets of left and right each other's mirror images: the head's are, but places are found singly."""
    other = {"L": "R", "R": "L"}
    swapped = {"jawLeft": "jawRight", "jawRight": "jawLeft", "mouthLeft": "mouthRight", "mouthRight": "mouthLeft"}
    partners = [swapped.get(n, f"{n[:-1]}{other[n[-1]]}" if n[-2:] in ("_L", "_R") else n) for n in names]
    mirrored = offsets[[names.index(partner) for partner in partners]][:, mirror] * torch.tensor([-1.0, 1.0, 1.0])
    return (offsets + mirrored) / 2


def _gaze_of(name: str) -> Tensor:
    """Return how the gaze, which both eyes share, moves with one eye's look: (3,), eye widths, right and down."""
    side = 1.0 if name.endswith("L") else -1.0  # the person's left is on the picture's right
    looks = {"eyeLookOut": (side * GAZE_OUT, 0.0), "eyeLookIn": (-side * GAZE_OUT, 0.0)}
    looks |= {"eyeLookUp": (0.0, -GAZE_UP), "eyeLookDown": (0.0, GAZE_UP)}
    x, y = looks.get(name[:-2], (0.0, 0.0))
    return torch.tensor([x / 2, y / 2, 0.0])


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("head", type=Path, help="head_model.safetensors: the ICT face model's numbers")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the checkpoint that gets the tensors head.*")
    options = parser.parse_args(arguments)
    with safe_open(options.output, "pt") as file:
        names = [name for name in file.keys() if name.startswith("face.")]  # noqa: SIM118
        topology = FaceTopology.from_state({name: file.get_tensor(name) for name in names})
    canonical = topology.canonical.double().numpy()
    head = read_head(options.head, canonical)
    places = find_places(head, canonical)
    expressions = build_expressions(head, places, topology).half()
    light = build_light_head(head, places, canonical)
    update_checkpoint(
        options.output,
        {
            "head.expressions": expressions,
            "head.names": encode_names(head.names),
            "head.vertices": torch.from_numpy(light.vertices).half(),
            "head.triangles": torch.from_numpy(light.triangles).short(),
        },
        {"head": json.dumps({"expressions": len(head.names), "made_from": "ICT-FaceKit, light face model (MIT)"})},
        replaces=("head.",),
    )
    renew_sum(options.output)
    print(f"{len(head.names)} expressions, a head of {len(light.vertices)} vertices")


if __name__ == "__main__":
    main()

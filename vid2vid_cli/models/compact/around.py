"""What lies around a person's face, from pictures in which the head is held nearly as in the frame.

Hair, neck and shoulders of one picture can only be bent as its head turns and moves. Other pictures that the same
camera took show how they really lie then, and what of the background the person hides. Each of them has a mesh of its
own with the source's topology; a frame's mesh, and its pixels outside of the face, are mixed of those that are held
most alike. Weights are inverse squares of distances, as in view_choice.py, so that nothing jumps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vid2vid_cli.arrays import Points
from vid2vid_cli.face.matte import PersonMatte
from vid2vid_cli.geometry.affine import Matrix, apply_affine
from vid2vid_cli.geometry.easing import smoothstep, smoothstep_between
from vid2vid_cli.geometry.keypoints import Similarity, fit_similarity
from vid2vid_cli.models.base import View
from vid2vid_cli.models.compact.around_body import Bodies
from vid2vid_cli.models.compact.around_pictures import (
    PlacedPicture,
    are_alike,
    body_offset,
    common_background,
    foreign_beside,
    in_light_of,
    moved_into,
    near_person,
    open_edges,
)
from vid2vid_cli.models.compact.face_matte import with_face
from vid2vid_cli.models.compact.head_top import HeadTop
from vid2vid_cli.models.compact.layers import Layers, lay_over
from vid2vid_cli.models.compact.mesh.box import Border
from vid2vid_cli.models.compact.mesh.square_map import SeenPerson
from vid2vid_cli.models.compact.mesh.topology import FaceTopology
from vid2vid_cli.models.compact.mesh.warp import MeshWarp
from vid2vid_cli.models.compact.mixed_pixels import EVERYWHERE, PersonPicture, PersonPixels
from vid2vid_cli.models.compact.motion_layout import POINTS, unit_points

MOST_STANCES = 8  # with the source's own: each takes memory, and more bring little
# How far apart two heads may be to suit as well as can be: radians, eye distances, and logarithm of the size.
WIDTH = 0.05
# How far away the nearest is from which on pictures are mixed less, and much less: their outlines would be seen twice.
APART = (0.1, 0.3)
# Radians by which the user turns a head from which on its place tells little, how much it still does, how much the
# source's own distance counts (see OWN), and by how much more pictures are chosen rather than mixed.
ASKED, PLACE_ASKED, OWN_ASKED, SHARPER = 0.25, 0.3, 0.7, 1.4
USUALLY_SHOWN = 2
OWN = 0.45  # of the squared distance of the source itself that counts: nothing has to be fitted to it
LITTLE, MUCH = 0.3, 0.7  # of the weight of the best: a stance that has less is left out; what is left out at most
FADE = 0.06  # of the crop's longer side: over how much of its edge a picture passes into the others
RIM = 0.07  # eye distances from the outline of the face over which the source's own face fades out
REACH = 0.05  # of the crop's longer side: how far around a person their own picture is shown
UNEXPLAINED = np.float32(0.02)  # of full light: what a picture may be brighter than its layers say
SEEN = (0.15, 0.45)  # facing the camera: the source's face gives way at the sides that it hardly shows

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Stance:
    """How one picture shows a person: its mesh, and its head's pose on the source's canonical head."""

    warp: MeshWarp
    head: Similarity


@dataclass(frozen=True)
class HeadPoses:
    """How several heads are held. rotation: (S, 3, 3). place: (S, 2), in eye distances of the first. size: (S,)."""

    rotation: Numbers
    place: Numbers
    size: Numbers
    scale: float

    @classmethod
    def of(cls, heads: Sequence[Similarity]) -> HeadPoses:
        """Join poses, batches of 1."""
        scale = float(heads[0].scale)
        rows = [
            (head.rotation[0].numpy(), head.translation[0, :2].numpy() / scale, float(head.scale)) for head in heads
        ]
        rotation, place, size = (np.array(each, np.float64) for each in zip(*rows, strict=True))
        return cls(rotation, place, np.log(size), scale)

    def distances(self, head: Similarity, place_counts: float = 1.0) -> Numbers:
        """Return how differently a head is held: turned (radians), moved (eye distances), larger (logarithm): (S,).

        place_counts: how much the last two count, against the first.
        """
        cosines = (np.einsum("sij,ij->s", self.rotation, head.rotation[0].numpy().astype(np.float64)) - 1) / 2
        turned = np.arccos(np.clip(cosines, -1, 1))
        moved = self.place - head.translation[0, :2].numpy() / self.scale
        larger = self.size - np.log(float(head.scale))
        return np.asarray(np.sqrt(turned**2 + place_counts**2 * ((moved**2).sum(1) + larger**2)), np.float64)


@dataclass(frozen=True)
class Around:
    """The stances of a person, the source's own first.

    poses: of their heads. pixels: of all. background: (3, H, W), what is known of it from all. shares: (S, V), how much
    of each vertex of the mesh a stance may show: all but the inside of the face, which is the source's own where that
    shows it. bodies: where they lie in each; None where no two pictures show enough of them.
    """

    stances: tuple[Stance, ...]
    poses: HeadPoses
    pixels: PersonPixels
    background: Points
    shares: Points
    bodies: Bodies | None

    def weigh(self, head: Similarity, asked: float = 0.0) -> Numbers:
        """Return how much of what lies around a frame's face comes from each stance: (S,), which add up to 1.

        asked: by how many radians the user turns the head. It stays where it is, while heads in pictures move as they
        turn; so its place tells less, and the source's own picture is nearly as far away as the others.
        """
        by_turn = smoothstep_between(asked, 0, ASKED)
        near = np.square(self.poses.distances(head, 1 + by_turn * (PLACE_ASKED - 1)) / WIDTH)
        near[0] *= OWN + by_turn * (OWN_ASKED - OWN)
        nearest = near.min()
        apart = smoothstep_between(WIDTH * float(np.sqrt(nearest)), *APART)
        weights = ((1 + nearest) / (1 + near)) ** (1 + max(apart, SHARPER * by_turn))
        # What the first one too many has is taken off all, so that mostly two are mixed. Where three are nearly as
        # good, all three are: differences of nearly the same numbers would jump.
        too_many = np.sort(weights)[-1 - USUALLY_SHOWN] if len(weights) > USUALLY_SHOWN else 0.0
        weights = np.maximum(weights - np.clip(too_many, LITTLE, MUCH), 0)
        return np.asarray(weights / weights.sum(), np.float64)

    def body_shifts(self, weights: Numbers, head: Similarity) -> Points | None:
        """Return how far the body of a frame lies from where each stance shows it; see around_body.Bodies.

        None where no two pictures show enough of it.
        """
        if self.bodies is None:
            return None
        place = head.translation[0, :2].numpy() - self.poses.scale * self.poses.place[0]
        return self.bodies.shifts(weights, np.asarray(place, np.float64))


class AroundReader:
    """Reads what lies around faces."""

    def __init__(self, topology: FaceTopology, matte: PersonMatte) -> None:
        self._topology, self._matte = topology, matte
        self._inner = (1 - topology.region_mask(topology.oval, RIM)).numpy()

    def read(self, own: View, canonical: Tensor, warp: MeshWarp, views: Sequence[View]) -> Around | None:
        """Read the views whose place is known; None if none of them shows what the source's camera saw.

        own: the source's picture. canonical: (1, 468, 3), its face. warp: its mesh.
        """
        if all(view.place is None for view in views):
            return None
        size = (own.image.shape[2], own.image.shape[3])
        matte = self._matte.of_image(own.image)[0, 0].cpu().numpy()
        first = PlacedPicture(_pixels(own.image), matte, _keypoints(own.landmarks, size), EVERYWHERE)
        heads = {-1: self._head(canonical, first)}
        # Poses are known before the pictures are looked at: only few are.
        for number, view in enumerate(views):
            if view.place is not None:
                heads[number] = self._head_of(canonical, view, size)
        pictures = [first]
        for number in spread(list(heads.values()), MOST_STANCES)[1:]:
            picture = in_light_of(first, self._in_crop(views[list(heads)[number]], warp.border, size))
            if are_alike(first, picture):
                pictures.append(picture)
        if len(pictures) == 1:
            return None
        background = common_background(pictures)
        made = [self._stance(each, canonical, warp, background) for each in pictures]
        stances, pixels = tuple(stance for stance, _ in made), PersonPixels.of([person for _, person in made])
        planes, poses = np.ascontiguousarray(np.moveaxis(background, -1, 0)), HeadPoses.of([s.head for s in stances])
        found = [body_offset(first, each) for each in pictures]
        bodies = Bodies.of(found, poses.scale * (poses.place - poses.place[0]), poses.scale)
        return Around(stances, poses, pixels, planes, self._shares(pictures, stances), bodies)

    def _shares(self, pictures: Sequence[PlacedPicture], stances: Sequence[Stance]) -> Points:
        """Return how much of each vertex the stances may show, see Around."""
        facing = np.stack([self._topology.facing(each.keypoints[0].numpy()) for each in pictures])
        seen = smoothstep((facing - SEEN[0]) / (SEEN[1] - SEEN[0]))
        shares = np.ones((len(stances), len(stances[0].warp.source_xy)), np.float32)
        shares[:, :POINTS] = 1 - self._inner * (1 - (1 - seen[0]) * seen)
        return shares

    def _head_of(self, canonical: Tensor, view: View, size: tuple[int, int]) -> Similarity:
        landmarks = torch.from_numpy(_placed(view)).float()[None]
        return fit_similarity(canonical, _keypoints(landmarks, size), self._topology.rigid_weights)

    def _head(self, canonical: Tensor, picture: PlacedPicture) -> Similarity:
        return fit_similarity(canonical, picture.keypoints, self._topology.rigid_weights)

    def _in_crop(self, view: View, border: Border, size: tuple[int, int]) -> PlacedPicture:
        """Bring a view into the source's crop of a size (height, width). border: see open_edges."""
        place = _required(view.place)
        matte = self._matte.of_image(view.image)[0, 0].cpu().numpy()
        pixels, matte = (moved_into(each, place, size) for each in (_pixels(view.image), matte))
        height, width = view.image.shape[2:]
        box = apply_affine(place, np.array([[0.0, 0.0], [width, height]])).ravel().astype(np.float32) - 0.5
        landmarks = torch.from_numpy(_placed(view)).float()[None]
        return PlacedPicture(pixels, matte, _keypoints(landmarks, size), open_edges(box, border, size))

    def _stance(
        self, picture: PlacedPicture, canonical: Tensor, warp: MeshWarp, background: Points
    ) -> tuple[Stance, PersonPicture]:
        """Return how a picture shows a person, and their pixels."""
        size = picture.matte.shape
        half = max(size) / 2
        points = picture.keypoints[0].numpy()
        points_px = points * np.float32(half) + np.array([size[1] / 2, size[0] / 2, 0], np.float32)
        matte = with_face(picture.matte, points_px)
        head = self._head(canonical, picture)
        mesh = MeshWarp(self._topology, points, head, SeenPerson.in_crop(matte, warp.border))
        # Far from the person, the background is what all have in common: what moved there would leave ghosts.
        near = near_person(matte, REACH * max(size)) * (1 - foreign_beside(picture))
        seen = background + near[..., None] * (picture.pixels - background)
        layers: Layers = lay_over(seen, matte, background, canonical, HeadTop.of(mesh.crown, seen, points_px))
        # Light that neither the person nor the background explains would glow beside a head that moves.
        pixels = layers.pixels
        np.minimum(pixels[..., :3], pixels[..., 3:] + UNEXPLAINED, out=pixels[..., :3])
        person = PersonPicture(pixels, layers.above, layers.beside, picture.box, FADE * max(size))
        return Stance(mesh, head), person


def spread(heads: Sequence[Similarity], most: int) -> list[int]:
    """Choose the heads, the first among them, that leave the others nearest to one of them: their numbers."""
    poses = HeadPoses.of(heads)
    away = np.array([poses.distances(head) for head in heads])
    chosen, near = [0], away[0]
    while len(chosen) < min(most, len(heads)):
        gains = np.maximum(near - away, 0).sum(1)
        best = int(np.argmax(gains))
        if gains[best] <= 0:
            break
        chosen.append(best)
        near = np.minimum(near, away[best])
    return chosen


def _placed(view: View) -> Points:
    """Return the landmarks (470, 3) of a view in px of the source's crop."""
    return np.asarray(apply_affine(_required(view.place), view.landmarks[0].cpu().numpy()), np.float32)


def _required(place: Matrix | None) -> Matrix:
    if place is None:
        raise ValueError("a view whose place is not known")
    return place


def _keypoints(landmarks: Tensor, size: tuple[int, int]) -> Tensor:
    return unit_points(landmarks.detach().float().cpu()[:, :POINTS], size)


def _pixels(image: Tensor) -> Points:
    return np.ascontiguousarray(image[0].permute(1, 2, 0).cpu().numpy(), np.float32)

"""Other pictures of a source's person: each part of a frame's face is taken from those that show it best.

Pictures are laid over the warped source along the mesh, each as far as it suits: the person's own teeth at that
opening, shut lids, folds of a smile, the cheek that a turn brings into view. What a picture shows of a point edge on is
left to others; towards the rim of the face all gives way to the source, whose hair and neck go on there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from vid2vid_cli.arrays import Frame, Points
from vid2vid_cli.geometry.easing import smoothstep
from vid2vid_cli.geometry.keypoints import fit_similarity
from vid2vid_cli.models.base import View
from vid2vid_cli.models.compact.brow_trust import trust_brows
from vid2vid_cli.models.compact.driver import Driver
from vid2vid_cli.models.compact.frame_fit import FrameFit
from vid2vid_cli.models.compact.gaze import read_gaze
from vid2vid_cli.models.compact.known_person import KnownPerson
from vid2vid_cli.models.compact.lip_fit import LipFit, fit_lips
from vid2vid_cli.models.compact.lip_trust import trust_lips
from vid2vid_cli.models.compact.mesh.topology import FaceTopology
from vid2vid_cli.models.compact.motion_layout import POINTS, unit_points
from vid2vid_cli.models.compact.view_blend import LEAST, Pictures, lay_pictures
from vid2vid_cli.models.compact.view_choice import EYES, FaceShape, Numbers, ViewChoice, mouth_opening
from vid2vid_cli.models.compact.view_tone import FacePicture, ToneMatcher
from vid2vid_cli.models.compact.wrinkles import SkinMap, SkinTexture

SEEN = (0.1, 0.4)  # facing the camera: a picture shows nothing of a point up to the first, all from the second on
EDGE = 0.1  # eye distances from the edge of a picture within which it is not relied on
SOURCE_SEEN = 0.02  # of the source, at least: where nothing shows a point, it is stretched
SHOWN = (0.08, 0.35)  # facing the camera in the frame: towards an edge of the face, the source is left
RIM = 0.07  # eye distances from the outline of the face over which pictures fade out
UNSEEN_RIM = 0.04  # the same where the source shows nothing
# A picture's opening over the frame's, from where to where it fills the mouth: a closed one would be smeared there.
FILLS = (0.8, 1.0)
LEAST_OPENING = 1e-3  # eye distances
LEAST_SHARE = 0.02  # of any point: a picture that has less is left out
# Texels: how far the frame's own face may lie from what is drawn to tell how that lies. Smoothing moves lips by less; a
# face that is asked to move less than the driving's, or otherwise, must not be drawn to where that is.
DRIFT = (0.5, 1.0)
# Share of an eye that pictures have: they are moved from the first on, as far as the frame says from the second on.
COVERED = (0.7, 0.97)
HIDDEN = 0.995  # share of a point that pictures have where nothing is seen of what lies below them
# Where folds are flattened: eye distances from the corners of the mouth, and how near to its middle, of their own way.
BESIDE_MOUTH, INWARDS = 0.22, 0.9


@dataclass(frozen=True)
class Views:
    """What other pictures of a person show.

    pictures: K of them, in the source's light. seen: (1 + K, 468), how well the source and each of them show a point.
    inner: (468,), 0 at the rim of the face, 1 inside. beside_mouth: (N,), the points where folds are flattened. fit:
    how their lips lie on the source's. frames: tells how a frame's lie on them. person: whose they are.
    """

    topology: FaceTopology
    choice: ViewChoice
    pictures: Pictures
    seen: Points
    inner: Points
    beside_mouth: NDArray[np.integer]
    fit: LipFit
    frames: FrameFit
    person: KnownPerson

    def choose(self, shown: FaceShape, points_px: Points) -> ChosenViews:
        """Choose what is shown of a frame. points_px: (468, 3), its mesh."""
        weights, near = self.choice.weigh(shown)
        shares = self._shares(weights, points_px)
        used = np.flatnonzero(shares.max(1) > LEAST_SHARE)
        return ChosenViews(self, weights, shares, self._fills(weights, shown.face), near, used)

    def _shares(self, weights: Numbers, points_px: Points) -> Points:
        """Return how much of each point of a frame's face comes from each picture: (K, 468)."""
        shares = np.asarray(weights @ self.choice.regions, np.float32) * self.seen
        shares /= np.maximum(shares.sum(0), 1e-6)
        facing = self.topology.facing(points_px)
        shares *= self.inner * smoothstep((facing - SHOWN[0]) / (SHOWN[1] - SHOWN[0]))
        return np.asarray(shares[1:], np.float32)

    def _fills(self, weights: Numbers, face: Points) -> float:
        open_by = self.choice.openings[1:] / max(mouth_opening(face, self.topology), LEAST_OPENING)
        return float((weights[1:, 0] * smoothstep((open_by - FILLS[0]) / (FILLS[1] - FILLS[0]))).sum())


def read_views(skin: SkinMap, canonical: Tensor, own: View, views: Sequence[View], like: Views | None = None) -> Views:
    """Read other pictures of a person. canonical: (1, 468, 3), the source's face. own: the source's own picture.

    like: what the same views are to another frame of the source's clip.
    """
    topology = skin.topology
    faces = [_FaceInView(topology, canonical, view) for view in (own, *views)]
    tone = ToneMatcher(skin, faces[0].picture)
    unit_px = faces[0].picture.unit_px
    matched = [tone.match(_no_larger(face.picture, unit_px)) for face in faces[1:]]
    skins = [face.skin(skin) for face in faces]
    for face, shown in zip(faces[1:], skins[1:], strict=True):
        if face.is_whole:
            face.known = face.known * trust_brows(skin, skins[0], shown)
    known_lips, own_face = [face.known for face in faces[1:]], faces[0].picture
    fit = fit_lips(skin, own_face, matched, known_lips, None if like is None else like.fit)
    for number, (face, picture) in enumerate(zip(faces[1:], matched, strict=True)):
        trust = trust_lips(skin, own_face, fit.fitted(number, picture), face.turn(faces[0]))
        face.known = np.asarray(face.known * trust, np.float32)
    known = [face.shape(unit_px) for face in faces]
    seen = np.stack([face.known * face.seen() for face in faces])
    seen[0] = np.maximum(seen[0], SOURCE_SEEN)
    choice = ViewChoice(topology, known)
    if like is None:
        frames = FrameFit.of(skin, skins, np.concatenate([fit.own[None], fit.moved]), choice.regions)
    else:
        frames = like.frames.of_source(skin, skins[0], fit.own)
    inner, nearer = (1 - topology.region_mask(topology.oval, reach).numpy() for reach in (RIM, UNSEEN_RIM))
    inner += (1 - seen[0]) * (nearer - inner)
    pictures = Pictures.of([each.picture for each in matched], [each.points_px for each in matched])
    person = KnownPerson.of([shown for face, shown in zip(faces, skins, strict=True) if face.is_whole])
    return Views(topology, choice, pictures, seen, inner, _beside_mouth(topology), fit, frames, person)


def _beside_mouth(topology: FaceTopology) -> NDArray[np.integer]:
    corners, aside = topology.inner_lips[[0, len(topology.inner_lips) // 2]], topology.canonical[:, 0].abs()
    near = topology.region_mask(corners, BESIDE_MOUTH) > 0
    return np.flatnonzero((near & (aside > INWARDS * aside[corners].min())).numpy())


@dataclass(frozen=True)
class ChosenViews:
    """What a frame shows of other pictures.

    weights: (1 + K, R), how much of each region comes from the source and each picture, and shares: (K, 468), how much
    of each point really does. fills: how much of what is between the lips. near:
    how near their lips are to the frame's, 0 to 1. used: the pictures that are shown at all.
    """

    views: Views
    weights: Numbers
    shares: Points
    fills: float
    near: float
    used: NDArray[np.integer]

    def hides(self, points: NDArray[np.integer]) -> bool:
        """Return whether nothing is seen of what lies below the pictures at these points of the mesh."""
        shares = self.shares[np.ix_(self.used, points)]
        return bool((np.where(shares < LEAST, 0, shares).sum(0) > HIDDEN).all())

    def seen_by(self, driver: Driver, sure: float) -> Points | None:
        """Return how far a frame shows what the source shows at a point, and how surely: (468, 3), see `together`.

        driver: whose face is in it. sure: that it is this person's, 0 to 1. None where the frame tells nothing.
        """
        if not sure or driver.skin is None or driver.drawn is None:
            return None
        moved = self.views.frames.since_rest(self.weights, driver.skin, driver.at_rest)
        drift = driver.drift()
        near = smoothstep((DRIFT[1] - np.linalg.norm(drift, axis=1)) / (DRIFT[1] - DRIFT[0]))
        # The source itself stays: an iris that is drawn half of it, half of others, would be seen twice.
        covered = smoothstep((self.shares.sum(0) - COVERED[0]) / (COVERED[1] - COVERED[0]))
        eyes = self.views.choice.regions[EYES]
        return np.column_stack([moved + drift, sure * near * (1 - eyes * (1 - covered))])

    def together(self, seen: Points | None) -> Points:
        """Return how far from the frame's mesh pictures show what the source shows at a point: (468, 2), in texels.

        seen: (468, 3), the same as the frame itself shows it, and how surely, 0 to 1; None where it does not.
        """
        guessed = self.views.fit.together(self.used, self.shares[self.used], self.near)
        return guessed if seen is None else guessed + seen[:, 2:] * (seen[:, :2] - guessed)


def lay_views(image: Tensor, points_px: Points, chosen: ChosenViews, seen: Points | None = None) -> float:
    """Lay what suits a frame over its image (1, 3, H, W), in place. Returns how much of the mouth's inside it shows.

    points_px: (468, 3), the frame's mesh in px from the left and top edge. seen: see ChosenViews.together.
    """
    views, shares, used = chosen.views, chosen.shares, chosen.used
    if not len(used):
        return 0.0
    height, width = image.shape[-2:]
    triangles = views.topology.triangles
    reached = np.zeros(len(points_px), bool)
    reached[triangles[(shares[used].max(0) > 0)[triangles].any(1)]] = True
    points = points_px[reached, :2]
    low = np.clip(np.floor(points.min(0)).astype(int), 0, (width, height))
    high = np.clip(np.ceil(points.max(0)).astype(int) + 1, low, (width, height))
    if (high > low).all():
        pictures = views.pictures.some(used, shares[used], views.fit.moved_px(used, chosen.together(seen)))
        box = int(low[0]), int(low[1]), int(high[0]), int(high[1])
        lay_pictures(image[0].numpy(), points_px, triangles, pictures, box)
    return chosen.fills


class _FaceInView:
    """The face in a picture of the person: its mesh on the canonical head, as the source's own is."""

    def __init__(self, topology: FaceTopology, canonical: Tensor, view: View) -> None:
        height, width = view.image.shape[2:]
        landmarks = view.landmarks.detach().float().cpu()
        points = unit_points(landmarks[:, :POINTS], (height, width))
        head = fit_similarity(canonical, points, topology.rigid_weights)
        self._face, self._rotation = head.undo(points)[0].numpy(), head.rotation[0].numpy()
        self._gaze = read_gaze(landmarks)[0, :2].numpy()
        self._facing = topology.facing(points[0].numpy())
        self.is_whole = view.region is None
        self.known = np.ones(POINTS, np.float32) if view.region is None else _at(view.region, landmarks[0, :POINTS])
        # Octaves that a part lacks which was enlarged into its picture.
        self._blurred = 0.0 if view.region is None else -float(np.log2(min(max(view.sharpness, 0.05), 1.0)))
        pixels = (view.image[0].permute(1, 2, 0).clamp(0, 1) * 255).round().byte().cpu().numpy()
        unit_px = float(head.scale) * max(height, width) / 2
        self.picture = FacePicture(np.ascontiguousarray(pixels), landmarks[0, :POINTS].numpy(), unit_px)

    def seen(self) -> Points:
        """Return how well the picture shows each point (468,): 0 for what lies edge on, or outside of it."""
        height, width = self.picture.picture.shape[:2]
        points = self.picture.points_px[:, :2]
        inside = np.minimum(points, (width, height) - points).min(1) / (EDGE * self.picture.unit_px)
        facing = (self._facing - SEEN[0]) / (SEEN[1] - SEEN[0])
        return np.asarray(smoothstep(inside) * smoothstep(facing), np.float32)

    def turn(self, other: _FaceInView) -> float:
        """Return the angle between both heads in radians."""
        cosine = (float(np.sum(self._rotation * other._rotation)) - 1) / 2
        return float(np.arccos(np.clip(cosine, -1, 1)))

    def skin(self, skin: SkinMap) -> SkinTexture:
        """Return what the picture shows of the skin."""
        return skin.take(self.picture.picture, self.picture.points_px, self._rotation)

    def shape(self, unit_px: float) -> FaceShape:
        """Return what it is chosen by. unit_px: of the source."""
        coarse = max(0.0, float(np.log2(unit_px / self.picture.unit_px)), self._blurred)
        return FaceShape(self._face, self._rotation, self._gaze, coarse, self.known)


def _at(region: Tensor, points_px: Tensor) -> Points:
    """Return a view's region (1, 1, H, W) at the points (468, 3) of its mesh: (468,); 0 beyond the picture."""
    places = np.ascontiguousarray(points_px[None, :, :2].numpy() - np.float32(0.5))
    return np.asarray(cv2.remap(region[0, 0].cpu().numpy(), places, None, cv2.INTER_LINEAR)[0], np.float32)  # type: ignore[call-overload]


def _no_larger(view: FacePicture, unit_px: float) -> FacePicture:
    """Return a picture of no more px than the source's: finer ones would only flicker."""
    shrink = unit_px / view.unit_px
    if shrink >= 1:
        return view
    height, width = view.picture.shape[:2]
    size = max(2, round(width * shrink)), max(2, round(height * shrink))
    picture: Frame = np.asarray(cv2.resize(view.picture, size, interpolation=cv2.INTER_AREA), np.uint8)
    scale = np.array([size[0] / width, size[1] / height, shrink], np.float32)
    return FacePicture(picture, view.points_px * scale, unit_px)

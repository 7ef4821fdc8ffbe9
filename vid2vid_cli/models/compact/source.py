"""A source of compact: a face split into identity, pose and expression, and its mesh, ready to be warped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vid2vid_cli.arrays import Map, Points
from vid2vid_cli.codec.space import ExpressionBasis
from vid2vid_cli.errors import WeightsError
from vid2vid_cli.face.crop import CropSpec
from vid2vid_cli.geometry.keypoints import Similarity, fit_similarity
from vid2vid_cli.models.base import SourceAppearance
from vid2vid_cli.models.compact.around import Around
from vid2vid_cli.models.compact.gaze import Irises, place_irises, read_gaze
from vid2vid_cli.models.compact.layers import Layers
from vid2vid_cli.models.compact.lid_layer import SourceLids
from vid2vid_cli.models.compact.mesh.box import Border, Box
from vid2vid_cli.models.compact.mesh.square_map import SeenPerson
from vid2vid_cli.models.compact.mesh.topology import FaceTopology
from vid2vid_cli.models.compact.mesh.warp import MeshWarp
from vid2vid_cli.models.compact.motion_layout import KEYPOINTS, POINTS
from vid2vid_cli.models.compact.mouth import SourceMouth
from vid2vid_cli.models.compact.side_detail import SideDetail
from vid2vid_cli.models.compact.views import Views
from vid2vid_cli.models.compact.wrinkles import SkinTexture
from vid2vid_cli.motion import Motion

SOURCE_CROP = CropSpec(scale=3.0)
LIPS_REACH, EYES_REACH = 0.7, 0.5  # eye distances: how far from lips and lids expressions are taken as they are seen


@dataclass(frozen=True)
class CompactSource(SourceAppearance):
    """A source of the compact family: its mesh is ready to be warped.

    features: "image" (1, 3, H, W).
    """

    warp: MeshWarp
    irises: Irises
    mouth: SourceMouth
    lids: SourceLids
    layers: Layers
    skin: SkinTexture
    sides: SideDetail
    views: Views | None = None
    around: Around | None = None


@dataclass(frozen=True)
class Rig:
    """A face split up: canonical keypoints (1, 468, 3), motion, mesh, the square around its head, the head's pose."""

    canonical: Tensor
    motion: Motion
    warp: MeshWarp
    square: Box
    head: Similarity


class Rigging:
    """Splits faces into identity, pose and expression by the checkpoint's face model."""

    def __init__(self, topology: FaceTopology, basis: ExpressionBasis | None, state: Mapping[str, Tensor]) -> None:
        """basis: of calls, expressions then lie in it; without one the checkpoint's own components are taken."""
        self._topology = topology
        self._face_basis = None if basis is None else _without_gaze(basis)
        self._components = state["expression.basis"].float().flatten(1)
        lips = topology.region_mask(topology.inner_lips, reach=LIPS_REACH)
        eyes = topology.region_mask(topology.eyes, reach=EYES_REACH)
        # (468, 1), 1 at lips and lids, 0 far from them; rounded, since distances differ in their last bits with threads
        self._free = (torch.maximum(lips, eyes)[:, None] * 256).round() / 256

    def motion(self, points: Tensor) -> Motion:
        """Read the motion of faces (B, 468 or 470, 3): a pose, and the expression that remains."""
        pose, offsets = self._undo_pose(points)
        # Lips and lids arrive as they are seen, whatever the space of expressions can hold. At the rim of the face,
        # what it cannot hold is mostly noise of the mesh, which would make the head breathe.
        held = self.project(offsets)
        return _motion_of(pose, held + self._free * (offsets - held), read_gaze(points))

    def rig(self, points: Tensor, matte: Map, frame: Box | None = None, picture: Points | None = None) -> Rig:
        """Split a face (1, 468 or 470, 3), and build its mesh.

        matte: (H, W), of the crop. frame: how much of the crop a frame shows, whose edge is repeated beyond; None for
        all of it. picture: (H, W, 3), if the mesh is to show what it hides.
        """
        pose, offsets = self._undo_pose(points)
        expression = self.project(offsets)
        # What the space of expressions cannot hold is identity.
        canonical = self._topology.canonical + offsets - expression
        keypoints = points[:, :POINTS]
        face = keypoints[0].numpy()
        border = _still_border(face)
        # Fitted to the source's own shape, unlike the pose of the motion, which is fitted to the mean face.
        head = fit_similarity(canonical, keypoints, self._topology.rigid_weights)
        warp = MeshWarp(self._topology, face, head, SeenPerson.in_crop(matte, border, frame, picture))
        return Rig(canonical, _motion_of(pose, expression, read_gaze(points)), warp, _square(border), head)

    def _undo_pose(self, points: Tensor) -> tuple[Similarity, Tensor]:
        """Fit the pose to the rigid points; return it, and the offsets from the mean face (B, 468, 3)."""
        keypoints, mean = points[:, :POINTS], self._topology.canonical
        pose = fit_similarity(mean[None], keypoints, self._topology.rigid_weights)
        return pose, pose.undo(keypoints) - mean

    def project(self, offsets: Tensor) -> Tensor:
        """Return the part of offsets (B, 468, 3) that lies in the space of expressions."""
        # In double precision: the order of a sum differs with the number of threads, and pictures must not.
        flat = offsets.double().flatten(1)
        if self._face_basis is not None:
            components, weights = self._face_basis.components.double(), self._face_basis.weights.double()
            coefficients = flat @ (components * weights).flatten(1).T
        else:
            components = self._components.double()
            coefficients = flat @ components.T
        return (coefficients @ components.flatten(1)).reshape(offsets.shape).to(offsets.dtype)


def mouth_width(topology: FaceTopology, canonical: Tensor) -> float:
    """Return the width of a mouth, in canonical units. canonical: (1, 468, 3)."""
    left, right = canonical[0, topology.inner_lips[[0, len(topology.inner_lips) // 2]]]
    return float((right - left).norm())


def own_landmarks(source: SourceAppearance, size: tuple[int, int]) -> Tensor:
    """Return the landmarks of a source (1, 470, 3) in px of its crop, which is of this size (height, width)."""
    motion = source.motion
    pose = Similarity(motion.scale, motion.rotation, motion.translation)
    mesh = pose.apply(source.canonical + motion.expression[:, :POINTS])[0].numpy()
    irises = place_irises(mesh, motion.expression[0, POINTS].numpy())
    height, width = size
    middle = torch.tensor([width / 2, height / 2, 0.0])
    return torch.from_numpy(np.concatenate([mesh, irises]))[None] * (max(size) / 2) + middle


def _motion_of(pose: Similarity, expression: Tensor, gaze: Tensor) -> Motion:
    return Motion(pose.rotation, pose.translation, pose.scale, torch.cat([expression, gaze[:, None]], 1))


def _without_gaze(basis: ExpressionBasis) -> ExpressionBasis:
    """Return a basis of the face alone: without the last two components and the last keypoint, which are the gaze."""
    if basis.weights.shape[0] != KEYPOINTS:
        raise WeightsError(f"the checkpoint's basis has {len(basis.weights)} keypoints, not {KEYPOINTS}; make it again")
    return ExpressionBasis(basis.components[:-2, :POINTS], basis.weights[:POINTS])


def _still_border(points: NDArray[np.float32]) -> Border:
    """Return the border of the square that the crop is, or would be in a larger frame. points: (468, 3).

    Where the frame ends the crop, nothing needs to hold still: beyond it the frame's edge is repeated.
    """
    low, high = points[:, :2].min(0), points[:, :2].max(0)
    # The crop is this square, cut where the frame ends.
    half = (high - low).max() * SOURCE_CROP.scale / 2
    middle = (low + high) / 2
    return Border(middle - half, middle + half)


def _square(border: Border) -> Box:
    """Return a border as a box."""
    (left, top), (right, bottom) = border.low, border.high
    return Box.around(float(left + right) / 2, float(top + bottom) / 2, float(right - left) / 2)

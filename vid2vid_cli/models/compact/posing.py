"""How compact's keypoints follow a driving: poses as rotations, expressions as differences."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from vid2vid_cli.arrays import Map
from vid2vid_cli.face.landmarks import BROWS
from vid2vid_cli.geometry.keypoints import Similarity, fit_similarity
from vid2vid_cli.geometry.rotation import axis_angle_from_rotation, pose_from_rotation, rotation_from_pose
from vid2vid_cli.geometry.turning import Turning
from vid2vid_cli.models.base import SourceAppearance, are_finite
from vid2vid_cli.models.compact.brow_room import BrowRoom
from vid2vid_cli.models.compact.chin_room import ChinRoom
from vid2vid_cli.models.compact.contact import LidContact, LipContact
from vid2vid_cli.models.compact.driver import Driver
from vid2vid_cli.models.compact.eye_contact import gaze_towards, share_asked
from vid2vid_cli.models.compact.head_model import HeadModel
from vid2vid_cli.models.compact.mesh.topology import FaceTopology
from vid2vid_cli.models.compact.mesh.warp import Surroundings
from vid2vid_cli.models.compact.motion_layout import KEYPOINTS, POINTS, as_cells, body_in, require_extra
from vid2vid_cli.models.compact.mouth_picture import MouthPicture
from vid2vid_cli.models.compact.relighting import LightChange
from vid2vid_cli.models.compact.wrinkles import SkinTexture
from vid2vid_cli.models.gaze_request import GazeRequest
from vid2vid_cli.motion import Motion, PoseOverride

# A warped head looks less turned than its mesh is, since nothing new of it comes into view: trackers read a yaw of 23
# degrees as 20, and more of a pitch is missing. So heads turn further than asked, by these shares of yaw, pitch, roll,
# where nobody measured how far the source must turn, see models.calibrated_turns.
UNDERTURN = (0.16, 0.25, 0.0)
# In the same way mouths that are warped wide and brows that are warped up are read as less so than they are drawn. On
# strangers' faces they move this much further, as a share of the movement; by eye, it looks like the driving's.
# Frowning brows move less far: they would be squeezed onto the eyes, and not be read as lower.
UNDERSHOWN_WIDTH, UNDERSHOWN_BROWS, UNDERSHOWN_FROWN = 0.36, 0.7, 0.25
CORNER_REACH, BROW_REACH = 0.45, 0.25  # eye distances: how far around the corners of the mouth, and the brows
SAME_FACE = (
    0.015  # eye distances: resting faces closer than this are the same person's; from twice this on, two people's
)


@dataclass(frozen=True)
class CompactState:
    """A source under a driving motion, for B frames.

    keypoints: (B, 468, 3), the mesh in [-1, 1] of the crop's longer side. gaze: (B, 1, 3), how it differs from the
    source's, see gaze.py; (B, 0, 3) where the motion knows none. surroundings: (B, AROUND, 3), see
    motion_layout.py; None where nothing is known. head: the pose of the source's own head in the keypoints. mouth: the
    inside of the driving's mouth, for all frames; None to draw one. shading: how light on the skin changes, for all
    frames, see wrinkles.SkinMap.ratio; None for not at all. light: how all light on it does, see
    relighting.Relighting.change; None for another person. skin: the source's; None where it was not taken. alike: how
    far source and driving are one person, by their shapes, 0 to 1. motion: what is drawn of the driving's, B frames;
    None where nobody knows. driver: the face that `mouth` is of; None where nobody can tell whose it is.
    """

    keypoints: Tensor
    gaze: Tensor
    surroundings: Tensor | None
    head: Similarity
    mouth: MouthPicture | None = None
    shading: Map | None = None
    light: LightChange | None = None
    skin: SkinTexture | None = None
    alike: float = 0.0
    motion: Motion | None = None
    driver: Driver | None = None
    asked: Tensor | None = None

    def is_finite(self) -> bool:
        """Whether all numbers are finite."""
        extra = () if self.surroundings is None else (self.surroundings,)
        return are_finite(self.keypoints, self.gaze, *extra)

    def __len__(self) -> int:
        return len(self.keypoints)

    def surroundings_of_frame(self) -> Surroundings | None:
        """Return how what lies around the face moves in a state of one frame; None where nothing is known."""
        if self.surroundings is None:
            return None
        return Surroundings(as_cells(self.surroundings), body_in(self.surroundings), self.alike)

    def with_gaze(self, own: Motion, asked: GazeRequest) -> CompactState:
        """Return a state whose eyes look where they are asked to. own: the source's motion."""
        if not self.gaze.shape[1]:
            return self
        if asked.toward_deg is None:
            return replace(self, gaze=torch.zeros_like(self.gaze))
        wanted = gaze_towards(self.head.rotation, *asked.toward_deg).to(self.gaze) - own.expression[:, POINTS:]
        share = share_asked(self.head.rotation).to(self.gaze)
        return replace(self, gaze=self.gaze + share * (wanted - self.gaze))

    def with_expression(self, head_model: HeadModel, weights: Tensor) -> CompactState:
        """Return a state with named expressions added on the canonical head, weights: (1 or B, E)."""
        face = head_model.move(self.head.undo(self.keypoints), weights)
        gaze = self.gaze + head_model.gaze(weights) if self.gaze.shape[1] else self.gaze
        return replace(self, keypoints=self.head.apply(face), gaze=gaze)

    def __getitem__(self, index: int) -> CompactState:
        """Return the state of one frame, still as a batch, of 1."""
        one = slice(index, index + 1)
        surroundings = None if self.surroundings is None else self.surroundings[one]
        head = Similarity(*(t[one] for t in self.head))
        motion = None if self.motion is None else self.motion[index]
        asked = None if self.asked is None else self.asked[one]
        changed = replace(self, keypoints=self.keypoints[one], gaze=self.gaze[one], motion=motion)
        return replace(changed, surroundings=surroundings, head=head, asked=asked)


class Posing:
    """Drives keypoints by the checkpoint's face model."""

    def __init__(
        self, topology: FaceTopology, state: Mapping[str, Tensor], project: Callable[[Tensor], Tensor]
    ) -> None:
        """state: the checkpoint's tensors, for how expressions and the shapes of faces vary."""
        self.topology, self._project = topology, project
        self._basis = state["expression.basis"].float().flatten(1)
        self._reader = state["expression.reader"].float()
        self._lids, self._lips = LidContact(topology), LipContact(topology)
        self._brows, self._chin = BrowRoom(topology), ChinRoom(topology)
        self._undershown = undershown(topology)

    def drive(
        self, source: SourceAppearance, driving: Motion, reference: Motion | None, pose: PoseOverride | None
    ) -> CompactState:
        """Compose poses as rotations and expressions as differences (relative), or take them as they are."""
        own = source.motion
        rest = own.expression if source.rest is None else source.rest.expression
        alike = self.likeness(own, reference)
        keypoint_residuals, surroundings = self._missed(driving, reference, alike)
        if reference is None:
            # How large and where the head is belongs to the source: a driving crop says nothing about it.
            scale, translation = own.scale, own.translation.expand(len(driving), 3)
            rotation = driving.rotation
            expression = rest + self.without_shape(driving) - self.without_shape(own)
        else:
            rotation = driving.rotation @ reference.rotation.transpose(-1, -2) @ own.rotation
            moved = driving.expression - reference.expression
            further = moved * (1 + (1 - alike) * self._further(moved))
            limited = self._brows.limited(further, source.canonical + rest[:, :POINTS])
            expression = rest + further + (1 - alike) * (limited - further)
            scale = own.scale * driving.scale / reference.scale
            translation = own.translation + (driving.translation - reference.translation) * own.scale / reference.scale
        gaze = expression[:, POINTS:] - own.expression[:, POINTS:]
        face = source.canonical + expression[:, :POINTS] + keypoint_residuals
        # All faces are compared on the canonical head.
        mean, own_face = self.topology.canonical, source.canonical + rest[:, :POINTS]
        driving_face, reference_face = mean + (driving.expression[:, :POINTS] + keypoint_residuals), None
        if reference is not None:
            reference_face = mean + reference.expression[:, :POINTS]
            face = self._lids.set_opening(face, own_face, driving_face, reference_face)
        face = self._lips.set_opening(face, own_face, driving_face, reference_face)
        if reference_face is not None:
            face = face + (1 - alike) * (self._chin.made(face, own_face, driving_face, reference_face) - face)
        asked = None
        if pose is not None:
            driven, rotation = rotation, turn(rotation, pose, source.turning)
            asked = axis_angle_from_rotation(rotation @ driven.transpose(-1, -2)).norm(dim=-1)
        posed = Similarity(scale.expand(len(driving), 1), rotation, translation)
        keypoints = posed.apply(face)
        # No pose can be fitted to numbers that overflowed: the fit would raise, where the caller knows whose fault
        # it is (`is_finite`).
        head = self.head_pose(source, keypoints) if are_finite(keypoints) else posed
        drawn = None if reference is None else _drawn(driving, keypoint_residuals, alike)
        return CompactState(keypoints, gaze, surroundings, head, alike=alike, motion=drawn, asked=asked)

    def _further(self, moved: Tensor) -> Tensor:
        """Return how much further strangers' faces move than the driving's, as a share of movements (B, 469, 3)."""
        frown = self._undershown.clone()
        frown[:, 1] *= UNDERSHOWN_FROWN / UNDERSHOWN_BROWS
        return torch.where(moved > 0, frown, self._undershown)  # y is down

    def likeness(self, own: Motion, reference: Motion | None) -> float:
        """Return how much a source is the driving person, see `likeness`; 0 where nobody can tell."""
        if reference is None:
            return 0.0
        return likeness(own.expression[:, :POINTS], self._project(reference.expression[:, :POINTS]))

    @staticmethod
    def _missed(driving: Motion, reference: Motion | None, alike: float) -> tuple[Tensor, Tensor | None]:
        """Return what the mesh misses of the driving: of its keypoints, as far as both are alike, and around it."""
        if reference is None or reference.extra is None or driving.extra is None:
            return torch.zeros(1, POINTS, 3), None
        missed = require_extra(driving.extra) - require_extra(reference.extra)
        return alike * missed[:, :POINTS], missed[:, POINTS:]

    def rested(self, source: SourceAppearance, reference: Motion, shown: Motion | None) -> Motion:
        """Return a source's motion at rest; see models.base.KnowsRest."""
        rest = source.motion if shown is None else replace(source.motion, expression=shown.expression)
        face = source.canonical + rest.expression[:, :POINTS]
        closed = self._lips.closed(face, self.topology.canonical + reference.expression[:, :POINTS])
        moved = rest.expression.clone()
        moved[:, :POINTS] += closed - face
        return replace(rest, expression=moved)

    def head_pose(self, source: SourceAppearance, keypoints: Tensor) -> Similarity:
        """Find the pose of a source's own head in its keypoints (B, 468, 3)."""
        return fit_similarity(source.canonical, keypoints, self.topology.rigid_weights)

    def without_shape(self, motion: Motion) -> Tensor:
        """Take the shape of a face out of its expressions by what is known of how both vary (a Wiener filter)."""
        shown, gaze = motion.expression[:, :POINTS], motion.expression[:, POINTS:]
        coefficients = shown.flatten(1) @ self._basis.T
        return torch.cat([(coefficients @ self._reader.T @ self._basis).reshape(shown.shape), gaze], 1)


def _drawn(driving: Motion, residuals: Tensor, alike: float) -> Motion:
    """Return what is drawn of a driving: its motion, with what the mesh misses where that is followed."""
    if driving.extra is None or not alike:
        return driving
    face, gaze = driving.expression[:, :POINTS] + residuals, driving.expression[:, POINTS:]
    return replace(driving, expression=torch.cat([face, gaze], 1))


def undershown(topology: FaceTopology) -> Tensor:
    """Return how much further strangers' faces move than the driving's, as a share of the movement: (469, 3)."""
    corners = topology.inner_lips[[0, len(topology.inner_lips) // 2]]
    share = torch.zeros(KEYPOINTS, 3)
    share[:POINTS, 0] = UNDERSHOWN_WIDTH * topology.region_mask(corners, CORNER_REACH)
    share[:POINTS, 1] = UNDERSHOWN_BROWS * topology.region_mask(np.array(BROWS), BROW_REACH)
    return share


def likeness(own: Tensor, reference: Tensor) -> float:
    """Return how much a source's face at rest is the driving's: 1 for the same one, 0 for another's.

    How a face differs from its mesh as it turns and moves belongs to that face alone. On another face it did harm:
    expressions came across less well than by the mesh alone.
    """
    away = float((reference - own).square().sum(-1).mean().sqrt())
    return min(max(2 - away / SAME_FACE, 0.0), 1.0)


def turn(rotation: Tensor, pose: PoseOverride, turning: Turning | None) -> Tensor:
    """Turn heads (B, 3, 3) as the user asks, a little further than asked: as was measured, or see UNDERTURN."""
    driven = pose_from_rotation(rotation)
    asked = pose_from_rotation(pose.apply(rotation))
    measured = turning or Turning()
    angles = [
        before + measured.turn(axis, after - before, 1 + share)
        for axis, (before, after, share) in enumerate(zip(driven, asked, UNDERTURN, strict=True))
    ]
    return rotation_from_pose(*angles)

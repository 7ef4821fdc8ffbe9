"""The compact family: keypoints are the face mesh's 468 points, the flow is the mesh's own."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from vid2vid_cli.codec.space import ExpressionBasis
from vid2vid_cli.errors import MotionFileError, UsageError, WeightsError
from vid2vid_cli.face.crop import CropSpec
from vid2vid_cli.geometry.grid import resize_planes, warp_image
from vid2vid_cli.geometry.keypoints import Similarity, fit_similarity
from vid2vid_cli.geometry.regions import Region
from vid2vid_cli.geometry.rotation import pose_from_rotation, rotation_from_pose
from vid2vid_cli.models.base import SourceAppearance
from vid2vid_cli.models.compact.blink import LidContact
from vid2vid_cli.models.compact.following import first_frame
from vid2vid_cli.models.compact.following.first_frame import CELLS, FirstFrame
from vid2vid_cli.models.compact.gaze import Irises, read_gaze
from vid2vid_cli.models.compact.learned.networks import Correction, LearnedParts
from vid2vid_cli.models.compact.learned.quantized import RANGES, can_quantize, quantize
from vid2vid_cli.models.compact.learned.refine import (
    HeadSquare,
    Target,
    correct_flow,
    encode_source,
    paint_target,
    spread_residual,
)
from vid2vid_cli.models.compact.mesh.topology import FaceTopology
from vid2vid_cli.models.compact.mesh.warp import Flow, MeshWarp, PlacedMesh, whole_box
from vid2vid_cli.models.compact.mouth import SkinTone, draw_mouth, mouth_gaps, read_skin_tone
from vid2vid_cli.motion import Motion, PoseOverride

# A warped head is seen as less turned than its mesh is, since nothing new of it comes into view: a mesh turned by 20
# degrees is read as 15. So much further in yaw, pitch and roll makes the reading what was asked for (nine portraits).
UNDERTURN_DEG = (6.0, 4.5, 0.0)
UNDERTURN_AT_RAD = math.radians(15)
POINTS = 468  # of the mesh
KEYPOINTS = POINTS + 1  # the last one is the gaze
SAME_FACE = 0.015  # eye distances: faces at rest are one face up to this, and two from twice as much
FLOW_SIDE = 512  # longer side of the analytic flow at most; the source is sampled at its own resolution


@dataclass(frozen=True)
class CompactSource(SourceAppearance):
    """A source of the compact family: its mesh is ready to be warped.

    features: "image" (1, 3, H, W), and "encoded" (1, C, 64, 64) of its square where the checkpoint has networks.
    mouth_gaps: (20,), how open its own mouth is. tone: how its face is lit.
    """

    warp: MeshWarp
    square: HeadSquare
    irises: Irises
    mouth_gaps: NDArray[np.float32]
    tone: SkinTone


class CompactModel:
    """Reenactment by warping the source with a face mesh. See models.base.ReenactmentModel for the methods."""

    name = "compact"
    source_crop = CropSpec(scale=3.0)
    driving_crop = CropSpec(scale=3.0)
    pose_range_deg = (45.0, 25.0, 30.0)
    costly_features = frozenset({"encoded"})
    follow_crop = CropSpec(scale=source_crop.scale, size=first_frame.VIEW)

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        """Build from the checkpoint's tensors."""
        self.topology = FaceTopology.from_state(state)
        self.basis = ExpressionBasis.from_state(state)
        self._face_basis = None if self.basis is None else _of_face(self.basis)
        self._basis = state["expression.basis"].float().flatten(1)
        self._reader = state["expression.reader"].float()
        self._lids = LidContact(self.topology)
        self._stored = self._learned = LearnedParts.from_state(state)
        self._ranges = {network: state[name] for network, name in RANGES.items() if name in state}

    @property
    def networks(self) -> LearnedParts | None:
        """Give the learned parts, as they compute; None where the checkpoint has none."""
        return self._learned

    @property
    def quick_dtypes(self) -> frozenset[torch.dtype]:
        """Give what else the learned parts compute in as well as in float32: see models.base.ReenactmentModel."""
        if self._stored is None:
            return frozenset()
        whole = {torch.int8} if len(self._ranges) == len(RANGES) and can_quantize() else set()
        return frozenset({torch.bfloat16} | whole)

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move the learned parts; the mesh is computed on the processor, in float32."""
        if self._stored is not None:
            # A copy, so that a later call with a longer arithmetic does not compute with rounded weights.
            self._learned = copy.deepcopy(self._stored)
            floating = torch.float32 if dtype == torch.int8 else dtype
            self._learned.to(device, floating, memory_format=torch.channels_last)  # type: ignore[call-overload]
            if dtype == torch.int8:
                quantize(self._learned, self._ranges)
        elif dtype != torch.float32:
            name = str(dtype).removeprefix("torch.")
            raise UsageError(f"--dtype {name}: this checkpoint has no networks that compute in it; leave --dtype out")

    def appearance(self, image: Tensor, landmarks: Tensor) -> CompactSource:
        """Take the source's shape apart into identity, pose and expression, and prepare its mesh."""
        return self.restored({}, image, landmarks)

    def restored(self, features: Mapping[str, Tensor], image: Tensor, landmarks: Tensor) -> CompactSource:
        """Return the appearance; "encoded" is computed unless it is among the features."""
        image = image.contiguous()  # grid_sample takes ten times as long on the strides of a frame
        points = unit_points(landmarks, (image.shape[2], image.shape[3]))
        canonical, motion, warp, square = self._rig(points)
        irises = Irises(points[0, :POINTS].numpy(), motion.expression[0, POINTS].numpy())
        kept = {"image": image}
        if self._learned is not None:
            encoded = features.get("encoded")
            kept["encoded"] = encode_source(self._learned, image, square) if encoded is None else encoded
        width = self.mouth_width(canonical) * float(motion.scale)
        gaps = mouth_gaps(points[0].numpy(), self.topology.inner_lips, width)
        tone = read_skin_tone(image, landmarks[0].numpy())
        return CompactSource(kept, canonical, motion, warp, square, irises, gaps, tone)

    def _rig(self, points: Tensor) -> tuple[Tensor, Motion, MeshWarp, HeadSquare]:
        """Take a face (1, 470, 3) apart: canonical keypoints (1, 468, 3), motion, mesh, and the square around it."""
        gaze = read_gaze(points)
        points = points[:, :POINTS]
        pose = self._fit(points)
        offsets = pose.undo(points) - self.topology.canonical
        expression = self._project(offsets)
        canonical = self.topology.canonical + offsets - expression
        face = points[0].numpy()
        border = self._still_border(face)
        warp = MeshWarp(self.topology, face, self._head(canonical, points), border)
        return canonical, _motion_of(pose, expression, gaze), warp, _square(border, canonical)

    def follow(self, picture: NDArray[np.uint8], landmarks: Tensor) -> FirstFrameFollower | None:
        """Begin to compare the frames of a driving with its first one; the networks must be there to use it."""
        if self._learned is None:
            return None
        canonical, motion, warp, square = self._rig(unit_points(landmarks, picture.shape[:2]))
        return FirstFrameFollower(self, SourceAppearance({}, canonical, motion), FirstFrame(warp, square.box, picture))

    def motion(self, images: Tensor | None, landmarks: Tensor, size: tuple[int, int]) -> Motion:
        """Fit head pose to the rigid points; what remains, within the space of expressions, is the expression."""
        points = unit_points(landmarks, size)
        gaze = read_gaze(points)
        points = points[:, :POINTS]
        pose = self._fit(points)
        return _motion_of(pose, self._project(pose.undo(points) - self.topology.canonical), gaze)

    def drive(
        self, source: SourceAppearance, driving: Motion, reference: Motion | None, pose: PoseOverride | None
    ) -> Tensor:
        """Compose poses as rotations and expressions as differences (relative), or take them as they are."""
        own = source.motion
        keypoint_residuals, surroundings = torch.zeros(1, POINTS, 3), None
        if reference is not None and reference.extra is not None and driving.extra is not None:
            missed = _require_extra(driving.extra) - _require_extra(reference.extra)
            keypoint_residuals, surroundings = _likeness(own, reference) * missed[:, :POINTS], missed[:, POINTS:]
        if reference is None:
            # How large and where the head is belongs to the source: a driving crop says nothing about it.
            scale, translation = own.scale, own.translation.expand(len(driving), 3)
            rotation = driving.rotation
            expression = own.expression + self.without_shape(driving) - self.without_shape(own)
        else:
            rotation = driving.rotation @ reference.rotation.transpose(-1, -2) @ own.rotation
            expression = own.expression + driving.expression - reference.expression
            scale = own.scale * driving.scale / reference.scale
            translation = own.translation + (driving.translation - reference.translation) * own.scale / reference.scale
        gaze = expression[:, POINTS:] - own.expression[:, POINTS:]
        face = source.canonical + expression[:, :POINTS] + keypoint_residuals
        if reference is not None:
            canonicals = source.canonical, self.topology.canonical, self.topology.canonical
            moves = (
                own.expression[:, :POINTS],
                driving.expression[:, :POINTS] + keypoint_residuals,
                reference.expression[:, :POINTS],
            )
            seen = (canonical + move for canonical, move in zip(canonicals, moves, strict=True))
            face = self._lids.set_opening(face, *seen)
        if pose is not None:
            rotation = _turn(rotation, pose)
        points = Similarity(scale.expand(len(driving), 1), rotation, translation).apply(face)
        return torch.cat([points, gaze] if surroundings is None else [points, gaze, surroundings], 1)

    def render(self, source: SourceAppearance, keypoints: Tensor) -> Tensor:
        """Warp the source's pixels by the mesh's flow.

        keypoints: (B, 468, 3), or more: how the gaze differs from the source's follows (gaze.py), then what of the
        driving's movement the mesh misses (first_frame.py).
        """
        if not isinstance(source, CompactSource):
            raise ValueError("the source appearance is of another family")
        heads = self.head_pose(source, keypoints)
        frames = [
            self._render_one(source, points, Similarity(*(t[i : i + 1] for t in heads)))
            for i, points in enumerate(keypoints)
        ]
        return frames[0] if len(frames) == 1 else torch.cat(frames)

    def head_pose(self, source: SourceAppearance, keypoints: Tensor) -> Similarity:
        """Find the pose of a source's own head in its keypoints (B, 468 or more, 3)."""
        return self._head(source.canonical, keypoints[:, :POINTS])

    def without_shape(self, motion: Motion) -> Tensor:
        """Take the shape of a face out of its expressions by what is known of how both vary (a Wiener filter)."""
        shown, gaze = motion.expression[:, :POINTS], motion.expression[:, POINTS:]
        coefficients = shown.flatten(1) @ self._basis.T
        return torch.cat([(coefficients @ self._reader.T @ self._basis).reshape(shown.shape), gaze], 1)

    def expression_mask(self, region: Region) -> Tensor:
        """Return how much each mesh point's expression, and the gaze, belongs to a region: (469,)."""
        if region in ("all", "expression"):
            return torch.ones(KEYPOINTS)
        if region == "pose":
            return torch.zeros(KEYPOINTS)
        loops = self.topology.inner_lips if region == "mouth" else self.topology.eyes
        mask = self.topology.region_mask(loops, reach=0.7 if region == "mouth" else 0.45)
        return torch.cat([mask, mask.new_tensor([float(region == "eyes")])])

    def _render_one(self, source: CompactSource, keypoints: Tensor, head: Similarity) -> Tensor:
        image = source.features["image"]
        keypoints, gaze, missed = keypoints[:POINTS], keypoints[POINTS:KEYPOINTS], _as_map(keypoints[KEYPOINTS:])
        mesh = source.warp.place(keypoints.cpu().numpy(), head)
        own = source.motion
        target = Target(mesh, Similarity(own.scale, own.rotation, own.translation), head, missed)
        correction = None
        if self._learned is not None:
            correction = correct_flow(self._learned, source.features["encoded"], target, source.square)
        warped = self._warp(source, mesh, gaze, correction)
        half = max(image.shape[-2:]) / 2
        points_px = keypoints.cpu().numpy() * half + (image.shape[-1] / 2, image.shape[-2] / 2, 0)
        mouth_px = self.mouth_width(source.canonical) * float(head.scale) * half
        face = self.topology, source.tone
        size = (image.shape[2], image.shape[3])
        layer = draw_mouth(size, points_px.astype(np.float32), source.mouth_gaps, mouth_px, face)
        if layer is not None:
            layer.blend(warped[0])
        if self._learned is not None and correction is not None:
            paint_target(self._learned, warped, target, source.square, (source.features["encoded"], correction))
        return warped

    def _warp(self, source: CompactSource, mesh: PlacedMesh, gaze: Tensor, correction: Correction | None) -> Tensor:
        """Warp a source by the mesh's flow, corrected where it can be: (1, 3, H, W). gaze: (1 or 0, 3)."""
        image = source.features["image"]
        height, width = image.shape[-2:]
        shrink = min(1.0, FLOW_SIDE / max(height, width))
        size = max(1, round(height * shrink)), max(1, round(width * shrink))
        flow = mesh.flow(size)
        if len(gaze):
            source.irises.move(flow.displacement, whole_box(size), mesh.vertices[:POINTS], gaze[0].cpu().numpy())
        displacement = torch.from_numpy(flow.displacement).to(image)[None]
        if correction is not None:
            displacement += spread_residual(correction, source.square, displacement)
        warped = warp_image(image, _in_halves_of_sides(displacement, image))
        return warped if flow.mirrored is None else _lay_mirrored(image, warped, flow)

    def _still_border(self, points: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Return left and top, right and bottom of the square that the crop is, or would be in a larger frame.

        Where the frame ends the crop, nothing needs to hold still: beyond it the frame's edge is repeated.
        """
        low, high = points[:, :2].min(0), points[:, :2].max(0)
        half = (high - low).max() * self.source_crop.scale / 2
        middle = (low + high) / 2
        return middle - half, middle + half

    def mouth_width(self, canonical: Tensor) -> float:
        """Return the width of a mouth, in canonical units. canonical: (1, 468, 3)."""
        left, right = canonical[0, self.topology.inner_lips[[0, len(self.topology.inner_lips) // 2]]]
        return float((right - left).norm())

    def _fit(self, points: Tensor) -> Similarity:
        return fit_similarity(self.topology.canonical[None], points, self.topology.rigid_weights)

    def _head(self, canonical: Tensor, keypoints: Tensor) -> Similarity:
        """Find the pose of a source's own head in its keypoints (B, 468, 3)."""
        return fit_similarity(canonical, keypoints, self.topology.rigid_weights)

    def _project(self, offsets: Tensor) -> Tensor:
        """Return the part of offsets (B, 468, 3) that lies in the space of expressions."""
        if self._face_basis is not None:
            return self._face_basis.expression(self._face_basis.coefficients(offsets))
        coefficients = offsets.flatten(1) @ self._basis.T
        return (coefficients @ self._basis).reshape(offsets.shape)


@dataclass(frozen=True)
class FirstFrameFollower:
    """Follows one driving: its first frame, as a source of itself."""

    model: CompactModel
    who: SourceAppearance
    first: FirstFrame

    def compare(self, motion: Motion, picture: NDArray[np.uint8]) -> Tensor:
        """Return what a motion misses: (1, 468 + CELLS * CELLS, 3); see models.base.Follower.

        First how far keypoints slip on the canonical head, then how the cells of the surroundings move (x, y, 0), in
        halves of the square; see first_frame.py.
        """
        mesh = self._place(motion, motion.expression.new_zeros(1, POINTS, 3))
        if mesh is None:
            return no_extra(motion.expression)
        moves = self.first.keypoints(mesh, picture, finely=False)
        near = self._place(motion, _on_head(motion, moves)) or mesh
        moves = moves + self.first.keypoints(near, picture, finely=True)
        keypoint_residuals = _on_head(motion, self.first.without_folds(mesh, moves))
        cells = torch.from_numpy(self.first.surroundings(near, picture))[None]
        return torch.cat([keypoint_residuals, functional.pad(cells.flatten(1, 2), (0, 1))], 1)

    def _place(self, motion: Motion, keypoint_residuals: Tensor) -> PlacedMesh | None:
        """Return the first frame's mesh as a motion moves it; None for numbers that are not finite."""
        own = self.who.motion
        nothing = no_extra(own.expression)
        extra = torch.cat([keypoint_residuals, nothing[:, POINTS:]], 1)
        keypoints = self.model.drive(self.who, replace(motion, extra=extra), replace(own, extra=nothing), None)
        if not bool(torch.isfinite(keypoints).all()):
            return None
        return self.first.warp.place(keypoints[0, :POINTS].numpy(), self.model.head_pose(self.who, keypoints))


def _on_head(motion: Motion, moves: NDArray[np.float32]) -> Tensor:
    """Return moves of keypoints in the picture (468, 2) as slips on the canonical head: (1, 468, 3)."""
    return functional.pad(torch.from_numpy(moves)[None], (0, 1)) @ motion.rotation / motion.scale[:, None]


def _motion_of(pose: Similarity, expression: Tensor, gaze: Tensor) -> Motion:
    return Motion(pose.rotation, pose.translation, pose.scale, torch.cat([expression, gaze[:, None]], 1))


def _of_face(basis: ExpressionBasis) -> ExpressionBasis:
    """Return the part of a basis that is no gaze: its last two components and its last keypoint are left out."""
    if basis.weights.shape[0] != KEYPOINTS:
        raise WeightsError(f"the checkpoint's basis has {len(basis.weights)} keypoints, not {KEYPOINTS}; make it again")
    return ExpressionBasis(basis.components[:-2, :POINTS], basis.weights[:POINTS])


def no_extra(like: Tensor) -> Tensor:
    """Return the `extra` of a motion that misses nothing: (1, 468 + CELLS * CELLS, 3)."""
    return like.new_zeros(1, POINTS + CELLS * CELLS, 3)


def _require_extra(extra: Tensor) -> Tensor:
    if extra.shape[1:] != (POINTS + CELLS * CELLS, 3):
        raise MotionFileError("a motion whose extra is not that of compact; make it again with vid2vid motion")
    return extra


def _likeness(own: Motion, reference: Motion) -> float:
    """Return how much a source's face at rest is the driving's: 1 for the same one, 0 for another's.

    How a face differs from its mesh when it turns and moves belongs to that face. On another it did harm: that one
    then followed expressions less well than by the mesh alone.
    """
    away = float((reference.expression - own.expression)[:, :POINTS].square().sum(-1).mean().sqrt())
    return min(max(2 - away / SAME_FACE, 0.0), 1.0)


def _as_map(points: Tensor) -> Tensor:
    """Return (1, 2, CELLS, CELLS) of the surroundings' points (CELLS * CELLS, 3); zeros where there are none."""
    if not len(points):
        return points.new_zeros(1, 2, CELLS, CELLS)
    return points[:, :2].T.reshape(1, 2, CELLS, CELLS)


def _square(border: tuple[NDArray[np.float32], NDArray[np.float32]], canonical: Tensor) -> HeadSquare:
    """Return the square within a border. canonical: (1, 468, 3), the source's."""
    (left, top), (right, bottom) = border
    head = (canonical.amax(1, keepdim=True) + canonical.amin(1, keepdim=True)) / 2
    back = float(canonical[..., 2].max())
    return HeadSquare((float(left + right) / 2, float(top + bottom) / 2), float(right - left) / 2, head, back)


def _in_halves_of_sides(displacement: Tensor, image: Tensor) -> Tensor:
    """Change a displacement (1, h, w, 2) from halves of an image's longer side to halves of each side, in place."""
    height, width = image.shape[-2:]
    if height != width:
        displacement[..., 0 if width < height else 1] *= max(height, width) / min(height, width)
    return displacement


def _lay_mirrored(image: Tensor, warped: Tensor, flow: Flow) -> Tensor:
    """Return a warped image with the face's other half laid over it where the flow says so."""
    if flow.mirrored is None or flow.mirror_weight is None:
        return warped
    mirrored = warp_image(image, _in_halves_of_sides(torch.from_numpy(flow.mirrored).to(image)[None], image))
    weight = torch.from_numpy(np.ascontiguousarray(flow.mirror_weight)).to(image).permute(2, 0, 1)[None]
    weight = resize_planes(weight, (image.shape[2], image.shape[3]))
    return warped + weight * (mirrored - warped)


def _turn(rotation: Tensor, pose: PoseOverride) -> Tensor:
    """Turn heads (B, 3, 3) as the user asks, a little further than asked: see UNDERTURN_DEG."""
    driven = pose_from_rotation(rotation)
    asked = pose_from_rotation(pose.apply(rotation))
    angles = []
    for before, after, more_deg in zip(driven, asked, UNDERTURN_DEG, strict=True):
        change = after - before
        angles.append(after + math.radians(more_deg) * torch.tanh(change / UNDERTURN_AT_RAD))
    return rotation_from_pose(*angles)


def unit_points(landmarks: Tensor, size: tuple[int, int]) -> Tensor:
    """Bring landmarks (B, 468, 3) from crop px to [-1, 1] of the crop's longer side, its centre at 0."""
    height, width = size
    half = max(height, width) / 2
    return (landmarks - landmarks.new_tensor([width / 2, height / 2, 0.0])) / half

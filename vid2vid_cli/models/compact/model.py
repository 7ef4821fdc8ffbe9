"""The compact family: keypoints are the face mesh's 468 points, the flow is the mesh's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from vid2vid_cli.arrays import Frame, Points
from vid2vid_cli.checkpoints.reading import embedded_checkpoint
from vid2vid_cli.codec.space import ExpressionBasis
from vid2vid_cli.errors import UsageError, WeightsError
from vid2vid_cli.face.crop import CropSpec, FaceCrop
from vid2vid_cli.face.frames import frame_of
from vid2vid_cli.face.matte import MatteNetwork, PersonMatte
from vid2vid_cli.geometry.affine import apply_affine
from vid2vid_cli.geometry.keypoints import Similarity
from vid2vid_cli.geometry.regions import Mouth, Region
from vid2vid_cli.geometry.turning import Turning
from vid2vid_cli.models.base import DrivenState, Rest, SourceAppearance, View
from vid2vid_cli.models.compact.around import AroundReader
from vid2vid_cli.models.compact.beside import beside_basis
from vid2vid_cli.models.compact.driver import Driver
from vid2vid_cli.models.compact.face_matte import with_face
from vid2vid_cli.models.compact.following.first_frame import VIEW, FirstFrame
from vid2vid_cli.models.compact.following.follower import FirstFrameFollower
from vid2vid_cli.models.compact.gaze import Irises
from vid2vid_cli.models.compact.head_model import HeadModel
from vid2vid_cli.models.compact.head_top import HeadTop
from vid2vid_cli.models.compact.layers import split_layers
from vid2vid_cli.models.compact.lid_layer import read_lids
from vid2vid_cli.models.compact.mesh.box import Box
from vid2vid_cli.models.compact.mesh.topology import FaceTopology
from vid2vid_cli.models.compact.motion_layout import KEYPOINTS, POINTS, unit_points
from vid2vid_cli.models.compact.mouth_bank import MouthBank
from vid2vid_cli.models.compact.mouth_picture import take_mouth
from vid2vid_cli.models.compact.mouth_reading import read_mouth
from vid2vid_cli.models.compact.movements import Movements
from vid2vid_cli.models.compact.posing import CompactState, Posing
from vid2vid_cli.models.compact.relighting import Relighting
from vid2vid_cli.models.compact.rendering import render_frame
from vid2vid_cli.models.compact.rest import RestFinder
from vid2vid_cli.models.compact.side_detail import SideDetail
from vid2vid_cli.models.compact.source import SOURCE_CROP, CompactSource, Rigging, own_landmarks
from vid2vid_cli.models.compact.spoken_face import SpokenFaces, carried
from vid2vid_cli.models.compact.views import read_views
from vid2vid_cli.models.compact.wrinkles import FEWEST_AT_REST, DrivingLook, RestingSkin, SkinMap
from vid2vid_cli.models.gaze_request import GazeRequest
from vid2vid_cli.models.speaking import SpokenFace
from vid2vid_cli.motion import Motion, PoseOverride

MOUTH_REACH, EYE_REACH = 0.7, 0.45  # eye distances: how far from lips and eyelids a region reaches


class CompactModel:
    """Reenactment by warping the source with a mesh of the head. See models.base.ReenactmentModel for the methods."""

    name = "compact"
    source_crop = SOURCE_CROP
    driving_crop = CropSpec(scale=3.0)
    pose_range_deg = (45.0, 25.0, 30.0)
    furthest_pose_deg = (65.0, 50.0)
    surroundings_move_with: Literal["pose", "all"] = "pose"
    follow_crop = CropSpec(scale=SOURCE_CROP.scale, size=VIEW)

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        """Build from the checkpoint's tensors."""
        self.topology = FaceTopology.from_state(state)
        self.basis = ExpressionBasis.from_state(state)
        self.skin = SkinMap(self.topology)
        self._relighting = Relighting(self.skin)
        self._rigging = Rigging(self.topology, self.basis, state)
        self._rest = RestFinder(self.topology)
        self.posing = Posing(self.topology, state, self._rigging.project)
        self._matte = PersonMatte(_matte_network(state))
        self._around = AroundReader(self.topology, self._matte)
        self._bank = MouthBank.from_state(state)
        self._head = HeadModel.from_state(self.topology, state)
        self._movements = None if self._head is None else Movements(self.topology, self._head)
        self._spoken = SpokenFaces(state["expression.basis"].float(), state["expression.spread"].float())

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """Do nothing: the mesh is computed on the processor, in float32."""
        if dtype != torch.float32:
            name = str(dtype).removeprefix("torch.")
            raise UsageError(f"--dtype {name}: compact has no networks that compute in it; leave --dtype out")

    def appearance(self, image: Tensor, landmarks: Tensor) -> CompactSource:
        """Split the source into the person and the background, the face into identity, pose and expression."""
        image = image.contiguous()  # grid_sample takes ten times as long on the strides of a frame
        points = unit_points(landmarks, (image.shape[2], image.shape[3]))
        height, width = image.shape[2:]
        middle = np.array([width / 2, height / 2, 0], np.float32)
        points_px = points[0].numpy() * np.float32(max(height, width) / 2) + middle
        matte = with_face(self._matte.of_image(image)[0, 0].numpy(), points_px)
        picture = np.ascontiguousarray(image[0].permute(1, 2, 0).cpu().numpy())
        rig = self._rigging.rig(points, matte, picture=picture)
        irises = Irises(points[0].numpy(), rig.motion.expression[0, POINTS].numpy(), image)
        mouth = read_mouth(self.topology, self._bank, image, landmarks[0], rig)
        lids = read_lids(image, landmarks[0].numpy())
        layers = split_layers(image, matte, HeadTop.of(rig.warp.crown, picture, points_px))
        frame = frame_of(image)
        skin = self.skin.take(frame, points_px, rig.head.rotation[0].numpy())
        sides = SideDetail.of(self.topology, points[0, :POINTS].numpy(), rig.head, frame)
        return CompactSource(
            {"image": image}, rig.canonical, rig.motion, rig.warp, irises, mouth, lids, layers, skin, sides
        )

    def with_texture(self, source: SourceAppearance) -> SourceAppearance:
        """Return a source whose background has texture behind the person, too; see models.base.TexturesBackground."""
        return replace(source, layers=source.layers.textured()) if isinstance(source, CompactSource) else source

    def follow(
        self, picture: NDArray[np.uint8], landmarks: Tensor, seen: Points | None = None
    ) -> FirstFrameFollower | None:
        """Begin to compare the frames of a driving with its first one."""
        points = unit_points(landmarks, picture.shape[:2])
        # What its mesh misses is what a source's misses that is cut off by the same frame.
        frame = None if seen is None else Box.of_px(seen, picture.shape[:2])
        part = np.s_[:, :] if frame is None else frame.in_px(picture.shape[:2])
        matte = np.zeros(picture.shape, np.float32)
        matte[part] = self._matte.of_frame(np.repeat(picture[part][..., None], 3, -1))
        rig = self._rigging.rig(points, matte, frame)
        first = FirstFrame(rig.warp, rig.square, picture, seen)
        person = SourceAppearance({}, self.topology.canonical[None], self._rigging.motion(points))
        return FirstFrameFollower(self.posing, person, first)

    def beside_basis(self) -> ExpressionBasis:
        """Return the basis of what the mesh misses; see models.base.SendsBeside."""
        return beside_basis()

    def follows_face(self, own: Motion, reference: Motion) -> bool:
        """Say whether a source is so like the driving that it follows more of the face than the mesh tells."""
        return self.posing.likeness(own, reference) > 0

    def motion(self, images: Tensor | None, landmarks: Tensor, size: tuple[int, int]) -> Motion:
        """Fit head pose to the rigid points; what remains, within the space of expressions, is the expression."""
        return self._rigging.motion(unit_points(landmarks, size))

    def drive(
        self, source: SourceAppearance, driving: Motion, reference: Motion | None, pose: PoseOverride | None
    ) -> CompactState:
        """Compose poses as rotations and expressions as differences (relative), or take them as they are."""
        state = self.posing.drive(source, driving, reference, pose)
        return replace(state, skin=source.skin) if isinstance(source, CompactSource) else state

    def look(
        self, frame: Frame, crop: FaceCrop, motion: Motion, *, mouth: bool = True, wrinkles: float = 0.0
    ) -> DrivingLook:
        """Take the inside of the mouth and the skin out of a driving frame; see models.base.ShowsDriving."""
        points_px = self._points_px(crop, motion)
        inside = take_mouth(frame, points_px, self.topology.inner_lips) if mouth else None
        take = partial(self.skin.take, frame, points_px, motion.rotation[0].cpu().numpy())
        if not wrinkles:
            return DrivingLook(inside, unread=take, motion=motion)
        return DrivingLook(inside, take(), wrinkles, motion=motion)

    def _points_px(self, crop: FaceCrop, motion: Motion) -> Points:
        """Return the mesh (468, 3) of a driving in px of its frame."""
        height, width = crop.size
        half, middle = max(crop.size) / 2, np.array([width / 2, height / 2, 0.0])
        pose = Similarity(motion.scale, motion.rotation, motion.translation)
        points = pose.apply(self.topology.canonical + motion.expression[:, :POINTS])[0].double().numpy()
        return apply_affine(crop.affine, points * half + middle).astype(np.float32)

    def look_at_rest(self, looks: Sequence[object]) -> RestingSkin | None:
        """Return the driving's skin at rest; see models.base.ShowsDriving."""
        skins = [look.skin for look in looks if isinstance(look, DrivingLook) and look.skin is not None]
        return self.skin.rest(skins) if len(skins) >= FEWEST_AT_REST else None

    def with_look(self, driven: DrivenState, look: object, rest: object | None = None) -> CompactState:
        """Return a state that shows the driving's mouth, and how light on its skin differs from that at rest."""
        if not isinstance(driven, CompactState) or not isinstance(look, DrivingLook):
            raise ValueError("what drives the source, or its look, is of another family")
        shading = light = None
        if look.skin is not None and isinstance(rest, RestingSkin):
            if driven.skin is not None:
                light = self._relighting.change(driven.skin, look.skin, rest.texture, look.wrinkles)
            # Folds are light too: what is shown of the one is not shown again.
            left = look.wrinkles if light is None else look.wrinkles - light.share
            shading = self.skin.ratio(look.skin, rest, left) if left > 0 else None
        driver = Driver(look, rest.texture if isinstance(rest, RestingSkin) else None, driven.motion)
        return replace(driven, mouth=look.mouth, shading=shading, light=light, driver=driver)

    def with_mouth(self, source: SourceAppearance, mouth: Mouth, like: SourceAppearance | None = None) -> CompactSource:
        """Return a source whose opening mouth is filled as asked; see models.base.FillsMouth."""
        if not isinstance(source, CompactSource) or not isinstance(like, CompactSource | None):
            raise ValueError("the source appearance belongs to another family")
        own = source.mouth if like is None else replace(source.mouth, jaw=like.mouth.jaw, bank=like.mouth.bank)
        return replace(source, mouth=replace(own, kind=mouth))

    def with_views(
        self, source: SourceAppearance, views: Sequence[View], like: SourceAppearance | None = None
    ) -> SourceAppearance:
        """Return a source that also has what other pictures of the person show; see models.base.UsesViews."""
        if not isinstance(source, CompactSource) or not isinstance(like, CompactSource | None):
            raise ValueError("the source appearance belongs to another family")
        if not views:
            return source
        image = source.features["image"]
        own = View(image, own_landmarks(source, (image.shape[2], image.shape[3])))
        around = self._around.read(own, source.canonical, source.warp, views)
        read = read_views(self.skin, source.canonical, own, views, None if like is None else like.views)
        return replace(source, views=read, around=around)

    def with_turning(self, source: SourceAppearance, turning: Turning) -> SourceAppearance:
        """Return a source that is turned by these curves; see models.calibrated_turns."""
        return replace(source, turning=turning)

    def smaller(self, source: SourceAppearance, side_px: int) -> SourceAppearance:
        """Return a source in fewer pixels; see models.calibrated_turns."""
        image = source.features["image"]
        height, width = image.shape[2:]
        shrink = side_px / max(height, width)
        if shrink >= 1:
            return source
        size = max(1, round(height * shrink)), max(1, round(width * shrink))
        return self.appearance(functional.interpolate(image, size, mode="area"), own_landmarks(source, size))

    @property
    def expression_names(self) -> tuple[str, ...]:
        """The names of the expressions; see models.named_expressions."""
        return () if self._head is None else self._head.names

    @property
    def head_model(self) -> HeadModel:
        """The head model. WeightsError if the checkpoint has none."""
        if self._head is None:
            raise WeightsError("this checkpoint has no head model; use the one of this version")
        return self._head

    def with_expression(self, driven: DrivenState, weights: Tensor) -> CompactState:
        """Return a state with expressions added on the canonical head; see models.named_expressions."""
        if not isinstance(driven, CompactState):
            raise ValueError("what drives the source is of another family")
        return driven.with_expression(self.head_model, weights)

    def with_gaze(self, source: SourceAppearance, driven: DrivenState, asked: GazeRequest) -> CompactState:
        """Return a state whose eyes look where they are asked to; see models.gaze_request."""
        if not isinstance(driven, CompactState):
            raise ValueError("what drives the source is of another family")
        return driven.with_gaze(source.motion, asked)

    def motion_of(self, weights: Tensor, rotation: Tensor) -> Motion:
        """Return the motion of weights and head poses; see models.named_expressions."""
        expression = self.head_model.expression(weights)
        return Motion(rotation, rotation.new_zeros(len(rotation), 3), rotation.new_ones(len(rotation), 1), expression)

    def weights_of(self, motion: Motion, rest: Motion) -> Tensor:
        """Return the weights that are most like a motion; see models.named_expressions."""
        return self.head_model.weights(motion.expression, rest.expression)

    def spoken_motion(self, face: SpokenFace) -> Motion:
        """Return the motion of a face that speaks; see models.speaking."""
        weights = torch.zeros(len(face), len(self.head_model.names))
        for name, strength in face.weights.items():
            weights[:, self.head_model.names.index(name)] = strength
        expression = self.head_model.expression(weights)
        expression[:, :POINTS] += self._spoken.offsets(face.lips)
        rotation = face.rotation
        return Motion(rotation, carried(rotation), rotation.new_ones(len(face), 1), expression)

    @property
    def movement_names(self) -> tuple[str, ...]:
        """The names of the movements; see models.manner."""
        return () if self._movements is None else self._movements.names

    def movements(self, motion: Motion, rest: Motion) -> Tensor:
        """Return how far mouth and brows are from rest; see models.manner."""
        return self._known_movements.read(motion, rest)

    def with_movements(self, motion: Motion, rest: Motion, wanted: Tensor) -> Motion:
        """Return a motion with these movements; see models.manner."""
        return self._known_movements.changed(motion, wanted - self.movements(motion, rest))

    @property
    def _known_movements(self) -> Movements:
        if self._movements is None:
            raise WeightsError("this checkpoint has no head model; use the one of this version")
        return self._movements

    def unrest(self, motions: Motion) -> Tensor:
        """Return how far each of some frames of one person is from rest: eyes shut, or lips open."""
        return self._rest.unrest(motions)

    def rest(self, motions: Motion) -> Rest:
        """Estimate how one person's face rests, from N frames."""
        return self._rest.rest(motions)

    def rested(self, source: SourceAppearance, reference: Motion, shown: Motion | None) -> Motion:
        """Return a source's motion at rest: its lips are closed if the reference's are."""
        return self.posing.rested(source, reference, shown)

    def shape(self, motion: Motion) -> Tensor:
        """Return what of expressions is the shape of the face. Lips and lids are left alone: where they meet counts."""
        parted = torch.cat([self._rest.parted, torch.zeros(1, 1)])  # the gaze has no shape
        return (1 - parted) * (motion.expression - self.without_shape(motion))

    def render(self, source: SourceAppearance, driven: DrivenState) -> Tensor:
        """Warp the source's pixels by the mesh's flow, one frame after the other."""
        if not isinstance(source, CompactSource) or not isinstance(driven, CompactState):
            raise ValueError("the source appearance or the driven state belongs to another family")
        # A batch only shortens reading and driving: each frame's mesh is drawn by itself.
        frames = [render_frame(source, driven[i], self._relighting) for i in range(len(driven))]
        return frames[0] if len(frames) == 1 else torch.cat(frames)

    def without_shape(self, motion: Motion) -> Tensor:
        """Take the shape of a face out of its expressions by what is known of how both vary (a Wiener filter)."""
        return self.posing.without_shape(motion)

    def expression_mask(self, region: Region) -> Tensor:
        """Return how much each mesh point's expression, and the gaze, belongs to a region: (469,)."""
        if region in ("all", "expression"):
            return torch.ones(KEYPOINTS)
        if region == "pose":
            return torch.zeros(KEYPOINTS)
        loops = self.topology.inner_lips if region == "mouth" else self.topology.eyes
        mask = self.topology.region_mask(loops, reach=MOUTH_REACH if region == "mouth" else EYE_REACH)
        # The gaze is the last keypoint: it moves with the eyes.
        return torch.cat([mask, mask.new_tensor([float(region == "eyes")])])


def _matte_network(state: Mapping[str, Tensor]) -> MatteNetwork:
    """Build the network that finds the person; older checkpoints have none of their own and take the package's."""
    network = MatteNetwork.from_state(state) or MatteNetwork.from_state(embedded_checkpoint().tensors)
    if network is None:
        raise WeightsError("no matte.* tensors here, nor in the checkpoint of the package; install vid2vid again")
    return network

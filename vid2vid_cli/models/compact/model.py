"""The compact family: keypoints are the face mesh's 468 points, the flow is the mesh's own."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vid2vid_cli.arrays import Frame, Points
from vid2vid_cli.codec.space import ExpressionBasis
from vid2vid_cli.errors import UsageError
from vid2vid_cli.face.crop import CropSpec, FaceCrop
from vid2vid_cli.geometry.affine import apply_affine
from vid2vid_cli.geometry.keypoints import Similarity
from vid2vid_cli.geometry.regions import Mouth, Region
from vid2vid_cli.models.base import DrivenState, Rest, SourceAppearance
from vid2vid_cli.models.compact.following.first_frame import VIEW, FirstFrame
from vid2vid_cli.models.compact.following.follower import FirstFrameFollower
from vid2vid_cli.models.compact.gaze import Irises
from vid2vid_cli.models.compact.learned.networks import LearnedParts
from vid2vid_cli.models.compact.learned.quantized import RANGES, can_quantize, quantize
from vid2vid_cli.models.compact.learned.refine import encode_source
from vid2vid_cli.models.compact.lid_layer import read_lids
from vid2vid_cli.models.compact.mesh.topology import FaceTopology
from vid2vid_cli.models.compact.motion_layout import KEYPOINTS, POINTS, unit_points
from vid2vid_cli.models.compact.mouth_bank import MouthBank
from vid2vid_cli.models.compact.mouth_picture import take_mouth
from vid2vid_cli.models.compact.mouth_reading import read_mouth
from vid2vid_cli.models.compact.posing import CompactState, Posing
from vid2vid_cli.models.compact.rendering import render_frame
from vid2vid_cli.models.compact.rest import RestFinder
from vid2vid_cli.models.compact.source import SOURCE_CROP, CompactSource, Rigging
from vid2vid_cli.models.compact.wrinkles import FEWEST_AT_REST, DrivingLook, RestingSkin, SkinMap
from vid2vid_cli.motion import Motion, PoseOverride

MOUTH_REACH, EYE_REACH = 0.7, 0.45  # eye distances: how far from lips and eyelids a region reaches


class CompactModel:
    """Reenactment by warping the source with a face mesh. See models.base.ReenactmentModel for the methods."""

    name = "compact"
    source_crop = SOURCE_CROP
    driving_crop = CropSpec(scale=3.0)
    pose_range_deg = (45.0, 25.0, 30.0)
    surroundings_move_with: Literal["pose", "all"] = "pose"
    costly_features = frozenset({"encoded"})
    follow_crop = CropSpec(scale=SOURCE_CROP.scale, size=VIEW)

    def __init__(self, state: Mapping[str, Tensor]) -> None:
        """Build from the checkpoint's tensors."""
        self.topology = FaceTopology.from_state(state)
        self.basis = ExpressionBasis.from_state(state)
        self.skin = SkinMap(self.topology)
        self._rigging = Rigging(self.topology, self.basis, state)
        self._rest = RestFinder(self.topology)
        self.posing = Posing(self.topology, state, self._rigging.project)
        self._bank = MouthBank.from_state(state)
        self._stored = self._learned = LearnedParts.from_state(state)
        self._ranges = {network: state[name] for network, name in RANGES.items() if name in state}

    @property
    def networks(self) -> LearnedParts | None:
        """The learned parts, as they compute; None where the checkpoint has none."""
        return self._learned

    @property
    def quick_dtypes(self) -> frozenset[torch.dtype]:
        """Dtypes in which the learned parts compute as well as in float32: see models.base.ReenactmentModel."""
        if self._stored is None:
            return frozenset()
        int8 = {torch.int8} if len(self._ranges) == len(RANGES) and can_quantize() else set()
        return frozenset({torch.bfloat16} | int8)

    def to(self, device: torch.device, dtype: torch.dtype) -> None:
        """Move the learned parts; the mesh is computed on the processor, in float32."""
        if self._stored is not None:
            # A copy, so that a later call with more precision does not compute with rounded weights.
            self._learned = copy.deepcopy(self._stored)
            floating = torch.float32 if dtype == torch.int8 else dtype
            self._learned.to(device, floating, memory_format=torch.channels_last)  # type: ignore[call-overload]
            if dtype == torch.int8:
                quantize(self._learned, self._ranges)
        elif dtype != torch.float32:
            name = str(dtype).removeprefix("torch.")
            raise UsageError(f"--dtype {name}: this checkpoint has no networks that compute in it; leave --dtype out")

    def appearance(self, image: Tensor, landmarks: Tensor) -> CompactSource:
        """Split the source's face into identity, pose and expression, and prepare its mesh."""
        return self.restored({}, image, landmarks)

    def restored(self, features: Mapping[str, Tensor], image: Tensor, landmarks: Tensor) -> CompactSource:
        """Return the appearance; "encoded" is computed unless it is among the features."""
        image = image.contiguous()  # grid_sample takes ten times as long on the strides of a frame
        points = unit_points(landmarks, (image.shape[2], image.shape[3]))
        rig = self._rigging.rig(points)
        irises = Irises(points[0].numpy(), rig.motion.expression[0, POINTS].numpy(), image)
        kept = {"image": image}
        if self._learned is not None:
            encoded = features.get("encoded")
            kept["encoded"] = encode_source(self._learned, image, rig.square) if encoded is None else encoded
        mouth = read_mouth(self.topology, self._bank, image, landmarks[0], rig)
        lids = read_lids(image, landmarks[0].numpy())
        return CompactSource(kept, rig.canonical, rig.motion, rig.warp, rig.square, irises, mouth, lids)

    def follow(
        self, picture: NDArray[np.uint8], landmarks: Tensor, seen: Points | None = None
    ) -> FirstFrameFollower | None:
        """Begin to compare the frames of a driving with its first one; the networks must be there to use it."""
        if self._learned is None:
            return None
        points = unit_points(landmarks, picture.shape[:2])
        rig = self._rigging.rig(points)
        first = FirstFrame(rig.warp, rig.square.box, picture, seen)
        person = SourceAppearance({}, self.topology.canonical[None], self._rigging.motion(points))
        return FirstFrameFollower(self.posing, person, first)

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
        return self.posing.drive(source, driving, reference, pose)

    def look(
        self, frame: Frame, crop: FaceCrop, motion: Motion, *, mouth: bool = True, wrinkles: float = 0.0
    ) -> DrivingLook:
        """Take the inside of the mouth and the skin out of a driving frame; see models.base.ShowsDriving."""
        points_px = self._points_px(crop, motion)
        inside = take_mouth(frame, points_px, self.topology.inner_lips) if mouth else None
        if not wrinkles:
            return DrivingLook(inside)
        return DrivingLook(inside, self.skin.take(frame, points_px, motion.rotation[0].cpu().numpy()), wrinkles)

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

    def with_look(self, driven: DrivenState, look: object, rest: object | None = None) -> DrivenState:
        """Return a state that shows the driving's mouth, and how light on its skin differs from that at rest."""
        if not isinstance(driven, CompactState) or not isinstance(look, DrivingLook):
            raise ValueError("what drives the source, or its look, is of another family")
        shading = None
        if look.skin is not None and isinstance(rest, RestingSkin):
            shading = self.skin.ratio(look.skin, rest, look.wrinkles)
        return replace(driven, mouth=look.mouth, shading=shading)

    def with_mouth(self, source: SourceAppearance, mouth: Mouth) -> CompactSource:
        """Return a source whose opening mouth is filled as asked; see models.base.FillsMouth."""
        if not isinstance(source, CompactSource):
            raise ValueError("the source appearance belongs to another family")
        return replace(source, mouth=replace(source.mouth, kind=mouth))

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
        frames = [render_frame(source, driven[i], self._learned, self.skin) for i in range(len(driven))]
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

"""The facevid2vid family: published face-vid2vid checkpoints, and SadTalker's, behind the common methods."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from vid2vid_cli.errors import WeightsError
from vid2vid_cli.face.crop import CropSpec
from vid2vid_cli.geometry.keypoints import movement_scale
from vid2vid_cli.geometry.regions import Region
from vid2vid_cli.models.base import SourceAppearance
from vid2vid_cli.models.facevid2vid.generator import VolumeGenerator
from vid2vid_cli.models.facevid2vid.keypoints import CanonicalKeypoints
from vid2vid_cli.models.facevid2vid.pose import PoseEstimator, rotation_from_degrees
from vid2vid_cli.models.facevid2vid.posing import follow, pose_keypoints
from vid2vid_cli.models.facevid2vid.sadtalker import SMALLEST_MASK
from vid2vid_cli.models.fast.rewrites import Rewrite, make_fast
from vid2vid_cli.models.layers.volume import PreparedVolume
from vid2vid_cli.models.loading import Part, fold_spectral_norm, load_module
from vid2vid_cli.models.networked import DrivenKeypoints, NetworkedModel
from vid2vid_cli.motion import Motion, PoseOverride

SADTALKER_KEYPOINTS = "kp_extractor"  # SadTalker's name for the keypoint detector


def is_facevid2vid(tensors: Mapping[str, Tensor]) -> bool:
    """Say whether tensors are of this family: keypoints, and a generator that flattens a warped volume."""
    detectors = ("kp_detector", SADTALKER_KEYPOINTS)
    has_keypoints = any(f"{name}.predictor.down_blocks.down0.conv.weight" in tensors for name in detectors)
    return has_keypoints and "generator.third.conv.weight" in tensors


class FaceVid2VidModel(NetworkedModel):
    """Reenactment by a warped feature volume. See models.base.ReenactmentModel for the methods.

    The expression of its `Motion` is added after the turn, in the axes of the camera; its scale is always 1.
    """

    READERS = ("keypoints", "estimator")
    RENDERER = ("generator",)
    name = "facevid2vid"
    # As the faces of VoxCeleb were cut for training: a square, never turned, with some of the hair and shoulders.
    source_crop = CropSpec(scale=1.75, shift_up=0.05, size=256)
    driving_crop = CropSpec(scale=1.75, shift_up=0.05, size=256)
    pose_range_deg = (30.0, 20.0, 20.0)

    def __init__(self, state: Mapping[str, Tensor], rewrite: Rewrite = make_fast) -> None:
        """Build from the checkpoint's tensors. WeightsError for the older layout, whose head-pose axes differ.

        rewrite: applied to each network once it is loaded.
        """
        tensors = Part(state)
        is_sadtalker = f"{SADTALKER_KEYPOINTS}.kp.weight" in tensors
        detector = tensors / (SADTALKER_KEYPOINTS if is_sadtalker else "kp_detector")
        if "down.weight" not in detector:
            raise WeightsError(
                "an older Beta checkpoint of face-vid2vid (its kp_detector has no tensor called down), whose head-pose "
                "axes differ; use the newer vox-256 file"
            )
        self.keypoints = load_module(CanonicalKeypoints, detector)
        # SadTalker's file has no estimator: its motion comes from coefficients of a 3D face model.
        estimator = tensors / "he_estimator"
        self.estimator = load_module(PoseEstimator, estimator) if estimator.tensors else None
        for network in (self.keypoints, self.estimator):
            if network is not None:
                rewrite(network)
        # The public code of face-vid2vid keeps all masks.
        smallest_mask = SMALLEST_MASK if is_sadtalker else 0.0
        self._load_renderer = partial(_load_renderer, tensors / "generator", smallest_mask, rewrite)
        self.generator = self._load_renderer()["generator"]

    def appearance(self, image: Tensor, landmarks: Tensor) -> SourceAppearance:
        """Encode the source once; a checkpoint that cannot read motion takes it to be at rest."""
        canonical = self.keypoints(image.to(self._device)).cpu()
        motion = self._rest() if self.estimator is None else self._read(self.estimator, image)
        own = pose_keypoints(canonical, motion).to(self._device)
        return SourceAppearance(self.generator.prepare(image.to(self._device), own)._asdict(), canonical, motion)

    def motion(self, images: Tensor | None, landmarks: Tensor, size: tuple[int, int]) -> Motion:
        """Read head pose, translation and expression from the pictures."""
        if images is None:
            raise ValueError("facevid2vid reads motion from pictures, not from landmarks")
        if self.estimator is None:
            raise WeightsError(
                "this SadTalker checkpoint cannot read motion (it has no he_estimator): drive it with a motion file of "
                "facevid2vid, or name a folder that holds it and a face-vid2vid checkpoint beside it"
            )
        return self._read(self.estimator, images)

    def drive(
        self, source: SourceAppearance, driving: Motion, reference: Motion | None, pose: PoseOverride | None
    ) -> DrivenKeypoints:
        """Add what moves to the posed keypoints of the source (relative), or pose its keypoints (absolute)."""
        if reference is None:
            turned = driving if pose is None else replace(driving, rotation=pose.apply(driving.rotation))
            return DrivenKeypoints(pose_keypoints(source.canonical, turned))
        own, start = (pose_keypoints(source.canonical, motion) for motion in (source.motion, reference))
        scale = movement_scale(own[0], start[0]) if self._request.adapt_scale else 1.0
        if pose is None:
            return DrivenKeypoints(follow(own, pose_keypoints(source.canonical, driving), start, scale))
        # A sum of rotations is not a rotation: if angles are asked for, compose instead.
        composed = driving.rotation @ reference.rotation.transpose(-1, -2) @ source.motion.rotation
        moved = Motion(pose.apply(composed), source.motion.translation, driving.scale, source.motion.expression)
        shift = (driving.translation - reference.translation)[:, None] + driving.expression - reference.expression
        return DrivenKeypoints(pose_keypoints(source.canonical, moved) + scale * shift)

    def without_shape(self, motion: Motion) -> Tensor:
        """Return the expressions as they are: the shape of a face is in its canonical keypoints alone."""
        return motion.expression

    def expression_mask(self, region: Region) -> Tensor:
        """Return 1 for all keypoints or 0 for all: which of them belong to mouth or eyes is not known."""
        count = self.keypoints.kp.weight.shape[0]
        return torch.full((count,), float(region in ("all", "expression")))

    def _draw(self, source: SourceAppearance, points: Tensor) -> Tensor:
        image: Tensor = self.generator(PreparedVolume(**source.features), points)
        return image

    def _read(self, estimator: PoseEstimator, images: Tensor) -> Motion:
        raw = estimator(images.to(self._device))
        expression = raw.exp.cpu().reshape(len(raw.exp), -1, 3)
        scale = torch.ones(len(expression), 1)
        return Motion(rotation_from_degrees(raw.degrees).cpu(), raw.t.cpu(), scale, expression)

    def _rest(self) -> Motion:
        count = self.keypoints.kp.weight.shape[0]
        return Motion(torch.eye(3)[None], torch.zeros(1, 3), torch.ones(1, 1), torch.zeros(1, count, 3))


def _load_renderer(part: Part, smallest_mask: float, rewrite: Rewrite) -> dict[str, VolumeGenerator]:
    generator = VolumeGenerator(Part(fold_spectral_norm(part.tensors)), smallest_mask)
    rewrite(generator)
    return {"generator": generator}

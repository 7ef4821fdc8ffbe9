"""The fomm family: the first-order motion model's public checkpoint behind the common methods."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor
from torch.nn import functional

from vid2vid_cli.errors import MotionFileError, UsageError
from vid2vid_cli.face.crop import CropSpec
from vid2vid_cli.geometry.keypoints import movement_scale
from vid2vid_cli.geometry.regions import Region
from vid2vid_cli.models.base import SourceAppearance
from vid2vid_cli.models.fast.rewrites import Rewrite, make_fast
from vid2vid_cli.models.fomm.networks import FirstOrderGenerator, KeypointDetector, LocalMotion, PreparedSource
from vid2vid_cli.models.fomm.posing import follow
from vid2vid_cli.models.loading import Part, load_module
from vid2vid_cli.models.networked import DrivenKeypoints, NetworkedModel
from vid2vid_cli.motion import Motion, PoseOverride


def is_fomm(tensors: Mapping[str, Tensor]) -> bool:
    """Say whether tensors are of this family: keypoints with jacobians, and an occlusion map."""
    return "kp_detector.jacobian.weight" in tensors and "generator.dense_motion_network.occlusion.weight" in tensors


class FommModel(NetworkedModel):
    """Reenactment by local affine motions. See models.base.ReenactmentModel for the methods.

    A `Motion` of this family has no head pose. Its rotation is the identity, its expression is the keypoints themselves
    with a z of 0, and its extra is the jacobians (B, K, 2, 2). The points that `drive` returns are (B, K, 6): x, y and
    the jacobian.
    """

    READERS = ("keypoints",)
    RENDERER = ("generator",)
    name = "fomm"
    # As the faces of VoxCeleb were cut for training: a square, never turned, with some of the hair and shoulders.
    source_crop = CropSpec(scale=1.75, shift_up=0.05, size=256)
    driving_crop = CropSpec(scale=1.75, shift_up=0.05, size=256)
    pose_range_deg = (0.0, 0.0, 0.0)

    def __init__(self, state: Mapping[str, Tensor], rewrite: Rewrite = make_fast) -> None:
        """Build from the checkpoint's tensors. rewrite: applied to each network once it is loaded."""
        tensors = Part(state)
        self.keypoints = load_module(KeypointDetector, tensors / "kp_detector")
        rewrite(self.keypoints)
        self._load_renderer = partial(_load_renderer, tensors / "generator", rewrite)
        self.generator = self._load_renderer()["generator"]

    def appearance(self, image: Tensor, landmarks: Tensor) -> SourceAppearance:
        """Encode the source once."""
        image = image.to(self._device)
        own: LocalMotion = self.keypoints(image)
        prepared = self.generator.prepare(image, own)
        motion = _as_motion(own)
        return SourceAppearance(prepared._asdict(), torch.zeros_like(motion.expression), motion)

    def motion(self, images: Tensor | None, landmarks: Tensor, size: tuple[int, int]) -> Motion:
        """Find keypoints and jacobians in the pictures."""
        if images is None:
            raise ValueError("fomm reads motion from pictures, not from landmarks")
        return _as_motion(self.keypoints(images.to(self._device)))

    def drive(
        self, source: SourceAppearance, driving: Motion, reference: Motion | None, pose: PoseOverride | None
    ) -> DrivenKeypoints:
        """Move the source's keypoints as the driving's move (relative), or take the driving's own (absolute)."""
        if pose is not None:
            raise UsageError("fomm has no head pose and cannot turn a head; use -c facevid2vid or leave -c out")
        target = _as_local(driving)
        if reference is not None:
            own, start = _as_local(source.motion), _as_local(reference)
            scale = movement_scale(own.keypoints[0], start.keypoints[0]) if self._request.adapt_scale else 1.0
            target = follow(own, target, start, scale)
        # (B, K, 2) and (B, K, 2, 2) to (B, K, 6)
        return DrivenKeypoints(torch.cat([target.keypoints, target.jacobians.flatten(2)], -1))

    def without_shape(self, motion: Motion) -> Tensor:
        """Return the keypoints as they are: this family cannot tell shape from movement."""
        return motion.expression

    def expression_mask(self, region: Region) -> Tensor:
        """Return 1 for all keypoints or 0 for all: none of them belongs to a region with a name."""
        return torch.full((self.keypoints.kp.weight.shape[0],), float(region == "all"))

    def _draw(self, source: SourceAppearance, points: Tensor) -> Tensor:
        target = LocalMotion(points[..., :2], points[..., 2:].reshape(*points.shape[:2], 2, 2))
        image: Tensor = self.generator(PreparedSource(**source.features), target)
        return image


def _load_renderer(part: Part, rewrite: Rewrite) -> dict[str, FirstOrderGenerator]:
    generator = load_module(FirstOrderGenerator, part)
    rewrite(generator)
    return {"generator": generator}


def _as_motion(local: LocalMotion) -> Motion:
    keypoints, jacobians = local.keypoints.cpu(), local.jacobians.cpu()
    count = len(keypoints)
    # The head-pose part of a motion, at rest, since this family has none.
    still = torch.eye(3).repeat(count, 1, 1), torch.zeros(count, 3), torch.ones(count, 1)
    # (B, K, 2) to (B, K, 3) with z = 0
    return Motion(*still, functional.pad(keypoints, (0, 1)), jacobians)


def _as_local(motion: Motion) -> LocalMotion:
    if motion.extra is None or motion.extra.shape != (*motion.expression.shape[:2], 2, 2):
        raise MotionFileError("a motion of fomm without its jacobians; make the file again with vid2vid motion -c fomm")
    return LocalMotion(motion.expression[..., :2], motion.extra)

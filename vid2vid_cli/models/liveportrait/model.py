"""The liveportrait family: the five published files behind the common methods."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from vid2vid_cli.checkpoints.tensor_names import ROLES
from vid2vid_cli.errors import MotionFileError
from vid2vid_cli.face.crop import CropSpec
from vid2vid_cli.geometry.regions import Region
from vid2vid_cli.models.base import SourceAppearance
from vid2vid_cli.models.fast.rewrites import Rewrite, make_fast
from vid2vid_cli.models.layers.spade import SpadeDecoder
from vid2vid_cli.models.layers.volume import PreparedVolume, VolumeEncoder, VolumeWarper
from vid2vid_cli.models.liveportrait.extractor import MotionExtractor, RawMotion
from vid2vid_cli.models.liveportrait.posing import follow, pose_keypoints, rotation_from_degrees
from vid2vid_cli.models.liveportrait.retargeting import OPENINGS, Retargeting, openings
from vid2vid_cli.models.loading import Part, fold_spectral_norm, load_module, refuse_unknown
from vid2vid_cli.models.networked import DrivenKeypoints, NetworkedModel
from vid2vid_cli.motion import Motion, PoseOverride

# Which of the published networks' 21 keypoints move with a region.
EYES = (11, 13, 15, 16, 18)
MOUTH = (6, 12, 14, 17, 19, 20)


def is_liveportrait(tensors: Mapping[str, Tensor]) -> bool:
    """Say whether tensors are of this family: their names begin with the names of its files."""
    return (
        "motion_extractor.detector.fc_kp.weight" in tensors
        and "warping_module.dense_motion_network.mask.weight" in tensors
    )


class LivePortraitModel(NetworkedModel):
    """Reenactment by a warped feature volume. See models.base.ReenactmentModel for the methods.

    The extra of its `Motion` is how far both eyes and the lips are open: (B, 3), height over width.
    """

    READERS = ("extractor",)
    RENDERER = ("encoder", "warper", "decoder")
    name = "liveportrait"
    source_crop = CropSpec(scale=2.3, shift_up=0.125, upright=True, size=256, below_forehead=True)
    driving_crop = CropSpec(scale=2.2, shift_up=0.1, upright=True, size=256, below_forehead=True)
    pose_range_deg = (25.0, 15.0, 15.0)

    def __init__(self, state: Mapping[str, Tensor], rewrite: Rewrite = make_fast) -> None:
        """Build from the tensors of its files, each under the name of its role.

        rewrite: applied to each network once it is loaded.
        """
        tensors = Part(state)
        refuse_unknown(tensors, ROLES)
        encoder, extractor, warper, decoder, retargeting = (tensors / role for role in ROLES)
        # The file keeps the extractor under one more name.
        self.extractor = load_module(MotionExtractor, extractor / "detector")
        self.retargeting = load_module(Retargeting, retargeting)
        rewrite(self.extractor)
        load = partial(_load_renderer, encoder, warper, decoder, rewrite)
        self._load_renderer = lambda: load()._asdict()
        self.encoder, self.warper, self.decoder = load()

    def appearance(self, image: Tensor, landmarks: Tensor) -> SourceAppearance:
        """Encode the source once."""
        image = image.to(self._device)
        raw = self.extractor(image)
        canonical, motion = raw.kp.cpu().reshape(1, -1, 3), _as_motion(raw, landmarks)
        own = pose_keypoints(canonical, motion).to(self._device)
        return SourceAppearance(self.warper.prepare(self.encoder(image), own)._asdict(), canonical, motion)

    def motion(self, images: Tensor | None, landmarks: Tensor, size: tuple[int, int]) -> Motion:
        """Read head pose, scale, translation and expression from the pictures, openings from the landmarks."""
        if images is None:
            raise ValueError("liveportrait reads motion from pictures, not from landmarks")
        return _as_motion(self.extractor(images.to(self._device)), landmarks)

    def drive(
        self, source: SourceAppearance, driving: Motion, reference: Motion | None, pose: PoseOverride | None
    ) -> DrivenKeypoints:
        """Compose motions in the source's frame (relative) or take them as they are; then retarget and stitch."""
        moved = driving if reference is None else follow(source.motion, driving, reference)
        if pose is not None:
            moved = replace(moved, rotation=pose.apply(moved.rotation))
        moved, offsets = self._retarget(source, moved, driving)
        keypoints = pose_keypoints(source.canonical, moved) + offsets
        if self._request.stitch:
            keypoints = self.retargeting.stitch(pose_keypoints(source.canonical, source.motion), keypoints)
        return DrivenKeypoints(keypoints)

    def without_shape(self, motion: Motion) -> Tensor:
        """Return the expressions as they are: the shape of a face is in its canonical keypoints alone."""
        return motion.expression

    def expression_mask(self, region: Region) -> Tensor:
        """Return 1 for the keypoints of a region, 0 for the others."""
        count = self.extractor.count
        if region in ("mouth", "eyes"):
            mask = torch.zeros(count)
            mask[[i for i in (MOUTH if region == "mouth" else EYES) if i < count]] = 1
            return mask
        return torch.full((count,), float(region != "pose"))

    def _draw(self, source: SourceAppearance, points: Tensor) -> Tensor:
        image: Tensor = self.decoder(self.warper(PreparedVolume(**source.features), points))
        return image  # 512x512: its last layer gives four sub-pixels for each pixel

    def _retarget(self, source: SourceAppearance, moved: Motion, driving: Motion) -> tuple[Motion, Tensor]:
        """Take eyes and lips set by ratio out of the motion; return it, and the offsets (B, K, 3) that set them."""
        own = pose_keypoints(source.canonical, source.motion)
        opened, offsets = _openings(source.motion), torch.zeros_like(own)
        # Of the three openings of a motion: both eyes, then the lips.
        for part, places in (("eyes", slice(0, 2)), ("lips", slice(2, 3))):
            wanted = self._wanted(part, places, driving)
            if wanted is None:
                continue
            mask = self.expression_mask("eyes" if part == "eyes" else "mouth")[None, :, None]
            # The keypoints of this part keep the source's own expression; the network moves them from there.
            still = moved.expression + mask * (source.motion.expression - moved.expression)
            moved = replace(moved, expression=still)
            ratios = torch.cat([opened[:, places].expand(len(wanted), -1), wanted], 1)
            network = self.retargeting.eyes if part == "eyes" else self.retargeting.lips
            offsets = offsets + network(own, ratios)
        return moved, offsets

    def _wanted(self, part: str, places: slice, driving: Motion) -> Tensor | None:
        """Return how far eyes or lips are to be open in each frame (B, 1); None leaves them to the motion."""
        fixed: float | None = getattr(self._request, part)
        if fixed is not None:
            return torch.full((len(driving), 1), fixed)
        if getattr(self._request, f"retarget_{part}"):
            # The network takes one ratio for both eyes.
            return _openings(driving)[:, places].mean(1, keepdim=True)
        return None


class Renderer(NamedTuple):
    """The networks that draw."""

    encoder: VolumeEncoder
    warper: VolumeWarper
    decoder: SpadeDecoder


def _load_renderer(encoder: Part, warper: Part, decoder: Part, rewrite: Rewrite) -> Renderer:
    encoder, warper, decoder = (Part(fold_spectral_norm(part.tensors)) for part in (encoder, warper, decoder))
    renderer = Renderer(
        load_module(VolumeEncoder, encoder),
        load_module(VolumeWarper, warper),
        load_module(SpadeDecoder, decoder),
    )
    for network in renderer:
        rewrite(network)
    return renderer


def _as_motion(raw: RawMotion, landmarks: Tensor) -> Motion:
    rotation = rotation_from_degrees(raw.degrees).cpu()
    expression = raw.exp.cpu().reshape(len(raw.exp), -1, 3)
    return Motion(rotation, raw.t.cpu(), raw.scale.cpu(), expression, openings(landmarks).cpu())


def _openings(motion: Motion) -> Tensor:
    if motion.extra is None or motion.extra.shape != (len(motion), len(OPENINGS)):
        raise MotionFileError(
            "a motion of liveportrait without openings; make the file again with vid2vid motion -c liveportrait"
        )
    return motion.extra

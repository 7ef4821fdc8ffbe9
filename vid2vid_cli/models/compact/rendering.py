"""One frame of compact: the source warped by the mesh's flow, what was learned laid over it, then its mouth filled."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from vid2vid_cli.arrays import Points
from vid2vid_cli.geometry.grid import resize_planes, warp_image
from vid2vid_cli.geometry.keypoints import Similarity
from vid2vid_cli.models.compact.learned.networks import Correction, LearnedParts
from vid2vid_cli.models.compact.learned.refine import (
    EncodedSource,
    Target,
    correct_flow,
    paint_target,
    residual_at,
    spread_residual,
)
from vid2vid_cli.models.compact.lid_layer import draw_lids
from vid2vid_cli.models.compact.mesh.box import Box
from vid2vid_cli.models.compact.mesh.coverage import EdgePixels, find_edges
from vid2vid_cli.models.compact.mesh.warp import EYE, Flow, PlacedMesh
from vid2vid_cli.models.compact.motion_layout import POINTS, as_map
from vid2vid_cli.models.compact.mouth import MouthTarget, fill_mouth
from vid2vid_cli.models.compact.mouth_corners import flatten_folds
from vid2vid_cli.models.compact.mouth_halves import Projection
from vid2vid_cli.models.compact.posing import CompactState
from vid2vid_cli.models.compact.source import CompactSource, mouth_width
from vid2vid_cli.models.compact.wrinkles import SkinMap

WARP_SIDE = 512  # longer side of the analytic flow at most; the source is sampled at its own resolution


def render_frame(source: CompactSource, driven: CompactState, parts: LearnedParts | None, skin: SkinMap) -> Tensor:
    """Render a source under the motion of one frame: (1, 3, H, W). parts: None for the warp alone."""
    keypoints = driven.keypoints[0]
    # The one placing of a frame: flow, networks and painter all draw from this mesh.
    mesh = source.warp.place(keypoints.cpu().numpy(), driven.head)
    own = source.motion
    surroundings = None if driven.surroundings is None else driven.surroundings[0]
    missed = as_map(surroundings, like=keypoints)
    target = Target(mesh, Similarity(own.scale, own.rotation, own.translation), driven.head, missed)
    encoded = correction = None
    if parts is not None:
        encoded = EncodedSource(source.features["encoded"], source.square)
        correction = correct_flow(parts, encoded, target)
    warped = _warp(source, mesh, driven.gaze[0], correction)
    if parts is not None and encoded is not None and correction is not None:
        paint_target(parts, warped, target, encoded, correction)
    if driven.shading is not None:
        _shade(warped, source, driven, skin)
    _shut_lids(warped, source, driven, mesh)
    _fill_mouth(warped, source, driven)  # real teeth need no retouching, which would only grey them
    return warped


def _warp(source: CompactSource, mesh: PlacedMesh, gaze: Tensor, correction: Correction | None) -> Tensor:
    """Warp a source by the mesh's flow, corrected where it can be: (1, 3, H, W). gaze: (1 or 0, 3)."""
    image = source.features["image"]
    height, width = image.shape[-2:]
    shrink = min(1.0, WARP_SIDE / max(height, width))
    size = max(1, round(height * shrink)), max(1, round(width * shrink))
    flow = mesh.flow(size)
    look = None if not len(gaze) else gaze[0].cpu().numpy()
    made_up = None
    if look is not None:
        made_up = source.irises.move(flow.displacement, Box.whole(size), mesh.vertices[:POINTS], look)
    edges = find_edges(flow.displacement, (height, width), made_up)
    displacement = torch.from_numpy(flow.displacement).to(image)[None]
    if correction is not None:
        displacement += spread_residual(correction, source.square, displacement)
    warped = warp_image(image, _in_halves_of_sides(displacement, image))
    if flow.mirrored is not None:
        warped = _lay_mirrored(image, warped, flow)
    if len(edges):
        warped[0, :, edges.y, edges.x] = _cover(source, mesh, edges, look, correction)
    return warped


def _cover(
    source: CompactSource, mesh: PlacedMesh, edges: EdgePixels, gaze: Points | None, correction: Correction | None
) -> Tensor:
    """Return the colours of pixels that edges pass through, (3, E), from what covers each of their samples."""
    image, places = source.features["image"], edges.places
    drawn = mesh.draw_at(edges, (0, 1, EYE, 2, 3, 4) if mesh.has_mirror else (0, 1, EYE))
    if gaze is not None:
        source.irises.move_samples(drawn, places, mesh.vertices[:POINTS], gaze)
    samples, middles = torch.from_numpy(drawn).to(image), torch.from_numpy(places).to(image)
    own = middles if correction is None else middles + residual_at(correction, source.square, middles)
    colours = _sample(image, own + samples[..., :2])
    if mesh.has_mirror:
        colours += samples[..., 5] * (_sample(image, middles + samples[..., 3:5]) - colours)
    return colours.mean(1)


def _sample(image: Tensor, places: Tensor) -> Tensor:
    """Sample an image (1, 3, H, W) at places (S, E, 2) in halves of its longer side: (3, S, E)."""
    grid = _in_halves_of_sides(places[None], image)
    return functional.grid_sample(image, grid, mode="bilinear", padding_mode="border", align_corners=False)[0]


def _shut_lids(warped: Tensor, source: CompactSource, driven: CompactState, mesh: PlacedMesh) -> None:
    """Lay the lids of closing eyes over a warped image (1, 3, H, W), in place."""
    height, width = warped.shape[-2:]
    half = max(height, width) / 2
    points_px = driven.keypoints[0].cpu().numpy() * half + (width / 2, height / 2, 0)
    for layer in draw_lids((height, width), points_px.astype(np.float32), mesh.closing, source.lids):
        layer.blend(warped[0])


def _shade(warped: Tensor, source: CompactSource, driven: CompactState, skin: SkinMap) -> None:
    """Change the light on the skin of a warped image (1, 3, H, W) as on the driving's, in place."""
    height, width = warped.shape[-2:]
    points_px = driven.keypoints[0].cpu().numpy() * (max(height, width) / 2) + (width / 2, height / 2, 0)
    if driven.shading is not None:
        skin.shade(warped, points_px.astype(np.float32), driven.shading, source.mouth.tone.saturation)


def _fill_mouth(warped: Tensor, source: CompactSource, driven: CompactState) -> None:
    """Lay the inside of an opening mouth over a warped image (1, 3, H, W), in place."""
    height, width = warped.shape[-2:]
    half, mouth = max(height, width) / 2, source.mouth
    points_px = driven.keypoints[0].cpu().numpy() * half + (width / 2, height / 2, 0)
    face = driven.head.undo(driven.keypoints)[0].cpu().numpy()
    projection = Projection.of_head(driven.head, mouth.jaw.arch_z, half, (width / 2, height / 2))
    across = mouth_width(mouth.topology, source.canonical)
    target = MouthTarget((height, width), points_px.astype(np.float32), face, across, projection)
    flatten_folds(warped[0], target, mouth)
    layer = fill_mouth(target, mouth, driven.mouth)
    if layer is not None:
        layer.blend(warped[0])


def _lay_mirrored(image: Tensor, warped: Tensor, flow: Flow) -> Tensor:
    """Return a warped image with the face's other half laid over it where the flow says so."""
    if flow.mirrored is None or flow.mirror_weight is None:
        return warped
    mirrored = warp_image(image, _in_halves_of_sides(torch.from_numpy(flow.mirrored).to(image)[None], image))
    # (height, width, 1) as numpy has it, to (1, 1, height, width)
    weight = torch.from_numpy(np.ascontiguousarray(flow.mirror_weight)).to(image).permute(2, 0, 1)[None]
    weight = resize_planes(weight, (image.shape[2], image.shape[3]))
    return warped + weight * (mirrored - warped)


def _in_halves_of_sides(displacement: Tensor, image: Tensor) -> Tensor:
    """Change a displacement (1, h, w, 2) from halves of an image's longer side to halves of each side, in place."""
    height, width = image.shape[-2:]
    if height != width:
        displacement[..., 0 if width < height else 1] *= max(height, width) / min(height, width)
    return displacement

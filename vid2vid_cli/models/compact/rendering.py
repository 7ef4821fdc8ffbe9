"""One frame of compact: the person moved by the mesh's flow, laid over the background, then lids and mouth."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from vid2vid_cli.arrays import Points
from vid2vid_cli.geometry.grid import below_cap, resize_planes, warp_image
from vid2vid_cli.models.compact.layers import Layers
from vid2vid_cli.models.compact.lid_layer import draw_lids
from vid2vid_cli.models.compact.mesh.box import Box
from vid2vid_cli.models.compact.mesh.coverage import EdgePixels, find_edges
from vid2vid_cli.models.compact.mesh.placed_mesh import DRAWN_OUT, EYE, Flow, PlacedMesh
from vid2vid_cli.models.compact.mesh.warp import Surroundings
from vid2vid_cli.models.compact.motion_layout import POINTS, as_cells
from vid2vid_cli.models.compact.mouth import MouthTarget, fill_mouth
from vid2vid_cli.models.compact.mouth_corners import flatten_folds
from vid2vid_cli.models.compact.mouth_halves import Projection
from vid2vid_cli.models.compact.posing import CompactState
from vid2vid_cli.models.compact.source import CompactSource, mouth_width
from vid2vid_cli.models.compact.wrinkles import SkinMap

SOFTENED, MOST_SOFTENED, LEAST_SOFTENED = 0.012, 0.9, 0.05  # of the height of the face; of the picture
WARP_SIDE = 512  # longer side of the analytic flow at most; the source is sampled at its own resolution


def render_frame(source: CompactSource, driven: CompactState, skin: SkinMap) -> Tensor:
    """Render a source under the motion of one frame: (1, 3, H, W)."""
    # The one placing of a frame.
    surroundings = None if driven.surroundings is None else Surroundings(as_cells(driven.surroundings), driven.alike)
    mesh = source.warp.place(driven.keypoints[0].cpu().numpy(), driven.head, surroundings)
    rendered = source.layers.compose(_move_person(source, mesh, driven))
    if driven.shading is not None:
        _shade(rendered, source, driven, skin)
    _shut_lids(rendered, source, driven, mesh)
    _fill_mouth(rendered, source, driven)
    return rendered


def _move_person(source: CompactSource, mesh: PlacedMesh, driven: CompactState) -> Tensor:
    """Warp a source's person by the mesh's flow: (1, 4, H, W)."""
    person, above = source.layers.person, source.layers.above
    height, width = source.layers.size
    shrink = min(1.0, WARP_SIDE / max(height, width))
    size = max(1, round(height * shrink)), max(1, round(width * shrink))
    flow = mesh.flow(size)
    look = driven.gaze[0][0].cpu().numpy() if driven.gaze.shape[1] else None
    made_up = None
    if look is not None:
        made_up = source.irises.move(flow.displacement, Box.whole(size), mesh.vertices[:POINTS], look)
    edges = find_edges(flow.displacement, (height, width), made_up)
    displacement = torch.from_numpy(flow.displacement).to(person)[None]
    moved = warp_image(person, _in_halves_of_sides(displacement, (height, width)), above=above)
    if flow.mirrored is not None:
        moved = _lay_mirrored(source.layers, moved, flow)
    if len(edges):
        moved[0, :, edges.y, edges.x] = _cover(source, mesh, edges, look)
    _soften(moved[0], mesh)
    return moved


def _soften(moved: Tensor, mesh: PlacedMesh) -> None:
    """Blur a moved person (4, H, W) down the side of a face that few pixels are stretched over, in place.

    Along the stretch there is nothing to see but the noise of single pixels, as stripes.
    """
    if mesh.values[:, DRAWN_OUT].max() < LEAST_SOFTENED:
        return
    height, width = moved.shape[-2:]
    half = max(height, width) / 2
    points = mesh.vertices[mesh.values[:, DRAWN_OUT] > 0, :2]
    low = np.floor(points.min(0) * half + (width / 2, height / 2)).astype(int).clip(0, (width - 1, height - 1))
    high = np.ceil(points.max(0) * half + (width / 2, height / 2)).astype(int).clip(low + 1, (width, height))
    (left, top), (right, bottom) = low.tolist(), high.tolist()
    first, last = ((corner - (width / 2, height / 2)) / half for corner in (low, high))
    box = Box(first[0], first[1], last[0], last[1])
    share = mesh.draw(box, (bottom - top, right - left), (DRAWN_OUT,)) * MOST_SOFTENED
    patch = moved[:, top:bottom, left:right]
    pixels = np.ascontiguousarray(patch.permute(1, 2, 0).cpu().numpy())
    face = float(np.ptp(mesh.vertices[:POINTS, 1])) * half
    smooth = cv2.GaussianBlur(pixels, (1, 0), sigmaX=1e-3, sigmaY=max(SOFTENED * face, 0.3))
    pixels += share * (smooth - pixels)
    patch.copy_(torch.from_numpy(pixels).permute(2, 0, 1))


def _cover(source: CompactSource, mesh: PlacedMesh, edges: EdgePixels, gaze: Points | None) -> Tensor:
    """Return pixels of the person that edges pass through, (4, E), from what covers each of their samples."""
    person, places = source.layers.person, edges.places
    drawn = mesh.draw_at(edges, (0, 1, EYE, 2, 3, 4) if mesh.has_mirror else (0, 1, EYE))
    if gaze is not None:
        source.irises.move_samples(drawn, places, mesh.vertices[:POINTS], gaze)
    samples, middles = torch.from_numpy(drawn).to(person), torch.from_numpy(places).to(person)
    colours = _sample(source.layers, middles + samples[..., :2])
    if mesh.has_mirror:
        mirrored = _sample(source.layers, middles + samples[..., 3:5])
        colours += samples[..., 5] * (mirrored - colours)
    return colours.mean(1)


def _sample(layers: Layers, places: Tensor) -> Tensor:
    """Sample the person at places (S, E, 2) in halves of the picture's longer side: (4, S, E)."""
    grid = _in_halves_of_sides(places[None], layers.size)
    below_cap(grid, layers.above, layers.size[0])
    return functional.grid_sample(layers.person, grid, mode="bilinear", padding_mode="border", align_corners=False)[0]


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


def _lay_mirrored(layers: Layers, moved: Tensor, flow: Flow) -> Tensor:
    """Return a moved person with the face's other half laid over it where the flow says so."""
    if flow.mirrored is None or flow.mirror_weight is None:
        return moved
    displacement = torch.from_numpy(flow.mirrored).to(moved)[None]
    mirrored = warp_image(layers.person, _in_halves_of_sides(displacement, layers.size), above=layers.above)
    # (height, width, 1) as numpy has it, to (1, 1, height, width)
    weight = torch.from_numpy(np.ascontiguousarray(flow.mirror_weight)).to(moved).permute(2, 0, 1)[None]
    return moved + resize_planes(weight, layers.size) * (mirrored - moved)


def _in_halves_of_sides(displacement: Tensor, size: tuple[int, int]) -> Tensor:
    """Change a displacement (1, h, w, 2) from halves of a picture's longer side to halves of each side, in place."""
    height, width = size
    if height != width:
        displacement[..., 0 if width < height else 1] *= max(height, width) / min(height, width)
    return displacement

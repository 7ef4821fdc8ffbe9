"""One frame of compact: the person moved by the mesh's flow, laid over the background, then lids and mouth."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from vid2vid_cli.geometry.grid import into_margins, resize_planes
from vid2vid_cli.models.compact.eye_layer import EyeTarget
from vid2vid_cli.models.compact.layers import Layers
from vid2vid_cli.models.compact.lid_layer import draw_lids
from vid2vid_cli.models.compact.mesh.box import Box
from vid2vid_cli.models.compact.mesh.coverage import EdgePixels, find_edges
from vid2vid_cli.models.compact.mesh.placed_mesh import DRAWN_OUT, Flow, PlacedMesh
from vid2vid_cli.models.compact.mesh.warp import Surroundings
from vid2vid_cli.models.compact.motion_layout import POINTS, as_cells
from vid2vid_cli.models.compact.mouth import MouthTarget, fill_mouth
from vid2vid_cli.models.compact.mouth_corners import flatten_folds
from vid2vid_cli.models.compact.mouth_halves import Projection
from vid2vid_cli.models.compact.posing import CompactState
from vid2vid_cli.models.compact.source import CompactSource, mouth_width
from vid2vid_cli.models.compact.view_choice import FaceShape
from vid2vid_cli.models.compact.views import lay_views
from vid2vid_cli.models.compact.wrinkles import SkinMap

SOFTENED, MOST_SOFTENED, LEAST_SOFTENED = 0.012, 0.9, 0.05  # of the height of the face; of the picture
OWN_MOUTH = ("auto", "source")  # kinds of mouth for which other pictures of the person fill it
WARP_SIDE = 512  # longer side of the analytic flow at most; the source is sampled at its own resolution


def render_frame(source: CompactSource, driven: CompactState, skin: SkinMap) -> Tensor:
    """Render a source under the motion of one frame: (1, 3, H, W)."""
    # The one placing of a frame.
    surroundings = None if driven.surroundings is None else Surroundings(as_cells(driven.surroundings), driven.alike)
    mesh = source.warp.place(driven.keypoints[0].cpu().numpy(), driven.head, surroundings)
    rendered = source.layers.compose(_move_person(source, mesh, driven))
    if driven.shading is not None:
        _shade(rendered, source, driven, skin)
    _draw_eyes(rendered, source, driven)
    _shut_lids(rendered, source, driven, mesh)
    _fill_mouth(rendered, source, driven)
    return rendered


def _move_person(source: CompactSource, mesh: PlacedMesh, driven: CompactState) -> Tensor:
    """Warp a source's person by the mesh's flow: (1, 4, H, W)."""
    layers = source.layers
    height, width = layers.size
    shrink = min(1.0, WARP_SIDE / max(height, width))
    size = max(1, round(height * shrink)), max(1, round(width * shrink))
    flow = mesh.flow(size)
    edges = find_edges(flow.displacement, (height, width))
    displacement = torch.from_numpy(flow.displacement).to(layers.person)[None]
    moved = layers.warp(_in_halves_of_sides(displacement, (height, width)))
    if flow.mirrored is not None:
        moved = _lay_mirrored(layers, moved, flow)
    if len(edges):
        moved[0, :, edges.y, edges.x] = _cover(layers, mesh, edges)
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


def _cover(layers: Layers, mesh: PlacedMesh, edges: EdgePixels) -> Tensor:
    """Return pixels of the person that edges pass through, (4, E), from what covers each of their samples."""
    person, places = layers.person, edges.places
    drawn = mesh.draw_at(edges, range(5 if mesh.has_mirror else 2))
    samples, middles = torch.from_numpy(drawn).to(person), torch.from_numpy(places).to(person)
    colours = _sample(layers, middles + samples[..., :2])
    if mesh.has_mirror:
        mirrored = _sample(layers, middles + samples[..., 2:4])
        colours += samples[..., 4] * (mirrored - colours)
    return colours.mean(1)


def _sample(layers: Layers, places: Tensor) -> Tensor:
    """Sample the person at places (S, E, 2) in halves of the picture's longer side: (4, S, E)."""
    grid = into_margins(_in_halves_of_sides(places[None], layers.size), layers.size, layers.above, layers.beside)
    return functional.grid_sample(layers.person, grid, mode="bilinear", padding_mode="border", align_corners=False)[0]


def _draw_eyes(warped: Tensor, source: CompactSource, driven: CompactState) -> None:
    """Draw eyes that look elsewhere over a warped image (1, 3, H, W), in place."""
    if not driven.gaze.shape[1]:
        return
    height, width = warped.shape[-2:]
    keypoints = driven.keypoints[0].cpu().numpy()
    mesh_px = keypoints[:, :2].astype(np.float64) * (max(height, width) / 2) + (width / 2, height / 2)
    target = EyeTarget((height, width), mesh_px, float(driven.head.scale) / source.warp.scale)
    for layer in source.irises.draw(target, keypoints, driven.gaze[0, 0].cpu().numpy()):
        layer.blend(warped[0])


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
    if source.views is not None:
        gaze = source.motion.expression[0, POINTS] + driven.gaze.sum(1)[0]
        shown = FaceShape(face, driven.head.rotation[0].cpu().numpy(), gaze[:2].cpu().numpy())
        own_inside = lay_views(warped, target.points_px, shown, source.views)
        if layer is not None and mouth.kind in OWN_MOUTH:
            layer = layer.faded(1 - own_inside)
    if layer is not None:
        layer.blend(warped[0])


def _lay_mirrored(layers: Layers, moved: Tensor, flow: Flow) -> Tensor:
    """Return a moved person with the face's other half laid over it where the flow says so."""
    if flow.mirrored is None or flow.mirror_weight is None:
        return moved
    displacement = torch.from_numpy(flow.mirrored).to(moved)[None]
    mirrored = layers.warp(_in_halves_of_sides(displacement, layers.size))
    # (height, width, 1) as numpy has it, to (1, 1, height, width)
    weight = torch.from_numpy(np.ascontiguousarray(flow.mirror_weight)).to(moved).permute(2, 0, 1)[None]
    return moved + resize_planes(weight, layers.size) * (mirrored - moved)


def _in_halves_of_sides(displacement: Tensor, size: tuple[int, int]) -> Tensor:
    """Change a displacement (1, h, w, 2) from halves of a picture's longer side to halves of each side, in place."""
    height, width = size
    if height != width:
        displacement[..., 0 if width < height else 1] *= max(height, width) / min(height, width)
    return displacement

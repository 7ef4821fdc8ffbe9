"""One frame of compact: the person moved by the mesh's flow, laid over the background, then lids and mouth."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from vid2vid_cli.arrays import Points
from vid2vid_cli.face.eyes import LOOPS, LOWER, RINGS
from vid2vid_cli.geometry.grid import into_margins, resize_planes
from vid2vid_cli.models.compact.around_rendering import mix_mesh, render_around
from vid2vid_cli.models.compact.eye_layer import EyeTarget
from vid2vid_cli.models.compact.layer import Layer
from vid2vid_cli.models.compact.layers import Layers
from vid2vid_cli.models.compact.lid_layer import draw_lids
from vid2vid_cli.models.compact.mesh.box import Box
from vid2vid_cli.models.compact.mesh.coverage import EdgePixels, find_edges
from vid2vid_cli.models.compact.mesh.placed_mesh import BACK, DRAWN_OUT, Flow, PlacedMesh
from vid2vid_cli.models.compact.mesh.warp import Surroundings
from vid2vid_cli.models.compact.motion_layout import POINTS, as_cells
from vid2vid_cli.models.compact.mouth import MouthTarget, fill_mouth
from vid2vid_cli.models.compact.mouth_corners import flatten_folds
from vid2vid_cli.models.compact.mouth_halves import Projection
from vid2vid_cli.models.compact.mouth_picture import MouthPicture
from vid2vid_cli.models.compact.posing import CompactState
from vid2vid_cli.models.compact.relighting import Relighting
from vid2vid_cli.models.compact.source import CompactSource, mouth_width
from vid2vid_cli.models.compact.view_choice import FaceShape
from vid2vid_cli.models.compact.views import HIDDEN, ChosenViews, lay_views
from vid2vid_cli.models.compact.wrinkles import SkinMap

SOFTENED, MOST_SOFTENED, LEAST_SOFTENED = 0.012, 0.9, 0.05  # of the height of the face; of the picture
BACK_SOFTENED, BACK_COARSE = 0.007, 4  # of the height of the face; px, of which one says how much
OWN_MOUTH = ("auto", "source")  # kinds of mouth for which other pictures of the person fill it
# Points of the mesh around all that is drawn of eyes: if other pictures show all of them, nothing drawn would be seen.
AROUND_EYES = np.concatenate([LOOPS.ravel(), RINGS[0].ravel(), RINGS[1][:, LOWER].ravel()])
WARP_SIDE = 512  # longer side of the analytic flow at most; the source is sampled at its own resolution


def render_frame(source: CompactSource, driven: CompactState, relighting: Relighting) -> Tensor:
    """Render a source under the motion of one frame: (1, 3, H, W)."""
    # The one placing of a frame.
    surroundings = None if driven.surroundings is None else Surroundings(as_cells(driven.surroundings), driven.alike)
    mesh = source.warp.place(driven.keypoints[0].cpu().numpy(), driven.head, surroundings)
    rendered = _before_background(source, mesh, driven, surroundings)
    if driven.shading is not None:
        _shade(rendered, source, driven, relighting.skin)
    target = _mouth_target(source, driven)
    chosen = _choose_views(source, driven, target)
    if chosen is None or not chosen.hides(AROUND_EYES):
        _draw_eyes(rendered, source, driven)
        _shut_lids(rendered, source, driven, mesh)
    own_inside = _lay_pictures(rendered, source, target, chosen)
    if own_inside:
        own_inside *= 1 - _shows_themself(source, driven)
    shown = _driving_mouth(source, driven)
    inside = _inside_of_mouth(source, target, shown, own_inside)
    if inside is not None and shown is None:
        inside.blend(rendered[0])
    if driven.light is not None:
        light, points_px = driven.light, target.points_px
        if chosen is not None and len(chosen.used):
            light = relighting.left_to_change(light, source.skin, rendered, points_px)
        relighting.apply(rendered, points_px, light)
    if inside is not None and shown is not None:  # in the light of its frame already
        inside.blend(rendered[0])
    return rendered


def _before_background(
    source: CompactSource, mesh: PlacedMesh, driven: CompactState, surroundings: Surroundings | None
) -> Tensor:
    """Move a source's person, and lay them over the background: (1, 3, H, W)."""
    # Whoever drives themselves shows how their own hair moves: other pictures would add to that.
    if source.around is None or (surroundings is not None and surroundings.alike > 0):
        return source.layers.compose(_move_person(source, mesh, driven))
    mixed = mix_mesh(source.around, driven, mesh, surroundings, source.layers.size)
    return render_around(mixed, source.around.background, WARP_SIDE)


def _mouth_target(source: CompactSource, driven: CompactState) -> MouthTarget:
    height, width = source.layers.size
    half, mouth = max(height, width) / 2, source.mouth
    points_px = driven.keypoints[0].cpu().numpy() * half + (width / 2, height / 2, 0)
    face = driven.head.undo(driven.keypoints)[0].cpu().numpy()
    projection = Projection.of_head(driven.head, mouth.jaw.arch_z, half, (width / 2, height / 2))
    across = mouth_width(mouth.topology, source.canonical)
    return MouthTarget((height, width), points_px.astype(np.float32), face, across, projection)


def _choose_views(source: CompactSource, driven: CompactState, target: MouthTarget) -> ChosenViews | None:
    """Choose what other pictures of the person show of a frame; None without any."""
    if source.views is None:
        return None
    gaze = source.motion.expression[0, POINTS] + driven.gaze.sum(1)[0]
    shown = FaceShape(target.face, driven.head.rotation[0].cpu().numpy(), gaze[:2].cpu().numpy())
    return source.views.choose(shown, target.points_px)


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
    _soften_back(moved[0], mesh)
    return moved


def _soften(moved: Tensor, mesh: PlacedMesh) -> None:
    """Blur a moved person (4, H, W) down the side of a face that few pixels are stretched over, in place.

    Along the stretch there is nothing to see but the noise of single pixels, as stripes.
    """
    patch = _patch(moved, mesh, DRAWN_OUT, 0)
    if patch is None:
        return
    share = mesh.draw(patch.box, patch.size, (DRAWN_OUT,)) * np.float32(MOST_SOFTENED)
    smooth = cv2.GaussianBlur(patch.pixels, (1, 0), sigmaX=1e-3, sigmaY=max(SOFTENED * patch.face, 0.3))
    patch.blend(np.asarray(smooth, np.float32), share)


def _soften_back(moved: Tensor, mesh: PlacedMesh) -> None:
    """Blur a moved person (4, H, W) on the back of the head, in place: no hair of it ends in a sharp edge."""
    patch = _patch(moved, mesh, BACK, 2 * BACK_SOFTENED)
    if patch is None:
        return
    side = 2 * round(1.5 * BACK_SOFTENED * patch.face) + 1
    height, width = patch.size
    coarse = max(1, height // BACK_COARSE), max(1, width // BACK_COARSE)
    # Beyond the edge of what is drawn, too.
    reach = np.ones((2 * round(side / BACK_COARSE) + 3,) * 2, np.uint8)
    share = cv2.blur(cv2.dilate(mesh.draw(patch.box, coarse, (BACK,)), reach), (3, 3))
    share = cv2.resize(share, (width, height), interpolation=cv2.INTER_LINEAR)[..., None]
    patch.blend(np.asarray(cv2.blur(patch.pixels, (side, side)), np.float32), np.asarray(share, np.float32))


@dataclass(frozen=True)
class Patch:
    """A part of a picture. shown: (4, h, w) of it. pixels: a copy, (h, w, 4). face: the height of the face, px."""

    shown: Tensor
    pixels: Points
    box: Box
    face: float

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return self.pixels.shape[0], self.pixels.shape[1]

    def blend(self, others: Points, share: Points) -> None:
        """Show a share (h, w, 1) of other pixels (h, w, 4)."""
        mixed = self.pixels + share * (others - self.pixels)
        self.shown.copy_(torch.from_numpy(mixed).permute(2, 0, 1))


def _patch(moved: Tensor, mesh: PlacedMesh, channel: int, reach: float) -> Patch | None:
    """Return the part of a moved person (4, H, W) where a channel of its mesh is; None for next to nothing.

    reach: how far around it, of the height of the face.
    """
    if mesh.values[:, channel].max() < LEAST_SOFTENED:
        return None
    height, width = moved.shape[-2:]
    half = max(height, width) / 2
    face = float(np.ptp(mesh.vertices[:POINTS, 1])) * half
    points_px = mesh.vertices[mesh.values[:, channel] > 0, :2] * half + (width / 2, height / 2)
    low = np.floor(points_px.min(0) - reach * face).astype(int).clip(0, (width - 1, height - 1))
    high = np.ceil(points_px.max(0) + reach * face).astype(int).clip(low + 1, (width, height))
    (left, top), (right, bottom) = low.tolist(), high.tolist()
    first, last = ((corner - (width / 2, height / 2)) / half for corner in (low, high))
    shown = moved[:, top:bottom, left:right]
    pixels = np.ascontiguousarray(shown.permute(1, 2, 0).cpu().numpy())
    return Patch(shown, pixels, Box(first[0], first[1], last[0], last[1]), face)


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


def _lay_pictures(warped: Tensor, source: CompactSource, target: MouthTarget, chosen: ChosenViews | None) -> float:
    """Lay the pictures chosen over a warped image (1, 3, H, W), in place; return how far they fill its mouth."""
    mouth = source.mouth
    if chosen is None or not chosen.hides(chosen.views.beside_mouth):
        flatten_folds(warped[0], target, mouth)
    own_inside = 0.0 if chosen is None else lay_views(warped, target.points_px, chosen)
    return own_inside if mouth.kind in OWN_MOUTH else 0.0


def _inside_of_mouth(
    source: CompactSource, target: MouthTarget, shown: MouthPicture | None, own_inside: float
) -> Layer | None:
    """Return what fills an opening mouth, as far as pictures do not. shown: the driving's, if that is to be seen."""
    layer = None if own_inside > HIDDEN else fill_mouth(target, source.mouth, shown)
    return layer.faded(1 - own_inside) if layer is not None and own_inside else layer


def _driving_mouth(source: CompactSource, driven: CompactState) -> MouthPicture | None:
    """Return the driving's mouth if it is to be shown, beside skin that the source's will be lit as."""
    mouth, tone = driven.mouth, source.mouth.tone
    if mouth is None or not source.mouth.shows_driving:
        return None
    lit_alike = 0.0 if driven.light is None else driven.light.share
    return replace(mouth, skin=mouth.skin + np.float32(lit_alike) * (tone.skin - mouth.skin))


def _shows_themself(source: CompactSource, driven: CompactState) -> float:
    """Return how surely the driving's mouth that fills the source's is the same person's, at this very opening."""
    mouth, views = source.mouth, source.views
    if views is None or driven.mouth is None or driven.driver is None or mouth.kind != "auto" or mouth.shows_own:
        return 0.0
    skin = driven.driver()
    return 0.0 if skin is None else views.person.shown_by(skin)


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

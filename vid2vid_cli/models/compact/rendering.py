"""One frame of compact: the person moved by the mesh, laid over the background, then lids, pictures and mouth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from vid2vid_cli.arrays import Points
from vid2vid_cli.face.eyes import LOOPS, LOWER, RINGS
from vid2vid_cli.models.compact.around_rendering import mix_mesh
from vid2vid_cli.models.compact.eye_layer import EyeTarget
from vid2vid_cli.models.compact.layer import Layer
from vid2vid_cli.models.compact.lid_layer import draw_lids
from vid2vid_cli.models.compact.mesh.placed_mesh import PlacedMesh
from vid2vid_cli.models.compact.mesh.warp import Surroundings
from vid2vid_cli.models.compact.mixed_mesh import MixedMesh
from vid2vid_cli.models.compact.mixed_pixels import lay_before
from vid2vid_cli.models.compact.motion_layout import POINTS
from vid2vid_cli.models.compact.mouth import MouthTarget, fill_mouth
from vid2vid_cli.models.compact.mouth_corners import flatten_folds
from vid2vid_cli.models.compact.mouth_halves import Projection
from vid2vid_cli.models.compact.mouth_picture import MouthPicture
from vid2vid_cli.models.compact.posing import CompactState
from vid2vid_cli.models.compact.relighting import Relighting
from vid2vid_cli.models.compact.softening import soften_back, soften_stretched
from vid2vid_cli.models.compact.source import CompactSource, mouth_width
from vid2vid_cli.models.compact.view_choice import FaceShape
from vid2vid_cli.models.compact.views import HIDDEN, ChosenViews, lay_views
from vid2vid_cli.models.compact.wrinkles import SkinMap

OWN_MOUTH = ("auto", "source")  # kinds of mouth for which other pictures of the person fill it
# Points of the mesh around all that is drawn of eyes: if other pictures show all of them, nothing drawn would be seen.
AROUND_EYES = np.concatenate([LOOPS.ravel(), RINGS[0].ravel(), RINGS[1][:, LOWER].ravel()])


def render_frame(source: CompactSource, driven: CompactState, relighting: Relighting) -> Tensor:
    """Render a source under the motion of one frame: (1, 3, H, W)."""
    # The one placing of a frame.
    surroundings = driven.surroundings_of_frame()
    mesh = source.warp.place(driven.keypoints[0].cpu().numpy(), driven.head, surroundings)
    rendered = _before_background(source, mesh, driven, surroundings)
    if driven.shading is not None:
        _shade(rendered, source, driven, relighting.skin)
    target = _mouth_target(source, driven)
    chosen = _choose_views(source, driven, target)
    if chosen is None or not chosen.hides(AROUND_EYES):
        _draw_eyes(rendered, source, driven)
        _shut_lids(rendered, source, driven, mesh)
    own_inside = _lay_pictures(rendered, source, driven, target, chosen)
    shown = _driving_mouth(source, driven)
    inside = _inside_of_mouth(source, target, shown, own_inside)
    if inside is not None and shown is None:
        inside.blend(rendered[0])
    if driven.light is not None:
        covered = source.skin if chosen is not None and len(chosen.used) else None
        relighting.apply(rendered, target.points_px, driven.light, covered)
    if inside is not None and shown is not None:  # in the light of its frame already
        inside.blend(rendered[0])
    return rendered


def _before_background(
    source: CompactSource, mesh: PlacedMesh, driven: CompactState, surroundings: Surroundings | None
) -> Tensor:
    """Move a source's person, and lay them over the background: (1, 3, H, W)."""
    # Whoever drives themselves shows how their own hair moves: other pictures would add to that.
    if source.around is None or (surroundings is not None and surroundings.alike > 0):
        return source.layers.compose(_move_person(source, mesh))
    mixed = mix_mesh(source.around, driven, mesh, surroundings, source.layers.size)
    return torch.from_numpy(lay_before(mixed.show(source.layers.size), source.around.background))[None]


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


def _move_person(source: CompactSource, mesh: PlacedMesh) -> Points:
    """Move the person of a source of one picture by the mesh: (H, W, 4)."""
    person = MixedMesh.of_one(mesh, source.layers).show(source.layers.size)
    soften_stretched(person, mesh, source.sides)
    soften_back(person, mesh)
    return person


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


def _lay_pictures(
    warped: Tensor, source: CompactSource, driven: CompactState, target: MouthTarget, chosen: ChosenViews | None
) -> float:
    """Lay the pictures chosen over a warped image (1, 3, H, W), in place; return how far they fill its mouth."""
    mouth = source.mouth
    if chosen is None or not chosen.hides(chosen.views.beside_mouth):
        flatten_folds(warped[0], target, mouth)
    if chosen is None:
        return 0.0
    sure, driver = _surely_themself(chosen, driven), driven.driver
    seen = None if driver is None else chosen.seen_by(driver, sure)
    own_inside = lay_views(warped, target.points_px, chosen, seen)
    if not own_inside or mouth.kind not in OWN_MOUTH:
        return 0.0
    shows_driving = driven.mouth is not None and mouth.kind == "auto" and not mouth.shows_own
    return own_inside * (1 - sure * shows_driving)


def _surely_themself(chosen: ChosenViews, driven: CompactState) -> float:
    """Return how surely the driving is the person whom the pictures show, 0 to 1; 0 where none of them is shown."""
    skin = None if driven.driver is None or not len(chosen.used) else driven.driver.skin
    return 0.0 if skin is None else chosen.views.person.shown_by(skin)


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
    skin = mouth.skin + np.float32(lit_alike) * (tone.skin - mouth.skin)
    return replace(mouth, skin=skin, is_foreign=1 - driven.alike)

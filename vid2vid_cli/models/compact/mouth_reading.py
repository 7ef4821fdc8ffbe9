"""Read a source's mouth: what it shows, where its teeth are, and what fits it."""

from __future__ import annotations

from torch import Tensor

from vid2vid_cli.models.compact.mesh.topology import FaceTopology
from vid2vid_cli.models.compact.motion_layout import POINTS, unit_points
from vid2vid_cli.models.compact.mouth import SourceMouth, mouth_gaps
from vid2vid_cli.models.compact.mouth_bank import MouthBank
from vid2vid_cli.models.compact.mouth_halves import Halves, Projection, read_halves
from vid2vid_cli.models.compact.mouth_jaw import Jaw
from vid2vid_cli.models.compact.mouth_tone import read_skin_tone
from vid2vid_cli.models.compact.source import Rig, mouth_width

FACING = 0.82  # cosine of the angle up to which a source's own teeth are taken


def read_mouth(
    topology: FaceTopology, bank: MouthBank | None, image: Tensor, landmarks: Tensor, rig: Rig
) -> SourceMouth:
    """Read the mouth of a source. image: (1, 3, H, W) in [0, 1]. landmarks: (468 or 470, 3), in its px."""
    height, width = image.shape[2:]
    points_px = landmarks[:POINTS].cpu().numpy()
    points = unit_points(landmarks[None, :POINTS].cpu(), (height, width))
    width_here = mouth_width(topology, rig.canonical)
    face = rig.head.undo(points)[0].numpy()
    jaw = Jaw.of_source(face, width_here)
    projection = Projection.of_head(rig.head, jaw.arch_z, max(height, width) / 2, (width / 2, height / 2))
    picture = (image[0].permute(1, 2, 0).clamp(0, 1) * 255).round().byte().cpu().numpy()
    tone = read_skin_tone(picture, points_px)
    own: Halves | None = read_halves(picture, points_px, topology.inner_lips, projection)
    if own is not None and not (own.shows_teeth and float(rig.head.rotation[0, 2, 2]) > FACING):
        own = None  # seen from the side, teeth hide one another
    gaps = mouth_gaps(face, topology.inner_lips, width_here)
    rows = None if bank is None else bank.choose(tone, projection.unit_px)
    return SourceMouth(topology, gaps, tone, jaw, own, rows)

"""The analytic flow of the compact family: where in the source does each pixel of the target come from?

The face is the 468-point mesh; around it lies a shell (shell.py), and the crop's border holds still. All of it is one
continuous triangulation, so every target pixel has a source; where it folds, depth decides. Where a turned source hides
a half of the face that the target shows, the other half is shown there, mirrored.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from vid2vid_cli.arrays import Indices, Points
from vid2vid_cli.geometry.easing import smoothstep
from vid2vid_cli.geometry.keypoints import Similarity
from vid2vid_cli.models.compact.mesh.box import Border
from vid2vid_cli.models.compact.mesh.crown import Crown
from vid2vid_cli.models.compact.mesh.eyelids import Eyelids
from vid2vid_cli.models.compact.mesh.head_pose import HeadPose
from vid2vid_cli.models.compact.mesh.openings import PlacedFace, inside_source_xy, opening_loops, refill_triangles
from vid2vid_cli.models.compact.mesh.outline import Outline, smooth_around
from vid2vid_cli.models.compact.mesh.placed_mesh import BACK, CHANNELS, DRAWN_OUT, MIRROR, PlacedMesh
from vid2vid_cli.models.compact.mesh.seam import Seam
from vid2vid_cli.models.compact.mesh.shell import BEHIND, FOLD, RINGS, build_shell, reach_border
from vid2vid_cli.models.compact.mesh.square_map import SeenPerson, SquareMap
from vid2vid_cli.models.compact.mesh.stitching import stitch_corners, stitch_loops
from vid2vid_cli.models.compact.mesh.topology import FaceTopology

INSET = 0.06  # of the way to the face's middle; less leaves hair and background on the cheek, more widens the face
EDGE_ON, FULL_EDGE_ON = 0.45, 0.35  # of facing the camera: the source shows a side in few pixels, and by how much less
FEW_PIXELS, FULL_FEW_PIXELS = 0.52, 0.2  # of it, too: in so few that nothing fine is left, and by how much less
EDGE_SEEN = 0.3  # of facing the camera: what faces it less lies at the silhouette, and less than 0 behind it
# Of facing the camera: from how much more on a target is seen to turn to it what the source shows, or hides, and over
# how much more that has turned fully.
SHOWN_FROM, SHOWN_OVER = (0.1, 0.0), (0.3, 0.12)
IN_VIEW = 0.3  # sine of a turn from which on a side of the head is in view: it shows nothing mixed with the background
STANDS_OUT = 0.05  # eye distances: how far an ear that the source hides stands out to be all there
SOON = 4.0  # times as soon as a side is shown, an ear is shown that it lacks
LEAST_MIRRORED = 0.02  # less of the other half is not shown
FOREHEAD, CHIN = 10, 152  # points of the mesh
JAW = (0.2, 0.5)  # y on the canonical head: where the outline begins to open with the jaw, and does so fully
MOST_OF_ROOM = 0.5  # to the border: what lies around the face moves no further
STILL_EDGE = 0.15  # of the side of the square within the border: where surroundings stop moving


@dataclass(frozen=True)
class Surroundings:
    """How what lies around a driving's face moves beside what its mesh says, see motion_layout.py.

    cells: (CELLS, CELLS, 2), in halves of the square within the border. body: (2,), all of it as one piece. alike: how
    far the source is the driving person, from 0 to 1: only they have the same hair and the same collar.
    """

    cells: Points
    body: Points
    alike: float

    def shared(self) -> Points:
        """Return the cells as far as the source has the driving's surroundings; others' shoulders move as one piece."""
        return np.asarray(self.body + self.alike * (self.cells - self.body), np.float32)


class MeshWarp:
    """The warp of one source: built once, then placed for each target."""

    def __init__(self, topology: FaceTopology, points: Points, pose: Similarity, person: SeenPerson) -> None:
        """Build the extended mesh of a source.

        points: (468, 3), the source's keypoints in [-1, 1] of the crop's longer side. pose: of the source, batch
        of 1. person: where the crop shows one; the border of their matte holds still. Without their colours, it is not
        asked where both halves look alike.
        """
        self._topology, self._pose, self._border = topology, pose, person.matte.border
        self.keypoint_count, self.face_triangles = len(points), topology.triangles
        outline = self._outline = Outline.of_face(points, topology.oval, topology.mirror)
        canonical = topology.canonical.numpy()
        shape = None if topology.head is None else topology.head.bent(pose.undo_array(points))
        head = HeadPose(pose, float(canonical[FOREHEAD, 1]), float(canonical[CHIN, 1]), shape)
        self.crown = None if topology.head is None else Crown.of(topology.head, pose, person)
        shell = self._shell = build_shell(outline, head, person, self.crown)
        # The shell turns with the head, and its jaw with the outline.
        self._rest_outline = pose.undo_array(outline.points)
        self._rest_shell = pose.undo_array(shell.places.reshape(-1, 3))
        tucked = shell.places + shell.tuck
        self._rest_tucked = pose.undo_array(tucked.reshape(-1, 3))
        self._to_ear = pose.undo_array((tucked + shell.to_ear).reshape(-1, 3)) - self._rest_tucked
        self._rest_back = pose.undo_array(shell.back.reshape(-1, 3))
        self._rest_back_tucked = pose.undo_array((shell.back + shell.tuck[FOLD]).reshape(-1, 3))
        self._still = _still_vertices(outline, self._border)
        vertices = points[:, :2], shell.places[..., :2].reshape(-1, 2), self._still[:, :2], shell.back_xy.reshape(-1, 2)
        self.source_xy = np.concatenate(vertices).astype(np.float32)
        self._loops = np.concatenate(opening_loops(topology))
        self.triangles = self._stitch()
        self._facing = topology.facing(points)
        self._hidden = topology.spread(_hidden_weights(self._facing, self._facing[topology.mirror]), times=3)
        # What lies behind the silhouette is seen as soon as it turns: until then, its places show the cheek before it.
        behind = self._hidden * smoothstep((EDGE_SEEN - self._facing) / EDGE_SEEN)
        self._shown_from, self._shown_over = (_blend(*ends, behind) for ends in (SHOWN_FROM, SHOWN_OVER))
        self._coarse = smoothstep((FEW_PIXELS - self._facing) / FULL_FEW_PIXELS)
        self._seam = self._find_seam(person.colours)
        self._parts = self._name_parts()
        self._jaw = smoothstep((canonical[topology.oval, 1] - JAW[0]) / (JAW[1] - JAW[0]))
        self._lids = Eyelids(points, float(pose.scale))

    @property
    def scale(self) -> float:
        """Of the source's own head: halves of the crop's longer side that an eye distance takes."""
        return float(self._pose.scale)

    @property
    def border(self) -> Border:
        """The border that holds still."""
        return self._border

    @property
    def still(self) -> tuple[int, int]:
        """The first vertex on the border, and the first one after them."""
        first = self.keypoint_count + self._shell.follow.size
        return first, first + len(self._still)

    @property
    def follow(self) -> Points:
        """How much the vertices around the face follow the head: (S, 1)."""
        return self._shell.follow.reshape(-1, 1)

    @property
    def room_to_move(self) -> Points:
        """How freely the vertices around the face move: (S, 1), 1 far from the border, 0 at it."""
        room = self._shell.room.reshape(-1, 1) / float((self._border.high - self._border.low).max())
        return smoothstep(room / STILL_EDGE)

    def _stitch(self) -> Indices:
        """Return all triangles: of the face, around it, out to the crop's corners, and of the head's back."""
        oval = self._topology.oval
        count, first = len(oval), self.keypoint_count
        border, back = first + RINGS * count, len(self.source_xy) - len(self._rest_back)
        loops = [np.arange(begin, begin + count, dtype=np.int32) for begin in range(first, border + 1, count)]
        behind = [np.arange(begin, begin + count, dtype=np.int32) for begin in range(back, len(self.source_xy), count)]
        face = refill_triangles(self._topology, len(self.source_xy))
        last = stitch_corners(self._still[:count, :2], self._still[count:, :2], border)
        around, closing = stitch_loops([oval, *loops]), stitch_loops([loops[FOLD], *behind])
        return np.concatenate([face, around, last, closing]).astype(np.int32)

    def place(self, keypoints: Points, pose: Similarity, surroundings: Surroundings | None = None) -> PlacedMesh:
        """Return the mesh as a target shows it.

        keypoints: (468, 3), the target's, in the source's crop. pose: of the target, batch of 1. surroundings: how what
        lies around moves.
        """
        targets = self.target_vertices(keypoints, pose)
        targets = np.concatenate([targets, keypoints[self._loops]])
        own = PlacedFace(self.source_xy[: len(keypoints)], float(self._pose.scale))
        target = PlacedFace(keypoints[:, :2], float(pose.scale))
        inside = inside_source_xy(self._topology, own, target)
        turned = self._turned(keypoints)
        shown = self._shown(turned)
        if self._seam is not None:
            shown = self._seam.delay(shown, turned)
        drawn_out = shown * smoothstep((EDGE_ON - self._facing) / FULL_EDGE_ON)
        source_xy = self._inset_source_xy(drawn_out)
        shell = slice(len(keypoints), len(keypoints) + self._shell.follow.size)
        in_view = self._in_view(pose)
        source_xy[shell] += (in_view[:, None] * self._shell.inset).reshape(-1, 2)
        closing = self._lids.closing(keypoints, target.scale)
        values = np.zeros((len(targets), CHANNELS), np.float32)
        values[:, :2] = np.concatenate([source_xy, inside]) - targets[:, :2]
        weights = self._mirror_weights(shown, self._ears_shown(self._shown(turned)[self._topology.oval], pose))
        if weights is not None:
            mirrored = self._mirrored_source_xy()
            mirrored[shell] += (in_view[:, None] * self._shell.inset[:, self._outline.partners]).reshape(-1, 2)
            values[:, 2:4] = np.concatenate([mirrored, mirrored[self._loops]]) - targets[:, :2]
            values[:, MIRROR] = weights
        if surroundings is not None:
            values[shell, :2] += self.move_around(surroundings, targets[shell, :2])
        values[:, 5:DRAWN_OUT] = self._parts
        # What is mirrored comes from a side that is seen well.
        values[: len(keypoints), DRAWN_OUT] = shown * self._coarse * (1 - values[: len(keypoints), MIRROR])
        back = slice(len(source_xy) - len(self._rest_back), len(source_xy))
        values[back, BACK] = np.tile(smoothstep(2 * in_view - 0.5), len(self._rest_back) // len(in_view))
        return PlacedMesh(targets, values, self.triangles, weights is not None, closing)

    def move_around(self, surroundings: Surroundings, target_xy: Points) -> Points:
        """Return what the surroundings add to the displacement of the shell's vertices at their targets (S, 2)."""
        low, high = self._border.low, self._border.high
        cells = surroundings.shared()
        px = np.asarray((target_xy - low) * (len(cells) / (high - low)) - 0.5, np.float32)[None]
        found = cv2.remap(cells, px, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[0]  # type: ignore[call-overload]
        room = np.minimum(target_xy - low, high - target_xy).min(-1, initial=np.inf)
        # What a side cuts off stays there on another person; the same one is seen to move in and out.
        cut = np.minimum(room, self._shell.room.ravel())
        room = (cut + surroundings.alike * (room - cut)) / float((high - low).max())
        # Another head, with other hair, moves as its own pose says.
        head = (1 - surroundings.alike) * self._shell.follow.reshape(-1, 1)
        moved = found * (high - low) / 2 * (1 - head) * smoothstep(room / STILL_EDGE)[:, None]
        return np.asarray(moved, np.float32)

    def target_vertices(self, keypoints: Points, pose: Similarity) -> Points:
        """Return all vertices (V, 3) of the mesh for target keypoints."""
        shell = self._shell
        shown = self._shown(self._turned(keypoints))[self._topology.oval]
        ears = self._ears_shown(shown, pose)
        rest = _between(self._rest_shell, self._rest_tucked, shown) + _each(ears, self._to_ear) * self._to_ear
        turned = pose.apply_array(rest).reshape(shell.places.shape)
        by = shell.follow * (turned - shell.places)
        # Nothing leaves the border, which would tear there.
        length = np.linalg.norm(by[..., :2], axis=-1, keepdims=True)
        moved = shell.places + by * np.minimum(1, MOST_OF_ROOM * shell.room / np.maximum(length, 1e-6))
        bend = keypoints[self._topology.oval] - pose.apply_array(self._rest_outline)
        moved[..., :2] += shell.flex * bend[:, :2]
        # A chin that opens goes back as well: what it opens over stays behind it.
        moved[..., 2] += shell.behind + self._jaw * np.maximum(bend[:, 2], 0)
        rest_back = _between(self._rest_back, self._rest_back_tucked, shown)
        to_ear = self._to_ear[FOLD * len(ears) : (FOLD + 1) * len(ears)]
        rest_back += _each(ears, rest_back) * np.tile(to_ear, (len(shell.back), 1))
        back = pose.apply_array(rest_back).reshape(shell.back.shape)
        back = shell.back + shell.follow[FOLD] * (back - shell.back)
        return np.concatenate([keypoints, moved.reshape(-1, 3), self._still, back.reshape(-1, 3)]).astype(np.float32)

    def _turned(self, keypoints: Points) -> Points:
        """Return how much more than the source a target turns each point of the face to the camera: (468,)."""
        return np.asarray(self._topology.facing(keypoints) - self._facing, np.float32)

    def _shown(self, turned: Points) -> Points:
        """Return how far each point of the face has turned to the camera, from 0, as the source, to 1: (468,)."""
        return smoothstep((turned - self._shown_from) / self._shown_over)

    def _name_parts(self) -> Points:
        """Return for each vertex whether it is of the face, and whether it fills an eye: (V, 2)."""
        face, around, loops = self.keypoint_count, len(self.source_xy) - self.keypoint_count, len(self._loops)
        on_face = np.concatenate([np.ones(face), np.zeros(around), np.ones(loops)])
        eyes = np.zeros(face + around + loops)
        eyes[face + around : -len(self._topology.inner_lips)] = 1
        return np.column_stack([on_face, eyes]).astype(np.float32)

    def _mirrored_source_xy(self) -> Points:
        """Return for each vertex where its partner on the other half of the head lies in the source: (V, 2)."""
        partner = self._topology.mirror
        around, back = (
            places[:, self._outline.partners, :2].reshape(-1, 2) for places in (self._shell.places, self._shell.back_xy)
        )
        still = self.source_xy[len(partner) + len(around) : -len(back)]  # never mirrored
        return np.concatenate([self.source_xy[partner], around, still, back])

    def _find_seam(self, colours: SquareMap | None) -> Seam | None:
        """Return where what is mirrored may not end; None if nothing is, or the source's colours are not known."""
        if colours is None or self._hidden.max() <= 0:
            return None
        apart = np.abs(colours.at(self.source_xy) - colours.at(self._mirrored_source_xy())).max(-1)
        face, mirror = apart[: self.keypoint_count], self._shell.mirror
        rings = apart[len(face) : len(face) + mirror.size].reshape(mirror.shape) * mirror
        face[self._topology.oval] = np.maximum(face[self._topology.oval], rings.max(0))
        return Seam.of(self._topology, self._facing, face)

    def _inset_source_xy(self, drawn_out: Points) -> Points:
        """Return what vertices show of the source (V, 2), moved inwards a little at the edge of the face.

        The source shows the side of the face in a few pixels, mixed with hair and background. Where the target turns
        that side to the camera, the cheek beside it is stretched over it instead. drawn_out: (468,).
        """
        source_xy = self.source_xy.copy()
        share = INSET * drawn_out
        face = source_xy[: len(share)]
        face += share[:, None] * (self._outline.centre - face)
        # The first ring shows what is right outside of the face: ears and hair, not what is behind them.
        oval = self._topology.oval
        ring = source_xy[len(share) : len(share) + len(oval)]
        ring += share[oval, None] / 2 * (face[oval] - ring)
        return source_xy

    def _in_view(self, pose: Similarity) -> Points:
        """Return for each ray (36,) how far a target turns that side of the head to the camera, from 0 to 1."""
        turned = (pose.rotation[0] @ self._pose.rotation[0].T).numpy()
        towards = -(self._outline.directions @ turned[2, :2])  # the sine of that turn
        return np.asarray(smoothstep(towards / IN_VIEW), np.float32)

    def _ears_shown(self, shown: Points, pose: Similarity) -> Points:
        """Return how far a target shows ears that the source hides, for each ray (36,): as far as they stand out.

        Where they do not, as when a head nods to the other side, the source's own hair must not be drawn in to them.
        shown: (36,), see _shown.
        """
        if not self._shell.lacking.any():
            return np.zeros_like(shown)
        ring = slice(FOLD * len(shown), (FOLD + 1) * len(shown))
        own, tucked = self._rest_shell[ring], self._rest_tucked[ring] + self._to_ear[ring]
        aside = np.sign(self._rest_outline[:, :1]) * pose.rotation[0, :2, 0].numpy()
        out = ((pose.apply_array(tucked) - pose.apply_array(own))[:, :2] * aside).sum(-1)
        stands_out = smooth_around(out) / (STANDS_OUT * float(pose.scale))
        return np.asarray(shown * smoothstep(stands_out), np.float32)

    def _mirror_weights(self, shown: Points, ears: Points) -> Points | None:
        """Return how much of each vertex (V,) is to be taken from the other half; None if nothing is.

        shown: (468,). ears: (36,), how far ears are shown that the source hides.
        """
        # No cheek is mixed into an ear: what little of that is seen before it comes out is all the other one.
        face, ears = self._hidden * shown, self._shell.lacking * smoothstep(SOON * ears)
        if max(face.max(), ears.max()) < LEAST_MIRRORED:
            return None
        if self._seam is not None:
            face = self._seam.carry_on(face)
        rings = np.maximum(self._shell.mirror * face[self._topology.oval], ears)
        back = np.tile(ears[FOLD], len(self._shell.back))
        weights = (face, rings.ravel(), np.zeros(len(self._still)), back, face[self._loops])
        return np.concatenate(weights).astype(np.float32)


def _blend(first: float, last: float, share: Points) -> Points:
    """Return what lies between two numbers by shares."""
    return np.asarray(first + share * (last - first), np.float32)


def _each(share: Points, places: Points) -> Points:
    """Return a share of each ray (36,) for the places of all rings (R * 36, ...): (R * 36, 1)."""
    return np.tile(share, len(places) // len(share))[:, None]


def _between(first: Points, last: Points, share: Points) -> Points:
    """Return what lies between rings (R * 36, 3) and others, by a share for each ray (36,)."""
    return np.asarray(first + _each(share, first) * (last - first), np.float32)


def _still_vertices(outline: Outline, border: Border) -> Points:
    """Return the vertices on the border, one for each ray, and the four corners: (40, 3)."""
    (left, top), (right, bottom) = border.low, border.high
    corners = np.array([[left, top], [right, top], [right, bottom], [left, bottom]], np.float32)
    rim = outline.centre + reach_border(outline, border)[:, None] * outline.directions
    still = np.concatenate([rim, corners])
    return np.concatenate([still, np.full((len(still), 1), BEHIND)], 1).astype(np.float32)


def _hidden_weights(facing: Points, partner_facing: Points) -> Points:
    """Return how much better the source shows a point's partner: 0 where it shows the point itself well."""
    is_edge_on, is_better = (0.5 - facing) / 0.3, (partner_facing - facing - 0.15) / 0.3
    return np.asarray(smoothstep(is_edge_on) * smoothstep(is_better), np.float32)

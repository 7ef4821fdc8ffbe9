"""What the mesh misses in a driving clip: how far its keypoints are off, and how everything around the face moves.

The first frame of the driving is warped by its own mesh to each later frame, and optical flow (DIS, Kroeger, Timofte,
Dai, Van Gool, ECCV 2016) finds what still differs. In the face it measures how far each keypoint is off: the errors of
the mesh network, and what it does not see of lips and lids. Only the same face can use that. Around the face it finds
how hair, neck, shoulders and camera move, on a coarse grid, which another portrait can follow too.
"""

from __future__ import annotations

from typing import NamedTuple, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from vid2vid_cli.arrays import Points
from vid2vid_cli.face.eyes import LOOPS, RINGS
from vid2vid_cli.face.landmarks import LIPS
from vid2vid_cli.face.sampling import sample_linear
from vid2vid_cli.models.compact.following.compared_square import ComparedSquare
from vid2vid_cli.models.compact.following.pixel_loops import Limits, even_out, flow_confidence, places_of, scaled
from vid2vid_cli.models.compact.mesh.box import Box
from vid2vid_cli.models.compact.mesh.placed_mesh import IN_FACE, PlacedMesh
from vid2vid_cli.models.compact.mesh.warp import MeshWarp
from vid2vid_cli.models.compact.motion_layout import CELLS

VIEW = 288  # px: side of the gray picture of the square around the head
FACE_SIDE = 192  # px: of the face that is compared
FACE_ROOM = 1.1  # side of the face's box over that of its keypoints
FACE_BLUR = 1 / 192  # of its side, over which neighbouring keypoints share what is found
# Of the side of the box: a longer flow means something in front of the face, not movement.
MAX_FLOW, MAX_FLOW_IN_FACE = 0.2, 0.08
ON_FACE = 0.98  # of following the head: what lies around the face follows it less
NOISE_FLOOR = 2.0  # grey levels: where the warp is off by no more, a flow explains nothing
CONFIDENCE_GAIN = 10.0  # a flow that explains a tenth of the difference has full confidence
MAX_RESIDUAL = 45.0  # grey levels: where this much remains, the frame shows something else than the first one
LEAST_AREA, UNFOLD_TIMES = 0.02, 20  # share of its area that a triangle keeps, and passes to see to that
EDGE, FEWEST_EDGES = 4.0, 0.02  # grey levels a px of an edge that counts half; share of a cell that is little to see
CUT = 34.0  # grey levels, mean of the picture: another scene. Within one at most 15 remained, between two at least 33

# An eye that closes or a mouth that opens changes its look, so flow is meaningless there. The further it opens or
# closes, the more its keypoints take the residual of the skin around them. Eyes, then the mouth.
CHANGING = (*np.concatenate([LOOPS, RINGS[0]], 1), np.array(LIPS))
AROUND = (*RINGS[1], np.array((2, 206, 426, 216, 436, 200)))
LITTLE_OPEN, WIDE_OPEN = 0.08, 0.25  # height over width of a mouth, beyond that in the first frame

Picture = NDArray[np.uint8]
Map = TypeVar("Map", Picture, Points)


class MeasuredFlow(NamedTuple):
    """How the warped first frame must be moved to look like a frame.

    flow: (N, N, 2), from a pixel to what should be there, in the mesh's unit, times its confidence. in_face: (N, N), 1
    where the mesh of the face is, 0 elsewhere.
    """

    flow: Points
    in_face: Points


class ComparedPart(NamedTuple):
    """A part of the square to compare. max_flow: of a movement, in shares of its side. search: what finds the flow."""

    box: Box
    max_flow: float
    search: cv2.DISOpticalFlow


class FirstFrame:
    """The first frame of a driving, with which the others are compared."""

    def __init__(self, warp: MeshWarp, box: Box, picture: Picture, seen: Points | None = None) -> None:
        """Prepare the frame.

        warp: its mesh. box: the square around its head. picture: (VIEW, VIEW), gray, what the square shows.
        seen: left, top, right and bottom of what a frame covers of that picture, in its px; None: all of it.
        """
        self.warp, self._box, self._picture = warp, box, picture
        left, top, right, bottom = (0.0, 0.0, VIEW, VIEW) if seen is None else np.clip(seen, 0, VIEW).tolist()
        scale = box.width / VIEW
        self._seen = Box(
            box.left + left * scale, box.top + top * scale, box.left + right * scale, box.top + bottom * scale
        )
        self._compared = ComparedSquare.over(self._seen, box)
        self._as_fine = self._compared.as_fine(picture)
        is_changing = np.isin(warp.face_triangles, np.concatenate(CHANGING)).any(1)
        self._changing = np.ascontiguousarray(warp.face_triangles[is_changing])
        self._search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
        self._rough_search, self._fine_search = _make_search(16, 0, 4), _make_search(12, 2, 5)
        self._fine_search.setCoarsestScale(1)  # larger movements have been found by the rough one

    def surroundings(self, mesh: PlacedMesh, picture: Picture, *, near: bool = False) -> Points:
        """Return what must be added to the mesh's displacement to the first frame, around the face.

        mesh: the first frame's, placed as the frame shows it. picture: (VIEW, VIEW), the frame's square. near: go
        down to single pixels, for what a first comparison has left. Returns (CELLS, CELLS, 2), x and y, in halves of
        the square's side.
        """
        square, shown = self._compared, self._compared.cut(picture)
        part = ComparedPart(square.box, MAX_FLOW * CELLS / square.cells, self._rough_search if near else self._search)
        measured = self._compare(mesh, self._as_fine, shown, part)
        # What is near lies at edges. Without any, as on a wall beside hair, a flow is only guessed from around.
        weight = (1 - measured.in_face) * _edges(shown) if near else 1 - measured.in_face
        cells = square.means(scaled(measured.flow, weight, 2 / self._box.width))
        if near:
            cells /= square.means(weight)[..., None] + np.float32(FEWEST_EDGES)
        # Beyond the frame, everything moves as the nearest cell that it covers wholly.
        step = self._box.width / CELLS
        first = np.ceil((self._seen.low - self._box.low) / step).astype(int)
        last = np.floor((self._seen.high - self._box.low) / step).astype(int) - 1
        if (last < first).any():
            return np.zeros((CELLS, CELLS, 2), np.float32)
        columns, rows = (np.clip(np.arange(CELLS), low, high) for low, high in zip(first, last, strict=True))
        return np.asarray(cells[rows][:, columns], np.float32)

    def keypoints(self, mesh: PlacedMesh, picture: Picture, *, finely: bool) -> Points:
        """Return how far each keypoint of the face must move to lie where the frame shows it: (468, 2).

        In the mesh's unit. mesh, picture: as for `surroundings`. finely: compare four times as many pixels, for the
        small differences that a first comparison has left.
        """
        points = mesh.vertices[: self.warp.keypoint_count, :2]
        low, high = points.min(0), points.max(0)
        middle, half = (low + high) / 2, float((high - low).max()) * FACE_ROOM / 2
        box = Box.around(float(middle[0]), float(middle[1]), half)
        side = FACE_SIDE if finely else FACE_SIDE // 2
        part = ComparedPart(box, MAX_FLOW_IN_FACE, self._fine_search if finely else self._rough_search)
        measured = self._compare(mesh, self._picture, self._cut(picture, box, side), part)
        places = np.asarray((points - (middle - half)) * (side / 2 / half) - 0.5, np.float32)[None]
        flow, weight = scaled(measured.flow, measured.in_face, 1.0), measured.in_face
        shared = (np.asarray(cv2.GaussianBlur(one, (0, 0), FACE_BLUR * side), np.float32) for one in (flow, weight))
        found, weights = (_sample(one, places)[0] for one in shared)
        # A weighted mean over the neighbourhood; near the rim of the face, where weights vanish, it falls to 0.
        found /= weights[:, None] + np.float32(0.05)
        changing = *mesh.closing.max(1), _opening(points, self.warp.source_xy[:, :2])
        for part, around, change in zip(CHANGING, AROUND, changing, strict=True):
            found[part] += change * (found[around].mean(0) - found[part])
        return np.asarray(-found, np.float32)

    def without_folds(self, mesh: PlacedMesh, moves: Points) -> Points:
        """Return moves of a mesh's keypoints (468, 2), evened out where lids or lips would fold over the skin."""
        points = np.ascontiguousarray(mesh.vertices[: self.warp.keypoint_count, :2])
        return even_out(points, moves, self._changing, LEAST_AREA, UNFOLD_TIMES)

    def _compare(self, mesh: PlacedMesh, first: Picture, shown: Picture, part: ComparedPart) -> MeasuredFlow:
        """Compare the first frame's whole square, warped to a part of it, with what a frame shows there (N, N)."""
        box, side = part.box, len(shown)
        step = box.width / side
        drawn = mesh.draw(box, (side, side), (0, 1, IN_FACE))
        # From the part's px over the mesh's unit to px of the first frame's picture.
        scale = len(first) / self._box.width
        left, top = self._to_px(box.low + step / 2, len(first)).tolist()
        places = places_of(drawn, scale, step * scale, left, top)
        warped = _sample(first, places)
        flow = part.search.calc(shown, warped, None)  # type: ignore[call-overload]
        followed = _sample(warped, places_of(flow, 1.0, 1.0, 0.0, 0.0))
        before, after = _difference(shown, warped), _difference(shown, followed)
        same_scene = min(max(2 - 2 * float(after.mean()) / CUT, 0.0), 1.0)
        limits = Limits(MAX_RESIDUAL, part.max_flow * side, NOISE_FLOOR, CONFIDENCE_GAIN)
        confidence = flow_confidence(before, after, flow, limits, same_scene)
        # Beyond the frame its edge is repeated: what comes from there is no movement.
        known = self._inside(box, side)
        known *= _within(places, self._to_px(self._seen.low, len(first)), self._to_px(self._seen.high, len(first)))
        shared = cv2.blur(confidence * known, (5, 5)) / np.maximum(cv2.blur(known, (5, 5)), 0.1)
        flow = scaled(flow, np.asarray(known * shared, np.float32), step)
        return MeasuredFlow(flow, np.asarray(drawn[..., 2] > ON_FACE, np.float32))

    def _inside(self, box: Box, side: int) -> Points:
        """Return 1 at the pixels of a box that a frame covers, which is all that is known: (side, side)."""
        middle = np.arange(side, dtype=np.float32) + np.float32(0.5)
        x, y = (corner + middle * (box.width / side) for corner in (box.left, box.top))
        within_x = (x > self._seen.left) & (x < self._seen.right)
        within_y = (y > self._seen.top) & (y < self._seen.bottom)
        return np.asarray(within_x[None] & within_y[:, None], np.float32)

    def _to_px(self, places: NDArray[np.floating], side: int) -> Points:
        """Bring places (..., 2) from the mesh's unit to px of the square's picture of a side."""
        return np.asarray((places - self._box.low) * (side / self._box.width) - 0.5, np.float32)

    def _cut(self, picture: Picture, box: Box, side: int) -> Picture:
        """Cut a box out of the square's picture: (side, side)."""
        scale = len(picture) / self._box.width
        step, (left, top) = box.width * scale / side, (box.low - self._box.low) * scale
        return sample_linear(picture, np.array([[step, 0, left], [0, step, top]]), (side, side))


def _within(places_px: Points, low: Points, high: Points) -> Points:
    """Return 1 where places (N, N, 2) lie between two corners, 0 elsewhere: (N, N)."""
    x, y = places_px[..., 0], places_px[..., 1]
    return np.asarray((x > low[0]) & (x < high[0]) & (y > low[1]) & (y < high[1]), np.float32)


def _opening(points: Points, first: Points) -> float:
    """Return how much further a mouth is open than in the first frame: 0 to 1. Both: (468 or more, 2)."""
    shown, known = (
        float(np.linalg.norm(p[13] - p[14])) / max(float(np.linalg.norm(p[78] - p[308])), 1e-6) for p in (points, first)
    )
    return min(max((shown - known - LITTLE_OPEN) / (WIDE_OPEN - LITTLE_OPEN), 0.0), 1.0)


def _make_search(steps: int, refinements: int, stride: int) -> cv2.DISOpticalFlow:
    """Return a search for flow down to single pixels. stride: px between its patches."""
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    search.setFinestScale(0)
    search.setGradientDescentIterations(steps)
    search.setVariationalRefinementIterations(refinements)
    search.setPatchStride(stride)
    return search


def _sample(values: Map, places_px: Points) -> Map:
    """Sample a map (h, w) or (h, w, 2) at places (H, W, 2) in its px; its border is repeated outside."""
    places = np.asarray(places_px, np.float32)
    sampled = cv2.remap(values, places, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)  # type: ignore[call-overload]
    return np.asarray(sampled, values.dtype)


def _edges(picture: Picture) -> Points:
    """Return how much there is to see around each pixel, from 0 to 1: as much as light changes there."""
    across, down = (cv2.Sobel(picture, cv2.CV_32F, x, 1 - x, scale=1 / 8) for x in (1, 0))  # per px
    steepness = cv2.blur(across * across + down * down, (3, 3))
    return np.asarray(steepness / (steepness + EDGE**2), np.float32)


def _difference(one: Picture, other: Picture) -> Points:
    """Return the mean difference around each pixel, over an eighth of the side."""
    return np.asarray(cv2.boxFilter(cv2.absdiff(one, other), cv2.CV_32F, (len(one) // 8, len(one) // 8)), np.float32)

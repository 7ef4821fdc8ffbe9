"""Find faces in a frame: a box, a score and six keypoints for each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from vid2vid_cli.arrays import Frame, Points
from vid2vid_cli.face.blazeface import BlazeDetector, merge_candidates
from vid2vid_cli.face.frames import images_of
from vid2vid_cli.face.square import Square, crop_square, square_around

CONVINCING_SCORE = 0.75
SURE_TILT_RAD = math.radians(25)
SMALLEST_TILE_PX = 128  # the input of the short-range network: a smaller tile holds less detail than that
BATCH = 16  # views at a time: bounds memory where a large picture has many tiles
TILTS_DEG = (-45, 45, -90, 90, 180)


@dataclass(frozen=True)
class FaceBox:
    """A face found by a detector, in frame px. The box of a tilted face is the upright one, moved to its centre.

    keypoints_px: (6, 2), the person's right eye (left for the viewer), left eye, nose tip, mouth, right and
    left ear.
    """

    left_px: float
    top_px: float
    right_px: float
    bottom_px: float
    keypoints_px: Points
    score: float

    @property
    def size_px(self) -> float:
        """Return the longer side."""
        return max(self.right_px - self.left_px, self.bottom_px - self.top_px)

    @property
    def center_px(self) -> tuple[float, float]:
        """Return the centre, x and y."""
        return (self.left_px + self.right_px) / 2, (self.top_px + self.bottom_px) / 2

    @property
    def tilt_rad(self) -> float:
        """Return the clockwise angle of the line through the eyes."""
        x, y = self.keypoints_px[1] - self.keypoints_px[0]
        return math.atan2(float(y), float(x))

    @property
    def is_sure(self) -> bool:
        """Whether no second look is needed: the score is high and the face nearly upright."""
        return self.score >= CONVINCING_SCORE and abs(self.tilt_rad) <= SURE_TILT_RAD


class FindsFaces(Protocol):
    """What `FaceAnalyzer` needs of a detector."""

    def detect(self, frame: Frame, *, min_score: float = 0.5, thorough: bool = False) -> list[FaceBox]:
        """Find faces in a frame (H, W, 3), sorted from left to right, without duplicates."""
        ...

    def detect_tilted(self, frame: Frame, *, min_score: float = 0.5) -> list[FaceBox]:
        """Find faces that are far from upright."""
        ...


class FaceDetector:
    """Search whole frames with two BlazeFace networks; on request also tiles and rotated copies."""

    def __init__(self, short: BlazeDetector, full: BlazeDetector) -> None:
        self.short = short.eval()
        self.full = full.eval()
        for network in (short, full):
            store_channels_last(network)

    def detect(self, frame: Frame, *, min_score: float = 0.5, thorough: bool = False) -> list[FaceBox]:
        """Find faces in a frame (H, W, 3), sorted from left to right, without duplicates.

        thorough: also search overlapping tiles for small faces, beyond the frame for faces that overflow it, and
        rotated copies for tilted faces while nothing convincing is found.
        """
        whole = [square_around(frame)]
        found = self.search(self.short, frame, whole, min_score) + self.search(self.full, frame, whole, min_score)
        if thorough:
            # A margin shrinks a face that fills the frame to a size that the network knows.
            found += self.search(self.short, frame, [square_around(frame, margin=1.6)], min_score)
            found += self.search(self.full, frame, tiles(frame), min_score)
            # The networks were trained on upright faces: each rotated copy adds a full run, so only if needed.
            if not any(box.score >= CONVINCING_SCORE for box in found):
                found += self.search_tilted(frame, min_score)
        confirmed = self.confirm(frame, found, min_score)
        return sorted(without_duplicates(confirmed), key=lambda box: box.left_px + box.right_px)

    def detect_tilted(self, frame: Frame, *, min_score: float = 0.5) -> list[FaceBox]:
        """Find faces that are far from upright."""
        return without_duplicates(self.confirm(frame, self.search_tilted(frame, min_score), min_score))

    def search_tilted(self, frame: Frame, min_score: float) -> list[FaceBox]:
        """Search rotated copies of the whole frame."""
        turned = [square_around(frame, margin=1.2, angle_rad=math.radians(deg)) for deg in TILTS_DEG]
        found = self.search(self.short, frame, turned, min_score)
        return found + self.search(self.full, frame, turned, min_score)

    def confirm(self, frame: Frame, boxes: Sequence[FaceBox], min_score: float) -> list[FaceBox]:
        """Look again at doubtful and tilted boxes, each upright and centred; keep what is found there."""
        sure = [box for box in boxes if box.is_sure]
        doubtful = [box for box in boxes if not box.is_sure]
        views = [Square(*box.center_px, box.size_px * 2, box.tilt_rad) for box in doubtful]
        found_again = self.search_each(self.short, frame, views, min_score)
        for box, found in zip(doubtful, found_again, strict=True):
            # At most one face a view: a neighbour that is in the view too has its own box.
            sure += [other for other in found if shared_part(box, other) > 0.5][:1]
        return sure

    def search(self, network: BlazeDetector, frame: Frame, views: Sequence[Square], min_score: float) -> list[FaceBox]:
        """Run one network on square views of a frame: all faces in them."""
        return [box for found in self.search_each(network, frame, views, min_score) for box in found]

    @torch.inference_mode()
    def search_each(
        self, network: BlazeDetector, frame: Frame, views: Sequence[Square], min_score: float
    ) -> list[list[FaceBox]]:
        """Run one network on square views of a frame: the faces in each view, best first."""
        found: list[list[FaceBox]] = []
        for start in range(0, len(views), BATCH):
            batch = views[start : start + BATCH]
            crops = [crop_square(frame, view, network.image_size, repeat_edge=False) for view in batch]
            scores, faces = network(images_of(crops, network.anchors.device))
            for view, view_scores, view_faces in zip(batch, scores.cpu(), faces.cpu(), strict=True):
                merged = merge_candidates(view_scores, view_faces, min_score)
                found.append([box_in_frame(face, score, view) for score, face in merged])
        return found


def store_channels_last(network: nn.Module) -> None:
    """Lay out the weights of convolutions channels last: a third faster on the CPU, with the same results."""
    for parameter in network.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)


def box_in_frame(face: Tensor, score: float, view: Square) -> FaceBox:
    """Map a face (16,), in fractions of a view, to the frame."""
    points = face.numpy().reshape(-1, 2)  # two corners of the box, then the keypoints
    center = view.to_frame(points[:2].mean(axis=0))
    half = (points[1] - points[0]) / 2 * view.size_px
    left, top, right, bottom = map(float, (*(center - half), *(center + half)))
    return FaceBox(left, top, right, bottom, view.to_frame(points[2:]), score)


def tiles(frame: Frame) -> list[Square]:
    """Cover a frame with squares of a half and of a quarter of its longer side. They overlap by half."""
    height, width = frame.shape[:2]
    squares: list[Square] = []
    for parts in (2, 4):
        size = max(height, width) / parts
        if size >= SMALLEST_TILE_PX:
            squares += [Square(x, y, size) for y in tile_centers(height, size) for x in tile_centers(width, size)]
    return squares


def tile_centers(length: float, size: float) -> list[float]:
    """Place the centres of tiles along one side of a frame, at most half a tile apart."""
    if length <= size:
        return [length / 2]
    steps = math.ceil((length - size) / (size / 2))
    return [size / 2 + (length - size) * i / steps for i in range(steps + 1)]


def without_duplicates(boxes: Iterable[FaceBox]) -> list[FaceBox]:
    """Keep the best of the boxes that show the same face: half of the smaller one is shared."""
    kept: list[FaceBox] = []
    for box in sorted(boxes, key=lambda box: -box.score):
        if all(shared_part(box, other) < 0.5 for other in kept):
            kept.append(box)
    return kept


def shared_part(one: FaceBox, other: FaceBox) -> float:
    """Return the shared area as a fraction of the smaller box, in [0, 1]."""
    width = min(one.right_px, other.right_px) - max(one.left_px, other.left_px)
    height = min(one.bottom_px, other.bottom_px) - max(one.top_px, other.top_px)
    smaller = min((b.right_px - b.left_px) * (b.bottom_px - b.top_px) for b in (one, other))
    return max(width, 0.0) * max(height, 0.0) / max(smaller, 1e-9)

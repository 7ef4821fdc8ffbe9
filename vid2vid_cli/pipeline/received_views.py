"""What a call sends of its sender while it lasts: patches, which become views of the source.

A patch is a piece of one frame. The source is rendered as it was in that frame, the patch is laid over it, and the face
is read in the result: a whole picture of the person, of which the patch is real.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from vid2vid_cli.arrays import Frame
from vid2vid_cli.errors import Vid2VidError
from vid2vid_cli.face.frames import image_of
from vid2vid_cli.face.mesh import FaceAnalyzer, FaceTracker
from vid2vid_cli.geometry.easing import smoothstep
from vid2vid_cli.media.image import decode_small
from vid2vid_cli.models.base import ReenactmentModel, SourceAppearance, UsesViews, View
from vid2vid_cli.motion import Motion
from vid2vid_cli.pipeline.animator import Animator
from vid2vid_cli.pipeline.driving.base import SeenPatch
from vid2vid_cli.pipeline.source import Source, SourceFrame

MOST_PATCH_PX, LEAST_PLACE_PX = 512, 4  # sides of a patch's picture, and of its place in the source
MOST_VIEWS, MOST_WAITING = 28, 16
EASE_S = 0.3  # over which what a new view changes comes in
COMPRESSED = 0.7  # how fine a patch is, for each of its pixels: its file keeps little of the finest detail
FEATHER = 0.18  # of a patch's shorter side: where it passes into what lies around it


@dataclass
class ReceivedViews:
    """The views of a source that is the picture of the call that drives it. At most one is added in a frame."""

    model: ReenactmentModel
    source: Source
    fps: float
    views: list[View] = field(default_factory=list)
    _waiting: deque[SeenPatch] = field(default_factory=lambda: deque(maxlen=MOST_WAITING))
    _seen: SourceAppearance | None = None  # the face without views
    _before: SourceAppearance | None = None
    _now: SourceAppearance | None = None
    _frames: int = 0  # since the last view was added

    @torch.inference_mode()
    def take(self, patches: Iterable[SeenPatch], source: SourceFrame, reference: Motion) -> None:
        """Take the patches that came with a frame, and make a view of the one that has waited longest."""
        self._waiting.extend(patches)
        self._frames += 1
        if not self._waiting or not isinstance(self.model, UsesViews) or not source.faces:
            return
        if len(self.views) >= MOST_VIEWS or self._is_easing or source.faces[0].appearance is None:
            return
        view = self._view(self._waiting.popleft(), source, reference)
        if view is not None:
            self.views.append(view)
            self._seen = source.faces[0].appearance
            self._before = self._now or self._seen
            self._now, self._frames = self.model.with_views(self._seen, self.views), 0

    @property
    def _ease_frames(self) -> int:
        return round(EASE_S * self.fps)

    @property
    def _is_easing(self) -> bool:
        return self._before is not None and self._frames < self._ease_frames

    def eased(self, source: SourceFrame, render: Callable[[SourceFrame], Frame]) -> Frame:
        """Render a source with its views; the latest comes in little by little."""
        if self._now is None or self._before is None or not source.faces:
            return render(source)
        if source.faces[0].appearance is not self._seen:
            return render(source)
        frame = render(_with_face(source, self._now))
        if not self._is_easing:
            return frame
        share = float(smoothstep(np.array((self._frames + 1) / (self._ease_frames + 1), np.float32)))
        before = render(_with_face(source, self._before))
        return np.asarray(cv2.addWeighted(frame, share, before, 1 - share, 0), np.uint8)

    def _view(self, patch: SeenPatch, source: SourceFrame, reference: Motion) -> View | None:
        """Return the view that a patch gives; None where its picture or the face in it cannot be read."""
        picture, face = decode_small(patch.file, MOST_PATCH_PX), source.faces[0]
        if picture is None or face.appearance is None:
            return None
        try:
            shown = Animator(self.model, face.appearance, self.source.path).frame(patch.motion, reference)
        except Vid2VidError:  # a motion that no face can follow
            return None
        corners = np.array(patch.place).reshape(2, 2) * source.frame.shape[1::-1]
        low, high = np.round(face.crop.to_crop(corners)).astype(int)
        region = _lay(shown, picture, (int(low[0]), int(low[1]), int(high[0]), int(high[1])))
        if region is None:
            return None
        sharpness = COMPRESSED * min(1.0, picture.shape[1] / float(high[0] - low[0]))
        return _read(shown, region, self.source.analyzer, sharpness)


def _with_face(source: SourceFrame, appearance: SourceAppearance) -> SourceFrame:
    return replace(source, faces=[replace(source.faces[0], appearance=appearance), *source.faces[1:]])


def _lay(shown: Frame, picture: Frame, box: tuple[int, int, int, int]) -> NDArray[np.float32] | None:
    """Lay a picture over a box (left, top, right, bottom) of a frame (H, W, 3), in place.

    Returns how much of each pixel is the picture's, (H, W); None if nothing is.
    """
    left, top, right, bottom = box
    height, width = shown.shape[:2]
    size = right - left, bottom - top
    if min(size) < LEAST_PLACE_PX or max(size) > 2 * max(height, width):
        return None
    inner = np.ones((size[1], size[0]), np.float32)
    for axis, length in enumerate(inner.shape):
        edge = np.minimum(np.arange(length) + 0.5, length - 0.5 - np.arange(length)) / (FEATHER * min(size))
        inner *= np.expand_dims(smoothstep(edge.astype(np.float32)), 1 - axis)
    large = cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC)
    # Of both, what lies within the frame.
    x, y = (slice(max(0, low), min(high, limit)) for low, high, limit in ((left, right, width), (top, bottom, height)))
    if x.stop <= x.start or y.stop <= y.start:
        return None
    there = slice(y.start - top, y.stop - top), slice(x.start - left, x.stop - left)
    region = np.zeros((height, width), np.float32)
    region[y, x] = inner[there]
    share = region[y, x, None]
    shown[y, x] = np.round(shown[y, x] + share * (large[there].astype(np.float32) - shown[y, x])).astype(np.uint8)
    return region


def _read(shown: Frame, region: NDArray[np.float32], analyzer: FaceAnalyzer, sharpness: float) -> View | None:
    """Return a frame (H, W, 3) as a view; None where no face is found in it."""
    face = FaceTracker(analyzer).update(shown)
    if face is None:
        return None
    landmarks = torch.from_numpy(np.asarray(face.landmarks_px, np.float32))[None]
    return View(image_of(shown), landmarks, sharpness, torch.from_numpy(region)[None, None])

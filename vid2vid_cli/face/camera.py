"""How the camera of a clip moves, seen on what is behind its person.

Points of the background are followed from frame to frame (Lucas, Kanade, "An Iterative Image Registration Technique",
IJCAI 1981), and a similarity is fitted to most of them (RANSAC, Fischler, Bolles, 1981): a passer-by does not count.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from vid2vid_cli.arrays import Frame, Points
from vid2vid_cli.face.matte import Mask

Similarity2D = NDArray[np.float64]
"""(3, 3): from a place to where it has moved, in halves of the longer side from the middle of the picture."""

SIDE_PX = 320  # longer side of the pictures that are compared
GROWN, NOBODY = 0.03, 0.1  # of the longer side, how far around a person nothing is followed; of the matte
MOST_POINTS, FEWEST = 200, 8
APART_PX, THERE_AND_BACK_PX, AGREEING_PX = 6.0, 0.5, 1.0
QUALITY = 0.01  # of the best corner's
RENEW = 0.5  # of the points found right after a key frame: when fewer are still in view, this is the next key frame
SPAN, AGREE = 0.5, 0.5  # of the width and height of the picture, and of the points in view: at least, to be certain
LEAST_PX = 0.15  # of the compared picture: a camera that moves less stands still
SKIPPED = (0, 0, 1, 3, 7)  # frames after so many key frames in a row that could not be followed, or more


@dataclass(frozen=True)
class KeyFrame:
    """A frame whose background is followed. points: (N, 2), px. since_first: how the camera had moved by then."""

    gray: NDArray[np.uint8]
    points: Points
    since_first: Similarity2D


class CameraTracker:
    """Follows the camera of one clip, frame after frame."""

    def __init__(self, matte: Callable[[Frame], Mask]) -> None:
        """matte: finds the person in a frame (H, W, 3)."""
        self._matte = matte
        self._key: KeyFrame | None = None
        self._last: Points = np.zeros((0, 2), np.float32)
        self._moved: Similarity2D = np.eye(3)
        self._found_at_once: int | None = None  # of the key frame's points, how many the next frame showed
        self._lost_at_once = 0  # key frames, one after the other, of which the next frame showed too few
        self._skipped = 0  # frames still to be left out
        self.is_certain = False
        """Whether the last movement is that of most of the background, all over the picture."""

    def __call__(self, frame: Frame) -> Similarity2D:
        """Return how the background has moved since the first frame, seen in the next one (H, W, 3)."""
        if self._skipped:
            self._skipped -= 1
            return self._moved
        scale = min(1.0, SIDE_PX / max(frame.shape[:2]))
        size = max(1, round(frame.shape[1] * scale)), max(1, round(frame.shape[0] * scale))
        small = np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), np.uint8)
        gray = np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2GRAY), np.uint8)
        if self._key is None or self._key.gray.shape != gray.shape:
            self._begin(small, gray)
            return self._moved
        before, after = self._follow(self._key, gray)
        found = _similarity(before, after, gray.shape)
        self.is_certain = False
        if found is not None:  # otherwise it is held: the person hides all, or the scene has changed
            moved, agreeing = found
            self._moved = moved @ self._key.since_first
            span = (np.ptp(agreeing, axis=0) / gray.shape[::-1]).mean()
            self.is_certain = bool(span > SPAN and len(agreeing) > AGREE * len(before))
        if self._is_lost(len(before)):
            self._key = None
            if not self._skipped:
                self._begin(small, gray)
        return self._moved

    def _is_lost(self, found: int) -> bool:
        """Return whether too little of the key frame is in view; see to it that a bare wall is seldom looked at.

        found: how many of its points were found.
        """
        if self._found_at_once is not None:
            return found < RENEW * self._found_at_once
        self._found_at_once = found
        self._lost_at_once = self._lost_at_once + 1 if found < FEWEST else 0
        self._skipped = SKIPPED[min(self._lost_at_once, len(SKIPPED) - 1)]
        return found < FEWEST

    def _begin(self, small: Frame, gray: NDArray[np.uint8]) -> None:
        """Make a frame the key of those that come."""
        reach = 2 * round(GROWN * max(gray.shape)) + 1
        person = cv2.dilate(self._matte(small), np.ones((reach, reach), np.uint8))
        behind = np.asarray(person < NOBODY, np.uint8)
        found = cv2.goodFeaturesToTrack(gray, MOST_POINTS, QUALITY, APART_PX, mask=behind)
        points = np.zeros((0, 2), np.float32) if found is None else np.asarray(found.reshape(-1, 2), np.float32)
        self._key, self._last, self._found_at_once = KeyFrame(gray, points, self._moved), points, None

    def _follow(self, key: KeyFrame, gray: NDArray[np.uint8]) -> tuple[Points, Points]:
        """Return points of the key frame and where they are now, (N, 2) each: those that lead back to themselves."""
        if len(key.points) < FEWEST:
            return key.points[:0], key.points[:0]
        flags = cv2.OPTFLOW_USE_INITIAL_FLOW
        now, there, _ = cv2.calcOpticalFlowPyrLK(key.gray, gray, key.points, self._last.copy(), flags=flags)
        back, returned, _ = cv2.calcOpticalFlowPyrLK(gray, key.gray, now, key.points.copy(), flags=flags)
        self._last = np.asarray(now, np.float32)
        away = np.linalg.norm(back - key.points, axis=1)
        kept = (there.ravel() > 0) & (returned.ravel() > 0) & (away < THERE_AND_BACK_PX)
        return key.points[kept], np.asarray(now[kept], np.float32)


def _similarity(before: Points, after: Points, size: tuple[int, ...]) -> tuple[Similarity2D, Points] | None:
    """Fit a similarity to most of some points (N, 2) in px of a picture (height, width); None if too few agree.

    Returns those that agree, (M, 2), as well.
    """
    if len(before) < FEWEST:
        return None
    half, middle = max(size) / 2, np.array([size[1], size[0]]) / 2 - 0.5
    cv2.setRNGSeed(1)
    fitted, agree = cv2.estimateAffinePartial2D(
        before - middle, after - middle, method=cv2.RANSAC, ransacReprojThreshold=AGREEING_PX
    )
    if fitted is None or agree.sum() < FEWEST:
        return None
    agreeing = after[agree.ravel() > 0]
    # Of four numbers, at the corner, where they add up.
    furthest = np.abs(fitted - np.eye(2, 3)) @ np.array([size[1] / 2, size[0] / 2, 1])
    if furthest.max() < LEAST_PX:
        return np.eye(3), agreeing
    return np.vstack([np.column_stack([fitted[:, :2], fitted[:, 2] / half]), [0, 0, 1]]), agreeing


def move_picture(picture: Frame, moved: Similarity2D) -> Frame:
    """Return a picture (H, W, 3) moved as a whole; what comes in from beyond its edge is mirrored."""
    height, width = picture.shape[:2]
    half, middle = max(height, width) / 2, np.array([width, height]) / 2 - 0.5
    affine = moved[:2].copy()
    affine[:, 2] = moved[:2, 2] * half + middle - moved[:2, :2] @ middle
    shown = cv2.warpAffine(picture, affine, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(shown, np.uint8)

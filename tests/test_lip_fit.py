"""Lips of several pictures meet where they are mixed, and lie as they were read where one picture has the mouth."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.support.faces import face_picture
from vid2vid_cli.arrays import Points
from vid2vid_cli.face.mesh import FaceAnalyzer
from vid2vid_cli.models.compact.lip_fit import LipFit, fit_lips
from vid2vid_cli.models.compact.model import CompactModel
from vid2vid_cli.models.compact.motion_layout import POINTS
from vid2vid_cli.models.compact.view_tone import FacePicture

MISSED_PX = np.array([0.0, 5.0, 0.0], np.float32)  # by which a mesh misses the lips
EVERYTHING = np.ones(POINTS, np.float32)


@pytest.fixture(scope="module")
def seen(media_dir: Path, face_analyzer: FaceAnalyzer) -> FacePicture:
    return face_picture(media_dir / "sources" / "s27_ai_woman.png", face_analyzer)


@pytest.fixture(scope="module")
def missed(compact: CompactModel, seen: FacePicture) -> tuple[Points, FacePicture]:
    """Return how much of MISSED_PX each point lies beside, and a picture whose mesh does so."""
    near = compact.topology.region_mask(compact.topology.inner_lips, 0.8).numpy()[:, None]
    return near, replace(seen, points_px=seen.points_px + near * MISSED_PX)


def test_lips_that_a_mesh_misses_are_found(
    compact: CompactModel, seen: FacePicture, missed: tuple[Points, FacePicture]
) -> None:
    near, view = missed
    fit = fit_lips(compact.skin, seen, [view], [EVERYTHING])
    lips = compact.topology.inner_lips
    first = np.array([0])
    (moved,) = fit.moved_px(first, fit.together(first, EVERYTHING[None], 0.0))
    wanted = -(near * MISSED_PX)[lips, :2]
    assert np.linalg.norm(moved[lips] - wanted, axis=1).mean() < 0.35 * np.linalg.norm(wanted, axis=1).mean()
    assert np.abs(moved[compact.topology.eyes.ravel()]).max() < 0.5  # eyes are left alone
    # A picture that has the frame's own mouth is left as it was read.
    assert np.abs(fit.moved_px(first, fit.together(first, EVERYTHING[None], 1.0))).max() < 1e-3


def test_what_a_picture_does_not_show_is_not_moved(
    compact: CompactModel, seen: FacePicture, missed: tuple[Points, FacePicture]
) -> None:
    fit = fit_lips(compact.skin, seen, [missed[1]], [0 * EVERYTHING])
    assert not fit.moved.any()


def test_another_frame_of_the_clip_takes_over_what_was_found(
    compact: CompactModel, seen: FacePicture, missed: tuple[Points, FacePicture]
) -> None:
    near, view = missed
    later = replace(seen, points_px=seen.points_px - 0.6 * near * MISSED_PX)
    first = fit_lips(compact.skin, seen, [view, view], [EVERYTHING, EVERYTHING])
    fit = fit_lips(compact.skin, later, [view, view], [EVERYTHING, 0 * EVERYTHING], first)
    lips = compact.topology.inner_lips
    apart = np.zeros((POINTS, 2), np.float32)
    both = fit.moved_px(np.array([0, 1]), apart)[:, lips]
    wanted = -1.6 * (near * MISSED_PX)[lips, :2]
    assert np.linalg.norm(both[0] - wanted, axis=1).mean() < 0.35 * np.linalg.norm(wanted, axis=1).mean()
    # Where a picture shows nothing, nothing is added.
    assert np.allclose(both[1], first.moved_px(np.array([1]), apart)[0, lips], atol=1e-3)
    # The source itself shows it where its mesh misses it.
    own = fit.own[lips] @ fit.to_px[0]
    assert np.linalg.norm(own - 0.6 * (near * MISSED_PX)[lips, :2], axis=1).mean() < 0.35 * 0.6 * MISSED_PX[1]


def test_pictures_that_are_mixed_meet(seen: FacePicture) -> None:
    moved = np.zeros((3, POINTS, 2), np.float32)
    moved[0, :, 0], moved[2, :, 0] = 2.0, -1.0
    fit = LipFit(seen, moved, np.stack([scale * np.eye(2, dtype=np.float32) for scale in (1.0, 1.0, 3.0)]), moved[0])
    shares = np.stack([0.5 * EVERYTHING, 0.5 * EVERYTHING])
    mixed = np.array([0, 2])
    first, last = fit.moved_px(mixed, fit.together(mixed, shares, 1.0))
    # In texels, both show the same point half a texel from where the source does.
    assert np.allclose(first[:, 0], 2.0 - 0.5)
    assert np.allclose(last[:, 0] / 3.0, -1.0 - 0.5)

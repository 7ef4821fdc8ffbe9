"""A picture whose mesh misses its lower lip is not shown around the mouth: the lip would be drawn twice."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.support.faces import face_picture
from vid2vid_cli.face.mesh import FaceAnalyzer
from vid2vid_cli.models.compact.lip_trust import LOWER_LIP, trust_lips
from vid2vid_cli.models.compact.model import CompactModel
from vid2vid_cli.models.compact.view_tone import FacePicture

MISSED = 0.16  # eye distances by which a mesh misses the lower lip
LOWER_INNER = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308)


@pytest.fixture(scope="module")
def seen(media_dir: Path, face_analyzer: FaceAnalyzer) -> FacePicture:
    return face_picture(media_dir / "sources" / "s27_ai_woman.png", face_analyzer)


def missing(compact: CompactModel, seen: FacePicture, by: float) -> FacePicture:
    """Return a picture whose mesh lies above its lower lip. by: in eye distances."""
    points = seen.points_px.copy()
    near = compact.topology.region_mask(np.array((*LOWER_LIP[1:-1], *LOWER_INNER[1:-1])), 0.4).numpy()
    points[:, 1] -= by * seen.unit_px * near
    return replace(seen, points_px=points)


def test_a_lower_lip_beside_its_mesh_is_not_shown(compact: CompactModel, seen: FacePicture) -> None:
    trust = trust_lips(compact.skin, seen, missing(compact, seen, MISSED), 0.0)
    assert trust[list(LOWER_LIP)].max() < 0.05
    assert trust[compact.topology.eyes.ravel()].min() == 1


def test_lips_that_are_met_are_shown(compact: CompactModel, seen: FacePicture) -> None:
    assert trust_lips(compact.skin, seen, seen, 0.0).min() == 1
    assert trust_lips(compact.skin, seen, missing(compact, seen, 0.02), 0.0).min() == 1


def test_a_picture_without_colours_tells_nothing(compact: CompactModel, seen: FacePicture) -> None:
    gray = cv2.cvtColor(cv2.cvtColor(seen.picture, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    own = replace(seen, picture=np.asarray(gray, np.uint8))
    assert trust_lips(compact.skin, own, missing(compact, own, MISSED), 0.0).min() == 1


def test_a_head_that_is_turned_is_not_compared(compact: CompactModel, seen: FacePicture) -> None:
    assert trust_lips(compact.skin, seen, missing(compact, seen, MISSED), 0.3).min() == 1


def test_teeth_where_the_mesh_has_the_lips_edge_are_no_missed_lip(compact: CompactModel, seen: FacePicture) -> None:
    inner = np.rint(seen.points_px[list(LOWER_INNER), :2]).astype(np.int32)
    thick = round(0.05 * seen.unit_px)
    teeth = cv2.polylines(seen.picture.copy(), [inner], isClosed=False, color=(220, 215, 205), thickness=thick)
    assert trust_lips(compact.skin, seen, replace(seen, picture=np.asarray(teeth, np.uint8)), 0.0).min() == 1

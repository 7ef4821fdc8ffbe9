"""Eyelids: that shut eyes are seen shut and open ones open, each by itself, however the picture is turned."""

from __future__ import annotations

import math
from functools import cache
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torch import Tensor

from vid2vid_cli.arrays import Frame, Points
from vid2vid_cli.face.mesh import FaceAnalyzer, roi_from_landmarks
from vid2vid_cli.face.square import Square
from vid2vid_cli.media.video import read_video

WINK = "d03_woman_expressions_audio.mp4", 10


@cache
def frame_of(media_dir: Path, name: str, number: int) -> Frame:
    return next(islice(read_video(media_dir / "drivings" / name), number, None))


def apertures(mesh: Points) -> tuple[float, float]:
    """Give how far the person's right and left eye are open, as a part of their width."""
    pairs = ((159, 145, 33, 133), (386, 374, 362, 263))
    distances = [[float(np.linalg.norm(mesh[a, :2] - mesh[b, :2])) for a, b in (p[:2], p[2:])] for p in pairs]
    return distances[0][0] / distances[0][1], distances[1][0] / distances[1][1]


def largest_region(analyzer: FaceAnalyzer, frame: Frame) -> Square:
    return roi_from_landmarks(max(analyzer.faces(frame), key=lambda face: face.size_px).landmarks_px)


@pytest.mark.parametrize(
    ("name", "number", "eyes"),
    [
        ("d08_man_dreadlocks_12fps.mp4", 21, ("open", "open")),
        ("d08_man_dreadlocks_12fps.mp4", 27, ("shut", "shut")),
        ("d08_man_dreadlocks_12fps.mp4", 32, ("open", "open")),
        ("d12_woman_hand_over_face_audio.mp4", 90, ("shut", "shut")),
        ("d12_woman_hand_over_face_audio.mp4", 94, ("shut", "shut")),
        ("d03_woman_expressions_audio.mp4", 59, ("shut", "shut")),
        (*WINK, ("open", "squeezed")),
    ],
)
def test_shut_eyes_are_seen_shut_and_open_ones_open(
    face_analyzer: FaceAnalyzer, media_dir: Path, name: str, number: int, eyes: tuple[str, str]
) -> None:
    (face,) = face_analyzer.faces(frame_of(media_dir, name, number))
    limits = {"open": (0.26, 0.5), "shut": (0.0, 0.1), "squeezed": (0.0, 0.2)}
    for aperture, state in zip(apertures(face.landmarks_px), eyes, strict=True):
        assert limits[state][0] <= aperture <= limits[state][1], state


@pytest.mark.parametrize("name", ["s01", "s05", "s06", "s08", "s12", "s15", "s25", "s27"])
def test_open_eyes_of_paintings_statues_and_behind_glasses_stay_open(
    face_analyzer: FaceAnalyzer, media_dir: Path, name: str
) -> None:
    path = next((media_dir / "sources").glob(f"{name}*"))
    (face,) = face_analyzer.faces(np.array(Image.open(path).convert("RGB")), thorough=True)
    assert min(apertures(face.landmarks_px)) > 0.2


def test_a_mirrored_wink_is_winked_with_the_other_eye(
    face_analyzer: FaceAnalyzer, face_state: dict[str, Tensor], media_dir: Path
) -> None:
    frame = frame_of(media_dir, *WINK)
    partner = np.append(face_state["face.mirror"].numpy().astype(int), (469, 468))  # the irises change places too
    roi = largest_region(face_analyzer, frame)
    mirrored_roi = Square(frame.shape[1] - roi.x_px, roi.y_px, roi.size_px, -roi.angle_rad)
    (expected,), _ = face_analyzer.landmarks(frame, [roi])
    (mirrored,), _ = face_analyzer.landmarks(np.ascontiguousarray(frame[:, ::-1]), [mirrored_roi])
    assert apertures(mirrored)[0] < 0.6 * apertures(mirrored)[1]
    back = mirrored[partner] * (-1, 1, 1) + (frame.shape[1], 0, 0)
    eye_width = float(np.linalg.norm(expected[33] - expected[133]))
    assert np.linalg.norm(back - expected, axis=1)[[159, 145, 386, 374]].max() < 0.1 * eye_width


@pytest.mark.parametrize("deg", [90, 180])
def test_a_turned_head_shuts_its_eyes_too(face_analyzer: FaceAnalyzer, media_dir: Path, deg: int) -> None:
    frame = frame_of(media_dir, "d08_man_dreadlocks_12fps.mp4", 27)
    roi = largest_region(face_analyzer, frame)
    turned = np.ascontiguousarray(np.rot90(frame, deg // 90))
    axes = Square(0, 0, 1, -math.radians(deg)).axes
    centre, turned_centre = (np.array(picture.shape[1::-1]) / 2 for picture in (frame, turned))
    x, y = axes @ ((roi.x_px, roi.y_px) - centre) + turned_centre
    (mesh,), _ = face_analyzer.landmarks(turned, [Square(x, y, roi.size_px, roi.angle_rad - math.radians(deg))])
    assert max(apertures(mesh)) < 0.1

"""Eyes of the compact family: what closed lids show, where irises look, and that a gaze survives on its way."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from vid2vid_cli.arrays import Frame
from vid2vid_cli.codec.space import MotionSpace
from vid2vid_cli.face.crop import Room, crop_around, crop_frame
from vid2vid_cli.face.eyes import LOOPS, LOWER, RINGS, UPPER, EyeFrame
from vid2vid_cli.face.mesh import FaceAnalyzer
from vid2vid_cli.media.image import read_image
from vid2vid_cli.models.compact.gaze import place_irises, read_gaze
from vid2vid_cli.models.compact.lid_layer import SourceLids, draw_lids, read_lids
from vid2vid_cli.models.compact.model import CompactModel
from vid2vid_cli.models.compact.motion_layout import KEYPOINTS, POINTS
from vid2vid_cli.models.compact.source import CompactSource
from vid2vid_cli.motion import Motion

PORTRAIT = Path(__file__).parents[1] / "examples" / "portrait.jpg"
FOLD = RINGS[0][:, UPPER]


@pytest.fixture(scope="module")
def model(face_state: dict[str, Tensor]) -> CompactModel:
    return CompactModel(face_state)


class Sitter:
    """The example's portrait: picture, landmarks (1, 470, 3) in its px, and size."""

    def __init__(self, analyzer: FaceAnalyzer, model: CompactModel) -> None:
        frame = read_image(PORTRAIT)
        (face,) = analyzer.faces(frame)
        crop = crop_around(face, model.source_crop, Room.of_frame(frame.shape))
        self.picture: Frame = crop_frame(frame, crop)
        self.landmarks = torch.from_numpy(crop.to_crop(face.landmarks_px)).float()[None]
        self.points = self.landmarks[0].numpy()

    def image(self, picture: Frame | None = None) -> Tensor:
        """Return a picture as a model takes it."""
        picture = self.picture if picture is None else picture
        return torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float() / 255


@pytest.fixture(scope="module")
def sitter(face_analyzer: FaceAnalyzer, model: CompactModel) -> Sitter:
    return Sitter(face_analyzer, model)


def shown(model: CompactModel, source: CompactSource, change: Tensor) -> Frame:
    """Render a source (H, W, 3) whose expression changes by (469, 3)."""
    own = source.motion
    moved = Motion(own.rotation, own.translation, own.scale, own.expression + change)
    image = model.render(source, model.drive(source, moved, own, None))[0]
    return (image.permute(1, 2, 0).clamp(0, 1) * 255).round().byte().numpy()


def closing(model: CompactModel, source: CompactSource) -> Tensor:
    """Return the change of expression that brings the upper lids down to the lower ones."""
    face = (source.canonical + source.motion.expression[:, :POINTS])[0]
    change = torch.zeros(KEYPOINTS, 3)
    upper, lower = (torch.from_numpy(LOOPS[:, part].ravel()) for part in (UPPER, LOWER))
    change[upper, 1] = face[lower, 1] - face[upper, 1]
    return change


def test_a_closed_lid_shows_skin_and_not_its_dark_edge(model: CompactModel, sitter: Sitter) -> None:
    green = sitter.picture.copy()
    for eye in (0, 1):  # from the edge of the lid up to its fold
        edge = sitter.points[LOOPS[eye, UPPER], :2]
        for share in np.linspace(-0.2, 0.6, 30):
            x, y = (edge + share * (sitter.points[FOLD[eye], :2] - edge)).T
            for dx in (-1, 0, 1):
                green[y.astype(int), np.clip(x.astype(int) + dx, 0, green.shape[1] - 1)] = (0, 255, 0)
    source = model.appearance(sitter.image(green), sitter.landmarks)
    shut = shown(model, source, closing(model, source)).astype(int)
    for eye in (0, 1):
        upper, lower = (sitter.points[LOOPS[eye, part][2:5], :2].mean(0) for part in (UPPER, LOWER))
        lid = [shut[int(y), int(x)] for x, y in upper + np.linspace(0.25, 0.7, 6)[:, None] * (lower - upper)]
        assert max(colour[1] - colour[0] for colour in lid) < 20, lid  # skin is redder than green


def test_shut_lids_meet_in_a_dark_line(model: CompactModel, sitter: Sitter) -> None:
    source = model.appearance(sitter.image(), sitter.landmarks)
    shut = shown(model, source, closing(model, source)).mean(-1)
    for eye in (0, 1):
        lower = sitter.points[LOOPS[eye, LOWER][2:5], :2].mean(0)
        column = shut[int(lower[1]) - 8 : int(lower[1]) + 9, int(lower[0])]
        skin = np.median(shut[int(lower[1]) + 15 : int(lower[1]) + 25, int(lower[0])])
        assert column.min() < 0.75 * skin


def test_a_gaze_is_read_as_it_was_placed_and_shut_eyes_say_nothing(sitter: Sitter) -> None:
    mesh = sitter.points[:POINTS].copy()
    for gaze in ((0.1, 0.0, 0), (-0.07, 0.05, 0)):
        irises = place_irises(mesh, np.array(gaze, np.float32))
        again = read_gaze(torch.from_numpy(np.concatenate([mesh, irises]))[None])
        assert again[0].tolist() == pytest.approx(gaze, abs=2e-3)
    assert not read_gaze(torch.from_numpy(mesh)[None]).any()
    irises = place_irises(mesh, np.array([0.1, 0, 0], np.float32))
    mesh[LOOPS[:, UPPER]] = mesh[LOOPS[:, LOWER]]
    assert float(read_gaze(torch.from_numpy(np.concatenate([mesh, irises]))[None]).abs().max()) < 1e-3


def test_a_mirrored_picture_looks_the_other_way(face_analyzer: FaceAnalyzer, media_dir: Path) -> None:
    frame = read_image(media_dir / "sources" / "s27_ai_woman.png")
    gazes = []
    for picture in (frame, np.ascontiguousarray(frame[:, ::-1])):
        (face,) = face_analyzer.faces(picture)
        assert face.landmarks_px.shape == (470, 3)
        gazes.append(read_gaze(torch.from_numpy(face.landmarks_px)[None])[0].numpy())
    np.testing.assert_allclose(gazes[0] * (-1, 1, 1), gazes[1], atol=0.02)


def eye_darkness(picture: Frame, points: np.ndarray, eye: int) -> np.ndarray:
    """Return the middle (x, y) of what is dark in an eye, in widths of the eye, right and down in the picture."""
    rim = EyeFrame.of(points[:POINTS, :2].astype(np.float64), eye)
    low, high = points[LOOPS[eye], :2].min(0), points[LOOPS[eye], :2].max(0)
    y, x = np.mgrid[int(low[1]) + 2 : int(high[1]) - 1, int(low[0]) + 2 : int(high[0]) - 1]
    dark = np.clip(110 - picture[y, x].mean(-1), 0, None)
    middle = np.array([(x * dark).sum(), (y * dark).sum()]) / dark.sum()
    return np.asarray((middle - rim.center_px) / rim.width_px)


def test_irises_go_where_the_driving_looks_and_nothing_else_moves(model: CompactModel, sitter: Sitter) -> None:
    source = model.appearance(sitter.image(), sitter.landmarks)
    before = shown(model, source, torch.zeros(KEYPOINTS, 3))
    for x in (-0.12, 0.12):
        change = torch.zeros(KEYPOINTS, 3)
        change[POINTS, 0] = x
        after = shown(model, source, change)
        for eye in (0, 1):
            went = eye_darkness(after, sitter.points, eye) - eye_darkness(before, sitter.points, eye)
            assert 0.3 < went[0] / x < 1.4, (eye, x, went)
        outside = np.ones(before.shape[:2], bool)
        for eye in (0, 1):
            low, high = (
                sitter.points[LOOPS[eye], :2].min(0).astype(int),
                sitter.points[LOOPS[eye], :2].max(0).astype(int),
            )
            outside[low[1] - 3 : high[1] + 4, low[0] - 3 : high[0] + 4] = False
        np.testing.assert_array_equal(after[outside], before[outside])


def test_a_gaze_belongs_to_the_eyes_and_survives_a_call(model: CompactModel, sitter: Sitter) -> None:
    assert model.expression_mask("eyes")[POINTS] == 1
    assert model.expression_mask("mouth")[POINTS] == 0
    own = model.appearance(sitter.image(), sitter.landmarks).motion
    gaze = torch.tensor([0.08, -0.03, 0.0])
    own.expression[0, POINTS] = gaze
    space = MotionSpace(KEYPOINTS, model.basis)
    again = space.motion(space.numbers(own))
    assert torch.allclose(again.expression[0, POINTS], gaze, atol=1e-6)
    assert len(space.effect()) == space.count == len(space.usual()[0])


def test_glasses_stay_where_they_are_as_the_eyes_shut(model: CompactModel, sitter: Sitter) -> None:
    """A bar of green above the eyes neither moves nor colours the lids."""
    green = sitter.picture.copy()
    bars = []
    for eye in (0, 1):
        fold, brow = (sitter.points[RINGS[ring, eye, UPPER], :2] for ring in (0, 1))
        x, y = (fold + 2 * (brow - fold))[1:-1].T.astype(int)
        for row in (0, 1):
            for a, b, c, d in zip(x[:-1], x[1:], y[:-1], y[1:], strict=True):
                for share in np.linspace(0, 1, 30):
                    green[int(c + share * (d - c)) + row, int(a + share * (b - a))] = (0, 255, 0)
        bars.append((x, y))
    source = model.appearance(sitter.image(green), sitter.landmarks)
    awake, shut = (shown(model, source, share * closing(model, source)).astype(int) for share in (0, 1))
    for eye, (x, y) in enumerate(bars):
        assert np.abs(shut[y, x] - awake[y, x]).mean() < 25  # grey levels; the bar is 200 from skin
        upper, lower = (sitter.points[LOOPS[eye, part][2:5], :2].mean(0) for part in (UPPER, LOWER))
        lid = [shut[int(y), int(x)] for x, y in upper + np.linspace(0.1, 0.8, 8)[:, None] * (lower - upper)]
        assert max(colour[1] - colour[0] for colour in lid) < 20, lid


def drawn_over(picture: np.ndarray, points: np.ndarray, model_lids: SourceLids) -> tuple[np.ndarray, np.ndarray]:
    """Return a picture (H, W, 3) in [0, 1] with the lid of the right eye drawn over it, and how much is (H, W)."""
    only_right = np.array([[1.0] * 7, [0.0] * 7], np.float32)
    (layer,) = draw_lids((picture.shape[0], picture.shape[1]), points, only_right, model_lids)
    image = torch.from_numpy(np.ascontiguousarray(np.moveaxis(picture, -1, 0))).float()
    layer.blend(image)
    covered = np.zeros(picture.shape[:2], np.float32)
    height, width = layer.weight.shape[:2]
    covered[layer.top : layer.top + height, layer.left : layer.left + width] = layer.weight[..., 0]
    return image.permute(1, 2, 0).numpy(), covered


def with_right_eye_shut(sitter: Sitter) -> np.ndarray:
    points = sitter.points[:POINTS].astype(np.float32).copy()
    points[LOOPS[0, UPPER]] = points[LOOPS[0, LOWER]]
    return points


def test_a_lid_is_drawn_from_its_fold_to_below_the_lashes_of_its_eye_alone(model: CompactModel, sitter: Sitter) -> None:
    lids = read_lids(sitter.image(), sitter.points[:POINTS].astype(np.float32))
    size = sitter.picture.shape[0], sitter.picture.shape[1]
    assert not draw_lids(size, sitter.points[:POINTS].astype(np.float32), np.zeros((2, 7), np.float32), lids)
    _, covered = drawn_over(sitter.picture / 255.0, with_right_eye_shut(sitter), lids)
    opening, near = np.zeros(size, np.uint8), np.zeros(size, np.uint8)
    cv2.fillPoly(opening, [np.rint(sitter.points[LOOPS[0], :2]).astype(np.int32)], 1)
    # Up to the fold, and down by the skirt.
    eye_width = float(np.linalg.norm(sitter.points[LOOPS[0, 0], :2] - sitter.points[LOOPS[0, 8], :2]))
    lower = sitter.points[LOOPS[0, :9], :2]
    fold = sitter.points[[LOOPS[0, 0], *FOLD[0], LOOPS[0, 8]], :2]
    rim = np.concatenate([lower, lower[::-1] + np.array([0, 0.27 * eye_width]), fold])
    cv2.fillPoly(near, [np.rint(rim[9:]).astype(np.int32)], 1)
    allowed = cv2.dilate(near, np.ones((3, 3), np.uint8), iterations=2)
    assert covered[opening > 0].mean() > 0.7
    assert not covered[allowed == 0].any()


def test_no_white_is_left_below_lids_that_meet(model: CompactModel, sitter: Sitter) -> None:
    """The mesh often ends an eye a little above the rim of its lower lid."""
    white = sitter.picture / 255.0
    below = sitter.points[LOOPS[0, LOWER], :2][2:5].mean(0)
    eye_width = float(np.linalg.norm(sitter.points[LOOPS[0, 0], :2] - sitter.points[LOOPS[0, 8], :2]))
    lids = read_lids(sitter.image(), sitter.points[:POINTS].astype(np.float32))
    x, y = int(below[0]), int(below[1] + 0.09 * eye_width)
    white[y - 1 : y + 2, x - 3 : x + 4] = 1.0
    shut, _ = drawn_over(white, with_right_eye_shut(sitter), lids)
    assert shut[y, x].max() < 0.9 and np.abs(shut[y, x] - lids.skin[0, 1, 3]).max() < 0.2


def test_glasses_between_fold_and_lid_stay_where_they_are(model: CompactModel, sitter: Sitter) -> None:
    """The skin below a fold is stretched as the lid closes; what lay there is drawn where it was."""
    points, green = sitter.points[:POINTS].astype(np.float32), sitter.picture.copy()
    fold, lid = (points[LOOPS[0, UPPER], :2] if k else points[FOLD[0], :2] for k in (0, 1))
    x, y = (fold + 0.2 * (lid - fold))[2:5].T.astype(int)
    for a, b in zip(x, y, strict=True):
        green[b - 1 : b + 2, a - 2 : a + 3] = (0, 255, 0)
    lids = read_lids(sitter.image(green), points)
    shut, _ = drawn_over(sitter.picture / 255.0, with_right_eye_shut(sitter), lids)
    assert (shut[y, x, 1] - shut[y, x, 0]).min() > 0.2


def test_a_lid_grows_out_of_its_fold_and_is_lightest_in_its_middle(model: CompactModel, sitter: Sitter) -> None:
    """A lid of one colour with an edge all around looks as if it were glued on."""
    points, grey = sitter.points[:POINTS].astype(np.float32), np.full_like(sitter.picture, 128)
    shut_points = with_right_eye_shut(sitter)
    fold, edge = points[FOLD[0], :2], shut_points[LOOPS[0, UPPER], :2]
    shut, covered = drawn_over(grey / 255.0, shut_points, read_lids(sitter.image(grey), points))

    def at(values: np.ndarray, down: float) -> np.ndarray:
        x, y = (fold + down * (edge - fold)).round().astype(int).T
        return np.asarray(values[y, x])

    assert at(covered, 0.1).max() < 0.5
    assert at(covered, 0.8)[2:5].min() > 0.95
    light = at(shut[..., 1], 0.5)
    assert light[3] > 1.02 * 128 / 255 and light[[0, 6]].max() < light[3] - 0.02


def test_lines_around_painted_eyes_are_not_taken_for_skin(model: CompactModel, sitter: Sitter) -> None:
    points, lined = sitter.points[:POINTS].astype(np.float32), np.full_like(sitter.picture, 200)
    plain = read_lids(sitter.image(lined), points).skin
    lined[::2] = lined[1::6] = 20  # two of three rows
    assert np.abs(read_lids(sitter.image(lined), points).skin - plain).max() < 0.1


def test_a_lid_amid_shining_skin_is_no_pale_patch(model: CompactModel, sitter: Sitter) -> None:
    """Painted glasses and highlights are paler than the skin below the eye; an even lid of theirs looks like an eye."""
    points, shut_points = sitter.points[:POINTS].astype(np.float32), with_right_eye_shut(sitter)
    skin = np.full_like(sitter.picture, (170, 110, 80))
    shining = skin.copy()
    shining[: round(float(points[LOOPS[0], 1].max()))] = (210, 200, 190)  # all that is above the lower lid
    matt, bright = (read_lids(sitter.image(picture), points) for picture in (skin, shining))
    assert not matt.shine.any() and bright.shine.min() > 0.9
    assert np.ptp(bright.skin[0, 0].mean(0)) > 0.1  # it has some of the colour below
    lower = shut_points[LOOPS[0, LOWER], :2][2:5].mean(0)
    width = float(np.linalg.norm(points[LOOPS[0, 0], :2] - points[LOOPS[0, 8], :2]))
    x, y = int(lower[0]), int(lower[1] - 0.07 * width)
    # Its line of lashes reaches further up than that of other lids.
    lit = [
        drawn_over(p / 255.0, shut_points, lids)[0][y, x].mean() / lids.skin[0, 0].mean()
        for p, lids in ((skin, matt), (shining, bright))
    ]
    assert lit[1] < lit[0] - 0.1


def test_eyes_that_are_half_shut_are_not_drawn_over(model: CompactModel, sitter: Sitter) -> None:
    points = sitter.points[:POINTS].astype(np.float32).copy()
    upper, lower = points[LOOPS[0, UPPER]].copy(), points[LOOPS[0, LOWER]]
    points[LOOPS[0, UPPER]] = (upper + lower) / 2
    _, covered = drawn_over(sitter.picture / 255.0, points, read_lids(sitter.image(), sitter.points[:POINTS]))
    x, y = ((0.3 * upper + 0.7 * lower)[2:5, :2] - 0.5).round().astype(int).T  # between the lids, off the lashes
    assert covered[y, x].max() < 0.2

"""The head around the face: it turns as one piece, with a depth, and shoulders, background and border hold still.

The face is the mean face, looking ahead, in a picture that is drawn: where everything lies is known.
"""

from __future__ import annotations

from collections.abc import Mapping

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from vid2vid_cli.geometry.rotation import rotation_from_pose
from vid2vid_cli.models.compact.gaze import place_irises
from vid2vid_cli.models.compact.mesh.neck import NECK_END
from vid2vid_cli.models.compact.mesh.outline import ROUNDNESS
from vid2vid_cli.models.compact.mesh.shell import INNER, LEAST_ROOM, MOST_ROOM
from vid2vid_cli.models.compact.mesh.warp import CHIN, FOREHEAD, STILL_EDGE, Surroundings
from vid2vid_cli.models.compact.model import CompactModel
from vid2vid_cli.models.compact.posing import CompactState
from vid2vid_cli.motion import PoseOverride

SIDE, MIDDLE = 512, 256
WIDE = SIDE / 2  # px: a half of the crop's side, the mesh's unit
HEAD = (125.0, 150.0)  # px: half axes of the head, around the middle of the face
Map = NDArray[np.float32]


def ellipse(half_width: float, half_height: float, y: float = MIDDLE) -> Map:
    """Return how much of each pixel an ellipse in the middle column covers: (SIDE, SIDE)."""
    rows, columns = np.mgrid[:SIDE, :SIDE] + 0.5
    distance = np.hypot((columns - MIDDLE) / half_width, (rows - y) / half_height)
    return np.clip((1 - distance) * min(half_width, half_height) + 0.5, 0, 1).astype(np.float32)


def head_in_a_collar() -> Map:
    """Return the matte of a head in a collar that is as high as its chin, and as wide as the picture."""
    person = ellipse(*HEAD)
    person[MIDDLE + 60 :] = 1
    return person


def head_and_shoulders() -> Map:
    """Return the matte of a head with a neck and shoulders that reach the lower edge."""
    person = np.maximum(ellipse(*HEAD), ellipse(230, 140, y=SIDE))
    person[MIDDLE:, MIDDLE - 60 : MIDDLE + 60] = 1
    return person


MATTES = {
    "head and shoulders": head_and_shoulders(),
    "a head": ellipse(*HEAD),
    "hair at the border": ellipse(1.6 * HEAD[0], 1.75 * HEAD[1]),
    "everything": np.ones((SIDE, SIDE), np.float32),
    "nobody": np.zeros((SIDE, SIDE), np.float32),
}


def held(yaw: float) -> Map:
    """Return the rotation of a head that is turned by a yaw in degrees: (3, 3)."""
    angles = (torch.tensor([np.deg2rad(angle)], dtype=torch.float32) for angle in (yaw, 0.0, 0.0))
    return rotation_from_pose(*angles)[0].numpy()


class DrawnMatte:
    """Stands in for the network: where the person is in the drawn picture."""

    def __init__(self, matte: Map) -> None:
        self.matte = matte

    def of_image(self, _image: Tensor) -> Tensor:
        return torch.from_numpy(self.matte)[None, None]


class Figure:
    """The mean face in a drawn picture, ready to be moved."""

    def __init__(
        self,
        state: Mapping[str, Tensor],
        matte: Map,
        picture: Tensor | None = None,
        seen: tuple[slice, slice] = (slice(None), slice(None)),
        *,
        held_yaw: float = 0,
    ) -> None:
        """picture: (1, 3, SIDE, SIDE); random colours in coarse patches if not given. seen: its rows and columns.

        held_yaw: how far the drawn head is turned, degrees.
        """
        self.model = CompactModel(state)
        self.model._matte = DrawnMatte(matte[seen])  # type: ignore[assignment]
        mean = self.model.topology.canonical.numpy()
        low, high = mean[:, :2].min(0), mean[:, :2].max(0)
        # As crops are cut: the face in the middle, a third of the crop's side.
        self.scale = SIDE / self.model.source_crop.scale / float((high - low).max())
        self.shift = np.array([*(MIDDLE - self.scale * (low + high) / 2), 0.0])
        points = self.in_px(mean @ held(held_yaw).T)
        points = np.concatenate([points, place_irises(points, np.zeros(3, np.float32))]).astype(np.float32)
        drawn = np.random.default_rng(0).random((SIDE // 8, SIDE // 8, 3)).astype(np.float32)
        drawn = cv2.resize(drawn, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC).clip(0, 1)
        self.picture = torch.from_numpy(drawn).permute(2, 0, 1)[None] if picture is None else picture
        self.picture = self.picture[..., seen[0], seen[1]]
        points[:, :2] -= (seen[1].start or 0, seen[0].start or 0)
        self.source = self.model.appearance(self.picture, torch.from_numpy(points)[None])
        self.forehead_px, self.chin_px = points[FOREHEAD, 1], points[CHIN, 1]

    def in_px(self, canonical: NDArray[np.floating]) -> Map:
        """Return where points (..., 3) of the canonical head are in the picture."""
        return np.asarray(canonical * self.scale + self.shift, np.float32)

    def turned(self, yaw: float = 0, pitch: float = 0, roll: float = 0) -> CompactState:
        own = self.source.motion
        angles = (torch.tensor([np.deg2rad(angle)], dtype=torch.float32) for angle in (yaw, pitch, roll))
        return self.model.drive(self.source, own, own, PoseOverride(*angles))

    def show(self, state: CompactState) -> Tensor:
        with torch.inference_mode():
            return self.model.render(self.source, state)

    def head_turned_px(self, place_px: tuple[float, float], depth: float, state: CompactState) -> Map:
        """Return where a point of the rigid head goes: (2,). depth: away from the camera, on the canonical head."""
        xy = (np.array(place_px) - self.shift[:2]) / self.scale
        rotation, head = state.head.rotation[0].numpy(), state.head
        at = rotation @ np.array([*xy, depth]) * float(head.scale) + head.translation[0].numpy()
        return np.asarray(at[:2] * WIDE + MIDDLE, np.float32)


def marked(place_px: tuple[float, float], radius: float = 5) -> Tensor:
    """Return a grey picture with a red dot."""
    rows, columns = np.mgrid[:SIDE, :SIDE] + 0.5
    dot = torch.from_numpy(np.hypot(columns - place_px[0], rows - place_px[1]) < radius)
    return torch.where(dot, torch.tensor([0.9, 0.1, 0.1])[:, None, None], 0.5)[None].float()


def find_mark(picture: Tensor) -> Map:
    """Return the middle of what is red: (2,), in px."""
    red = (picture[0, 0] - picture[0, 1]).clamp(min=0).numpy()
    red = np.where(red > 0.2, red, 0)
    assert red.any(), "the mark is hidden"
    rows, columns = np.mgrid[:SIDE, :SIDE] + 0.5
    return np.array([(red * columns).sum(), (red * rows).sum()], np.float32) / np.float32(red.sum())


@pytest.fixture(scope="module")
def figure(face_state: Mapping[str, Tensor]) -> Figure:
    return Figure(face_state, MATTES["head and shoulders"])


@pytest.mark.parametrize("name", MATTES)
def test_a_person_who_does_not_move_is_the_picture_itself(name: str, face_state: Mapping[str, Tensor]) -> None:
    figure = Figure(face_state, MATTES[name])
    own = figure.source.motion
    shown = figure.show(figure.model.drive(figure.source, own, own, None))
    assert (shown - figure.picture).abs().max() <= 1 / 255


@pytest.mark.parametrize("angles", [{"yaw": 30}, {"yaw": -30}, {"pitch": 20}, {"roll": 30}], ids=str)
def test_the_background_holds_still_bit_by_bit_while_the_head_turns(figure: Figure, angles: dict[str, float]) -> None:
    shown = figure.show(figure.turned(**angles))
    person = cv2.dilate(MATTES["head and shoulders"], np.ones((81, 81)))
    near = np.maximum(ellipse(1.5 * HEAD[0], 1.4 * HEAD[1]), person)
    far = torch.from_numpy(near == 0)
    assert far.float().mean() > 0.15
    assert torch.equal(shown[..., far], figure.picture[..., far])
    assert (shown - figure.picture).abs()[..., MIDDLE - 90 : MIDDLE, MIDDLE - 60 : MIDDLE + 60].mean() > 0.05


HAIR = {"left": (-0.9, 0.0), "right": (0.9, 0.0), "top": (0.0, -0.92), "upper left": (-0.62, -0.68)}


@pytest.mark.parametrize("where", HAIR)
@pytest.mark.parametrize("angles", [{"roll": 20}, {"yaw": 12}, {"yaw": -12}, {"pitch": 12}], ids=str)
def test_hair_at_the_outline_turns_with_the_head_in_the_plane_of_the_ears(
    where: str, angles: dict[str, float], face_state: Mapping[str, Tensor]
) -> None:
    """Near the outline a head is about as far away as its ears: the mark goes where a rigid head takes it."""
    place = tuple(MIDDLE + share * half for share, half in zip(HAIR[where], HEAD, strict=True))
    figure = Figure(face_state, MATTES["a head"], marked(place))
    state = figure.turned(**angles)
    # An ellipsoid reaches sqrt(1 - r^2) of its depth before the plane of the ears; a little of that is left here.
    shown, depths = find_mark(figure.show(state)), (0.0, -0.5 * ROUNDNESS * HEAD[0] / figure.scale)
    ways = [figure.head_turned_px(place, depth, state) - place for depth in depths]
    moved = shown - place
    for axis in (0, 1):
        low, high = sorted(way[axis] for way in ways)
        assert low - 2.5 < moved[axis] < high + 2.5, (moved, ways)


def test_hair_between_face_and_outline_is_nearer_than_at_the_outline(face_state: Mapping[str, Tensor]) -> None:
    """Above the forehead, hair lies before the plane of the ears: it goes down as the chin does when the head nods."""
    lifted = []
    for share in (-0.78, -0.97):
        place = (float(MIDDLE), MIDDLE + share * HEAD[1])
        figure = Figure(face_state, MATTES["a head"], marked(place, radius=4))
        state = figure.turned(pitch=15)
        flat, deep = (figure.head_turned_px(place, depth, state)[1] for depth in (0.0, -1.0))
        # 0 in the plane of the ears, 1 one eye distance before it
        lifted.append((find_mark(figure.show(state))[1] - flat) / (deep - flat))
    assert lifted[0] > lifted[1] + 0.2
    assert -0.1 < lifted[1] < 0.5 and lifted[0] < 1.2


def test_rays_end_where_the_person_ends(face_state: Mapping[str, Tensor]) -> None:
    figure = Figure(face_state, MATTES["a head"])
    places = figure.source.warp._shell.places[len(INNER) - 1, :, :2] * WIDE
    centre, start = figure.source.warp._outline.centre * WIDE, figure.source.warp._outline.radius * WIDE
    room = np.linalg.norm(places - centre, axis=-1) / start
    free = (room > LEAST_ROOM + 0.02) & (room < MOST_ROOM - 0.02)
    assert free.sum() > 30
    # 1 on the ellipse; half a cell of the map of depths, and what lies between two samples of a ray
    assert np.abs(np.hypot(*(places / HEAD).T) - 1)[free].max() < 0.06


@pytest.mark.parametrize("angles", [{"yaw": 30}, {"pitch": -20}, {"roll": 25}], ids=str)
def test_shoulders_hold_still(figure: Figure, angles: dict[str, float]) -> None:
    shown = figure.show(figure.turned(**angles))
    # Where the movement has faded out, and a little below: rings of the shell are a third of a face apart.
    below = int(figure.chin_px + (NECK_END + 0.35) * (figure.chin_px - figure.forehead_px))
    assert below < SIDE - 50
    assert (shown - figure.picture).abs()[..., below:, :].max() < 0.02


@pytest.mark.parametrize("name", ["head and shoulders", "a head", "hair at the border", "everything"])
@pytest.mark.parametrize("angles", [{"yaw": 40}, {"pitch": 25}, {"roll": 30}], ids=str)
def test_the_border_of_the_crop_holds_still(
    name: str, angles: dict[str, float], face_state: Mapping[str, Tensor]
) -> None:
    figure = Figure(face_state, MATTES[name])
    change = (figure.show(figure.turned(**angles)) - figure.picture).abs()[0].amax(0)
    rim = torch.cat([change[:2].flatten(), change[-2:].flatten(), change[:, :2].flatten(), change[:, -2:].flatten()])
    # Half a pixel inside the border, a little of what moves is seen.
    assert rim.max() < 0.2 and change[150:350, 150:350].mean() > 0.05


@pytest.mark.parametrize(
    ("seen", "edge"),
    [
        ((slice(None), slice(110, None)), np.s_[:, :, 330:, :3]),
        ((slice(None), slice(None, -110)), np.s_[:, :, 330:, -3:]),
        ((slice(None, -150), slice(None)), np.s_[:, :, -3:, 100:-100]),
    ],
    ids=["left", "right", "below"],
)
@pytest.mark.parametrize("angles", [{"yaw": 30}, {"yaw": -30}, {"pitch": 20}], ids=str)
def test_shoulders_hold_still_where_the_picture_cuts_them_off(
    seen: tuple[slice, slice], edge: tuple[slice, ...], angles: dict[str, float], face_state: Mapping[str, Tensor]
) -> None:
    """What moves inwards there draws the picture's edge after it, in stripes."""
    figure = Figure(face_state, head_in_a_collar(), seen=seen)
    change = (figure.show(figure.turned(**angles)) - figure.picture).abs()
    assert change[edge].mean() < 0.065 and change.max() > 0.3


@pytest.mark.parametrize("yaw", [-30, 30])
def test_the_side_of_a_head_that_turns_into_view_is_no_veil(yaw: float, face_state: Mapping[str, Tensor]) -> None:
    """Pixels at an outline, half hair and half background, are not drawn out over the side of the head."""
    matte = cv2.GaussianBlur(MATTES["a head"], (0, 0), 4)
    hair, wall = (torch.tensor(colour)[:, None, None] for colour in ([0.9, 0.1, 0.1], [0.1, 0.1, 0.9]))
    figure = Figure(face_state, matte, wall + torch.from_numpy(matte) * (hair - wall)[None])
    rows = slice(MIDDLE - 80, MIDDLE - 40)  # above the ears
    side = slice(MIDDLE, None) if yaw < 0 else slice(None, MIDDLE)

    def mixed_px(shown: Tensor) -> float:
        share = (shown[0, 0, rows, side] - 0.1) / 0.8
        return float(((share > 0.1) & (share < 0.9)).float().sum(1).mean())

    assert mixed_px(figure.show(figure.turned(yaw=yaw))) < 1.2 * mixed_px(figure.picture)


def face_and_neck(face_state: Mapping[str, Tensor], held_yaw: float) -> Map:
    """Return the matte of a bald head without ears, that ends where the face does, on a neck: (SIDE, SIDE)."""
    figure = Figure(face_state, MATTES["a head"], held_yaw=held_yaw)
    hull = cv2.convexHull(figure.in_px(figure.model.topology.canonical.numpy() @ held(held_yaw).T)[:, :2].astype(int))
    person = cv2.dilate(cv2.fillConvexPoly(np.zeros((SIDE, SIDE), np.float32), hull, 1), np.ones((9, 9)))
    person[int(figure.chin_px) - 30 :, MIDDLE - 30 : MIDDLE + 40] = 1
    return person


def red_before_blue(matte: Map) -> Tensor:
    """Return a red person before a blue wall."""
    skin, wall = (torch.tensor(colour)[:, None, None] for colour in ([0.9, 0.1, 0.1], [0.1, 0.1, 0.9]))
    return (wall + torch.from_numpy(matte) * (skin - wall))[None].float()


@pytest.mark.parametrize(
    ("held_yaw", "turned_yaw", "heights", "most"),
    [(0, 30, (0.65, 1.0), 0.03), (-40, 20, (0.25, 0.9), 0.003)],
    ids=["the jaw of a face that looks ahead", "the cheek that hid the far half"],
)
def test_where_the_face_ends_the_head_does_when_that_side_turns_into_view(
    held_yaw: float,
    turned_yaw: float,
    heights: tuple[float, float],
    most: float,
    face_state: Mapping[str, Tensor],
) -> None:
    """Its edge is not drawn out to the plane of the ears. heights: of the face, from the top; where it is looked at."""
    matte = face_and_neck(face_state, held_yaw)
    figure = Figure(face_state, matte, red_before_blue(matte), held_yaw=held_yaw)
    state = figure.turned(yaw=turned_yaw)
    points = state.keypoints[0, :, :2].numpy() * WIDE + MIDDLE
    face = cv2.fillConvexPoly(np.zeros((SIDE, SIDE), np.uint8), cv2.convexHull(points.astype(int)), 1)
    top, height = points[:, 1].min(), np.ptp(points[:, 1])
    first, last = (int(top + share * height) for share in heights)
    looked_at = np.s_[first:last, : int(points[:, 0].mean())]
    red = (figure.show(state)[0, 0].numpy() > 0.5)[looked_at]
    beside = red & (cv2.dilate(face, np.ones((13, 13)))[looked_at] == 0)
    missing = ~red & (cv2.erode(face, np.ones((9, 9)))[looked_at] > 0)
    assert beside.sum() < most * red.sum() and missing.sum() < 0.005 * red.sum(), (beside.sum(), missing.sum())


def test_glasses_that_stand_out_from_a_turned_face_are_not_drawn_twice(face_state: Mapping[str, Tensor]) -> None:
    """Once the near half is shown mirrored, its own rim beside the cheek is gone."""
    matte = face_and_neck(face_state, -30)
    eye = int(np.flatnonzero(matte.any(1))[0]) + 60
    edge = int(np.flatnonzero(matte[eye])[0])
    rim = cv2.ellipse(np.zeros((SIDE, SIDE), np.float32), (edge, eye), (16, 13), 0, 90, 270, 1, 3)
    picture = red_before_blue(matte)
    picture[0, :, torch.from_numpy(rim > 0)] = torch.tensor([0.1, 0.9, 0.1])[:, None]
    figure = Figure(
        face_state, np.maximum(matte, cv2.fillPoly(rim.copy(), [cv2.findNonZero(rim)], 1)), picture, held_yaw=-30
    )

    def green_px(shown: Tensor) -> int:
        return int((shown[0, 1] - shown[0, 0].maximum(shown[0, 2]) > 0.2).sum())

    assert green_px(figure.picture) > 80
    assert green_px(figure.show(figure.turned(yaw=30))) < 0.1 * green_px(figure.picture)


def test_cut_shoulders_follow_the_same_person_alone(face_state: Mapping[str, Tensor]) -> None:
    """What is seen to move where a side of the picture cuts a person off moves there only if it is the same person."""
    warp = Figure(face_state, head_in_a_collar(), seen=(slice(None), slice(110, None))).source.warp
    moving = np.full((24, 24, 2), 0.05, np.float32)
    places = warp._shell.places.reshape(-1, 3)[:, :2]
    low, high = warp._border.low, warp._border.high
    free = np.minimum(places - low, high - places).min(1) > STILL_EDGE * (high - low).max()
    cut = free & (warp._shell.room.ravel() < 0.02)
    assert cut.any()
    same, other = (
        np.abs(warp.move_around(Surroundings(moving, moving[0, 0], alike), places)[cut]) for alike in (1.0, 0.0)
    )
    assert same.min() > 0.04 * (high - low).max() / 2 and other.max() < 0.2 * same.min()

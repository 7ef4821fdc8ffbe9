"""Hair, shoulders and background come from the view in which the head is held most alike, and nothing jumps."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from tests.support.people import made_up_person
from vid2vid_cli.arrays import Frame, Map, Points
from vid2vid_cli.face.crop import FaceCrop, Room, crop_around, crop_frame
from vid2vid_cli.face.frames import image_of
from vid2vid_cli.face.mesh import FaceAnalyzer
from vid2vid_cli.media.image import read_image
from vid2vid_cli.models.base import View
from vid2vid_cli.models.compact.around import HeadPoses
from vid2vid_cli.models.compact.around_body import Bodies
from vid2vid_cli.models.compact.around_rendering import mix_mesh
from vid2vid_cli.models.compact.mixed_mesh import to_px
from vid2vid_cli.models.compact.model import CompactModel
from vid2vid_cli.models.compact.posing import CompactState
from vid2vid_cli.models.compact.source import CompactSource
from vid2vid_cli.models.registry import load_model
from vid2vid_cli.motion import PoseOverride
from vid2vid_cli.person_file import FramePlace, decode_person, encode_person
from vid2vid_cli.pipeline.person.source_views import SourcePlace

HERE = np.eye(2, 3)  # the place of a view that was cut out of the frame where the source was
GREEN = np.array([0.1, 0.8, 0.15], np.float32)
MOST_OF_MEDIAN = 4.0  # a step's change of the picture over the usual one
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Person:
    """A source before a ground of its own. landmarks: (1, 470, 3), matte: (H, W), ground: (H, W, 3)."""

    model: CompactModel
    source: CompactSource
    landmarks: Tensor
    ground: Points

    def state(self, yaw_deg: float = 0.0) -> CompactState:
        """Turn the head."""
        pose = PoseOverride(yaw=torch.tensor([np.radians(yaw_deg)]).float())
        return self.model.drive(self.source, self.source.motion, self.source.motion, pose)

    @torch.inference_mode()
    def render(self, state: CompactState, views: Sequence[View] = ()) -> Points:
        """Return a picture (H, W, 3) in [0, 1]."""
        image = self.model.render(self.model.with_views(self.source, views), state)
        return np.ascontiguousarray(image[0].permute(1, 2, 0).numpy())

    def view(self, state: CompactState, painted: Map | None = None) -> View:
        """Return a picture of a state, green where `painted` (H, W) is 1."""
        picture = self.render(state)
        if painted is not None:
            picture += painted[..., None] * (GREEN - picture)
        landmarks = self.landmarks.clone()
        height, width = picture.shape[:2]
        landmarks[:, :468] = state.keypoints * (max(height, width) / 2) + torch.tensor([width / 2, height / 2, 0])
        return View(as_image(picture), landmarks, place=HERE)

    def hair(self, state: CompactState) -> Map:
        """Return 1 in a spot above the forehead, and around it 0."""
        height, width = self.ground.shape[:2]
        points = state.keypoints[0].numpy()
        x, y = points[10, :2] * (max(height, width) / 2) + (width / 2, height / 2)
        up = 0.12 * (points[152, 1] - points[10, 1]) * max(height, width) / 2
        spot = np.zeros((height, width), np.float32)
        return np.asarray(cv2.circle(spot, (round(float(x)), round(float(y - up))), 9, 1.0, -1), np.float32)


def as_image(picture: Points) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(np.clip(picture, 0, 1), -1, 0)))[None]


def made_up_ground(size: tuple[int, int]) -> Points:
    """Return a room that no filling could guess: soft patches of many colours."""
    patches = np.random.default_rng(3).uniform(0.2, 0.8, (7, 7, 3)).astype(np.float32)
    return np.asarray(cv2.resize(patches, size[::-1], interpolation=cv2.INTER_CUBIC), np.float32).clip(0, 1)


@pytest.fixture(scope="module")
def portrait(media_dir: Path, face_analyzer: FaceAnalyzer) -> tuple[Frame, Tensor]:
    """Return a crop (H, W, 3) and its landmarks."""
    frame = read_image(media_dir / "sources" / "s27_ai_woman.png")
    frame = np.asarray(cv2.resize(frame, (320, 320), interpolation=cv2.INTER_AREA), np.uint8)
    (face,) = face_analyzer.faces(frame)
    spec = load_model().model.source_crop
    crop = crop_around(face, spec, Room.of_frame(frame.shape))
    return crop_frame(frame, crop), torch.from_numpy(crop.to_crop(face.landmarks_px)).float()[None]


@pytest.fixture(scope="module")
def person(portrait: tuple[Frame, Tensor]) -> Person:
    picture, landmarks = portrait
    model = load_model().model
    assert isinstance(model, CompactModel)
    first = model.appearance(image_of(picture, CPU), landmarks)
    ground = made_up_ground(picture.shape[:2])
    before = first.layers.in_picture[0].permute(1, 2, 0).numpy()
    own = before[..., :3] + (1 - before[..., 3:]) * ground
    return Person(model, model.appearance(as_image(own), landmarks), landmarks, ground)


def moved(person: Person, by_px: int) -> View:
    """Return the person somewhat to the right in the same room."""
    layers = person.source.layers
    there = layers.person[0, :, layers.above :].permute(1, 2, 0).numpy()
    there = np.roll(there, by_px, 1)[:, layers.beside : layers.beside + layers.size[1]]
    there = there * (np.arange(there.shape[1]) >= by_px)[None, :, None]
    picture = there[..., :3] + (1 - there[..., 3:]) * person.ground
    landmarks = person.landmarks.clone()
    landmarks[..., 0] += by_px
    return View(as_image(picture), landmarks, place=HERE)


def around_of(person: Person, views: Sequence[View]) -> object:
    source = person.model.with_views(person.source, views)
    assert isinstance(source, CompactSource)
    return source.around


def test_one_picture_and_views_without_a_place_leave_all_around_the_face_as_it_was(person: Person) -> None:
    assert person.source.around is None
    turned = person.state(18)
    view = person.view(turned, person.hair(turned))
    assert around_of(person, [replace(view, place=None)]) is None
    assert around_of(person, [view]) is not None


def test_hair_is_that_of_the_view_whose_head_is_held_as_the_frames(person: Person) -> None:
    turned, front = person.state(18), person.state()
    spot = person.hair(turned) > 0
    views = [person.view(turned, person.hair(turned))]
    green = np.abs(person.render(turned, views)[spot] - GREEN).mean()
    assert green < 0.12
    assert np.abs(person.render(turned)[spot] - GREEN).mean() > 0.2
    # Held as in the source, it is the source's.
    assert np.abs(person.render(front, views) - person.render(front)).mean() < 0.004


def test_what_the_person_hides_of_the_room_is_known_from_another_view(person: Person) -> None:
    around = person.model.with_views(person.source, [moved(person, 40)]).around  # type: ignore[attr-defined]
    matte = person.source.layers.in_picture[0, 3].numpy()
    elsewhere = np.roll(matte, 40, 1)
    hidden = (matte > 0.9) & (cv2.dilate(elsewhere, np.ones((31, 31), np.uint8)) < 0.02)
    hidden[:, :40] = False
    assert hidden.sum() > 300
    guessed = np.moveaxis(person.source.layers.background[0].numpy(), 0, -1)
    known = np.moveaxis(around.background, 0, -1)
    off = [float(np.abs(each - person.ground)[hidden].mean()) for each in (guessed, known)]
    assert off[0] > 0.05
    assert off[1] < 0.02


def test_a_view_of_another_room_or_in_other_clothes_is_not_shown(person: Person) -> None:
    view = moved(person, 30)
    assert around_of(person, [view]) is not None
    other_room = view.image.clone()
    ground = torch.from_numpy(np.moveaxis(person.ground, -1, 0).copy())[None]
    same = (view.image - ground).abs().amax(1, keepdim=True) < 1e-4
    other_room = torch.where(same, ground.flip(-1), other_room)
    assert around_of(person, [replace(view, image=other_room)]) is None
    chin = int(view.landmarks[0, 152, 1]) + 4
    clothes = view.image.clone()
    clothes[:, :, chin:] = torch.where(same[:, :, chin:], clothes[:, :, chin:], 1 - clothes[:, :, chin:])
    assert around_of(person, [replace(view, image=clothes)]) is None


def test_nothing_jumps_as_a_head_turns(person: Person) -> None:
    rng = np.random.default_rng(1)
    height, width = person.ground.shape[:2]
    views = []
    for yaw in (-20, -8, 9, 20):
        view = person.view(person.state(yaw))
        # Specks by which the hair of each can be told from the others'.
        specks = cv2.resize(rng.normal(0, 0.06, (24, 24)).astype(np.float32), (width, height))
        near = (view.image - torch.from_numpy(np.moveaxis(person.ground, -1, 0).copy())).abs().amax(1) > 0.02
        views.append(replace(view, image=(view.image + near * torch.from_numpy(specks)).clamp(0, 1)))
    source = person.model.with_views(person.source, views)
    assert len(source.around.stances) == 5  # type: ignore[attr-defined]
    path = [person.state(float(yaw)) for yaw in np.arange(-22, 22, 1.0)]
    with torch.inference_mode():
        pictures = [person.model.render(source, state) for state in path]
    changes = [float((b - a).abs().mean()) for a, b in itertools.pairwise(pictures)]
    assert max(changes) < MOST_OF_MEDIAN * float(np.median(changes))


@torch.inference_mode()
def test_a_body_that_cannot_be_compared_bends_as_that_of_one_picture(person: Person) -> None:
    source = person.model.with_views(person.source, [moved(person, 40)])
    assert isinstance(source, CompactSource)
    assert source.around is not None
    state = person.state()
    head = state.head._replace(translation=state.head.translation - torch.tensor([0.06, 0.0, 0.0]))
    state = replace(state, head=head, keypoints=state.keypoints - torch.tensor([0.06, 0.0, 0.0]))
    unknown = replace(source, around=replace(source.around, bodies=None))
    one, known, bent = (person.model.render(each, state) for each in (person.source, source, unknown))
    chin = int(person.landmarks[0, 152, 1])
    off = [float((each - one)[:, :, chin:].abs().mean()) for each in (known, bent)]
    assert off[1] < 0.5 * off[0]


def test_weights_add_up_and_change_slowly(person: Person) -> None:
    views = [person.view(person.state(yaw)) for yaw in (-20, -8, 9, 20)]
    around = person.model.with_views(person.source, views).around  # type: ignore[attr-defined]
    weights = np.stack([around.weigh(person.state(float(yaw)).head) for yaw in np.arange(-30, 30, 0.25)])
    assert np.allclose(weights.sum(1), 1)
    assert np.abs(np.diff(weights, axis=0)).max() < 0.08
    for k, stance in enumerate(around.stances):
        assert around.weigh(stance.head)[k] > 0.9


def test_a_head_that_the_user_turns_is_shown_as_where_it_is_turned_alike(person: Person) -> None:
    turned = person.state(20)
    around = person.model.with_views(person.source, [person.view(turned)]).around  # type: ignore[attr-defined]
    # A head that turns in a film moves aside as well; one that the user turns stays.
    aside = turned.head.translation + torch.tensor([0.35, 0.0, 0.0]) * turned.head.scale
    moved_on = HeadPoses.of([person.state().head, turned.head._replace(translation=aside)])
    around = replace(around, poses=moved_on)
    assert turned.asked is not None
    asked = float(turned.asked)
    assert asked == pytest.approx(np.radians(20), rel=0.3)
    assert around.weigh(turned.head)[1] < 0.6
    assert around.weigh(turned.head, asked)[1] > 0.95
    gradually = [around.weigh(turned.head, asked * share)[1] for share in np.linspace(0, 1, 60)]
    assert np.abs(np.diff(gradually)).max() < 0.1


def test_pictures_are_mixed_less_where_none_is_near(person: Person) -> None:
    around = person.model.with_views(person.source, [person.view(person.state(20))]).around  # type: ignore[attr-defined]
    between, beyond = (around.weigh(person.state(yaw).head) for yaw in (12, 40))
    assert between.min() > 0.4
    assert beyond[0] < 0.03


@torch.inference_mode()
def test_a_jaw_stays_on_its_head_where_the_same_vertex_lies_on_the_neck_of_another_picture(person: Person) -> None:
    angles = torch.deg2rad(torch.tensor([[20.0], [15.0], [15.0]]))
    own = person.source.motion
    turned = person.model.drive(person.source, own, own, PoseOverride(yaw=angles[0], pitch=angles[1], roll=angles[2]))
    source = person.model.with_views(person.source, [person.view(turned)])
    assert isinstance(source, CompactSource)
    assert source.around is not None
    first, stance = (each.warp for each in source.around.stances)
    at = np.flatnonzero(stance.follow[:, 0] - first.follow[:, 0] > 0.5)
    assert len(at) > 8
    by = torch.tensor([0.08, -0.05, 0.0])
    head = turned.head._replace(translation=turned.head.translation + by)
    state = replace(turned, head=head, keypoints=turned.keypoints + by)
    around = replace(source.around, bodies=Bodies(np.zeros((2, 2)), np.zeros((2, 2)), 0.0))
    size, vertices = source.layers.size, first.keypoint_count + at
    mixed = mix_mesh(around, state, first.place(state.keypoints[0].numpy(), state.head), None, size)
    (column,) = (column for picture, column, _, _ in mixed.parts.tolist() if picture == 1)
    off = mixed.mesh.values[vertices, column : column + 2] - to_px(stance.source_xy[vertices], size)
    moved_px = float(by.norm()) * max(size) / 2
    assert (np.linalg.norm(off, axis=1) < (1.1 - stance.follow[at, 0]) * moved_px).all()


def test_distances_of_heads_count_turns_places_and_sizes(person: Person) -> None:
    head = person.state().head
    turned = person.state(10).head
    poses = HeadPoses.of([head])
    assert poses.distances(head)[0] == pytest.approx(0, abs=1e-3)
    further = poses.distances(person.state(20).head)[0]
    assert 0.1 < poses.distances(turned)[0] < further
    aside = head._replace(translation=head.translation + torch.tensor([0.2, 0.0, 0.0]) * head.scale)
    assert poses.distances(aside)[0] == pytest.approx(0.2, abs=1e-3)
    larger = head._replace(scale=head.scale * 1.2)
    assert poses.distances(larger)[0] == pytest.approx(np.log(1.2), abs=1e-3)


def test_places_are_kept_in_a_person_file_and_older_files_have_none() -> None:
    plain = made_up_person()
    assert all(view.place is None for view in decode_person(encode_person(plain)).views)
    place = FramePlace(12, 30, 0.5, 480, 640)
    views = (replace(plain.views[0], place=place), plain.views[1])
    again = decode_person(encode_person(replace(plain, views=views)))
    assert [view.place for view in again.views] == [place, None]


def test_a_point_of_the_room_lies_at_one_place_in_both_crops() -> None:
    own = SourcePlace(FramePlace(0, 0, 2.0, 480, 640), FaceCrop(np.array([[1.0, 0, 40], [0, 1, 20]]), (150, 160)))
    other, crop = FramePlace(100, 60, 0.5, 480, 640), FaceCrop(np.array([[1.0, 0, 8], [0, 1, 4]]), (300, 300))
    map_ = own.lay(other, crop)
    assert map_ is not None
    in_frame = np.array([200.0, 110.0])
    in_own, in_other = (in_frame - 0) / 2 - (40, 20), (in_frame - (100, 60)) / 0.5 - (8, 4)
    assert np.allclose(map_[:, :2] @ in_other + map_[:, 2], in_own)
    assert own.lay(replace(other, width=320), crop) is None
    assert own.lay(None, crop) is None

"""Each part of a person comes from the picture that shows it, and nothing jumps as one gives way to another."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor

from vid2vid_cli.arrays import Frame, Points
from vid2vid_cli.face.crop import Room, crop_around, crop_frame
from vid2vid_cli.face.eyes import LOOPS, RINGS, UPPER
from vid2vid_cli.face.frames import image_of
from vid2vid_cli.face.mesh import FaceAnalyzer
from vid2vid_cli.media.image import read_image
from vid2vid_cli.models.base import SourceAppearance, UsesViews, View
from vid2vid_cli.models.compact import rendering
from vid2vid_cli.models.compact.mesh.topology import FaceTopology
from vid2vid_cli.models.compact.model import CompactModel
from vid2vid_cli.models.compact.motion_layout import POINTS
from vid2vid_cli.models.compact.posing import CompactState
from vid2vid_cli.models.compact.source import CompactSource
from vid2vid_cli.models.compact.view_blend import Pictures, lay_pictures
from vid2vid_cli.models.compact.view_choice import FaceShape, ViewChoice
from vid2vid_cli.models.compact.views import ChosenViews
from vid2vid_cli.models.registry import load_model
from vid2vid_cli.motion import PoseOverride

GREEN, BLUE = (30, 220, 40), (20, 60, 250)
FAR_CHEEK = 411  # a point that a turn by TURN_DEG brings to the front
TURN_DEG = -28.0
MOST_OF_MEDIAN = 4.0  # a step's change of the picture over the usual one


@dataclass(frozen=True)
class Person:
    """A source, and pictures of its person that are made of it. points_px: of a state's mesh, in px of the crop."""

    model: CompactModel
    source: CompactSource

    def state(self, yaw_deg: float = 0.0, **weights: float) -> CompactState:
        """Turn the head, and add expressions: jaw=0.5 opens the mouth, blink=1 shuts the eyes, smile=1 smiles."""
        motion = self.source.motion
        pose = PoseOverride(yaw=torch.tensor([np.radians(yaw_deg)]).float())
        names, added = self.model.expression_names, torch.zeros(1, len(self.model.expression_names))
        for short, full in (("jaw", ("jawOpen",)), ("blink", ("eyeBlink_R", "eyeBlink_L"))):
            for name in full:
                added[0, names.index(name)] = weights.get(short, 0.0)
        return self.model.with_expression(self.model.drive(self.source, motion, motion, pose), added)

    def points_px(self, state: CompactState) -> Points:
        height, width = self.source.features["image"].shape[2:]
        half = max(height, width) / 2
        return (state.keypoints[0].numpy() * half + (width / 2, height / 2, 0)).astype(np.float32)

    @torch.inference_mode()
    def render(self, state: CompactState, views: Sequence[View] = ()) -> Frame:
        source = self.model.with_views(self.source, views)
        return (self.model.render(source, state)[0].permute(1, 2, 0) * 255).round().byte().numpy()

    def view(self, state: CompactState, paint: Sequence[tuple[Points, tuple[int, int, int]]] = ()) -> View:
        """Return a picture of a state, with areas painted. paint: corners of each (P, 2), in px, and its colour."""
        picture = self.render(state).copy()
        for corners, colour in paint:
            cv2.fillPoly(picture, [np.rint(corners).astype(np.int32)], colour)
        return View(image_of(picture, torch.device("cpu")), torch.from_numpy(self.points_px(state))[None])


@pytest.fixture(scope="module")
def person(media_dir: Path, face_analyzer: FaceAnalyzer) -> Person:
    model = load_model().model
    assert isinstance(model, CompactModel)
    assert isinstance(model, UsesViews)
    read = read_image(media_dir / "sources" / "s27_ai_woman.png")
    frame = np.asarray(cv2.resize(read, (384, 384), interpolation=cv2.INTER_AREA), np.uint8)
    (face,) = face_analyzer.faces(frame)
    crop = crop_around(face, model.source_crop, Room.of_frame(frame.shape))
    landmarks = torch.from_numpy(crop.to_crop(face.landmarks_px)).float()[None]
    return Person(model, model.appearance(image_of(crop_frame(frame, crop), torch.device("cpu")), landmarks))


def around(points: Points, size_px: float) -> Points:
    """Return the corners of a square around the middle of points (P, 2 or more)."""
    corners = points[:, :2].mean(0) + size_px / 2 * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    return np.asarray(corners, np.float32)


def likeness(picture: Frame, points: Points, colour: tuple[int, int, int]) -> float:
    """Return how far the median colour around points (P, 2 or more) is from a colour, 0 to 255 (mean of the three)."""
    patch = [picture[int(y), int(x)] for x, y in points[:, :2]]
    return float(np.abs(np.median(patch, 0) - colour).mean())


def test_a_source_without_views_stays_as_it_is(person: Person) -> None:
    assert person.model.with_views(person.source, []) is person.source
    foreign = SourceAppearance({}, person.source.canonical, person.source.motion)
    with pytest.raises(ValueError, match="another family"):
        person.model.with_views(foreign, [person.view(person.state())])


def test_the_mouths_inside_is_the_persons_own_at_that_opening(person: Person) -> None:
    opened, loop = person.state(jaw=0.6), person.model.topology.inner_lips
    lips = person.points_px(opened)[loop]
    inside = lips.mean(0) + 0.75 * (lips - lips.mean(0))
    views = [person.view(opened, [(inside[:, :2], GREEN)])]
    shown, without = person.render(opened, views), person.render(opened)
    middle = lips.mean(0) + 0.2 * (lips - lips.mean(0))
    assert likeness(shown, middle, GREEN) < 25
    assert likeness(without, middle, GREEN) > 60
    # A mouth that is nearly shut is the source's.
    shut = person.state(jaw=0.02)
    changed = np.abs(person.render(shut, views).astype(int) - person.render(shut))
    assert changed.mean() < 0.05


def test_a_turn_shows_the_side_as_the_picture_has_it_that_shows_it(person: Person) -> None:
    turned = person.state(TURN_DEG)
    cheek = person.points_px(turned)[[FAR_CHEEK]]
    views = [person.view(turned, [(around(cheek, 9), BLUE)])]
    assert likeness(person.render(turned, views), cheek, BLUE) < 40
    assert likeness(person.render(turned), cheek, BLUE) > 70
    front = person.state()
    assert np.abs(person.render(front, views).astype(int) - person.render(front)).mean() < 0.05


def test_shut_lids_come_from_a_picture_with_shut_eyes(person: Person) -> None:
    shut = person.state(blink=1.0)
    points = person.points_px(shut)
    lids = [(points[RINGS[0, eye, UPPER][2:5]] + points[LOOPS[eye, UPPER][2:5]]) / 2 for eye in (0, 1)]
    views = [person.view(shut, [(around(lid, 5), BLUE) for lid in lids])]
    shown, without = person.render(shut, views), person.render(shut)
    for lid in lids:
        middle = lid.mean(0, keepdims=True)
        assert likeness(shown, middle, BLUE) < likeness(without, middle, BLUE) - 40
    opened = person.state()
    assert np.abs(person.render(opened, views).astype(int) - person.render(opened)).mean() < 0.05


def test_a_picture_in_other_light_is_brought_into_the_sources(person: Person) -> None:
    opened = person.state(jaw=0.5)
    view = person.view(opened)
    dim = View(view.image * torch.tensor([0.6, 0.5, 0.45])[:, None, None], view.landmarks)
    chin = person.points_px(opened)[[18, 200, 83, 313]]
    bright, matched = person.render(opened), person.render(opened, [dim])
    for x, y in chin[:, :2].astype(int):
        assert np.abs(matched[y, x].astype(int) - bright[y, x]).max() < 16


def test_what_lies_outside_of_a_picture_is_left_to_the_source(person: Person) -> None:
    opened = person.state(jaw=0.5)
    view, points = person.view(opened), person.points_px(opened)
    cut = int(points[13, 1])  # between the lips: the chin is cut off
    narrow = View(view.image[:, :, :cut], view.landmarks)
    changed = np.abs(person.render(opened, [narrow]).astype(int) - person.render(opened))
    chin = points[[200, 199, 175], :2].astype(int)
    assert max(changed[y, x].max() for x, y in chin) < 3


def speckled(view: View, seed: int) -> View:
    """Return a view with fine noise, so that each can be told from the others."""
    noise = np.random.default_rng(seed).normal(0, 0.06, (view.image.shape[2] // 4, view.image.shape[3] // 4, 3))
    noise = cv2.resize(noise, view.image.shape[:1:-1]).astype(np.float32)
    return View((view.image + torch.from_numpy(noise).permute(2, 0, 1)).clamp(0, 1), view.landmarks)


def sweeps(person: Person) -> Iterator[tuple[str, list[CompactState]]]:
    yield "yaw", [person.state(float(yaw)) for yaw in np.arange(-24, 24, 1.0)]
    yield "mouth", [person.state(jaw=float(jaw)) for jaw in np.arange(0.1, 0.7, 0.0125)]


def test_nothing_jumps_as_a_head_turns_and_a_mouth_opens(person: Person) -> None:
    states = [person.state(-22), person.state(-8), person.state(14), person.state(23, jaw=0.3)]
    states += [person.state(jaw=jaw) for jaw in (0.15, 0.3, 0.45, 0.6)]
    views = [speckled(person.view(state), seed) for seed, state in enumerate(states)]
    source = person.model.with_views(person.source, views)
    for name, path in sweeps(person):
        with torch.inference_mode():
            pictures = [person.model.render(source, state) for state in path]
        mouth = mouth_window(person, path)
        changes = [float((b - a)[mouth].abs().mean()) for a, b in itertools.pairwise(pictures)]
        assert max(changes) < MOST_OF_MEDIAN * float(np.median(changes)), name


def mouth_window(person: Person, path: Sequence[CompactState]) -> tuple[slice, ...]:
    """Return the part of an image (1, 3, H, W) in which all frames of a path have the lower face."""
    points = np.concatenate([person.points_px(state)[[61, 291, 2, 152], :2] for state in path]).astype(int)
    (left, top), (right, bottom) = points.min(0), points.max(0)
    return slice(None), slice(None), slice(top, bottom), slice(left, right)


def shape(face: Tensor) -> FaceShape:
    return FaceShape(face.numpy(), np.eye(3, dtype=np.float32), np.zeros(2, np.float32))


def test_what_pictures_hide_is_not_drawn(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    shut = person.state(blink=1.0, jaw=0.6)
    views = [person.view(person.state(yaw, blink=1.0, jaw=0.6)) for yaw in (0.0, 2.0, -2.0, 4.0)]
    drawn: list[str] = []
    for name in ("draw_lids", "flatten_folds", "fill_mouth"):
        monkeypatch.setattr(rendering, name, spy(getattr(rendering, name), name, drawn))
    shown = person.render(shut, views)
    assert not drawn
    # A picture of open eyes and a shut mouth hides nothing.
    person.render(shut, [person.view(person.state())])
    assert set(drawn) == {"draw_lids", "flatten_folds", "fill_mouth"}
    drawn.clear()
    monkeypatch.setattr(ChosenViews, "hides", lambda *_: False)
    monkeypatch.setattr(rendering, "HIDDEN", 2.0)
    everything = person.render(shut, views)
    assert set(drawn) == {"draw_lids", "flatten_folds", "fill_mouth"}
    assert np.abs(shown.astype(int) - everything).max() <= 1


def spy(function: Callable[..., Any], name: str, seen: list[str]) -> Callable[..., Any]:
    def called(*given: Any) -> Any:
        seen.append(name)
        return function(*given)

    return called


def test_weights_add_up_and_change_slowly(face_state: dict[str, Tensor]) -> None:
    topology = FaceTopology.from_state(face_state)
    moved = torch.zeros(POINTS, 3)
    moved[list(topology.inner_lips[11:])] = torch.tensor([0.0, 0.3, 0.0])
    faces = [topology.canonical + share * moved for share in (0.0, 0.2, 0.35, 0.5, 0.8, 1.0)]
    choice = ViewChoice(topology, [shape(face) for face in faces])
    weights = np.stack([choice.weigh(shape(topology.canonical + s * moved))[0] for s in np.linspace(0, 1, 401)])
    assert np.allclose(weights.sum(1), 1)
    assert np.allclose(choice.regions.sum(0), 1, atol=1e-5)
    for k, share in enumerate((0.0, 0.2, 0.35, 0.5, 0.8, 1.0)):
        assert weights[round(400 * share), k, 0] > 0.9  # at its own opening, a picture shows the mouth
    assert np.abs(np.diff(weights, axis=0)).max() < 0.12
    assert np.abs(np.diff(weights, axis=0))[:, :, 2].max() < 1e-6  # brows do not move


def turned_shape(face: Tensor, yaw: float) -> FaceShape:
    """Return a face on a head that is turned. yaw: in radians."""
    cosine, sine = np.cos(yaw), np.sin(yaw)
    rotation = np.array([[cosine, 0, sine], [0, 1, 0], [-sine, 0, cosine]], np.float32)
    return FaceShape(face.numpy(), rotation, np.zeros(2, np.float32))


def shut_eyes(topology: FaceTopology, share: float) -> Tensor:
    """Return a face at rest whose lids are shut. share: of the way."""
    face = topology.canonical.clone()
    for loop in topology.eyes:
        half = len(loop) // 2
        upper, lower = loop[1:half], loop[:half:-1].copy()
        face[upper] += share * (face[lower] - face[upper])
    return face


def test_shut_lids_are_not_stretched_over_open_eyes(face_state: dict[str, Tensor]) -> None:
    topology = FaceTopology.from_state(face_state)
    opened, shut = shut_eyes(topology, 0), shut_eyes(topology, 0.9)
    choice = ViewChoice(topology, [turned_shape(opened, 0), turned_shape(shut, 0.2)])
    eyes = [choice.weigh(turned_shape(face, 0.3))[0][1, 1] for face in (opened, shut)]
    assert eyes[0] < 0.25  # though it is turned nearly as the frame is; by that alone it would have most
    assert eyes[1] > 0.8


def test_pictures_are_laid_over_the_mesh_by_their_shares() -> None:
    rng = np.random.default_rng(0)
    corners = np.array([[0, 0], [20, 0], [20, 16], [0, 16]], np.float32)
    triangles = np.array([[0, 1, 2], [0, 2, 3]], np.int32)
    pictures = [rng.integers(0, 255, (16, 20, 3), np.uint8) for _ in range(2)]
    both = Pictures.of(pictures, [corners, corners])
    vertices = np.column_stack([corners, np.zeros(4)]).astype(np.float32)
    image = np.full((3, 16, 20), 0.5, np.float32)
    lay_pictures(image, vertices, triangles, both.some(np.array([1]), np.ones((1, 4), np.float32)), (0, 0, 20, 16))
    assert np.abs(image * 255 - np.moveaxis(pictures[1], -1, 0)).max() < 1e-2
    mixed = np.full((3, 16, 20), 0.5, np.float32)
    shares = np.array([[0.25] * 4, [0.5] * 4], np.float32)
    lay_pictures(mixed, vertices, triangles, both.some(np.array([0, 1]), shares), (0, 0, 20, 16))
    wanted = 0.25 * pictures[0] + 0.5 * pictures[1] + 0.25 * 127.5
    assert np.abs(mixed * 255 - np.moveaxis(wanted, -1, 0)).max() < 1e-2

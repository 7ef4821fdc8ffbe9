"""What fills an opening mouth: the source's own teeth, the driving's mouth, the bank's teeth, or the dark."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from vid2vid_cli.face.crop import Room, crop_around, crop_frame
from vid2vid_cli.face.frames import image_of
from vid2vid_cli.face.mesh import FaceAnalyzer
from vid2vid_cli.geometry.regions import Mouth
from vid2vid_cli.media.image import read_image
from vid2vid_cli.models.base import DrivenState
from vid2vid_cli.models.compact.model import CompactModel
from vid2vid_cli.models.compact.mouth import MouthTarget, coverage
from vid2vid_cli.models.compact.mouth_bank import BANK_PREFIX, MouthBank
from vid2vid_cli.models.compact.mouth_corners import flatten_folds
from vid2vid_cli.models.compact.mouth_halves import CHIN, LOWER_LIP, Projection
from vid2vid_cli.models.compact.mouth_picture import MouthPicture
from vid2vid_cli.models.compact.posing import CompactState
from vid2vid_cli.models.compact.source import CompactSource, mouth_width
from vid2vid_cli.models.compact.wrinkles import DrivingLook
from vid2vid_cli.models.registry import LoadedModel
from vid2vid_cli.motion import PoseOverride
from vid2vid_cli.pipeline.extract_motion import extract_motion
from vid2vid_cli.pipeline.open_scene import open_scene
from vid2vid_cli.pipeline.options import MotionOptions, ReenactOptions

Frames = list[np.ndarray]

CLOSED, TEETH, STATUE = "s27_ai_woman.png", "s16_man_smiling.jpg", "s06_marble_bust.jpg"
WIDE = "d06_man_mouth_wide_audio.mp4"
CUT = {"start": "3.8", "end": "4.4"}  # from closed lips to a wide open mouth


@dataclass
class Sitter:
    """A source under the hands of a test."""

    model: CompactModel
    source: CompactSource
    image: Tensor
    landmarks: Tensor

    def opened(self, gap: float, raised: float = 0.0) -> CompactState:
        """Return the sitter with jaw and lower lip down by `gap` eye distances, and the upper lip up by `raised`."""
        topology, own = self.model.topology, self.source.motion
        loop = torch.from_numpy(topology.inner_lips).long()
        mean_y = topology.canonical[:, 1]
        below = (mean_y > mean_y[loop[5]] + 0.01).float() * topology.region_mask(topology.inner_lips, 1.2)
        below[loop[:11]] = 0.0
        expression = own.expression.clone()
        expression[0, :468, 1] += gap * below
        expression[0, loop[1:10], 1] -= raised
        driven = self.model.drive(self.source, replace(own, expression=expression), own, None)
        assert isinstance(driven, CompactState)
        return driven

    @torch.inference_mode()
    def show(self, driven: DrivenState, mouth: Mouth) -> Tensor:
        """Render a frame: (3, H, W)."""
        return self.model.render(self.model.with_mouth(self.source, mouth), driven)[0]

    def inside(self, driven: CompactState) -> Tensor:
        """Return which pixels plainly lie between the lips: (H, W)."""
        height, width = self.image.shape[-2:]
        lips = driven.keypoints[0, torch.from_numpy(self.model.topology.inner_lips).long(), :2].numpy()
        px = (lips * max(height, width) / 2 + (width / 2, height / 2)).astype(np.float32)
        return torch.from_numpy(coverage(px.mean(0) + 0.85 * (px - px.mean(0)), (height, width), 0.5) > 0.99)


@pytest.fixture(scope="module")
def sit(media_dir: Path, face_analyzer: FaceAnalyzer, compact: CompactModel) -> dict[str, Sitter]:
    """Seat three sources, by the name of their files."""
    sitters = {}
    for name in (CLOSED, TEETH, STATUE):
        frame = read_image(media_dir / "sources" / name)
        (face,) = face_analyzer.faces(frame)
        crop = crop_around(face, compact.source_crop, Room.of_frame(frame.shape))
        image = image_of(crop_frame(frame, crop))
        landmarks = torch.from_numpy(crop.to_crop(face.landmarks_px)).float()[None]
        sitters[name] = Sitter(compact, compact.appearance(image, landmarks), image, landmarks)
    return sitters


def red_mouth() -> MouthPicture:
    """Make the picture of a driving's mouth that is red inside."""
    angle = np.linspace(np.pi, -np.pi, 20, endpoint=False)
    lips = np.stack([30 + 20 * np.cos(angle), 20 - 12 * np.sin(angle)], 1).astype(np.float32)
    colour = np.array([210, 20, 20], np.uint8)  # redder than any tongue
    return MouthPicture(np.broadcast_to(colour, (40, 60, 3)).copy(), lips, np.array([0.7, 0.55, 0.45], np.float32))


def reddest(image: Tensor) -> float:
    """Return how much more red than green and blue the reddest pixel of (3, H, W) is."""
    return float((image[0] - image[1:].amax(0)).max())


def test_a_source_that_shows_teeth_is_told_from_one_that_does_not(sit: dict[str, Sitter]) -> None:
    assert [name for name, sitter in sit.items() if sitter.source.mouth.own is not None] == [TEETH]


def test_auto_takes_the_first_that_serves(sit: dict[str, Sitter], compact: CompactModel) -> None:
    def shown(name: str, mouth: Mouth, *, with_driving: bool) -> Tensor:
        driven = sit[name].opened(0.3)
        return sit[name].show(compact.with_look(driven, DrivingLook(red_mouth())) if with_driving else driven, mouth)

    assert torch.equal(shown(TEETH, "auto", with_driving=True), shown(TEETH, "auto", with_driving=False))
    assert torch.equal(shown(CLOSED, "auto", with_driving=True), shown(CLOSED, "driving", with_driving=True))
    assert torch.equal(shown(CLOSED, "auto", with_driving=False), shown(CLOSED, "bank", with_driving=False))
    assert torch.equal(shown(CLOSED, "bank", with_driving=True), shown(CLOSED, "bank", with_driving=False))
    # The driving's only where it was asked for, and nobody's teeth where the source must show its own and has none.
    for name in (CLOSED, TEETH):
        inside = sit[name].inside(sit[name].opened(0.3))
        kinds: tuple[Mouth, ...] = ("driving", "source", "bank")
        red, *others = (reddest(shown(name, kind, with_driving=True)[:, inside]) for kind in kinds)
        assert red > 0.55 and max(others) < 0.45
    toothless, bank = (shown(CLOSED, kind, with_driving=False) for kind in ("source", "bank"))
    inside = sit[CLOSED].inside(sit[CLOSED].opened(0.3))
    skin = float(sit[CLOSED].source.mouth.tone.skin.mean())
    assert toothless.mean(0)[inside].max() < 0.7 * skin < bank.mean(0)[inside].max()


def test_own_upper_teeth_stay_where_they_are_while_lips_and_jaw_move(sit: dict[str, Sitter]) -> None:
    sitter = sit[TEETH]
    own, size = sitter.source.mouth.own, sitter.image.shape[-2:]
    assert own is not None
    x = np.linspace(-0.12, 0.12, 30)
    y = np.interp(x, own.x, own.lines[0]) + np.linspace(0.25, 0.75, 8)[:, None] * np.interp(
        x, own.x, own.lines[1] - own.lines[0]
    )
    columns, rows = (np.round(px).astype(int) for px in own.projection.to_px(np.broadcast_to(x, y.shape), y))
    assert columns.max() < size[1] and rows.max() < size[0]
    before = sitter.image[0][:, rows, columns]
    for driven in (sitter.opened(0.1), sitter.opened(0.3), sitter.opened(0.2, raised=0.02)):
        assert (sitter.show(driven, "source")[:, rows, columns] - before).abs().mean() < 0.02
    # Stretched with the lips, as the warp alone does it, they would not.
    assert (sitter.show(sitter.opened(0.3), "driving")[:, rows, columns] - before).abs().mean() > 0.05


def test_own_lower_teeth_go_down_with_the_chin_and_upper_ones_stay(sit: dict[str, Sitter]) -> None:
    jaw, still = sit[TEETH].source.mouth.jaw, sit[TEETH].opened(0.0)
    face = np.asarray(still.head.undo(still.keypoints)[0])
    moved = face.copy()
    moved[list(CHIN), 1] += 0.2
    shift = jaw.own_lower_shift(moved) - jaw.own_lower_shift(face)
    assert shift[0] == 0 and 0.15 < shift[1] < 0.2  # they are nearer to the joint than the chin
    assert jaw.own_upper_shift(moved) == 0
    moved = face.copy()
    moved[LOWER_LIP, 1] += 0.2  # a lip without its chin takes them along: nobody knows what lies below
    assert 0.15 < jaw.own_lower_shift(moved)[1] < 0.2


def test_no_motion_shows_the_source_whatever_fills_mouths(sit: dict[str, Sitter]) -> None:
    for sitter in sit.values():
        for mouth in ("auto", "source", "bank"):
            still = sitter.opened(0.0)
            change = (sitter.show(still, mouth) - sitter.image[0]).abs()[:, sitter.inside(still)]
            assert not len(change[0]) or change.mean() < 0.02


def test_turning_the_head_opens_no_mouth(sit: dict[str, Sitter], compact: CompactModel) -> None:
    for name in (CLOSED, TEETH):
        sitter, own = sit[name], sit[name].source.motion
        for turned in ({"yaw": 0.35}, {"pitch": -0.4}, {"pitch": 0.4}):
            pose = PoseOverride(**{angle: torch.tensor([value]) for angle, value in turned.items()})
            driven = compact.drive(sitter.source, own, own, pose)
            assert torch.equal(sitter.show(driven, "auto"), sitter.show(driven, "bank"))


def test_a_mouth_fills_without_a_jump_as_it_opens(sit: dict[str, Sitter]) -> None:
    for name, mouth in ((CLOSED, "bank"), (CLOSED, "source"), (TEETH, "source")):
        inside = sit[name].inside(sit[name].opened(0.2))
        shown = [sit[name].show(sit[name].opened(gap), mouth)[:, inside] for gap in np.arange(0.0, 0.2, 0.005)]
        changes = [float((now - before).abs().mean()) for before, now in itertools.pairwise(shown)]
        assert max(changes) < 0.04, "a step of 1/200 of the eyes' distance changes little, at any opening"


def test_a_statue_gets_a_mouth_in_its_own_palette(sit: dict[str, Sitter]) -> None:
    for name, least, most in ((STATUE, 0.0, 0.12), (CLOSED, 0.3, 2.0)):
        driven = sit[name].opened(0.35)
        inside = sit[name].show(driven, "bank")[:, sit[name].inside(driven)]
        spread = (inside.amax(0) - inside.amin(0)) / inside.mean(0)
        assert least <= float(spread.quantile(0.995)) < most  # of teeth, gums, tongue and dark


def test_the_lips_edge_is_soft(sit: dict[str, Sitter]) -> None:
    line = np.array([[4.25, 4.0], [12.25, 4.0], [12.25, 10.0], [4.25, 10.0]], np.float32)
    share = coverage(line, (16, 18), 0.01)
    np.testing.assert_allclose(share[7, 3:6], [0, 0.75, 1], atol=0.13)  # a quarter of the pixel lies outside
    assert np.abs(np.diff(coverage(line, (16, 18), 0.5)[7])).max() < 0.75  # no step from nothing to all


def test_places_of_the_arch_are_found_again() -> None:
    turned = Projection(np.array([[80.0, 6.0], [-5.0, 90.0]]), np.array([35.0, -8.0]), np.array([120.0, 200.0]))
    x, y = np.meshgrid(np.linspace(-0.3, 0.3, 7), np.linspace(0.2, 0.6, 5))
    for found, true in zip(turned.to_arch(*turned.to_px(x, y)), (x, y), strict=True):
        np.testing.assert_allclose(found, true, atol=1e-9)


def test_the_bank_is_small_and_chooses_by_skin(face_state: dict[str, Tensor], sit: dict[str, Sitter]) -> None:
    stored = {name: tensor for name, tensor in face_state.items() if name.startswith(BANK_PREFIX)}
    assert sum(t.numel() * t.element_size() for t in stored.values()) < 1e6
    bank = MouthBank.from_state(stored)
    assert bank is not None and len(bank.uppers) >= 20
    tone = sit[CLOSED].source.mouth.tone
    for row in bank.uppers[:5]:  # a source with the skin of a portrait gets the teeth of that portrait
        upper, _ = bank.choose(replace(tone, skin=row.skin), 96.0)
        np.testing.assert_array_equal(upper.lines, row.lines)


def test_a_checkpoint_without_a_bank_fills_mouths_with_the_dark(
    face_state: dict[str, Tensor], sit: dict[str, Sitter]
) -> None:
    older = CompactModel({name: tensor for name, tensor in face_state.items() if not name.startswith(BANK_PREFIX)})
    image, landmarks = sit[CLOSED].image, sit[CLOSED].landmarks
    sitter = Sitter(older, older.appearance(image, landmarks), image, landmarks)
    driven = sitter.opened(0.3)
    inside = sitter.show(driven, "auto")[:, sitter.inside(driven)].mean(0)
    assert 0.02 < inside.min() < inside.max() < 0.7 * float(sitter.source.mouth.tone.skin.mean())
    assert torch.equal(sitter.show(driven, "bank"), sit[CLOSED].show(driven, "source"))


@torch.inference_mode()
def test_folds_beside_the_corners_are_flattened_only_where_a_mouth_opens(sit: dict[str, Sitter]) -> None:
    sitter = sit[CLOSED]
    for gap, flattened in ((0.02, False), (0.4, True)):
        driven = sitter.opened(gap)
        height, width = sitter.image.shape[-2:]
        half, points = max(height, width) / 2, driven.keypoints[0].numpy()
        target = MouthTarget(
            (height, width),
            (points * half + (width / 2, height / 2, 0)).astype(np.float32),
            driven.head.undo(driven.keypoints)[0].numpy(),
            mouth_width(sitter.model.topology, sitter.source.canonical),
            Projection.of_head(driven.head, sitter.source.mouth.jaw.arch_z, half, (width / 2, height / 2)),
        )
        image = torch.full((3, height, width), 0.6)
        corner = target.points_px[sitter.model.topology.inner_lips[0], :2].astype(int)
        spot = (slice(None), slice(corner[1] - 1, corner[1] + 2), slice(corner[0] - 6, corner[0] - 3))
        image[spot] = 0.1
        flatten_folds(image, target, sitter.source.mouth)
        assert (float(image[spot].mean()) > 0.4) == flattened
        assert float(image.amax()) <= 0.6001


@pytest.mark.usefixtures("own_folder")
def test_a_motion_file_shows_the_banks_teeth(media_dir: Path, model: LoadedModel) -> None:
    portrait, clip = media_dir / "sources" / CLOSED, media_dir / "drivings" / WIDE
    extract_motion(clip, "take.safetensors", MotionOptions(**CUT), model=model)

    def frames(driving: Path | str, **asked: str) -> Frames:
        options = ReenactOptions(size=192, dtype="float32", smooth=0.0, reference_frame="0", body=False, **asked)
        with open_scene(portrait, driving, options, model=model) as scene:
            return [frame for frame, _ in scene]

    shown, bank, replayed = frames(clip, **CUT), frames(clip, mouth="bank", **CUT), frames("take.safetensors")
    dark = frames("take.safetensors", mouth="source")
    assert len(shown) == len(bank) == len(replayed) == len(dark) > 10
    assert np.abs(shown[-1].astype(int) - bank[-1]).max() > 40
    assert np.abs(dark[-1].astype(int) - bank[-1]).max() > 60
    for one, other in zip(bank, replayed, strict=True):
        assert np.abs(one.astype(int) - other).mean() < 0.5  # the file holds no face shape, of which lids know a little

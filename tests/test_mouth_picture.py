"""An opening mouth shows what lies between the driving's lips, in the light of the source, and nothing else of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from vid2vid_cli.face.crop import Room, crop_around, crop_frame
from vid2vid_cli.face.frames import image_of
from vid2vid_cli.face.mesh import FaceAnalyzer
from vid2vid_cli.media.image import read_image
from vid2vid_cli.media.video import ReadOptions, read_video
from vid2vid_cli.models.base import View
from vid2vid_cli.models.compact import views
from vid2vid_cli.models.compact.model import CompactModel
from vid2vid_cli.models.compact.motion_layout import POINTS
from vid2vid_cli.models.compact.mouth_picture import Depths, MouthPicture, sample_mouth, take_mouth
from vid2vid_cli.models.compact.mouth_tone import BRIGHTEST, SkinTone, as_a_mouth, match_tone, read_skin_tone
from vid2vid_cli.models.compact.posing import CompactState
from vid2vid_cli.models.compact.source import CompactSource, own_landmarks
from vid2vid_cli.models.compact.wrinkles import DrivingLook, SkinTexture
from vid2vid_cli.models.registry import LoadedModel

RED = np.array([210, 20, 20], np.uint8)  # redder than any lips


@pytest.fixture(scope="module")
def compact(model: LoadedModel) -> CompactModel:
    assert isinstance(model.model, CompactModel)
    return model.model


@pytest.fixture(scope="module")
def source(media_dir: Path, face_analyzer: FaceAnalyzer, compact: CompactModel) -> CompactSource:
    frame = read_image(media_dir / "sources" / "s27_ai_woman.png")  # closed lips
    (face,) = face_analyzer.faces(frame)
    crop = crop_around(face, compact.source_crop, Room.of_frame(frame.shape))
    image = image_of(crop_frame(frame, crop))
    return compact.appearance(image, torch.from_numpy(crop.to_crop(face.landmarks_px)).float()[None])


def opened(compact: CompactModel, source: CompactSource, gap: float) -> CompactState:
    """Return the source with its lower lip moved down by `gap` eye distances."""
    own = source.motion
    expression = own.expression.clone()
    lower = torch.from_numpy(compact.topology.inner_lips[11:]).long()
    expression[:, lower, 1] += gap
    driven = compact.drive(source, replace(own, expression=expression), own, None)
    assert isinstance(driven, CompactState)
    return driven


def red_mouth(skin: float = 0.6) -> MouthPicture:
    """Make the picture of a mouth that is red inside, beside skin of a brightness."""
    angle = np.linspace(np.pi, -np.pi, 20, endpoint=False)  # from the left corner over the upper lip
    lips = np.stack([30 + 20 * np.cos(angle), 20 - 12 * np.sin(angle)], 1).astype(np.float32)
    return MouthPicture(np.broadcast_to(RED, (40, 60, 3)).copy(), lips, np.full(3, skin, np.float32))


def tone_of(skin: np.ndarray, blur_px: float = 1.0) -> SkinTone:
    """Return the tone of a source whose skin has a colour (3,)."""
    return SkinTone(float(skin.mean()), 1.0, np.ones(3, np.float32), skin.astype(np.float32), blur_px)


def redness(image: Tensor) -> Tensor:
    """Return how much more red than green and blue the pixels of (1, 3, H, W) are: (H, W)."""
    return image[0, 0] - image[0, 1:].amax(0)


@torch.inference_mode()
def test_an_open_mouth_shows_the_drivings_and_nothing_outside_the_lips_changes(
    compact: CompactModel, source: CompactSource
) -> None:
    driven = opened(compact, source, 0.3)
    shown = compact.render(source, compact.with_look(driven, DrivingLook(red_mouth())))
    drawn = compact.render(source, driven)
    half = max(shown.shape[-2:]) / 2
    middle = torch.tensor([shown.shape[-1] / 2, shown.shape[-2] / 2])
    lips = driven.keypoints[0, torch.from_numpy(compact.topology.inner_lips).long(), :2] * half + middle
    x, y = lips.mean(0).int().tolist()
    assert redness(shown)[y, x] > 0.55 > redness(drawn)[y, x]
    low, high = lips.amin(0).floor().int() - 2, lips.amax(0).ceil().int() + 2
    is_red = redness(shown) > 0.45
    is_red[low[1] : high[1], low[0] : high[0]] = False
    assert not is_red.any()


@torch.inference_mode()
def test_closed_lips_show_nothing(compact: CompactModel, source: CompactSource) -> None:
    driven = opened(compact, source, 0.0)
    shown = compact.render(source, compact.with_look(driven, DrivingLook(red_mouth())))
    assert redness(shown).max() < 0.45


@pytest.mark.parametrize("colour", [(0, 0, 0), (180, 0, 0), (0, 0, 200)])
def test_a_face_that_lacks_a_colour_has_a_mouth(compact: CompactModel, colour: tuple[int, int, int]) -> None:
    face = compact.topology.canonical.numpy() * 20 + 50
    tone = read_skin_tone(np.broadcast_to(np.array(colour, np.uint8), (100, 100, 3)), face)
    assert tone.tint.min() > 0
    shown = as_a_mouth(np.full((2, 2, 3), 0.5, np.float32), tone)
    assert np.isfinite(shown).all()
    assert shown.max() > 0.05


def test_the_source_light_reaches_the_mouth() -> None:
    places = np.full((4, 4, 2), 15.0, np.float32)
    skin = np.full(3, 0.6, np.float32)
    warm = skin * (1.2, 1.0, 0.8)  # as a photograph's
    mouth = replace(red_mouth(), skin=warm.astype(np.float32))
    same = sample_mouth(mouth, places, tone_of(warm), 1.0)
    assert np.allclose(same, RED / 255, atol=0.01)
    darker = sample_mouth(mouth, places, tone_of(warm / 2), 1.0)
    assert 0.5 < darker.mean() / same.mean() < 0.8  # not by half: a part of the difference is the skin itself


def test_what_is_taken_lies_between_the_lips(
    media_dir: Path, face_analyzer: FaceAnalyzer, compact: CompactModel
) -> None:
    clip = media_dir / "drivings" / "d06_man_mouth_wide_audio.mp4"
    frame = next(read_video(clip, ReadOptions(start_s=4.3)))  # wide open: dark and red inside, teeth above
    (face,) = face_analyzer.faces(frame)
    mouth = take_mouth(frame, face.landmarks_px[:468].astype(np.float32), compact.topology.inner_lips)
    inside = mouth.picture[int(mouth.lips_px[:, 1].mean()), int(mouth.lips_px[:, 0].mean())] / 255
    assert inside[0] > 1.5 * inside[1:].max() and inside.mean() < 0.9 * mouth.skin.mean()
    height, width = mouth.picture.shape[:2]
    assert (mouth.lips_px > 0).all() and (mouth.lips_px < (width, height)).all()


def test_a_mouth_is_as_sharp_as_the_source_and_not_sharper() -> None:
    x = np.arange(60, dtype=np.float32)
    stripes = np.where((x // 6 % 2)[None, :, None] > 0, 220, 40) * np.ones((40, 1, 3))
    mouth = replace(red_mouth(), picture=stripes.astype(np.uint8))
    places = np.stack(np.meshgrid(x, np.arange(40, dtype=np.float32)), -1)
    skin = np.full(3, 0.6, np.float32)
    contrast = [float(sample_mouth(mouth, places, tone_of(skin, blur), 1.0).std()) for blur in (1.0, 3.0)]
    assert contrast[1] < 0.5 * contrast[0]
    enlarged = sample_mouth(mouth, places, tone_of(skin, 3.0), 3.0)  # what is enlarged is soft already
    assert float(enlarged.std()) == pytest.approx(contrast[0], rel=0.05)


def test_grey_stone_gets_a_grey_mouth() -> None:
    places = np.full((4, 4, 2), 15.0, np.float32)
    mouth = replace(red_mouth(), skin=np.array([0.7, 0.55, 0.45], np.float32))
    stone = sample_mouth(mouth, places, tone_of(np.full(3, 0.6)), 1.0)
    assert np.ptp(stone, axis=-1).max() < 0.02 < np.ptp(sample_mouth(mouth, places, tone_of(mouth.skin), 1.0))


def test_a_foreign_mouth_that_gapes_is_dark_inside_and_its_teeth_are_not() -> None:
    skin = np.array([0.7, 0.55, 0.45], np.float32)
    tongue, tooth = np.array([0.5, 0.36, 0.34]), np.array([0.8, 0.72, 0.62])
    picture = np.zeros((40, 60, 3), np.uint8)
    picture[:, :30], picture[:, 30:] = 255 * tongue, 255 * tooth
    mouth = replace(red_mouth(), picture=picture, skin=skin)
    y, x = np.mgrid[5:35, 10:50].astype(np.float32)
    places, down = np.stack([x, y], -1), (y - 5) / 30
    depths = Depths(np.full_like(x, 0.5), 0.6 * down, 0.6 * (1 - down))
    own = sample_mouth(mouth, places, tone_of(skin), 1.0, depths)
    assert np.allclose(own, sample_mouth(mouth, places, tone_of(skin), 1.0))  # nothing of one's own is changed
    shown = sample_mouth(replace(mouth, is_foreign=1.0), places, tone_of(skin), 1.0, depths)
    light = shown.mean(-1) / own.mean(-1)
    assert light[2, :15].max() < 0.6  # dark below the upper lip, and as it was at the lower one
    assert light[-2, :15].min() > 0.95
    assert light[:, 26:].min() > 0.95


def test_under_varnish_teeth_are_as_yellow_as_all_else() -> None:
    face = np.zeros((468, 3), np.float32)
    face[:] = np.random.default_rng(0).uniform(20, 80, (468, 3))
    tones = [
        read_skin_tone(np.broadcast_to(np.array(c, np.uint8), (100, 100, 3)), face)
        for c in ((210, 167, 84), (210, 150, 120))
    ]
    varnished, usual = (tone.tint[2] / tone.tint[1] for tone in tones)
    assert varnished < 0.65
    assert usual > 0.85


def test_a_foreign_mouth_is_neither_gold_nor_blue_nor_glaring() -> None:
    dark, fair = np.array([0.3, 0.22, 0.17], np.float32), np.array([0.75, 0.6, 0.5], np.float32)
    mouth = np.array([[0.8, 0.75, 0.5], [0.05, 0.06, 0.1], [0.95, 0.95, 0.9]], np.float32)  # teeth, throat, a highlight
    tone = tone_of(fair)
    shown = match_tone(mouth, dark, tone)
    gold, throat, glare = shown
    assert gold[2] > 0.85 * gold[1] and throat[0] > 0.95 * throat[2]
    assert glare.mean() < BRIGHTEST * tone.brightness and glare.mean() > gold.mean() > throat.mean()
    assert np.allclose(match_tone(mouth, fair, tone), mouth, atol=0.01), "one's own mouth has changed"


@pytest.fixture(scope="module")
def other_skin(media_dir: Path, face_analyzer: FaceAnalyzer, compact: CompactModel) -> SkinTexture:
    """Return the skin of somebody else."""
    frame = read_image(media_dir / "sources" / "s16_man_smiling.jpg")
    (face,) = face_analyzer.faces(frame)
    return compact.skin.take(frame, face.landmarks_px[:POINTS], np.eye(3, dtype=np.float32))


def test_whoever_drives_themself_shows_the_mouth_of_the_moment(
    compact: CompactModel, source: CompactSource, other_skin: SkinTexture, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Lips that are drawn, and green, look like lips that their mesh misses.
    monkeypatch.setattr(views, "trust_lips", lambda *given: np.ones(POINTS, np.float32))
    driven, green = opened(compact, source, 0.2), torch.tensor([0.1, 0.9, 0.2])
    picture, size = compact.render(source, driven), source.layers.size
    points = driven.keypoints[0] * (max(size) / 2) + torch.tensor([size[1] / 2, size[0] / 2, 0])
    lips = points[torch.from_numpy(compact.topology.inner_lips).long(), :2]
    (left, top), (right, bottom) = lips.amin(0).int().tolist(), lips.amax(0).int().tolist()
    picture[0, :, top:bottom, left:right] = green[:, None, None]
    person = compact.with_views(source, [View(picture, points[None])])
    own = own_landmarks(source, size)[0, :POINTS].numpy()
    frame = (source.features["image"][0].permute(1, 2, 0) * 255).round().byte().numpy()
    skin = compact.skin.take(frame, own, np.eye(3, dtype=np.float32))
    x, y = lips.mean(0).int().tolist()

    def middle(face: SkinTexture | None) -> Tensor:
        look = DrivingLook(red_mouth(), unread=None if face is None else lambda: face)
        return compact.render(person, compact.with_look(driven, look))[0, :, y, x]

    assert middle(skin)[0] > 2 * middle(skin)[1]  # the driving's, as red as it is
    for stranger in (other_skin, None):  # the person's own picture
        assert middle(stranger)[1] > 2 * middle(stranger)[0]

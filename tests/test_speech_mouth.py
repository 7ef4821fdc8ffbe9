"""From sound to a mouth in every frame: any frame rate, shut lips where there must be some, and constant memory."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from tests.test_speech_encoder import ToneEncoder, tones
from vid2vid_cli.models.registry import load_speech_model
from vid2vid_cli.speech.encoder import WINDOW
from vid2vid_cli.speech.log_mel import SAMPLE_RATE
from vid2vid_cli.speech.model import SpeechModel
from vid2vid_cli.speech.mouth import LOWER, MOUTH_POINTS, UPPER, MouthShapes, SpokenMouth, opening_of, places_of
from vid2vid_cli.speech.reader import SHUT, find_gates
from vid2vid_cli.speech.windows import Block

SENTENCE = Path(__file__).parent / "golden" / "speech_sentence.safetensors"
SHUT_OPENING = 0.02  # eye distances; real lips that are read as less open are shut


@pytest.fixture(scope="module")
def model() -> Iterator[SpeechModel]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield load_speech_model()
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def sentence() -> dict[str, Tensor]:
    return load_file(SENTENCE)


@pytest.fixture(scope="module")
def sound(sentence: dict[str, Tensor]) -> Block:
    return (sentence["sound"].float() / 32768).numpy()


@pytest.fixture(scope="module")
def spoken(model: SpeechModel, sound: Block) -> list[SpokenMouth]:
    """The sentence at 50 frames a second."""
    return list(model.mouths([sound], Fraction(50)))


def openings(mouths: list[SpokenMouth]) -> np.ndarray:
    return np.array([mouth.opening for mouth in mouths])


def within(mouths: list[SpokenMouth], start_s: float, end_s: float) -> np.ndarray:
    return openings([mouth for mouth in mouths if start_s <= mouth.time_s <= end_s])


def test_lips_shut_on_p_b_m_and_open_in_vowels(spoken: list[SpokenMouth], sentence: dict[str, Tensor]) -> None:
    closed = [within(spoken, *times).min() < SHUT_OPENING for times in sentence["bilabials_s"].tolist()]
    assert len(closed) > 10 and np.mean(closed) >= 0.9
    middles = [(0.75 * a + 0.25 * b, 0.25 * a + 0.75 * b) for a, b in sentence["vowels_s"].tolist()]
    assert np.mean([within(spoken, *times).mean() < SHUT_OPENING for times in middles]) <= 0.25
    assert openings(spoken).max() > 0.1


def test_a_mouth_is_consistent_with_its_own_points(spoken: list[SpokenMouth]) -> None:
    lips = np.stack([mouth.lips for mouth in spoken])
    assert lips.shape == (len(spoken), len(MOUTH_POINTS), 3) and np.isfinite(lips).all()
    gaps = lips[:, places_of(LOWER), 1] - lips[:, places_of(UPPER), 1]
    assert gaps.min() > -1e-6  # lips never cross
    np.testing.assert_allclose(gaps[:, [2, 4, 6]].mean(1), openings(spoken), atol=0.01)
    for mouth in spoken:
        assert all(0 <= share <= 1 for share in (mouth.closure, mouth.teeth_on_lip, mouth.energy))


@pytest.mark.parametrize("fps", [Fraction(7), Fraction(24000, 1001), Fraction(60)])
def test_any_frame_rate_shows_the_same_mouth(
    fps: Fraction, model: SpeechModel, sound: Block, spoken: list[SpokenMouth]
) -> None:
    mouths = list(model.mouths(np.array_split(sound, 3), fps))
    assert len(mouths) == int(np.ceil(-(-len(sound) // 320) / 50 * float(fps)))
    assert [mouth.time_s for mouth in mouths] == pytest.approx([float(k / fps) for k in range(len(mouths))])
    at_same_times = np.interp([m.time_s for m in mouths], [m.time_s for m in spoken], openings(spoken))
    # Where lips are shut for less than a slow frame, that frame shows them shut.
    differ = np.abs(at_same_times - openings(mouths))
    assert np.percentile(differ, 40) < 0.002 and np.percentile(differ, 80 if fps > 20 else 40) < 0.02


@pytest.mark.parametrize("fps", [Fraction(0), Fraction(-25)])
def test_a_frame_rate_must_be_above_zero(fps: Fraction, model: SpeechModel) -> None:
    with pytest.raises(ValueError, match="frame rate"):
        next(model.mouths([np.zeros(10, np.float32)], fps))


@pytest.mark.parametrize("kind", ["silence", "hum", "no numbers"])
def test_no_speech_is_a_shut_mouth(kind: str, model: SpeechModel) -> None:
    count = 2 * SAMPLE_RATE
    noise = np.random.default_rng(0).standard_normal(count).astype(np.float32)
    quiet = {"silence": np.zeros(count, np.float32), "hum": noise * 1e-4, "no numbers": np.full(count, np.nan)}[kind]
    mouths = list(model.mouths([quiet.astype(np.float32)], Fraction(25)))
    assert len(mouths) == 50 and not any(mouth.is_speech for mouth in mouths)
    assert openings(mouths).max() == 0 and max(np.abs(mouth.lips).max() for mouth in mouths) < 1e-6
    assert all(mouth.closure == 1 and mouth.energy == 0 for mouth in mouths)


def test_sound_without_samples_has_no_frames(model: SpeechModel) -> None:
    assert list(model.mouths([], Fraction(25))) == []
    assert list(model.mouths([np.zeros(0, np.float32)], Fraction(25))) == []


@pytest.mark.parametrize("kind", ["one sample", "clipped", "late"])
def test_odd_sounds_are_spoken_too(kind: str, model: SpeechModel, sound: Block, spoken: list[SpokenMouth]) -> None:
    if kind == "one sample":
        (mouth,) = model.mouths([sound[:1]], Fraction(25))
        assert mouth.time_s == 0 and np.isfinite(mouth.lips).all()
        return
    lead = SAMPLE_RATE * 9 if kind == "late" else 0
    given = np.concatenate([np.zeros(lead, np.float32), sound * (40 if kind == "clipped" else 1)])
    mouths = list(model.mouths([given], Fraction(50)))[lead // 320 :]
    ours, other = openings(spoken), openings(mouths)[: len(spoken)]
    # Where a sound begins in its window matters little.
    assert np.corrcoef(ours, other)[0, 1] > (0.95 if kind == "late" else 0.5)


def tone_model(model: SpeechModel) -> SpeechModel:
    """A model that hears only how high a tone is, and opens the mouth by that."""
    opens = opening_of(model.shapes.shapes).sign()

    class Pitch(nn.Module):
        def forward(self, features: Tensor) -> Tensor:
            return features[..., :1] * opens

    class NoPhones(nn.Module):
        def forward(self, features: Tensor) -> Tensor:
            return torch.zeros(*features.shape[:2], 7)

    return SpeechModel(ToneEncoder(), Pitch(), NoPhones(), model.shapes)  # type: ignore[arg-type]


def test_a_soft_sound_off_the_middle_is_the_same_speech(
    model: SpeechModel, sound: Block, spoken: list[SpokenMouth]
) -> None:
    soft = list(model.mouths([sound * np.float32(0.02) + np.float32(0.1)], Fraction(50)))
    assert np.percentile(np.abs(openings(soft) - openings(spoken)), 95) < 0.01


def test_a_mouth_is_shut_before_the_first_word_and_after_the_last(spoken: list[SpokenMouth]) -> None:
    assert openings(spoken[:3]).max() < SHUT_OPENING and openings(spoken[-3:]).max() < SHUT_OPENING


def test_streaming_equals_the_whole_and_keeps_no_more_than_two_windows(model: SpeechModel) -> None:
    seconds, blocks, most = 400, list[weakref.ref[Block]](), 0
    given, pitches = 0.0, (20 + 15 * np.sin(np.arange(400))).astype(int)

    def sound_of_many_blocks() -> Iterator[Block]:
        nonlocal given
        for second in range(seconds):
            block = tones(np.full(50, pitches[second]))
            blocks.append(weakref.ref(block))
            yield block
            given = second + 1.0

    mouths = []
    for mouth in tone_model(model).mouths(sound_of_many_blocks(), Fraction(10)):
        mouths.append(mouth.opening)
        assert given - mouth.time_s < 2 * WINDOW / SAMPLE_RATE
        most = max(most, sum(ref() is not None for ref in blocks[-200:])) if mouth.time_s % 10 == 0 else most
    assert len(mouths) == seconds * 10 and most <= 2
    # Each second opens the mouth by its own pitch, wherever windows met.
    middles = np.array(mouths).reshape(seconds, 10)[:, 5]
    assert np.corrcoef(middles, pitches)[0, 1] > 0.9999


def test_shutting_closes_lips_and_little_else(model: SpeechModel) -> None:
    shapes = model.shapes
    strengths = torch.randn(200, len(shapes.shapes), generator=torch.Generator().manual_seed(1))
    open_ones = strengths[shapes.opening(strengths) > 0.05]
    shut = shapes.shut(open_ones, torch.ones(len(open_ones)))
    assert shapes.opening(shut).abs().max() < 1e-5
    halfway = shapes.opening(shapes.shut(open_ones, torch.full((len(open_ones),), 0.5)))
    torch.testing.assert_close(halfway, shapes.opening(open_ones) / 2)
    nose, chin = places_of((164,)), places_of((152,))
    moved = (shapes.lips(shut) - shapes.lips(open_ones)).abs().mean(0)
    assert moved[nose].max() < moved[chin, 1].max() and moved[chin, 1].max() > 0.005  # the jaw rises too


def test_crossed_lips_only_meet() -> None:
    shapes = torch.zeros(1, len(MOUTH_POINTS), 3)
    shapes[0, places_of(UPPER), 1], shapes[0, places_of(LOWER), 1] = 0.05, -0.05
    mouth = MouthShapes(shapes, torch.zeros(1))
    lips = mouth.lips(torch.ones(1, 1))
    assert lips.abs().max() < 1e-6
    assert mouth.opening(mouth.shut(torch.ones(1, 1), torch.zeros(1))).abs() < 1e-6


def test_gates_follow_the_phones() -> None:
    odds = torch.zeros(200, 7)
    odds[:, -1] = 4
    odds[80:84, SHUT] = 12
    loud = torch.full((200,), -20.0)
    level = loud.clone()
    level[140:] = -80
    gates = find_gates(odds, level, loud)
    assert gates.shut[81:83].min() == 1 and gates.shut[:70].max() < 0.2 and gates.pause[:130].max() == 0
    assert gates.pause[150:].min() == 1

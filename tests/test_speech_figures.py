"""The figures of speech mean what they say: lags of films, likeness of mouths, and shut lips."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from training.speech_material import USUAL_AMPLITUDE, at_steps, displacements, read_material
from training.speech_tracks import Clip, Track
from training.sync_judge import Talk, lags, load_judge, shifted, talk_of
from vid2vid_cli.models.registry import load_speech_model
from vid2vid_cli.speech.mouth import LOWER, MOUTH_POINTS, opening_of

SENTENCE = Path(__file__).parent / "golden" / "speech_sentence.safetensors"


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def film(face_state: dict[str, Tensor]) -> Talk:
    """The mean face, speaking a sentence twice."""
    sound = (load_file(SENTENCE)["sound"].float() / 32768).repeat(2).numpy()
    faces = []
    for mouth in load_speech_model().mouths([sound], Fraction(25)):
        face = face_state["face.canonical"].float().numpy().copy()
        face[list(MOUTH_POINTS)] += mouth.lips
        faces.append(face)
    return talk_of(np.stack(faces), 25.0, sound)


@pytest.mark.parametrize("late_s", [-0.2, 0.12])
def test_the_judge_of_sync_finds_a_known_lag(late_s: float, film: Talk) -> None:
    found = np.array([*lags(load_judge(), shifted(film, late_s), 25)])
    assert len(found) > 5 and np.mean(np.abs(found - late_s) <= 0.04) >= 0.8


def test_a_mouth_that_is_not_seen_is_not_judged(film: Talk) -> None:
    hidden = film.mouth.clone()
    hidden[100:110] = torch.nan
    assert len([*lags(load_judge(), Talk(hidden, film.sound), 25)]) < len([*lags(load_judge(), film, 25)])


def clip_of(opening: Tensor, speaker: str = "somebody") -> Track:
    """A clip at 25 frames a second in which nothing moves but the lower lip; opening: (T,)."""
    faces = torch.randn(468, 3, generator=torch.Generator().manual_seed(0)).repeat(len(opening), 1, 1)
    faces[:, list(LOWER), 1] += opening[:, None]
    clip = Clip(Path(f"{speaker}.mp4"), speaker, False, "")
    sound = np.zeros(len(opening) * 640, np.float32)
    return Track(clip, faces.numpy(), np.zeros((len(opening), 3), np.float32), sound, 25.0)


def test_mouths_are_measured_from_their_own_rest_and_scaled_by_speaker() -> None:
    opening = 0.2 * torch.rand(500, generator=torch.Generator().manual_seed(1))
    opening[::10] = 0.0
    track = clip_of(opening)
    torch.testing.assert_close(opening_of(displacements(track)), opening, atol=2e-3, rtol=0)
    (material,) = read_material([track])
    assert len(material.lips) == 1000 and abs(material.amplitude - 0.19 / USUAL_AMPLITUDE) < 0.03


def test_frames_are_placed_in_time() -> None:
    values = torch.arange(10.0)
    placed = at_steps(values, 25.0, 24)
    torch.testing.assert_close(placed[:19], torch.arange(19) / 2)
    assert placed[20:].isnan().all()  # nothing is known behind the last frame


def test_likeness_and_shut_lips() -> None:
    pytest.importorskip("pocketsphinx", reason="pocketsphinx, which aligns texts, is missing")
    from training.speech_alignment import Phone
    from training.speech_figures import likeness, shut_phones

    real = np.random.default_rng(0).standard_normal((200, 2))
    real[5] = np.nan
    alike = likeness(np.nan_to_num(real) * [0.5, -1.0], real)
    assert alike.opening == pytest.approx(1) and alike.width == pytest.approx(-1)
    assert alike.amplitude == pytest.approx(0.5)
    opening = np.full(50, 0.1)
    opening[10:12] = opening[30:40] = 0.0
    phones = [Phone("p", 0.4, 0.45), Phone("aa", 0.5, 0.8), Phone("b", 0.9, 0.95), Phone("iy", 1.2, 1.6)]
    assert shut_phones(opening, phones, 25.0) == ([True, False], [False, True])

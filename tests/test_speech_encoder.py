"""The encoder agrees with the original, and sound of any length is heard the same wherever a window begins."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file
from torch import Tensor

from vid2vid_cli.models.registry import load_speech_model
from vid2vid_cli.speech.encoder import WINDOW, SpeechEncoder
from vid2vid_cli.speech.log_mel import SAMPLE_RATE, mel_filters
from vid2vid_cli.speech.model import CONTEXT, in_context
from vid2vid_cli.speech.windows import HOP, OVERLAP, STEP, Block, Heard, hear, windows

GOLDEN = Path(__file__).parent / "golden" / "speech_encoder.safetensors"
TOLERANCE = 5e-3  # the originals are stored in float16


@pytest.fixture(scope="module")
def golden() -> dict[str, Tensor]:
    return load_file(GOLDEN)


@pytest.fixture(scope="module")
def encoder() -> Iterator[SpeechEncoder]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield load_speech_model().encoder
    torch.set_num_threads(threads)


class ToneEncoder(SpeechEncoder):
    """Hears how often each step of a sound changes its sign: quick, and it knows neither windows nor loudness."""

    def encode(self, sound: Tensor) -> Tensor:
        signs = torch.nn.functional.pad(sound, (0, WINDOW - len(sound))).reshape(-1, STEP).sign()
        return (signs.diff(dim=1) != 0).sum(1, keepdim=True).float().expand(-1, 384)


def tones(changes: NDArray[np.int64]) -> Block:
    """Return a sound whose steps change their signs so often (T,)."""
    halves = np.arange(STEP) * (changes[:, None] + 1) // STEP
    return np.where(halves % 2, -0.3, 0.3).astype(np.float32).reshape(-1)


def test_the_encoder_agrees_with_the_original(golden: dict[str, Tensor], encoder: SpeechEncoder) -> None:
    sound = golden["sound"].float() / 32768
    bands = encoder.log_mel.scaled(torch.nn.functional.pad(sound, (0, WINDOW - len(sound))))
    assert (bands[:, :600:24] - golden["log_mel"].float()).abs().max() < TOLERANCE
    features = encoder.encode(sound)
    assert features.shape == (1500, 384)
    assert (features[:300:12] - golden["features"].float()).abs().max() < TOLERANCE


def test_mel_bands_are_triangles_of_equal_area() -> None:
    filters = mel_filters()
    area = filters.double().sum(1) * SAMPLE_RATE / 400
    # Narrow triangles fall between the bins; wide ones are sampled well.
    assert filters.shape == (80, 201) and (area[60:] - 1).abs().max() < 0.05 and (area.mean() - 1).abs() < 0.05
    peaks = filters.argmax(1)
    assert bool((peaks.diff() >= 0).all()) and int(peaks[0]) == 1  # below 40 Hz nothing is heard


@pytest.mark.parametrize("length", [1, 319, 320, 321, WINDOW, WINDOW + 1, 2 * WINDOW + 12345])
def test_every_step_of_a_sound_is_heard_once_and_in_place(length: int) -> None:
    steps = -(-length // STEP)
    changes = np.random.default_rng(0).integers(1, 60, steps)
    pieces = list(hear(np.array_split(tones(changes)[:length], 5), ToneEncoder()))
    heard = torch.cat([piece.features[:, 0] for piece in pieces])
    assert len(heard) == steps
    whole = length // STEP
    np.testing.assert_allclose(heard[:whole], changes[:whole], atol=1e-4)


def test_no_sound_gives_nothing_and_the_size_of_blocks_does_not_matter() -> None:
    assert list(windows([])) == [] and list(windows([np.zeros(0, np.float32)])) == []
    sound = np.random.default_rng(0).uniform(-1, 1, WINDOW + 4000).astype(np.float32)
    cuts = [windows([sound]), windows(np.array_split(sound, 100))]
    for (one, is_last), (other, also_last) in zip(*cuts, strict=True):
        assert is_last == also_last and torch.equal(one, other)


def test_what_is_no_number_counts_as_silence_and_what_is_too_loud_is_clipped() -> None:
    sound = np.array([0.5, np.nan, np.inf, -np.inf, 3.0, -2.0], np.float32)
    ((window, is_last),) = windows([sound])
    assert is_last and window.tolist() == [0.5, 0, 0, 0, 1, -1]


def test_pieces_overlap_by_their_context() -> None:
    sizes = (HOP, HOP, 30)
    numbers = torch.arange(float(sum(sizes)))
    pieces = [Heard(part[:, None].expand(-1, 384), part, part) for part in numbers.split(sizes)]
    rows = list(in_context(pieces))
    assert torch.cat([whole.level_db[first : first + length] for whole, first, length in rows]).equal(numbers)
    whole, first, _ = rows[1]
    assert first == CONTEXT and torch.equal(whole.level_db, numbers[HOP - CONTEXT :])
    assert OVERLAP < HOP

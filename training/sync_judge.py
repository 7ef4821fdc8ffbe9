"""Judge how far sound and picture of a talking film are apart, from the log-mel spectrum and the mouth alone.

    python -m training.sync_judge MEDIA --cache TRACKS      train it, and say how well it knows shifts of real films

It shares nothing with what drives the mouth: it does not hear through the speech encoder. Two small networks map the
sound and the mouth to 32 numbers every 20 ms; the lag at which they agree best is the film's. As in SyncNet (Chung and
Zisserman, 2016), but every lag is compared with all others at once.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from training.speech_material import at_steps
from training.speech_tracks import Array, cached_tracks
from vid2vid_cli.speech.log_mel import BANDS, HOP, SAMPLE_RATE, LogMel

WEIGHTS = Path(__file__).with_name("sync_judge.safetensors")
STEP_S = 0.02
WINDOW, REACH = 125, 25  # steps: 2.5 s of picture, and lags up to half a second
SIGNALS = 3  # of the mouth: opening, width, height of both lips with what is between
GAIN = (12.0, 8.0, 10.0)  # brings them to about 1
OPENING, CORNERS, LIPS, EYES = ((13, 14), (81, 178), (311, 402)), (61, 291), (0, 17), (33, 263)
SHIFTS_S = (-0.2, -0.08, 0.0, 0.12, 0.24)  # that the judge is asked about


@dataclass(frozen=True)
class Talk:
    """A talking film. mouth: (T, 3), distances at 50 Hz over that of the eyes; sound: (N,) at 16 kHz, in step."""

    mouth: Tensor
    sound: Tensor


class SyncNetwork(nn.Module):
    """Scores lags between a mouth and a sound."""

    def __init__(self, width: int = 64, numbers: int = 32) -> None:
        super().__init__()
        self.hears = nn.Sequential(
            nn.Conv1d(BANDS, width, 5, stride=2, padding=2),
            nn.GELU(),
            nn.Conv1d(width, width, 5, padding=2),
            nn.GELU(),
            nn.Conv1d(width, numbers, 5, padding=4, dilation=2),
        )
        self.sees = nn.Sequential(
            nn.Conv1d(SIGNALS, numbers, 5, padding=2),
            nn.GELU(),
            nn.Conv1d(numbers, numbers, 5, padding=2),
            nn.GELU(),
            nn.Conv1d(numbers, numbers, 5, padding=2),
        )

    def forward(self, bands: Tensor, mouth: Tensor) -> Tensor:
        """Score lags (B, 51) of windows: bands (B, 80, 350) from half a second earlier on, mouth (B, 125, 3).

        The first lag is that of a sound which comes half a second before its mouth.
        """
        sound = self.hears(bands)  # (B, 32, 175)
        shape = self.sees((mouth - mouth.mean(1, keepdim=True)).transpose(1, 2) * mouth.new_tensor(GAIN)[:, None])
        sound = sound - sound.mean(2, keepdim=True)
        lagged = sound.unfold(2, WINDOW, 1)  # (B, 32, 51, 125)
        scores: Tensor = torch.einsum("bclt,bct->bl", lagged, shape) / WINDOW**0.5
        return scores


def talk_of(faces: Array, fps: float, sound: Array) -> Talk:
    """Return what is judged of a film. faces: (T, 468 or more, 3), meshes in any unit; sound: (N,) at 16 kHz."""
    points = torch.from_numpy(faces)

    def distance(pair: tuple[int, int]) -> Tensor:
        apart: Tensor = (points[:, pair[0]] - points[:, pair[1]]).norm(dim=1)
        return apart

    opening = torch.stack([distance(pair) for pair in OPENING]).mean(0)
    mouth = torch.stack([opening, distance(CORNERS), distance(LIPS)], 1) / distance(EYES)[:, None]
    return Talk(at_steps(mouth, fps, round(len(mouth) / fps / STEP_S)), torch.from_numpy(sound))


def shifted(talk: Talk, late_s: float) -> Talk:
    """Return a film whose sound comes later by so much; below 0: earlier."""
    count = round(late_s * SAMPLE_RATE)
    return Talk(talk.mouth, functional.pad(talk.sound, (count, -count)))


def bands_of(sound: Tensor) -> Tensor:
    """Return log-mel (80, 100 Hz) of sound (N,), whatever its loudness: 0 is its mean."""
    bands = LogMel().power(sound)
    loud = torch.maximum(bands, bands.max() - 6)
    return (loud - loud.mean()) / 1.5


def lags(network: SyncNetwork, talk: Talk, step: int = WINDOW) -> Iterator[float]:
    """Yield by how many seconds the sound comes too late in each window of a film; below 0: too early."""
    half = REACH * HOP * 2
    bands = bands_of(functional.pad(talk.sound, (half, half + SAMPLE_RATE)))
    for first in range(0, len(talk.mouth) - WINDOW + 1, step):
        mouth = talk.mouth[first : first + WINDOW]
        if not mouth.isfinite().all():
            continue
        heard = bands[:, 2 * first : 2 * (first + WINDOW + 2 * REACH)]
        if heard.shape[1] < 2 * (WINDOW + 2 * REACH):
            return
        with torch.inference_mode():
            yield _peak(network(heard[None], mouth[None])[0])


def _peak(scores: Tensor) -> float:
    """Return the lag of the highest score, s, between steps where a parabola has its top."""
    best = int(scores.argmax())
    shift = 0.0
    if 0 < best < len(scores) - 1:
        low, top, high = scores[best - 1 : best + 2].tolist()
        shift = 0.5 * (low - high) / min(low - 2 * top + high, -1e-9)
    return (best + shift - REACH) * STEP_S


def train(talks: Sequence[Talk], steps: int = 500, seed: int = 0) -> SyncNetwork:
    """Train on films whose sound is in step."""
    torch.manual_seed(seed)
    random = np.random.default_rng(seed)
    half = REACH * HOP * 2
    films = [(bands_of(functional.pad(t.sound, (half, half + SAMPLE_RATE))), t.mouth) for t in talks]
    films = [film for film in films if len(film[1]) >= WINDOW + 1]
    share = np.array([len(mouth) for _, mouth in films], np.float64)
    network = SyncNetwork()
    optimiser = torch.optim.AdamW(network.parameters(), 2e-3, weight_decay=0.1)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2e-3, total_steps=steps)
    for _ in range(steps):
        bands, mouths, lag = zip(*(_window(films, share / share.sum(), random) for _ in range(48)), strict=True)
        scores = network(torch.stack(bands), torch.stack(mouths))
        away = torch.arange(2 * REACH + 1) - (torch.tensor(lag)[:, None] + REACH)
        wanted = torch.exp(-(away / 1.2).square())
        loss = functional.cross_entropy(scores, wanted / wanted.sum(1, keepdim=True))
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    return network.eval()


def _window(
    films: Sequence[tuple[Tensor, Tensor]], share: NDArray[np.float64], random: np.random.Generator
) -> tuple[Tensor, Tensor, int]:
    """Draw a window whose sound is late by so many steps."""
    while True:
        bands, mouth = films[int(random.choice(len(films), p=share))]
        first = int(random.integers(0, len(mouth) - WINDOW + 1))
        seen = mouth[first : first + WINDOW]
        lag = int(random.integers(-REACH, REACH + 1))
        start = 2 * (first - lag)
        end = start + 2 * (WINDOW + 2 * REACH)
        if start < 0 or end > bands.shape[1] or not seen.isfinite().all():
            continue
        noise = 0.3 * float(random.random()) * torch.randn(BANDS, end - start)
        tilt = float(random.normal()) * 0.2 + torch.linspace(-1, 1, BANDS)[:, None] * float(random.normal()) * 0.3
        changed = bands[:, start:end] + noise + tilt
        # Rendered mouths move less, or are smoother, and trackers shake.
        seen = (seen - seen.mean(0)) * float(random.uniform(0.5, 1.6)) + 0.003 * torch.randn(WINDOW, SIGNALS)
        return changed, seen, lag


def load_judge(path: Path = WEIGHTS) -> SyncNetwork:
    """Load the trained judge."""
    network = SyncNetwork()
    network.load_state_dict({name: tensor.float() for name, tensor in load_file(path).items()})
    return network.eval()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("media", type=Path, help="folder with MANIFEST.csv")
    parser.add_argument("--cache", type=Path, required=True, help="folder for the tracks of the clips")
    parser.add_argument("--steps", type=int, default=500, help="of training; 0: only judge")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    talks = [
        (track.clip, talk_of(track.faces, track.fps, track.sound))
        for track in cached_tracks(options.media, options.cache)
    ]
    if options.steps:
        network = train([talk for clip, talk in talks if not clip.is_test], options.steps)
        save_file({name: tensor.half() for name, tensor in network.state_dict().items()}, WEIGHTS)
    network = load_judge()
    for speaker in sorted({clip.speaker for clip, _ in talks if clip.is_test}):
        found = [
            [
                lag - late_s
                for clip, talk in talks
                if clip.speaker == speaker
                for lag in lags(network, shifted(talk, late_s), 25)
            ]
            for late_s in SHIFTS_S
        ]
        own = float(np.median(found[SHIFTS_S.index(0.0)]))  # what the film itself is off by
        error = np.abs(np.array(found) - own)
        print(
            f"{speaker:10} own lag {own * 1e3:4.0f} ms, {error.size} windows, {(error <= 0.04).mean():.0%} within 40 ms"
        )


if __name__ == "__main__":
    main()

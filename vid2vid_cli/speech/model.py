"""From sound to the mouth that speaks it, at any frame rate, in constant memory."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction

import torch
from torch import Tensor

from vid2vid_cli.speech.encoder import FEATURES_HZ, SpeechEncoder
from vid2vid_cli.speech.mouth import MouthShapes, SpokenMouth, protrusion_of, width_of
from vid2vid_cli.speech.reader import MouthReader, PhoneReader, find_gates, largest, smoothed
from vid2vid_cli.speech.windows import Block, Heard, hear

CONTEXT = 100  # steps on each side that a step may depend on
ENERGY_RANGE_DB = 30.0
LOUD_DB = -45.0  # what is softer in the mean is soft, not far away


@dataclass(frozen=True)
class Steps:
    """The mouth in T steps of 20 ms: strengths (T, K), and (T,) each in [0, 1]."""

    strengths: Tensor
    closure: Tensor
    teeth: Tensor
    energy: Tensor
    speech: Tensor


class SpeechModel:
    """Hears speech and says how the mouth moves. It holds the networks and no state."""

    def __init__(self, encoder: SpeechEncoder, mouth: MouthReader, phones: PhoneReader, shapes: MouthShapes) -> None:
        self.encoder, self.mouth, self.phones, self.shapes = encoder.eval(), mouth.eval(), phones.eval(), shapes

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> SpeechModel:
        """Build from tensors named encoder.*, reader.*, phones.* and mouth.*."""
        shapes = MouthShapes.from_state(state)
        encoder, phones = SpeechEncoder(), PhoneReader()
        mouth = MouthReader(len(shapes.shapes))
        for network, prefix in ((encoder, "encoder."), (mouth, "reader."), (phones, "phones.")):
            own = {k.removeprefix(prefix): v.float() for k, v in state.items() if k.startswith(prefix)}
            network.load_state_dict(own)
        return cls(encoder, mouth, phones, shapes)

    def mouths(self, blocks: Iterable[Block], fps: Fraction) -> Iterator[SpokenMouth]:
        """Yield the mouth in each frame of a picture that lasts as long as the sound.

        blocks: float32 (N,) each, 16 kHz, one channel, in [-1, 1]; any lengths. The first frame is at 0 s. What is yet
        to be read of the sound is at most 54 s further on.
        """
        if fps <= 0:
            raise ValueError(f"a frame rate of {fps}; it must be above 0")
        done = frame = 0
        for heard, first, length in in_context(hear(blocks, self.encoder)):
            steps = self.read(heard)
            until = math.ceil(Fraction(done + length, FEATURES_HZ) * fps)
            if until > frame:
                times = torch.tensor([float(k / fps) for k in range(frame, until)], dtype=torch.float64)
                yield from self._frames(steps, times, first - done, float(FEATURES_HZ / fps))
            done, frame = done + length, max(frame, until)

    @torch.inference_mode()
    def read(self, heard: Heard) -> Steps:
        """Read the mouth of each step of what was heard, at its place in the whole."""
        strengths, odds = self.mouth(heard.features[None])[0], self.phones(heard.features[None])[0]
        gates = find_gates(odds, heard.level_db, heard.peak_db)
        strengths = self.shapes.bite(strengths, gates.teeth) * (1 - gates.pause)[:, None]
        closure = torch.maximum(gates.shut, gates.pause)
        return Steps(
            strengths=strengths,
            closure=closure,
            teeth=gates.teeth * (1 - closure),
            energy=_energy(heard) * (1 - gates.pause),
            speech=1 - gates.pause,
        )

    def _frames(self, steps: Steps, times: Tensor, offset: int, steps_a_frame: float) -> Iterator[SpokenMouth]:
        """Yield the mouth at times (F,), s; offset: the step of `steps` at 0 s."""
        place = times * FEATURES_HZ + offset
        # A frame shows what lasts less than a frame, if lips are shut in it.
        reach = max(0, round(steps_a_frame / 2 - 0.5))
        closure = at(largest(steps.closure, reach), place)
        strengths = self.shapes.shut(at(steps.strengths, place), closure)
        lips = self.shapes.lips(strengths)
        columns = [self.shapes.opening(strengths).clamp_min(0), width_of(lips), protrusion_of(lips), closure]
        columns += [at(each, place) for each in (steps.teeth, steps.energy, steps.speech)]
        numbers = torch.stack(columns, 1).tolist()
        for time_s, moved, measures in zip(times.tolist(), lips.numpy(), numbers, strict=True):
            opening, width, protrusion, closure, teeth, energy, speech = measures
            yield SpokenMouth(
                time_s=time_s,
                lips=moved,
                opening=opening,
                width=width,
                protrusion=protrusion,
                closure=closure,
                teeth_on_lip=teeth,
                energy=energy,
                is_speech=speech > 0.5,
            )


def in_context(pieces: Iterable[Heard]) -> Iterator[tuple[Heard, int, int]]:
    """Yield pieces with up to CONTEXT steps more on both sides, where in them each piece begins, and its length."""
    before: Heard | None = None
    held: Heard | None = None
    for piece in pieces:
        if held is None:
            held = piece
            continue
        if len(piece) < CONTEXT:  # the last one
            held = join(held, piece)
            continue
        yield _within(before, held, piece)
        before, held = part(join(before, held), -CONTEXT, None), piece
    if held is not None:
        yield _within(before, held, None)


def _within(before: Heard | None, piece: Heard, after: Heard | None) -> tuple[Heard, int, int]:
    first = 0 if before is None else len(before)
    whole = join(before, piece)
    return whole if after is None else join(whole, part(after, 0, CONTEXT)), first, len(piece)


def join(one: Heard | None, other: Heard) -> Heard:
    """Return two pieces as one."""
    if one is None:
        return other
    pairs = ((getattr(one, name), getattr(other, name)) for name in ("features", "level_db", "peak_db"))
    return Heard(*(torch.cat(pair) for pair in pairs))


def part(piece: Heard, start: int, end: int | None) -> Heard:
    """Return some steps of a piece."""
    return Heard(piece.features[start:end], piece.level_db[start:end], piece.peak_db[start:end])


def at(values: Tensor, place: Tensor) -> Tensor:
    """Return values (T, ...) at places (F,) between their steps: (F, ...)."""
    place = place.clamp(0, len(values) - 1)
    low = place.floor().long()
    share = (place - low).float().reshape(-1, *(1,) * (values.dim() - 1))
    return values[low] + share * (values[(low + 1).clamp_max(len(values) - 1)] - values[low])


def _energy(heard: Heard) -> Tensor:
    loudest = heard.peak_db.clamp_min(LOUD_DB)
    return smoothed(((heard.level_db - loudest) / ENERGY_RANGE_DB + 1).clamp(0, 1), 3)

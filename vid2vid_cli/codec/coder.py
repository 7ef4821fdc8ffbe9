"""A closed loop of motion: whole frames at intervals, and in between what has changed since the last frame."""

from __future__ import annotations

import numpy as np

from vid2vid_cli.codec.entropy import Integers, decode_numbers, encode_numbers, follow
from vid2vid_cli.codec.quantizer import LIMIT, Scales
from vid2vid_cli.codec.space import Numbers
from vid2vid_cli.errors import CallFileError


class MotionEncoder:
    """Turns the numbers of one frame after the other into payloads of key and delta packets."""

    def __init__(self, scales: Scales) -> None:
        self._scales = scales
        self._last: Integers | None = None
        self._states = scales.delta_states

    def key(self, numbers: Numbers) -> bytes:
        """Return a payload that stands for itself, and begin anew from it."""
        self._last = self._scales.quantise(numbers)
        self._states = self._scales.delta_states
        return encode_numbers(self._last, self._scales.key_states)

    def delta(self, numbers: Numbers) -> bytes:
        """Return what has changed since the frame before."""
        if self._last is None:
            raise ValueError("the first frame is a key")
        integers = self._scales.quantise(numbers, self._last)
        changes = integers - self._last
        payload = encode_numbers(changes, self._states)
        self._last, self._states = integers, follow(self._states, changes)
        return payload


class MotionDecoder:
    """Turns payloads back into numbers. After a CallFileError, or a lost packet, only a key goes on."""

    def __init__(self, scales: Scales) -> None:
        self._scales = scales
        self._last: Integers | None = None
        self._states = scales.delta_states

    @property
    def is_in_step(self) -> bool:
        """Whether a delta can be read now."""
        return self._last is not None

    def lose_step(self) -> None:
        """Forget the last frame: a packet is missing."""
        self._last = None

    def key(self, payload: bytes) -> Numbers:
        """Read a frame that stands for itself."""
        self._last = None
        integers = _within_limit(decode_numbers(payload, self._scales.key_states))
        self._last, self._states = integers, self._scales.delta_states
        return self._scales.restore(integers)

    def delta(self, payload: bytes) -> Numbers:
        """Read a frame that goes on from the last one."""
        if self._last is None:
            raise ValueError("out of step: wait for a key")
        last, self._last = self._last, None
        changes = decode_numbers(payload, self._states)
        integers = _within_limit(last + changes)
        self._last, self._states = integers, follow(self._states, changes)
        return self._scales.restore(integers)


def _within_limit(integers: Integers) -> Integers:
    if (np.abs(integers) > LIMIT).any():
        raise CallFileError("a packet holds numbers out of range")
    return integers

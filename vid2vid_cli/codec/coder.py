"""Code motion in a closed loop: whole frames at intervals, and the changes since the last frame in between."""

from __future__ import annotations

import numpy as np

from vid2vid_cli.codec.entropy import Integers, decode_numbers, encode_numbers, follow
from vid2vid_cli.codec.quantizer import LIMIT, Scales
from vid2vid_cli.codec.space import Numbers
from vid2vid_cli.errors import CallFileError


class MotionEncoder:
    """Encodes the numbers of frames, in order, as payloads of key and delta packets."""

    def __init__(self, scales: Scales) -> None:
        self._scales = scales
        self._last: Integers | None = None
        self._states = scales.delta_states

    def key(self, numbers: Numbers) -> bytes:
        """Return a payload that can be decoded alone, and start over from it."""
        # Near the last frame, as between keys: at each one a still face would jump by a step.
        self._last = self._scales.quantise(numbers, self._last)
        # A reader may join here, so nothing learned before a key may be used after it.
        self._states = self._scales.delta_states
        return encode_numbers(self._last, self._scales.key_states, self._scales.first)

    def delta(self, numbers: Numbers) -> bytes:
        """Return a payload with the changes since the previous frame."""
        if self._last is None:
            raise ValueError("the first frame is a key")
        # Against what the decoder has, not against the exact last frame: errors of rounding do not add up.
        integers = self._scales.quantise(numbers, self._last)
        changes = integers - self._last
        payload = encode_numbers(changes, self._states, self._scales.first)
        self._last, self._states = integers, follow(self._states, changes)
        return payload


class MotionDecoder:
    """Decodes payloads to numbers. After a CallFileError or a lost packet, only a key can be decoded."""

    def __init__(self, scales: Scales) -> None:
        self.scales = scales
        self._last: Integers | None = None
        self._states = scales.delta_states

    @property
    def is_in_step(self) -> bool:
        """Whether a delta can be decoded now."""
        return self._last is not None

    def lose_step(self) -> None:
        """Forget the last frame: a packet is missing."""
        self._last = None

    def key(self, payload: bytes) -> Numbers:
        """Decode a whole frame."""
        self._last = None
        integers = _within_limit(decode_numbers(payload, self.scales.key_states, self.scales.first))
        self._last, self._states = integers, self.scales.delta_states
        return self.scales.restore(integers)

    def delta(self, payload: bytes) -> Numbers:
        """Decode a frame from its changes since the last one."""
        if self._last is None:
            raise ValueError("out of step: wait for a key")
        # Out of step until all has gone well: an error below must leave no half-decoded frame.
        last, self._last = self._last, None
        changes = decode_numbers(payload, self._states, self.scales.first)
        integers = _within_limit(last + changes)
        self._last, self._states = integers, follow(self._states, changes)
        return self.scales.restore(integers)


def _within_limit(integers: Integers) -> Integers:
    if (np.abs(integers) > LIMIT).any():
        raise CallFileError("a packet holds numbers out of range")
    return integers

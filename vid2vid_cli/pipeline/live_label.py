"""The word that live pictures carry: raw video can hold no signature, so whoever looks is told by the picture."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from vid2vid_cli.arrays import Frame
from vid2vid_cli.errors import UsageError

WORD = "synthetic"
HEIGHT, SMALLEST_PX = 0.032, 11  # of the letters: of the shorter side of the picture; at least
PLATE = 0.55  # how dark the plate behind the word is: white letters are then read on a bright picture as on a dark one
CONSENT = "I have the consent of the person shown"


class Stamp(NamedTuple):
    """A word on its plate. added: (h, w, 3), its own light, 0 to 255. kept: (h, w, 1), the share of the picture's."""

    added: NDArray[np.float32]
    kept: NDArray[np.float32]


def with_label(frame: Frame, word: str = WORD) -> Frame:
    """Return a picture (H, W, 3) with a word in its lower left corner. A picture too small for it is returned as is."""
    stamp = stamp_of(min(frame.shape[:2]), word)
    height, width = stamp.kept.shape[:2]
    margin = height // 3
    bottom = frame.shape[0] - margin
    if bottom < height or frame.shape[1] < width + margin:
        return frame
    labelled = frame.copy()
    window = labelled[bottom - height : bottom, margin : margin + width]
    window[:] = window * stamp.kept + stamp.added
    return labelled


@lru_cache(maxsize=16)
def stamp_of(side_px: int, word: str) -> Stamp:
    """Draw a word for pictures of a shorter side."""
    size_px = max(SMALLEST_PX, round(HEIGHT * side_px))
    font = ImageFont.load_default(size=size_px)
    left, top, right, bottom = font.getbbox(word)
    pad = round(0.45 * size_px)
    size = round(right - left) + 2 * pad, round(bottom - top) + 2 * pad
    plate, letters = Image.new("L", size), Image.new("L", size)
    ImageDraw.Draw(plate).rounded_rectangle((0, 0, size[0] - 1, size[1] - 1), radius=pad, fill=round(255 * PLATE))
    ImageDraw.Draw(letters).text((pad - left, pad - top), word, fill=255, font=font)
    light = np.asarray(letters, np.float32)[..., None] / 255
    kept = (1 - np.asarray(plate, np.float32)[..., None] / 255) * (1 - light)
    return Stamp(np.asarray(np.repeat(light * 255, 3, 2), np.float32), np.asarray(kept, np.float32))


def check_label(*, is_labelled: bool, consent: str | None) -> None:
    """Raise UsageError where pictures are to go out without the word and nobody has said that they may.

    consent: what the user says about the person shown, in any words that name consent.
    """
    if not is_labelled and "consent" not in (consent or "").lower():
        raise UsageError(f'--no-label: say that the person shown agrees: --consent "{CONSENT}"')

"""The checkpoint's bank of mouths: teeth of public-domain portraits, for sources that show none of their own.

training/mouth_bank.py makes it. A bank holds upper and lower rows of teeth, each from another portrait. One of either
is chosen for a source, once, so that teeth never change while it moves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from vid2vid_cli.models.compact.mouth_halves import COLUMNS, Halves, Projection, Values, sample
from vid2vid_cli.models.compact.mouth_tone import BRIGHTEST, SkinTone, match_blur, match_tone

BANK_PREFIX = "mouth_bank."
UNIT_PX = 96.0  # px of a picture for the distance of the eyes
MIDDLE_PX = (40.0, 20.0)  # where a picture shows the upper teeth's edge, in the middle of the mouth
HEIGHT, WIDTH = 36, 81  # px of a picture
BLUR_PX = 1.0  # of the pictures
IVORY = np.array([1.04, 1.01, 0.95], np.float32)  # the colour of teeth in white light, mean 1
LOWER_LIGHT = 0.88  # how bright lower teeth are, of upper ones
FLAT = Projection(np.eye(2) * UNIT_PX, np.zeros(2), np.array(MIDDLE_PX))


@dataclass(frozen=True)
class MouthBank:
    """Rows of teeth on a flat arch whose place (0, 0) is the middle of the upper teeth's edge."""

    uppers: tuple[Halves, ...]
    lowers: tuple[Halves, ...]

    @classmethod
    def from_state(cls, state: Mapping[str, Tensor]) -> MouthBank | None:
        """Read the checkpoint's tensors `mouth_bank.*`; None where it has none.

        pictures: (K, HEIGHT, WIDTH, 3), uint8. lines: (K, 4, COLUMNS), y of top, seam, low seam and bottom. sides:
        (K, 2), x of both corners. teeth: (K, 2). skin: (K, 3). is_lower: (K,), which rows are lower ones.
        """
        names = ("pictures", "lines", "sides", "teeth", "skin", "is_lower")
        if any(BANK_PREFIX + name not in state for name in names):
            return None
        pictures, lines, sides, teeth, skin, is_lower = (state[BANK_PREFIX + name].numpy() for name in names)
        rows = [
            Halves(
                pictures[k],
                FLAT,
                np.linspace(sides[k, 0], sides[k, 1], COLUMNS),
                lines[k].astype(np.float64),
                teeth[k].astype(np.float64),
                skin[k].astype(np.float32),
            )
            for k in range(len(pictures))
        ]
        uppers, lowers = (
            [row for row, low in zip(rows, is_lower, strict=True) if bool(low) is one] for one in (False, True)
        )
        return cls(tuple(uppers), tuple(lowers)) if uppers and lowers else None

    def choose(self, tone: SkinTone, unit_px: float) -> tuple[Halves, Halves]:
        """Return the upper and the lower row whose skin is most like a source's, in its light and sharpness.

        unit_px: px of the source's picture for the distance of the eyes.
        """
        upper, lower = _nearest(self.uppers, tone), _nearest(self.lowers, tone)
        in_light = match_tone(_teeth_colour(upper, *upper.lines[:2]), upper.skin, tone)
        # All teeth get one colour: what differs between portraits is mostly their light. Lower ones get less of it.
        light = min(float(in_light.mean()), BRIGHTEST * tone.brightness)
        ivory = light * (1 + tone.saturation * (IVORY * tone.tint**0.6 - 1))
        blur_px = tone.blur_px * UNIT_PX / unit_px
        return (
            _coloured(upper, _teeth_colour(upper, *upper.lines[:2]), ivory, tone, blur_px),
            _coloured(lower, _teeth_colour(lower, *lower.lines[2:]), LOWER_LIGHT * ivory, tone, blur_px),
        )


def _nearest(rows: tuple[Halves, ...], tone: SkinTone) -> Halves:
    return min(rows, key=lambda row: float(np.square(np.log((row.skin + 0.02) / (tone.skin + 0.02))).sum()))


def _teeth_colour(row: Halves, above: Values, below: Values) -> Values:
    """Return the colour (3,) in [0, 1] of the brighter half of what lies between two lines in the middle of a row."""
    middle = slice(COLUMNS // 3, -COLUMNS // 3)
    y = above[middle] + np.linspace(0.2, 0.9, 9)[:, None] * (below - above)[middle]
    colours = sample(row.picture, *FLAT.to_px(np.broadcast_to(row.x[middle], y.shape), y)).reshape(-1, 3)
    order = np.argsort(colours.mean(-1), kind="stable")
    return np.asarray(colours[order[len(order) // 2 :]].mean(0) / 255, np.float32)


def _coloured(row: Halves, teeth: Values, wanted: Values, tone: SkinTone, blur_px: float) -> Halves:
    """Return a row whose teeth, of one colour, have another one, with the blur of a source, in the picture's px."""
    colours = row.picture.astype(np.float32) * (wanted / np.maximum(teeth, 0.05)).astype(np.float32)
    grey = colours.mean(-1, keepdims=True)
    toned = grey * (wanted / wanted.mean()) + tone.saturation * (colours - grey * (wanted / wanted.mean()))
    picture = np.asarray(toned.clip(0, 255).round(), np.uint8)
    return replace(row, picture=match_blur(picture, BLUR_PX, blur_px))

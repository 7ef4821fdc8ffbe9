"""Colours by name, for what lies under transparent pictures."""

from __future__ import annotations

from typing import NamedTuple


class Colour(NamedTuple):
    """An opaque colour in sRGB, each part from 0 to 255."""

    red: int
    green: int
    blue: int


WHITE = Colour(255, 255, 255)
BLACK = Colour(0, 0, 0)

"""Draw what lies over a live picture: panels of text, caps of keys, lines that tell what happens."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from vid2vid_cli.arrays import Frame

Row = tuple[str, str]
"""A label and its value."""

PLATE = (16, 18, 24, 190)
CAP, CAP_EDGE = (58, 63, 76, 255), (96, 103, 120, 255)
BRIGHT, DIM = (245, 246, 250, 255), (165, 172, 188, 255)
ARROWS = {"left": (-1, 0), "right": (1, 0), "up": (0, -1), "down": (0, 1)}
SMALLEST_PX, LARGEST_PX = 12, 24
TEXT = 0.018  # the size of letters: of the window's shorter side


def text_px(size: tuple[int, int]) -> int:
    """Return the size of letters for a window of a size (height, width)."""
    return min(max(round(TEXT * min(size)), SMALLEST_PX), LARGEST_PX)


@lru_cache(maxsize=8)
def _font(size_px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size=size_px)


def _width(text: str, size_px: int) -> int:
    return round(_font(size_px).getlength(text))


def _plate(width: int, height: int, radius: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
    image = Image.new("RGBA", (width, height))
    draw = ImageDraw.Draw(image)
    draw.rounded_rectangle((0, 0, width - 1, height - 1), radius=radius, fill=PLATE)
    return image, draw


def facts(rows: Sequence[Row], size_px: int) -> Frame:
    """Draw labels and their values in two columns; (h, w, 4), RGBA."""
    step, pad = round(1.55 * size_px), size_px
    column = max(_width(label, size_px) for label, _ in rows) + size_px
    width = column + max(_width(value, size_px) for _, value in rows) + 2 * pad
    image, draw = _plate(width, step * len(rows) + 2 * pad - step + size_px, pad // 2)
    for place, (label, value) in enumerate(rows):
        middle = pad + step * place + size_px / 2
        draw.text((pad, middle), label, DIM, _font(size_px), anchor="lm")
        draw.text((pad + column, middle), value, BRIGHT, _font(size_px), anchor="lm")
    return np.asarray(image)


def keys(rows: Sequence[tuple[Sequence[str], str]], size_px: int) -> Frame:
    """Draw keys as caps, with what they do beside them; (h, w, 4), RGBA."""
    step, pad, gap = round(1.75 * size_px), size_px, round(0.35 * size_px)
    caps = [[(name, _cap_px(name, size_px)) for name in names] for names, _ in rows]
    column = max(sum(width + gap for _, width in row) for row in caps) + size_px // 2
    width = column + max(_width(text, size_px) for _, text in rows) + 2 * pad
    image, draw = _plate(width, step * len(rows) + pad, pad // 2)
    for place, (row, (_, text)) in enumerate(zip(caps, rows, strict=True)):
        left, middle = pad, pad / 2 + step * (place + 0.5)
        for name, cap_px in row:
            _draw_cap(draw, name, (left, middle, cap_px), size_px)
            left += cap_px + gap
        draw.text((pad + column, middle), text, BRIGHT, _font(size_px), anchor="lm")
    return np.asarray(image)


def _cap_px(name: str, size_px: int) -> int:
    letters = 0 if name in ARROWS else _width(name, size_px)
    return max(letters + round(0.8 * size_px), round(1.5 * size_px))


def _draw_cap(draw: ImageDraw.ImageDraw, name: str, place: tuple[float, float, float], size_px: int) -> None:
    """Draw a key. place: its left edge, its middle from above, and its width."""
    (left, middle, width), half = place, 0.7 * size_px
    box = (left, middle - half, left + width - 1, middle + half)
    draw.rounded_rectangle(box, radius=size_px // 4, fill=CAP, outline=CAP_EDGE)
    centre, reach = left + (width - 1) / 2, 0.32 * size_px
    if name in ARROWS:
        x, y = ARROWS[name]
        tip, foot = (centre + x * reach, middle + y * reach), (centre - x * reach, middle - y * reach)
        across = (y * reach, x * reach)
        corners = [tip, (foot[0] - across[0], foot[1] - across[1]), (foot[0] + across[0], foot[1] + across[1])]
        draw.polygon(corners, fill=BRIGHT)
    else:
        draw.text((centre, middle), name, BRIGHT, _font(size_px), anchor="mm")


def line(text: str, size_px: int, width: int) -> Frame:
    """Draw a line for the user, on as many rows as a width in pixels demands; (h, w, 4), RGBA."""
    rows = _wrapped(text, size_px, width - 2 * size_px)
    step, pad = round(1.35 * size_px), round(0.6 * size_px)
    longest = max(_width(row, size_px) for row in rows)
    image, draw = _plate(longest + 2 * size_px, step * len(rows) + 2 * pad, size_px)
    for place, row in enumerate(rows):
        middle = pad + step * (place + 0.5)
        draw.text((image.width / 2, middle), row, BRIGHT, _font(size_px), anchor="mm")
    return np.asarray(image)


def _wrapped(text: str, size_px: int, width: int) -> list[str]:
    """Break a text between its words into rows; a word that is longer than a row is cut."""
    rows = [""]
    for word in text.split():
        longer = f"{rows[-1]} {word}".strip()
        if _width(longer, size_px) <= width or not rows[-1]:
            rows[-1] = longer
        else:
            rows.append(word)
    return [_cut(row, size_px, width) for row in rows]


def _cut(text: str, size_px: int, width: int) -> str:
    if _width(text, size_px) <= width:
        return text
    while len(text) > 1 and _width(f"{text}…", size_px) > width:
        text = text[:-1]
    return f"{text}…"

"""From what a user types to numbers: sweeps of angles, times, frame rates, colours and faces."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from PIL import ImageColor

from vid2vid_cli.errors import UsageError
from vid2vid_cli.face.mesh import Select
from vid2vid_cli.media.colour import Colour

MOST_ANGLES = 100_000


@dataclass(frozen=True)
class Sweep:
    """An angle in degrees that may run from start to stop. step: its increment; 0 where it is one angle."""

    start_deg: float
    stop_deg: float
    step_deg: float

    @property
    def count(self) -> int:
        """How many angles the sweep has, the stop included when a step falls on it."""
        return int(abs(self.stop_deg - self.start_deg) / self.step_deg + 1e-9) + 1 if self.step_deg else 1

    def at(self, share: float) -> float:
        """Return the angle at a share 0 to 1 of the way, rounded to the step."""
        sign = 1 if self.stop_deg >= self.start_deg else -1
        return self.start_deg + sign * round(share * (self.count - 1)) * self.step_deg

    @property
    def largest_deg(self) -> float:
        """Return the largest angle either way."""
        return max(abs(self.start_deg), abs(self.stop_deg))


def parse_sweep(text: str | None, name: str) -> Sweep | None:
    """Read an angle or START:STOP:STEP in degrees; a sign of STEP is ignored."""
    if text is None:
        return None
    try:
        numbers = [float(part) for part in str(text).split(":")]
    except ValueError as error:
        raise UsageError(f"--{name} {text}: not an angle in degrees; write a number or START:STOP:STEP") from error
    if not all(abs(number) <= 360 for number in numbers):
        raise UsageError(f"--{name} {text}: an angle lies within -360 and 360 degrees")
    if len(numbers) == 1:
        return Sweep(numbers[0], numbers[0], 0.0)
    if len(numbers) != 3 or numbers[2] == 0:
        raise UsageError(f"--{name} {text}: a sweep is START:STOP:STEP with a step that is not 0")
    sweep = Sweep(numbers[0], numbers[1], abs(numbers[2]))
    if sweep.count > MOST_ANGLES:
        raise UsageError(f"--{name} {text}: more than {MOST_ANGLES} angles; write a larger step")
    return sweep


def parse_time(text: str | None, name: str) -> float | None:
    """Read seconds, MM:SS or H:MM:SS; the last part may have decimals."""
    if text is None:
        return None
    if not re.fullmatch(r"(\d+:){0,2}\d+(\.\d*)?", str(text)):
        raise UsageError(f"--{name} {text}: not a time; write seconds (12.5) or [H:]MM:SS")
    seconds = 0.0
    for part in str(text).split(":"):
        seconds = seconds * 60 + float(part)
    return seconds


def parse_fps(text: str | None) -> Fraction | None:
    """Read a frame rate such as 25, 29.97 or 30000/1001."""
    if text is None:
        return None
    try:
        fps = Fraction(str(text))
    except (ValueError, ZeroDivisionError) as error:
        raise UsageError(f"--fps {text}: not a frame rate; write 25 or 30000/1001") from error
    if not 0 < fps <= 1000:
        raise UsageError(f"--fps {text}: a frame rate lies between 0 and 1000")
    return fps


def parse_colour(text: str) -> Colour:
    """Read a colour by its name or as #rrggbb."""
    try:
        red, green, blue = ImageColor.getrgb(text)[:3]
    except ValueError as error:
        raise UsageError(f"--background {text}: not a colour; write a name such as gray or #rrggbb") from error
    return Colour(red, green, blue)


def parse_face(text: str, name: str = "face") -> Select:
    """Read largest, center or an index from the left."""
    if text == "largest":
        return "largest"
    if text == "center":
        return "center"
    if is_index(text):
        return int(text)
    raise UsageError(f"--{name} {text}: write largest, center or an index from the left (0, 1, ...)")


def is_index(text: str) -> bool:
    """Say whether a text is a number from 0 in plain digits."""
    return text.isascii() and text.isdecimal()

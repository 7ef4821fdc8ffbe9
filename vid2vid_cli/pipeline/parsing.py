"""Parse what a user types: sweeps of angles, times, frame rates, colours and faces."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from vid2vid_cli.errors import UsageError
from vid2vid_cli.face.mesh import Box, Select
from vid2vid_cli.media.video import ReadOptions
from vid2vid_cli.pipeline.options import DrivingOptions
from vid2vid_cli.pipeline.progress import WarningLog

MOST_STEPS = 100_000
MOST_DEG = 360
MOST_PX = 1_000_000


@dataclass(frozen=True)
class Sweep:
    """A number, or numbers from start to stop. step: the increment, at least 0; 0 for a single number.

    Angles are in degrees.
    """

    start: float
    stop: float
    step: float

    @property
    def count(self) -> int:
        """Count the numbers; the stop is one of them if a step falls on it."""
        # The slack keeps a stop that rounding puts just out of reach, as in 0:0.3:0.1.
        return int(abs(self.stop - self.start) / self.step + 1e-9) + 1 if self.step else 1

    def at(self, share: float) -> float:
        """Return the number at a fraction of the way, 0 to 1, rounded to a whole number of steps."""
        sign = 1 if self.stop >= self.start else -1
        return self.start + sign * round(share * (self.count - 1)) * self.step

    @property
    def largest(self) -> float:
        """Return the largest number in either direction."""
        return max(abs(self.start), abs(self.stop))


def parse_sweep(text: str | None, name: str) -> Sweep | None:
    """Parse an angle or START:STOP:STEP in degrees; the sign of STEP is ignored."""
    if text is None:
        return None
    try:
        numbers = [float(part) for part in str(text).split(":")]
    except ValueError as error:
        raise UsageError(f"--{name} {text}: not an angle in degrees; write a number or START:STOP:STEP") from error
    # Written so that NaN fails too: every comparison with it is false.
    if not all(abs(number) <= MOST_DEG for number in numbers):
        raise UsageError(f"--{name} {text}: an angle must be between -{MOST_DEG} and {MOST_DEG} degrees")
    return sweep_of(numbers, f"--{name} {text}")


def sweep_of(numbers: list[float], asked: str) -> Sweep:
    """Return a sweep of one number, or of start, stop and step. asked: what the user wrote, for messages."""
    if len(numbers) == 1:
        return Sweep(numbers[0], numbers[0], 0.0)
    if len(numbers) != 3 or numbers[2] == 0:
        raise UsageError(f"{asked}: a sweep is START:STOP:STEP, and STEP must not be 0")
    sweep = Sweep(numbers[0], numbers[1], abs(numbers[2]))
    if sweep.count > MOST_STEPS:
        raise UsageError(f"{asked}: more than {MOST_STEPS} steps; use a larger step")
    return sweep


def parse_time(text: str | None, name: str) -> float | None:
    """Parse seconds, MM:SS or H:MM:SS into seconds; the last part may have decimals."""
    if text is None:
        return None
    if not re.fullmatch(r"(\d+:){0,2}\d+(\.\d*)?", str(text)):
        raise UsageError(f"--{name} {text}: not a time; write seconds (12.5) or [H:]MM:SS")
    seconds = 0.0
    for part in str(text).split(":"):
        seconds = seconds * 60 + float(part)
    return seconds


def parse_fps(text: str | None) -> Fraction | None:
    """Parse a frame rate such as 25, 29.97 or 30000/1001."""
    if text is None:
        return None
    # A fraction keeps 30000/1001 exact; a float would let sound and picture drift apart.
    try:
        fps = Fraction(str(text))
    except (ValueError, ZeroDivisionError) as error:
        raise UsageError(f"--fps {text}: not a frame rate; write 25 or 30000/1001") from error
    if not 0 < fps <= 1000:
        raise UsageError(f"--fps {text}: a frame rate must be above 0 and at most 1000")
    return fps


def parse_face(text: str, name: str = "face") -> Select:
    """Parse largest, center or an index from the left."""
    if text == "largest":
        return "largest"
    if text == "center":
        return "center"
    if is_index(text):
        return int(text)
    raise UsageError(f"--{name} {text}: write largest, center or an index from the left (0, 1, ...)")


def parse_face_box(text: str | None) -> Box | None:
    """Parse X,Y,WIDTH,HEIGHT of a face in pixels into left, top, right and bottom."""
    if text is None:
        return None
    try:
        left, top, width, height = (float(part) for part in text.split(","))
    except ValueError as error:
        raise UsageError(f"--face-box {text}: write X,Y,WIDTH,HEIGHT in pixels, such as 120,80,200,240") from error
    # Written so that NaN fails too.
    if not (max(abs(left), abs(top)) < MOST_PX and 1 <= min(width, height) <= max(width, height) < MOST_PX):
        raise UsageError(f"--face-box {text}: WIDTH and HEIGHT must be at least 1 pixel, and all below {MOST_PX}")
    return left, top, left + width, top + height


def is_index(text: str) -> bool:
    """Say whether a text is a whole number from 0, in ASCII digits."""
    # str.isdecimal alone accepts the digits of every script.
    return text.isascii() and text.isdecimal()


def reading_options(options: DrivingOptions, log: WarningLog) -> ReadOptions:
    """Parse --start, --end and --fps."""
    start_s, end_s = parse_time(options.start, "start"), parse_time(options.end, "end")
    if end_s is not None and end_s <= (start_s or 0):
        raise UsageError(f"--end {options.end}: must be after --start")
    return ReadOptions(start_s=start_s, end_s=end_s, fps=parse_fps(options.fps), warn=log.warn)


def check_motion_numbers(options: DrivingOptions) -> None:
    """Raise UsageError if a number is out of range."""
    if not 0 <= options.smooth <= 10:
        raise UsageError(f"--smooth {options.smooth:g}: write a number from 0 to 10")

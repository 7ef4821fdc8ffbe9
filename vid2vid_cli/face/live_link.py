"""Takes of Live Link Face: tables (CSV) of the strengths of ARKit's expressions and of head poses, frame by frame.

The columns are `Timecode`, `BlendShapeCount`, 52 expressions and nine angles of head and eyes in radians.
Yaw > 0 turns to the person's left, pitch > 0 lowers the chin, roll > 0 tilts the head to the person's right shoulder as
they see it, counterclockwise for whoever looks at them: right-handed turns about ARKit's axes of a face.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vid2vid_cli.errors import MotionFileError
from vid2vid_cli.face.expressions import NAMES, SIDED

Array = NDArray[np.float64]

ONCE = ("browInnerUp", "cheekPuff")  # here of both sides, in a take once
HEAD = ("HeadYaw", "HeadPitch", "HeadRoll")
EYES = tuple(f"{side}Eye{angle}" for side in ("Left", "Right") for angle in ("Yaw", "Pitch", "Roll"))
_EYE = ("EyeBlink", "EyeLookDown", "EyeLookIn", "EyeLookOut", "EyeLookUp", "EyeSquint", "EyeWide")
_MOUTH = ("MouthSmile", "MouthFrown", "MouthDimple", "MouthStretch")
_LIPS = ("MouthPress", "MouthLowerDown", "MouthUpperUp")
SHAPES = (
    *(shape + side for side in ("Left", "Right") for shape in _EYE),
    *("JawForward", "JawRight", "JawLeft", "JawOpen", "MouthClose", "MouthFunnel", "MouthPucker"),
    *("MouthRight", "MouthLeft"),
    *(shape + side for shape in _MOUTH for side in ("Left", "Right")),
    *("MouthRollLower", "MouthRollUpper", "MouthShrugLower", "MouthShrugUpper"),
    *(shape + side for shape in _LIPS for side in ("Left", "Right")),
    *("BrowDownLeft", "BrowDownRight", "BrowInnerUp", "BrowOuterUpLeft", "BrowOuterUpRight", "CheekPuff"),
    *("CheekSquintLeft", "CheekSquintRight", "NoseSneerLeft", "NoseSneerRight", "TongueOut"),
)
"""The 52 expressions in the order of the columns."""
COLUMNS = ("Timecode", "BlendShapeCount", *SHAPES, *HEAD, *EYES)
MARK = b"Timecode,BlendShapeCount"
RATES = (24, 25, 30, 48, 50, 60, 90, 100, 120)  # frames that a timecode may count in a second
DAY_S = 24 * 3600
LOOK_ASIDE, LOOK_UP = math.radians(30), math.radians(22)  # turns of an eye that looks aside, or up or down, fully


@dataclass(frozen=True)
class Take:
    """A take, or what is to be written as one.

    weights: (N, 53), of the expressions in the order of `expressions.NAMES`, from 0 to 1. pose: (N, 3), yaw, pitch and
    roll of the head in radians, as in geometry.rotation. found: (N,), whether the face was seen. fps: frames a second.
    """

    weights: Array
    pose: Array
    found: NDArray[np.bool_]
    fps: Fraction


def is_take(path: Path) -> bool:
    """Say whether a file begins as a take does."""
    try:
        with path.open("rb") as file:
            return file.read(64).removeprefix(b"\xef\xbb\xbf").replace(b" ", b"").lower().startswith(MARK.lower())
    except OSError:
        return False


def column_of(name: str) -> str:
    """Return the column of an expression."""
    base, _, side = name.partition("_")
    column = base[:1].upper() + base[1:]
    return column if base not in SIDED or base in ONCE else column + {"L": "Left", "R": "Right"}[side]


# --- reading ---


def read_take(path: Path) -> Take:
    """Read a take. MotionFileError names what is wrong with it. Frames that are missing are filled in between."""
    try:
        rows = list(csv.reader(io.StringIO(path.read_text("utf-8-sig"), newline="")))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise MotionFileError(f"{path}: not a readable take of Live Link Face ({error}); export it again") from error
    header = [cell.strip().lower() for cell in rows[0]]
    missing = [column for column in (*COLUMNS[:2], *SHAPES, *HEAD) if column.lower() not in header]
    if missing:
        raise MotionFileError(f"{path}: a take without the column {missing[0]}; export it again from Live Link Face")
    table = [(number, row) for number, row in enumerate(rows[1:], 2) if any(cell.strip() for cell in row)]
    if not table:
        raise MotionFileError(f"{path}: a take without a frame; record it again")
    places = {column: header.index(column.lower()) for column in (*COLUMNS[:2], *SHAPES, *HEAD)}
    times = _times(path, [(number, row[places["Timecode"]] if row else "") for number, row in table])
    values, found = _values(path, table, places)
    return _in_step(*times, values, found)


def _values(
    path: Path, table: Sequence[tuple[int, list[str]]], places: dict[str, int]
) -> tuple[Array, NDArray[np.bool_]]:
    """Return weights and pose (N, 56), the last ones held where no face was seen, and where one was."""
    columns = [places[column_of(name)] for name in NAMES] + [places[column] for column in HEAD]
    values, found = np.zeros((len(table), len(columns))), np.zeros(len(table), bool)
    for index, (number, row) in enumerate(table):
        if places["BlendShapeCount"] < len(row) and row[places["BlendShapeCount"]].strip() in ("0", ""):
            values[index] = values[index - 1] if index else 0.0
            continue
        try:
            values[index] = [float(row[column]) for column in columns]
        except (ValueError, IndexError) as error:
            raise MotionFileError(f"{path}: line {number} is cut off or holds no numbers; export it again") from error
        if not np.isfinite(values[index]).all():
            raise MotionFileError(f"{path}: line {number} holds numbers that are not finite; export it again")
        found[index] = True
    values[:, : len(NAMES)] = values[:, : len(NAMES)].clip(0, 1)
    # ARKit's pitch and roll turn the other way.
    values[:, len(NAMES) :] *= (1, -1, -1)
    return values, found


def _times(path: Path, codes: Sequence[tuple[int, str]]) -> tuple[Array, int]:
    """Return the frames' times in seconds (N,), from 0, and how many frames the timecode counts in a second."""
    parts = np.array([list(_timecode(path, number, code)) for number, code in codes])  # (N, 4)
    highest = int(parts[:, 3].max())
    seconds = parts[:, :3] @ (3600, 60, 1)
    is_long = bool(seconds.max() - seconds.min() >= 2)  # then some second was counted to its end
    rate = next((r for r in RATES if r > highest), highest + 1) if is_long or highest + 1 in RATES else 60
    times = seconds + parts[:, 3] / rate
    times = times + DAY_S * (np.diff(times, prepend=times[0]) < -DAY_S / 2).cumsum()
    backward = np.flatnonzero(np.diff(times) <= 0)
    if len(backward):
        raise MotionFileError(f"{path}: line {codes[backward[0] + 1][0]} is not later than the one before it")
    return times - times[0], rate


def _timecode(path: Path, number: int, code: str) -> Iterator[float]:
    """Yield hours, minutes, seconds and frames of a timecode such as 12:04:31:17.250."""
    parts = code.strip().replace(";", ":").split(":")
    for part in parts if len(parts) == 4 else [""]:
        if not (part.isascii() and part.replace(".", "", 1).isdecimal()):
            raise MotionFileError(f"{path}: line {number} has no timecode HH:MM:SS:FF.FFF but {code.strip()!r}")
        yield float(part)


def _in_step(times: Array, rate: int, values: Array, found: NDArray[np.bool_]) -> Take:
    """Return a take whose frames are equally far apart; rows are kept as they are unless some are missing."""
    steps = np.diff(times) * rate if len(times) > 1 else np.ones(1)  # in frames of the timecode
    is_whole = bool((np.abs(steps / np.median(steps) - 1) < 0.5).all())
    step = float(steps.mean() if is_whole else np.median(steps))
    even = round(step) if abs(step - round(step)) < (5e-4 if is_whole else 0.02) and round(step) else step
    fps = Fraction(rate) / Fraction(even).limit_denominator(1000)
    if not is_whole:
        at = np.arange(round(times[-1] * float(fps)) + 1) / float(fps)
        values = np.stack([np.interp(at, times, column) for column in values.T], 1)
        found = found[np.searchsorted(times, at - 0.25 / float(fps)).clip(0, len(found) - 1)]
    return Take(values[:, : len(NAMES)], values[:, len(NAMES) :], found, fps)


# --- writing ---


def encode_take(take: Take) -> bytes:
    """Return the bytes of a take's file."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    rate = _rate_of(take.fps)
    step = rate / take.fps
    # Some frame is the last one of a second: that shows how far the timecode counts.
    last = (len(take.weights) - 1) * step
    first = rate - 1 - last if last < rate else (rate - 1) % step
    for index, (weights, pose) in enumerate(zip(take.weights, take.pose, strict=True)):
        code = _code(first + index * step, rate)
        if not take.found[index]:
            writer.writerow([code, 0, *[""] * (len(COLUMNS) - 2)])
            continue
        cells = _cells(dict(zip(NAMES, weights.tolist(), strict=True)), pose)
        writer.writerow([code, len(COLUMNS) - 2, *(f"{cells.get(column, 0.0):.6f}" for column in COLUMNS[2:])])
    return text.getvalue().encode()


def _rate_of(fps: Fraction) -> int:
    """Return how many frames the timecode counts in a second: a usual number, of which each frame takes a whole one."""
    whole = math.ceil(fps)
    return next((rate for rate in RATES if rate % whole == 0), whole)


def _code(frames: Fraction, rate: int) -> str:
    thousandths = round(frames * 1000)
    seconds, rest = divmod(thousandths, rate * 1000)
    return f"{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}:{rest // 1000:02d}.{rest % 1000:03d}"


def _cells(weights: dict[str, float], pose: Array) -> dict[str, float]:
    """Return the numbers of a frame by column."""
    cells = {column_of(name): weight for name, weight in weights.items()}
    cells |= {base[:1].upper() + base[1:]: (weights[f"{base}_L"] + weights[f"{base}_R"]) / 2 for base in ONCE}
    cells |= dict(zip(HEAD, (pose * (1, -1, -1)).tolist(), strict=True))
    for side, outwards in (("Left", 1), ("Right", -1)):
        end = f"_{side[0]}"
        aside = weights["eyeLookOut" + end] - weights["eyeLookIn" + end]
        cells[f"{side}EyeYaw"] = outwards * LOOK_ASIDE * aside
        cells[f"{side}EyePitch"] = LOOK_UP * (weights["eyeLookDown" + end] - weights["eyeLookUp" + end])
    return cells

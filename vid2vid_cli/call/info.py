"""Describe a call file: what it holds, how many bytes each part takes, and what is damaged."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from vid2vid_cli.call.decode import open_call
from vid2vid_cli.codec.header import VERSION
from vid2vid_cli.codec.packets import Kind
from vid2vid_cli.codec.quantizer import STEP_UNIT, Scales
from vid2vid_cli.codec.space import POSE_COUNT
from vid2vid_cli.codec.stream import Tally
from vid2vid_cli.pipeline.driving.call_file import describe_losses

MOTION = (Kind.KEY, Kind.DELTA, Kind.HOLD, Kind.BESIDE)
PATCHES = (Kind.PATCH,)
PICTURE = (Kind.PICTURE, Kind.REFERENCE)
SOUND = (Kind.SOUND, Kind.AUDIO)


@dataclass(frozen=True)
class QuantizerSteps:
    """By how much numbers change in one step of the coder: yaw in rad, x, and the median of the expression's."""

    yaw: float
    x: float
    expression: float


@dataclass(frozen=True)
class CallInfo:
    """What is in a call file.

    size: (height, width) of the picture. numbers: how many a frame has. beside: how many more, of what moves beside
    the head and of what the mesh misses. bytes, sizes: of the whole file, and of each part by name. damage: one line,
    or None.
    """

    path: Path
    version: int
    family: str
    checkpoint: str
    basis_id: str
    fps: Fraction
    size: tuple[int, int]
    duration_s: float
    numbers: int
    beside: int
    steps: QuantizerSteps
    bytes: int
    sizes: dict[str, int]
    keys: int
    tally: Tally
    damage: str | None

    @property
    def bytes_a_frame(self) -> float:
        """Average bytes of motion per frame."""
        return self.sizes["motion"] / max(1, self.tally.frames)

    @property
    def whole_bytes_a_frame(self) -> float:
        """Average bytes of motion and patches per frame: all that is sent after the picture, but for sound."""
        return self.bytes_a_frame + self.sizes["patches"] / max(1, self.tally.frames)

    @property
    def patches(self) -> int:
        """How many patches there are."""
        return self.tally.counts[Kind.PATCH]

    def kilobits(self, part: str) -> float:
        """Return the rate of a part in kbit/s."""
        return 8 * self.sizes[part] / 1000 / self.duration_s if self.duration_s else 0.0


def describe_call(call: str | Path) -> CallInfo:
    """Read a whole call file. Damage is described, not raised; only a damaged header is an error."""
    path = Path(call)
    with closing(open_call(path)) as recording:
        header, reader, tally = recording.header, recording.reader, Tally()
        # Without a model: numbers are decoded, to see whether they can be, but never become motions.
        for _ in reader.frames(tally):  # fills the tally
            pass
        damage = _damage(path, tally, has_picture=reader.picture() is not None)
        header_size, beside = reader.header_size, reader.beside()
    return CallInfo(
        path=path,
        version=VERSION,
        family=header.family,
        checkpoint=header.checkpoint.hex(),
        basis_id=header.basis_id.hex(),
        fps=header.fps,
        size=header.size,
        duration_s=float(tally.frames / header.fps),
        numbers=len(header.scales),
        beside=0 if beside is None else len(beside.scales),
        steps=_steps(header.scales),
        bytes=path.stat().st_size,
        sizes={"header": header_size, **_sizes(tally)},
        keys=tally.counts[Kind.KEY],
        tally=tally,
        damage=damage,
    )


def _damage(path: Path, tally: Tally, *, has_picture: bool) -> str | None:
    """Say in one line what is missing or damaged; None if nothing is."""
    found = [describe_losses(path, tally)]
    found += [f"{path}: {tally.damaged} bytes are damaged"] if tally.damaged else []
    found += [] if has_picture else [f"{path}: its picture is missing or damaged"]
    return "; ".join(text for text in found if text) or None


def _steps(scales: Scales) -> QuantizerSteps:
    # The pose comes first: yaw, pitch, roll, x, y, z, and the logarithm of the scale. The rest is expression.
    steps = scales.steps / STEP_UNIT
    rest = sorted(steps[POSE_COUNT:])  # a family may send no expression: then there is no median
    return QuantizerSteps(float(steps[0]), float(steps[3]), float(rest[len(rest) // 2]) if rest else 0.0)


def _sizes(tally: Tally) -> dict[str, int]:
    parts = {"picture": PICTURE, "motion": MOTION, "patches": PATCHES, "sound": SOUND}
    return {name: _sum(tally, kinds) for name, kinds in parts.items()} | {"damaged": tally.damaged}


def _sum(tally: Tally, kinds: Iterable[Kind]) -> int:
    return sum(tally.sizes[kind] for kind in kinds)

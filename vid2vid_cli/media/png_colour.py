"""Colours of PNGs that are described by the chunks cICP or gAMA and cHRM instead of a profile.

PNG specification, third edition, section 4.3: cICP comes before iCCP, that before sRGB, that before gAMA and cHRM.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from vid2vid_cli.arrays import Frame

Values = npt.NDArray[np.float64]
Chromaticities = tuple[float, ...]
"""x and y of white, red, green and blue, as cHRM has them."""

_D65 = (0.3127, 0.3290)
_SRGB: Chromaticities = (*_D65, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
# Colour primaries of ITU-T H.273, table 2.
_PRIMARIES: dict[int, Chromaticities] = {
    1: _SRGB,
    4: (0.310, 0.316, 0.67, 0.33, 0.21, 0.71, 0.14, 0.08),
    5: (*_D65, 0.64, 0.33, 0.29, 0.60, 0.15, 0.06),
    6: (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    7: (*_D65, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070),
    9: (*_D65, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046),
    11: (0.314, 0.351, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    12: (*_D65, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060),
    22: (*_D65, 0.630, 0.340, 0.295, 0.605, 0.155, 0.077),
}
_USUAL_GAMMA, _SLACK = 1 / 2.2, 0.005  # what most programs write to mean sRGB
_WHITE_NITS = 203.0  # of ordinary white in HDR pictures (ITU-R BT.2408)
_ROWS = 256  # converted at once: a whole picture in float64 would take 24 bytes a pixel


@dataclass(frozen=True)
class ColourSpace:
    """How samples in [0, 1] become light. primaries: of the light, whose white is 1."""

    to_light: Callable[[Values], Values]
    primaries: Chromaticities
    is_hlg: bool = False


def colour_space_of(path: Path, info: Mapping[Any, Any]) -> ColourSpace | None:
    """Return the colour space that a PNG's chunks name; None if they name none, or leave it to its profile.

    info: what Pillow read from the file; it knows all of these chunks but cICP.
    """
    named = _read_cicp(path)
    if named is not None:
        primaries, transfer = _PRIMARIES.get(named[0]), _transfer(named[1])
        if primaries is not None and transfer is not None:
            return ColourSpace(transfer, primaries, named[1] == 18)
    if "icc_profile" in info or "srgb" in info or named is not None:
        return None
    gamma, primaries = float(info.get("gamma") or _USUAL_GAMMA), tuple(info.get("chromaticity") or _SRGB)
    is_usual = abs(gamma - _USUAL_GAMMA) < _SLACK
    if not 0.05 < gamma < 5 or (is_usual and np.allclose(primaries, _SRGB, atol=2e-3)):
        return None
    return ColourSpace(_srgb_light if is_usual else lambda values: values ** (1 / gamma), primaries)


def to_srgb(picture: Frame, space: ColourSpace) -> Frame:
    """Convert a picture (H, W, 3) to sRGB. Light that sRGB does not have is cut off."""
    try:
        matrix = np.linalg.inv(_to_xyz(_SRGB)) @ _adapt(space.primaries) @ _to_xyz(space.primaries)
    except (np.linalg.LinAlgError, ZeroDivisionError):  # nonsense in cHRM
        return picture
    light = space.to_light(np.arange(256) / 255.0)
    converted = np.empty_like(picture)
    for top in range(0, len(picture), _ROWS):
        rows = light[picture[top : top + _ROWS]]
        if space.is_hlg:  # a screen of 1000 cd/m2 shows it brighter by its luminance to the power of 0.2
            rows *= np.maximum(rows @ (0.2627, 0.6780, 0.0593), 1e-9)[..., None] ** 0.2 * 1000 / _WHITE_NITS
        converted[top : top + _ROWS] = np.rint(_srgb_samples(np.clip(rows @ matrix.T, 0, 1)) * 255)
    return converted


def _read_cicp(path: Path) -> tuple[int, int] | None:
    """Return primaries and transfer function of the chunk cICP; None if there is none."""
    with path.open("rb") as file:
        if file.read(8) != b"\x89PNG\r\n\x1a\n":
            return None
        while len(head := file.read(8)) == 8 and head[4:] not in (b"IDAT", b"IEND"):
            size = int.from_bytes(head[:4], "big")
            if head[4:] == b"cICP" and size == 4:
                primaries, transfer = file.read(2)
                return primaries, transfer
            file.seek(size + 4, 1)
    return None


def _transfer(code: int) -> Callable[[Values], Values] | None:
    """Return how samples become light, by the numbers of ITU-T H.273, table 3; None for rare ones."""
    if code in (1, 6, 14, 15):
        # The curve of cameras for television. Screens show it as sRGB's, and so are films read of which such PNGs are
        # single frames.
        return _srgb_light
    if code in (11, 12):
        return lambda values: np.where(values < 0.081, values / 4.5, ((values + 0.099) / 1.099) ** (1 / 0.45))
    powers = {4: 2.2, 5: 2.8, 8: 1.0}
    if code in powers:
        return lambda values: values ** powers[code]
    return {13: _srgb_light, 16: _pq_light, 18: _hlg_light}.get(code)


def _srgb_light(values: Values) -> Values:
    return np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def _srgb_samples(light: Values) -> Values:
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)


def _pq_light(values: Values) -> Values:
    """Return light of PQ (SMPTE ST 2084, equation 4.1), where 1 is ordinary white."""
    root = values ** (32 / 2523)
    return np.asarray(
        (np.maximum(root - 0.8359375, 0) / (18.8515625 - 18.6875 * root)) ** (8192 / 1305) * 1e4 / _WHITE_NITS
    )


def _hlg_light(values: Values) -> Values:
    """Return light of the scene of HLG (ITU-R BT.2100, table 5), in [0, 1]."""
    return np.where(values <= 0.5, values**2 / 3, (np.exp((values - 0.55991073) / 0.17883277) + 0.28466892) / 12)


def _xyz(x: float, y: float) -> Values:
    return np.array([x / y, 1.0, (1 - x - y) / y])


def _to_xyz(primaries: Chromaticities) -> Values:
    """Return the matrix (3, 3) from light of these primaries to XYZ, by which equal parts make their white."""
    white, *colours = (_xyz(*primaries[i : i + 2]) for i in (0, 2, 4, 6))
    columns = np.array(colours).T
    return np.asarray(columns * np.linalg.solve(columns, white))


def _adapt(primaries: Chromaticities) -> Values:
    """Return the matrix (3, 3) in XYZ that makes the white of these primaries that of sRGB (Bradford)."""
    cone = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
    gain = (cone @ _xyz(*_D65)) / (cone @ _xyz(*primaries[:2]))
    return np.asarray(np.linalg.inv(cone) @ (gain[:, None] * cone))

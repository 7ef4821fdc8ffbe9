"""Say of a file who signed it, whether it is as it was signed, what it was made from, and whether it is watermarked."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from vid2vid_cli.errors import MediaError, Vid2VidError
from vid2vid_cli.media.credentials.reading import Credentials, Standing, read_credentials
from vid2vid_cli.media.credentials.signing import BESIDE, INSIDE, SIDECAR
from vid2vid_cli.media.credentials.statement import MADE, SOFT_BINDING
from vid2vid_cli.media.image import read_image
from vid2vid_cli.media.probe import sniff
from vid2vid_cli.media.video import read_video
from vid2vid_cli.media.watermark.code import Watermark, bits_of
from vid2vid_cli.media.watermark.marking import EARLIER_PATTERNS, PATTERN, SMALL_PATTERN
from vid2vid_cli.media.watermark.reading import read_watermark

EXIT_CODES: dict[Standing, int] = {"trusted": 0, "self-asserted": 6, "tampered": 7, "none": 8}
WORST_FIRST: tuple[Standing, ...] = ("tampered", "none", "self-asserted", "trusted")
LOOKED_AT, EVERY = 24, 8  # frames of a film, from the beginning, that are searched for a watermark
_KEPT_PX = 800  # shorter side: larger frames are no small ones that were made larger, and only their mean counts


@dataclass(frozen=True)
class Verdict:
    """What is known of a file. watermark: None if there is none that can be read."""

    path: Path
    credentials: Credentials
    watermark: Watermark | None

    @property
    def standing(self) -> Standing:
        """What the credentials are worth."""
        return self.credentials.standing

    @property
    def bits(self) -> str | None:
        """The 64 bits of the watermark as hex digits."""
        return None if self.watermark is None else bits_of(self.watermark.number).hex()

    @property
    def stated_bits(self) -> str | None:
        """The 64 bits that the credentials say the watermark has, as hex digits."""
        binding = self.credentials.assertion(SOFT_BINDING)
        if binding.get("alg") not in {PATTERN, SMALL_PATTERN, *EARLIER_PATTERNS}:
            return None
        try:
            return base64.b64decode(binding["blocks"][0]["value"]).hex()
        except (LookupError, TypeError, ValueError):
            return None

    @property
    def made(self) -> dict[str, Any]:
        """What vid2vid says of the making: command, options, checkpoint. Empty for files of other tools."""
        return self.credentials.assertion(MADE)

    @property
    def tool(self) -> str:
        """Name the program that signed."""
        infos = self.credentials.manifest.get("claim_generator_info") or [{}]
        words = f"{infos[0].get('name', '')} {infos[0].get('version', '')}".strip()
        return words or str(self.credentials.manifest.get("claim_generator", ""))

    @property
    def actions(self) -> list[str]:
        """List what was done, in the specification's words, with the kind of source where that is said."""
        data = self.credentials.assertion("c2pa.actions.v2") or self.credentials.assertion("c2pa.actions")
        found = [each for each in data.get("actions", []) if isinstance(each, dict)]
        kinds = [str(each.get("digitalSourceType", "")).rpartition("/")[2] for each in found]
        return [
            f"{each.get('action', '?')}{f' ({kind})' if kind else ''}" for each, kind in zip(found, kinds, strict=True)
        ]

    @property
    def ingredients(self) -> list[dict[str, str]]:
        """List what it was made from: role and identity, which vid2vid states as a hash."""
        found = self.credentials.manifest.get("ingredients", [])
        return [
            {
                "role": str(each.get("title", "")),
                "relationship": str(each.get("relationship", "")),
                "id": str(each.get("instance_id", "")),
            }
            for each in found
        ]


def verify(path: Path, trust: Path | None = None, *, looks_for_watermark: bool = True) -> Verdict:
    """Read the credentials and the watermark of a file. trust: certificates in PEM whose issuers vouch."""
    if path.suffix.lower() == SIDECAR and path.is_file():
        raise MediaError(f"{path}: holds the credentials of another file, which lies beside it; name that: {path.stem}")
    credentials = read_credentials(path, trust)
    return Verdict(path, credentials, find_watermark(path) if looks_for_watermark else None)


def find_watermark(path: Path) -> Watermark | None:
    """Read the watermark of a picture or a film; None if there is none, also in what shows no pictures."""
    try:
        if sniff(path) != "video":
            return read_watermark(_gray(read_image(path)).astype(np.float32))
        return _in_film(path)
    except Vid2VidError:
        return None


def _in_film(path: Path) -> Watermark | None:
    total: npt.NDArray[np.float32] | None = None
    count, kept = 0, []
    with closing(read_video(path)) as frames:
        for frame in itertools.islice(frames, 0, LOOKED_AT * EVERY, EVERY):
            luma = _gray(frame)
            total = luma.astype(np.float32) if total is None else total + luma
            count += 1
            if min(luma.shape) < _KEPT_PX:
                kept.append(luma)
    return None if total is None else read_watermark(np.asarray(total / count, np.float32), kept)


def _gray(frame: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    return np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), np.uint8)


def files_of(named: Path) -> Iterator[Path]:
    """Yield a file, or all pictures and films directly in a folder, by name."""
    if not named.is_dir():
        yield named
        return
    yield from sorted(each for each in named.iterdir() if each.suffix.lower() in {**INSIDE, **BESIDE})

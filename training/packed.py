"""The one file that training reads: faces as compressed squares, their meshes, and a network that judges pictures.

`training.pack` writes it. It is safetensors: NAME.pictures, NAME.ends, NAME.landmarks and NAME.visible for each clip
(NAME is its file's) and for all portraits together (`stills`), and perceptual.*, see perceptual.py.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import load_file, save_file

from vid2vid_cli.arrays import Frame

SIDE = 448  # px of a square
STILLS, PERCEPTUAL = "stills", "perceptual"
QUALITY = 90  # of WebP: half as large as JPEG of the same error, about one grey level
Picture = NDArray[np.uint8]
Points = NDArray[np.float32]


@dataclass(frozen=True)
class Square:
    """One square: picture (SIDE, SIDE, 3), landmarks (470, 3) and visible part (left, top, right, bottom) in its px."""

    picture: Frame
    landmarks: Points
    visible: Points


@dataclass(frozen=True)
class Squares:
    """The squares of one clip, or of all portraits: WebP files one after the other, their ends (N,) in bytes, meshes
    (N, 470, 3) in px, visible parts (N, 4).

    A clip is made of pairs of frames: after each even one comes the moment right after it.
    """

    pictures: NDArray[np.uint8]
    ends: NDArray[np.int64]
    landmarks: Points
    visible: Points

    @classmethod
    def of(cls, squares: Iterable[Square]) -> Squares:
        """Compress squares; there must be some."""
        pictures, landmarks, visible = [], [], []
        for square in squares:
            pictures.append(_compress(square.picture))
            landmarks.append(square.landmarks)
            visible.append(square.visible)
        ends = np.cumsum([len(picture) for picture in pictures])
        return cls(np.concatenate(pictures), ends.astype(np.int64), np.stack(landmarks), np.stack(visible))

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, NDArray[np.generic]], name: str) -> Squares:
        """Take the squares of a name out of a pack's tensors."""
        landmarks = tensors[f"{name}.landmarks"].astype(np.float32)
        landmarks[..., :2] += SIDE / 2
        return cls(
            tensors[f"{name}.pictures"].astype(np.uint8, copy=False),
            tensors[f"{name}.ends"].astype(np.int64, copy=False),
            landmarks,
            tensors[f"{name}.visible"].astype(np.float32, copy=False),
        )

    def to_tensors(self, name: str) -> dict[str, NDArray[np.generic]]:
        """Return the tensors of a pack."""
        # From the middle, where faces are: half precision is finest near 0, some hundredths of a px there.
        landmarks = self.landmarks - np.array([SIDE / 2, SIDE / 2, 0], np.float32)
        return {
            f"{name}.pictures": self.pictures,
            f"{name}.ends": self.ends,
            f"{name}.landmarks": landmarks.astype(np.float16),
            f"{name}.visible": self.visible,
        }

    def __len__(self) -> int:
        return len(self.ends)

    def picture(self, index: int) -> Picture:
        """Decode one frame: (SIDE, SIDE, 3), RGB."""
        begin = self.ends[index - 1] if index else 0
        return np.asarray(Image.open(io.BytesIO(self.pictures[begin : self.ends[index]].tobytes())))


@dataclass(frozen=True)
class Pack:
    """Everything that training needs besides the checkpoint.

    clips: by the names of their files; what comes before the first underscore is the person. perceptual: tensors of the
    network of perceptual.py, by name.
    """

    clips: Mapping[str, Squares]
    stills: Squares
    perceptual: Mapping[str, NDArray[np.generic]]

    @classmethod
    def load(cls, path: Path) -> Pack:
        """Read a pack."""
        tensors = load_file(path)
        names = sorted({name.rpartition(".")[0] for name in tensors if name.endswith(".pictures")} - {STILLS})
        prefix = f"{PERCEPTUAL}."
        perceptual = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
        clips = {name: Squares.from_tensors(tensors, name) for name in names}
        return cls(clips, Squares.from_tensors(tensors, STILLS), perceptual)

    def save(self, path: Path) -> None:
        """Write a pack."""
        tensors = {f"{PERCEPTUAL}.{name}": value for name, value in self.perceptual.items()}
        for name, squares in {**self.clips, STILLS: self.stills}.items():
            tensors |= squares.to_tensors(name)
        save_file({name: np.ascontiguousarray(value) for name, value in tensors.items()}, path)
        path.chmod(0o644)  # the writer makes it readable to its owner only


def _compress(picture: Frame) -> NDArray[np.uint8]:
    """Return a picture as the bytes of a WebP file."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "WEBP", quality=QUALITY, method=4)
    return np.frombuffer(file.getvalue(), np.uint8)

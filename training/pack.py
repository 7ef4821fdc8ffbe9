"""Pack everything that training needs into one file, below 60 MB, to be read without ffmpeg and without downloads.

    pip install '.[train]'
    python -m training.pack --clips MEDIA/train --stills MEDIA/stills -o pack.safetensors

Faces are cut to squares four times as large as the face, which do not move within a clip; see packed.py for the file.
Of a clip it keeps pairs of frames, evenly over its length. People who also appear in validation clips and pictures are
left out; see `training.build_face_model.HELD_OUT`.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from training.build_face_model import HELD_OUT
from training.packed import SIDE, Pack, Square, Squares
from training.perceptual import published_tensors
from vid2vid_cli.arrays import Frame, Points
from vid2vid_cli.errors import MediaError
from vid2vid_cli.face.crop import EVERYWHERE, CropSpec, FaceCrop, crop_around, crop_frame
from vid2vid_cli.face.mesh import Face, FaceAnalyzer, FaceTracker, face_from_landmarks
from vid2vid_cli.media.image import read_image
from vid2vid_cli.media.video import read_video
from vid2vid_cli.models.registry import load_face_analyzer

SPEC = CropSpec(scale=4.0, size=SIDE)
PAIRS = 22  # of neighbouring frames that are kept of a clip, at most


@dataclass(frozen=True)
class Seen:
    """A frame and the face in it."""

    frame: Frame
    face: Face


def track_clip(path: Path, analyzer: FaceAnalyzer) -> list[Seen]:
    """Return the frames of a clip in which a face is found."""
    tracker = FaceTracker(analyzer)
    found = [(frame, tracker.update(frame)) for frame in read_video(path)]
    return [Seen(frame, face) for frame, face in found if face is not None]


def still_crop(seen: Sequence[Seen], spec: CropSpec) -> FaceCrop:
    """Return one crop for a whole clip, around the median mesh: the background must stand still."""
    median = np.median([one.face.landmarks_px for one in seen], axis=0).astype(np.float32)
    return crop_around(face_from_landmarks(median, 1.0), spec, EVERYWHERE)


def choose_pairs(count: int) -> NDArray[np.int64]:
    """Choose pairs of neighbours among `count` frames, evenly: (2 * P,), their indices. P is PAIRS at most."""
    pairs = min(PAIRS, count // 2)
    first = np.linspace(0, count - 2, pairs).round().astype(np.int64)
    return np.stack([first, first + 1], 1).ravel()


def crop_landmarks(face: Face, crop: FaceCrop) -> Points:
    """Return a face's landmarks (470, 3) in px of a crop."""
    points = crop.to_crop(face.landmarks_px).astype(np.float32)
    # Depth is scaled as x and y are; the length of the first column is that scale.
    points[:, 2] = face.landmarks_px[:, 2] / np.hypot(*crop.affine[:, 0])
    return points


def crop_square(seen: Seen, crop: FaceCrop) -> Square:
    """Cut the square out of a frame."""
    height, width = seen.frame.shape[:2]
    corners = crop.to_crop(np.array([[0.0, 0.0], [width, height]]))
    visible = np.clip(corners.ravel(), 0, SIDE).astype(np.float32)
    return Square(crop_frame(seen.frame, crop), crop_landmarks(seen.face, crop), visible)


def pack_clip(path: Path, analyzer: FaceAnalyzer) -> Squares | None:
    """Return the squares of one clip; None where it shows no face twice."""
    seen = track_clip(path, analyzer)
    if len(seen) < 2:
        return None
    crop = still_crop(seen, SPEC)
    return Squares.of(crop_square(seen[index], crop) for index in choose_pairs(len(seen)))


def pack_stills(paths: Sequence[Path], analyzer: FaceAnalyzer) -> Squares:
    """Return the squares of all portraits in which exactly one face is found."""

    def squares() -> Iterator[Square]:
        for path in paths:
            picture = read_image(path)
            faces = analyzer.faces(picture)
            if len(faces) == 1:
                yield crop_square(Seen(picture, faces[0]), crop_around(faces[0], SPEC, EVERYWHERE))

    found = list(squares())
    if not found:
        raise MediaError("no portrait shows exactly one face; name a folder of portraits")
    return Squares.of(found)


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, required=True, help="folder of tNN_*.mp4")
    parser.add_argument("--stills", type=Path, required=True, help="folder of portraits, *.jpg")
    parser.add_argument("-o", "--output", type=Path, required=True, help="the file to write")
    options = parser.parse_args()
    perceptual = published_tensors()
    analyzer = load_face_analyzer()
    torch.set_num_threads(1)
    clips: dict[str, Squares] = {}
    for path in sorted(options.clips.glob("*.mp4")):
        # tNN, the identity, is the first part of a file's name.
        squares = None if path.name.split("_")[0] in HELD_OUT else pack_clip(path, analyzer)
        if squares is not None:
            clips[path.stem] = squares
            print(f"{path.name}: {len(squares)} frames", flush=True)
    stills = pack_stills(sorted(options.stills.glob("*.jpg")), analyzer)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    Pack(clips, stills, perceptual).save(options.output)
    frames = sum(len(squares) for squares in clips.values())
    size = options.output.stat().st_size / 1e6
    print(f"{options.output}: {frames} frames of {len(clips)} clips, {len(stills)} portraits, {size:.1f} MB")


if __name__ == "__main__":
    main()

"""Cut the faces out of clips and portraits, once, so that training reads them quickly.

    python -m training.prepare --clips MEDIA/train --stills MEDIA/stills -o CACHE

Writes one safetensors file a clip, and one for all portraits. Each holds the frames as JPEG, cut to squares four times
as large as the face, which do not move within a clip, and the mesh of every frame in px of its square. People who also
appear in validation clips and pictures are left out; see `training.build_face_model.HELD_OUT`.
"""

from __future__ import annotations

import argparse
import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from safetensors.torch import save_file

from training.build_face_model import HELD_OUT
from vid2vid_cli.arrays import Frame
from vid2vid_cli.face.crop import EVERYWHERE, CropSpec, FaceCrop, crop_around, crop_frame
from vid2vid_cli.face.mesh import Face, FaceAnalyzer, FaceTracker, face_from_landmarks
from vid2vid_cli.media.image import read_image
from vid2vid_cli.media.video import read_video
from vid2vid_cli.models.registry import load_face_analyzer

SPEC = CropSpec(scale=4.0, size=448)
QUALITY = 95
FULL_RATE_FRAMES = 130  # of a longer clip every second frame is taken


@dataclass(frozen=True)
class Seen:
    """A frame and the face in it."""

    frame: Frame
    face: Face


def track_clip(path: Path, analyzer: FaceAnalyzer) -> list[Seen]:
    """Return the frames of a clip in which a face is found."""
    tracker = FaceTracker(analyzer)
    found = [(frame, tracker.update(frame)) for frame in read_video(path)]
    seen = [Seen(frame, face) for frame, face in found if face is not None]
    return seen[:: 2 if len(seen) > FULL_RATE_FRAMES else 1]


def encode_jpeg(frame: Frame) -> NDArray[np.uint8]:
    """Return a frame as the bytes of a JPEG file."""
    file = io.BytesIO()
    Image.fromarray(frame).save(file, "JPEG", quality=QUALITY, subsampling=0)
    return np.frombuffer(file.getvalue(), np.uint8)


def visible_part(crop: FaceCrop, frame: Frame) -> NDArray[np.float32]:
    """Return left, top, right, bottom of the square's part that lies within the frame, in the square's px."""
    corners = crop.to_crop(np.array([[0.0, 0.0], [frame.shape[1], frame.shape[0]]]))
    return np.clip(corners.ravel(), 0, crop.size[0]).astype(np.float32)


def write_squares(path: Path, seen: Iterator[tuple[Seen, FaceCrop]]) -> int:
    """Write frames, meshes and visible parts. Returns how many there are."""
    pictures, meshes, parts = [], [], []
    for one, crop in seen:
        pictures.append(encode_jpeg(crop_frame(one.frame, crop)))
        points = crop.to_crop(one.face.landmarks_px).astype(np.float32)
        # Depth is scaled as x and y are; the length of the first column is that scale.
        points[:, 2] = one.face.landmarks_px[:, 2] / np.hypot(*crop.affine[:, 0])
        meshes.append(points)
        parts.append(visible_part(crop, one.frame))
    ends = np.cumsum([len(picture) for picture in pictures])
    tensors = {
        "jpeg": np.concatenate(pictures),
        "ends": ends.astype(np.int64),
        "landmarks": np.stack(meshes),
        "visible": np.stack(parts),
    }
    save_file({name: torch.from_numpy(value) for name, value in tensors.items()}, path)
    return len(meshes)


def prepare_clip(path: Path, analyzer: FaceAnalyzer, output: Path) -> int:
    """Write the squares of one clip."""
    seen = track_clip(path, analyzer)
    if not seen:
        return 0
    # One square for the whole clip, around the median mesh: the background must stand still.
    middle = face_from_landmarks(np.median([one.face.landmarks_px for one in seen], axis=0).astype(np.float32), 1.0)
    crop = crop_around(middle, SPEC, EVERYWHERE)
    return write_squares(output, ((one, crop) for one in seen))


def prepare_stills(folder: Path, analyzer: FaceAnalyzer, output: Path) -> int:
    """Write the squares of all portraits in which exactly one face is found."""

    def squares() -> Iterator[tuple[Seen, FaceCrop]]:
        for path in sorted(folder.glob("*.jpg")):
            picture = read_image(path)
            faces = analyzer.faces(picture)
            if len(faces) == 1:
                yield Seen(picture, faces[0]), crop_around(faces[0], SPEC, EVERYWHERE)

    return write_squares(output, squares())


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, required=True, help="folder of tNN_*.mp4")
    parser.add_argument("--stills", type=Path, required=True, help="folder of portraits, *.jpg")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder to make")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    analyzer = load_face_analyzer()
    torch.set_num_threads(1)
    for path in sorted(options.clips.glob("*.mp4")):
        # tNN, the identity, is the first part of a file's name.
        if path.name.split("_")[0] in HELD_OUT:
            continue
        count = prepare_clip(path, analyzer, options.output / f"{path.stem}.safetensors")
        print(f"{path.name}: {count} frames", flush=True)
    count = prepare_stills(options.stills, analyzer, options.output / "stills.safetensors")
    print(f"{options.stills.name}: {count} portraits")


if __name__ == "__main__":
    main()

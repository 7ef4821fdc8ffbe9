"""Make weights/likeness.safetensors: what tells people apart when pictures of one person are gathered.

    python -m training.same_person MEDIA -o weights/likeness.safetensors

MEDIA is a folder with `train/` (clips; files of one identity begin with the same word before the first `_`) and
`stills/` (portraits, one person each). Faces are described as vid2vid_cli.models.compact.likeness says; the axes
are those of a linear discriminant analysis (Fisher 1936) of the leading principal components. --judge K leaves every
K-th identity out, K times over, and prints how often frames of a clip are taken for another person's, and other people
for the same.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file

from training.checkpoint_file import renew_sum
from vid2vid_cli.arrays import Frame
from vid2vid_cli.face.mesh import select_face
from vid2vid_cli.media.image import read_image
from vid2vid_cli.media.video import read_video
from vid2vid_cli.models.compact.likeness import Likeness
from vid2vid_cli.models.registry import load_face_analyzer
from vid2vid_cli.pipeline.person.measuring import FaceReader

FRAMES = 8  # of each clip
COMPONENTS, AXES = 250, 80
RIDGE = 0.5  # of the spread between people, added to that within one: clips are short, and vary little
Array = NDArray[np.float64]


@dataclass(frozen=True)
class Faces:
    """Described faces (N, D), the person that each shows, and the file that it is from."""

    described: Array
    people: NDArray[np.str_]
    files: NDArray[np.str_]

    def without(self, left_out: set[str]) -> Faces:
        """Return the faces of all other people."""
        kept = np.array([person not in left_out for person in self.people])
        return Faces(self.described[kept], self.people[kept], self.files[kept])


def pictures(media: Path) -> Iterator[tuple[str, str, Frame]]:
    """Yield a person, a file and a frame."""
    for path in sorted((media / "train").glob("*.mp4")):
        frames = list(read_video(path))
        for number in np.linspace(2, len(frames) - 3, FRAMES).astype(int):
            yield path.name.split("_")[0], path.stem, frames[number]
    for path in sorted((media / "stills").glob("*.jpg")):
        yield f"still {path.stem}", path.stem, read_image(path)


def read_faces(media: Path) -> Faces:
    """Describe the largest face of every picture."""
    reader, analyzer = FaceReader(), load_face_analyzer()
    rows = []
    for person, file, frame in pictures(media):
        face = select_face(analyzer.faces(frame), "largest", frame)
        if face is not None:
            rows.append((reader.read(frame, face).descriptor, person, file))
    described, people, files = zip(*rows, strict=True)
    return Faces(np.stack(described).astype(np.float64), np.array(people), np.array(files))


def fit(faces: Faces) -> Likeness:
    """Fit the axes. The spread between people is that of the portraits, within one that of the clips."""
    is_still = np.char.startswith(faces.people, "still")
    mean = faces.described[is_still].mean(0)
    _, _, components = np.linalg.svd(faces.described - mean, full_matrices=False)
    places = (faces.described - mean) @ components[:COMPONENTS].T
    residuals = np.concatenate(
        [places[faces.people == who] - places[faces.people == who].mean(0) for who in set(faces.people[~is_still])]
    )
    between = np.cov(places[is_still].T)
    within = residuals.T @ residuals / (~is_still).sum() + RIDGE * between
    sizes, vectors = np.linalg.eigh(within)
    whitening = vectors @ np.diag(sizes**-0.5) @ vectors.T
    _, turned = np.linalg.eigh(whitening @ between @ whitening)
    axes = components[:COMPONENTS].T @ whitening @ turned[:, ::-1][:, :AXES]
    return Likeness(mean.astype(np.float32), axes.astype(np.float32))


def distances(faces: Faces, likeness: Likeness, judged: set[str]) -> tuple[list[float], list[float]]:
    """Return the distances of frames from clips: of the same person (another clip of them), and of other people."""
    places = np.stack([likeness(row.astype(np.float32)) for row in faces.described])
    same: list[float] = []
    other: list[float] = []
    is_clip = ~np.char.startswith(faces.people, "still")
    for clip in sorted(set(faces.files[is_clip])):
        own = faces.people[faces.files == clip][0]
        portrait = places[faces.files == clip].sum(0)
        portrait /= np.linalg.norm(portrait)
        for person, file, place in zip(faces.people, faces.files, places, strict=True):
            if file != clip and person in judged:
                (same if person == own else other).append(1 - float(portrait @ place))
    return same, other


def judge(faces: Faces, folds: int) -> None:
    """Print the rates of both errors at some thresholds, for people that the axes were not fitted to."""
    people = sorted({who for who in faces.people if not who.startswith("still")})
    same: list[float] = []
    other: list[float] = []
    for fold in range(folds):
        judged = set(people[fold::folds])
        judged |= {who for who in faces.people if who.startswith("still") and hash_of(who) % folds == fold}
        rest = {str(who) for who in faces.people} - judged
        found = distances(faces.without(rest), fit(faces.without(judged)), judged)
        same, other = same + found[0], other + found[1]
    print(f"{len(same)} frames of the same person's other clip, {len(other)} of other people")
    for threshold in np.arange(0.2, 0.8, 0.05):
        refused, taken = np.mean(np.array(same) > threshold), np.mean(np.array(other) <= threshold)
        print(f"{threshold:.2f}: {refused:6.2%} of the same refused, {taken:6.2%} of others taken")


def hash_of(name: str) -> int:
    """Return a number of a name that is the same in every run."""
    return sum(map(ord, name))


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("media", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--judge", type=int, default=0, metavar="K")
    given = parser.parse_args()
    faces = read_faces(given.media)
    if given.judge:
        judge(faces, given.judge)
    likeness = fit(faces)
    tensors = {"likeness.mean": torch.from_numpy(likeness.mean), "likeness.axes": torch.from_numpy(likeness.axes)}
    save_file({name: tensor.half().contiguous() for name, tensor in tensors.items()}, given.output)
    renew_sum(given.output)


if __name__ == "__main__":
    main()
